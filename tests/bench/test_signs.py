# SPDX-License-Identifier: Apache-2.0
"""What the series of one and of several processes show together, as data and in sentences."""

from __future__ import annotations

import json
import random

import pytest
from codereef.bench.processes import between_processes
from codereef.bench.signs import signs_of_processes

FALLING = ([3e6, 2.9e6, 2.0e6], [])


def plain(seed: int, count: int = 400) -> list[float]:
    generator = random.Random(seed)
    return [0.010 * (1 + 0.02 * generator.gauss(0, 1)) for _ in range(count)]


def two_modes(seed: int) -> list[float]:
    generator = random.Random(seed)
    return [(0.010 if generator.random() < 0.7 else 0.030) * (1 + 0.01 * generator.gauss(0, 1)) for _ in range(400)]


def rising(seed: int) -> list[float]:
    return [value * (1 + 0.3 * place / 400) for place, value in enumerate(plain(seed))]


def slow_first(seed: int) -> list[float]:
    return [value * (1.5 if place < 40 else 1) for place, value in enumerate(plain(seed))]


def slower_and_slower(seed: int) -> list[float]:
    return list(reversed(rising(seed)))


def wild(seed: int) -> list[float]:
    return [0.5 if place % 20 == 0 else value for place, value in enumerate(plain(seed))]


def test_plain_series_are_nothing_to_warn_of() -> None:
    found = signs_of_processes([plain(seed) for seed in range(7)])
    assert (found.warnings, found.shown, list(found.each)) == ((), {}, [*range(1, 8)])


def test_a_sign_of_one_of_many_processes_is_chance_and_of_two_is_said_once() -> None:
    others = [plain(seed) for seed in range(5)]
    alone = signs_of_processes([two_modes(8), plain(9), *others])
    assert "modes" not in alone.shown and not any("mode" in text for text in alone.warnings)
    assert alone.each[1].modes is not None, "it is still there as data"
    found = signs_of_processes([two_modes(8), *others, two_modes(9)])
    [said] = [text for text in found.warnings if "mode" in text]
    assert found.shown["modes"] == (1, 7)
    assert "in 2 of 7 processes: in the first of them, " in said and "around 9.983 ms" in said and "29.95 ms" in said


def test_of_two_processes_one_is_enough() -> None:
    found = signs_of_processes([plain(1), two_modes(8)])
    assert found.shown == {"modes": (2,)}
    assert found.warnings[0].startswith("more than one mode in 1 of 2 processes: ")


@pytest.mark.parametrize(
    ("sign", "make", "head"),
    [
        ("warm_up", slow_first, "a warm-up is among the samples"),
        ("settling", slower_and_slower, "still warming up"),
        ("drift", rising, "not steady"),
        ("modes", two_modes, "more than one mode"),
        ("outliers", wild, "outliers"),
    ],
)
def test_one_process_and_several_have_the_same_signs_and_sentences(sign: str, make, head: str) -> None:  # type: ignore[no-untyped-def]
    one = signs_of_processes([make(1)])
    assert one.shown[sign] == (1,)
    assert any(text.startswith(f"{head}: ") for text in one.warnings)
    several = signs_of_processes([make(seed) for seed in range(3)])
    assert several.shown[sign] == (1, 2, 3)
    assert any(text.startswith(f"{head} in 3 of 3 processes: ") for text in several.warnings)


def test_the_largest_warm_up_and_drift_are_named() -> None:
    found = signs_of_processes([slow_first(0), [v * (1 if n >= 40 else 2) for n, v in enumerate(slow_first(1))]])
    [said] = [text for text in found.warnings if text.startswith("a warm-up")]
    assert "in the worst of them, the first 40 of 400 are 2" in said
    drifting = signs_of_processes([rising(0), [v * (1 + n / 400) for n, v in enumerate(rising(1))]])
    changes = [one.drift.change for one in drifting.each.values() if one.drift is not None]
    assert changes[0] < changes[1]
    assert any(f"changed by {changes[1] * 100:+.1f} %" in text for text in drifting.warnings)


def test_outliers_are_counted_over_all_processes() -> None:
    wild_end = [[*plain(seed)[:380], *[0.5] * 20] for seed in range(4)]
    [said] = [text for text in signs_of_processes(wild_end).warnings if text.startswith("outliers")]
    assert "80 of 1,600 samples of latency (5.0 %)" in said and "kept" in said


def test_a_clock_that_falls_with_rising_latency_is_throttling() -> None:
    steady = ([3e6, 3e6, 3e6], [])
    found = signs_of_processes([rising(seed) for seed in range(3)], "latency", [FALLING] * 3)
    assert found.shown["throttling"] == (1, 2, 3)
    assert any(text.startswith("throttled in 3 of 3 processes: in the worst of them") for text in found.warnings)
    kept = signs_of_processes([rising(1)] * 3, "latency", [steady] * 3)
    assert "throttling" not in kept.shown and not any("throttled" in text for text in kept.warnings)


def test_processes_without_samples_are_left_out_and_the_others_keep_their_number() -> None:
    found = signs_of_processes([[], two_modes(8)], courses=[([], []), FALLING])
    assert list(found.each) == [2] and found.shown == {"modes": (2,)}
    assert signs_of_processes([[], []]).warnings == ()


def test_processes_that_differ_are_said_with_how_far() -> None:
    series = [plain(seed) for seed in range(4)] + [[value * 1.2 for value in plain(9)]]
    between = between_processes(series)
    found = signs_of_processes(series, between=between)
    (warning,) = found.warnings
    assert warning.startswith("processes differ by more than chance: the median latency of 5 processes lies between")
    assert found.as_dict()["between"] == json.loads(json.dumps(between.as_dict()))
    even = signs_of_processes(series[:4], between=between_processes(series[:4]))
    assert even.warnings == () and even.as_dict()["between"]["uneven"] is False  # type: ignore[index]


def test_signs_are_the_data_of_a_result() -> None:
    data = json.loads(json.dumps(signs_of_processes([rising(1), two_modes(2)], "latency", [FALLING] * 2).as_dict()))
    assert data["shown"] == {"throttling": [1], "drift": [1], "modes": [2]}
    first, second = data["processes"]
    assert (first["process"], first["samples"], first["modes"]) == (1, 400, None)
    assert first["throttling"]["clock"] == pytest.approx(-1 / 3) and first["drift"]["p_value"] < 0.01
    assert second["modes"]["low"] == pytest.approx(0.01, rel=0.01)
    assert second["modes"]["dip"] > second["modes"]["limit"]


def test_a_change_over_five_per_cent_is_said_and_a_smaller_one_is_data() -> None:
    (warning,) = signs_of_processes([[1.0] * 50 + [1.06] * 50]).warnings
    assert warning == "not steady: the median latency changed by +6.0 % from the first half to the second"
    small = signs_of_processes([[1.0] * 50 + [1.04] * 50])
    assert small.warnings == ()
    assert small.each[1].drift is not None and small.each[1].drift.change == pytest.approx(0.04)
