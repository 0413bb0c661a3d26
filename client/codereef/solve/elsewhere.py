# SPDX-License-Identifier: Apache-2.0
"""What is not used but known: repositories that are not trusted or not enabled, and what they have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from codereef.meta.component import Component
from codereef.meta.reference import is_capability
from codereef.repo.index import Index
from codereef.solve.declared import behind
from codereef.solve.universe import Universe
from codereef.solve.words import listed


@dataclass(frozen=True)
class Elsewhere:
    """A place that the resolver may not take components from as things are.

    Attributes:
        place: what it is, with why it is not used: "the repository `boards`, which you have not trusted".
        remedy: what makes it usable, as an imperative: "`cr repo trust boards`, once you have looked at it".
        index: what it has.
    """

    place: str
    remedy: str
    index: Index


#: Looks at such places; asked only when there is no graph.
Look = Callable[[], Sequence[Elsewhere]]


def found_elsewhere(universe: Universe, variables: Sequence[int]) -> list[tuple[Elsewhere, str, list[str]]]:
    """Return where what is lacking can be had: the place, what was asked for, and what it has there."""
    if not variables or universe.look is None:
        return []
    found = []
    for place in universe.look():
        for variable in variables:
            answer = universe.answers.get(variable)
            needs = answer.query if answer is not None else universe.keys[variable][0]
            components: list[Component] = list(behind(place.index, needs))
            if isinstance(needs, str) and is_capability(needs):
                components += place.index.detectors(needs)
            names = [
                str(c.reference)
                for c in components
                if not any(
                    known.version == c.version and known.repository == c.repository
                    for known in universe.index.versions(c.kind, c.name)
                )
            ]
            if names:
                found.append((place, universe.keys[variable][0], names))
    return found


def elsewhere_lines(universe: Universe, variables: Sequence[int]) -> list[str]:
    """Return a line for each place that has what is lacking."""
    return [f"{place.place}, has {listed(names, limit=4)}" for place, _, names in found_elsewhere(universe, variables)]
