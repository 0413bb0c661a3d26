# SPDX-License-Identifier: Apache-2.0
"""A lock that another machine of the same target can honour: what was detected is expected by its version."""

from __future__ import annotations

from dataclasses import replace

from codereef.lock.types import FORMAT, Lock


def portable(lock: Lock) -> Lock:
    """Return the lock with its detected software as expected: the same versions, without digests and facts.

    Data that a user brings stays by its digest: it is the same everywhere.
    """
    nodes = {
        key: replace(node, source="expected", binary="", facts={})
        if node.source == "detected" and node.capability
        else node
        for key, node in lock.nodes.items()
    }
    return replace(lock, nodes=nodes, format=FORMAT)
