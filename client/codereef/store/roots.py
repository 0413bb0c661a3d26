# SPDX-License-Identifier: Apache-2.0
"""Which locks hold what in the store: reference counting by the files that users keep.

    <store>/v1/roots/<32 digits>.json    one lock file: its path and what it names in the store

A registered lock holds a folder as long as the lock is there and still names it. It is read again whenever
somebody asks, so deleting, editing or checking out a lock is all that is needed to let go: nobody has to tell
the store. A lock that cannot be read, or whose disk is not mounted now, holds all that it held.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from codereef.disk import write_atomic
from codereef.errors import StorageError
from codereef.witness import looked

from . import locks
from .use import READ_ONLY

if TYPE_CHECKING:
    from .store import Store

FORMAT = "codereef-root/1"
_PLACE = re.compile(r"[0-9a-f]{8}")

State = Literal["held", "gone", "away", "unread"]


@dataclass(frozen=True)
class Root:
    """A registered lock.

    Attributes:
        lock: its path.
        keys: keys of installed folders it was registered with.
        blobs: SHA-256 of files it was registered with.
        state: `held` (read), `gone` (no such file), `away` (its disk is not mounted), `unread` (cannot be read).
        names: the registered keys and files that the lock still names; all of them where it is not `held`
            and not `gone`.
    """

    lock: Path
    keys: tuple[str, ...]
    blobs: tuple[str, ...]
    state: State
    names: frozenset[str]


@dataclass(frozen=True)
class Held:
    """Everything that locks hold.

    Attributes:
        keys: paths of locks by key of an installed folder.
        blobs: paths of locks by SHA-256 of a file.
    """

    keys: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)
    blobs: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)


def _mount_of(path: Path) -> str:
    """Return the mount point that a path lies under."""
    for place in path.parents:
        if os.path.ismount(place):
            return str(place)
    return "/"


def _named(text: str, name: str) -> bool:
    """Tell whether a lock's text names a key or a digest.

    A Python environment's folder has the name in the lock and eight digits for the place of its interpreter.
    """
    whole, _, place = name.rpartition("-")
    return f'"{name}"' in text or (bool(_PLACE.fullmatch(place)) and f'"{whole}"' in text) or f"sha256:{name}" in text


def _names(document: Mapping[str, object], part: str) -> tuple[str, ...]:
    listed = document.get(part, ())
    return tuple(str(name) for name in listed) if isinstance(listed, (list, tuple)) else ()


class Roots:
    """The registry of locks of a store.

    Args:
        store: the store.
    """

    def __init__(self, store: Store) -> None:
        self.folder = store.base / "roots"
        self._choosing = store.locks / "collect.lock"

    def _path(self, lock: Path) -> Path:
        return self.folder / f"{hashlib.sha256(os.fsencode(lock)).hexdigest()[:32]}.json"

    def hold(self, lock: Path, keys: Iterable[str], blobs: Iterable[str] = (), *, adding: bool = False) -> bool:
        """Register a lock with what it names; what it named before and is not given now is let go.

        Args:
            lock: path of the lock file, which need not be there yet.
            keys: keys of installed folders.
            blobs: SHA-256 of files.
            adding: keep what is registered already, for the time between two locks at the same place.

        Returns:
            Whether it is registered; False where the store can only be read.

        Raises:
            StorageError: the disk is full or failing.
        """
        lock = lock.absolute()
        try:
            with locks.locked(self._choosing, shared=True):
                self._hold(lock, keys, blobs, adding)
        except StorageError as error:
            cause = error.__cause__
            if isinstance(cause, OSError) and cause.errno in READ_ONLY:
                return False
            raise
        return True

    def _hold(self, lock: Path, keys: Iterable[str], blobs: Iterable[str], adding: bool) -> None:
        path = self._path(lock)
        looked(str(path))
        old = self._document(path) or {}
        same = old.get("lock") == str(lock)
        kept = old if adding and same else {}
        document = {
            "format": FORMAT,
            "lock": str(lock),
            "mount": _mount_of(lock),
            "keys": sorted({*keys, *_names(kept, "keys")}),
            "blobs": sorted({*blobs, *_names(kept, "blobs")}),
            "since": old.get("since") if same else datetime.now(timezone.utc).isoformat(timespec="seconds"),
        }
        if document != old:
            text = json.dumps(document, indent=1, sort_keys=True) + "\n"
            write_atomic(path, text, what="the note of who holds what")

    def release(self, lock: Path) -> bool:
        """Forget a lock; return whether it was registered."""
        path = self._path(lock.absolute())
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
            return True
        return False

    @staticmethod
    def _document(path: Path) -> dict[str, object] | None:
        """Return a registration, or None where it is absent or damaged."""
        try:
            data = json.loads(path.read_bytes())
        except (OSError, ValueError):
            return None
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            return None
        lists = (data.get("keys"), data.get("blobs"))
        if not isinstance(data.get("lock"), str) or not all(
            isinstance(names, list) and all(isinstance(name, str) for name in names) for names in lists
        ):
            return None
        return data

    def _paths(self) -> list[Path]:
        try:
            return sorted(path for path in self.folder.iterdir() if path.suffix == ".json" and path.name[0] != ".")
        except FileNotFoundError:
            return []

    def damaged(self) -> tuple[Path, ...]:
        """Return the registrations that cannot be read or belong to another lock than they name."""
        found = []
        for path in self._paths():
            document = self._document(path)
            if document is None and not path.exists():
                continue  # let go meanwhile
            if document is None or self._path(Path(str(document["lock"]))) != path:
                found.append(path)
        return tuple(found)

    def all(self) -> tuple[Root, ...]:
        """Return every registered lock that can be read, by path."""
        documents = (self._document(path) for path in self._paths())
        roots = [self._root(document) for document in documents if document is not None]
        return tuple(sorted(roots, key=lambda root: root.lock))

    @staticmethod
    def _root(document: Mapping[str, object]) -> Root:
        lock = Path(str(document["lock"]))
        keys, blobs = _names(document, "keys"), _names(document, "blobs")
        everything = frozenset((*keys, *blobs))
        mount = str(document.get("mount", "/"))
        try:
            text = lock.read_text(encoding="utf-8")
            json.loads(text)
        except (FileNotFoundError, NotADirectoryError):
            if os.path.ismount(mount):
                return Root(lock, keys, blobs, "gone", frozenset())
            return Root(lock, keys, blobs, "away", everything)
        except (OSError, ValueError):
            return Root(lock, keys, blobs, "unread", everything)
        return Root(lock, keys, blobs, "held", frozenset(name for name in everything if _named(text, name)))

    def held(self) -> Held:
        """Return everything that registered locks hold now."""
        keys: dict[str, list[Path]] = {}
        blobs: dict[str, list[Path]] = {}
        for root in self.all():
            for found, names in ((keys, root.keys), (blobs, root.blobs)):
                for name in names:
                    if name in root.names:
                        found.setdefault(name, []).append(root.lock)
        return Held(
            {key: tuple(paths) for key, paths in keys.items()}, {sha: tuple(paths) for sha, paths in blobs.items()}
        )

    def forget_gone(self) -> int:
        """Remove the registrations of locks that are gone; return how many. The caller is choosing what goes."""
        return sum(self.release(root.lock) for root in self.all() if root.state == "gone")
