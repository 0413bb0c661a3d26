# SPDX-License-Identifier: Apache-2.0
"""Locks between processes and threads that a killed process cannot leave behind.

A lock is `flock` on an open file: the kernel drops it when the last holder of the open file is gone. The open
files are handed to child processes (`inherited`), so that an installer that outlives a killed `cr` keeps the lock
until it is done, and nobody cleans up under its hands.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from codereef.disk import storing
from codereef.errors import StorageError

_POLL = 0.03  # seconds between two tries
_PATIENCE = 1.0  # seconds before the caller is told that it waits

_held: set[int] = set()
_guard = threading.Lock()


@contextlib.contextmanager
def inherited() -> Iterator[tuple[int, ...]]:
    """Give file descriptors of the locks that this process holds, for `subprocess`'s `pass_fds`.

    They are copies that share the lock: another thread may end its own lock while the child is started.
    """
    with _guard:
        copies = tuple(os.dup(handle) for handle in _held)
    try:
        yield copies
    finally:
        for copy in copies:
            os.close(copy)


def _try(handle: int, shared: bool) -> bool:
    try:
        fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return False
        raise
    return True


@contextlib.contextmanager
def locked(
    path: Path,
    *,
    waiting: Callable[[], None] | None = None,
    timeout: float | None = None,
    shared: bool = False,
) -> Iterator[None]:
    """Hold the lock at `path` (created where absent) during the block.

    Args:
        path: the lock's file; it stays, since removing it would let two hold it at once.
        waiting: called once when the lock could not be had for a second.
        timeout: seconds to wait at most; None waits for ever, 0 tries once.
        shared: several may hold it at once, but not together with one that is not shared.

    Raises:
        StorageError: the lock could not be had in `timeout` seconds, or cannot be made here.
    """
    with storing(f"the lock {path.name}", path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        started = time.monotonic()
        told = False
        while True:
            with storing(f"the lock {path.name}", path.parent):
                if _try(handle, shared):
                    break
            passed = time.monotonic() - started
            if timeout is not None and passed >= timeout:
                raise StorageError(
                    f"{path.stem} is held by another process (waited {passed:.0f} s).",
                    hint="Wait until the other cr has finished, then try again.",
                    context={"lock": str(path)},
                )
            if waiting is not None and not told and passed >= _PATIENCE:
                told = True
                waiting()
            time.sleep(_POLL)
        try:
            with kept(handle):
                yield
        finally:
            # Unlock rather than only close: a child may still have the file open.
            fcntl.flock(handle, fcntl.LOCK_UN)
    finally:
        os.close(handle)


@contextlib.contextmanager
def kept(handle: int) -> Iterator[None]:
    """Hand the open file of a lock to the children that are started during the block (`inherited`)."""
    with _guard:
        _held.add(handle)
    try:
        yield
    finally:
        with _guard:
            _held.discard(handle)


@contextlib.contextmanager
def attempt(path: Path) -> Iterator[bool]:
    """Try to hold the lock at `path` without waiting; the block learns whether it is held."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locked(path, timeout=0))
        except StorageError:
            yield False
        else:
            yield True
