# SPDX-License-Identifier: Apache-2.0
"""One lock for every target: made on one machine, filled in and honoured on another."""

from __future__ import annotations

import difflib
import itertools
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from codereef.detect import Detected
from codereef.errors import LockError, ResolutionError
from codereef.lock.model import Lock
from codereef.meta.component import Component
from codereef.workspace.locking import refusal, verify
from codereef.workspace.plan import make_plan
from codereef.workspace.wish import Wish

from tests.lock.test_lock import FORMATS
from tests.solve.worlds import BOARD, HOST, SHA, component, dataset, found, model, program, soft, solution
from tests.workspace.machines import held, lock, machine

ANDROID = "android-aarch64"
PYTHON = found("compiler.python", "3.11.2", "python", path=sys.executable)
BOARD_PYTHON = found("compiler.python", "3.11.2", "python", path=sys.executable, salt="built for the board")
CC = found("compiler.c", "12.2.0", "gcc")


def world(*, versions: Sequence[str] = ("1.0",), targets: Sequence[str] = (HOST, BOARD)) -> list[Component]:
    return [
        solution(
            targets=list(targets),
            variants=FORMATS,
            deps={
                "python": {"needs": "compiler.python"},
                "data": {"needs": "dataset:pictures"},
                "model": {"needs": "model:net", "variants": {"format": "{format}"}},
                "cc": {"needs": "compiler.c", "version": ">=10"},
            },
        ),
        program(),
        dataset(),
        model(runtimes=[{"format": f, "needs": "lib.run"} for f in ("onnx", "tflite")], variants=FORMATS),
        component(
            "package",
            "run",
            provides={"capability": "lib.run", "versions": list(versions)},
            install={"using": "download"},
            files=[{"name": "run.so", "sha256": SHA, "size": 3, "origin": "made for a test"}],
            targets=[HOST, BOARD],
        ),
        soft("python", "compiler.python"),
        soft("gcc", "compiler.c"),
    ]


@pytest.fixture
def homes(tmp_path: Path) -> tuple[Path, Path, Path]:
    """The home of a workstation, the home of a board, and the folder they share."""
    return tmp_path / "workstation", tmp_path / "board", tmp_path / "shared"


def sources(whole: Lock, target: str) -> dict[str, str]:
    return {n.capability: n.source for n in whole.for_target(target).nodes.values() if n.capability}


def test_every_target_of_a_solution_has_a_graph(homes: tuple[Path, Path, Path]) -> None:
    home, _, folder = homes
    written = lock(machine(home, world(), [PYTHON, CC]), folder)
    whole = held(folder)
    assert whole.targets == (HOST, BOARD) == written.lock.targets
    assert sources(whole, HOST) == {"compiler.python": "detected", "compiler.c": "detected", "lib.run": "install"}
    assert sources(whole, BOARD) == {"compiler.python": "expected", "compiler.c": "expected", "lib.run": "install"}
    assert [whole.environments[c.environment].target for c in whole.configurations] == [HOST, BOARD]


def test_a_target_without_a_graph_is_told_with_its_reason_and_is_no_error(homes: tuple[Path, Path, Path]) -> None:
    home, _, folder = homes
    session = machine(home, world(targets=[HOST, ANDROID]), [PYTHON, CC])
    written = lock(session, folder)
    assert held(folder).targets == (HOST,)
    reason = held(folder).without[ANDROID]["format=onnx"]
    assert ANDROID in reason or "lib.run" in reason
    assert any(ANDROID in text and reason in text for text in written.notes)
    with pytest.raises(ResolutionError):
        lock(session, folder, targets=(ANDROID,))
    # The next init keeps the lock as it is and says it again.
    plan = make_plan(session, Wish("demo", {}), folder)
    assert plan.kept and any(ANDROID in text for text in plan.notes)


def test_a_solution_without_a_graph_anywhere_writes_no_lock(homes: tuple[Path, Path, Path]) -> None:
    home, _, folder = homes
    with pytest.raises(ResolutionError, match=f"no graph for any of {ANDROID}"):
        lock(machine(home, world(targets=[ANDROID]), [PYTHON, CC]), folder)
    assert not (folder / "demo" / "cr.lock").exists()


