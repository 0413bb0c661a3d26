# SPDX-License-Identifier: Apache-2.0
"""What the series of several processes show together."""

from __future__ import annotations

import random

from codereef.bench.signs import signs_of_processes


def plain(seed: int, count: int = 400) -> list[float]:
    generator = random.Random(seed)
    return [0.010 * (1 + 0.02 * generator.gauss(0, 1)) for _ in range(count)]


def two_modes(seed: int) -> list[float]:
    generator = random.Random(seed)
    return [(0.010 if generator.random() < 0.7 else 0.030) * (1 + 0.01 * generator.gauss(0, 1)) for _ in range(400)]


def rising(seed: int) -> list[float]:
    return [value * (1 + 0.3 * place / 400) for place, value in enumerate(plain(seed))]


def test_plain_series_are_nothing_to_warn_of() -> None:
    assert signs_of_processes([plain(seed) for seed in range(7)]) == ()


def test_a_sign_of_one_of_many_processes_is_chance_and_of_two_is_said_once() -> None:
    others = [plain(seed) for seed in range(5)]
    assert not any("mode" in text for text in signs_of_processes([two_modes(8), plain(9), *others]))
    [said] = [text for text in signs_of_processes([two_modes(8), two_modes(9), *others]) if "mode" in text]
    assert "in 2 of 7 processes" in said and "around 9.983 ms" in said and "around 29.95 ms" in said


def test_drift_names_the_largest_change() -> None:
    said = signs_of_processes([rising(seed) for seed in range(3)])
    assert any("not steady in 3 of 3 processes" in text and "+1" in text for text in said)


def test_outliers_are_counted_over_all_processes() -> None:
    wild = [[*plain(seed)[:380], *[0.5] * 20] for seed in range(4)]
    [said] = [text for text in signs_of_processes(wild) if text.startswith("outliers")]
    assert "80 of 1,600 samples of latency (5.0 %)" in said and "kept" in said


def test_a_clock_that_falls_with_rising_latency_is_throttling() -> None:
    falling = ([3e6, 2.9e6, 2.0e6], [])
    steady = ([3e6, 3e6, 3e6], [])
    said = signs_of_processes([rising(seed) for seed in range(3)], "latency", [falling] * 3)
    assert any(text.startswith("throttled in 3 of 3 processes") for text in said)
    assert not any("throttled" in text for text in signs_of_processes([rising(1)] * 3, "latency", [steady] * 3))


def test_processes_without_samples_are_left_out() -> None:
    assert signs_of_processes([[], plain(1)]) == ()
    assert signs_of_processes([[], []]) == ()
