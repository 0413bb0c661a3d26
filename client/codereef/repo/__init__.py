# SPDX-License-Identifier: Apache-2.0
"""Where components come from: the embedded folders, folders and git repositories; one indexed view over all.

May read files and run git; knows nothing of resolving or installing.
"""
