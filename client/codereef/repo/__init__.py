# SPDX-License-Identifier: Apache-2.0
"""Where components come from: the embedded folders, folders, git repositories and registries; one index over all.

May read files, run git and fetch from registries; knows nothing of resolving or installing.
"""
