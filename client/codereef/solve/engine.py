# SPDX-License-Identifier: Apache-2.0
"""The resolver engine: from a graph of dependencies between numbered candidates to an answer or a proof.

It is sound (every answer satisfies every dependency, every proof holds), complete (it always ends with one
of the two) and deterministic. It knows nothing of components, versions or text: candidates are bits of ints.

Decisions follow the breadth-first walk from the roots and take the best candidate left: the answer is the best
in the order of that walk. `codereef.solve.optimise` compares answers in further ways.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from codereef.solve.answers import NoSolution, Solution, Statistics, StepLimitError
from codereef.solve.derivation import Derived, External, Node, external_causes, nodes_bottom_up
from codereef.solve.engine_search import Search
from codereef.solve.terms import Clause, Dependency, Problem, RankedProblem

__all__ = [
    "Clause",
    "Core",
    "Dependency",
    "Derived",
    "External",
    "NoSolution",
    "Node",
    "Problem",
    "RankedProblem",
    "Solution",
    "Statistics",
    "StepLimitError",
    "external_causes",
    "minimal_core",
    "nodes_bottom_up",
    "solve",
]


def solve(
    problem: Problem, roots: Sequence[Dependency], *, max_steps: int | None = None, clauses: Sequence[Clause] = ()
) -> Solution | NoSolution:
    """Find a candidate for every variable that `roots` need, directly or not, or prove that there are none.

    Args:
        problem: the graph; may compute its answers lazily.
        roots: requirements and constraints of the user.
        max_steps: upper bound on decisions plus conflicts; None for none.
        clauses: further facts about whole answers.

    Returns:
        A solution, or the proof that there is none.

    Raises:
        StepLimitError: `max_steps` was reached first.
    """
    search = Search(problem, roots, max_steps=max_steps, clauses=clauses)
    if search.run() == "impossible":
        return search.no_solution()
    return search.solution(search.selected(), optimal=False)


@dataclass(frozen=True, slots=True)
class Core:
    """A part of the facts that is impossible by itself.

    Attributes:
        causes: the facts, in the order in which `derivation` uses them.
        derivation: a proof from these alone.
        minimal: True if without any one of them there is a solution; False if the effort ran out first.
    """

    causes: tuple[External, ...]
    derivation: Node
    minimal: bool


#: What tells facts apart: the depending variable (None for a root) and the dependency.
_Key = tuple["int | None", Dependency]


class _Part:
    """The problem cut down to some of its facts."""

    def __init__(self, problem: Problem, facts: Sequence[External]) -> None:
        self._problem = problem
        self._facts: dict[int, list[External]] = {}
        for fact in facts:
            if fact.variable is not None and fact.clause is None:
                self._facts.setdefault(fact.variable, []).append(fact)

    def count(self, variable: int) -> int:
        return self._problem.count(variable)

    def dependencies(self, variable: int, candidate: int) -> Sequence[Dependency]:
        facts = self._facts.get(variable, ())
        return [fact.dependency for fact in facts if fact.dependers >> candidate & 1]


def minimal_core(problem: Problem, roots: Sequence[Dependency], derivation: Node, *, max_steps: int = 20_000) -> Core:
    """Shrink what a proof rests on until nothing can be left out.

    Facts are left out one at a time and the rest is solved again; when it is still impossible, the new proof
    often needs fewer facts by itself. Roots are tried last, so facts about the graph go first.

    Args:
        problem: the graph that was solved; only `count` is used.
        roots: the root dependencies that were solved.
        derivation: the proof.
        max_steps: upper bound on decisions plus conflicts over all tries together; each try counts as one
            more.

    Returns:
        The core; with `minimal` False where the bound was reached.
    """
    best = derivation
    causes = external_causes(best)
    order = {dependency: place for place, dependency in enumerate(roots)}
    needed: set[_Key] = set()
    budget = max_steps
    while budget > 0:
        open_causes = [cause for cause in causes if _key(cause) not in needed]
        if not open_causes:
            return Core(causes, best, True)
        # Of the roots the last one is tried first: the first that the user wrote is the likeliest to be meant.
        tried = min(open_causes, key=lambda cause: (cause.variable is None, -order.get(cause.dependency, 0)))
        rest = [cause for cause in causes if cause is not tried]
        try:
            answer = solve(
                _Part(problem, rest),
                [cause.dependency for cause in rest if cause.variable is None],
                max_steps=budget,
                clauses=[cause.clause for cause in rest if cause.clause is not None],
            )
        except StepLimitError:
            break
        budget -= 1 + answer.statistics.decisions + answer.statistics.conflicts
        if isinstance(answer, Solution):
            needed.add(_key(tried))
        else:
            best = answer.derivation
            causes = external_causes(best)
    return Core(causes, best, all(_key(cause) in needed for cause in causes))


def _key(cause: External) -> _Key:
    return (cause.variable, cause.dependency)
