# SPDX-License-Identifier: Apache-2.0
"""A lock moves only what must move: pins are stronger than it, it is stronger than what is newer or detected."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from codereef.detect import Detected
from codereef.errors import LockError, NotFoundError, ResolutionError
from codereef.meta.component import Component
from codereef.solve.candidates import Request
from codereef.workspace.outdated import outdated
from codereef.workspace.plan import make_plan
from codereef.workspace.wish import Wish

from tests.install.test_foreign import make_native
from tests.install.test_pip import make_wheel
from tests.solve.worlds import BOARD, HOST, SHA, component, dataset, found, model, package, program, soft, solution
from tests.workspace.machines import held, lock, machine

PYTHON = found("compiler.python", "3.11.2", "python", path=sys.executable)


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of real wheels as the only source of distributions."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    for name in list(os.environ):
        if name.startswith(("PIP_", "UV_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv-cache"))
    make_wheel(folder, "reef_a", "1.0")
    make_wheel(folder, "reef_b", "1.0", "reef-a")
    return folder


def recipe(name: str, version: str, position: int, wheels: bool, **meta: Any) -> Component:
    """A recipe of one version: of a file, or of a wheel."""
    if wheels:
        return package(name, f"lib.{name}", [version], version=f"1.{position}.0", requirements=[f"reef-{name}"], **meta)
    return component(
        "package",
        name,
        version=f"1.{position}.0",
        provides={"capability": f"lib.{name}", "versions": [version]},
        install={"using": "download"},
        files=[{"name": f"{name}.so", "sha256": SHA, "size": 3, "origin": "made for a test"}],
        **meta,
    )


def world(
    a: Sequence[str] = ("1.0",), b: Sequence[str] = ("1.0",), b_needs_a: str = "", *, wheels: bool = False
) -> list[Component]:
    needs = {"a": {"needs": "lib.a", **({"version": b_needs_a} if b_needs_a else {})}}
    return [
        solution(
            targets=[HOST],
            deps={
                "python": {"needs": "compiler.python"},
                "data": {"needs": "dataset:pictures"},
                "model": {"needs": "model:net"},
                "a": {"needs": "lib.a"},
            },
        ),
        program(),
        dataset(),
        model(runtimes=[{"format": "onnx", "needs": "lib.b"}]),
        # New versions come as new recipes, as they do in a repository: what is locked stays as it is.
        *(recipe("a", v, i, wheels) for i, v in enumerate(a)),
        *(recipe("b", v, i, wheels, deps=needs) for i, v in enumerate(b)),
        soft("python", "compiler.python"),
        soft("liba", "lib.a"),
    ]


def versions(folder: Path) -> dict[str, str]:
    whole = held(folder)
    return {n.capability: n.version for n in whole.nodes.values() if n.capability.startswith("lib.")} | {
        d.name: d.version for e in whole.environments.values() for d in e.distributions
    }


def again(tmp_path: Path, components: list[Component], has: Sequence[Detected] = (PYTHON,), **wish: object) -> None:
    lock(machine(tmp_path / "home", components, has), tmp_path, **wish)


FIRST = {"lib.a": "1.0", "lib.b": "1.0"}
FIRST_WHEELS = {**FIRST, "reef-a": "1.0", "reef-b": "1.0"}


@pytest.fixture
def first(tmp_path: Path) -> Path:
    """A lock of version 1.0 of everything."""
    again(tmp_path, world())
    assert versions(tmp_path) == FIRST
    return tmp_path


@pytest.fixture
def with_wheels(tmp_path: Path, wheels: Path) -> Path:
    """A lock of version 1.0 of everything, beside an index that has 2.0 of everything by now."""
    again(tmp_path, world(wheels=True))
    assert versions(tmp_path) == FIRST_WHEELS
    make_wheel(wheels, "reef_a", "2.0")
    make_wheel(wheels, "reef_b", "2.0", "reef-a")
    return tmp_path


BOTH = ("1.0", "2.0")


def test_what_is_newer_moves_nothing(first: Path) -> None:
    again(first, world(BOTH, BOTH))
    assert versions(first) == FIRST


def test_upgrade_moves_everything(first: Path) -> None:
    again(first, world(BOTH, BOTH), upgrade=True)
    assert versions(first) == {"lib.a": "2.0", "lib.b": "2.0"}


@pytest.mark.parametrize("name", ["lib.a", "package:a"])
def test_upgrade_of_one_name_moves_that_alone(first: Path, name: str) -> None:
    again(first, world(BOTH, BOTH), upgrade=True, names=(name,))
    assert versions(first) == {**FIRST, "lib.a": "2.0"}


def test_a_name_that_is_not_in_the_lock_is_refused_with_the_nearest(first: Path) -> None:
    with pytest.raises(NotFoundError, match="`libb` is not in the lock") as caught:
        again(first, world(BOTH, BOTH), upgrade=True, names=("libb",))
    assert "lib.b" in caught.value.hint


def test_upgrading_one_moves_no_other_unless_a_pin_asks_for_it(first: Path) -> None:
    new = [*world(BOTH), recipe("b", "2.0", 1, False, deps={"a": {"needs": "lib.a", "version": ">=2"}})]
    again(first, new, upgrade=True, names=("lib.b",))
    # Only lib.b may move, and its 2.0 would move lib.a; a pin says that it is to move all the same.
    assert versions(first) == FIRST
    again(first, new, request=Request(pins={"lib.b": "2.0"}))
    assert versions(first) == {**FIRST, "lib.a": "2.0", "lib.b": "2.0"}


def test_a_pin_is_stronger_than_the_lock_and_outlives_the_command(first: Path) -> None:
    again(first, world(BOTH, BOTH), request=Request(pins={"lib.a": "2.0"}))
    assert versions(first) == {**FIRST, "lib.a": "2.0"}
    again(first, world((*BOTH, "3.0"), BOTH), upgrade=True)
    assert versions(first)["lib.a"] == "2.0"
    assert dict(held(first).request) == {"pins": {"lib.a": "2.0"}}
    again(first, world((*BOTH, "3.0"), BOTH), clear_pins=True)
    # Forgetting a pin moves nothing by itself.
    assert (versions(first)["lib.a"], dict(held(first).request)) == ("2.0", {})
    again(first, world((*BOTH, "3.0"), BOTH), upgrade=True)
    assert versions(first)["lib.a"] == "3.0"


def test_what_the_lock_installs_stays_installed_when_the_machine_has_it_too(first: Path) -> None:
    own = found("lib.a", "1.5", "liba")
    again(first, world(BOTH, BOTH), [PYTHON, own])
    assert versions(first) == FIRST
    again(first, world(BOTH, BOTH), [PYTHON, own], upgrade=True)
    assert versions(first)["lib.a"] == "1.5"


def test_a_recipe_that_was_withdrawn_stays_where_the_lock_has_it(first: Path) -> None:
    components = world(BOTH, BOTH)
    withdrawn = [
        recipe("a", "1.0", 0, False, yanked="leaks memory") if str(c.reference) == "package:a@1.0.0" else c
        for c in components
    ]
    again(first, withdrawn)
    assert versions(first) == FIRST
    again(first, withdrawn, upgrade=True)
    assert versions(first)["lib.a"] == "2.0"


def test_a_lock_whose_pins_cannot_be_met_any_more_is_left_alone(first: Path) -> None:
    text = (first / "demo" / "cr.lock").read_bytes()
    with pytest.raises(ResolutionError):
        again(first, world(BOTH, BOTH), request=Request(pins={"lib.a": "9"}))
    assert (first / "demo" / "cr.lock").read_bytes() == text


def test_outdated_tells_what_fits_from_what_there_is(first: Path) -> None:
    components = world(("1.0", "2.0", "3.0"), BOTH, b_needs_a="<3")
    rows = {
        (r.what, r.kind): (r.locked, r.fits, r.newest, r.outdated)
        for r in outdated(machine(first / "home", components, [PYTHON]), "demo", first).rows
    }
    assert rows["lib.a", "capability"] == ("1.0", "2.0", "3.0", True)
    assert rows["lib.b", "capability"] == ("1.0", "2.0", "2.0", True)
    assert rows["dataset:pictures", "component"] == ("1.0.0", "1.0.0", "1.0.0", False)
    assert rows["compiler.python", "detected"] == ("3.11.2", "3.11.2", "3.11.2", False)


@pytest.mark.slow
def test_distributions_are_kept_upgraded_together_and_upgraded_alone(with_wheels: Path) -> None:
    components = world(BOTH, BOTH, wheels=True)
    again(with_wheels, components)
    assert versions(with_wheels) == FIRST_WHEELS
    again(with_wheels, components, upgrade=True, names=("reef-b",))
    assert versions(with_wheels) == {**FIRST_WHEELS, "reef-b": "2.0"}
    again(with_wheels, components, upgrade=True)
    assert versions(with_wheels) == dict.fromkeys(FIRST_WHEELS, "2.0")


@pytest.mark.slow
def test_a_changed_requirement_moves_no_other_distribution(with_wheels: Path, wheels: Path) -> None:
    make_wheel(wheels, "reef_c", "1.0")
    components = world(wheels=True)
    components[0] = solution(
        targets=[HOST], deps={**components[0].meta["deps"], "c": {"needs": "lib.c"}}, version="1.0.1"
    )
    again(with_wheels, [*components, recipe("c", "1.0", 0, True)])
    assert versions(with_wheels) == {**FIRST_WHEELS, "lib.c": "1.0", "reef-c": "1.0"}


@pytest.mark.slow
def test_outdated_knows_distributions_from_the_cache_alone(with_wheels: Path) -> None:
    found_ = outdated(machine(with_wheels / "home", world(BOTH, BOTH, wheels=True), [PYTHON]), "demo", with_wheels)
    rows = {r.what: (r.locked, r.fits, r.newest) for r in found_.rows if r.kind == "distribution"}
    assert rows == {"reef-a": ("1.0", "2.0", "2.0"), "reef-b": ("1.0", "2.0", "2.0")}


@pytest.mark.slow
def test_distributions_that_cannot_be_had_here_stay_open_until_their_own_machine_fills_them_in(
    tmp_path: Path, wheels: Path
) -> None:
    make_native(wheels, "cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64")
    components = [*world(wheels=True), package("n", "lib.n", ["1.0"], requirements=["reef-n"])]
    components[0] = solution(targets=[HOST, BOARD], deps={**components[0].meta["deps"], "n": {"needs": "lib.n"}})
    here = machine(tmp_path / "home", components, [PYTHON])
    written = lock(here, tmp_path)
    open_ = [e for e in written.lock.environments.values() if not e.install_key]
    assert [(e.target, e.distributions) for e in open_] == [(BOARD, ())]
    assert any(BOARD in text and "stay open" in text and "reef-n" in text for text in written.notes)
    assert held(tmp_path) == written.lock
    text = (tmp_path / "demo" / "cr.lock").read_bytes()
    there = machine(tmp_path / "board", components, [PYTHON], BOARD)
    with pytest.raises(LockError, match="no exact distributions yet"):
        make_plan(there, Wish("demo", {}, locked=True), tmp_path, installing=False)
    assert (tmp_path / "demo" / "cr.lock").read_bytes() == text
    # On the board itself there is a wheel for its own Python.
    filled = lock(there, tmp_path).lock
    assert all(e.install_key for e in filled.environments.values())
    assert filled.for_target(HOST) == written.lock.for_target(HOST)
