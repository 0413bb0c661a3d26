# SPDX-License-Identifier: Apache-2.0
"""Waiting for a program with a limit, without asking again and again where the kernel can tell."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import time
from collections.abc import Iterator
from typing import Any

_MOST_MS = 2**31 - 1  # that poll takes
_ASK_MS = 20  # how often a process is asked where the kernel does not tell


class Signal:
    """What one thread sets and another waits for together with the end of a process; see `wait_for_either`."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()

    def fileno(self) -> int:
        """The file that can be read once it is set."""
        return self._read

    def set(self) -> None:
        """Let whoever waits go on; nothing happens once it is closed."""
        with contextlib.suppress(OSError):
            os.write(self._write, b"1")

    def clear(self) -> None:
        """Take back one `set`."""
        os.read(self._read, 1)

    def close(self) -> None:
        """Give its files back."""
        for handle in (self._read, self._write):
            os.close(handle)
        self._read = self._write = -1


def wait(process: subprocess.Popen[Any], timeout: float | None) -> int:
    """Wait for a process as `Popen.wait` does, and return its exit status.

    Raises:
        subprocess.TimeoutExpired: it has not ended.
    """
    status = wait_for_either(process, None, timeout)
    assert status is not None
    return status


def wait_for_either(process: subprocess.Popen[Any], or_else: Signal | None, timeout: float | None) -> int | None:
    """Wait for the end of a process or for something else.

    Args:
        process: to wait for.
        or_else: what else ends the waiting, if anything; it is cleared then.
        timeout: seconds; None for no limit.

    Returns:
        The exit status, or None where it was `or_else` that ended the waiting.

    Raises:
        subprocess.TimeoutExpired: it has not ended.
    """
    if process.returncode is not None or (timeout is None and or_else is None):
        return process.wait()
    deadline = None if timeout is None else time.monotonic() + timeout
    with _end_of(process) as handle:
        if handle is None and or_else is None:
            return process.wait(timeout)
        ready = select.poll()
        for source in (handle, or_else):
            if source is not None:
                ready.register(source, select.POLLIN)
        while True:
            left = _MOST_MS if deadline is None else min(max(0.0, (deadline - time.monotonic()) * 1000), _MOST_MS)
            found = [number for number, _ in ready.poll(left if handle is not None else min(left, _ASK_MS))]
            # Where the kernel does not tell, we ask; also when both happened, the end counts.
            if handle in found or (handle is None and process.poll() is not None):
                return process.wait()
            if or_else is not None and or_else.fileno() in found:
                or_else.clear()
                return None
            if deadline is not None and time.monotonic() >= deadline:
                raise subprocess.TimeoutExpired(process.args, timeout or 0.0)


@contextlib.contextmanager
def _end_of(process: subprocess.Popen[Any]) -> Iterator[int | None]:
    """Give a file that can be read when the process has ended; None where there is no such thing."""
    handle = None
    with contextlib.suppress(OSError, AttributeError):  # not Linux, or an old kernel
        handle = os.pidfd_open(process.pid)
    try:
        yield handle
    finally:
        if handle is not None:
            os.close(handle)
