# SPDX-License-Identifier: Apache-2.0
"""What `cr show RESULT` says of a result beside its metrics."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner
from codereef.bench.signs import signs_of_processes
from codereef.cli.commands.components import show
from codereef.errors import MetadataError, NotFoundError

from tests.record.results import result


def test_a_result_shows_how_its_queries_were_sent_and_each_warning_in_a_line(tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setenv("CR_HOME", str(tmp_path))
    load = {"driver": "codereef", "valid": False, "reasons": ["8 of 9 queries were answered", "no bound was given"]}
    kept = result(tmp_path / "results", scenario="server", load=load, warnings=["one, two", "three"])
    lines = CliRunner().invoke(show, [kept.short]).output.splitlines()
    assert "scenario: server" in lines
    assert "load: not valid, 8 of 9 queries were answered; no bound was given (sent by codereef)" in lines
    assert lines[-3:] == ["warnings:", "  1: one, two", "  2: three"]


def test_signs_are_sentences_for_people_and_data_for_programs(tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setenv("CR_HOME", str(tmp_path))
    found = signs_of_processes([[0.010 + n % 7 / 1e5 if n % 3 else 0.030 + n % 5 / 1e5 for n in range(300)]])
    data = json.loads(json.dumps({"latency": found.as_dict()}))
    kept = result(tmp_path / "results", signs=data, warnings=list(found.warnings))
    shown = CliRunner().invoke(show, [kept.short]).output
    assert "warnings:\n  1: more than one mode: 67 % of the samples of latency lie around 10.03 ms" in shown
    assert json.loads(CliRunner().invoke(show, [kept.short, "--json"]).output)["signs"] == data


def test_a_file_that_was_cut_or_is_not_there_is_told_as_a_file(tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setenv("CR_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    kept = result(tmp_path / "results")
    whole = CliRunner().invoke(show, [kept.short, "--json"]).output
    Path("half.json").write_text(whole[: len(whole) // 2])
    for name, error, words in (
        ("half.json", MetadataError, "half.json is not JSON: it ends"),
        ("none.json", NotFoundError, "There is no file none.json"),
    ):
        found = CliRunner().invoke(show, [name]).exception
        assert isinstance(found, error) and words in found.message and found.hint
