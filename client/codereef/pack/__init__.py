# SPDX-License-Identifier: Apache-2.0
"""A pack: a solution with all it needs in one file, for a machine without a network or for whoever repeats a result.

`format` says what a pack holds, `collect` gathers it, `write` makes the file, `read` checks and takes it apart. This
room knows nothing of the user's settings and asks nobody; `workspace.packing` joins it with the rest.
"""
