# SPDX-License-Identifier: Apache-2.0
"""What running processes use, so that a collection takes nothing from under their hands.

    <store>/v1/use/<pid>-<random>.json    what one process uses; locked by it as long as it lives
    <store>/v1/used/<key>                 empty; its date is when that folder was last used
    <store>/v1/locks/collect.lock         shared while a process says what it uses, exclusive while gc chooses

The lock on the file is `flock`: the kernel drops it when the process and the children that inherited it
(`locks.inherited`) are gone, however they ended. A file that nobody has locked means nothing and is removed.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from codereef.disk import storing
from codereef.errors import StorageError

from . import locks

FORMAT = "codereef-use/1"
#: Errors after which a store can still be read; nobody can collect through such a place either.
READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)
_TOUCH_EVERY = 60.0  # seconds; a date that is younger is not written again


@dataclass(frozen=True)
class InUse:
    """What living processes use.

    Attributes:
        keys: process numbers by key of an installed folder.
        blobs: process numbers by SHA-256 of a file.
    """

    keys: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    blobs: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


def _free(path: Path) -> bool:
    """Tell whether nobody holds the lock on a registration; a file that has gone is free."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return False
        raise
    finally:
        os.close(handle)
    return True


def _register(folder: Path, document: Mapping[str, object]) -> tuple[Path, int]:
    """Write a registration and lock it before anybody can see it; return it with its open file."""
    name = f"{os.getpid()}-{secrets.token_hex(4)}.json"
    beside, final = folder / f".{name}", folder / name
    handle = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        data = json.dumps(document).encode()
        while data:
            data = data[os.write(handle, data) :]
        beside.rename(final)
    except BaseException:
        os.close(handle)
        beside.unlink(missing_ok=True)
        raise
    return final, handle


def _touch(folder: Path, keys: Iterable[str]) -> None:
    now = time.time()
    for key in keys:
        mark = folder / key
        with contextlib.suppress(OSError):
            try:
                if 0 <= now - mark.stat().st_mtime < _TOUCH_EVERY:
                    continue
                os.utime(mark)
            except FileNotFoundError:
                mark.touch()


@contextlib.contextmanager
def using(base: Path, keys: Iterable[str], blobs: Iterable[str]) -> Iterator[None]:
    """Say that this process uses these folders and files until the block ends.

    Args:
        base: the store's folder of this layout (`<store>/v1`).
        keys: keys of installed folders, also of those that are only going to be built.
        blobs: SHA-256 of files.

    Raises:
        StorageError: the disk is full or failing. A store that can only be read is used without a word.
    """
    wanted = {"keys": sorted(set(keys)), "blobs": sorted(set(blobs))}
    folder, used = base / "use", base / "used"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        used.mkdir(exist_ok=True)
        with storing("the note of what is in use", folder), locks.locked(base / "locks" / "collect.lock", shared=True):
            path, handle = _register(folder, {"format": FORMAT, "pid": os.getpid(), **wanted})
            _touch(used, wanted["keys"])
    except (OSError, StorageError) as error:
        if _number(error) not in READ_ONLY:
            raise
        yield
        return
    try:
        with locks.kept(handle):
            yield
    finally:
        # Closing, not unlocking: a child that still runs keeps the lock, and with it what it uses.
        os.close(handle)
        with contextlib.suppress(OSError):
            if _free(path):
                path.unlink(missing_ok=True)


def _number(error: BaseException) -> int | None:
    """Return the operating system's number of an error, also of one that was put into words."""
    if isinstance(error, OSError):
        return error.errno
    cause = error.__cause__
    return cause.errno if isinstance(cause, OSError) else None


def in_use(base: Path) -> InUse:
    """Return what living processes use, and remove what dead ones left; the caller holds `collect.lock`.

    Raises:
        StorageError: a living process has a note that cannot be read, so that nobody knows what it uses.
    """
    keys: dict[str, list[int]] = {}
    blobs: dict[str, list[int]] = {}
    try:
        paths = sorted((base / "use").iterdir())
    except FileNotFoundError:
        return InUse()
    for path in paths:
        try:
            free = _free(path)
        except OSError as error:
            raise _unread(path, error) from error
        if free:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
            continue
        if path.name.startswith("."):
            continue  # being written by someone who waits for our lock; cannot happen while it is held
        try:
            document = json.loads(path.read_bytes())
            pid = int(document["pid"])
            listed = [(keys, list(document["keys"])), (blobs, list(document["blobs"]))]
        except FileNotFoundError:
            continue
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise _unread(path, error) from error
        for found, names in listed:
            for name in names:
                found.setdefault(str(name), []).append(pid)
    return InUse(
        {key: tuple(sorted(set(pids))) for key, pids in keys.items()},
        {sha: tuple(sorted(set(pids))) for sha, pids in blobs.items()},
    )


def _unread(path: Path, error: BaseException) -> StorageError:
    pid = path.name.lstrip(".").partition("-")[0]
    return StorageError(
        f"What process {pid} uses of the store cannot be read from {path}: {error}. Nothing was removed.",
        hint=f"Let that process end (`ps -p {pid}`), then try again.",
        context={"file": str(path), "pid": pid},
    )


def last_used(base: Path, key: str) -> float | None:
    """Return when a folder was last used (seconds since 1970), or None where nobody noted it."""
    try:
        return (base / "used" / key).stat().st_mtime
    except OSError:
        return None


def all_in_use(base: Path) -> InUse:
    """Return what living processes use, for showing: without any lock on the store and without removing anything."""
    keys: dict[str, list[int]] = {}
    with contextlib.suppress(OSError):
        for path in sorted((base / "use").iterdir()):
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                if not path.name.startswith(".") and not _free(path):
                    document = json.loads(path.read_bytes())
                    for key in document["keys"]:
                        keys.setdefault(str(key), []).append(int(document["pid"]))
    return InUse({key: tuple(pids) for key, pids in keys.items()})
