# SPDX-License-Identifier: Apache-2.0
"""From a lock to this machine: where its detected nodes are here, and whether anything has changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from codereef.detect import Detected
from codereef.errors import LockError
from codereef.lock.types import Lock, LockedNode
from codereef.meta.reference import parse_reference
from codereef.repo.index import Index

#: Sources of nodes that a machine has by itself.
FOUND = ("detected", "expected")


@dataclass(frozen=True)
class Difference:
    """A node that is not here as the lock has it.

    Attributes:
        node: its id.
        locked: what the lock has.
        here: what this machine or the repositories have.
    """

    node: str
    locked: str
    here: str

    def __str__(self) -> str:
        return f"{self.node}: the lock has {self.locked}; {self.here}"


def bind_detected(lock: Lock, detected: Sequence[Detected]) -> tuple[dict[str, Detected], list[Difference]]:
    """Find every detected node of a lock among what was detected now.

    A node is the same when its capability, version and file digest are, and a Python distribution only in the
    interpreter that its node names. A node that was only expected here has no digest: its version counts, and
    any version where it has none. So it is for the machine that builds, which may be another one this time: the
    same software for another processor never has the same bytes.

    Args:
        lock: the part of a lock that is for this machine (`Lock.for_target`).
        detected: what this machine has, what is preferred first.
    """
    found: dict[str, Detected] = {}
    differences: list[Difference] = []
    nodes = {key: node for key, node in lock.nodes.items() if node.source in FOUND}
    # A virtual environment's interpreter is a link to the one it was made from: same bytes, never meant.
    same = {
        key: [
            d
            for d in sorted(detected, key=lambda d: node.binary not in ("", d.digest))
            if d.capability == node.capability and _same(node, d) and d.facts.get("tool") is not True
        ]
        for key, node in nodes.items()
    }
    for key in nodes:
        # The same distribution may lie in several interpreters: it is the one in the interpreter of its node
        # that is meant, and the interpreter is the one that has all of them.
        users = [same[other] for other, user in nodes.items() if user.deps.get("python") == key]
        fitting = [
            d for d in same[key] if all(any(u.paths.get("python") == d.path for u in options) for options in users)
        ]
        same[key] = [*fitting, *(d for d in same[key] if d not in fitting)]
    for key, node in nodes.items():
        python = node.deps.get("python", "")
        exact = same[key]
        if python in nodes:
            exact = [d for d in exact if same[python] and d.paths.get("python") == same[python][0].path]
        if exact:
            found[key] = exact[0]
            continue
        others = [d for d in detected if d.capability == node.capability]
        here = (
            f"this machine has {', '.join(dict.fromkeys(_named(d) for d in others))}"
            if others
            else f"this machine has no {node.capability}"
        )
        differences.append(Difference(key, _locked(node), here))
    return found, differences


def _same(node: LockedNode, item: Detected) -> bool:
    if node.source == "expected" or node.scope == "build":
        return node.version in ("", item.version)
    return (item.digest, item.version) == (node.binary, node.version)


def _locked(node: LockedNode) -> str:
    if node.source == "expected":
        return f"{node.capability} {node.version or 'of any version'}, expected on this target"
    return f"{node.capability} {node.version} ({node.binary[7:19]})"


def _named(item: Detected) -> str:
    return f"{item.version} ({item.digest[7:19]})"


def check_components(lock: Lock, index: Index) -> list[Difference]:
    """Return the nodes whose component is no longer as the lock has it."""
    differences = []
    for key, node in lock.nodes.items():
        reference = parse_reference(node.component)
        now = [c for c in index.versions(reference.kind, reference.name) if c.version == reference.version]
        if not now:
            differences.append(Difference(key, node.component, "no repository has it"))
        elif now[0].digest != node.digest:
            differences.append(
                Difference(
                    key,
                    f"{node.component} with {node.digest[7:19]}",
                    f"the repository has it with {now[0].digest[7:19]}",
                )
            )
    return differences


def refuse(lock: Lock, differences: Sequence[Difference], why: str) -> LockError:
    """Return the error that names what differs."""
    return LockError(
        f"{why}\n" + "\n".join(f"  · {difference}" for difference in differences[:10]),
        hint=f"`cr init {lock.solution.split('@')[0].split(':')[1]}` resolves again and writes a new lock.",
        context={"differences": [{"node": d.node, "locked": d.locked, "here": d.here} for d in differences]},
    )
