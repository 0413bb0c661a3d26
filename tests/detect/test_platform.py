# SPDX-License-Identifier: Apache-2.0
"""The triple of the machine and the anonymous name of an installation."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from codereef.detect.instance import instance_id
from codereef.detect.platform import host_target, libc, make_triple
from codereef.errors import StorageError

from tests.detect.trees import raspberry_pi_4, write

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("system", "machine", "options", "expected"),
    [
        ("linux", "x86_64", {}, "linux-x86_64-gnu"),
        ("linux", "x86_64", {"bits": 32}, "linux-i686-gnu"),
        ("linux", "x86_64", {"musl": True}, "linux-x86_64-musl"),
        ("linux", "aarch64", {}, "linux-aarch64-gnu"),
        ("linux", "aarch64", {"bits": 32}, "linux-armv7-gnueabihf"),
        ("linux", "armv7l", {"bits": 32}, "linux-armv7-gnueabihf"),
        ("linux", "armv8l", {"bits": 32}, "linux-armv7-gnueabihf"),
        ("linux", "armv7l", {"bits": 32, "musl": True}, "linux-armv7-musleabihf"),
        ("linux", "armv6l", {"bits": 32, "hard_float": False}, "linux-armv6-gnueabi"),
        ("linux", "riscv64", {}, "linux-riscv64-gnu"),
        ("android", "aarch64", {}, "android-aarch64"),
        ("darwin", "arm64", {}, "macos-aarch64-darwin"),
        ("darwin", "x86_64", {}, "macos-x86_64-darwin"),
        ("win32", "AMD64", {}, "windows-x86_64-msvc"),
        ("win32", "arm64", {}, "windows-aarch64-msvc"),
        ("freebsd14", "amd64", {}, "freebsd-x86_64"),
    ],
)
def test_triples_are_made_of_what_uname_says(system: str, machine: str, options: dict[str, Any], expected: str) -> None:
    triple = make_triple(system, machine, **options)
    assert triple == expected
    pattern = json.loads((ROOT / "schemas" / "common.json").read_text())["$defs"]["target"]["pattern"]
    assert re.search(pattern, triple)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks a Linux compiler")
def test_this_machine_s_triple_agrees_with_its_compiler() -> None:
    try:
        said = subprocess.run(["gcc", "-dumpmachine"], capture_output=True, text=True, check=True).stdout.strip()
    except FileNotFoundError:
        pytest.skip("no gcc here")
    arch, *_, abi = said.split("-")
    assert host_target() == f"linux-{arch}-{abi}"


def test_the_triple_costs_less_than_a_millisecond() -> None:
    host_target()
    times = []
    for _ in range(9):
        start = time.process_time()
        host_target()
        times.append(time.process_time() - start)
    assert min(times) < 0.001


def test_musl_is_recognised_by_its_loader(tmp_path: Path) -> None:
    assert libc(write(tmp_path, {"lib/ld-musl-x86_64.so.1": ""})) == ("musl", "")
    assert libc(tmp_path / "nothing") == ("", "")


def test_an_instance_is_stable_and_the_salt_decides(tmp_path: Path) -> None:
    root = raspberry_pi_4(tmp_path / "root")
    salt = tmp_path / "state" / "salt"
    first = instance_id(salt, root)
    assert re.fullmatch(r"[0-9a-f]{32}", first)
    assert instance_id(salt, root) == first
    assert stat.S_IMODE(salt.stat().st_mode) == 0o600
    assert instance_id(tmp_path / "other", root) != first
    assert [path.name for path in salt.parent.iterdir()] == ["salt"]


def test_the_machine_id_takes_part_and_may_be_absent(tmp_path: Path) -> None:
    salt, root = tmp_path / "salt", raspberry_pi_4(tmp_path / "root")
    with_id = instance_id(salt, root)
    without = instance_id(salt, tmp_path / "empty")
    assert with_id != without == instance_id(salt, tmp_path / "empty")
    (root / "etc/machine-id").write_text("something else")
    assert instance_id(salt, root) not in (with_id, without)


def test_processes_that_start_together_get_one_salt(tmp_path: Path) -> None:
    for round_ in range(20):
        salt = tmp_path / str(round_)
        with ThreadPoolExecutor(8) as pool:
            assert len(set(pool.map(instance_id, [salt] * 8))) == 1


def test_a_damaged_salt_is_made_anew(tmp_path: Path) -> None:
    salt = tmp_path / "salt"
    salt.write_bytes(b"short")
    assert instance_id(salt) == instance_id(salt)
    assert len(salt.read_bytes()) == 32


def test_a_salt_that_cannot_be_made_is_an_error_for_people(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="salt file") as caught:
        instance_id(tmp_path / "file" / "salt")
    assert caught.value.hint and str(os.sep) in caught.value.message
