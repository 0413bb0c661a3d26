# SPDX-License-Identifier: Apache-2.0
"""`cr import`, external results in `cr results`, `cr show` and `cr compare`, and the formats of `cr export`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from codereef.cli.app import run
from codereef.record.history import History

from tests.interchange.files import SUMMARY, submission, write
from tests.record.results import document


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    monkeypatch.setenv("CR_HOME", str(folder))
    monkeypatch.chdir(tmp_path)
    return folder


def data(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> Any:
    """Run a command with --json and return what it prints."""
    capsys.readouterr()
    assert run([*arguments, "--json"]) == code
    return json.loads(capsys.readouterr().out)


def test_an_import_is_listed_shown_and_not_compared(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    submission(tmp_path / "round")
    own = History(home / "results").add(document())
    (added,) = data(capsys, "import", "round")["added"]
    (listed,) = data(capsys, "results", "--external")["external"]
    assert listed == added and data(capsys, "show", added["id"][:10]) == added
    assert [r["id"] for r in data(capsys, "results")["results"]] == [own.id]
    assert run(["results", "--external", "NET"]) == 0
    out = capsys.readouterr().out
    assert "latency_p90 2 ms" in out and "mlperf-inference lab open" in out
    assert run(["show", added["id"][:10]]) == 0
    assert "as reported by MLPerf LoadGen" in capsys.readouterr().out
    for pair in ([added["id"], own.id], [own.id, added["id"]]):
        error = data(capsys, "compare", *pair, code=2)["error"]
        assert "gives no verdict" in error["message"] and "MLPerf results only" in error["message"]


def test_a_second_import_adds_nothing(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    submission(tmp_path / "round")
    assert run(["import", "round", "--dry-run"]) == 0
    assert "1 external result would be added." in capsys.readouterr().out and not home.exists()
    assert run(["import", "round"]) == 0
    assert "1 external result added." in capsys.readouterr().out
    assert run(["import", "round"]) == 0
    assert "0 external results added, 1 there already." in capsys.readouterr().out


def test_what_cannot_be_read_is_told_and_the_rest_is_kept(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    submission(tmp_path / "round")
    write(tmp_path / "round" / "a" / "mlperf_log_summary.txt", SUMMARY.replace("VALID", "PERHAPS"))
    write(tmp_path / "round" / "notes.txt", "hello")
    assert run(["import", "round"]) == 3
    told = capsys.readouterr()
    assert "1 external result added." in told.out
    assert (
        "round/a/mlperf_log_summary.txt, line 8" in told.err
        and "1 file of no known format: round/notes.txt" in told.err
    )
    again = data(capsys, "import", "round", code=3)
    assert (len(again["added"]), len(again["present"])) == (0, 1)
    assert again["failures"][0]["context"]["line"] == 8 and again["unknown"] == ["round/notes.txt"]


def test_external_results_are_not_plotted(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    error = data(capsys, "results", "--external", "--plot", "a.svg", code=2)["error"]
    assert "not plotted" in error["message"] and not (tmp_path / "a.svg").exists()


def test_results_are_exported_as_folders(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = History(home / "results").add(document())
    assert run(["export", "--format", "mlperf", "--output", "out", "--submitter", "lab"]) == 0
    assert "not MLPerf results" in capsys.readouterr().err
    assert (tmp_path / "out" / "open" / "lab" / "systems").is_dir()
    assert run(["export", "demo", "--format", "mlflow", "--output", "mlruns"]) == 0
    assert list((tmp_path / "mlruns").glob(f"*/{result.id[:32]}/meta.yaml"))
    assert run(["export", "--format", "phoronix"]) == 0
    capsys.readouterr()
    assert run(["export", "--format", "phoronix", "--output", "pts.json"]) == 0
    assert json.loads((tmp_path / "pts.json").read_text(encoding="utf-8"))["systems"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--format", "mlflow"], "name it with --output"),
        (["--format", "csv", "--submitter", "lab"], "--submitter and --division are of --format mlperf"),
        (["--format", "parquet", "--output", "file.txt"], "is no folder"),
    ],
)
def test_a_wrong_export_is_refused(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    write(tmp_path / "file.txt", "mine")
    History(home / "results").add(document())
    assert run(["export", *arguments]) == 2
    assert said in capsys.readouterr().err
