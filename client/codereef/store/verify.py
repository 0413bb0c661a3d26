# SPDX-License-Identifier: Apache-2.0
"""Reads the whole store and says what is wrong: files by their digest, folders by what was recorded of them.

Every file is read once, on every core, however many names it has: a blob that ten folders share is one file.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from . import locks
from .contents import Looked, judge, look
from .hasher import OTHER, ROW, SOUND
from .hashing import Answer, digests, shelves
from .prefix import Prefix, read_prefix
from .tree import MANIFEST, Entry

if TYPE_CHECKING:
    from .store import Store

_SHA256 = re.compile(r"[0-9a-f]{64}")

Kind = Literal["file", "folder", "environment"]


@dataclass(frozen=True)
class Damage:
    """One damaged thing.

    Attributes:
        kind: `file` (a blob), `folder` (checked file by file) or `environment` (built in place).
        name: SHA-256 or key.
        path: where it is.
        problems: sentences; of a folder by relative path of the file (b"" for the folder itself).
    """

    kind: Kind
    name: str
    path: Path
    problems: Mapping[bytes, str]


@dataclass(frozen=True)
class Verified:
    """What was read and found.

    Attributes:
        damages: what is wrong.
        blobs, folders, environments: how many were looked at.
        files: how many files were read.
        size: bytes that were read.
        unrecorded: folders of which nobody recorded what they must hold.
        sound: path by SHA-256 of a file that was read and is what it must be; single files and checked
            folders before environments, which others may write to.
    """

    damages: tuple[Damage, ...]
    blobs: int = 0
    folders: int = 0
    environments: int = 0
    files: int = 0
    size: int = 0
    unrecorded: tuple[str, ...] = ()
    sound: Mapping[str, str] = field(default_factory=dict)


def kind_of(prefix: Prefix) -> Kind:
    """Return whether a folder is an environment or one that is checked file by file."""
    return "folder" if prefix.tree is not None else "environment"


class _Reading:
    """The files to be read, each once."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[int, int], int] = {}
        self._known: dict[tuple[int, int], Answer] = {}
        self.files: list[tuple[str, int]] = []
        self.answers: list[Answer] = []

    def know(self, device: int, inode: int, answer: Answer) -> None:
        """Note what came of a file that was read already."""
        self._known[device, inode] = answer

    def add(self, path: str, device: int, inode: int, size: int) -> int | Answer:
        """Return the number of a file that is to be read, or its answer where that is known."""
        key = (device, inode)
        if key in self._known:
            return self._known[key]
        number = self._numbers.setdefault(key, len(self.files))
        if number == len(self.files):
            self.files.append((path, size))
        return number

    def answer(self, number: int | Answer) -> Answer:
        """Return what came of reading a file."""
        return self.answers[number] if isinstance(number, int) else number


def _shelf_folders(store: Store) -> list[str]:
    try:
        with os.scandir(store.blobs) as items:
            return sorted(item.path for item in items if item.is_dir(follow_symlinks=False))
    except FileNotFoundError:
        return []


def _add(reading: _Reading, entry: Entry) -> int | Answer:
    return reading.add(entry.path, entry.status.st_dev, entry.status.st_ino, entry.status.st_size)


def _blobs(store: Store) -> list[tuple[str, str, os.stat_result]]:
    """Return SHA-256, path and status of every file in the store."""
    found = []
    is_digest = _SHA256.fullmatch
    for folder in _shelf_folders(store):
        with os.scandir(folder) as items:
            for item in sorted(items, key=lambda entry: entry.name):
                if is_digest(item.name):
                    with contextlib.suppress(FileNotFoundError):  # collected meanwhile
                        found.append((item.name, item.path, item.stat(follow_symlinks=False)))
    return found


