# SPDX-License-Identifier: Apache-2.0
"""What `cr show RESULT` says of a result beside its metrics."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner
from codereef.cli.commands.components import show

from tests.record.results import result


def test_a_result_shows_how_its_queries_were_sent_and_each_warning_in_a_line(tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setenv("CR_HOME", str(tmp_path))
    load = {"driver": "codereef", "valid": False, "reasons": ["8 of 9 queries were answered", "no bound was given"]}
    kept = result(tmp_path / "results", scenario="server", load=load, warnings=["one, two", "three"])
    lines = CliRunner().invoke(show, [kept.short]).output.splitlines()
    assert "scenario: server" in lines
    assert "load: not valid, 8 of 9 queries were answered; no bound was given (sent by codereef)" in lines
    assert lines[-3:] == ["warnings:", "  1: one, two", "  2: three"]
