# SPDX-License-Identifier: Apache-2.0
"""`cr.lock`: the resolved graph, with every version, digest, artifact hash and detected fact.

May read and write the lock file and compare it with the index and with what was detected; installs nothing.
"""
