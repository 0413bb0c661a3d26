# SPDX-License-Identifier: Apache-2.0
"""The loop that sends a query when the one before is answered: order, clock, garbage collection and its cost."""

from __future__ import annotations

import gc
import time

import numpy as np
import pytest
from codereef.bench.load.core import closed_loop
from codereef.bench.load.rules import Budget, MaxCount, NarrowInterval, growing


def test_inputs_are_used_in_order_again_and_again() -> None:
    seen: list[int] = []
    measured = closed_loop(seen.append, [10, 20, 30], [MaxCount(8)])
    assert seen == [10, 20, 30, 10, 20, 30, 10, 20]
    assert measured.samples_ns.size == 8
    assert measured.stopped == "8 samples were taken"


def test_samples_hold_the_time_of_each_call_in_order() -> None:
    pauses = [0.002, 0.011, 0.005]
    measured = closed_loop(time.sleep, pauses, [MaxCount(15)])
    seconds = measured.samples_ns / 1e9
    assert (seconds >= np.array(pauses * 5)).all()
    assert np.argsort(seconds.reshape(5, 3).min(axis=0)).tolist() == [0, 2, 1]
    assert seconds.sum() <= measured.elapsed_ns / 1e9


def test_more_samples_than_first_reserved_are_all_kept() -> None:
    counter = iter(range(10**9))
    measured = closed_loop(lambda feed: next(counter), [None], [MaxCount(20_001)])
    assert measured.samples_ns.size == 20_001 == next(counter)
    assert (measured.samples_ns > 0).all()


def test_the_budget_ends_a_run_and_the_query_under_way_is_finished() -> None:
    begin = time.perf_counter()
    measured = closed_loop(time.sleep, [0.03], [Budget(0.1), MaxCount(1000)])
    assert time.perf_counter() - begin >= 0.1
    assert 1 <= measured.samples_ns.size <= 4
    assert "budget of 0.1 s" in measured.stopped


def test_a_single_query_longer_than_the_budget_is_still_measured() -> None:
    measured = closed_loop(time.sleep, [0.05], [Budget(0.001)])
    assert measured.samples_ns.size == 1


def test_a_steady_series_stops_at_its_fewest_samples_and_a_wild_one_goes_on() -> None:
    steady = closed_loop(time.sleep, [0.002], [NarrowInterval(0.5, 0.95, 30), MaxCount(200)])
    assert steady.samples_ns.size == 30
    assert "interval of the median" in steady.stopped
    wild = closed_loop(time.sleep, [0.0005, 0.004], [NarrowInterval(0.02, 0.95, 30), MaxCount(80)])
    assert wild.samples_ns.size == 80


def test_the_interval_rule_looks_at_growing_distances() -> None:
    rule = NarrowInterval(0.02, 0.95, 100)
    assert rule.due(0, 0)[0] == 100
    assert rule.due(100, 0)[0] == growing(100) == 125
    assert rule.due(1000, 0)[0] == 1250


def test_garbage_is_not_collected_inside_and_collecting_resumes_afterwards() -> None:
    states: list[bool] = []
    closed_loop(lambda feed: states.append(gc.isenabled()), [None], [MaxCount(3)])
    assert states == [False, False, False]
    assert gc.isenabled()


def test_collecting_resumes_after_a_failure_too() -> None:
    def fail(feed: object) -> None:
        raise RuntimeError("inference failed")

    with pytest.raises(RuntimeError, match="inference failed"):
        closed_loop(fail, [None], [MaxCount(3)])
    assert gc.isenabled()


@pytest.mark.slow
def test_ticks_see_the_samples_so_far_and_are_in_no_sample() -> None:
    sizes: list[int] = []

    def tick(samples: np.ndarray) -> None:
        sizes.append(samples.size)
        time.sleep(0.05)

    measured = closed_loop(time.sleep, [0.002], [MaxCount(40)], on_tick=tick, tick_s=0.02)
    assert len(sizes) >= 2 and sizes == sorted(sizes)
    assert np.median(measured.samples_ns) < 0.03e9
    assert measured.elapsed_ns > measured.samples_ns.sum() + len(sizes) * 0.05e9


def test_answers_that_are_asked_for_are_kept_and_no_others() -> None:
    counter = iter(range(10**9))
    measured = closed_loop(lambda feed: (feed, next(counter)), ["a", "b", "c"], [MaxCount(9000)], keep=(7, 0, 5000))
    assert measured.kept == ((0, ("a", 0)), (7, ("b", 7)), (5000, ("c", 5000)))


def test_what_is_kept_of_queries_that_were_never_sent_is_nothing() -> None:
    assert closed_loop(lambda feed: feed, [1], [MaxCount(5)], keep=(9,)).kept == ()


@pytest.mark.slow
def test_the_time_of_looking_and_of_the_last_query_are_known() -> None:
    measured = closed_loop(time.sleep, [0.002], [MaxCount(30)], on_tick=lambda _: time.sleep(0.05), tick_s=0.02)
    assert measured.paused_ns >= 0.05e9
    assert measured.samples_ns.sum() <= measured.elapsed_ns - measured.paused_ns
    assert abs(measured.last_ns - (measured.elapsed_ns - measured.samples_ns[-1])) < 1e6
