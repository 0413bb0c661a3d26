# SPDX-License-Identifier: Apache-2.0
"""The verdict on two results: what it needs, what it sees, and how seldom it is wrong."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from codereef.bench.compare import ALIKE, FASTER, PROCESSES, SLOWER, TOO_FEW, compare, least_p

DATA = Path(__file__).parent / "data"


def processes(rng: np.random.Generator, count: int = PROCESSES, shift: float = 0.005, n: int = 60) -> list[list[float]]:
    return [((1e-3 + rng.gamma(4, 1e-5, n)) * (1 + rng.normal(0, shift))).tolist() for _ in range(count)]


def times(series: list[list[float]], factor: float) -> list[list[float]]:
    return [[value * factor for value in values] for values in series]


def counted(pairs: Iterable[tuple[list[list[float]], list[list[float]]]], interleaved: bool = False) -> tuple[int, int]:
    """In how many pairs of equal results a difference is seen, and in how many a slowdown of 5 % that is put in."""
    alarms = found = 0
    for a, b in pairs:
        alarms += compare(a, b, confidence=None, interleaved=interleaved).verdict in (FASTER, SLOWER)
        found += compare(a, times(b, 1.05), confidence=None, interleaved=interleaved).verdict == SLOWER
    return alarms, found


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


def in_turns(
    rng: np.random.Generator, factor: float, meanwhile: float = 0.1, shift: float = 0.008, count: int = PROCESSES
) -> tuple[list[list[float]], list[list[float]]]:
    """Two results whose processes met the same states of the machine, which differ by `meanwhile`."""
    states = np.exp(rng.normal(0, meanwhile, count))
    a, b = processes(rng, count, shift), processes(rng, count, shift)
    return (
        [times([v], state)[0] for v, state in zip(a, states, strict=True)],
        [times([v], factor * state)[0] for v, state in zip(b, states, strict=True)],
    )


def test_what_the_machine_did_meets_both_partners() -> None:
    a, b = in_turns(np.random.default_rng(3), 1.05)
    turns, apart = compare(a, b, interleaved=True), compare(a, b)
    assert (turns.verdict, apart.verdict) == (SLOWER, ALIKE)
    assert turns.paired and not apart.paired
    assert turns.ratio == pytest.approx(1.05, abs=0.01) and turns.floor == 0.01
    assert turns.interval is not None and turns.interval[0] < 1.05 < turns.interval[1]
    assert turns.interval[1] - turns.interval[0] < 0.04
    assert compare(b, a, interleaved=True).verdict == FASTER
    assert turns.verdict_at(0.5) == ALIKE and turns.verdict_at(1e-9) == SLOWER


def test_pairs_are_those_of_the_same_turn_and_one_without_a_partner_is_left_out() -> None:
    a, b = in_turns(np.random.default_rng(4), 1.05)
    whole, less = compare(a[:6], b[:6], interleaved=True), compare(a, b[:6], interleaved=True)
    assert (less.ratio, less.p_value, less.processes) == (whole.ratio, whole.p_value, (7, 6))
    assert compare(a, b[::-1], interleaved=True).verdict == ALIKE
    few = compare(a[:4], b[:4], interleaved=True)
    assert few.verdict == TOO_FEW and few.ratio is not None


def test_the_test_of_pairs_is_students() -> None:
    """That of the constant in a least-squares fit of a constant and of who of the two was first."""
    stats = pytest.importorskip("scipy.stats")
    a, b = in_turns(np.random.default_rng(5), 1.02)
    logs = np.array([np.log(np.median(y) / np.median(x)) for x, y in zip(a, b, strict=True)])
    design = np.array([(1.0, (-1.0) ** i) for i in range(7)])
    fitted, squares, *_ = np.linalg.lstsq(design, logs, rcond=None)
    error = np.sqrt(squares[0] / 5 * np.linalg.inv(design.T @ design)[0, 0])
    outcome = compare(a, b, interleaved=True)
    assert outcome.ratio == pytest.approx(np.exp(fitted[0]), rel=1e-9)
    assert outcome.p_value == pytest.approx(2 * stats.t.sf(abs(fitted[0] / error), 5), rel=1e-9)
    low, high = stats.t.interval(0.95, 5, fitted[0], error)
    assert outcome.interval == pytest.approx((np.exp(low), np.exp(high)), rel=1e-9)


def test_who_was_loaded_first_makes_no_difference() -> None:
    """The first of a pair is 3 % slower, and in every second pair that is b's."""
    a, b = in_turns(np.random.default_rng(7), 1.05)
    a, b = (
        [times([v], 1.03 if i % 2 == first else 1.0)[0] for i, v in enumerate(each)] for each, first in ((a, 0), (b, 1))
    )
    outcome = compare(a, b, interleaved=True)
    assert outcome.verdict == SLOWER and outcome.ratio == pytest.approx(1.05, abs=0.01)
    assert outcome.detectable is not None and outcome.detectable < 0.04


