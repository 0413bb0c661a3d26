# SPDX-License-Identifier: Apache-2.0
"""Removes what dead processes left behind: folders half built or half removed, old parts of downloads, old logs."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING

from codereef.disk import remove_tree

from . import locks
from .prefix import read_prefix

if TYPE_CHECKING:
    from .store import Store

_EVERY = 600.0  # seconds between two looks
_KEEP_PARTIAL = 14 * 86400.0
_KEEP_LOG = 30 * 86400.0
_HOUR = 3600.0


def sweep(store: Store, *, force: bool, partials: bool) -> int:
    """Remove leftovers and return how many; see `Store.sweep`."""
    mark = store.tmp / "swept"
    now = time.time()
    with contextlib.suppress(OSError):
        if not force and 0 <= now - mark.stat().st_mtime < _EVERY:
            return 0
    removed = 0
    with contextlib.suppress(OSError):
        mark.touch()
        for path in list(store.tmp.iterdir()):
            # One that cannot be removed, or that another process has just removed, is no reason to leave the rest.
            with contextlib.suppress(OSError):
                removed += _one(store, path, now, 0.0 if partials else _KEEP_PARTIAL)
        for path in list(store.logs.iterdir()):
            with contextlib.suppress(OSError):
                removed += _log(path, now)
        for path in list(store.prefixes.iterdir()):
            with contextlib.suppress(OSError):
                # A name with a dot in front is a probe of the clock; no folder has one.
                removed += _one(store, path, now, 0.0) if path.name.startswith(".") else _folder(store, path)
    return removed


def _one(store: Store, path: Path, now: float, keep_partial: float) -> bool:
    kind, _, rest = path.name.partition(".")
    owner = rest.partition("@")[0]
    age = now - path.lstat().st_mtime
    if kind == "":  # a probe of the clock or of sharing that a kill left
        if age > _HOUR:
            remove_tree(path)
        return False
    if kind == "gone":
        remove_tree(path)  # it has no name any more; several may remove it at once
        return True
    if kind == "build":
        lock = f"prefix.{owner}"[:200]
    elif kind == "git":
        lock = f"git.{owner}"
    elif kind == "partial" and age > keep_partial:
        lock = f"download.{owner}"
    elif kind == "blob" and age > _HOUR:
        # Copies have no lock of their own; none goes an hour without writing a byte.
        lock = f"blob.{owner}"
    else:
        return False
    with locks.attempt(store.lock_path(lock)) as mine:
        if mine:
            remove_tree(path)
        return mine


def _log(path: Path, now: float) -> bool:
    if now - path.lstat().st_mtime <= _KEEP_LOG:
        return False
    path.unlink(missing_ok=True)
    return True


def _folder(store: Store, path: Path) -> bool:
    if read_prefix(path) is not None:
        return False
    with locks.attempt(store.lock_path(f"prefix.{path.name}"[:200])) as mine:
        if mine and path.exists() and read_prefix(path) is None:
            remove_tree(path)
            return True
    return False
