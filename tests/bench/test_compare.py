# SPDX-License-Identifier: Apache-2.0
"""The verdict on two results: what it needs, what it sees, and how seldom it is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from codereef.bench.compare import ALIKE, FASTER, PROCESSES, SLOWER, TOO_FEW, compare, least_p

DATA = Path(__file__).parent / "data"


def processes(rng: np.random.Generator, count: int = PROCESSES, shift: float = 0.005, n: int = 60) -> list[list[float]]:
    return [((1e-3 + rng.gamma(4, 1e-5, n)) * (1 + rng.normal(0, shift))).tolist() for _ in range(count)]


def times(series: list[list[float]], factor: float) -> list[list[float]]:
    return [[value * factor for value in values] for values in series]


def test_a_single_process_each_is_judged_by_its_samples() -> None:
    low, high = np.linspace(1, 1.1, 7).tolist(), np.linspace(2, 2.2, 7).tolist()
    few = compare([low[:6]], [high[:6]])
    # 2 / C(12, 6) = 0.0022 is the smallest p there can be.
    assert (few.verdict, few.ratio, few.interval) == (TOO_FEW, None, None)
    enough = compare([low], [high])
    assert enough.verdict == SLOWER and enough.p_value == pytest.approx(least_p(7, 7))
    assert (enough.processes, enough.detectable, enough.superiority) == ((1, 1), None, 1.0)
    assert compare([high], [low]).verdict == FASTER
    assert compare([low], [[]]).p_value is None


def test_a_real_but_tiny_difference_is_no_measurable_one() -> None:
    a = [np.random.default_rng(9).normal(1, 0.005, 3000).tolist()]
    tiny, clear = compare(a, times(a, 1.005)), compare(a, times(a, 1.03))
    assert tiny.p_value is not None and tiny.p_value < 0.002
    assert tiny.verdict == ALIKE
    assert clear.verdict == SLOWER
    assert clear.interval is not None and clear.interval[0] < 1.03 < clear.interval[1]
    assert compare(a, times(a, 1.03), noise_floor=0.05).verdict == ALIKE


def test_thousands_of_samples_do_not_make_up_for_processes() -> None:
    rng = np.random.default_rng(3)
    a, b = processes(rng, 4, n=5000), times(processes(rng, 4, n=5000), 1.5)
    assert compare(a, b).verdict == TOO_FEW
    assert compare([*a, a[0]], [*b, b[0]], confidence=None).verdict == SLOWER, "also where two are equal"
    five = compare(processes(rng, 5), times(processes(rng, 5), 1.05))
    assert five.verdict == SLOWER and five.p_value == pytest.approx(2 / 252)


def test_what_processes_of_one_result_differ_by_is_no_difference_of_two() -> None:
    rng = np.random.default_rng(3)
    a = [times([values], 1 + i / 100)[0] for i, values in enumerate(processes(rng, shift=0.0))]
    b = times(a, 1.06)
    apart = compare(a, b)
    assert apart.floor == pytest.approx(0.06, abs=0.01) and compare(a, times(a, 1.05)).verdict == ALIKE
    turns = compare(a, times(a, 1.09), interleaved=True)
    assert turns.floor == 0.01 and turns.verdict == SLOWER


@pytest.mark.slow
def test_the_interval_of_the_ratio_holds_what_lies_between_processes() -> None:
    rng, hits, narrow, runs = np.random.default_rng(5), 0, 0, 60
    for trial in range(runs):
        a, b = processes(rng, 5, 0.02, 40), times(processes(rng, 5, 0.02, 40), 1.1)
        outcome = compare(a, b, seed=trial)
        assert outcome.interval is not None
        hits += outcome.interval[0] <= 1.1 <= outcome.interval[1]
        pooled = compare([[v for s in a for v in s]], [[v for s in b for v in s]], seed=trial).interval
        assert pooled is not None
        narrow += pooled[0] <= 1.1 <= pooled[1]
    assert hits / runs >= 0.87 and narrow / runs < 0.8


def test_a_corrected_p_value_can_take_a_verdict_back() -> None:
    rng = np.random.default_rng(3)
    five = compare(processes(rng, 5), times(processes(rng, 5), 1.05))
    assert (five.verdict_at(0.0079), five.verdict_at(0.02)) == (SLOWER, TOO_FEW)
    seven = compare(processes(rng), times(processes(rng), 0.95))
    assert seven.p_value is not None
    assert (seven.verdict_at(4 * seven.p_value), seven.verdict_at(0.5)) == (FASTER, TOO_FEW)
    same = compare(processes(rng), processes(rng))
    assert same.verdict_at(1e-9) == ALIKE, "what is under the floor stays so"


def test_comparison_repeats_with_its_seed_and_leaves_empty_processes_out() -> None:
    rng = np.random.default_rng(1)
    a, b = processes(rng), processes(rng)
    assert compare(a, b, seed=5) == compare([*a, []], b, seed=5)
    assert compare(a, b, seed=5).processes == (7, 7)


@pytest.mark.slow
@pytest.mark.parametrize("shift", [0.0, 0.005, 0.01, 0.03])
def test_false_alarms_and_power_on_process_level_noise(shift: float) -> None:
    """At 7 processes: at most 1 % false alarms always, 95 % of 5 % slowdowns up to 0.9 % between processes."""
    rng, runs = np.random.default_rng(11), 400
    alarms = found = 0
    for _ in range(runs):
        a, b = processes(rng, shift=shift, n=30), processes(rng, shift=shift, n=30)
        alarms += compare(a, b, confidence=None).verdict in (FASTER, SLOWER)
        found += compare(a, times(b, 1.05), confidence=None).verdict == SLOWER
    assert alarms / runs <= 0.01
    assert shift > 0.009 or found / runs >= 0.95


def recordings() -> list[Path]:
    return sorted(DATA.glob("*.json"))


@pytest.mark.slow
@pytest.mark.parametrize("path", recordings(), ids=lambda path: path.stem)
def test_false_alarms_on_recorded_noise(path: Path) -> None:
    """Of results that follow each other, on a machine busy with other work, as they were recorded."""
    series = json.loads(path.read_text(encoding="utf-8"))["processes"]
    starts = range(0, len(series) - 2 * PROCESSES + 1, 2)
    verdicts = [
        compare(series[i : i + PROCESSES], series[i + PROCESSES : i + 2 * PROCESSES], confidence=None).verdict
        for i in starts
    ]
    assert len(verdicts) >= 20
    # One of these few, of which neighbours share most processes, is no more than chance allows at 1 %.
    assert sum(verdict != ALIKE for verdict in verdicts) <= 1


def test_there_is_recorded_noise() -> None:
    assert len(recordings()) >= 3
