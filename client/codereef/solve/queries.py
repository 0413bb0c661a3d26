# SPDX-License-Identifier: Apache-2.0
"""What a dependency by tags means: which components fit, and whether it is plain which one is meant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from codereef.meta.reference import Query, nearest, parse_reference
from codereef.repo.index import Index


@dataclass(frozen=True)
class Fitting:
    """A component that fits a query.

    Attributes:
        name: `kind:name`.
        versions: its versions that have the tags.
        mask: of its candidates, those that meet everything else that is asked.
    """

    name: str
    versions: frozenset[str]
    mask: int


@dataclass(frozen=True)
class Answer:
    """What a query comes to.

    Attributes:
        query: the query.
        fitting: every component that can be meant, by name.
        chosen: those the resolver may take: all where it may choose, else the one that is meant, or none.
    """

    query: Query
    fitting: tuple[Fitting, ...]
    chosen: tuple[Fitting, ...]

    @property
    def ambiguous(self) -> bool:
        """Tell whether several fit and nothing says which one is meant."""
        return len(self.fitting) > 1 and not self.chosen


def tagged_versions(index: Index, query: Query) -> dict[str, frozenset[str]]:
    """Return the versions that have a query's tags, by `kind:name`, in the order of the names."""
    found: dict[str, set[str]] = {}
    for component in index.tagged(query.kind, query.tags, query.without):
        found.setdefault(component.reference.unversioned, set()).add(component.version)
    return {name: frozenset(found[name]) for name in sorted(found)}


def choose(query: Query, fitting: Sequence[Fitting], pins: Mapping[str, str], *, any_: bool) -> Answer:
    """Say which of the components that fit may be taken.

    A pin of the query names the one; so does a pin of one component that fits. Otherwise a single one is
    taken, and of several any one only where the component that asks permits it.

    Args:
        query: the query.
        fitting: the components that fit.
        pins: the user's pins.
        any_: whether the resolver may choose.
    """
    pin = pins.get(str(query), "").partition("@")[0]
    pinned = [item for item in fitting if (item.name == pin if pin else item.name in pins)]
    if pin or len(pinned) == 1:
        return Answer(query, tuple(fitting), tuple(pinned))
    return Answer(query, tuple(fitting), tuple(fitting) if any_ or len(fitting) == 1 else ())


def near_names(index: Index, name: str) -> list[str]:
    """Return `kind:name` of components whose names look like that of `kind:name`."""
    reference = parse_reference(name)
    return [f"{reference.kind}:{near}" for near in nearest(reference.name, index.names(reference.kind))]