def test_a_target_that_is_asked_for_restricts_the_others(homes: tuple[Path, Path, Path]) -> None:
    home, _, folder = homes
    session = machine(home, world(targets=[HOST, BOARD, ANDROID]), [PYTHON, CC])
    lock(session, folder, targets=(BOARD,))
    assert held(folder).targets == (HOST, BOARD)
    assert held(folder).without == {}
    with pytest.raises(ResolutionError, match="linux-aarch64-gn0") as caught:
        lock(session, folder, targets=("linux-aarch64-gn0",))
    assert BOARD in caught.value.hint


def test_adding_a_target_and_a_configuration_leaves_every_other_line(homes: tuple[Path, Path, Path]) -> None:
    home, _, folder = homes
    path = folder / "demo" / "cr.lock"
    texts = []
    for targets, variants in [((HOST,), {}), ((HOST, BOARD), {}), ((HOST, BOARD), {"format": ["all"]})]:
        components = world()
        # The solution stays as it is: only what is asked for grows.
        lock(machine(home, components, [PYTHON, CC]), folder, targets=targets, variants=variants)
        texts.append(path.read_text().splitlines())
    for before, after in itertools.pairwise(texts):
        gone = [line[1:] for line in difflib.unified_diff(before, after, n=0) if line[0] == "-" and line[1] != "-"]
        assert {line.strip() for line in gone} <= {"}", "]"}
        assert len(after) > len(before)


def test_the_board_fills_in_what_was_expected_and_keeps_the_rest(homes: tuple[Path, Path, Path]) -> None:
    home, board, folder = homes
    lock(machine(home, world(), [PYTHON, CC]), folder)
    before = held(folder)
    # The board has two compilers; the one that the lock expects is taken, though it is not the newest.
    newer = found("compiler.c", "14.1.0", "gcc", path="/usr/bin/gcc-14")
    lock(machine(board, world(), [BOARD_PYTHON, newer, replace(CC, digest="sha256:" + "7" * 64)], BOARD), folder)
    after = held(folder)
    assert after.for_target(HOST) == before.for_target(HOST)
    assert set(sources(after, BOARD).values()) == {"detected", "install"}
    assert {n.version for n in after.for_target(BOARD).nodes.values() if n.capability == "compiler.c"} == {"12.2.0"}
    # It goes on being the lock of both: nothing moves when it is written again on either machine.
    text = (folder / "demo" / "cr.lock").read_bytes()
    assert not lock(machine(home, world(), [PYTHON, CC]), folder).changes
    assert (folder / "demo" / "cr.lock").read_bytes() == text


@pytest.mark.parametrize("has", [[PYTHON, CC], [PYTHON, found("compiler.c", "13.1.0", "gcc")], [PYTHON]])
def test_what_another_machine_was_seen_to_have_is_remembered(
    homes: tuple[Path, Path, Path], has: list[Detected]
) -> None:
    home, board, folder = homes
    cc = replace(CC, digest="sha256:" + "7" * 64, facts={"triple": "aarch64-linux-gnu"})
    lock(machine(board, world(), [BOARD_PYTHON, cc], BOARD), folder)
    changed = [replace(c, digest="sha256:" + "9" * 64) if c.name == "pictures" else c for c in world()]
    if len(has) == 1:
        with pytest.raises(ResolutionError):
            lock(machine(home, changed, has), folder)
        has = [*has, found("compiler.c", "11.0", "gcc")]
    lock(machine(home, changed, has), folder)
    node = next(n for n in held(folder).for_target(BOARD).nodes.values() if n.capability == "compiler.c")
    assert (node.source, node.version, node.binary) == ("detected", "12.2.0", cc.digest)
    assert node.facts["triple"] == "aarch64-linux-gnu"


def locked(session: object, folder: Path) -> None:
    make_plan(session, Wish("demo", {}, locked=True), folder, installing=False)  # type: ignore[arg-type]


