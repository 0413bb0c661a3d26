# SPDX-License-Identifier: Apache-2.0
"""What a lock asks of the next resolution: to move nothing that need not move.

A candidate is the locked one when it is the same component (whatever its own version), comes about the same
way, and has the version and variants of the lock. Pins, bans and forced installs are stronger: they decide
which candidates there are. What is named to be upgraded has no locked candidate.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from codereef.lock.bind import FOUND
from codereef.lock.types import Lock, LockedNode
from codereef.meta.reference import parse_reference
from codereef.solve.candidates import Candidate


@dataclass(frozen=True)
class Preference:
    """The locked nodes of one configuration, by what they stand for and the machine they are for."""

    nodes: Mapping[tuple[str, str], tuple[LockedNode, ...]] = field(default_factory=dict)

    def __call__(self, needs: str, scope: str, candidate: Candidate) -> bool:
        """Tell whether a candidate for `needs` is what the lock has."""
        own = candidate.component.reference.unversioned
        for node in self.nodes.get((needs, scope), ()) or self.nodes.get((own, scope), ()):
            found = candidate.source in FOUND and node.source in FOUND
            if (
                parse_reference(node.component).unversioned == own
                and (found or candidate.source == node.source)
                and (candidate.version == node.version or (found and "" in (candidate.version, node.version)))
                and dict(candidate.variants) == dict(node.variants)
            ):
                return True
        return False


def preference(lock: Lock, identifier: str, target: str, moving: Collection[str] = ()) -> Preference:
    """Return what a lock asks of the resolution of one configuration.

    Args:
        lock: the lock there is.
        identifier: the configuration; where the lock does not have it, those of its target count together.
        target: triple.
        moving: capabilities and components whose nodes may move.
    """
    same = [c for c in lock.configurations if c.target == target]
    chosen = [c for c in same if c.id == identifier] or same
    found: dict[tuple[str, str], list[LockedNode]] = {}
    for key in dict.fromkeys(key for c in chosen for key in c.nodes):
        node = lock.nodes[key]
        names = set(_names(node))
        if names.isdisjoint(moving):
            for name in names:
                found.setdefault((name, node.scope), []).append(node)
    return Preference({key: tuple(nodes) for key, nodes in found.items()})


def _names(node: LockedNode) -> Iterator[str]:
    """Yield what a user may call a node: its capability and its component, with and without the kind."""
    yield parse_reference(node.component).unversioned
    if node.capability:
        yield node.capability


def movable(lock: Lock) -> set[str]:
    """Return every name that `cr lock --upgrade NAME` can be given: capabilities, components, distributions."""
    names = {name for node in lock.nodes.values() for name in _names(node)}
    return names | {d.name for e in lock.environments.values() for d in e.distributions}
