# SPDX-License-Identifier: Apache-2.0
"""Keys, signatures and what follows from them: who published something.

May read and write the user's key folder; knows nothing of repositories, and decides nothing: whether code may
run is asked elsewhere.
"""