def test_the_same_software_on_another_machine_is_the_same_graph(homes: tuple[Path, Path, Path]) -> None:
    home, board, folder = homes
    lock(machine(home, world(), [PYTHON, CC]), folder)
    text = (folder / "demo" / "cr.lock").read_bytes()
    elsewhere = [replace(PYTHON, path="/opt/python"), replace(CC, path="/opt/gcc")]
    locked(machine(board, world(), elsewhere), folder)
    locked(machine(board, world(), [BOARD_PYTHON, CC], BOARD), folder)
    assert (folder / "demo" / "cr.lock").read_bytes() == text


@pytest.mark.parametrize(
    ("triple", "has", "node", "the_lock", "here"),
    [
        (HOST, [PYTHON], "compiler.c@12.2.0", "compiler.c 12.2.0 (", "this machine has no compiler.c"),
        (
            HOST,
            [PYTHON, found("compiler.c", "12.2.0", "gcc", salt="patched")],
            "compiler.c@12.2.0",
            "compiler.c 12.2.0 (",
            "this machine has 12.2.0 (",
        ),
        (
            BOARD,
            [BOARD_PYTHON, found("compiler.c", "13.1.0", "gcc")],
            f"compiler.c@12.2.0 ({BOARD})",
            "compiler.c 12.2.0, expected on this target",
            "this machine has 13.1.0 (",
        ),
    ],
)
def test_other_software_is_refused_by_node_lock_and_machine(
    homes: tuple[Path, Path, Path], triple: str, has: list[Detected], node: str, the_lock: str, here: str
) -> None:
    home, board, folder = homes
    lock(machine(home, world(), [PYTHON, CC]), folder)
    with pytest.raises(LockError) as caught:
        locked(machine(board, world(), has, triple), folder)
    (difference,) = caught.value.context["differences"]  # type: ignore[attr-defined]
    assert difference["node"] == node
    assert difference["locked"].startswith(the_lock)
    assert difference["here"].startswith(here)
    assert f"  · {node}: the lock has {the_lock}" in caught.value.message


def test_a_component_that_changed_is_refused_by_name_and_digests(homes: tuple[Path, Path, Path]) -> None:
    home, board, folder = homes
    components = world()
    lock(machine(home, components, [PYTHON, CC]), folder)
    changed = [replace(c, digest="sha256:" + "9" * 64) if c.name == "pictures" else c for c in components]
    with pytest.raises(
        LockError, match=r"dataset:pictures@1\.0\.0 with [0-9a-f]{12}; the repository has it with 9{12}"
    ):
        locked(machine(board, changed, [PYTHON, CC]), folder)


def test_a_machine_that_the_lock_has_no_graph_for_is_refused_with_those_it_has(homes: tuple[Path, Path, Path]) -> None:
    home, board, folder = homes
    lock(machine(home, world(targets=[HOST, ANDROID]), [PYTHON, CC]), folder)
    with pytest.raises(LockError, match=f"no configuration format=onnx for {ANDROID}"):
        locked(machine(board, world(targets=[HOST, ANDROID]), [PYTHON, CC], ANDROID), folder)


def test_check_holds_where_it_was_written_and_names_what_does_not_hold(homes: tuple[Path, Path, Path]) -> None:
    home, board, folder = homes
    here = machine(home, world(), [PYTHON, CC])
    lock(here, folder)
    wish = Wish("demo", {})
    assert verify(here, wish, folder)[1] == []
    # Another version in the repositories is no reason to move: the lock is preferred.
    assert verify(machine(home, world(versions=("1.0", "2.0")), [PYTHON, CC]), wish, folder)[1][0].kind == "components"
    missing, findings = verify(machine(board, world(), [PYTHON]), wish, folder)
    assert [(f.what, f.kind) for f in findings] == [("compiler.c@12.2.0", "machine")]
    assert refusal(missing, findings).exit_code == 6
    more = [*world(targets=[HOST, BOARD]), soft("clang", "compiler.c")]
    assert verify(machine(home, more, [PYTHON, CC]), wish, folder)[1] == []
    _, stale = verify(machine(home, world(), [PYTHON, CC]), Wish("demo", {"format": ["all"]}), folder)
    assert {f.kind for f in stale} == {"stale"}
    assert "format=tflite" in {f.what for f in stale}
