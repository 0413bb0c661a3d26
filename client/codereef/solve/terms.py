# SPDX-License-Identifier: Apache-2.0
"""What the resolver engine is given.

Everything here is about small integers: a *variable* is an index, its candidates are numbered from 0 (most
preferred) up, and a set of candidates is an int whose bit `i` stands for candidate `i`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Dependency:
    """One requirement or constraint that a candidate (or the user, for a root) puts on a variable.

    Attributes:
        variable: index of the variable depended on.
        allowed: bit mask over that variable's candidates; bits beyond its count are ignored.
        required: True: the variable must be selected with a candidate in `allowed`. False: *if* it is
            selected, it must be in `allowed` (a constraint; with `allowed` 0 a conflict).
        reason: opaque hashable tag carried to the derivation. Candidates whose dependencies are equal,
            reason included, are explained together.
    """

    variable: int
    allowed: int
    required: bool
    reason: object


@dataclass(frozen=True, slots=True)
class Clause:
    """A fact that is no dependency: these must not hold all together, for example because they form a circle.

    Attributes:
        terms: (variable, mask of its candidates) pairs, each variable at most once, at least one. The clause
            is broken by an answer that selects for every one of these variables a candidate in its mask.
        reason: opaque hashable tag carried to the derivation.
    """

    terms: tuple[tuple[int, int], ...]
    reason: object


class Problem(Protocol):
    """What the engine asks about the graph; it may compute its answers lazily."""

    def count(self, variable: int) -> int:
        """Return the number of candidates of `variable`; asked once per variable that is met."""

    def dependencies(self, variable: int, candidate: int) -> Sequence[Dependency]:
        """Return what `candidate` of `variable` asks for; asked at most once per pair.

        Only variables that some partial answer requires are asked about. Of those, the candidate that is
        tried is asked first; the others follow when a conflict involves the variable, so that candidates
        with equal dependencies can be ruled out, and explained, together.
        """


class RankedProblem(Problem, Protocol):
    """A problem that also says which answers are better; what `optimise` takes.

    Each is asked at most once per variable that is met. Bits beyond the count of a variable are ignored.
    """

    def reuse(self, variable: int) -> int:
        """Return the mask of the candidates that are there already; 0 where there are none.

        An answer that selects another candidate of a variable although there are some is worse.
        """

    def classes(self, variable: int) -> Sequence[int]:
        """Return masks of equally preferred candidates, the best first; together they are all candidates.

        Candidates that differ in preference (version, default variants) belong in different classes: what is
        asked for beside a candidate of the same class is compared too, which costs a search of its own. Empty
        means that every candidate is a class, in the order of their numbers.
        """

    def installs(self, variable: int) -> int:
        """Return the mask of the candidates that would have to be installed."""
