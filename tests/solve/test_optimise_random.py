# SPDX-License-Identifier: Apache-2.0
"""The optimiser against a search through all answers, on random small graphs of every kind."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence

import pytest
from codereef.solve.engine import Clause, Dependency, NoSolution, Solution
from codereef.solve.optimise import Cost, cost, optimise
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .proofs import check_proof


class Random:
    """A random ranked problem with up to 6 variables of up to 4 candidates.

    Some variables have something to reuse, some have equally preferred candidates, some stand for an optional
    dependency (first candidate "with", second "without"); circles may or may not be allowed.
    """

    def __init__(self, seed: int) -> None:
        rng = random.Random(seed)
        size = rng.randint(1, 6)
        tightness = rng.choice((0.4, 0.6, 0.75))
        reusing, tying = rng.choice((0, 0.4, 0.9, 0.9)), rng.choice((0, 0.4, 0.9))
        self.counts = [rng.choice((0, 1, 2, 3, 4, 4)) for _ in range(size)]

        def dependency(target: int) -> Dependency:
            allowed = sum(1 << place for place in range(self.counts[target]) if rng.random() < tightness)
            allowed |= rng.choice((0, 0, 0, 5)) << self.counts[target]  # bits that stand for no candidate
            return Dependency(target, allowed, rng.random() < 0.7, rng.choice(("a", "b")))

        def some(variable: int) -> int:
            return rng.getrandbits(self.counts[variable] or 1)

        self.needs = {
            (variable, candidate): [dependency(rng.randrange(size)) for _ in range(rng.choice((0, 1, 1, 2, 3)))]
            for variable, count in enumerate(self.counts)
            for candidate in range(count)
        }
        self.roots = [dependency(rng.randrange(size)) for _ in range(rng.randint(1, 4))]
        self.reused = [some(variable) if rng.random() < reusing else 0 for variable in range(size)]
        self.installed = [some(variable) for variable in range(size)]
        self.ranked = [self._classes(rng, count) if rng.random() < tying else () for count in self.counts]
        for variable in range(size):
            if self.counts[variable] == 4 and rng.random() < 0.5:
                # An optional dependency of candidate 0 of another variable.
                owner = rng.randrange(size)
                if self.counts[owner] and owner != variable:
                    self.counts.append(2)
                    self.needs[owner, 0].append(Dependency(len(self.counts) - 1, 3, True, "optional"))
                    self.needs[len(self.counts) - 1, 0] = [dependency(variable)]
                    self.needs[len(self.counts) - 1, 1] = []
                    self.reused.append(0)
                    self.installed.append(0)
                    self.ranked.append(())
        self.circles = rng.random() < 0.5
        self.asked: list[tuple[int, int]] = []

    @staticmethod
    def _classes(rng: random.Random, count: int) -> Sequence[int]:
        masks: list[int] = []
        for candidate in range(count):
            if masks and rng.random() < 0.6:
                masks[rng.randrange(len(masks))] |= 1 << candidate
            else:
                masks.append(1 << candidate)
        rng.shuffle(masks)
        return masks

    def count(self, variable: int) -> int:
        return self.counts[variable]

    def dependencies(self, variable: int, candidate: int) -> Sequence[Dependency]:
        self.asked.append((variable, candidate))
        return self.needs[variable, candidate]

    def reuse(self, variable: int) -> int:
        return self.reused[variable]

    def classes(self, variable: int) -> Sequence[int]:
        return self.ranked[variable]

    def installs(self, variable: int) -> int:
        return self.installed[variable]

    def circle(self, selected: Mapping[int, int]) -> list[int]:
        """Return the variables of a circle in an answer, or nothing."""
        state: dict[int, int] = {}
        path: list[int] = []

        def visit(variable: int) -> list[int]:
            state[variable] = 1
            path.append(variable)
            for item in self.needs[variable, selected[variable]]:
                if item.required:
                    if state.get(item.variable) == 1:
                        return path[path.index(item.variable) :]
                    found = visit(item.variable) if item.variable not in state else []
                    if found:
                        return found
            state[variable] = 2
            path.pop()
            return []

        for variable in selected:
            found = visit(variable) if variable not in state else []
            if found:
                return found
        return []

    def lazy(self, selected: Mapping[int, int]) -> Sequence[Clause]:
        """State the circle of an answer as widely as it holds: for all candidates with the same edge."""
        circle = self.circle(selected)
        terms = []
        for variable, following in zip(circle, circle[1:] + circle[:1]):
            same = [
                candidate
                for candidate in range(self.counts[variable])
                if any(item.required and item.variable == following for item in self.needs[variable, candidate])
            ]
            terms.append((variable, sum(1 << candidate for candidate in same)))
        return [Clause(tuple(terms), "circle")] if terms else []


def answers(problem: Random) -> Iterator[dict[int, int]]:
    """Yield every answer: all ways to choose a candidate for what is reached, that break nothing."""
    roots = problem.roots

    def extend(chosen: dict[int, int], waiting: list[int]) -> Iterator[dict[int, int]]:
        while waiting and waiting[0] in chosen:
            waiting = waiting[1:]
        if not waiting:
            facts = [*roots, *(item for pair in chosen.items() for item in problem.needs[pair])]
            if all(item.variable not in chosen or item.allowed >> chosen[item.variable] & 1 for item in facts):
                yield dict(chosen)
            return
        for candidate in range(problem.counts[waiting[0]]):
            needed = [item.variable for item in problem.needs[waiting[0], candidate] if item.required]
            yield from extend({**chosen, waiting[0]: candidate}, waiting[1:] + needed)

    for chosen in extend({}, [item.variable for item in roots if item.required]):
        if problem.circles or not problem.circle(chosen):
            yield chosen


def compare(seed: int) -> Cost | None:
    """Check one random problem; return what the best answer costs, None for no answer."""
    problem = Random(seed)
    lazy = None if problem.circles else problem.lazy
    answer = optimise(problem, problem.roots, lazy=lazy)
    asked = problem.asked
    assert len(asked) == len(set(asked)), "every pair is asked for once"
    best = min((cost(problem, chosen, problem.roots) for chosen in answers(problem)), default=None)
    again = optimise(Random(seed), problem.roots, lazy=lazy)
    assert answer.statistics == again.statistics
    if isinstance(answer, NoSolution):
        assert best is None
        check_proof(problem, problem.roots, answer.derivation, lazy_facts=not problem.circles)
        return None
    assert isinstance(answer, Solution) and isinstance(again, Solution)
    assert dict(answer.selected) == dict(again.selected)
    assert cost(problem, answer.selected, problem.roots) == best
    assert answer.optimal
    return best


def test_random_graphs_get_the_least_cost_there_is() -> None:
    costs = [compare(seed) for seed in range(450)]
    found = [item for item in costs if item is not None]
    assert 150 < len(found) < 450, "the generator must make both kinds"
    assert sum(1 for item in found if item[0]) > 15, "and graphs where not all can be reused"


@settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.integers(min_value=1000))
def test_any_graph_gets_the_least_cost_there_is(seed: int) -> None:
    compare(seed)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_many_random_graphs_get_the_least_cost_there_is(part: int) -> None:
    for seed in range(10_000 + part * 3000, 10_000 + (part + 1) * 3000):
        compare(seed)
