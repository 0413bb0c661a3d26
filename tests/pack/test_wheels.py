# SPDX-License-Identifier: Apache-2.0
"""Which wheel a pack takes for a target, and that it is taken by its digest, once, also without a network."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from codereef.install.download import Settings
from codereef.install.progress import NullProgress
from codereef.lock.model import LockedDistribution, LockedEnvironment
from codereef.pack.wheels import _best, _ranks, fetch_wheels, platforms
from codereef.store import Store

HOST = "linux-x86_64-gnu"


def environment(target: str, *distributions: LockedDistribution) -> LockedEnvironment:
    return LockedEnvironment("compiler.python@3.11.7", "3.11.7", target, (), (), distributions, "key")


@pytest.mark.parametrize(
    ("target", "wheel"),
    [
        ("linux-aarch64-gnu", "t-1-cp311-cp311-manylinux_2_17_aarch64.manylinux2014_aarch64.whl"),
        ("linux-aarch64-musl", "t-1-cp311-cp311-musllinux_1_2_aarch64.whl"),
        ("linux-armv7-gnueabihf", "t-1-cp311-cp311-manylinux_2_31_armv7l.whl"),
        ("macos-aarch64-darwin", "t-1-cp311-cp311-macosx_11_0_arm64.whl"),
        ("windows-x86_64-msvc", "t-1-cp311-cp311-win_amd64.whl"),
        ("android-aarch64", "t-1-py3-none-any.whl"),
    ],
)
def test_the_wheel_for_a_target_is_the_one_that_runs_there(target: str, wheel: str) -> None:
    others = [
        "t-1-cp311-cp311-manylinux_2_17_x86_64.whl",
        "t-1-cp312-cp312-manylinux_2_17_aarch64.whl",
        "t-1-pp310-pypy310_pp73-manylinux_2_17_aarch64.whl",
        "t-1-py3-none-any.whl",
    ]
    names = {str(number): name for number, name in enumerate([*others, wheel])}
    found = _best(names, _ranks(environment(target), HOST))
    assert found is not None and names[found] == wheel


def test_a_special_wheel_is_preferred_and_none_is_none() -> None:
    ranks = _ranks(environment("linux-aarch64-gnu"), HOST)
    names = {"a": "t-1-cp39-abi3-manylinux_2_28_aarch64.whl", "b": "t-1-cp311-cp311-manylinux_2_28_aarch64.whl"}
    assert _best(names, ranks) == "b"
    assert _best({"a": "t-1-cp311-cp311-win_amd64.whl", "b": "no wheel"}, ranks) is None
    assert platforms("plan9-vax") == ()


def test_wheels_come_by_digest_and_the_second_time_from_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    links = tmp_path / "links"
    links.mkdir()
    (links / "t-1-py3-none-any.whl").write_bytes(b"the wheel")
    good = LockedDistribution("t", "1", (hashlib.sha256(b"the wheel").hexdigest(),))
    absent = LockedDistribution("u", "2", ("0" * 64,))
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_INDEX_URL", "UV_INDEX", "UV_DEFAULT_INDEX", "UV_FIND_LINKS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(links))
    store, settings = Store(tmp_path / "store"), Settings()
    environments = {"host": environment(HOST, good, absent), "arm": environment("linux-aarch64-gnu", good)}

    def fetched(number: int, settings: Settings) -> tuple[object, object]:
        work = tmp_path / f"work{number}"
        work.mkdir()
        python = Path(sys.executable)
        return fetch_wheels(environments, HOST, python, store, tmp_path / "cache", settings, NullProgress(), work)

    wheels, lacking = fetched(1, settings)
    assert isinstance(wheels, dict)
    assert {name: [w.path.name for w in found] for name, found in wheels.items()} == {
        "host": ["t-1-py3-none-any.whl"],
        "arm": ["t-1-py3-none-any.whl"],
    }
    assert lacking == {"host": ["u 2"]}
    (links / "t-1-py3-none-any.whl").unlink()
    again, _ = fetched(2, replace(settings, offline=True))
    assert isinstance(again, dict) and again["arm"][0].path.read_bytes() == b"the wheel"


def test_each_target_gets_its_own_wheel_of_one_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    links = tmp_path / "links"
    links.mkdir()
    locked = {}
    for machine in ("x86_64", "aarch64"):
        (links / f"t-1-cp311-cp311-manylinux_2_17_{machine}.whl").write_bytes(machine.encode())
        locked[machine] = LockedDistribution("t", "1", (hashlib.sha256(machine.encode()).hexdigest(),))
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_INDEX_URL", "UV_INDEX", "UV_DEFAULT_INDEX", "UV_FIND_LINKS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(links))
    environments = {
        machine: environment(f"linux-{machine}-gnu", distribution) for machine, distribution in locked.items()
    }
    (tmp_path / "work").mkdir()
    wheels, lacking = fetch_wheels(
        environments,
        "linux-riscv64-gnu",
        Path(sys.executable),
        Store(tmp_path / "store"),
        tmp_path / "cache",
        Settings(),
        NullProgress(),
        tmp_path / "work",
    )
    assert lacking == {}
    assert {machine: found[0].path.read_bytes() for machine, found in wheels.items()} == {
        "x86_64": b"x86_64",
        "aarch64": b"aarch64",
    }
