# SPDX-License-Identifier: Apache-2.0
"""Runs the commands of the back-ends: own process group, time limit, everything said goes to a log."""

from __future__ import annotations

import contextlib
import os
import secrets
import shlex
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from codereef.disk import storing
from codereef.errors import CrError, InstallError, StorageError
from codereef.store.locks import inherited

from .redact import redact

TAIL_LINES = 30
_LOG_LIMIT = 16 << 20  # a command gone wild must not fill the disk with its log
_GRACE = 2.0  # seconds between the request to end and the end
_PREFIXES = (
    "PYTHONPATH",
    "PYTHONHOME",
    "VIRTUAL_ENV",
    "VIRTUAL_ENV_PROMPT",
    "CONDA_PREFIX",
    "__PYVENV_LAUNCHER__",
)


@dataclass(frozen=True)
class Finished:
    """A command that ended by itself.

    Attributes:
        status: its exit status; negative where a signal ended it.
        tail: its last lines, without secrets.
        log: the file with all it said, without secrets.
    """

    status: int
    tail: tuple[str, ...]
    log: Path


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return this process's environment without what ties a Python to another place, with `extra` on top."""
    found = {name: value for name, value in os.environ.items() if name not in _PREFIXES}
    found.update(extra or {})
    return found


def shown(command: Sequence[str]) -> str:
    """Return a command as a person would type it, without secrets."""
    return redact(shlex.join(command))


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """End a process and all it started, politely first."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, sign)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE)
            if sign == signal.SIGTERM:
                # The leader is gone; whatever ignores the request goes with the next signal.
                time.sleep(0.02)


def _pump(source: IO[bytes], log: Path, tail: deque[str]) -> None:
    """Copy the lines of a pipe into the log, without secrets; past the log's limit only the tail is kept."""
    written = 0
    with log.open("ab") as target:
        while line := source.readline(1 << 16):
            text = redact(line.decode("utf-8", "replace").rstrip("\r\n"))
            tail.append(text)
            data = text.encode() + b"\n"
            if written <= _LOG_LIMIT:
                with contextlib.suppress(OSError):
                    target.write(data if written + len(data) <= _LOG_LIMIT else b"(the log ends here: too long)\n")
                    target.flush()
            written += len(data)


def run_logged(
    command: Sequence[str],
    *,
    log_dir: Path,
    name: str,
    env: Mapping[str, str],
    cwd: Path,
    timeout: float | None,
    stdin: str = "",
) -> Finished:
    """Run a command to its end.

    It runs in a process group of its own, which dies as a whole at the time limit, when the user interrupts,
    and when the command has ended but left something behind. Locks of this process are shared with it.

    Args:
        command: program and arguments; no secrets in them, since every user can list them.
        log_dir: where the log goes.
        name: first part of the log's name.
        env: the whole environment.
        cwd: its working folder.
        timeout: seconds; None for no limit.
        stdin: text it can read.

    Raises:
        InstallError: it cannot be started, or took longer than `timeout`.
        StorageError: the log cannot be written.
    """
    log = log_dir / f"{name}-{time.strftime('%Y%m%dT%H%M%S')}-{secrets.token_hex(3)}.log"
    with storing("the log", log_dir):
        log_dir.mkdir(parents=True, exist_ok=True)
        log.write_text(f"$ {shown(command)}\n")
    tail: deque[str] = deque(maxlen=TAIL_LINES)
    with inherited() as locks:
        try:
            process = subprocess.Popen(
                list(command),
                stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=dict(env),
                cwd=cwd,
                start_new_session=True,
                pass_fds=locks,
            )
        except OSError as error:
            raise InstallError(
                f"{shown(command)} could not be started: {error.strerror}.",
                hint="Is the program still where it was detected? Run `cr detect` again.",
                context={"command": shown(command)},
            ) from error
    assert process.stdout is not None
    reader = threading.Thread(target=_pump, args=(process.stdout, log, tail), daemon=True)
    reader.start()
    try:
        if process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write(stdin.encode())
                process.stdin.flush()
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
        status = process.wait(timeout)
    except subprocess.TimeoutExpired:
        _end_group(process)
        reader.join(_GRACE)
        raise InstallError(
            f"{shown(command)} was stopped: it took longer than {timeout:g} s.{_said(tail)}\nLog: {log}",
            hint="Try again on a less busy machine, or raise the time limit.",
            context={"command": shown(command), "log": str(log), "timeout": timeout, "tail": list(tail)},
        ) from None
    finally:
        _end_group(process)
        reader.join(_GRACE)
        if not reader.is_alive():
            process.stdout.close()
    return Finished(status, tuple(tail), log)


def _said(tail: Sequence[str]) -> str:
    return "\n" + "\n".join(f"  {line}" for line in tail) if tail else ""


def failure(command: Sequence[str], done: Finished, doing: str, hint: str) -> CrError:
    """Return the error for a command that ended with a status other than 0; a full disk is a `StorageError`."""
    kind = StorageError if any("No space left on device" in line for line in done.tail) else InstallError
    how = f"ended with status {done.status}" if done.status >= 0 else f"was ended by signal {-done.status}"
    return kind(
        f"{doing}: `{shown(command)}` {how}.{_said(done.tail)}\nLog: {done.log}",
        hint=hint,
        context={
            "command": shown(command),
            "status": done.status,
            "log": str(done.log),
            "tail": list(done.tail),
        },
    )
