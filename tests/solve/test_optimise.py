# SPDX-License-Identifier: Apache-2.0
"""The order of answers, on small graphs where it can be seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from codereef.solve.engine import Clause, Dependency, External, NoSolution, Solution, StepLimitError, nodes_bottom_up
from codereef.solve.optimise import cost, optimise

from .proofs import check_proof


class Ranked:
    """A ranked problem from tables; what is not told is 0 or every candidate by itself."""

    def __init__(
        self,
        counts: Sequence[int],
        needs: Mapping[tuple[int, int], Sequence[Dependency]],
        *,
        reuse: Mapping[int, int] | None = None,
        classes: Mapping[int, Sequence[int]] | None = None,
        installs: Mapping[int, int] | None = None,
    ) -> None:
        self.counts = counts
        self.needs = needs
        self._reuse, self._classes, self._installs = reuse or {}, classes or {}, installs or {}

    def count(self, variable: int) -> int:
        return self.counts[variable]

    def dependencies(self, variable: int, candidate: int) -> Sequence[Dependency]:
        return self.needs.get((variable, candidate), ())

    def reuse(self, variable: int) -> int:
        return self._reuse.get(variable, 0)

    def classes(self, variable: int) -> Sequence[int]:
        return self._classes.get(variable, ())

    def installs(self, variable: int) -> int:
        return self._installs.get(variable, 0)


def need(variable: int, allowed: int = -1) -> Dependency:
    return Dependency(variable, allowed, True, None)


def best(problem: Ranked, *roots: Dependency) -> dict[int, int]:
    answer = optimise(problem, roots)
    assert isinstance(answer, Solution)
    assert answer.optimal
    return dict(answer.selected)


def test_reusing_comes_before_newer_candidates() -> None:
    # The newest of 0 needs a version of 1 that is not there.
    needs = {(0, 0): [need(1, 0b01)], (0, 1): [need(1, 0b11)]}
    assert best(Ranked([2, 2], needs), need(0)) == {0: 0, 1: 0}
    assert best(Ranked([2, 2], needs, reuse={1: 0b10}), need(0)) == {0: 1, 1: 1}


def test_as_few_as_possible_are_not_reused() -> None:
    # 0 can do without one of 1 and 2, or without both; what its candidates need decides.
    needs = {(0, 0): [need(1, 0b01), need(2, 0b01)], (0, 1): [need(1, 0b01), need(2, 0b10)]}
    assert best(Ranked([2, 2, 2], needs, reuse={1: 0b10, 2: 0b10}), need(0)) == {0: 1, 1: 0, 2: 1}


def test_what_is_not_selected_need_not_be_reused() -> None:
    assert best(Ranked([1, 2], {}, reuse={1: 0b10}), need(0)) == {0: 0}


def test_newest_is_decided_from_the_roots_outwards() -> None:
    # 1 and 2 cannot both have their newest: the one that is named first has it.
    needs = {(1, 0): [need(2, 0b10)]}
    assert best(Ranked([1, 2, 2], {(0, 0): [need(1), need(2)], **needs}), need(0)) == {0: 0, 1: 0, 2: 1}
    assert best(Ranked([1, 2, 2], {(0, 0): [need(2), need(1)], **needs}), need(0)) == {0: 0, 2: 0, 1: 1}


def test_among_equally_new_the_fewest_are_installed() -> None:
    problem = Ranked([2, 1], {(0, 0): [need(1)]}, classes={0: [0b11]}, installs={0: 0b01, 1: 0b1})
    assert best(problem, need(0)) == {0: 1}
    same = Ranked([2, 2], {}, classes={0: [0b11]}, installs={0: 0b01})
    assert best(same, need(0)) == {0: 1}


def test_the_rest_is_decided_by_the_numbers() -> None:
    assert best(Ranked([3, 3], {}, classes={0: [0b110, 0b001], 1: [0b111]}), need(0), need(1)) == {0: 1, 1: 0}


def test_classes_that_leave_the_order_of_the_numbers_are_followed() -> None:
    assert best(Ranked([3], {}, classes={0: [0b010, 0b100, 0b001]}), need(0)) == {0: 1}


def test_every_tie_with_different_needs_is_gone_through() -> None:
    # With its first candidate, 0 needs 2, of which only an old candidate fits; with the second it needs 1.
    needs = {(0, 0): [need(2, 0b100)], (0, 1): [need(1, 0b10)]}
    problem = Ranked([2, 2, 3], needs, classes={0: [0b11]})
    assert best(problem, need(0)) == {0: 1, 1: 1}


def circle(selected: Mapping[int, int]) -> Sequence[Clause]:
    return [Clause(((0, 0b01), (1, 0b01)), "circle")] if selected.get(0) == 0 and selected.get(1) == 0 else []


def test_what_only_complete_answers_show_is_avoided() -> None:
    problem = Ranked([2, 2], {(0, 0): [need(1)], (1, 0): [need(0)]})
    answer = optimise(problem, [need(0)], lazy=circle)
    assert isinstance(answer, Solution)
    assert dict(answer.selected) == {0: 0, 1: 1}
    assert answer.optimal


def test_a_clause_of_complete_answers_is_a_fact_of_the_proof() -> None:
    problem = Ranked([1, 1], {(0, 0): [need(1)], (1, 0): [need(0)]})
    roots = [need(0)]
    answer = optimise(problem, roots, lazy=circle)
    assert isinstance(answer, NoSolution)
    check_proof(problem, roots, answer.derivation, lazy_facts=True)
    facts = [node for node in nodes_bottom_up(answer.derivation) if isinstance(node, External)]
    assert [fact.dependency.reason for fact in facts if fact.kind == "clause"] == ["circle"]


def test_a_clause_that_the_answer_keeps_is_refused() -> None:
    with pytest.raises(ValueError, match="none that it breaks"):
        optimise(Ranked([2], {}), [need(0)], lazy=lambda selected: [Clause(((0, 0b10),), "")])


def test_proof_never_rests_on_what_would_be_better() -> None:
    problem = Ranked([1, 2, 1], {(0, 0): [need(1, 0b01), need(2, 0)]}, reuse={1: 0b10})
    answer = optimise(problem, [need(0)])
    assert isinstance(answer, NoSolution)
    check_proof(problem, [need(0)], answer.derivation)


def many_ties(size: int) -> Ranked:
    """Every variable has two equally good candidates, of which one needs one more."""
    needs = {(2 * place, 0): [need(2 * place + 1)] for place in range(size)}
    return Ranked([2] * (2 * size), needs, classes={v: [0b11] for v in range(2 * size)}, installs={1: 0b11})


def test_an_answer_that_is_not_proven_the_best_says_so() -> None:
    problem, roots = many_ties(12), [need(2 * place) for place in range(12)]
    answer = optimise(problem, roots, max_steps=200)
    assert isinstance(answer, Solution)
    assert not answer.optimal
    assert cost(problem, answer.selected, roots)[0] == 0


def test_the_bound_is_an_error_before_there_is_an_answer() -> None:
    with pytest.raises(StepLimitError):
        optimise(many_ties(12), [need(2 * place) for place in range(12)], max_steps=3)
