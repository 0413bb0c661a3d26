# SPDX-License-Identifier: Apache-2.0
"""Warm-up, drift, modes, outliers and throttling: found where they are, and hardly ever where they are not."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from codereef.bench import series
from codereef.bench.dip import LIMIT, dip, find_modes
from codereef.bench.signs import Course, signs_of_processes
from scipy.optimize import linprog

Random = np.random.Generator
Floats = npt.NDArray[np.float64]


def remembering(rng: Random, n: int, correlation: float) -> Floats:
    """Noise of which each value resembles the one before."""
    noise = rng.normal(0, np.sqrt(1 - correlation**2), n)
    values = np.empty(n)
    values[0] = rng.normal()
    for i in range(1, n):
        values[i] = correlation * values[i - 1] + noise[i]
    return values


def said(values: list[float], course: Course = ((), ())) -> tuple[str, ...]:
    """What is said of one series."""
    return signs_of_processes([values], courses=[course]).warnings


STEADY: dict[str, Callable[[Random, int], Floats]] = {
    "gamma": lambda rng, n: 0.01 + rng.gamma(4, 0.0005, n),
    "normal": lambda rng, n: rng.normal(1, 0.01, n),
    "lognormal": lambda rng, n: rng.lognormal(0, 0.3, n),
    "remembering": lambda rng, n: 10 + remembering(rng, n, 0.8),
    "spikes": lambda rng, n: (1 + rng.gamma(2, 0.02, n)) * np.where(rng.random(n) < 0.02, 5, 1),
    "a coarse clock": lambda rng, n: np.round(rng.gamma(20, 1, n)),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", STEADY)
def test_steady_noise_hardly_ever_shows_a_sign(kind: str) -> None:
    rng, runs = np.random.default_rng(4), 300
    found = {"warm-up": 0, "drift": 0, "modes": 0}
    for _ in range(runs):
        seen = series.signs(STEADY[kind](rng, 300).tolist())
        found["warm-up"] += seen.warm_up.end > 0
        found["drift"] += seen.drift is not None and seen.drift.p_value < series.DRIFT_P
        found["modes"] += seen.modes is not None
    # One in a hundred, and three standard errors of that for so many runs.
    assert max(found.values()) / runs <= 0.025, found


@pytest.mark.parametrize("head", [10, 30, 100])
def test_the_end_of_a_warm_up_is_found(head: int) -> None:
    rng = np.random.default_rng(4)
    ends = []
    for _ in range(60):
        values = 0.01 + rng.gamma(4, 0.0005, 400)
        values[:head] *= 1 + np.exp(-np.arange(head) / (head / 2))
        ends.append(series.warm_up(values.tolist()).end)
    assert head <= np.median(ends) <= 1.5 * head
    before, after = series.set_apart(values.tolist())
    assert [*before, *after] == values.tolist(), "no sample is dropped"
    assert len(before) == ends[-1] and said(values.tolist())[0].startswith(
        f"a warm-up is among the samples: the first {ends[-1]} of 400"
    )


def test_a_series_that_never_settles_has_no_end_of_its_warm_up() -> None:
    values = np.linspace(2, 1, 400) + np.random.default_rng(1).normal(0, 0.01, 400)
    found = series.warm_up(values.tolist())
    assert not found.settled and series.set_apart(values.tolist())[0] == []
    assert said(values.tolist())[0].startswith("still warming up: the median latency fell")


def test_a_single_slow_call_and_a_fast_beginning_are_no_warm_up() -> None:
    values = (1 + np.random.default_rng(1).gamma(4, 0.01, 300)).tolist()
    assert series.warm_up([9.0, *values]).end == 0
    assert series.warm_up([0.5] * 30 + values).end == 0
    assert series.warm_up([1.0] * 500) == series.WarmUp(0, 0.0, True) == series.warm_up([3.0])


@pytest.mark.parametrize("change", [0.08, -0.08])
def test_drift_is_found_with_its_size(change: float) -> None:
    rng = np.random.default_rng(2)
    values = (0.01 + rng.gamma(4, 0.0005, 400)) * np.linspace(1, 1 + 2 * change, 400)
    found = series.drift(values.tolist())
    assert found is not None and not found.steady and found.p_value < 0.001
    assert found.change == pytest.approx(np.median(values[200:]) / np.median(values[:200]) - 1)


def test_two_modes_are_found_with_place_and_share() -> None:
    rng = np.random.default_rng(2)
    values = np.where(rng.random(600) < 0.7, rng.normal(1e-3, 1e-5, 600), rng.normal(1.2e-3, 1e-5, 600))
    found = find_modes(values.tolist())
    assert found is not None
    assert (found.low, found.high) == (pytest.approx(1e-3, rel=0.01), pytest.approx(1.2e-3, rel=0.01))
    assert found.share == pytest.approx(0.7, abs=0.05)
    (warning,) = said(values.tolist())
    assert warning.startswith("more than one mode: 71 % of the samples of latency lie around 1.001 ms and 29 % around")
    assert find_modes(values[:40].tolist()) is None, "too few to say"


@pytest.mark.slow
@pytest.mark.parametrize("n", [50, 200, 1000])
def test_the_dip_of_uniform_values_stays_under_its_limit(n: int) -> None:
    rng = np.random.default_rng(n)
    dips = np.array([dip(np.sort(rng.random(n)).tolist()) for _ in range(1500)]) * np.sqrt(n)
    assert np.mean(dips > LIMIT) <= 0.004


def dip_by_its_definition(x: Floats) -> float:
    """The least t with a distribution, convex before a mode and concave after, within t of the empirical one."""
    n, best = len(x), 1.0
    for mode in range(n):
        left, right = mode + 1, n - mode
        size = left + right + 1
        limits: list[tuple[Floats, float]] = []

        def add(
            terms: dict[int, float], bound: float, limits: list[tuple[Floats, float]] = limits, size: int = size
        ) -> None:
            row = np.zeros(size)
            for i, factor in terms.items():
                row[i] += factor
            limits.append((row, bound))

        for i in range(n):
            for variable, height in ((i if i <= mode else left + i - mode, i / n),
                                     (i if i < mode else left + i - mode, (i + 1) / n)):  # fmt: skip
                add({variable: 1, size - 1: -1}, height)
                add({variable: -1, size - 1: -1}, -height)
        for part, first, sign in ((x[: mode + 1], 0, 1), (x[mode:], left, -1)):
            for i in range(1, len(part) - 1):
                one, two = part[i] - part[i - 1], part[i + 1] - part[i]
                k = first + i
                add({k: sign * (1 / one + 1 / two), k - 1: -sign / one, k + 1: -sign / two}, 0)
            for i in range(len(part) - 1):
                add({first + i: 1, first + i + 1: -1}, 0)
        add({left - 1: 1, left: -1}, 0)
        cost = np.zeros(size)
        cost[-1] = 1
        solved = linprog(
            cost,
            A_ub=np.array([r for r, _ in limits]),
            b_ub=[b for _, b in limits],
            bounds=[(0, 1)] * size,
            method="highs",
        )
        best = min(best, float(solved.fun)) if solved.success else best
    return best


def test_the_dip_is_the_one_that_linear_programming_finds() -> None:
    rng = np.random.default_rng(3)
    for trial in range(16):
        n = int(rng.integers(4, 12))
        parts = [rng.normal(0, 1, n), rng.normal(6, 1, n // 2)] if trial % 2 else [rng.random(n)]
        values = np.sort(np.concatenate(parts))
        assert dip(values.tolist()) == pytest.approx(dip_by_its_definition(values), abs=1e-7)
    assert dip([1.0, 1.0, 1.0]) == pytest.approx(1 / 6)


def test_outliers_are_counted_and_kept() -> None:
    values = [1.0 + i % 10 / 100 for i in range(200)] + [9.0] * 5
    found = series.outliers(values)
    assert (found.count, found.share) == (5, 5 / 205)
    assert found.low < 1.0 and 1.09 < found.high < 9.0
    assert said(values)[-1].startswith("outliers: 5 of 205 samples of latency (2.4 %) lie outside")
    assert series.outliers([1.0] * 60 + [2.0] * 3).count == 3, "where most are equal"
    assert series.outliers([1.0]) == series.Outliers(0, 0.0, 1.0, 1.0)


def test_throttling_needs_latency_and_the_machine_to_agree() -> None:
    rng = np.random.default_rng(2)
    steady = (1e-3 + rng.gamma(4, 1e-5, 400)).tolist()
    rising = (np.array(steady) * np.linspace(1, 1.2, 400)).tolist()
    falling = series.throttling(rising, [3.0e9, 2.4e9], [50.0, 80.0])
    assert falling is not None and falling.certain and falling.clock == pytest.approx(-0.2)
    warm = series.throttling(rising, (), [50.0, 80.0])
    assert warm is not None and not warm.certain and warm.warmer == 30
    assert series.throttling(rising, [3.0e9, 3.0e9], [50.0, 80.0]) is None, "the clock was seen to stay"
    assert series.throttling(rising) is None and series.throttling(steady, [3e9, 1e9]) is None
    (first, *_) = said(rising, ([3.0e9, 2.4e9], [50.0, 80.0]))
    assert first.startswith("throttled: the median latency rose by") and first.endswith(
        "while the clock fell by 20 % and it became 30 degrees warmer"
    )


def test_the_memory_of_a_series_is_told_also_where_it_has_spikes() -> None:
    rng = np.random.default_rng(6)
    values = 10 + remembering(rng, 2000, 0.8)
    assert series.signs(values.tolist()).memory == pytest.approx(0.8, abs=0.06)
    assert series.signs(rng.permutation(values).tolist()).memory < 0.1
    values[::100] *= 50
    assert series.signs(values.tolist()).memory > 0.6


def test_signs_are_json() -> None:
    json.dumps(series.signs([1.0, 2.0, 3.0]).as_dict())
    json.dumps(series.signs(([1.0] * 50 + [2.0, 2.1, 2.2]) * 5).as_dict())
