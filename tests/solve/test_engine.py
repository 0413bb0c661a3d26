# SPDX-License-Identifier: Apache-2.0
"""The resolver engine on small graphs with known answers, and the steps of its proofs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from codereef.solve.engine import (
    Clause,
    Dependency,
    NoSolution,
    Solution,
    StepLimitError,
    external_causes,
    minimal_core,
    solve,
)

from .proofs import check_proof


class Table:
    """A problem from a table; remembers what was asked."""

    def __init__(self, counts: Sequence[int], needs: Mapping[tuple[int, int], Sequence[Dependency]]) -> None:
        self.counts = counts
        self.needs = needs
        self.asked: list[tuple[int, int]] = []

    def count(self, variable: int) -> int:
        return self.counts[variable]

    def dependencies(self, variable: int, candidate: int) -> Sequence[Dependency]:
        self.asked.append((variable, candidate))
        return self.needs.get((variable, candidate), ())


def need(variable: int, allowed: int) -> Dependency:
    return Dependency(variable, allowed, True, None)


def limit(variable: int, allowed: int) -> Dependency:
    return Dependency(variable, allowed, False, None)


def selected(table: Table, *roots: Dependency) -> dict[int, int]:
    answer = solve(table, roots)
    assert isinstance(answer, Solution)
    return dict(answer.selected)


def refused(table: Table, *roots: Dependency) -> NoSolution:
    answer = solve(table, roots)
    assert isinstance(answer, NoSolution)
    check_proof(table, roots, answer.derivation)
    return answer


def test_nothing_asked_selects_nothing() -> None:
    assert selected(Table([2], {})) == {}


def test_diamond_meets_in_the_middle() -> None:
    table = Table([1, 2, 2, 4], {
        (0, 0): [need(1, 0b11), need(2, 0b11)],
        (1, 0): [need(3, 0b0110)],
        (2, 0): [need(3, 0b1100)],
    })  # fmt: skip
    assert selected(table, need(0, 1)) == {0: 0, 1: 0, 2: 0, 3: 2}


def test_conflict_takes_an_older_candidate() -> None:
    table = Table([2, 2, 2], {(0, 0): [need(2, 0b01)], (1, 0): [need(2, 0b10)], (1, 1): [need(2, 0b10)]})
    assert selected(table, need(0, 0b11), need(1, 0b11)) == {0: 1, 1: 0, 2: 1}


def test_what_only_a_rejected_candidate_needs_is_not_selected() -> None:
    table = Table([2, 1, 2], {(0, 0): [need(1, 1), need(2, 0b10)]})
    assert selected(table, need(0, 0b11), limit(2, 0b01)) == {0: 1}


def test_cycle_and_self_dependency_are_solved() -> None:
    table = Table([2, 2], {
        (0, 0): [need(1, 0b01)], (1, 0): [need(0, 0b10)],
        (0, 1): [need(1, 0b11), need(0, 0b10)],
    })  # fmt: skip
    assert selected(table, need(0, 0b11)) == {0: 1, 1: 0}


def test_candidate_that_excludes_itself_is_never_chosen() -> None:
    table = Table([2], {(0, 0): [need(0, 0b10)]})
    assert selected(table, need(0, 0b11)) == {0: 1}
    refused(table, need(0, 0b01))


def test_constraint_without_requirement_selects_nothing() -> None:
    assert selected(Table([1, 3], {(0, 0): [limit(1, 0b100)]}), need(0, 1)) == {0: 0}


def test_constraint_binds_what_another_requires() -> None:
    table = Table([1, 3, 1], {(0, 0): [limit(1, 0b100)], (2, 0): [need(1, 0b111)]})
    assert selected(table, need(2, 1), need(0, 1)) == {2: 0, 0: 0, 1: 2}


def test_conflict_forbids_any_candidate() -> None:
    table = Table([1, 3], {(0, 0): [limit(1, 0)]})
    refused(table, need(0, 1), need(1, 0b111))


@pytest.mark.parametrize("roots", [(need(0, 0),), (need(1, 1),), (need(2, 0b11),)])
def test_empty_allowed_set_is_an_empty_cause(roots: tuple[Dependency, ...]) -> None:
    table = Table([2, 0, 2], {(2, 0): [need(0, 0)], (2, 1): [need(0, 0)]})
    kinds = [cause.kind for cause in external_causes(refused(table, *roots).derivation)]
    assert "empty" in kinds


def test_equal_dependencies_are_one_cause() -> None:
    table = Table([4, 2], {(0, candidate): [need(1, 0b01)] for candidate in range(4)})
    causes = external_causes(refused(table, need(0, 0b1111), need(1, 0b10)).derivation)
    assert [cause.dependers for cause in causes if cause.kind == "dependency"] == [0b1111]
    assert len(causes) == 3


def test_only_what_is_needed_is_asked_for() -> None:
    table = Table([3, 3, 3], {(0, 0): [need(1, 0b111)]})
    assert selected(table, need(0, 0b111)) == {0: 0, 1: 0}
    assert sorted(table.asked) == [(0, 0), (1, 0)]


def test_every_pair_is_asked_for_at_most_once() -> None:
    table = Table([3, 3, 2], {
        (0, 0): [need(2, 1)], (0, 1): [need(2, 1)], (1, 0): [need(2, 2)], (1, 1): [need(2, 2)],
    })  # fmt: skip
    selected(table, need(0, 0b111), need(1, 0b111))
    assert len(table.asked) == len(set(table.asked))


def test_what_the_roots_name_gets_its_best_candidate() -> None:
    table = Table([3, 1, 2], {(0, 0): [need(2, 0b10)], (1, 0): [need(2, 0b11)]})
    assert selected(table, need(1, 1), need(0, 0b111)) == {1: 0, 0: 0, 2: 1}


def test_disagreement_deep_below_two_roots_is_proven() -> None:
    depth = 30
    counts = [4] * (2 * depth + 1)
    shared = 2 * depth
    needs = {}
    for side, allowed in ((0, 0b0011), (1, 0b1100)):
        for step in range(depth):
            variable = side * depth + step
            target = shared if step == depth - 1 else variable + 1
            for candidate in range(4):
                needs[variable, candidate] = [need(target, allowed if target == shared else 0b1111)]
    refused(Table(counts, needs), need(0, 0b1111), need(depth, 0b1111))


def test_chain_of_five_thousand_does_not_overflow_the_stack() -> None:
    size = 5000
    needs = {(variable, 0): [need(variable + 1, 1)] for variable in range(size - 1)}
    table = Table([1] * size, needs)
    assert len(selected(table, need(0, 1))) == size
    needs[size - 1, 0] = [need(0, 0)]
    refused(table, need(0, 1))


def test_step_limit_raises() -> None:
    table = Table([2] * 10, {(0, 0): [need(variable, 0b11) for variable in range(1, 10)]})
    with pytest.raises(StepLimitError, match="3 steps"):
        solve(table, [need(0, 0b11)], max_steps=3)


def test_minimal_core_leaves_out_what_is_not_needed() -> None:
    table = Table([2, 2, 2], {
        (0, 0): [need(2, 0b01)], (0, 1): [need(2, 0b01)], (1, 0): [need(2, 0b10)], (1, 1): [need(2, 0)],
    })  # fmt: skip
    roots = [need(0, 0b11), need(1, 0b11), limit(0, 0b01), need(2, 0b10)]
    core = minimal_core(table, roots, refused(table, *roots).derivation)
    assert core.minimal
    check_proof(table, roots, core.derivation)
    for left_out in core.causes:
        rest = [cause for cause in core.causes if cause is not left_out]
        needs: dict[tuple[int, int], list[Dependency]] = {}
        for cause in rest:
            for candidate in range(2):
                if cause.variable is not None and cause.dependers >> candidate & 1:
                    needs.setdefault((cause.variable, candidate), []).append(cause.dependency)
        selected(Table(table.counts, needs), *(cause.dependency for cause in rest if cause.variable is None))


def test_minimal_core_stops_at_its_bound() -> None:
    table = Table([1, 1], {(0, 0): [need(1, 0)]})
    core = minimal_core(table, [need(0, 1)], refused(table, need(0, 1)).derivation, max_steps=0)
    assert not core.minimal and len(core.causes) == 2


def test_clause_is_kept_and_named_in_the_proof_and_the_core() -> None:
    table = Table([2, 2], {(0, 0): [need(1, 0b11)]})
    apart = Clause(((0, 0b01), (1, 0b01)), "apart")
    answer = solve(table, [need(0, 0b01)], clauses=[apart])
    assert isinstance(answer, Solution)
    assert dict(answer.selected) == {0: 0, 1: 1}
    roots = [need(0, 0b01), limit(1, 0b01)]
    refusal = solve(table, roots, clauses=[apart])
    assert isinstance(refusal, NoSolution)
    check_proof(table, roots, refusal.derivation, lazy_facts=True)
    core = minimal_core(table, roots, refusal.derivation)
    assert core.minimal
    assert [cause.clause for cause in core.causes if cause.kind == "clause"] == [apart]
    told = next(cause for cause in core.causes if cause.clause)
    assert (told.variable, told.dependers, told.dependency.variable, told.dependency.reason) == (0, 1, 1, "apart")


def test_answer_without_conflicts_costs_one_look_up_a_selected_variable() -> None:
    size = 200
    table = Table([5] * size, {(v, 0): [need(v + 1, 0b11111), limit(v + 1, 0b111)] for v in range(size - 1)})
    assert len(selected(table, need(0, 0b11111))) == size
    assert len(table.asked) == size


def test_answer_is_the_first_in_the_order_of_the_walk() -> None:
    # 1 comes before 2 in the walk, so it is 2 that yields although deciding 2 first would fit too.
    table = Table([1, 2, 2, 2], {
        (0, 0): [need(1, 0b11), need(2, 0b11)],
        (1, 0): [need(3, 0b01)], (2, 0): [need(3, 0b10)],
    })  # fmt: skip
    assert selected(table, need(0, 1)) == {0: 0, 1: 0, 2: 1, 3: 0}


def test_dead_end_that_follows_from_an_early_choice_leaves_the_choices_between_as_they_are() -> None:
    # The best candidate of each of the second hundred needs something that forbids the best of one of the first.
    size = 100
    needs: dict[tuple[int, int], list[Dependency]] = {}
    for variable in range(size, 2 * size):
        needs[variable, 0] = [need(variable + size, 1)]
        needs[variable + size, 0] = [need(variable - size, 0b10)]
    answer = solve(Table([2] * 2 * size + [1] * size, needs), [need(variable, 0b11) for variable in range(2 * size)])
    assert isinstance(answer, Solution)
    assert answer.selected == {variable: variable // size for variable in range(2 * size)}
    assert answer.statistics.decisions < 5 * size
