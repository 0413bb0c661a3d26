# SPDX-License-Identifier: Apache-2.0
"""Stop rules: each ends a run when, and only when, what it is about holds."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from codereef.bench.load.core import NEVER, closed_loop
from codereef.bench.load.rules import (
    Budget,
    EarlyStopping,
    MaxCount,
    MinDuration,
    NarrowInterval,
    NotBefore,
    RelativeDeviation,
    Steady,
)
from codereef.bench.statistics import bootstrap, middle


def ns(values: Any) -> np.ndarray:
    return np.array(values, dtype=np.int64)


@pytest.mark.parametrize("correlation", [0.0, 0.8])
@pytest.mark.parametrize("q", [0.5, 0.9, None])
def test_the_quick_interval_is_as_wide_as_the_bootstrap_says(correlation: float, q: float | None) -> None:
    noise, series = np.random.default_rng(3).normal(size=3000), np.zeros(3000)
    for i in range(1, 3000):
        series[i] = correlation * series[i - 1] + noise[i]
    samples = ns(1e6 * np.exp(0.1 * series))
    points, means = bootstrap(samples.tolist(), () if q is None else (q,), seed=1)
    low, high = middle(means if q is None else points[0], 0.95)
    value = float(samples.mean() if q is None else np.quantile(samples, q))
    width = (high - low) / value
    assert NarrowInterval(1.35 * width, 0.95, 100, q).reason(samples, 0)
    assert not NarrowInterval(0.85 * width, 0.95, 100, q).reason(samples, 0)


def test_a_tail_needs_more_samples_than_the_median() -> None:
    samples = ns(1e6 * np.random.default_rng(5).lognormal(0, 0.1, 2000))
    assert NarrowInterval(0.02, 0.95, 100, 0.5).reason(samples, 0)
    assert not NarrowInterval(0.02, 0.95, 100, 0.99).reason(samples, 0)
    assert not NarrowInterval(10.0, 0.95, 100, 0.999).reason(samples, 0)  # no order statistic lies above it


@pytest.mark.slow
def test_a_minimum_duration_holds_time_and_count() -> None:
    slow = closed_loop(time.sleep, [0.01], [MinDuration(0.1, 3), MaxCount(1000)])
    assert slow.last_ns >= 0.1e9
    assert 3 <= slow.samples_ns.size <= 13
    assert closed_loop(time.sleep, [0.001], [MinDuration(0.0, 25), MaxCount(1000)]).samples_ns.size == 25
    counted = closed_loop(time.sleep, [0.001], [MinDuration(0.005, 40), MaxCount(1000)])
    assert counted.samples_ns.size == 40
    assert "had passed" in counted.stopped


def test_another_rule_waits_for_its_time() -> None:
    rule = NotBefore(0.1, MaxCount(2))
    measured = closed_loop(time.sleep, [0.005], [rule, MaxCount(1000)])
    assert measured.last_ns >= 0.1e9
    assert measured.samples_ns.size < 40
    assert rule.due(0, 0) == (NEVER, 100_000_000)


@pytest.mark.parametrize(("percentile", "queries"), [(0.9, 64), (0.99, 662)])
def test_early_stopping_without_a_bound_ends_as_soon_as_there_is_an_estimate(percentile: float, queries: int) -> None:
    measured = closed_loop(lambda feed: None, [None], [EarlyStopping(percentile, None), MaxCount(5000)])
    assert measured.samples_ns.size == queries
    assert "are enough" in measured.stopped


def test_early_stopping_with_a_bound_counts_what_was_slower() -> None:
    rule = EarlyStopping(0.99, 0.001)
    fast, slow = [500_000], [2_000_000]
    assert not rule.reason(ns(fast * 458), 0)
    assert rule.reason(ns(fast * 459), 0)
    assert not rule.reason(ns(fast * 458 + slow), 0)
    assert rule.reason(ns(fast * 661 + slow), 0)
    assert not rule.reason(ns((fast * 49 + slow) * 200), 0)


def test_relative_deviation_makes_three_runs_when_they_agree_and_at_most_twelve_when_they_do_not() -> None:
    steady = RelativeDeviation(10)
    assert not steady.reason(ns([100] * 29), 0)
    assert "3 runs" in steady.reason(ns([100] * 30), 0)
    wild = ns(([100] * 10 + [200] * 10) * 6)
    for runs in range(3, 12):
        assert not steady.reason(wild[: runs * 10], 0), runs
    assert "12 runs were made" in steady.reason(wild, 0)


@pytest.mark.parametrize(("minutes", "most"), [(1, 12), (3, 9), (10, 6), (21, 3)])
def test_long_runs_are_repeated_less(minutes: int, most: int) -> None:
    rule, wild = RelativeDeviation(1), ns([100, 200] * 6)
    made = [runs for runs in range(3, 13) if rule.reason(wild[:runs], int(minutes * 60e9 * runs))]
    assert made[0] == most


def test_a_run_far_from_the_others_asks_for_more() -> None:
    values = [1000, 1001] * 10 + [1020]
    rule = RelativeDeviation(1, times=21)
    assert np.std(values, ddof=1) / np.mean(values) < 0.025
    assert not rule.reason(ns(values), 0)
    assert rule.reason(ns([1000, 1001] * 10 + [1001]), 0)


def test_a_warm_up_ends_early_when_steady_and_in_time_when_not() -> None:
    steady = Steady(1.0, 3)
    assert steady.reason(ns([1000] * 80), int(0.1e9)) == "warm and steady"
    assert not steady.reason(ns([1000] * 80), int(0.09e9))
    assert not steady.reason(ns(range(10_000, 2000, -100)), int(0.5e9))
    assert steady.reason(ns([5, 4, 3]), int(1e9)) == "warm"
    assert not steady.reason(ns([5, 4]), int(2e9))
    measured = closed_loop(time.sleep, [0.03], [Steady(0.1, 8)])
    assert measured.samples_ns.size == 8


def test_rules_are_asked_only_when_they_are_due() -> None:
    asked: list[int] = []

    class Hundredth:
        def due(self, count: int, elapsed_ns: int) -> tuple[int, int]:
            return count + 100, NEVER

        def reason(self, samples: np.ndarray, elapsed_ns: int) -> str:
            asked.append(samples.size)
            return ""

    closed_loop(lambda feed: None, [None], [Hundredth(), MaxCount(1000), Budget(60)], keep=(50, 150))
    assert asked == list(range(100, 1001, 100))