def _unfinished(store: Store) -> list[Damage]:
    """Return the folders whose manifest is there and cannot be read, and that nobody is building."""
    found = []
    try:
        paths = sorted(store.prefixes.iterdir())
    except FileNotFoundError:
        return []
    for path in paths:
        if read_prefix(path) is None and (path / MANIFEST).exists():
            with locks.attempt(store.lock_path(f"prefix.{path.name}"[:200])) as mine:
                if mine and (path / MANIFEST).exists() and read_prefix(path) is None:
                    found.append(Damage("folder", path.name, path, {b"": f"{MANIFEST} cannot be read"}))
    return found


def verify(
    store: Store,
    *,
    jobs: int | None = None,
    on_total: Callable[[int, int], None] | None = None,
    on_bytes: Callable[[int], None] | None = None,
) -> Verified:
    """Read everything in a store and return what is wrong with it.

    What another process removes or is building meanwhile is left out.

    Args:
        store: the store.
        jobs: how many files to read at once; the number of cores by default.
        on_total: is told once how many files and bytes will be read.
        on_bytes: is told of bytes that were read, from several threads.
    """
    reading = _Reading()
    blobs, early, late = 0, 0, []
    damages: list[Damage] = []
    sound: dict[str, str] = {}
    for shelf in shelves(_shelf_folders(store), jobs=jobs):
        for name, inode, size, what, digest in ROW.iter_unpack(shelf.rows):
            sha = name.hex()
            path = f"{shelf.folder}/{sha}"
            blobs += 1
            if what == SOUND:
                early += size
                sound[sha] = path
                reading.know(shelf.device, inode, sha)
            elif what == OTHER:
                early += size
                reading.know(shelf.device, inode, digest.hex())
                damages.append(Damage("file", sha, Path(path), {b"": _blob_problem(digest.hex())}))
            else:
                late.append((sha, path, reading.add(path, shelf.device, inode, size)))
    early_files = blobs - len(late)
    folders: list[tuple[Looked, dict[bytes, int | Answer]]] = []
    for prefix in store.ls():
        looked = look(prefix)
        names = [] if looked.problems else looked.reads()
        folders.append((looked, {name: _add(reading, looked.found[name]) for name in names}))
    if on_total is not None:
        on_total(early_files + len(reading.files), early + sum(size for _, size in reading.files))
    if on_bytes is not None:
        on_bytes(early)
    reading.answers = digests(reading.files, jobs=jobs, on_bytes=on_bytes)
    for sha, path, number in late:
        answer = reading.answer(number)
        if answer == sha:
            sound[sha] = path
        elif os.path.lexists(path):
            damages.append(Damage("file", sha, Path(path), {b"": _blob_problem(answer)}))
    unrecorded = []
    for looked, numbers in sorted(folders, key=lambda item: kind_of(item[0].prefix) != "folder"):
        found = {name: reading.answer(number) for name, number in numbers.items()}
        problems: dict[bytes, str] = dict(judge(looked, found))
        if looked.problems:
            problems[b""] = "; ".join(looked.problems)
        for name, answer in found.items():
            if name not in problems and isinstance(answer, str):
                sound.setdefault(answer, looked.found[name].path)
        if not looked.expected.rows and not looked.problems and looked.prefix.tree is None:
            unrecorded.append(looked.prefix.key)
        # A folder that has gone meanwhile was collected or is being made again: nothing is wrong with that.
        if problems and read_prefix(looked.prefix.path) == looked.prefix:
            damages.append(Damage(kind_of(looked.prefix), looked.prefix.key, looked.prefix.path, problems))
    environments = sum(kind_of(looked.prefix) == "environment" for looked, _ in folders)
    return Verified(
        damages=(*damages, *_unfinished(store)),
        blobs=blobs,
        folders=len(folders) - environments,
        environments=environments,
        files=early_files + len(reading.files),
        size=early + sum(size for _, size in reading.files),
        unrecorded=tuple(unrecorded),
        sound=sound,
    )


def _blob_problem(answer: Answer) -> str:
    if isinstance(answer, OSError):
        return f"cannot be read: {answer.strerror}"
    return f"has other contents (sha256 {answer})"
