# SPDX-License-Identifier: Apache-2.0
"""Rank tests, effect sizes and corrections against scipy and simulation."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from codereef.bench import distributions
from codereef.bench.ranks import forgetting, holm, mann_whitney, memory, superiority, trend
from hypothesis import given, settings
from hypothesis import strategies as st


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.integers(0, 30), min_size=1, max_size=30),
    st.lists(st.integers(0, 30), min_size=1, max_size=30),
)
def test_mann_whitney_equals_scipy(a: list[int], b: list[int]) -> None:
    from scipy.stats import mannwhitneyu

    first, second = list(map(float, a)), list(map(float, b))
    exact = len(set(a + b)) == len(a + b) and min(len(a), len(b)) <= 8
    if len(set(a + b)) == 1:
        assert mann_whitney(first, second)[1] == 1.0
        return
    if not exact and max(len(a), len(b)) <= 12:
        return  # the next test is about these
    theirs = mannwhitneyu(first, second, alternative="two-sided", method="exact" if exact else "asymptotic")
    u, p = mann_whitney(first, second)
    assert u == theirs.statistic
    assert p == pytest.approx(min(1.0, theirs.pvalue), rel=1e-9, abs=1e-300)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=6), st.lists(st.integers(0, 4), min_size=1, max_size=6))
def test_mann_whitney_with_ties_counts_every_way_to_part_the_values(a: list[int], b: list[int]) -> None:
    from scipy.stats import rankdata

    ranks = rankdata(a + b)
    centre = len(a) * (len(a) + len(b) + 1) / 2
    far = abs(ranks[: len(a)].sum() - centre)
    sums = [abs(sum(part) - centre) for part in itertools.combinations(ranks, len(a))]
    expected = np.mean([distance >= far - 1e-9 for distance in sums])
    assert mann_whitney([*map(float, a)], [*map(float, b)])[1] == pytest.approx(expected)


few = st.lists(st.integers(0, 9).map(float), min_size=1, max_size=12)


@given(few, few)
def test_superiority_counts_pairs(a: list[float], b: list[float]) -> None:
    pairs = [(y > x) + (y == x) / 2 for x, y in itertools.product(a, b)]
    assert superiority(a, b) == pytest.approx(sum(pairs) / len(pairs))
    assert superiority(a, b) + superiority(b, a) == pytest.approx(1)


@given(st.lists(st.integers(0, 6).map(float), min_size=4, max_size=30))
def test_trend_is_kendalls_tau_of_values_and_their_places(values: list[float]) -> None:
    from scipy.stats import kendalltau

    if len(set(values)) == 1:
        assert trend(values) == 1.0
        return
    n = len(values)
    tau = kendalltau(range(n), values, variant="b").statistic
    ties = sum(values.count(v) - 1 for v in values) / 2
    s = round(float(tau * np.sqrt(n * (n - 1) / 2 * (n * (n - 1) / 2 - ties))))
    counts = [values.count(v) for v in set(values)]
    variance = (n * (n - 1) * (2 * n + 5) - sum(t * (t - 1) * (2 * t + 5) for t in counts)) / 18
    from scipy.stats import norm

    assert trend(values) == pytest.approx(2 * norm.sf(max(0, abs(s) - 1) / np.sqrt(variance)))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_its_definition(p_values: list[float]) -> None:
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    for level in (0.01, 0.05, 0.3):
        rejected = []
        for rank, i in enumerate(order):
            if p_values[i] * (len(p_values) - rank) > level:
                break
            rejected.append(i)
        corrected = holm(p_values)
        assert {i for i, p in enumerate(corrected) if p <= level} == set(rejected)


def test_holm_keeps_the_chance_of_any_false_alarm() -> None:
    rng = np.random.default_rng(3)
    alarms = sum(min(holm(rng.random(4).tolist())) < 0.05 for _ in range(4000))
    assert alarms / 4000 == pytest.approx(0.0491, abs=0.012)


@pytest.mark.parametrize("freedom", [1, 1.5, 2, 4, 8, 30, 200])
def test_t_and_f_are_those_of_scipy(freedom: float) -> None:
    from scipy import stats

    for confidence in (0.5, 0.9, 0.95, 0.99, 0.998):
        assert distributions.t_quantile(confidence, freedom) == pytest.approx(
            stats.t.ppf(0.5 + confidence / 2, freedom), rel=1e-9
        )
    for x in (0.0, 0.1, 1.0, 3.0, 20.0, np.inf):
        assert distributions.t_two_sided(x, freedom) == pytest.approx(2 * stats.t.sf(x, freedom), abs=1e-12)
        assert distributions.f_tail(x, freedom, 7) == pytest.approx(stats.f.sf(x, freedom, 7), abs=1e-12)


def test_memory_is_the_lag_one_correlation_and_takes_off_significance() -> None:
    rng = np.random.default_rng(3)
    values = [0.0]
    for noise in rng.normal(0, 1, 20_000):
        values.append(0.6 * values[-1] + noise)
    assert memory(values) == pytest.approx(0.6, abs=0.03)
    assert memory([1.0, -1.0] * 50) == 0 == memory([1.0] * 50) == memory([])
    assert forgetting(0.05, 0.0) == pytest.approx(0.05)
    assert forgetting(0.001, 0.6) == pytest.approx(0.0999, abs=0.001)
    assert (forgetting(0.0, 0.5), forgetting(1.0, 0.5)) == (0.0, 1.0)
