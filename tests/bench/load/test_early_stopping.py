# SPDX-License-Identifier: Apache-2.0
"""MLPerf's early stopping against scipy's binomial distribution and against the numbers that MLPerf states."""

from __future__ import annotations

import pytest
from codereef.bench.load.early_stopping import estimate, fewest_queries, most_over, probability
from scipy.stats import binom

SIZES = [1, 2, 63, 64, 500, 10_000, 1_000_000]


@pytest.mark.parametrize("percentile", [0.5, 0.9, 0.97, 0.99, 0.999])
@pytest.mark.parametrize("n", SIZES)
def test_probabilities_are_those_of_the_binomial_distribution(n: int, percentile: float) -> None:
    mean = n * (1 - percentile)
    for t in {0, 1, int(mean), int(mean + mean**0.5), n}:
        assert probability(t, n, percentile) == pytest.approx(binom.cdf(t, n, 1 - percentile), rel=1e-6, abs=1e-12)


@pytest.mark.parametrize("percentile", [0.5, 0.9, 0.99])
@pytest.mark.parametrize("n", SIZES)
def test_the_most_that_may_be_over_is_the_last_that_the_distribution_permits(n: int, percentile: float) -> None:
    found = most_over(n, percentile)
    permitted = [t for t in range(n if n < 1000 else 0) if binom.cdf(t, n, 1 - percentile) < 0.01]
    if n < 1000:
        assert found == (permitted[-1] if permitted else None)
    else:
        assert found is not None
        assert binom.cdf(found, n, 1 - percentile) < 0.01 <= binom.cdf(found + 1, n, 1 - percentile)


@pytest.mark.parametrize(("percentile", "t", "queries"), [(0.9, 1, 64), (0.99, 1, 662), (0.9, 0, 44), (0.99, 0, 459)])
def test_the_fewest_queries_are_those_of_mlperf(percentile: float, t: int, queries: int) -> None:
    """64 for Single Stream and 662 for Multi Stream stand in MLPerf's rules and in mlperf.conf."""
    assert fewest_queries(t, percentile) == queries
    assert binom.cdf(t, queries, 1 - percentile) < 0.01 <= binom.cdf(t, queries - 1, 1 - percentile)


def test_more_slow_queries_need_more_queries_in_all() -> None:
    needed = [fewest_queries(t, 0.99) for t in range(20)]
    assert needed == sorted(set(needed))
    for t, n in enumerate(needed):
        assert most_over(n, 0.99) == t


def test_the_estimate_lies_above_the_percentile_as_measured_and_comes_down_to_it() -> None:
    for n in (64, 1000, 100_000):
        ordered = [float(i) for i in range(n)]
        found = estimate(ordered, 0.9)
        assert found is not None
        assert 0.9 * n < found <= n - 1
    assert estimate([float(i) for i in range(100_000)], 0.9) < 90_300  # type: ignore[operator]
    assert estimate([1.0] * 63, 0.9) is None