def test_equal_pairs_are_alike_and_constant_ones_differ() -> None:
    a = processes(np.random.default_rng(6))
    assert compare(a, a, interleaved=True).p_value == 1.0
    exact = compare([[1.0]] * 7, [[1.5]] * 7, interleaved=True)
    assert (exact.verdict, exact.ratio, exact.interval) == (SLOWER, pytest.approx(1.5), pytest.approx((1.5, 1.5)))


@pytest.mark.slow
def test_what_pairs_would_show_is_shown_in_19_of_20_cases() -> None:
    """Also that the reach that is said does not depend on what the machine did meanwhile."""
    rng, runs, found, reaches = np.random.default_rng(12), 600, 0, []
    for _ in range(200):
        outcome = compare(*in_turns(rng, 1.0, shift=0.02), confidence=None, interleaved=True)
        assert outcome.detectable is not None
        reaches.append(outcome.detectable)
    reach = float(np.sqrt(np.mean(np.square(reaches))))
    for _ in range(runs):
        a, b = in_turns(rng, 1 + reach, shift=0.02)
        found += compare(a, b, confidence=None, interleaved=True).verdict == SLOWER
    assert 0.92 <= found / runs <= 0.98


@pytest.mark.slow
@pytest.mark.parametrize("shift", [0.0, 0.005, 0.012, 0.05])
def test_false_alarms_and_power_of_pairs(shift: float) -> None:
    """At 7 pairs: at most 1 % false alarms always, 95 % of 5 % slowdowns up to 1.2 % between processes."""
    rng, runs = np.random.default_rng(13), 400
    alarms, found = counted((in_turns(rng, 1.0, shift=shift) for _ in range(runs)), interleaved=True)
    assert alarms <= 9, "of 400; 1 in 100 gives more in 1 of 100 runs of this test"
    assert shift > 0.012 or found / runs >= 0.95


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
    alarms, found = counted((processes(rng, shift=shift, n=30), processes(rng, shift=shift, n=30)) for _ in range(runs))
    assert alarms / runs <= 0.01
    assert shift > 0.009 or found / runs >= 0.95


def recordings(turns: bool) -> list[Path]:
    return sorted(path for path in DATA.glob("*.json") if ("turns" in path.stem) == turns)


@pytest.mark.slow
@pytest.mark.parametrize("path", recordings(turns=True), ids=lambda path: path.stem)
def test_a_slowdown_of_5_percent_is_found_in_recorded_noise(path: Path) -> None:
    """In 95 % of results in turns, and in at most 1 % a difference where there is none."""
    series = json.loads(path.read_text(encoding="utf-8"))["processes"]
    rng, runs = np.random.default_rng(14), 300

    def pair() -> tuple[list[list[float]], list[list[float]]]:
        drawn = 2 * rng.choice(len(series) // 2, PROCESSES, replace=False)
        a, b = ([series[first + (i + second) % 2] for i, first in enumerate(drawn)] for second in (0, 1))
        return a, b

    alarms, found = counted((pair() for _ in range(runs)), interleaved=True)
    assert alarms <= 7, "of 300; 1 in 100 gives more in 1 of 80 runs of this test"
    assert found / runs >= 0.95


@pytest.mark.slow
@pytest.mark.parametrize("path", recordings(turns=False), ids=lambda path: path.stem)
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
    assert len(recordings(turns=False)) >= 3 and len(recordings(turns=True)) >= 3
