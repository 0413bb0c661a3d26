# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: PTH100
"""Runs one detection command: no shell, a minimal environment, a time limit, bounded output."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess

OUTPUT_LIMIT = 256 * 1024
# What a program needs to start at all; everything else of the caller's environment stays out, so that a
# variable such as PYTHONPATH or CPATH cannot change an answer that is then cached.
_PASSED_ON = ("PATH", "SYSTEMROOT", "WINDIR", "PATHEXT")


@dataclass(frozen=True, slots=True)
class Output:
    """What a command did: `problem` is empty when it exited with 0 in time."""

    stdout: str
    stderr: str
    problem: str
    timed_out: bool = False

    def text(self, stream: str) -> str:
        """Return `stdout`, `stderr` or (`both`) one after the other."""
        if stream == "stdout":
            return self.stdout
        return self.stderr if stream == "stderr" else self.stdout + self.stderr


def minimal_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment that detection commands run with."""
    env = {"LC_ALL": "C", "LANG": "C"}
    env.update((name, environ[name]) for name in _PASSED_ON if name in environ)
    return env


def _drain(pipe: IO[bytes], into: bytearray) -> None:
    with pipe:
        while len(into) < OUTPUT_LIMIT:
            try:
                chunk = os.read(pipe.fileno(), 65536)
            except OSError:
                return
            if not chunk:
                return
            into += chunk


def _kill(process: subprocess.Popen[bytes]) -> None:
    # The command has a session of its own, so that what it started ends with it.
    try:
        if sys.platform == "win32":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        process.kill()
    process.wait()


def run_command(argv: Sequence[str], environ: Mapping[str, str], timeout: float) -> Output:
    """Run `argv` and return its output; never raises for what the program does.

    Args:
        argv: program and arguments; the program is an absolute path.
        environ: the caller's environment, of which little is passed on.
        timeout: seconds until the command and all it started are killed.
    """
    # Here, because a warm detection runs no command and need not pay for it.
    import subprocess

    try:
        process = subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=minimal_environment(environ),
            cwd=os.path.abspath(os.sep),
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        return Output("", "", f"could not be started ({reason})")
    out, err = bytearray(), bytearray()
    assert process.stdout is not None and process.stderr is not None
    readers = [
        threading.Thread(target=_drain, args=(process.stdout, out), daemon=True),
        threading.Thread(target=_drain, args=(process.stderr, err), daemon=True),
    ]
    for reader in readers:
        reader.start()
    problem, timed_out = "", False
    try:
        code = process.wait(timeout)
        if code != 0:
            problem = f"ended with exit status {code}" if code > 0 else f"was ended by signal {-code}"
    except subprocess.TimeoutExpired:
        _kill(process)
        problem, timed_out = f"did not answer within {timeout:g} s", True
    for reader in readers:
        # A process left behind may hold the pipe open; what came by now is what counts.
        reader.join(0.5)
    return Output(out.decode("utf-8", "replace"), err.decode("utf-8", "replace"), problem, timed_out)
