# SPDX-License-Identifier: Apache-2.0
"""The loop that keeps a schedule: a latency counts from the arrival that was scheduled, whatever kept it waiting."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import pytest
from codereef.bench.load.core import Samples, open_loop
from codereef.bench.load.plan import PoissonArrivals
from codereef.bench.load.rules import Budget, MaxCount

MS = 1_000_000


class At:
    """Arrivals every `gap` ns, in blocks of 10."""

    def __init__(self, gap: int) -> None:
        self._gap, self._next = gap, 0

    def block(self) -> Sequence[int]:
        first = self._next
        self._next += 10
        return [number * self._gap for number in range(first, first + 10)]


def test_queries_are_answered_at_their_time_and_not_before() -> None:
    seen: list[int] = []
    begin = time.perf_counter_ns()
    measured = open_loop(lambda feed: seen.append(time.perf_counter_ns()), [None], At(5 * MS), [MaxCount(25)])
    assert measured.samples_ns.size == 25
    assert (np.array(seen) - begin >= np.arange(25) * 5 * MS).all()
    assert measured.last_ns == 24 * 5 * MS
    assert (measured.samples_ns >= 0).all()


def test_a_stall_is_in_the_latency_of_every_query_that_it_kept_waiting() -> None:
    """100 ms of standstill with an arrival each 5 ms: a loop that waits for answers would show one slow query."""
    pauses = [0.1] + [0.0] * 39
    measured = open_loop(time.sleep, pauses, At(5 * MS), [MaxCount(40)])
    latencies = measured.samples_ns / MS
    assert latencies[0] >= 100
    for number in range(1, 19):
        assert latencies[number] >= 100 - 5 * number
    assert np.median(latencies[25:]) < 50


def test_a_queue_that_grows_shows_in_latencies_and_in_who_was_left_waiting() -> None:
    measured = open_loop(time.sleep, [0.004], At(MS), [Budget(0.2)])
    n = measured.samples_ns.size
    assert n <= 51
    assert measured.samples_ns[-1] > 0.5 * n * 3 * MS
    # Of the arrivals up to the end, all that were not answered.
    end = measured.last_ns + int(measured.samples_ns[-1])
    assert measured.waiting == end // MS + 1 - n > 100
    assert "budget" in measured.stopped


@pytest.mark.slow
def test_the_schedule_stands_still_while_a_tick_runs() -> None:
    sizes: list[int] = []

    def tick(samples: Samples) -> None:
        sizes.append(samples.size)
        time.sleep(0.1)

    measured = open_loop(lambda feed: None, [None], At(MS), [MaxCount(200)], on_tick=tick, tick_s=0.05)
    assert len(sizes) >= 2
    assert measured.paused_ns >= 0.1e9 * len(sizes)
    # Had the schedule run on, a hundred queries after each tick would have waited, half of all of them.
    assert np.quantile(measured.samples_ns, 0.5) < 30 * MS


def test_a_failing_system_ends_the_run() -> None:
    def fail(feed: object) -> None:
        raise RuntimeError("inference failed")

    with pytest.raises(RuntimeError, match="inference failed"):
        open_loop(fail, [None], At(MS), [MaxCount(3)])


def test_arrivals_are_a_poisson_process_of_the_rate_and_the_same_for_a_seed() -> None:
    from scipy import stats

    arrivals = PoissonArrivals(200.0, 7)
    times = np.concatenate([arrivals.block() for _ in range(5)])
    assert times[0] == 0
    gaps = np.diff(times) / 1e9
    assert (gaps >= 0).all()
    # The mean of n exponential gaps is within five of its standard deviations, and the gaps look exponential.
    assert abs(gaps.mean() * 200 - 1) < 5 / np.sqrt(gaps.size)
    assert stats.kstest(gaps, "expon", args=(0, 1 / 200)).pvalue > 0.001
    again = PoissonArrivals(200.0, 7)
    assert np.concatenate([again.block() for _ in range(5)]).tolist() == times.tolist()
    assert PoissonArrivals(200.0, 8).block() != times[:4096].tolist()
