# SPDX-License-Identifier: Apache-2.0
"""The runner of this machine: a child process with a time and a memory limit that the client outlives."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from codereef.errors import RunError
from codereef.waiting import wait

TAIL_LINES = 30
GRACE_SECONDS = 3.0

Status = Literal["ok", "failed", "crashed", "timeout", "out-of-memory", "interrupted"]


#: linux/prctl.h: the signal a process gets when its parent dies, so that a killed `cr` leaves nothing running.
_PR_SET_PDEATHSIG = 1


@lru_cache(maxsize=1)
def _libc() -> ctypes.CDLL | None:
    return ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


@dataclass(frozen=True)
class Outcome:
    """What became of a program.

    Attributes:
        status: `ok` (exit code 0), `failed` (another one), `crashed` (ended by a signal), `timeout`,
            `out-of-memory` (killed by the kernel or refused memory), `interrupted` (by the user).
        returncode: exit code, negative for a signal.
        seconds: wall time.
        tail: the last lines of its standard error.
    """

    status: Status
    returncode: int
    seconds: float
    tail: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """What happened, for people."""
        if self.status == "crashed":
            try:
                name = signal.Signals(-self.returncode).name
            except ValueError:
                name = f"signal {-self.returncode}"
            return f"it was ended by {name} after {self.seconds:.1f} s"
        if self.status == "timeout":
            return f"it ran past its time limit and was stopped after {self.seconds:.1f} s"
        if self.status == "out-of-memory":
            return f"it ran out of memory after {self.seconds:.1f} s"
        if self.status == "interrupted":
            return "it was interrupted"
        return f"it ended with exit code {self.returncode} after {self.seconds:.1f} s"


def clean_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment a measured program gets: the user's, without what would change its Python or its threads."""
    dropped = (
        "PYTHON",
        "VIRTUAL_ENV",
        "CONDA",
        "PIP_",
        "UV_",
        "CR_",
        "LD_PRELOAD",
        "OMP_",
        "MKL_",
        "OPENBLAS_",
        "KMP_",
        "GOMP_",
        "BLIS_",
        "NUMEXPR_",
        "VECLIB_",
    )
    kept = {key: value for key, value in environ.items() if not key.startswith(dropped)}
    return {**kept, "LC_ALL": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1", "DO_NOT_TRACK": "1"}


def run(
    command: Sequence[str],
    *,
    cwd: Path,
    environ: Mapping[str, str],
    timeout: float,
    memory_limit: int | None = None,
    on_line: Callable[[str], None] | None = None,
    pass_fds: Sequence[int] = (),
) -> Outcome:
    """Run a program on this machine and wait for it.

    The program gets a process group of its own, which is ended as a whole on a time-out or an interrupt.

    Args:
        command: program and arguments; no shell is involved.
        cwd: working directory.
        environ: its whole environment.
        timeout: seconds it may take.
        memory_limit: bytes of address space it may use; None for no limit.
        on_line: is called with each line of standard output, from another thread; what it raises is raised
            here, once the program has ended.
        pass_fds: open files it inherits, such as locks that are to last as long as it does.

    Raises:
        RunError: the program could not be started.
    """

    libc = _libc()

    def prepare() -> None:
        if libc is not None:
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if memory_limit is not None:
            import resource

            resource.setrlimit(resource.RLIMIT_AS, (memory_limit, memory_limit))

    started, killed_before = time.monotonic(), _kernel_kills()
    try:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
            preexec_fn=prepare,
            pass_fds=pass_fds,
        )
    except OSError as error:
        raise RunError(
            f"`{command[0]}` could not be started: {error.strerror}.",
            hint="`cr init` checks and mends what is installed.",
            context={"command": list(command)},
        ) from None
    tail: deque[str] = deque(maxlen=TAIL_LINES)

    trouble: list[Exception] = []

    def read_output() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            if on_line is not None and not trouble:
                try:
                    on_line(line.rstrip("\n"))
                except Exception as error:  # Reading goes on: a full pipe would stop the program.
                    trouble.append(error)

    def read_errors() -> None:
        assert process.stderr is not None
        for line in process.stderr:
            tail.append(line.rstrip("\n"))

    readers = [threading.Thread(target=read_output, daemon=True), threading.Thread(target=read_errors, daemon=True)]
    status: Status = "ok"
    try:
        for reader in readers:
            reader.start()
        wait(process, timeout)
    except subprocess.TimeoutExpired:
        status = "timeout"
    except KeyboardInterrupt:
        status = "interrupted"
    finally:
        _end_group(process)
    for reader in readers:
        if reader.ident is not None:
            reader.join(timeout=GRACE_SECONDS)
    if trouble:
        raise trouble[0]
    if status == "ok":
        # Only now, when everything the program said has been read.
        status = _status(process.returncode, tail, _kernel_kills() - killed_before)
    return Outcome(status, process.returncode, time.monotonic() - started, tuple(tail))


def _kernel_kills() -> int:
    """Return how many processes the kernel has killed for lack of memory since it booted; 0 where it does not say."""
    try:
        for line in Path("/proc/vmstat").read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    except (OSError, ValueError):
        pass
    return 0


def _status(returncode: int, tail: Sequence[str], kernel_kills: int) -> Status:
    if returncode == 0:
        return "ok"
    text = "\n".join(tail)
    if (
        (returncode == -signal.SIGKILL and kernel_kills > 0)
        or "MemoryError" in text
        or "std::bad_alloc" in text
        or "Cannot allocate memory" in text
    ):
        return "out-of-memory"
    return "crashed" if returncode < 0 else "failed"


def _end_group(process: subprocess.Popen[str]) -> None:
    """End what is left of the process group: politely first, then for good."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except (ProcessLookupError, PermissionError):
            break
        try:
            wait(process, GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            continue
    process.wait()
