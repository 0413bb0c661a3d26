# SPDX-License-Identifier: Apache-2.0
"""`cr init` a second time: what was found is relied on only while nothing that it was found from has changed."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from codereef.cli import app
from codereef.workspace import ready

PLAIN = {"version": "1.0.0", "license": "Apache-2.0", "summary": "For a test"}
NOTHING = "everything was there"


def _put(folder: Path, document: dict[str, object]) -> None:
    folder.mkdir(parents=True)
    (folder / "cr.json").write_text(json.dumps({**PLAIN, **document}))


def _tool(path: Path, version: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho sometool {version}\n")
    path.chmod(0o755)


@dataclass
class World:
    """A solution that needs a detected tool and an installed folder, in a home and a working folder of its own."""

    base: Path
    capsys: pytest.CaptureFixture[str]

    @property
    def home(self) -> Path:
        return self.base / "home"

    @property
    def tool(self) -> Path:
        return self.base / "bin" / "sometool"

    @property
    def lock(self) -> Path:
        return self.base / "work" / "demo" / "cr.lock"

    @property
    def prefix(self) -> Path:
        held = self.lock.read_text()
        return next(p for p in (self.home / "store" / "v1" / "prefixes").iterdir() if f'"{p.name}"' in held)

    def init(self, *options: str) -> str:
        self.capsys.readouterr()
        code = app.run(["init", "demo", "-y", *options])
        printed = self.capsys.readouterr()
        assert code == 0, printed.err
        return printed.out

    def holds(self) -> bool:
        return ready.holds(str(self.home), "demo") is not None

    def settled(self) -> None:
        """Run it until it relies on what it found; what was written a moment ago is not taken for settled.

        Called in each test and not before it: pytest changes the environment in between.
        """
        # Other tests write meanwhile, in folders that count too.
        for _ in range(100):
            if self.holds():
                return
            time.sleep(0.03)
            self.init()
        raise AssertionError("it never relies on what it found")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("ready")
    mine = base / "mine"
    _put(
        mine / "soft-detect" / "sometool",
        {
            "kind": "soft",
            "name": "sometool",
            "detects": "tool.some",
            "find": {"executables": ["sometool"], "paths": [str(base / "opt" / "*" / "bin" / "sometool")]},
            "version_query": {"run": ["{path}"], "match": "sometool ([0-9.]+)"},
        },
    )
    _put(
        mine / "packages" / "made",
        {
            "kind": "package",
            "name": "made",
            "provides": {"capability": "lib.made", "versions": ["1.0"]},
            "install": {"using": "script", "run": [["touch", "{prefix}/file"]]},
        },
    )
    program = {"kind": "program", "name": "nothing", "task": "other", "run": {"python": "main.py"}, "metrics": {}}
    _put(mine / "components" / "program" / "nothing", program)
    (mine / "components" / "program" / "nothing" / "main.py").write_text("")
    deps = {"tool": {"needs": "tool.some"}, "made": {"needs": "lib.made"}}
    solution = {"kind": "solution", "name": "demo", "program": {"needs": "program:nothing"}, "actions": {"run": {}}}
    _put(mine / "solutions" / "demo", {**solution, "deps": deps})
    for name in ("work", "home", "other"):
        (base / name).mkdir()
    _tool(base / "bin" / "sometool", "1.0")
    return base


@pytest.fixture
def world(prepared: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[World]:
    for name in [name for name in os.environ if name.startswith("CR_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("CR_HOME", str(prepared / "home"))
    monkeypatch.setenv("CR_OFFLINE", "1")
    monkeypatch.setenv("PATH", f"{prepared / 'bin'}:{prepared / 'other'}:/usr/bin:/bin")
    monkeypatch.chdir(prepared / "work")
    if not (prepared / "home" / "repos").is_dir():
        assert app.run(["repo", "add", str(prepared / "mine"), "--trust", "-q"]) == 0
    yield World(prepared, capsys)


def test_the_second_time_says_the_same_as_when_all_is_worked_out(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.settled()
    known = world.init()
    assert NOTHING in known
    worked_out = world.init("--offline")
    assert known.partition("there;")[0] == worked_out.partition("there;")[0]
    assert known.partition(" s)")[2] == worked_out.partition(" s)")[2]


def _new_tool(world: World) -> None:
    _tool(world.base / "other" / "sometool", "2.0")


def _tool_replaced(world: World) -> None:
    beside = world.base / "sometool.new"
    _tool(beside, "1.1")
    beside.replace(world.tool)


def _link_elsewhere(world: World) -> None:
    for name in ("one", "two"):
        _tool(world.base / "elsewhere" / name, "4.0")
    link, between = world.base / "other" / "sometool", world.base / "elsewhere" / "link"
    link.unlink(missing_ok=True)
    between.symlink_to("one")
    link.symlink_to(between)
    world.settled()
    beside = between.with_name("beside")
    beside.symlink_to("two")
    beside.replace(between)


def _rewrite(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def _new_version(world: World) -> None:
    folder = world.base / "mine" / "packages" / "made-2"
    shutil.copytree(world.base / "mine" / "packages" / "made", folder)
    _rewrite(folder / "cr.json", '"version": "1.0.0"', '"version": "2.0.0"')


def _changed_file(world: World) -> None:
    (world.prefix / "file").chmod(0o644)
    (world.prefix / "file").write_text("other")


CHANGES: dict[str, Callable[[World], object]] = {
    "a tool comes on PATH": _new_tool,
    "a tool comes where a pattern looks": lambda w: _tool(w.base / "opt" / "some" / "bin" / "sometool", "3.0"),
    "a tool is replaced": _tool_replaced,
    "a link to a tool leads elsewhere": _link_elsewhere,
    "a component is edited": lambda w: _rewrite(
        w.base / "mine" / "components" / "program" / "nothing" / "cr.json", "For a test", "For the test"
    ),
    "a component's file is edited": lambda w: (
        w.base / "mine" / "components" / "program" / "nothing" / "main.py"
    ).write_text("1\n"),
    "a version is published": _new_version,
    "the lock is edited": lambda w: _rewrite(w.lock, '"nodes"', '"x-mine": 1, "nodes"'),
    "the lock is gone": lambda w: w.lock.unlink(),
    "a lock lies here": lambda w: (w.base / "work" / "cr.lock").write_text("{}"),
    "an installed folder is gone": lambda w: shutil.rmtree(w.prefix),
    "an installed file is changed": _changed_file,
    "an installed file is removed": lambda w: (w.prefix / "file").unlink(),
    "the store forgot who holds it": lambda w: shutil.rmtree(w.home / "store" / "v1" / "roots"),
    "a setting is changed": lambda w: app.run(["config", "set", "jobs", "3"]),
    "trust is withdrawn and given": lambda w: [app.run(["repo", how, "mine"]) for how in ("untrust", "trust")],
    "a repository is added": lambda w: app.run(["repo", "add", str(w.base / "mine"), "--name", "again"]),
}


#: The others run with the whole suite.
QUICK = {
    "a tool comes on PATH",
    "a tool is replaced",
    "a component is edited",
    "the lock is edited",
    "an installed folder is gone",
    "an installed file is changed",
    "a setting is changed",
}


@pytest.mark.parametrize(
    "change", [pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow]) for name in CHANGES]
)
def test_it_is_worked_out_again_when(change: str, world: World) -> None:
    world.settled()
    CHANGES[change](world)
    assert not world.holds()
    if change == "a lock lies here":
        (world.base / "work" / "cr.lock").unlink()


@pytest.mark.parametrize("change", [_changed_file, lambda w: shutil.rmtree(w.prefix)], ids=["changed", "removed"])
def test_what_is_damaged_is_made_again(world: World, change: Callable[[World], None]) -> None:
    world.settled()
    change(world)
    assert "installed 1 in" in world.init()
    assert (world.prefix / "file").read_bytes() == b""


@pytest.mark.parametrize("variable", ["PATH", "CR_MIRROR", "CC", "HOME"])
def test_another_environment_is_worked_out_for_itself(
    world: World, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    world.settled()
    with monkeypatch.context() as patch:
        patch.setenv(variable, f"{world.base}:{os.environ['PATH']}")
        assert not world.holds()
    assert world.holds()


def test_another_folder_is_another_answer_and_no_value_of_the_environment_is_kept(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.settled()
    monkeypatch.setenv("SOME_TOKEN", "very-secret-words")
    world.settled()
    for path in (world.home / "cache" / "ready").iterdir():
        assert "very-secret-words" not in path.read_text()
    monkeypatch.chdir(world.base)
    assert not world.holds()


@pytest.mark.parametrize(
    "option",
    ["--json", *(pytest.param(o, marks=pytest.mark.slow) for o in ("--locked", "--upgrade", "--fresh", "--offline"))],
)
def test_options_are_never_answered_from_what_was_found(
    world: World, option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.settled()
    monkeypatch.setattr(ready, "holds", lambda *_: pytest.fail("it was asked"))
    world.init(option)
    with pytest.raises(AssertionError, match="it was asked"):
        world.init()


def test_a_damaged_note_is_none(world: World) -> None:
    world.settled()
    (path,) = [p for p in (world.home / "cache" / "ready").iterdir() if p.read_text().endswith("end")][:1]
    for damaged in (b"", b"\xff\xfe", path.read_bytes()[:-2]):
        for note in (world.home / "cache" / "ready").iterdir():
            note.write_bytes(damaged)
        assert not world.holds()
    assert NOTHING in world.init()
