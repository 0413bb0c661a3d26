# SPDX-License-Identifier: Apache-2.0
"""The measuring core: order, clock, stop rules, garbage collection and its own cost."""

from __future__ import annotations

import gc
import time

import numpy as np
import pytest
from codereef.bench.loadgen import Budget, MaxCount, NarrowInterval, single_stream


def test_inputs_are_used_in_order_again_and_again() -> None:
    seen: list[int] = []
    measured = single_stream(seen.append, [10, 20, 30], [MaxCount(8)])
    assert seen == [10, 20, 30, 10, 20, 30, 10, 20]
    assert measured.samples_ns.size == 8
    assert measured.stopped == "8 samples were taken"


def test_samples_hold_the_time_of_each_call_in_order() -> None:
    pauses = [0.002, 0.011, 0.005]
    measured = single_stream(time.sleep, pauses, [MaxCount(15)])
    seconds = measured.samples_ns / 1e9
    assert (seconds >= np.array(pauses * 5)).all()
    assert np.argsort(seconds.reshape(5, 3).min(axis=0)).tolist() == [0, 2, 1]
    assert seconds.sum() <= measured.elapsed_ns / 1e9


def test_more_samples_than_first_reserved_are_all_kept() -> None:
    counter = iter(range(10**9))
    measured = single_stream(lambda feed: next(counter), [None], [MaxCount(20_001)])
    assert measured.samples_ns.size == 20_001 == next(counter)
    assert (measured.samples_ns > 0).all()


def test_the_budget_ends_a_run_and_the_query_under_way_is_finished() -> None:
    begin = time.perf_counter()
    measured = single_stream(time.sleep, [0.03], [Budget(0.1), MaxCount(1000)])
    assert 0.1 <= time.perf_counter() - begin < 1
    assert 1 <= measured.samples_ns.size <= 4
    assert "budget of 0.1 s" in measured.stopped


def test_a_single_query_longer_than_the_budget_is_still_measured() -> None:
    measured = single_stream(time.sleep, [0.05], [Budget(0.001)])
    assert measured.samples_ns.size == 1


def test_a_steady_series_stops_at_its_fewest_samples_and_a_wild_one_goes_on() -> None:
    steady = single_stream(time.sleep, [0.002], [NarrowInterval(0.5, 0.95, 30), MaxCount(200)])
    assert steady.samples_ns.size == 30
    assert "interval of the median" in steady.stopped
    wild = single_stream(time.sleep, [0.0005, 0.004], [NarrowInterval(0.02, 0.95, 30), MaxCount(80)])
    assert wild.samples_ns.size == 80


def test_the_interval_rule_looks_at_growing_distances() -> None:
    rule = NarrowInterval(0.02, 0.95, 100)
    assert rule.due(0)[0] == 100
    assert rule.due(100)[0] == 125
    assert rule.due(1000)[0] == 1250


def test_garbage_is_not_collected_inside_and_collecting_resumes_afterwards() -> None:
    states: list[bool] = []
    single_stream(lambda feed: states.append(gc.isenabled()), [None], [MaxCount(3)])
    assert states == [False, False, False]
    assert gc.isenabled()


def test_collecting_resumes_after_a_failure_too() -> None:
    def fail(feed: object) -> None:
        raise RuntimeError("inference failed")

    with pytest.raises(RuntimeError, match="inference failed"):
        single_stream(fail, [None], [MaxCount(3)])
    assert gc.isenabled()


def test_ticks_see_the_samples_so_far_and_are_in_no_sample() -> None:
    sizes: list[int] = []

    def tick(samples: np.ndarray) -> None:
        sizes.append(samples.size)
        time.sleep(0.05)

    measured = single_stream(time.sleep, [0.002], [MaxCount(40)], on_tick=tick, tick_s=0.02)
    assert len(sizes) >= 2 and sizes == sorted(sizes)
    assert np.median(measured.samples_ns) < 0.03e9
    assert measured.elapsed_ns > measured.samples_ns.sum() + len(sizes) * 0.05e9


def test_the_core_adds_at_most_three_microseconds_to_a_query() -> None:
    """Against a bare loop around the same no-op; the best of several, for other work shares the machine."""

    def nothing(feed: object) -> None:
        pass

    def bare(n: int) -> list[int]:
        clock, values = time.perf_counter_ns, []
        for _ in range(n):
            before = clock()
            nothing(None)
            values.append(clock() - before)
        return values

    inside, outside = [], []
    for _ in range(5):
        reference = float(np.median(bare(20_000)))
        measured = single_stream(nothing, [None], [MaxCount(20_000)])
        inside.append(float(np.median(measured.samples_ns)) - reference)
        outside.append((measured.elapsed_ns - int(measured.samples_ns.sum())) / 20_000)
    assert min(inside) < 1000
    assert min(outside) < 3000
