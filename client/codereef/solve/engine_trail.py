# SPDX-License-Identifier: Apache-2.0
"""What was decided and what follows from it, in order; and how to go back after a conflict and learn from it."""

from __future__ import annotations

from collections.abc import Sequence

from codereef.solve.answers import StepLimitError
from codereef.solve.engine_graph import KnownGraph
from codereef.solve.engine_proof import Incompatibility, resolve
from codereef.solve.terms import Clause


class Trail:
    """The state of a search.

    Args:
        graph: what is known; its domains are what is left at the end of the trail.
        max_steps: upper bound on decisions plus conflicts, or None.
    """

    def __init__(self, graph: KnownGraph, max_steps: int | None) -> None:
        self.graph = graph
        self.max_steps = max_steps
        self.decisions = self.conflicts = 0
        self._learned = self._undone = 0
        self._proof: Incompatibility | None = None
        # (variable, its domain before, why it shrank; None for a decision)
        self._trail: list[tuple[int, int, Incompatibility | None]] = []
        self._head = 0  # up to here the trail is propagated
        # Per level: where it starts in the trail; length and position of the walk and position of its second round.
        self._levels: list[tuple[int, int, int, int]] = [(0, 0, 0, 0)]
        self._order: list[int] = []
        self._position = 0
        self._round = 0

    def resolve_conflict(self, conflict: Incompatibility) -> bool:
        """Learn from a conflict and go back; False if there is no answer at all."""
        self.conflicts += 1
        learned, level = self._analyse(conflict)
        if not learned.terms:
            self._proof = learned
            return False
        self._check_limit()
        self._backjump(level)
        domain = self.graph.domain
        for variable, states in learned.terms:
            rest = domain[variable] & ~states
            if rest:
                if rest != domain[variable]:
                    self._trail.append((variable, domain[variable], learned))
                    domain[variable] = rest
                break
        return True

    def add_broken(self, clauses: Sequence[Clause]) -> bool:
        """State clauses of which a complete answer breaks at least one, and go back; False if none is left.

        Raises:
            ValueError: the answer breaks none of them.
        """
        graph = self.graph
        places = {variable: place for place, (variable, _, _) in enumerate(self._trail)}
        broken: Incompatibility | None = None
        for clause in clauses:
            fact = graph.add_clause(clause)
            if fact is None:
                continue
            # What is watched must be what held last.
            fact.terms = tuple(sorted(fact.terms, key=lambda term: -places.get(term[0], -1)))
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
            What is learned, the variable to assert first and one of the level to go back to second; and that
            level. Its terms are empty if the problem has no solution.
        """
        graph = self.graph
        conflict = graph.widest(conflict)
        terms = dict(conflict.terms)
        chain: list[tuple[int, Incompatibility]] = [(-1, conflict)]
        trail, levels = self._trail, self._levels
        place = self._satisfier(terms, -1, len(trail))
        level = len(levels) - 1
        while place >= 0:
            while levels[level][0] > place:
                level -= 1
            pivot, _, reason = trail[place]
            # At level 0 nothing was decided, so everything is resolved.
            before = self._satisfier(terms, pivot, place) if level else 0
            if before < levels[level][0]:
                below = level
                while levels[below][0] > before and below:
                    below -= 1
                order = [pivot] if before < 0 else [pivot, trail[before][0]]
                order += [variable for variable in terms if variable not in order]
                return self._learn(tuple((v, terms[v]) for v in order), chain), below
            # A decision comes first in its level, so it is never the later one of two.
            assert reason is not None
            cause = graph.widest(reason)
            chain.append((pivot, cause))
            resolve(terms, cause, pivot, graph.absent[pivot])
            place = self._satisfier(terms, -1, place)
        return self._learn((), chain), 0

    def _satisfier(self, terms: dict[int, int], skipped: int, place: int) -> int:
        """Return the last place in the trail, before `place`, where one of `terms` came to hold; -1 for none."""
        trail = self._trail
        while place:
            place -= 1
            variable, old, _ = trail[place]
            if variable in terms and variable != skipped and old & ~terms[variable]:
                return place
        return -1

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
        self._undone += len(trail) - start
        for variable, old, _ in reversed(trail[start:]):
            domains[variable] = old
        del trail[start:], self._levels[level + 1 :]
        self._head = start
        for variable in order[walked:]:
            in_walk[variable] = False
        del order[walked:]
        # Facts that were loaded higher up may have consequences here already.
        late = graph.late
        if late:
            for variable, examined in list(late.items()):
                if examined > level:
                    graph.pending.append(variable)
                    late[variable] = level
                    if not level:
                        del late[variable]

    def _check_limit(self) -> None:
        if self.max_steps is not None and self.decisions + self.conflicts > self.max_steps:
            raise StepLimitError(
                f"resolving was stopped after {self.max_steps} steps, of which {self.conflicts} were dead ends,"
                " before an answer or a proof was found",
                hint="narrow the requirements, for example by naming exact versions, or allow more steps",
                context={"max_steps": self.max_steps, "conflicts": self.conflicts},
            )
