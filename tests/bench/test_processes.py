# SPDX-License-Identifier: Apache-2.0
"""Statistics of one and of several processes: intervals that hold what they promise, also for few of them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from codereef.bench.processes import between_processes, combine_single, summarise_processes
from codereef.bench.statistics import bootstrap, middle, needed_samples
from hypothesis import given
from hypothesis import strategies as st


def processes(rng: np.random.Generator, count: int, n: int, shift: float) -> list[list[float]]:
    """Samples with mean 0.014, of which each process shifts its own by a share of `shift`."""
    return [((0.010 + rng.gamma(4, 0.001, n)) * (1 + rng.normal(0, shift))).tolist() for _ in range(count)]


def test_values_are_those_of_all_samples() -> None:
    series = processes(np.random.default_rng(1), 3, 400, 0.05)
    everything = np.concatenate(series)
    metrics = summarise_processes(series).metrics
    assert set(metrics) == {"latency_p50", "latency_p90", "latency_p99", "latency_mean", "throughput"}
    for name, value in (
        ("latency_p50", np.median(everything)),
        ("latency_p90", np.percentile(everything, 90)),
        ("latency_p99", np.percentile(everything, 99)),
        ("latency_mean", everything.mean()),
        ("throughput", 1 / everything.mean()),
    ):
        metric = metrics[name]
        assert metric.value == pytest.approx(value) and metric.samples == 1200
        assert metric.interval is not None and metric.interval[0] <= metric.value <= metric.interval[1]


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 3, 5])
@pytest.mark.parametrize("shift", [0.0, 0.02])
def test_intervals_cover_as_often_as_they_say_for_few_processes(count: int, shift: float) -> None:
    rng = np.random.default_rng(count)
    true = {"latency_p50": 0.010 + 0.001 * 3.67206, "latency_p90": 0.010 + 0.001 * 6.68078, "latency_mean": 0.014}
    hits, runs = dict.fromkeys([*true, "throughput"], 0), 100
    for trial in range(runs):
        metrics = summarise_processes(processes(rng, count, 120, shift), quantiles=(0.5, 0.9), seed=trial).metrics
        for name, value in {**true, "throughput": 1 / 0.014}.items():
            bounds = metrics[name].interval
            assert bounds is not None
            hits[name] += bounds[0] <= value <= bounds[1]
    # 95 % less almost three standard errors.
    assert min(hits.values()) / runs >= 0.89, hits


def test_a_bootstrap_alone_would_be_too_narrow() -> None:
    """The interval is wider than that of samples taken for independent, which is what it is there for."""
    rng = np.random.default_rng(5)
    series = processes(rng, 4, 500, 0.03)
    pooled = summarise_processes([[v for values in series for v in values]]).metrics["latency_p50"].interval
    apart = summarise_processes(series).metrics["latency_p50"].interval
    assert pooled is not None and apart is not None
    assert apart[1] - apart[0] > 2 * (pooled[1] - pooled[0])


def test_the_intervals_of_one_process_are_those_of_the_block_bootstrap() -> None:
    [values] = processes(np.random.default_rng(1), 1, 1200, 0.0)
    summary = summarise_processes([values], confidence=0.9, seed=3)
    metrics = summary.metrics
    assert list(metrics) == ["latency_p50", "latency_p90", "latency_p99", "latency_mean", "throughput"]
    points, means = bootstrap(values, (0.5, 0.9, 0.99), 3)
    for name, percent, draws in zip(metrics, (50, 90, 99), points):
        assert metrics[name].value == pytest.approx(np.percentile(values, percent))
        assert metrics[name].interval == middle(draws, 0.9) and metrics[name].confidence == 0.9
    low, high = middle(means, 0.9)
    assert (metrics["latency_mean"].value, metrics["latency_mean"].interval) == (
        pytest.approx(np.mean(values)),
        (low, high),
    )
    assert metrics["throughput"].value == pytest.approx(1 / np.mean(values))
    assert metrics["throughput"].interval == pytest.approx((1 / high, 1 / low), rel=1e-6)
    assert (summary.between.share, summary.between.p_value, summary.between.uneven) == (None, None, False)


@pytest.mark.parametrize(("q", "n"), [(0.25, 14), (0.5, 20), (0.9, 100), (0.99, 1000), (0.75, 40)])
def test_percentiles_appear_with_ten_samples_above_them(q: float, n: int) -> None:
    assert needed_samples(q) == n
    label = f"x_p{q * 100:g}"
    values = np.linspace(1, 2, n).tolist()
    metric = summarise_processes([values], "x", (q,)).metrics[label]
    assert metric.value is not None and metric.interval is not None
    missing = summarise_processes([values[1:]], "x", (q,)).metrics[label]
    assert missing.value is None and missing.interval is None
    assert missing.reason == f"p{q * 100:g} needs {n} samples, there are {n - 1}"


def test_one_sample_gives_a_mean_and_no_uncertainty() -> None:
    metrics = summarise_processes([[0.5]]).metrics
    assert metrics["latency_p50"].value is None
    for name, value in (("latency_mean", 0.5), ("throughput", 2.0)):
        assert (metrics[name].value, metrics[name].interval, metrics[name].confidence) == (value, None, None)
        assert "bootstrap" not in metrics[name].method


@pytest.mark.slow
def test_processes_that_do_not_differ_are_hardly_ever_said_to() -> None:
    rng, runs = np.random.default_rng(2), 300
    alarms = sum((between_processes(processes(rng, 5, 200, 0.0), trial).p_value or 0) < 0.01 for trial in range(runs))
    assert alarms / runs <= 0.025


def test_one_unlucky_process_is_said() -> None:
    rng = np.random.default_rng(2)
    series = processes(rng, 4, 300, 0.0)
    series.append([value * 1.2 for value in series[0]])
    summary = summarise_processes(series)
    assert summary.between.uneven and (summary.between.share or 0) > 0.9
    json.dumps(summary.between.as_dict())


@pytest.mark.slow
def test_share_tells_noise_within_from_what_lies_between() -> None:
    rng = np.random.default_rng(7)
    within = [between_processes(processes(rng, 5, 200, 0.0), i).share or 0.0 for i in range(20)]
    across = [between_processes(processes(rng, 5, 200, 0.1), i).share or 0.0 for i in range(20)]
    assert np.median(within) < 0.5 < 0.95 < np.median(across)


def test_too_few_samples_give_no_interval_and_none_at_all_is_refused() -> None:
    metrics = summarise_processes([[0.1, 0.2], []]).metrics
    assert metrics["latency_p50"].value is None and metrics["latency_p50"].reason == "p50 needs 20 samples, there are 2"
    assert metrics["latency_mean"].value == pytest.approx(0.15) and metrics["latency_mean"].interval is None
    assert "throughput" not in summarise_processes([[0.1]], name="first").metrics
    with pytest.raises(ValueError, match="no samples"):
        summarise_processes([[]])


@given(st.lists(st.floats(1e-3, 1e3), min_size=2, max_size=9))
def test_single_values_are_combined_by_their_median(values: list[float]) -> None:
    found = combine_single(values)
    assert found.value == np.median(values) and found.interval == (min(values), max(values))
    assert found.samples == len(values)


def test_the_range_of_single_values_holds_the_median_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    for n in (2, 3, 5):
        intervals = [combine_single(rng.exponential(1, n).tolist()) for _ in range(2000)]
        share = np.mean([f.interval is not None and f.interval[0] <= np.log(2) <= f.interval[1] for f in intervals])
        assert intervals[0].confidence == 1 - 2.0 ** (1 - n)
        assert share == pytest.approx(intervals[0].confidence, abs=0.03)
    assert combine_single([3.0]).interval is None
    with pytest.raises(ValueError, match="no values"):
        combine_single([])
