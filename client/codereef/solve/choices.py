# SPDX-License-Identifier: Apache-2.0
"""What the universe has besides software: the possibilities of a choice, and what is passed over in a trial."""

from __future__ import annotations

from dataclasses import dataclass

from codereef.solve.terms import Dependency


@dataclass(frozen=True)
class Choice:
    """One possibility of a choice variable.

    Attributes:
        label: how people read it.
        dependency: what it asks for; None where an optional dependency is left out.
    """

    label: str
    dependency: Dependency | None


@dataclass(frozen=True)
class Lenient:
    """What is passed over when a change is tried that might make a request solvable.

    Attributes:
        wishes: (`kind:name`, role) whose version and variants are not asked for; of a conflict the role is
            what it is with.
        roles: (`kind:name`, role) that are not asked for at all.
        twice: capabilities of which several versions may stand in one graph although nobody says so.
    """

    wishes: frozenset[tuple[str, str]] = frozenset()
    roles: frozenset[tuple[str, str]] = frozenset()
    twice: frozenset[str] = frozenset()
