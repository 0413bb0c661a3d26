# SPDX-License-Identifier: Apache-2.0
"""Whether a second result bears out a first one."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from codereef.record.reproduction import Reproduction, judge

from tests.record.results import metric, result


def latencies(scale: float, seed: int) -> list[float]:
    generator = random.Random(seed)
    return [scale * (1 + 0.02 * generator.random()) for _ in range(400)]


def judged(tmp_path: Path, again: dict[str, Any], scale: float = 1.0, **original: Any) -> Reproduction:
    first = result(tmp_path, latencies(0.01, 1), **original)
    second = result(tmp_path, latencies(0.01 * scale, 2), started_at="2026-01-02T10:00:00Z", **again)
    return judge(first, second)


def verdicts(reproduction: Reproduction) -> dict[str, bool | None]:
    return {check.what: check.held for check in reproduction.checks}


ELSEWHERE = {"machine": {"class": {}, "class_digest": "sha256:" + "7" * 64, "instance": "b" * 32}}


def accuracy(value: float, interval: list[float] | None = None) -> dict[str, Any]:
    return {"metrics": {"latency_p50": metric(0.011), "mAP": metric(value, "", "higher", interval)}}


def test_the_same_again_is_reproduced(tmp_path: Path) -> None:
    found = judged(tmp_path, {})
    assert found.reproduced
    assert verdicts(found) == {"mAP": True, "latency": True}


def test_a_slower_one_is_not_and_says_by_how_much(tmp_path: Path) -> None:
    found = judged(tmp_path, {}, scale=1.3)
    assert not found.reproduced
    assert verdicts(found) == {"mAP": True, "latency": False}
    assert "slower" in found.checks[-1].why


def test_on_another_sort_of_machine_latency_is_not_judged(tmp_path: Path) -> None:
    found = judged(tmp_path, ELSEWHERE, scale=3.0)
    assert found.reproduced
    assert verdicts(found)["latency"] is None


@pytest.mark.parametrize(
    ("elsewhere", "interval", "value", "held"),
    [
        (False, [0.4, 0.6], 0.5001, False),  # The same sort of machine adds up the same way.
        (True, [0.4, 0.6], 0.5001, True),
        (True, [0.4, 0.6], 0.61, False),
        (True, None, 0.504, True),
        (True, None, 0.506, False),
    ],
)
def test_accuracy_is_exact_here_and_within_its_interval_elsewhere(
    tmp_path: Path, elsewhere: bool, interval: list[float] | None, value: float, held: bool
) -> None:
    again = {**accuracy(value), **(ELSEWHERE if elsewhere else {})}
    assert verdicts(judged(tmp_path, again, **accuracy(0.5, interval)))["mAP"] is held


def test_a_run_that_failed_reproduces_nothing(tmp_path: Path) -> None:
    found = judged(tmp_path, {"status": "crashed", "error": "it was ended by SIGSEGV"})
    assert not found.reproduced
    assert "SIGSEGV" in found.checks[0].why


def test_another_way_of_measuring_is_said(tmp_path: Path) -> None:
    found = judged(tmp_path, {"comparability": "sha256:" + "5" * 64})
    assert verdicts(found)["way of measuring"] is False
    assert not found.reproduced


def test_an_accuracy_that_is_not_there_any_more_is_no_reproduction(tmp_path: Path) -> None:
    found = judged(tmp_path, {"metrics": {"latency_p50": metric(0.011)}})
    assert verdicts(found)["mAP"] is False
