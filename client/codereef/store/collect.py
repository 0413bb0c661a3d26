# SPDX-License-Identifier: Apache-2.0
"""Garbage collection: what no lock holds and no process uses is taken away.

    1. under `collect.lock`, which everybody takes who begins to use something, it is chosen what goes; a chosen
       folder is renamed into `tmp/gone.*`, a chosen file is unlinked: from then on it is absent for everybody
    2. without the lock, what was renamed is deleted; a killed collection leaves that to the next sweep

A folder whose lock somebody holds is being built or repaired and is left alone.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from codereef.disk import remove_tree, storing
from codereef.errors import StorageError

from . import locks
from .prefix import Prefix
from .roots import Held, Roots
from .use import READ_ONLY, InUse, all_in_use, in_use, last_used
from .verify import Kind, _blobs, kind_of

if TYPE_CHECKING:
    from .store import Store


@dataclass(frozen=True)
class Freed:
    """One thing that was (or would be) taken away.

    Attributes:
        kind: `file`, `folder` or `environment`.
        name: SHA-256 or key.
        size: bytes that become free by it alone or together with the others; 0 where others share them.
        unused_for: seconds since it was last used, as far as anybody noted.
    """

    kind: Kind
    name: str
    size: int
    unused_for: float


@dataclass(frozen=True)
class Collected:
    """What a collection did.

    Attributes:
        freed: what was taken away, or would be.
        size: bytes that became free.
        in_use: process numbers by name of what nobody holds and a running process uses.
        building: keys that somebody is building or repairing.
        held: how many folders and files locks hold.
        leftovers: what dead processes had left and was removed.
        dry_run: whether nothing was touched.
    """

    freed: tuple[Freed, ...]
    size: int
    in_use: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    building: tuple[str, ...] = ()
    held: int = 0
    leftovers: int = 0
    dry_run: bool = False


def age_of(store: Store, prefix: Prefix) -> float:
    """Return the seconds since a folder was last used, or completed where nobody noted a use."""
    times = [last_used(store.base, prefix.key)]
    with contextlib.suppress(ValueError):
        times.append(datetime.fromisoformat(prefix.created).timestamp())
    return max(0.0, time.time() - max((moment for moment in times if moment is not None), default=0.0))


@contextlib.contextmanager
def choosing(store: Store, *, waiting: Callable[[], None] | None = None, dry_run: bool = False) -> Iterator[InUse]:
    """Keep everybody from beginning to use something while it is chosen what goes; give what is used already.

    Raises:
        StorageError: the store cannot be written to (not with `dry_run`), or a registration cannot be read.
    """
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locks.locked(store.locks / "collect.lock", waiting=waiting))
            used = in_use(store.base)
        except StorageError as error:
            cause = error.__cause__
            if not (dry_run and isinstance(cause, OSError) and cause.errno in READ_ONLY):
                raise
            used = all_in_use(store.base)
        yield used


def take(store: Store, prefix: Prefix | str, used: InUse) -> Path | None:
    """Rename a folder away where nobody uses or builds it; the caller is `choosing` and removes what is returned."""
    key = prefix if isinstance(prefix, str) else prefix.key
    if key in used.keys:
        return None
    with locks.attempt(store.lock_path(f"prefix.{key}"[:200])) as mine:
        if not mine:
            return None
        away = store.tmp / f"gone.{secrets.token_hex(6)}"
        with storing(f"(the removal of) {key}", store.prefixes):
            try:
                (store.prefixes / key).rename(away)
            except FileNotFoundError:
                return None
    for folder in ("used", "checked"):
        with contextlib.suppress(OSError):
            (store.base / folder / key).unlink(missing_ok=True)
    return away


def _require_registry(roots: Roots) -> None:
    damaged = roots.damaged()
    if damaged:
        raise StorageError(
            f"What {damaged[0]} holds cannot be read"
            + (f", and {len(damaged) - 1} more like it" if len(damaged) > 1 else "")
            + ", so nothing was removed.",
            hint="`cr store repair` puts it aside. The solution it stood for is registered again by any command that opens it.",
            context={"files": [str(path) for path in damaged]},
        )


def collect(
    store: Store,
    *,
    older_than: float = 0.0,
    everything: bool = False,
    dry_run: bool = False,
    waiting: Callable[[], None] | None = None,
) -> Collected:
    """Take away what no registered lock holds and no running process uses.

    Args:
        store: the store.
        older_than: only what was not used for so many seconds.
        everything: also files that no installed folder shares and that are only kept so that they need not be
            fetched again, and parts of downloads.
        dry_run: only say what would be done.
        waiting: called once when another collection has been choosing for a second.

    Raises:
        StorageError: the store cannot be written to, or what is held or used cannot be known; nothing is lost.
    """
    if not store.base.is_dir():
        return Collected((), 0, dry_run=dry_run)
    roots = Roots(store)
    if not dry_run:
        store.prepare()
    gone: list[Path] = []
    try:
        with choosing(store, waiting=waiting, dry_run=dry_run) as used:
            _require_registry(roots)
            held = roots.held()
            result = _choose(store, held, used, older_than, everything, dry_run, gone)
            if not dry_run:
                roots.forget_gone()
    finally:
        # Also what was chosen before an interrupt: it has lost its name already.
        for path in gone:
            with contextlib.suppress(OSError):
                remove_tree(path)
    leftovers = 0
    if not dry_run:
        leftovers = store.sweep(force=True, partials=everything)
    return Collected(**{**result.__dict__, "leftovers": leftovers})


def _choose(
    store: Store, held: Held, used: InUse, older_than: float, everything: bool, dry_run: bool, gone: list[Path]
) -> Collected:
    busy: dict[str, tuple[int, ...]] = {}
    building: list[str] = []
    chosen: list[tuple[Kind, str, float, list[os.stat_result]]] = []
    kept: list[Prefix] = []
    for prefix in store.ls():
        age = age_of(store, prefix)
        if prefix.key in held.keys or age < older_than:
            kept.append(prefix)
        elif prefix.key in used.keys:
            kept.append(prefix)
            busy[prefix.key] = used.keys[prefix.key]
        else:
            files = _statuses(prefix.path)
            if dry_run:
                chosen.append((kind_of(prefix), prefix.key, age, files))
            elif (away := take(store, prefix, used)) is not None:
                gone.append(away)
                chosen.append((kind_of(prefix), prefix.key, age, files))
            else:
                kept.append(prefix)
                building.append(prefix.key)
    shared: Collection[tuple[int, int]] | None = None
    now = time.time()
    held_blobs = 0
    for sha, path, status in _blobs(store):
        age = max(0.0, now - status.st_ctime)
        if sha in used.blobs:
            if sha not in held.blobs:
                busy[sha] = used.blobs[sha]
            continue
        if (sha in held.blobs and not everything) or age < older_than:
            held_blobs += sha in held.blobs
            continue
        if shared is None:
            shared = {(s.st_dev, s.st_ino) for item in kept for s in _statuses(item.path)}
        if (status.st_dev, status.st_ino) in shared:
            continue  # it takes no room of its own
        if not dry_run:
            with storing("(the removal of) a file", store.blobs):
                Path(path).unlink(missing_ok=True)
        chosen.append(("file", sha, age, [status]))
    if not dry_run:
        _forget_marks(store, {prefix.key for prefix in kept} | used.keys.keys())
    freed = tuple(_sized(chosen))
    return Collected(
        freed,
        sum(item.size for item in freed),
        busy,
        tuple(building),
        sum(prefix.key in held.keys for prefix in kept) + held_blobs,
        dry_run=dry_run,
    )


def _forget_marks(store: Store, keys: Collection[str]) -> None:
    """Remove the marks of folders that are neither there nor going to be built by somebody."""
    for folder in ("used", "checked"):
        with contextlib.suppress(OSError):
            for mark in list((store.base / folder).iterdir()):
                if mark.name.lstrip(".") not in keys:
                    mark.unlink(missing_ok=True)


def _statuses(folder: Path) -> list[os.stat_result]:
    found = []
    for base, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                found.append(os.lstat(f"{base}/{name}"))
    return found


def _sized(chosen: list[tuple[Kind, str, float, list[os.stat_result]]]) -> Iterator[Freed]:
    """Yield what goes with the bytes that become free: of a file with several names only when all of them go."""
    names: dict[tuple[int, int], int] = {}
    for _, _, _, files in chosen:
        for status in files:
            key = (status.st_dev, status.st_ino)
            names[key] = names.get(key, 0) + 1
    seen: dict[tuple[int, int], int] = {}
    for kind, name, age, files in chosen:
        size = 0
        for status in files:
            key = (status.st_dev, status.st_ino)
            seen[key] = seen.get(key, 0) + 1
            # Counted at its last name.
            if names[key] >= status.st_nlink and seen[key] == names[key]:
                size += status.st_blocks * 512
        yield Freed(kind, name, size, age)
