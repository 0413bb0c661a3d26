# SPDX-License-Identifier: Apache-2.0
"""Metrics for people: groups, units, and `cr show` on a terminal of 80 columns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from codereef.cli import app
from codereef.record.history import History
from codereef.record.quantities import GROUPS, group_of, grouped, quantity

from tests.record.results import document, metric

ROOT = Path(__file__).resolve().parents[2]
LACKING = {**metric(None, "J"), "reason": "not available: " + "the kernel shows no powercap interface, and so on " * 3}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (metric(0.0123, interval=[0.0122, 0.013]), "12.3 [12.2, 13] ms (n=3)"),
        (metric(0.00041), "0.41 ms (n=3)"),
        (metric(1.9e-7), "190 ns (n=3)"),
        (metric(61.5), "6.15e+04 ms (n=3)"),
        (metric(82145280, "B"), "82.15 MB (n=3)"),
        (metric(0.0032, "J", interval=[0.003, 0.0034]), "3.2 [3, 3.4] mJ (n=3)"),
        (metric(15.25, "W"), "15.25 W (n=3)"),
        (metric(0.0, "W"), "0 W (n=3)"),
        (metric(2251.0, "1/s", "higher"), "2251 samples/s (n=3)"),
        (metric(1234567.0, "", "none"), "1,234,567 (n=3)"),
        (metric(0.954, "", "higher", [0.93, 0.98]), "0.954 [0.93, 0.98] (n=3)"),
        ({**metric(0.0, "", "none"), "samples": 1}, "0"),
    ],
)
def test_a_number_is_in_a_unit_that_people_read(given: dict[str, Any], expected: str) -> None:
    assert quantity(given) == expected


@pytest.mark.parametrize("program", ["object-detection", "image-classification"])
def test_every_metric_of_our_programs_has_its_group(program: str) -> None:
    declared = json.loads((ROOT / f"components/program/{program}/cr.json").read_text())["metrics"]
    groups = {name: group_of(name, entry) for name, entry in declared.items()}
    assert set(groups.values()) == set(GROUPS) - {"other"}
    assert {name for name, group in groups.items() if group == "accuracy"} <= {"mAP", "AP50", "AP75", "top1", "top5"}
    assert {name for name, group in groups.items() if group == "energy"} == {
        f"{what}_{part}" for what in ("energy", "power") for part in ("cpu", "gpu", "machine")
    }


def test_metrics_that_lack_a_value_for_one_reason_share_a_line_at_the_end() -> None:
    shown = grouped({"energy_cpu": LACKING, "power_gpu": metric(3.0, "W"), "power_cpu": LACKING})
    assert list(shown) == ["energy"]
    assert [(row.names, row.given) for row in shown["energy"]] == [
        (("power_gpu",), True),
        (("energy_cpu", "power_cpu"), False),
    ]


def test_a_metric_of_somebody_else_s_program_is_shown_too() -> None:
    metrics = {"word_error_rate": metric(0.1, "", "lower"), "score": metric(3.0, "points", "higher")}
    assert [row.names[0] for row in grouped(metrics)["other"]] == ["word_error_rate", "score"]


def test_show_fits_a_terminal_of_80_columns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CR_HOME", str(tmp_path))
    made = document(environment={"before": {}, "after": {}, "during": {"readings": 6, "fastest_khz": "not available"}})
    made["metrics"] |= {"energy_cpu": LACKING, "power_cpu": LACKING, "steal": metric(0.0, "", "lower", [0.0, 0.1])}
    History(tmp_path / "results").add(made)
    assert app.run(["show", "latest"]) == 0
    printed = capsys.readouterr().out
    lines = printed[printed.index("metrics:") : printed.index("samples:")].splitlines()
    assert [line.strip() for line in lines if line.startswith("  ") and line[2] != " "] == [
        "latency", "accuracy", "energy", "machine",
    ]  # fmt: skip
    assert max(map(len, lines)) <= 80
    assert "    latency_p50  11 [10.5, 11.5] ms (n=3)" in lines
    assert any(line.startswith("    energy_cpu, power_cpu: not available: the kernel") for line in lines)
    assert "while it ran:\n  readings: 6\n" in printed and "fastest_khz" not in printed


def test_a_result_without_metrics_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CR_HOME", str(tmp_path))
    History(tmp_path / "results").add(document(status="crashed", error="SIGSEGV", metrics={}))
    assert app.run(["show", "latest"]) == 0
    printed = capsys.readouterr().out
    assert "metrics" not in printed and "SIGSEGV" in printed
