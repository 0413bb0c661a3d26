# SPDX-License-Identifier: Apache-2.0
"""Finds the component folders of a repository, with a signature of each, in one walk that opens no file."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from codereef.embedded import REPOSITORY_FOLDERS
from codereef.errors import CrError, MetadataError
from codereef.meta.component import META_FILE, ignored, link_error
from codereef.witness import looked

MAX_DEPTH = 5


@dataclass
class Found:
    """A component folder.

    Attributes:
        folder: its path.
        signature: changes when a file of it is changed, added or removed; made of names, sizes and times.
        problem: why it can be no component, or None.
    """

    folder: str
    signature: str = ""
    problem: CrError | None = None


class _Open:
    """A component folder that is being walked."""

    def __init__(self, found: Found) -> None:
        self.found = found
        self._digest = hashlib.blake2b(digest_size=16)
        self._skip = len(found.folder)

    def add(self, entry: os.DirEntry[str]) -> None:
        if entry.is_symlink():
            self.found.problem = self.found.problem or link_error(entry.path)
        elif entry.is_file():
            looked(entry.path)
            stat = entry.stat()
            # The change time tells when somebody set the modification time back.
            row = f"{entry.path[self._skip :]}\0{stat.st_size}\0{stat.st_mtime_ns}\0{stat.st_ctime_ns}\n"
            self._digest.update(row.encode("utf-8", "surrogateescape"))

    def close(self) -> Found:
        self.found.signature = self._digest.hexdigest()
        return self.found


def scan(root: Path) -> list[Found]:
    """Return the component folders of a repository by path: in the four standard folders where it has them, else anywhere.

    Links are not followed, hidden folders and those that begin with `_` are not looked into, nor is anything
    deeper than five folders.
    """
    found: list[Found] = []
    for name in REPOSITORY_FOLDERS:
        looked(str(root / name))
    standard = [root / name for name in REPOSITORY_FOLDERS if (root / name).is_dir()]
    for folder in standard or [root]:
        _walk(str(folder), 0, None, True, found)
    return sorted(found, key=lambda entry: entry.folder.split("/"))


def overlooked(root: Path) -> list[Path]:
    """Return the folders with a cr.json that are no components because they lie beside the standard folders."""
    if not any((root / name).is_dir() for name in REPOSITORY_FOLDERS):
        return []
    found: list[Found] = []
    for folder in sorted(root.iterdir()):
        seen = folder.name in REPOSITORY_FOLDERS or folder.name[0] in "._" or folder.is_symlink()
        if folder.is_dir() and not seen:
            _walk(str(folder), 1, None, True, found)
    return [Path(entry.folder) for entry in found]


def signature(folder: Path) -> str:
    """Return the signature of one component folder."""
    found: list[Found] = []
    _walk(str(folder), 0, None, True, found)
    return "".join(entry.signature for entry in found if entry.folder == str(folder) and entry.problem is None)


def _walk(folder: str, depth: int, owner: _Open | None, discover: bool, out: list[Found]) -> None:
    """Walk a folder whose files belong to `owner`, and in which components may be found where `discover` says so."""
    looked(folder)
    try:
        with os.scandir(folder) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        if owner is not None:
            owner.found.problem = owner.found.problem or unreadable(folder, error)
        return
    own = None
    if any(entry.name == META_FILE and _is_file(entry) for entry in listed):
        # A folder with a cr.json is never part of another component.
        owner = own = _Open(Found(folder)) if discover else None
    for entry in listed:
        name = entry.name
        if entry.is_dir(follow_symlinks=False):
            inner = None if ignored(name) else owner
            deeper = discover and depth < MAX_DEPTH and name[0] not in "._"
            if inner is not None or deeper:
                _walk(entry.path, depth + 1, inner, deeper, out)
        elif owner is not None and not ignored(name):
            try:
                owner.add(entry)
            except OSError as error:
                owner.found.problem = owner.found.problem or unreadable(entry.path, error)
    if own is not None:
        out.append(own.close())


def _is_file(entry: os.DirEntry[str]) -> bool:
    looked(entry.path)
    return entry.is_file()


def unreadable(place: str, error: OSError) -> MetadataError:
    """Return the error for a file or folder of a component that the system does not give."""
    return MetadataError(f"{error.filename or place} cannot be read: {error.strerror}.")


def component_folders(root: Path) -> list[Path]:
    """Return the component folders of a repository, by path."""
    return [Path(entry.folder) for entry in scan(root)]
