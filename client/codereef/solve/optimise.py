# SPDX-License-Identifier: Apache-2.0
"""The best answer: in which order answers are compared, and how the least is found.

Answers are compared by `cost`, a tuple, the first difference decides:

1. *reuse*: how many variables are selected with a candidate that is not there yet although one is;
2. *newest*: walking breadth-first from the roots, each candidate's dependencies in declared order, the
   sequence of preference classes met;
3. *installs*: how many selected candidates would have to be installed;
4. the sequence of candidates in the same walk, which leaves no ties.

The search follows that walk, so its first answer is the best one as far as the walk goes. What is counted is
bounded: the search runs under "at most i are not reused" for the least i that has an answer. Only where equally
preferred candidates need different things does it have to go through the alternatives, and to count installs.

Pins, bans and whatever else is not negotiable are left to the problem: what is not allowed is no candidate.
"""

from __future__ import annotations

import gc
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from codereef.solve.answers import NoSolution, Solution, StepLimitError
from codereef.solve.engine_count import AtMost
from codereef.solve.engine_search import Outcome, Search, Split
from codereef.solve.terms import Clause, Dependency, RankedProblem

__all__ = ["Cost", "Lazy", "cost", "optimise", "walk"]

#: (not reused, classes in walk order, installs, candidates in walk order); less is better.
Cost = tuple[int, tuple[int, ...], int, tuple[int, ...]]

#: Given a complete answer (variable -> candidate, in walk order), the clauses that it breaks; nothing if it is
#: acceptable. A clause must be a fact, true of every answer, not only of this one.
Lazy = Callable[[Mapping[int, int]], Sequence[Clause]]


def walk(problem: RankedProblem, selected: Mapping[int, int], roots: Sequence[Dependency]) -> list[int]:
    """Return the variables of an answer breadth-first from the roots, dependencies in declared order."""
    order: dict[int, None] = {}
    waiting = deque(root.variable for root in roots if root.required)
    while waiting:
        variable = waiting.popleft()
        if variable not in order:
            order[variable] = None
            needed = problem.dependencies(variable, selected[variable])
            waiting.extend(item.variable for item in needed if item.required)
    return list(order)


def cost(problem: RankedProblem, selected: Mapping[int, int], roots: Sequence[Dependency]) -> Cost:
    """Return what answers are compared by; of two answers the one with the lesser tuple is better.

    Args:
        problem: the graph.
        selected: a complete answer: variable -> candidate.
        roots: what the user asks for.
    """
    fresh = installs = 0
    ranks: list[int] = []
    order = walk(problem, selected, roots)
    for variable in order:
        bit = 1 << selected[variable]
        there = problem.reuse(variable) & ((1 << problem.count(variable)) - 1)
        fresh += bool(there) and not there & bit
        installs += bool(problem.installs(variable) & bit)
        classes = problem.classes(variable)
        ranks.append(next(rank for rank, mask in enumerate(classes) if mask & bit) if classes else selected[variable])
    return fresh, tuple(ranks), installs, tuple(selected[variable] for variable in order)


def optimise(
    problem: RankedProblem,
    roots: Sequence[Dependency],
    *,
    lazy: Lazy | None = None,
    max_steps: int | None = None,
) -> Solution | NoSolution:
    """Find the answer of the least `cost`, or prove that there is none.

    Args:
        problem: the graph and what is better in it; may compute its answers lazily.
        roots: requirements and constraints of the user.
        lazy: states facts that only complete answers show, such as circles. It is called with each answer
            that is met, and must return a broken clause unless the answer is acceptable. In a proof its
            clauses are `External` nodes of kind "clause" with their reason.
        max_steps: upper bound on decisions plus conflicts; None for none. Once there is an answer, reaching
            it ends the search for a better one: `Solution.optimal` is False then.

    Returns:
        The solution, with `optimal` True if it is proven the best; or the proof that there is none.

    Raises:
        StepLimitError: `max_steps` was reached before there was an answer or a proof.
        ValueError: `lazy` returned clauses none of which the answer breaks.
    """
    return _Optimiser(problem, roots, lazy, max_steps).run()


