# SPDX-License-Identifier: Apache-2.0
"""Order of measurements, and successive halving with an objective that is known."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from codereef.errors import UsageError
from codereef.explore.search import (
    Repetition,
    choose_points,
    open_rounds,
    order,
    ranked,
    repetitions_left,
    rung_count,
    rungs,
    seconds_left,
    standing,
)
from codereef.explore.space import Space

from tests.explore.parts import measure_all, noisy, search


def numbers(count: int) -> Space:
    return Space((("default", ""),), {"n": tuple(str(i) for i in range(count))})


def test_a_grid_measures_every_point_in_every_round_and_each_round_in_another_order() -> None:
    _, taken = measure_all(search(repeat=4), 12, noisy([1.0] * 12))
    rounds = [[point for number, point in taken if number == wanted] for wanted in range(4)]
    assert [number for number, _ in taken] == sorted(number for number, _ in taken), "rounds follow each other"
    assert all(sorted(found) == list(range(12)) for found in rounds)
    assert len({tuple(found) for found in rounds}) == 4


def test_the_order_is_the_seeds() -> None:
    assert order(1, 0, range(20)) == order(1, 0, reversed(range(20)))
    assert order(1, 0, range(20)) != order(2, 0, range(20)) != order(2, 1, range(20))


def test_interleaved_rounds_take_a_drift_out_of_the_comparison() -> None:
    """Two equal points under a machine that grows 10 % slower each round: neither looks slower."""
    measured, _ = measure_all(search(repeat=20), 2, noisy([1.0, 1.0], spread=0.001, drift=0.1))
    first, second = (sorted(r.value for r in found if r.value)[10] for found in measured)
    assert first == pytest.approx(second, rel=0.01)


def test_random_takes_as_many_points_as_asked_for_and_the_same_for_one_seed() -> None:
    chosen = search("random", samples=7)
    points = choose_points(numbers(100), chosen)
    assert len({p.name for p in points}) == 7
    assert points == choose_points(numbers(100), chosen)
    assert points != choose_points(numbers(100), replace(chosen, seed=2))
    assert len(choose_points(numbers(5), chosen)) == 5


def test_a_space_of_millions_is_sampled_and_never_written_out() -> None:
    values = tuple(str(i) for i in range(1000))
    space = Space((("default", ""),), {"a": values, "b": values, "c": values, "d": values})
    assert len(choose_points(space, search("random", samples=3))) == 3
    with pytest.raises(UsageError, match="1,000,000,000,000 points") as caught:
        choose_points(space, search())
    assert "--search random" in caught.value.hint


def test_what_failed_is_tried_once_more_at_the_end_of_its_round_and_then_given_up() -> None:
    def synthetic(number: int, point: int) -> Repetition:
        return Repetition(number, "crashed" if point == 2 else "ok", value=None if point == 2 else 1.0)

    measured, taken = measure_all(search(repeat=3), 5, synthetic)
    assert [number for number, point in taken if point == 2] == [0, 0]
    assert taken[5] == (0, 2), "the second try comes when all others have been measured"
    assert [len(found) for found in measured] == [3, 3, 2, 3, 3]


def test_a_failure_that_passes_costs_one_measurement() -> None:
    tries = []

    def synthetic(number: int, point: int) -> Repetition:
        tries.append((number, point))
        bad = point == 1 and tries.count((1, 1)) == 1 and number == 1
        return Repetition(number, "timeout" if bad else "ok", value=1.0)

    measured, _ = measure_all(search(repeat=3), 3, synthetic)
    assert [sum(r.status == "ok" for r in found) for found in measured] == [3, 3, 3]
    assert len(measured[1]) == 4


@pytest.mark.parametrize("stop", [1, 7, 20])
def test_a_search_goes_on_where_it_was(stop: int) -> None:
    """The next measurement is computed from those that are there, so a cut anywhere changes nothing."""
    for chosen in (search(repeat=3), search("halving", repeat=1)):
        whole, taken = measure_all(chosen, 8, noisy([1 + 0.1 * i for i in range(8)], spread=0))
        part, before = measure_all(chosen, 8, noisy([1 + 0.1 * i for i in range(8)], spread=0), most=stop)
        found = open_rounds(chosen, part)
        assert before == taken[:stop]
        assert (found[0].number, found[0].points[0]) == taken[stop]
        assert sum(map(len, whole)) == len(taken)


def test_halving_measures_half_as_many_points_twice_as_often() -> None:
    truth = [1 + 0.2 * i for i in range(16)]
    measured, taken = measure_all(search("halving", repeat=1), 16, noisy(truth))
    found = rungs(search("halving", repeat=1), measured)
    assert [(len(rung.field), rung.rounds) for rung in found] == [(16, 1), (8, 2), (4, 4), (2, 8)]
    assert len(taken) == 64 == 16 * rung_count(16)
    assert max(map(len, measured)) == 15


@pytest.mark.slow
@pytest.mark.parametrize("direction", ["lower", "higher"])
def test_halving_finds_the_best_of_many_with_a_bounded_number_of_measurements(direction: str) -> None:
    """32 points 10 % apart under 3 % of noise: in 50 seeded trials the best is found each time."""
    hits = 0
    for trial in range(50):
        truth = [1.1**i for i in range(32)]
        order_of = order(trial, 0, range(32))
        values = [truth[place] for place in order_of]
        chosen = search("halving", repeat=1, direction=direction, seed=trial)
        measured, taken = measure_all(chosen, 32, noisy(values, seed=trial))
        assert len(taken) == 32 * 5
        best = (
            min(range(32), key=values.__getitem__) if direction == "lower" else max(range(32), key=values.__getitem__)
        )
        hits += standing(chosen, measured)[0] == best
    assert hits == 50


def test_halving_is_not_misled_by_a_machine_that_slows_down() -> None:
    chosen = search("halving", repeat=2)
    measured, _ = measure_all(chosen, 8, noisy([1 + 0.1 * i for i in range(8)], spread=0.01, drift=0.5))
    assert standing(chosen, measured)[:2] == [0, 1]


@pytest.mark.parametrize("points", [1, 2, 3, 5, 7, 12, 33])
def test_any_number_of_points_ends_in_as_many_rungs_as_its_logarithm(points: int) -> None:
    chosen = search("halving", repeat=1)
    measured, taken = measure_all(chosen, points, noisy([1.0 + i for i in range(points)]))
    found = rungs(chosen, measured)
    assert len(found) == rung_count(points) == max(1, math.ceil(math.log2(points)))
    assert standing(chosen, measured)[0] == 0
    assert repetitions_left(chosen, measured) == 0
    assert {point for _, point in taken} == set(range(points))


def test_the_repetitions_to_come_are_counted_from_the_beginning_on() -> None:
    for chosen in (search("halving", repeat=2), search(repeat=5)):
        for points in (1, 2, 3, 6, 16):
            _, taken = measure_all(chosen, points, noisy([1.0 + i for i in range(points)]))
            assert repetitions_left(chosen, [[] for _ in range(points)]) == len(taken)


@pytest.mark.slow
@pytest.mark.parametrize(("budget", "points"), [(400.0, 16), (100.0, 16), (1000.0, 10)])
def test_a_budget_is_spent_evenly_over_the_rungs_and_kept(budget: float, points: int) -> None:
    """Each measurement takes a second; a rung takes one round at least, whatever the budget."""
    chosen = search("halving", budget=budget)
    measured, taken = measure_all(chosen, points, noisy([1.0 + i for i in range(points)]))
    share = budget / rung_count(points)
    spent = [len(rung.field) * rung.rounds for rung in rungs(chosen, measured)]
    assert all(seconds <= max(share, points) for seconds in spent)
    assert all(seconds + len(rung.field) > share for seconds, rung in zip(spent, rungs(chosen, measured)))
    assert len(taken) == sum(spent) <= budget
    assert standing(chosen, measured)[0] == 0


def test_points_that_failed_leave_the_field_and_rank_nowhere() -> None:
    def synthetic(number: int, point: int) -> Repetition:
        return Repetition(number, "crashed" if point < 3 else "ok", value=None if point < 3 else float(point))

    chosen = search("halving")
    measured, _ = measure_all(chosen, 8, synthetic)
    assert standing(chosen, measured)[0] == 3
    assert not set(standing(chosen, measured)) & {0, 1, 2}


def test_a_search_in_which_everything_fails_ends() -> None:
    for chosen in (search(), search("halving"), search("halving", budget=10.0)):
        measured, taken = measure_all(chosen, 4, lambda number, _: Repetition(number, "failed"))
        assert len(taken) == 8
        assert standing(chosen, measured) == []


def test_a_metric_that_no_result_gives_ends_the_search_too() -> None:
    chosen = search("halving", repeat=1)
    measured, taken = measure_all(chosen, 4, lambda number, _: Repetition(number, "ok", value=None))
    assert (len(taken), standing(chosen, measured)) == (4, [])


def test_ranks_are_blind_to_what_slows_a_whole_round_down() -> None:
    """Point 0 is the faster one in each round; it was measured in a slow round more often."""
    slow = [Repetition(0, "ok", value=10.0), Repetition(1, "ok", value=1.0), Repetition(2, "ok", value=10.5)]
    other = [Repetition(0, "ok", value=11.0), Repetition(1, "ok", value=1.1), Repetition(2, "ok", value=11.5)]
    assert ranked(search(), [slow, other], (0, 1)) == [0, 1]
    assert ranked(search(direction="higher"), [slow, other], (0, 1)) == [1, 0]


def test_the_time_left_counts_slow_points_for_what_they_are() -> None:
    chosen = search(repeat=3)
    measured = [[Repetition(0, "ok", seconds=1.0)], [Repetition(0, "ok", seconds=9.0)]]
    assert seconds_left(chosen, measured) == pytest.approx(20.0)
    assert seconds_left(chosen, measured, machines=2) == pytest.approx(10.0)
    assert seconds_left(chosen, [[], []]) is None
