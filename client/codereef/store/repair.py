# SPDX-License-Identifier: Apache-2.0
"""Mends what `verify` finds: from a sound copy in the store where there is one, else by taking it away.

    a damaged blob       taken from another sound file of the same digest; else removed, so that it is fetched again
    a damaged folder     its files are put back one by one from sound ones; where one has none, the folder is removed,
                         so that the next `cr init` makes it again from sound files
    an environment       the same, by copies; extra modules that nobody recorded make it be removed

What a running process uses is mended (a file is replaced as a whole, never written into) but not removed.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from codereef.disk import flush_directory, link_or_copy, remove_tree, storing, write_atomic

from . import locks
from .collect import choosing, take
from .contents import check, expected
from .environments import distribution_of
from .hasher import sha256_of
from .prefix import Prefix, read_prefix
from .roots import Roots
from .tree import LISTING, listing_digest, tree_listing
from .verify import Damage, Kind, Verified, kind_of, verify

if TYPE_CHECKING:
    from .store import Store

Action = Literal["mended", "removed", "kept", "put aside"]


@dataclass(frozen=True)
class Repair:
    """What was done about one damaged thing.

    Attributes:
        kind: what it is; `registration` for a note of what a lock holds.
        name: SHA-256, key or name of the registration.
        action: `mended`, `removed` (it will be fetched or made again), `kept` (it could be neither: see `why`)
            or `put aside`.
        why: a sentence on what was done from what, or why not.
        cached: Python distributions whose damaged files have other names outside the store, such as in an
            installer's cache, which would give the same damage again.
    """

    kind: Kind | Literal["registration"]
    name: str
    action: Action
    why: str
    cached: tuple[str, ...] = ()


@dataclass(frozen=True)
class Repaired:
    """What was found and done.

    Attributes:
        verified: what was found before.
        repairs: what was done about it.
    """

    verified: Verified
    repairs: tuple[Repair, ...]

    @property
    def left(self) -> tuple[Repair, ...]:
        """What is still damaged."""
        return tuple(repair for repair in self.repairs if repair.action == "kept")


def repair(
    store: Store,
    *,
    jobs: int | None = None,
    on_total: Callable[[int, int], None] | None = None,
    on_bytes: Callable[[int], None] | None = None,
) -> Repaired:
    """Read the whole store and mend what is damaged.

    Args:
        store: the store.
        jobs: how many files to read at once; the number of cores by default.
        on_total: is told once how many files and bytes will be read.
        on_bytes: is told of bytes that were read, from several threads.

    Raises:
        StorageError: the store cannot be written to.
    """
    if not store.base.is_dir():
        return Repaired(Verified(()), ())
    store.prepare()
    done = [_registration(path) for path in Roots(store).damaged()]
    found = verify(store, jobs=jobs, on_total=on_total, on_bytes=on_bytes)
    sound = dict(found.sound)
    for damage in found.damages:
        if damage.kind == "file":
            done.append(_blob(store, damage, sound))
    for damage in found.damages:
        if damage.kind != "file":
            done.append(_folder(store, damage, sound))
    return Repaired(found, tuple(done))


def _registration(path: Path) -> Repair:
    aside = path.with_name(f"{path.stem}.damaged")
    with storing(aside.name, path.parent):
        path.rename(aside)
    return Repair("registration", path.stem, "put aside", f"it could not be read; kept as {aside}")


def _still(path: Path, sha256: str) -> bool:
    """Tell whether a file has a digest now, so that nobody is given what was changed since it was read."""
    try:
        return sha256_of(str(path)).hex() == sha256
    except OSError:
        return False


def _donor(sound: Mapping[str, str], sha256: str) -> Path | None:
    """Return a file that has a digest, also now."""
    path = sound.get(sha256)
    return Path(path) if path is not None and _still(Path(path), sha256) else None


def _put(donor: Path, place: Path, *, link: bool, mode: int | None) -> None:
    """Put a sound file in the place of a damaged one, whole or not at all.

    Args:
        donor: the sound file.
        place: where it shall be.
        link: share its bytes where the file system can; else it is a copy that others may write to.
        mode: rights it shall have; None for those of the donor.
    """
    if link and (mode is None or donor.stat().st_mode & 0o777 == mode):
        link_or_copy(donor, place)
        return
    beside = place.with_name(f".{secrets.token_hex(6)}")
    with storing(place.name, place.parent):
        try:
            with donor.open("rb") as source, beside.open("wb") as target:
                shutil.copyfileobj(source, target, 1 << 20)
                os.fchmod(target.fileno(), donor.stat().st_mode & 0o777 if mode is None else mode)
                target.flush()
                os.fsync(target.fileno())
            beside.replace(place)
        finally:
            beside.unlink(missing_ok=True)


def _sealed(path: Path) -> bool:
    return path.stat().st_mode & 0o222 == 0


def _blob(store: Store, damage: Damage, sound: dict[str, str]) -> Repair:
    path, donor = damage.path, _donor(sound, damage.name)
    if _still(path, damage.name):
        return Repair("file", damage.name, "mended", "another process has mended it")
    if donor is not None:
        _put(donor, path, link=_sealed(donor), mode=0o444)
        flush_directory(path.parent)
        sound[damage.name] = str(path)
        return Repair("file", damage.name, "mended", f"from {donor}")
    with storing(f"(the removal of) {path.name}", path.parent):
        path.unlink(missing_ok=True)
    return Repair("file", damage.name, "removed", "the store has no sound copy; the next `cr init` fetches it")


def _folder(store: Store, damage: Damage, sound: Mapping[str, str]) -> Repair:
    prefix = read_prefix(damage.path)
    if prefix is None:
        return _remove(store, damage, None, "its manifest cannot be read")
    with locks.attempt(store.lock_path(f"prefix.{prefix.key}"[:200])) as mine:
        if not mine:
            return Repair(damage.kind, damage.name, "kept", "another process is building or repairing it")
        cached = _cached(prefix, damage)
        why = _mend(prefix, damage, sound)
        problems = [] if why else check(prefix)
    if not why and not problems:
        with contextlib.suppress(OSError):
            (store.base / "checked" / prefix.key).unlink(missing_ok=True)
        count = len(damage.problems)
        return Repair(
            damage.kind,
            damage.name,
            "mended",
            f"{count} file{'' if count == 1 else 's'} put right from sound copies in the store",
            cached,
        )
    return _remove(store, damage, prefix, why or problems[0], cached)


def _cached(prefix: Prefix, damage: Damage) -> tuple[str, ...]:
    """Return the distributions of damaged files that have names outside this environment."""
    found = set()
    if kind_of(prefix) == "environment":
        for name in damage.problems:
            with contextlib.suppress(OSError):
                if name and (prefix.path / os.fsdecode(name)).lstat().st_nlink > 1:
                    owner = distribution_of(prefix.path, name)
                    if owner:
                        found.add(owner)
    return tuple(sorted(found))


def _mend(prefix: Prefix, damage: Damage, sound: Mapping[str, str]) -> str:
    """Put the files of a folder right; return why that cannot be done, or "" where it was."""
    if b"" in damage.problems:
        return "" if _relist(prefix) else damage.problems[b""]
    want = expected(prefix)
    exact = want.exact
    plan: list[tuple[Path, Path | None]] = []
    for name in damage.problems:
        place = prefix.path / os.fsdecode(name)
        row = want.rows.get(name)
        if row is None:
            if not exact:
                return damage.problems[name]
            plan.append((place, None))
            continue
        donor = _donor(sound, row[0])
        if donor is None:
            return f"{damage.problems[name]}, and the store has no sound copy of it"
        plan.append((place, donor))
    for place, donor in plan:
        if donor is None:
            with storing(f"(the removal of) {place.name}", place.parent):
                place.unlink(missing_ok=True)
            continue
        mode = None
        with contextlib.suppress(OSError):
            # The damaged file knows whether it could be run; files of a folder are read-only.
            mode = place.lstat().st_mode & (0o555 if exact else 0o777)
        place.parent.mkdir(parents=True, exist_ok=True)
        if place.is_dir() and not place.is_symlink():
            return f"{place.name} is a folder where a file was"
        _put(donor, place, link=exact and _sealed(donor), mode=mode)
        flush_directory(place.parent)
    return ""


def _relist(prefix: Prefix) -> bool:
    """Write the listing of a folder anew where its files still have the digest of the manifest."""
    if prefix.tree is None:
        return False
    for links in (False, True):
        with contextlib.suppress(Exception):
            listing = tree_listing(prefix.path, links=links)
            if listing_digest(listing) == prefix.tree:
                write_atomic(prefix.path / LISTING, listing)
                return True
    return False


def _remove(store: Store, damage: Damage, prefix: Prefix | None, why: str, cached: tuple[str, ...] = ()) -> Repair:
    with choosing(store) as used:
        away = take(store, damage.name, used)
        users = used.keys.get(damage.name, ())
    if away is None:
        reason = (
            f"process {', '.join(map(str, users))} uses it; run `cr store repair` again when it has ended"
            if users
            else "another process is building or repairing it"
        )
        if not users and not damage.path.exists():
            return Repair(damage.kind, damage.name, "removed", f"{why}; another process has removed it", cached)
        return Repair(damage.kind, damage.name, "kept", f"{why}; {reason}", cached)
    with contextlib.suppress(OSError):
        remove_tree(away)
    return Repair(damage.kind, damage.name, "removed", f"{why}; the next `cr init` makes it again", cached)


__all__ = ["Repair", "Repaired", "repair"]
