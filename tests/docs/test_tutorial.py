# SPDX-License-Identifier: Apache-2.0
"""The tutorial is true: its files are written, its commands are run, and its output appears."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.executable_pages import Command, blocks, broken_promise, commands

ROOT = Path(__file__).resolve().parents[2]
TUTORIAL = ROOT / "docs" / "tutorial.md"


def run(command: Command, folder: Path, environ: dict[str, str]) -> str:
    """Run one command of the page in `folder`; return its output, errors included, and check its exit code."""
    done = subprocess.run(
        shlex.split(command.line),
        cwd=folder,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == command.exit_code, (
        f"$ {command.line}\nended with {done.returncode} instead of {command.exit_code}:\n{done.stdout}"
    )
    return done.stdout


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """An environment with this project's `cr` first on PATH and a home of its own."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("CR_")}
    return {
        **kept,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "CR_HOME": str(tmp_path / "home"),
    }


@pytest.mark.slow
def test_a_reader_who_follows_the_tutorial_gets_what_it_promises(tmp_path: Path, environ: dict[str, str]) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    ran = 0
    for block in blocks(TUTORIAL.read_text(encoding="utf-8")):
        if "title" in block.attributes:
            path = folder / block.attributes["title"]
            assert path.resolve().is_relative_to(folder)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
        elif block.language == "console":
            for command in commands(block):
                output = run(command, folder, environ)
                missing = broken_promise(command.promised, output)
                assert not missing, f"$ {command.line}\nthe page promises: {missing}\nit printed:\n{output}"
                ran += 1
    assert ran >= 8
    results = [json.loads(path.read_bytes()) for path in (tmp_path / "home" / "results").glob("*.json")]
    measured = [
        r for r in results if r["action"] == "benchmark" and r["solution"]["component"] == "solution:find-squares@1.0.0"
    ]
    # The page says that the detector finds these squares; a mAP of 0.5 is far below the one it shows.
    assert measured and all(r["metrics"]["mAP"]["value"] > 0.5 for r in measured)


def test_every_file_of_the_tutorial_that_is_json_can_be_read() -> None:
    titled = [
        block
        for block in blocks(TUTORIAL.read_text(encoding="utf-8"))
        if block.attributes.get("title", "").endswith(".json")
    ]
    assert len(titled) >= 3
    for block in titled:
        json.loads(block.text)
