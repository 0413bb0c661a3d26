# SPDX-License-Identifier: Apache-2.0
"""Waiting for a program with a limit, without asking again and again where the kernel can tell."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
from typing import Any

_MOST_MS = 2**31 - 1  # that poll takes


def wait(process: subprocess.Popen[Any], timeout: float | None) -> int:
    """Wait for a process as `Popen.wait` does, and return its exit status.

    Raises:
        subprocess.TimeoutExpired: it has not ended.
    """
    if timeout is not None and process.returncode is None:
        # Where there is no such thing (not Linux, an old kernel), it is asked again and again.
        with contextlib.suppress(OSError, AttributeError):
            handle = os.pidfd_open(process.pid)
            try:
                ready = select.poll()
                ready.register(handle, select.POLLIN)
                if ready.poll(min(timeout * 1000, _MOST_MS)):
                    return process.wait()
            finally:
                os.close(handle)
            raise subprocess.TimeoutExpired(process.args, timeout)
    return process.wait(timeout)
