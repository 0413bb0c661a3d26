# SPDX-License-Identifier: Apache-2.0
"""`cr store`: what it prints, as text and as data, and its exit codes."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from codereef.cli.app import run
from codereef.store import Roots, Store

from tests.store.conftest import add_folder, flip, lock_file


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """The store of a user, with one folder that a lock holds and one that nobody holds."""
    monkeypatch.setenv("CR_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    store = Store(tmp_path / "home" / "store")
    add_folder(store, "held-1", {"f": b"x" * 50_000})
    add_folder(store, "free-1", {"g": b"y" * 30_000})
    Roots(store).hold(lock_file(tmp_path / "demo" / "cr.lock", "held-1"), ["held-1"])
    return store


def data(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> Any:
    assert run(["store", *arguments, "--json"]) == status
    return json.loads(capsys.readouterr().out)


def text(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> str:
    assert run(["store", *arguments]) == status
    return capsys.readouterr().out


def test_ls_says_who_holds_what(here: Store, capsys: pytest.CaptureFixture[str]) -> None:
    with here.using(["free-1"]):
        found = {row["key"]: row for row in data(capsys, "ls")["folders"]}
        assert found["held-1"]["held_by"] == [str(Path.cwd() / "demo" / "cr.lock")]
        assert found["free-1"]["held_by"] == [] and found["free-1"]["used_by"] == [os.getpid()]
        assert found["held-1"]["size"] == 50_000 and found["free-1"]["last_used"] is not None
        shown = text(capsys, "ls")
    assert "model:held-1@1.0" in shown and "demo/cr.lock" in shown and "50.0 kB" in shown
    assert f"nobody (in use by process {os.getpid()})" in shown
    assert [row["key"] for row in data(capsys, "ls", "--unused")["folders"]] == ["free-1"]


def test_du_tells_apparent_from_real_and_says_how_files_are_shared(
    here: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    found = data(capsys, "du")
    assert found["shared"] == 80_000 and found["how"] == "hard link" and found["outside"] == 0
    parts = {part["name"]: part for part in found["parts"]}
    assert parts["files"]["count"] == 2 and parts["folders"]["count"] == 2
    assert found["apparent"] >= 160_000 and found["real"] < 160_000
    assert "80.0 kB shared within the store. Files are shared by hard link here." in text(capsys, "du")
    blob = next(path for path in here.blobs.rglob("*") if path.is_file() and path.stat().st_size == 50_000)
    os.link(blob, Path.cwd() / "elsewhere")
    assert data(capsys, "du")["outside"] == 50_000


def test_verify_and_repair_end_with_one_while_something_is_wrong(
    here: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    assert text(capsys, "verify") == "All is sound: 2 files, 2 folders and 0 environments (80.0 kB read).\n"
    flip(here.prefixes / "held-1" / "f", 40_000)
    found = data(capsys, "verify", status=1)
    assert not found["sound"] and {item["name"][:6] for item in found["damaged"]} >= {"held-1"}
    assert "folder held-1: f has other contents" in text(capsys, "verify", status=1)
    with here.using(["held-1"]):
        assert "kept" in text(capsys, "repair", status=1)
    assert "folder held-1: removed" in text(capsys, "repair")
    assert text(capsys, "repair") == "Nothing is damaged.\n"
    assert data(capsys, "verify")["sound"]


def test_gc_shows_first_and_then_frees(here: Store, capsys: pytest.CaptureFixture[str]) -> None:
    said = data(capsys, "gc", "--dry-run")
    assert said["dry_run"] and "free-1" in {item["name"] for item in said["freed"]} and here.prefix("free-1")
    assert "would become free" in text(capsys, "gc", "-n")
    assert data(capsys, "gc", "--older-than", "30d")["freed"] == []
    done = data(capsys, "gc")
    assert done["bytes"] == said["bytes"] >= 30_000
    assert here.prefix("free-1") is None and here.prefix("held-1") is not None
    assert "There is nothing to take away." in text(capsys, "gc")


@pytest.mark.parametrize("value", ["tomorrow", "-1d", "1y", "", "9" * 40])
def test_a_time_that_is_none_is_a_usage_error(here: Store, capsys: pytest.CaptureFixture[str], value: str) -> None:
    assert run(["store", "gc", "--older-than", value]) == 2
    assert "30d" in capsys.readouterr().err
    assert here.prefix("free-1") is not None


def test_a_damaged_registration_is_shown_and_stops_gc(here: Store, capsys: pytest.CaptureFixture[str]) -> None:
    next((here.base / "roots").iterdir()).write_text("{")
    assert len(data(capsys, "verify", status=1)["damaged_registrations"]) == 1
    assert data(capsys, "gc", status=11)["error"]["code"] == "storage"
    assert "put aside" in text(capsys, "repair")
    assert data(capsys, "verify")["sound"]


@pytest.mark.parametrize("command", ["ls", "du", "verify", "repair", "gc"])
def test_every_command_works_without_a_store_and_makes_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    monkeypatch.setenv("CR_HOME", str(tmp_path / "none"))
    data(capsys, command)
    text(capsys, command)
    assert not (tmp_path / "none").exists()
