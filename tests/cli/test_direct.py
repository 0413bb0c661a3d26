# SPDX-License-Identifier: Apache-2.0
"""Commands that are answered without click answer as with it, and hand on whatever they do not know."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from codereef.cli import app, direct
from codereef.repo import listed

WORDS = {
    "ssd-mobilenet": "A detector, quite small",
    "shapes": "Naïve shapes \033[31min red\033[0m",
    "resnet": "Names what is in a picture",
}

#: Answered directly: the form knows all of it.
KNOWN = [
    ["search"],
    ["search", "ssd"],
    ["search", "SSD", "small"],
    ["search", "--tag", "coco"],
    ["search", "--tag=coco", "--tag", "demo", "ssd"],
    ["search", "--kind", "program"],
    ["search", "--kind=model"],
    ["search", "--kind", "model", "--kind", "program"],
    ["search", "shapes", "--json"],
    ["search", "--json", "-q"],
    ["search", "--quiet", "resnet"],
    ["search", "resnat"],
    ["search", "nothing-like-it", "at-all"],
    ["search", "nothing-like-it", "--json"],
    ["search", ""],
]
#: Left to click, with every error.
LEFT = [
    ["search", "--help"],
    ["search", "-h", "ssd"],
    ["search", "--kind", "nonsense"],
    ["search", "--kind"],
    ["search", "--kind="],
    ["search", "--tag", "-x"],
    ["search", "--tag", "--json"],
    ["search", "--json=yes"],
    ["search", "--nonsense", "ssd"],
    ["search", "-qx"],
    ["search", "--", "ssd"],
    ["search", "--", "--json"],
    ["search", "-"],
    ["search", "--debug", "ssd"],
    ["search", "--tags", "coco"],
    ["serch", "ssd"],
    ["--json", "search"],
]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("direct")
    for name, summary in WORDS.items():
        folder = base / "mine" / "components" / "program" / name
        folder.mkdir(parents=True)
        document = {
            "kind": "program",
            "name": name,
            "version": "1.0.0",
            "license": "Apache-2.0",
            "summary": summary,
            "task": "other",
            "tags": ["coco", "demo"] if name == "ssd-mobilenet" else ["coco"],
            "run": {"python": "main.py"},
            "metrics": {},
        }
        (folder / "cr.json").write_text(json.dumps(document))
        (folder / "main.py").write_text("")
    (base / "home").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CR_HOME", str(base / "home"))
        assert app.run(["repo", "add", str(base / "mine"), "-q"]) == 0
    return base / "home"


@pytest.fixture(autouse=True)
def _here(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CR_HOME", str(home))
    monkeypatch.delenv("NO_COLOR", raising=False)


@pytest.mark.parametrize("arguments", [*KNOWN, *LEFT], ids=" ".join)
def test_both_ways_print_the_same_and_end_the_same(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code = app.run(arguments)
    printed = capsys.readouterr()
    monkeypatch.setattr(direct, "answer", lambda arguments: False)
    assert (app.run(arguments), capsys.readouterr()) == (code, printed)
    assert printed.out or printed.err


@pytest.mark.parametrize("arguments", KNOWN, ids=" ".join)
def test_what_a_form_knows_is_answered(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert direct.answer(arguments)
    assert capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], *LEFT], ids=" ".join)
def test_everything_else_is_left_to_click(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert not direct.answer(arguments)
    assert capsys.readouterr() == ("", "")


def test_control_sequences_of_a_component_reach_no_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["search", "shapes", "--kind", "program"]) == 0
    assert "Naïve shapes in red" in capsys.readouterr().out


def test_a_terminal_gets_the_same_head_line_both_ways(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    for no_color, bold in (("", True), ("1", False)):
        monkeypatch.setenv("NO_COLOR", no_color)
        app.run(["search", "resnet"])
        printed = capsys.readouterr().out
        assert ("\033[1m" in printed) == bold
        with monkeypatch.context() as patch:
            patch.setattr(direct, "answer", lambda arguments: False)
            app.run(["search", "resnet"])
        assert capsys.readouterr().out == printed


def test_a_search_from_the_kept_list_imports_neither_click_nor_the_index(home: Path) -> None:
    code = (
        "import sys; from codereef.cli.app import run; run(['search', 'resnet']);"
        "print(sorted({'click', 'json', 'hashlib', 'pathlib', 'dataclasses', 're', 'codereef.repo.index'} & {*sys.modules}))"
    )
    before = set(sys.modules)
    assert "click" in before
    for _ in range(2):
        # The first may be the one that makes the list.
        done = subprocess.run(
            [sys.executable, "-S", "-c", f"import sys; sys.path[:0] = {sys.path!r}; {code}"],
            env={"CR_HOME": str(home)},
            capture_output=True,
            text=True,
            check=True,
        )
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_list_is_made_again_when_a_component_changes_comes_or_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], home: Path
) -> None:
    mine = tmp_path / "mine"
    shutil.copytree(home.parent / "mine", mine)
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("CR_HOME", str(tmp_path / "home"))
    assert app.run(["repo", "add", str(mine), "-q"]) == 0
    resnet = mine / "components" / "program" / "resnet"

    def found() -> str:
        capsys.readouterr()
        assert app.run(["search", "--kind", "program", "--tag", "coco"]) == 0
        return capsys.readouterr().out

    def kept() -> bool:
        # What was written a moment ago is not taken for settled, so that a list may be kept a little later.
        for _ in range(50):
            found()
            if listed.read(str(tmp_path / "home")) is not None:
                return True
        return False

    assert kept() and "picture" in found()
    (resnet / "cr.json").write_text((resnet / "cr.json").read_text().replace("picture", "drawing"))
    assert listed.read(str(tmp_path / "home")) is None
    assert "drawing" in found() and "picture" not in found()
    assert kept()
    shutil.copytree(resnet, mine / "components" / "program" / "another")
    other = mine / "components" / "program" / "another" / "cr.json"
    other.write_text(other.read_text().replace('"resnet"', '"another"'))
    assert "program:another@1.0.0" in found()
    assert kept()
    shutil.rmtree(mine / "components" / "program" / "another")
    assert "another" not in found()
    assert kept()
    assert app.run(["repo", "remove", "mine", "-q"]) == 0
    assert "resnet" not in found()


def test_a_damaged_list_is_made_again(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = home / "cache" / "listed.txt"
    app.run(["search"])
    whole = path.read_bytes()
    expected = capsys.readouterr().out.splitlines()
    assert listed.read(str(home)) is not None
    for damaged in (b"", whole[: len(whole) // 2], whole[:-3], whole.replace(b"\t", b" "), b"\0" * 100):
        path.write_bytes(damaged)
        assert listed.read(str(home)) is None
        app.run(["search"])
        assert capsys.readouterr().out.splitlines() == expected
        assert listed.read(str(home)) is not None