#: What a run of the search is limited to: (engine's variable, states).
_Assumptions = tuple[tuple[int, int], ...]


class _Optimiser:
    """One optimisation: the search, and the best answer so far."""

    def __init__(
        self, problem: RankedProblem, roots: Sequence[Dependency], lazy: Lazy | None, max_steps: int | None
    ) -> None:
        self._lazy = lazy
        self._search = Search(problem, roots, ranked=problem, max_steps=max_steps)
        self._install_limit = -1
        self._best: dict[int, int] = {}
        self._cost: Cost | None = None
        self._tied = False

    def run(self) -> Solution | NoSolution:
        optimal = True
        # The search makes millions of short-lived tuples but no circles of references: looking for some took a
        # quarter of the time of large graphs.
        collecting = gc.isenabled()
        gc.disable()
        try:
            self._reuse()
        except StepLimitError:
            if self._cost is None:
                raise
            optimal = False
        finally:
            if collecting:
                gc.enable()
        if self._cost is None:
            return self._search.no_solution()
        return self._search.solution(self._best, optimal=optimal)

    def _reuse(self) -> None:
        """Find the best answer for the least number of variables that are not reused."""
        graph = self._search.graph
        limit = graph.reuse_limit
        # Where nothing is there to reuse, the limit rules out nothing.
        self._explore(((limit, 1),))
        if self._cost is not None:
            return
        self._explore(())
        if self._cost is None:
            return
        # That was the best walk whatever is reused. From below, the first limit that has an answer has the best;
        # the one at hand need not be looked for again unless there were ties.
        unlimited: Cost = self._cost
        self._search.counts.append(AtMost(limit, graph.LIMIT_STATES, graph.reusable))
        for fresh in range(1, unlimited[0] + self._tied):
            self._explore(((limit, (2 << fresh) - 1),), afresh=True)
            if self._cost[0] <= fresh:
                return

    def _explore(self, assumptions: _Assumptions, *, afresh: bool = False) -> None:
        """Find the best answer under assumptions; it replaces the best one so far if it costs less.

        Args:
            assumptions: what to assume.
            afresh: whether the walk of the best answer so far says nothing about the ones looked for.
        """
        search = self._search
        open_cases = [assumptions]
        while open_cases:
            case = open_cases.pop()
            search.best = None if self._cost is None or afresh else self._cost[1]
            outcome = self._settle(case)
            if isinstance(outcome, Split):
                # Each group, and whatever else there may be, which is mostly found to be worse at once.
                masks = [*outcome.groups, ~sum(outcome.groups)]
                open_cases.extend((*case, (outcome.variable, mask)) for mask in reversed(masks))
            elif outcome == "complete":
                selected = search.selected()
                found = search.cost()
                if self._cost is None or found < self._cost:
                    self._best, self._cost, afresh = selected, found, False
                self._tied |= search.tied
                if search.tied and search.installs_differ():
                    open_cases.extend((*case, fewer) for fewer in self._fewer_installs(case, found[2]))

    def _settle(self, assumptions: _Assumptions) -> Outcome:
        """Run the search until its answer breaks no lazy clause."""
        search = self._search
        outcome = search.run(assumptions)
        while outcome == "complete" and self._lazy is not None:
            clauses = self._lazy(search.selected())
            if not clauses:
                break
            outcome = search.resume() if search.add_broken(clauses) else "impossible"
        return outcome

    def _fewer_installs(self, case: _Assumptions, installs: int) -> list[tuple[int, int]]:
        """Return the limit to try next after an answer with so many installs, if there is one.

        An answer has the least candidates among those within the limit that it was found under; where it needs
        less, it is looked for again within what it needs, and only then within one less.
        """
        graph = self._search.graph
        if self._install_limit < 0:
            self._install_limit = graph.add_limit()
            self._search.counts.append(AtMost(self._install_limit, graph.LIMIT_STATES, graph.installing))
        masks = [mask for variable, mask in case if variable == self._install_limit]
        within = masks[-1].bit_length() - 1 if masks else installs
        if within > installs:
            return [(self._install_limit, (2 << installs) - 1)]
        return [(self._install_limit, (1 << installs) - 1)] if installs else []
