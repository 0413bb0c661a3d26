# SPDX-License-Identifier: Apache-2.0
"""The search itself: unit propagation, decisions, conflict analysis and backjumping over bit masks.

It is conflict-driven clause learning (J. Marques-Silva and K. Sakallah, "GRASP", 1996; two watched literals
from M. Moskewicz et al., "Chaff", 2001) on variables with many values, in the form PubGrub gave it for
packages: a variable is decided only once something requires it, and what is learned keeps the steps that led
to it.

Decisions follow a fixed order: the breadth-first walk from the roots, of each variable the best class of
candidates that is left. Whatever is ruled out follows from earlier decisions alone, so the first complete
answer is the best one in the order of the walk: nothing has to be proven afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from codereef.solve.answers import NoSolution, Solution, Statistics
from codereef.solve.engine_count import AtMost
from codereef.solve.engine_graph import KnownGraph
from codereef.solve.engine_proof import Incompatibility, build_derivation
from codereef.solve.engine_trail import Trail
from codereef.solve.terms import Clause, Dependency, Problem, RankedProblem


@dataclass(frozen=True, slots=True)
class Split:
    """Equally good candidates need different variables, so the walk goes on differently with each group.

    Attributes:
        variable: the engine's number.
        groups: masks of candidates, the one with the least candidate first.
    """

    variable: int
    groups: tuple[int, ...]


Outcome = Split | Literal["complete", "impossible", "refuted", "worse"]


class Search(Trail):
    """The engine; `run` may be called again with other assumptions and keeps what was learned.

    Args:
        problem: the graph.
        roots: what the user asks for.
        ranked: the problem where it says which answers are better, otherwise None.
        max_steps: upper bound on decisions plus conflicts, or None.
        clauses: further facts.
    """

    def __init__(
        self,
        problem: Problem,
        roots: Sequence[Dependency],
        *,
        ranked: RankedProblem | None = None,
        max_steps: int | None = None,
        clauses: Sequence[Clause] = (),
    ) -> None:
        super().__init__(KnownGraph(problem, ranked), max_steps)
        self.counts: list[AtMost] = []
        #: The ranks of the best answer so far; a walk that is worse is not finished. None for no answer yet.
        self.best: Sequence[int] | None = None
        #: Whether the last run met several candidates of one class.
        self.tied = False
        self._ranks: list[int] = []
        self._assumed: Sequence[tuple[int, int]] = ()
        for root in roots:
            self._state(self.graph.add_fact(-1, 0, root))
        self._start = tuple(dict.fromkeys(self.graph.index[root.variable] for root in roots if root.required))
        for clause in clauses:
            fact = self.graph.add_clause(clause)
            if fact is not None and fact.terms:
                self.graph.attach(fact)
                self.graph.examine(fact.terms[0][0])
            self._state(fact)

    def _state(self, fact: Incompatibility | None) -> None:
        if fact is not None and not fact.terms and self._proof is None:
            self._proof = fact

    def run(self, assumptions: Sequence[tuple[int, int]] = ()) -> Outcome:
        """Search for the best answer under assumptions.

        Args:
            assumptions: (engine's variable, states that it is limited to), decided before everything else.

        Returns:
            "complete", "impossible" (whatever is assumed), "refuted" (as far as is assumed), "worse" (than
            `best`), or a `Split` that the caller has to decide by assumptions.

        Raises:
            StepLimitError: `max_steps` was reached.
        """
        self._assumed = assumptions
        self.tied = False
        if self._proof is not None:
            return "impossible"
        self._backjump(0)
        self._reset_walk()
        return self.resume()

    def resume(self) -> Outcome:
        """Go on after `add_broken`, under the same assumptions; otherwise like `run`."""
        found: Incompatibility | Outcome | None
        while True:
            found = self._missed
            self._missed = None
            if found is None:
                found = self._descend()
            if not isinstance(found, Incompatibility):
                return found
            if not self.resolve_conflict(found):
                return "impossible"

    # --- going down ----------------------------------------------------------------------------------------

    def _descend(self) -> Incompatibility | Outcome:
        """Propagate and decide until there is a conflict, or nothing is left to decide.

        This is where the time goes: everything is in one loop, without calls that are not needed.
        """
        graph = self.graph
        domains, fired, watches = graph.domain, graph.fired, graph.watches
        needed, in_walk, pending, tied = graph.needed, graph.in_walk, graph.pending, graph.tied
        last, widened = graph.last, graph.widened
        trail, order, levels = self._trail, self._order, self._levels
        head = self._head
        while True:
            while True:
                if head < len(trail):
                    variable = trail[head][0]
                    head += 1
                elif pending:
                    variable = pending.pop()
                else:
                    break
                domain = domains[variable]
                following = fired[variable].get(domain)
                if following is None:
                    following = graph.consequences(variable, domain)
                for other, keep, item in following:
                    now = domains[other]
                    rest = now & keep
                    if rest != now:
                        if not rest:
                            return item
                        trail.append((other, now, item, last[other]))
                        last[other] = len(trail) - 1
                        domains[other] = rest
                if watches[variable]:
                    conflict = self._visit_watched(variable)
                    if conflict is not None:
                        return conflict
            if self.counts:
                conflict = self._count()
                if conflict is not None:
                    return conflict
                if head < len(trail):
                    continue
            if len(levels) <= len(self._assumed):
                variable, states = self._assumed[len(levels) - 1]
                domain = domains[variable]
                if not domain & states:
                    self._head = head
                    return "refuted"
                self._level()
                if domain & ~states:
                    trail.append((variable, domain, None, last[variable]))
                    last[variable] = len(trail) - 1
                    domains[variable] = domain & states
                continue
            # The walk: along what is decided, up to the next variable that is not.
            position = self._position
            choice = 0
            while position < len(order):
                variable = order[position]
                domain = domains[variable]
                if domain & (domain - 1) or domain not in needed[variable]:
                    choice = domain & -domain
                    classes = tied[variable]
                    if classes is not None:
                        choice = next(domain & mask for mask in classes if domain & mask)
                        if choice & (choice - 1):
                            self.tied = True
                            split = self._tie(variable, choice)
                            if split is not None:
                                self._head, self._position = head, position
                                return split
                            if choice == domain:
                                # Nothing to decide in this round; all of them need the same.
                                choice &= -choice
                                following_walk = needed[variable][choice]
                                choice = 0
                                if self.best is not None and self._is_worse(position, variable):
                                    self._head, self._position = head, position
                                    return "worse"
                                position += 1
                                for other in following_walk:
                                    if not in_walk[other]:
                                        in_walk[other] = True
                                        order.append(other)
                                if pending or head < len(trail):
                                    break
                                continue
                    break
                if self.best is not None and self._is_worse(position, variable):
                    self._head, self._position = head, position
                    return "worse"
                position += 1
                for other in needed[variable][domain]:
                    if not in_walk[other]:
                        in_walk[other] = True
                        order.append(other)
                        if not widened[other] and self.conflicts:
                            conflict = self._look_ahead(other)
                            if conflict is not None:
                                self._position = position
                                return conflict
                if pending or head < len(trail):
                    break
            self._position = position
            if not choice:
                if pending or head < len(trail):
                    continue
                if self.tied:
                    choice, variable = self._second_round()
                if not choice:
                    self._head = head
                    return "complete"
                domain = domains[variable]
            following = fired[variable].get(choice)
            if following is None:
                following = graph.consequences(variable, choice)
            if self._unsettled >= 0:
                self._settle_levels()
            place = len(trail)
            levels.append((place, len(order), position, self._round))
            trail.append((variable, domain, None, last[variable]))
            last[variable] = place
            domains[variable] = choice
            for other, keep, item in following:
                now = domains[other]
                rest = now & keep
                if rest != now:
                    if not rest:
                        before = next((old for v, old, _, _ in trail[place:] if v == other), now)
                        if before & keep:
                            self.decisions += 1
                            return item
                        # A candidate that what is decided forbids is ruled out at once: that keeps all decisions.
                        self._take_back(place)
                        conflict = self._rule_out(variable, item)
                        if conflict is not None:
                            return conflict
                        break
                    trail.append((other, now, item, last[other]))
                    last[other] = len(trail) - 1
                    domains[other] = rest
            else:
                self.decisions += 1
                if self.max_steps is not None:
                    self._check_limit()
                if not watches[variable]:
                    # What follows was just drawn.
                    head += 1

    def _level(self) -> None:
        self.decisions += 1
        self._check_limit()
        self._settle_levels()
        self._levels.append((len(self._trail), len(self._order), self._position, self._round))

    def _visit_watched(self, variable: int) -> Incompatibility | None:
        """Visit the incompatibilities of three or more terms that watch `variable`."""
        domains = self.graph.domain
        domain = domains[variable]
        watches = self.graph.watches
        watching = watches[variable]
        kept: list[Incompatibility] = []
        for place, item in enumerate(watching):
            literals = item.literals
            if literals[0][0] != variable:
                literals[0], literals[1] = literals[1], literals[0]
            if domain & literals[0][1]:
                kept.append(item)
                continue
            other, keep = literals[1]
            now = domains[other]
            rest = now & keep
            if rest == now:
                kept.append(item)
                continue
            for index in range(2, len(literals)):
                candidate, outside = literals[index]
                if domains[candidate] & outside:
                    literals[0], literals[index] = literals[index], literals[0]
                    watches[candidate].append(item)
                    break
            else:
                kept.append(item)
                if not rest:
                    kept.extend(watching[place + 1 :])
                    watches[variable] = kept
                    return item
                self._append(other, rest, item)
        watches[variable] = kept
        return None

    def _count(self) -> Incompatibility | None:
        """Rule out what would exceed a limit; return an incompatibility that is violated, if any."""
        domains = self.graph.domain
        for count in self.counts:
            for variable, states, item in count.exceeding(domains):
                now = domains[variable]
                rest = now & ~states
                if not rest:
                    return item
                if rest != now:
                    self._append(variable, rest, item)
        return None

    # --- the walk ------------------------------------------------------------------------------------------

    def _reset_walk(self) -> None:
        in_walk = self.graph.in_walk
        for variable in self._order:
            in_walk[variable] = False
        self._order[:] = self._start
        for variable in self._start:
            in_walk[variable] = True
        self._position = self._round = 0
        self._levels[0] = (0, len(self._start), 0, 0)

    def _tie(self, variable: int, choice: int) -> Split | None:
        """Load equally good candidates; a split unless the walk goes on in the same way with each of them."""
        graph = self.graph
        if not graph.widened[variable]:
            graph.widen(variable)
        groups: dict[tuple[int, ...], int] = {}
        rest = choice
        while rest:
            bit = rest & -rest
            rest ^= bit
            graph.ask(variable, bit.bit_length() - 1)
            new = tuple(dict.fromkeys(o for o in graph.needed[variable][bit] if not graph.in_walk[o]))
            groups[new] = groups.get(new, 0) | bit
        return Split(variable, tuple(groups.values())) if len(groups) > 1 else None

    def _second_round(self) -> tuple[int, int]:
        """Return the next candidate to choose among equally good ones, and its variable; 0 for none."""
        order, domains = self._order, self.graph.domain
        while self._round < len(order):
            variable = order[self._round]
            domain = domains[variable]
            if domain & (domain - 1):
                return domain & -domain, variable
            self._round += 1
        return 0, -1

    def _is_worse(self, position: int, variable: int) -> bool:
        """Compare the walk up to `position` with the best answer; True if it is worse already."""
        del self._ranks[position:]
        self._ranks.append(self.rank(variable))
        assert self.best is not None
        return self._ranks > list(self.best[: position + 1])

    def rank(self, variable: int) -> int:
        """Return the number of the best class that is left to a variable."""
        domain = self.graph.domain[variable]
        classes = self.graph.tied[variable]
        if classes is None:
            return (domain & -domain).bit_length() - 1
        return next(rank for rank, mask in enumerate(classes) if mask & domain)

    # --- answers -------------------------------------------------------------------------------------------

    def statistics(self) -> Statistics:
        """Return the work done so far."""
        return Statistics(
            decisions=self.decisions,
            conflicts=self.conflicts,
            learned=self._learned,
            propagations=self._undone + len(self._trail),
            variables=len(self.graph.index),
            loaded=self.graph.lookups,
        )

    def selected(self) -> dict[int, int]:
        """Return the complete answer: what the walk reaches, in its order."""
        graph = self.graph
        return {graph.names[variable]: graph.domain[variable].bit_length() - 1 for variable in self._order}

    def cost(self) -> tuple[int, tuple[int, ...], int, tuple[int, ...]]:
        """Return what the complete answer costs; see `codereef.solve.optimise.cost`."""
        graph, order = self.graph, self._order
        fresh, installs = (
            sum(1 for variable, states in entries if graph.in_walk[variable] and graph.domain[variable] & states)
            for entries in (graph.reusable, graph.installing)
        )
        ranks = tuple(self.rank(variable) for variable in order)
        return fresh, ranks, installs, tuple(graph.domain[variable].bit_length() - 1 for variable in order)

    def installs_differ(self) -> bool:
        """Tell whether equally preferred candidates of the complete answer differ in whether they are installed."""
        installing = dict(self.graph.installing)
        for variable in self._order:
            classes = self.graph.tied[variable]
            if classes is not None:
                mask = classes[self.rank(variable)]
                if 0 < mask & installing.get(variable, 0) < mask:
                    return True
        return False

    def solution(self, selected: dict[int, int], *, optimal: bool) -> Solution:
        """Return an answer with the work done."""
        return Solution(selected, self.statistics(), optimal)

    def no_solution(self) -> NoSolution:
        """Return the proof after "impossible"."""
        assert self._proof is not None
        return NoSolution(build_derivation(self._proof, self.graph.names, self.graph.absent), self.statistics())
