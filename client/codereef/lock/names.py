# SPDX-License-Identifier: Apache-2.0
"""The ids of a lock's nodes: readable, the same whatever order things were solved in, and stable in a diff.

A node is called by what it is: `lib.onnxruntime@1.31.1`. Nodes that would have the same name and differ (in
their dependencies, say) get six digits of the digest of what they consist of: `lib.top@1.0~3fa94c`. What is
only on a target that was not at hand has the target in its name: `compiler.python@3.11.2 (linux-aarch64-gnu)`.
A node that the lock had before keeps its id, so that adding a configuration or a target only adds lines.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from codereef.canonical import digest_of
from codereef.lock.document import node_document
from codereef.lock.types import LockedNode

#: Digits of the digest in an id; nodes of one name are few.
DIGITS = 6


@dataclass(frozen=True)
class Draft:
    """One solved graph before its nodes have their final ids.

    Attributes:
        target: triple.
        nodes: nodes by the resolver's id, dependencies first; `deps` name those ids.
        foreign: ids of the nodes that are as they are only because the target was not at hand.
    """

    target: str
    nodes: Mapping[str, LockedNode]
    foreign: Collection[str]


def contents(nodes: Mapping[str, LockedNode]) -> dict[str, str]:
    """Return the digest of each node's content by id: what it is and, through them, all it depends on."""
    found: dict[str, str] = {}
    for start in nodes:
        waiting = [start]
        while waiting:
            key = waiting[-1]
            missing = [dep for dep in nodes[key].deps.values() if dep not in found]
            if key in found or not missing:
                waiting.pop()
                node = replace(nodes[key], deps={role: found[dep] for role, dep in nodes[key].deps.items()}, extra={})
                found.setdefault(key, digest_of(node_document(node)))
            else:
                waiting += missing
    return found


def named(
    drafts: Sequence[Draft], old: Mapping[str, LockedNode], held: Collection[str]
) -> tuple[dict[str, LockedNode], list[dict[str, str]]]:
    """Give the nodes of several graphs their ids.

    Args:
        drafts: the graphs.
        old: nodes of the lock there was before.
        held: ids of `old` that stay whatever is solved.

    Returns:
        The nodes by id (those of `held` among them), and for each graph the id by the resolver's id.
    """
    before = {content: key for key, content in contents(old).items()}
    digests = [contents(draft.nodes) for draft in drafts]
    bases: dict[str, str] = {}
    for draft, digest in zip(drafts, digests):
        for key in draft.nodes:
            # The resolver numbers what stands twice in one graph; content tells them apart better.
            plain = re.sub(r"#\d+$", "", key)
            marked = f"{plain} ({draft.target})"
            bases.setdefault(digest[key], marked if key in draft.foreign or marked in old else plain)
    ids = {content: before[content] for content in bases if content in before}
    taken = {*held, *ids.values()}
    rivals: dict[str, list[str]] = {}
    for content, base in bases.items():
        if content not in ids:
            rivals.setdefault(base, []).append(content)
    for base, members in rivals.items():
        for content in members:
            alone = len(members) == 1 and base not in taken
            ids[content] = base if alone else f"{base}~{content[7 : 7 + DIGITS]}"
    nodes = {key: old[key] for key in held}
    renames = []
    for draft, digest in zip(drafts, digests):
        rename = {key: ids[digest[key]] for key in draft.nodes}
        renames.append(rename)
        for key, node in draft.nodes.items():
            extra = old[rename[key]].extra if rename[key] in old else {}
            deps = {role: rename[dep] for role, dep in node.deps.items()}
            nodes[rename[key]] = replace(node, deps=deps, extra=extra)
    return nodes, renames
