# SPDX-License-Identifier: Apache-2.0
"""The resolver engine against a search through all answers, on random small graphs with cycles."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence

import pytest
from codereef.solve.engine import (
    Dependency,
    NoSolution,
    Solution,
    external_causes,
    minimal_core,
    solve,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


class Random:
    """A random problem with up to 6 variables of up to 4 candidates."""

    def __init__(self, seed: int) -> None:
        rng = random.Random(seed)
        size = rng.randint(1, 6)
        tightness = rng.choice((0.4, 0.6, 0.75))
        self.counts = [rng.choice((0, 1, 2, 3, 4, 4)) for _ in range(size)]

        def dependency() -> Dependency:
            target = rng.randrange(size)
            allowed = sum(1 << place for place in range(self.counts[target]) if rng.random() < tightness)
            allowed |= rng.choice((0, 0, 0, 5)) << self.counts[target]  # bits that stand for no candidate
            return Dependency(target, allowed, rng.random() < 0.7, rng.choice(("a", "b")))

        self.needs = {
            (variable, candidate): [dependency() for _ in range(rng.choice((0, 1, 1, 2, 3)))]
            for variable, count in enumerate(self.counts)
            for candidate in range(count)
        }
        self.roots = [dependency() for _ in range(rng.randint(1, 4))]

    def count(self, variable: int) -> int:
        return self.counts[variable]

    def dependencies(self, variable: int, candidate: int) -> Sequence[Dependency]:
        return self.needs[variable, candidate]


def holds(dependencies: Sequence[Dependency], chosen: dict[int, int]) -> bool:
    return all(
        bool(item.allowed >> chosen[item.variable] & 1) if item.variable in chosen else not item.required
        for item in dependencies
    )


def satisfiable(problem: Random, roots: Sequence[Dependency], needs: dict[tuple[int, int], list[Dependency]]) -> bool:
    """Try every choice of a candidate or nothing for every variable."""
    for choice in itertools.product(*(range(-1, count) for count in problem.counts)):
        chosen = {variable: candidate for variable, candidate in enumerate(choice) if candidate >= 0}
        if holds(roots, chosen) and all(holds(needs.get(pair, []), chosen) for pair in chosen.items()):
            return True
    return False


def reached(problem: Random, chosen: dict[int, int]) -> set[int]:
    found: set[int] = set()
    stack = [item.variable for item in problem.roots if item.required]
    while stack:
        variable = stack.pop()
        if variable not in found:
            found.add(variable)
            stack += [item.variable for item in problem.needs[variable, chosen[variable]] if item.required]
    return found


def compare(seed: int) -> bool:
    """Check one random problem in every way; return True if it has an answer."""
    problem = Random(seed)
    answer = solve(problem, problem.roots)
    assert answer.statistics == solve(problem, problem.roots).statistics
    if isinstance(answer, Solution):
        chosen = dict(answer.selected)
        assert chosen == dict(solve(problem, problem.roots).selected)  # type: ignore[union-attr]
        assert holds(problem.roots, chosen)
        assert all(holds(problem.needs[pair], chosen) for pair in chosen.items())
        assert reached(problem, chosen) == set(chosen)
        return True
    assert isinstance(answer, NoSolution)
    assert not satisfiable(problem, problem.roots, problem.needs)
    core = minimal_core(problem, problem.roots, answer.derivation)
    assert core.minimal
    for causes in (external_causes(answer.derivation), core.causes):
        needs: dict[tuple[int, int], list[Dependency]] = {}
        for cause in causes:
            for candidate in range(cause.dependers.bit_length()):
                if cause.variable is not None and cause.dependers >> candidate & 1:
                    needs.setdefault((cause.variable, candidate), []).append(cause.dependency)
        roots = [cause.dependency for cause in causes if cause.variable is None]
        assert not satisfiable(problem, roots, needs), "the facts of the proof alone must be impossible"
    return False


def test_random_graphs_agree_with_exhaustive_search() -> None:
    answers = [compare(seed) for seed in range(600)]
    assert 100 < sum(answers) < 500, "the generator must make both kinds"


@settings(max_examples=200, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.integers(min_value=1000))
def test_any_graph_agrees_with_exhaustive_search(seed: int) -> None:
    compare(seed)


@pytest.mark.slow
def test_many_random_graphs_agree_with_exhaustive_search() -> None:
    for seed in range(10_000, 25_000):
        compare(seed)
