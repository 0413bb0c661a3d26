# SPDX-License-Identifier: Apache-2.0
"""Generated graphs for the resolvers, and checks of answers and proofs that use none of them."""

from __future__ import annotations

import itertools
import random
from collections import deque
from collections.abc import Mapping, Sequence

from codereef.solve.engine import Dependency, Derived, External, NoSolution, nodes_bottom_up

CANDIDATES = 20
ALL = (1 << CANDIDATES) - 1
KINDS = ("easy", "medium", "hard", "nasty", "unsat")
#: Every satisfiable kind has a planted answer, so its verdict is known without any solver.


class Graph:
    """A generated problem; `asked` counts the look-ups."""

    def __init__(self, kind: str, size: int, seed: int) -> None:
        rng = random.Random(f"{kind}/{size}/{seed}")
        self.size = size
        self.asked = 0
        self._table: list[list[list[Dependency]]] = []
        planted = [min(int(rng.expovariate(0.5)), CANDIDATES - 1) for _ in range(size)]
        for variable in range(size):
            neighbours = [rng.randrange(size) for _ in range(rng.choice((1, 2, 2, 3)))]
            # A dependency stays the same over a run of versions, as in real packages.
            candidates: list[list[Dependency]] = [[] for _ in range(CANDIDATES)]
            for target in neighbours:
                start = 0
                while start < CANDIDATES:
                    stop = CANDIDATES if kind == "easy" else min(CANDIDATES, start + rng.randint(1, 6))
                    run = range(start, stop)
                    here = planted[target] if planted[variable] in run else None
                    dependency = Dependency(target, _window(kind, rng, here), rng.random() < 0.85, None)
                    for candidate in run:
                        candidates[candidate].append(dependency)
                    start = stop
            self._table.append(candidates)
        wanted = rng.sample(range(size), 8)
        self.roots = [Dependency(variable, ALL, True, "root") for variable in wanted]
        if kind == "unsat":
            self._break(rng, wanted)

    def _break(self, rng: random.Random, wanted: Sequence[int]) -> None:
        """Make two wanted variables disagree about a third, four steps away and whatever is chosen."""
        shared = rng.randrange(self.size)
        for end, allowed in ((wanted[0], 0b1111), (wanted[1], 0b11110000)):
            chain = [end, *rng.sample([item for item in range(self.size) if item not in wanted], 3), shared]
            for variable, target in itertools.pairwise(chain):
                for candidate in range(CANDIDATES):
                    mask = allowed if target == shared else _window("medium", rng, None)
                    self._table[variable][candidate].append(Dependency(target, mask, True, None))

    def count(self, variable: int) -> int:
        return CANDIDATES

    def dependencies(self, variable: int, candidate: int) -> Sequence[Dependency]:
        self.asked += 1
        return self._table[variable][candidate]

    def reuse(self, variable: int) -> int:
        return 0

    def classes(self, variable: int) -> Sequence[int]:
        return ()

    def installs(self, variable: int) -> int:
        return ALL

    def look(self, variable: int, candidate: int) -> Sequence[Dependency]:
        """The same without counting."""
        return self._table[variable][candidate]


def _window(kind: str, rng: random.Random, include: int | None) -> int:
    """Return an interval of candidates, holding `include` if that is given."""
    width = {
        "easy": rng.randint(12, 20),
        "medium": rng.randint(11, 18),
        "unsat": rng.randint(11, 18),
        "hard": rng.randint(8, 16),
        "nasty": rng.randint(5, 12),
    }[kind]
    first = 0 if kind == "easy" else rng.randint(0, CANDIDATES - width)
    if include is not None:
        first = min(max(first, include - width + 1), include)
    return (1 << width) - 1 << first & ALL


def check_answer(graph: Graph, selected: Mapping[int, int], *, constraints: bool = True) -> None:
    """Raise if `selected` breaks a dependency or selects something that nothing needs.

    Args:
        graph: the problem.
        selected: variable -> candidate.
        constraints: whether the solver was given those too; some know only requirements.
    """
    needed = set()
    stack = [graph.roots] + [graph.look(variable, candidate) for variable, candidate in selected.items()]
    for dependencies in stack:
        for item in dependencies:
            if not (constraints or item.required):
                continue
            if item.variable in selected:
                if not item.allowed >> selected[item.variable] & 1:
                    raise AssertionError(f"{item} is broken")
            elif item.required:
                raise AssertionError(f"{item} is not selected")
            if item.required:
                needed.add(item.variable)
    if needed != set(selected):
        raise AssertionError(f"not needed: {set(selected) - needed}")


def reached(graph: Graph, selected: Mapping[int, int]) -> dict[int, int]:
    """Return the part of an answer that the roots need, breadth-first; what else a solver selected is left out."""
    found: dict[int, int] = {}
    waiting = deque(root.variable for root in graph.roots)
    while waiting:
        variable = waiting.popleft()
        if variable not in found:
            found[variable] = selected[variable]
            waiting.extend(item.variable for item in graph.look(variable, selected[variable]) if item.required)
    return found


def check_proof(graph: Graph, answer: NoSolution) -> None:
    """Raise if a fact is not in the graph or a step does not follow from its parents."""

    def states(term: tuple[int, int, bool]) -> int:
        return term[1] if term[2] else (2 << CANDIDATES) - 1 & ~term[1]

    if answer.derivation.terms:
        raise AssertionError("the proof does not end in a contradiction")
    for node in nodes_bottom_up(answer.derivation):
        if isinstance(node, External):
            if node.variable is None:
                if node.dependency not in graph.roots:
                    raise AssertionError(f"{node} is no root")
                continue
            for candidate in range(CANDIDATES):
                asked = node.dependency in graph.look(node.variable, candidate)
                if asked != bool(node.dependers >> candidate & 1):
                    raise AssertionError(f"{node} names the wrong candidates")
        elif isinstance(node, Derived):
            result = {term[0]: states(term) for term in node.first.terms}
            for term in node.second.terms:
                mine = result.get(term[0])
                if term[0] == node.pivot and mine is not None:
                    result[term[0]] = mine | states(term)
                else:
                    result[term[0]] = states(term) if mine is None else mine & states(term)
            if result.get(node.pivot) == (2 << CANDIDATES) - 1:
                del result[node.pivot]
            if result != {term[0]: states(term) for term in node.terms}:
                raise AssertionError(f"{node} does not follow")
