# SPDX-License-Identifier: Apache-2.0
"""What was decided and what follows from it, in order; and how to go back after a conflict and learn from it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from codereef.solve.answers import StepLimitError
from codereef.solve.engine_levels import Levels
from codereef.solve.engine_proof import Incompatibility, resolve
from codereef.solve.terms import Clause


class Trail(Levels):
    """Going back from dead ends."""

    def resolve_conflict(self, conflict: Incompatibility) -> bool:
        """Learn from a conflict and go back; False if there is no answer at all."""
        self.conflicts += 1
        self._settle_levels()
        learned, level = self._analyse(conflict)
        if not learned.terms:
            self._proof = learned
            return False
        self._check_limit()
        self._backjump(level - 1)
        self._apply(learned)
        self._unsettled = len(self._trail)
        return True

    def add_broken(self, clauses: Sequence[Clause]) -> bool:
        """State clauses of which a complete answer breaks at least one, and go back; False if none is left.

        Raises:
            ValueError: the answer breaks none of them.
        """
        graph = self.graph
        broken: Incompatibility | None = None
        for clause in clauses:
            fact = graph.add_clause(clause)
            if fact is None:
                continue
            # What is watched must be what held last.
            fact.terms = tuple(sorted(fact.terms, key=lambda term: -graph.last[term[0]]))
            if fact.terms:
                graph.attach(fact)
                graph.examine(fact.terms[0][0])
            if broken is None and not any(graph.domain[variable] & ~states for variable, states in fact.terms):
                broken = fact
        if broken is None:
            raise ValueError("the clauses that were stated about an answer are none that it breaks")
        return self.resolve_conflict(broken)

    def _analyse(self, conflict: Incompatibility) -> tuple[Incompatibility, int]:
        """Resolve `conflict` back to the first cut with one variable of its level.

        Returns:
            What is learned, the variable to assert first and one of the level to go back to second; and the
            level of the conflict. Its terms are empty if the problem has no solution.
        """
        graph = self.graph
        conflict = graph.widest(conflict)
        terms = dict(conflict.terms)
        chain: list[tuple[int, Incompatibility]] = [(-1, conflict)]
        # variable -> (level, place) where its term came to hold
        held = {variable: self._held(variable, states) for variable, states in terms.items()}
        level = max((item[0] for item in held.values()), default=0)
        while terms:
            highest = [(item[1], variable) for variable, item in held.items() if item[0] == level]
            # At level 0 nothing was decided, so everything is resolved.
            if level and len(highest) == 1:
                order = sorted(terms, key=lambda variable: held[variable], reverse=True)
                return self._learn(tuple((v, terms[v]) for v in order), chain), level
            place, pivot = max(highest)
            reason = self._trail[place][2]
            # A decision comes first in its level, so it is never the later one of two.
            assert reason is not None
            cause = graph.widest(reason)
            chain.append((pivot, cause))
            resolve(terms, cause, pivot, graph.absent[pivot])
            for variable, _ in cause.terms:
                if variable in terms:
                    held[variable] = self._held(variable, terms[variable])
                else:
                    held.pop(variable, None)
        return self._learn((), chain), 0

    def _learn(self, terms: tuple[tuple[int, int], ...], chain: list[tuple[int, Incompatibility]]) -> Incompatibility:
        if len(chain) == 1:
            # Nothing was resolved: the conflict itself is what was missed at a lower level.
            return chain[0][1]
        learned = Incompatibility(terms, chain=tuple(chain))
        self._learned += 1
        if terms:
            self.graph.attach(learned)
        return learned

    def _backjump(self, level: int) -> None:
        """Undo everything above `level`."""
        if level == len(self._levels) - 1:
            return
        graph, trail, order = self.graph, self._trail, self._order
        domains, in_walk = graph.domain, graph.in_walk
        start, walked, self._position, self._round = self._levels[level + 1]
        last = graph.last
        self._undone += len(trail) - start
        for variable, old, _, place in reversed(trail[start:]):
            domains[variable] = old
            last[variable] = place
        del trail[start:], self._levels[level + 1 :]
        self._head = start
        for variable in order[walked:]:
            in_walk[variable] = False
        del order[walked:]
        # Facts that were loaded higher up may have consequences here already.
        late = graph.late
        looked = self._looked
        while looked and looked[-1][0] > level:
            late += looked.pop()[1]
        if late:
            again = list(dict.fromkeys(late))
            graph.pending += again
            if level:
                looked.append((level, again))
            late.clear()
        index = bisect_left(self._low_places, start)
        del self._low_places[index:], self._low_levels[index:]
        self._unsettled = start
        # What is undone here although it follows from what is left.
        early: list[Incompatibility] = []
        while self._early and self._early[-1][0] >= start:
            early.append(self._early.pop()[1])
        for item in reversed(early):
            self._apply(item)

    def _check_limit(self) -> None:
        if self.max_steps is not None and self.decisions + self.conflicts > self.max_steps:
            raise StepLimitError(
                f"resolving was stopped after {self.max_steps} steps, of which {self.conflicts} were dead ends,"
                " before an answer or a proof was found",
                hint="narrow the requirements, for example by naming exact versions, or allow more steps",
                context={"max_steps": self.max_steps, "conflicts": self.conflicts},
            )
