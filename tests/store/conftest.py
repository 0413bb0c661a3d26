# SPDX-License-Identifier: Apache-2.0
"""A store in a temporary folder, things to put into it, and ways to damage them."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from codereef.disk import link_or_copy
from codereef.store import Prefix, Store


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def child(code: str, *args: str) -> subprocess.Popen[str]:
    """Start a Python process that shares nothing with this one but the disk."""
    return subprocess.Popen([sys.executable, "-c", code, *args], stdout=subprocess.PIPE, text=True)


def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.01)


def skip_or_fail(reason: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason}; CI must be able to run this")
    pytest.skip(reason)


def flip(path: Path, at: int = 0) -> None:
    """Flip one bit of a file where it lies: every name of it has the damage, and the file keeps its size."""
    mode = path.stat().st_mode
    path.chmod(0o644)
    with path.open("r+b") as stream:
        stream.seek(at)
        byte = stream.read(1)[0]
        stream.seek(at)
        stream.write(bytes([byte ^ 1]))
    path.chmod(mode & 0o777)


def add_blob(store: Store, data: bytes) -> Path:
    """Put a file into the store."""
    store.prepare()
    source = store.tmp / "source"
    source.write_bytes(data)
    try:
        return store.add_blob(source, sha(data), len(data))
    finally:
        source.unlink()


def add_folder(store: Store, key: str, files: dict[str, bytes], *, link: bool = True) -> Prefix:
    """Install a folder made of files, which the store then has as blobs too where they are linked."""
    with store.building(key) as build:
        for name, data in files.items():
            place = build.path / name
            place.parent.mkdir(parents=True, exist_ok=True)
            if link:
                link_or_copy(add_blob(store, data), place)
            else:
                place.write_bytes(data)
        return build.commit({"component": f"model:{key}@1.0"}, digest=True)


def lock_file(path: Path, *keys: str, blobs: tuple[str, ...] = ()) -> Path:
    """Write something that is a lock as far as the store is concerned."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"nodes": [{"install_key": key} for key in keys], "files": [*blobs]}))
    return path


@pytest.fixture(autouse=True)
def nobody_pulls_the_plug(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave it to the kernel when it writes: waiting for the disk is most of the time of these tests."""
    monkeypatch.setattr(os, "fsync", lambda _handle: None)
    monkeypatch.setattr(os, "sync", lambda: None)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of one megabyte."""
    if os.geteuid() != 0:
        skip_or_fail("only root can mount a small tmpfs")
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], capture_output=True, text=True
    )
    if done.returncode != 0:
        skip_or_fail(f"mounting a tmpfs failed: {done.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)
