# SPDX-License-Identifier: Apache-2.0
"""Statistics against numpy, scipy, hand-worked values and simulated coverage."""

from __future__ import annotations

import math
import random
import subprocess
import sys

import numpy as np
import pytest
from codereef.bench import statistics
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp

values_lists = st.lists(st.floats(1e-6, 1e3), min_size=1, max_size=60)


@settings(max_examples=80, deadline=None)
@given(values_lists, st.floats(0, 1))
def test_percentile_equals_its_definition(values: list[float], q: float) -> None:
    ordered = sorted(values)
    place = q * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    expected = ordered[low] + (ordered[high] - ordered[low]) * (place - low)
    assert statistics.percentile(values, q) == pytest.approx(expected, rel=1e-9)
    assert statistics.percentile(values, q) == pytest.approx(float(np.percentile(values, q * 100)), rel=1e-9)


def test_percentile_by_hand() -> None:
    assert statistics.percentile([4.0, 1.0, 3.0, 2.0], 0.5) == 2.5
    assert statistics.percentile(range(1, 102), 0.9) == 91
    assert statistics.percentile([7.0], 1.0) == 7.0
    with pytest.raises(ValueError, match="no samples"):
        statistics.percentile([], 0.5)


def test_median_interval_by_hand() -> None:
    # n = 100, z = 1.96: ranks floor(50 - 9.8) = 40 and ceil(50 + 9.8) + 1 = 61.
    assert statistics.median_interval(range(1, 101), 0.95) == (40, 61)
    assert statistics.median_interval(range(3), 0.95) is None


def test_median_interval_covers_the_median_as_often_as_it_says() -> None:
    rng = np.random.default_rng(7)
    hits = 0
    for _ in range(1000):
        interval = statistics.median_interval(rng.exponential(1, 80).tolist(), 0.95)
        assert interval is not None
        hits += interval[0] <= math.log(2) <= interval[1]
    assert 0.93 <= hits / 1000 <= 0.995


@pytest.mark.slow
def test_bootstrap_interval_covers_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(11)
    hits = {"median": 0, "mean": 0}
    for trial in range(150):
        (medians,), means = statistics.bootstrap(rng.exponential(1, 200).tolist(), (0.5,), trial, draws=400)
        low, high = statistics.middle(medians, 0.95)
        hits["median"] += low <= math.log(2) <= high
        low, high = statistics.middle(means, 0.95)
        hits["mean"] += low <= 1 <= high
    # Binomial standard error 0.02; the percentile bootstrap of 200 samples is a little narrow.
    assert all(0.87 <= hit / 150 <= 1 for hit in hits.values()), hits


def test_blocks_widen_the_interval_of_a_series_whose_neighbours_are_alike() -> None:
    rng = np.random.default_rng(5)
    noise = rng.normal(0, 1, 3000)
    series = np.empty_like(noise)
    series[0] = noise[0]
    for i in range(1, noise.size):
        series[i] = 0.8 * series[i - 1] + noise[i]
    alone = rng.permutation(series)

    def width(values: np.ndarray) -> float:
        low, high = statistics.middle(statistics.bootstrap((values + 100).tolist(), (), 1)[1], 0.95)
        return high - low

    # With infinite blocks it would be sqrt((1 + .8) / (1 - .8)) = 3 times as wide; 15 samples get most of it.
    assert 1.8 < width(series) / width(alone) < 3.2


def blocks_by_numpy(values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """The resampled series, written out: rows of blocks that begin at `starts`, in a circle, cut to the length."""
    n = values.size
    length = math.ceil(n ** (1 / 3))
    return values[((starts[..., None] + np.arange(length)) % n).reshape(len(starts), -1)[:, :n]]


SERIES = {
    "gamma": lambda rng, n: rng.gamma(4, 1e-4, n),
    "ties": lambda rng, n: rng.integers(3, 7, n) / 8,
    "constant": lambda rng, n: np.full(n, 0.25),
    "drift": lambda rng, n: np.linspace(1, 2, n),
    "two modes that alternate slowly": lambda rng, n: np.where(np.arange(n) // 50 % 2, 1.0, 5.0) + rng.random(n) / 9,
    "spikes": lambda rng, n: np.where(rng.random(n) < 0.02, 1.0, 1e-3) * rng.random(n),
}


@pytest.mark.parametrize("n", [1, 2, 3, 7, 20, 61, 500])
@pytest.mark.parametrize("kind", SERIES)
def test_every_draw_is_the_one_that_numpy_gets_by_writing_it_out(kind: str, n: int) -> None:
    values = SERIES[kind](np.random.default_rng(n), n)
    quantiles, draws = (0.0, 0.5, 0.9, 0.99, 1.0), 40
    points, means = statistics.bootstrap(values.tolist(), quantiles, 5, draws)
    chance = random.Random(5)
    blocks = math.ceil(n / math.ceil(n ** (1 / 3)))
    drawn = blocks_by_numpy(values, np.array([[int(chance.random() * n) for _ in range(blocks)] for _ in range(draws)]))
    np.testing.assert_allclose(points, np.percentile(drawn, [q * 100 for q in quantiles], axis=1), rtol=1e-12)
    np.testing.assert_allclose(means, drawn.mean(axis=1), rtol=1e-12)


@pytest.mark.parametrize("n", [101, 3000])
def test_the_interval_is_that_of_a_bootstrap_with_numpy_and_its_own_draws(n: int) -> None:
    values = np.random.default_rng(n).gamma(4, 1e-4, n)
    (medians,), means = statistics.bootstrap(values.tolist(), (0.5,), 1, 1500)
    blocks = math.ceil(n / math.ceil(n ** (1 / 3)))
    drawn = blocks_by_numpy(values, np.random.default_rng(8).integers(0, n, (1500, blocks)))
    for ours, theirs in ((medians, np.median(drawn, axis=1)), (means, drawn.mean(axis=1))):
        assert ks_2samp(ours, theirs).pvalue > 0.001
        width = float(np.ptp(np.percentile(theirs, [2.5, 97.5])))
        np.testing.assert_allclose(
            statistics.middle(ours, 0.95), np.percentile(theirs, [2.5, 97.5]), rtol=0, atol=0.12 * width
        )


def test_bootstrap_repeats_with_its_seed_and_bounds_its_work() -> None:
    values = np.random.default_rng(1).gamma(2, 1, 500).tolist()
    first, again, other = (statistics.bootstrap(values, (0.5, 0.9), seed, 300)[0] for seed in (3, 3, 4))
    assert first == again != other
    assert [statistics.draws_for(n) for n in (10, 10_000, 100_000, 10**9)] == [2000, 2000, 200, 200]


def test_statistics_and_comparison_need_nothing_but_the_standard_library() -> None:
    # The client's Python has no numpy; the solution's has, and runs the same lines.
    program = (
        "import sys\nfor name in ('numpy', 'scipy'): sys.modules[name] = None\n"
        "from codereef.bench.compare import compare\n"
        "from codereef.bench.processes import summarise_processes\n"
        "values = [1 + i % 7 / 100 for i in range(200)]\n"
        "print(compare([values], [[2 * v for v in values]]).verdict, len(summarise_processes([values]).metrics))"
    )
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert out.split() == ["slower", "5"]


def test_wilson_interval_equals_scipy() -> None:
    from scipy.stats import binomtest

    for hits, n in ((0, 3), (3, 3), (7, 20), (902, 1000)):
        theirs = binomtest(hits, n).proportion_ci(0.95, method="wilson")
        ours = statistics.proportion_interval(hits, n, 0.95)
        np.testing.assert_allclose(ours, (theirs.low, theirs.high), atol=1e-12)
