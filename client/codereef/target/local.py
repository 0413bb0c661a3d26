# SPDX-License-Identifier: Apache-2.0
"""The runner of this machine: a child process with a time and a memory limit that the client outlives."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from codereef.errors import RunError
from codereef.waiting import Signal, wait, wait_for_either

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


class Child:
    """A program of this machine that is run with limits, in one go or in turns with others.

    It gets a process group of its own, which is ended as a whole on a time-out or an interrupt.

    Args:
        command: program and arguments; no shell is involved.
        cwd: working directory.
        environ: its whole environment.
        timeout: seconds it may take, without the turns of others.
        memory_limit: bytes of address space it may use; None for no limit.
        on_line: is called with each line of standard output, from another thread; what it raises is raised
            by `outcome`, once the program has ended.
        pass_fds: open files it inherits, such as locks that are to last as long as it does.
        turns: whether it runs in turns. Then somebody who reads its lines tells `turn_over`, and each further
            `proceed` sends it an empty line on standard input, which is closed else.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        cwd: Path,
        environ: Mapping[str, str],
        timeout: float,
        memory_limit: int | None = None,
        on_line: Callable[[str], None] | None = None,
        pass_fds: Sequence[int] = (),
        turns: bool = False,
    ) -> None:
        self._command, self._cwd, self._environ, self._pass_fds = list(command), cwd, dict(environ), pass_fds
        self._timeout, self._memory_limit, self._on_line, self._turns = timeout, memory_limit, on_line, turns
        self._process: subprocess.Popen[str] | None = None
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._trouble: list[Exception] = []
        self._readers: list[threading.Thread] = []
        self._over = Signal() if turns else None
        self._ran, self._killed_before = 0.0, 0
        self._status: Status | None = None

    @property
    def started(self) -> bool:
        """Whether it has ever run."""
        return self._process is not None

    def turn_over(self) -> None:
        """Let `proceed` return; for whoever reads the program's lines."""
        if self._over is not None:
            self._over.set()

    def proceed(self) -> bool:
        """Let it run until its turn is over or it has ended; the first call starts it.

        Returns:
            Whether it is to go on later.

        Raises:
            RunError: it could not be started.
        """
        if self._status is not None:
            return False
        status: Status = "ok"
        began = time.monotonic()
        try:
            if wait_for_either(self._go_on(), self._over, self._timeout - self._ran) is None:
                if not self._trouble:
                    return True
                status = "interrupted"  # nobody reads its lines any more, so nobody would see its next turn end
        except subprocess.TimeoutExpired:
            status = "timeout"
        except KeyboardInterrupt:
            status = "interrupted"
        except BaseException:
            self._end("interrupted")
            raise
        finally:
            self._ran += time.monotonic() - began
        self._end(status)
        return False

    def stop(self) -> None:
        """End it where it has not ended: it was interrupted."""
        if self._status is None:
            self._end("interrupted")

    def outcome(self) -> Outcome:
        """What became of it, once `proceed` has said that it has ended, or after `stop`."""
        if self._trouble:
            raise self._trouble[0]
        assert self._status is not None
        returncode = -signal.SIGTERM if self._process is None else self._process.returncode
        return Outcome(self._status, returncode, self._ran, tuple(self._tail))

    def _go_on(self) -> subprocess.Popen[str]:
        process = self._process
        if process is None:
            process = self._process = self._start()
            for reader in self._readers:
                reader.start()
        elif process.stdin is not None:
            # One that has ended meanwhile is found so by whoever waits for it.
            with contextlib.suppress(OSError):
                process.stdin.write("\n")
                process.stdin.flush()
        return process

    def _start(self) -> subprocess.Popen[str]:
        libc, memory_limit = _libc(), self._memory_limit

        def prepare() -> None:
            if libc is not None:
                libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if memory_limit is not None:
                import resource

                resource.setrlimit(resource.RLIMIT_AS, (memory_limit, memory_limit))

        self._killed_before = _kernel_kills()
        try:
            process = subprocess.Popen(
                self._command,
                cwd=self._cwd,
                env=self._environ,
                stdin=subprocess.PIPE if self._turns else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                start_new_session=True,
                preexec_fn=prepare,
                pass_fds=self._pass_fds,
            )
        except OSError as error:
            raise RunError(
                f"`{self._command[0]}` could not be started: {error.strerror}.",
                hint="`cr init` checks and mends what is installed.",
                context={"command": self._command},
            ) from None
        self._readers = [
            threading.Thread(target=self._read_output, args=(process.stdout,), daemon=True),
            threading.Thread(target=self._read_errors, args=(process.stderr,), daemon=True),
        ]
        return process

    def _read_output(self, lines: Iterable[str]) -> None:
        for line in lines:
            if self._on_line is not None and not self._trouble:
                try:
                    self._on_line(line.rstrip("\n"))
                except Exception as error:  # Reading goes on: a full pipe would stop the program.
                    self._trouble.append(error)
                    self.turn_over()

    def _read_errors(self, lines: Iterable[str]) -> None:
        self._tail.extend(line.rstrip("\n") for line in lines)

    def _end(self, status: Status) -> None:
        """End what is left of it, and settle what became of it."""
        process = self._process
        if process is not None:
            _end_group(process)
            for reader in self._readers:
                if reader.ident is not None:
                    reader.join(timeout=GRACE_SECONDS)
            if process.stdin is not None:
                with contextlib.suppress(OSError):
                    process.stdin.close()
            if status == "ok":
                # Only now, when everything the program said has been read.
                status = _status(process.returncode, self._tail, _kernel_kills() - self._killed_before)
        if self._over is not None:
            self._over.close()
        self._status = status


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
