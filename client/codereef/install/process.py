# SPDX-License-Identifier: Apache-2.0
"""Runs the commands of the back-ends: own process group, time limit, everything said goes to a log.

What a step runs is remembered (`tracing`), so that a failure can be told and run again. Steps may run in several
threads: one `Stopper` ends what all of them have started.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from codereef import waiting
from codereef.disk import storing
from codereef.errors import CancelledError, CrError, InstallError, StorageError
from codereef.store.locks import inherited

from . import confined
from .redact import redact, secret_values

#: What runs a command: started by itself, or by the helper of the sandbox.
Process = subprocess.Popen[bytes] | confined.Confined

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


@dataclass(frozen=True)
class Ran:
    """A command that a step has run, with what it takes to run it again.

    Attributes:
        command: program and arguments.
        wrap: the sandbox around it, as the beginning of the argument list; empty without one.
        cwd: where it ran.
        env: its whole environment. May hold secrets: what is kept of it goes through `redact` and `is_secret`.
        inputs: text files that it read and that are gone afterwards, by path.
        timeout: seconds it could take, or None.
        log: what it said.
        ok: whether it ended with status 0.
    """

    command: tuple[str, ...]
    wrap: tuple[str, ...]
    cwd: Path
    env: Mapping[str, str] = field(repr=False)
    inputs: Mapping[str, str] = field(repr=False)
    timeout: float | None
    log: Path
    ok: bool


class Stopper:
    """Ends the commands of several threads; after `stop` none is started any more."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._running: set[Process] = set()
        self.stopped = False

    def stop(self) -> None:
        """End all that runs, politely first. Their threads see a `CancelledError`."""
        self.stopped = True
        for sign in (signal.SIGTERM, signal.SIGKILL):
            end = time.monotonic() + _GRACE
            with self._guard:
                running = list(self._running)
            for process in running:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, sign)
            # The threads that wait for them reap them; here it is only seen that they do.
            while self._running and time.monotonic() < end:
                time.sleep(0.02)

    def check(self) -> None:
        """Raise `CancelledError` after `stop`."""
        if self.stopped:
            raise CancelledError("Interrupted.")

    @contextlib.contextmanager
    def watching(self, process: Process) -> Iterator[None]:
        """Make a process end with `stop`."""
        with self._guard:
            self._running.add(process)
        if self.stopped:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
        try:
            yield
        finally:
            with self._guard:
                self._running.discard(process)


class _Current(threading.local):
    """What the commands of this thread belong to."""

    trace: list[Ran] | None = None
    stopper: Stopper | None = None


_current = _Current()


@contextlib.contextmanager
def tracing(stopper: Stopper | None = None) -> Iterator[list[Ran]]:
    """Give the list that every command run by this thread in the block is added to.

    Args:
        stopper: what can end these commands from another thread; that of an outer block stays by default.
    """
    before = _current.trace, _current.stopper
    trace: list[Ran] = []
    _current.trace = trace
    _current.stopper = stopper or before[1]
    try:
        yield trace
    finally:
        _current.trace, _current.stopper = before


def traced() -> tuple[Ran, ...]:
    """Return the commands that the step of this thread has run so far."""
    return tuple(_current.trace or ())


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return this process's environment without what ties a Python to another place, with `extra` on top."""
    found = {name: value for name, value in os.environ.items() if name not in _PREFIXES}
    found.update(extra or {})
    return found


def shown(command: Sequence[str]) -> str:
    """Return a command as a person would type it, without secrets."""
    return redact(shlex.join(command))


def _wait(process: Process, timeout: float | None) -> int:
    return waiting.wait(process, timeout) if isinstance(process, subprocess.Popen) else process.wait(timeout)


def _end_group(process: Process) -> None:
    """End a process and all it started, politely first."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, sign)
        except ProcessLookupError:
            if process.poll() is not None:
                return  # It has ended, and nothing that it started is left: the usual case.
        except PermissionError:
            pass
        with contextlib.suppress(subprocess.TimeoutExpired):
            _wait(process, _GRACE)
            if sign == signal.SIGTERM and _gone(process.pid):
                # The leader is gone; whatever ignores the request goes with the next signal.
                return


def _gone(group: int) -> bool:
    """Whether a process group comes to its end within a moment."""
    for _ in range(20):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            pass
        time.sleep(0.001)
    return False


def _pump(source: IO[bytes], log: Path, tail: deque[str], secrets_known: Sequence[str]) -> None:
    """Copy the lines of a pipe into the log, without secrets; past the log's limit only the tail is kept."""
    written = 0
    with log.open("ab") as target:
        while line := source.readline(1 << 16):
            text = redact(line.decode("utf-8", "replace").rstrip("\r\n"), secrets_known)
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
    wrap: Sequence[str] = (),
    inputs: Sequence[Path] = (),
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
        wrap: a sandbox: what is put before the command. Logs and messages show the command without it.
        inputs: text files that the command reads and that will be gone afterwards; kept where it fails.

    Raises:
        InstallError: it cannot be started, or took longer than `timeout`.
        StorageError: the log cannot be written.
        CancelledError: a `Stopper` ended it.
    """
    stopper = _current.stopper
    if stopper is not None:
        stopper.check()
    log = log_dir / f"{name}-{time.strftime('%Y%m%dT%H%M%S')}-{os.urandom(3).hex()}.log"
    with storing("the log", log_dir):
        log_dir.mkdir(parents=True, exist_ok=True)
        log.write_text(f"$ {shown(command)}\n")
    tail: deque[str] = deque(maxlen=TAIL_LINES)

    def remember(ok: bool) -> None:
        if _current.trace is not None:
            kept = {} if ok else {str(path): path.read_text(errors="replace") for path in inputs if path.is_file()}
            _current.trace.append(Ran(tuple(command), tuple(wrap), cwd, dict(env), kept, timeout, log, ok))

    output, written = os.pipe()
    with inherited() as locks:
        process: Process | None = None
        try:
            if not stdin:
                process = confined.start(wrap, command, env, cwd, written, locks)
            if process is None:
                process = subprocess.Popen(
                    [*wrap, *command],
                    stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
                    stdout=written,
                    stderr=subprocess.STDOUT,
                    env=dict(env),
                    cwd=cwd,
                    start_new_session=True,
                    pass_fds=locks,
                )
        except OSError as error:
            os.close(output)
            remember(False)
            raise InstallError(
                f"{shown(command)} could not be started: {error.strerror}.",
                hint="Is the program still where it was detected? Run `cr detect` again.",
                context={"command": shown(command)},
            ) from error
        finally:
            os.close(written)
    source = os.fdopen(output, "rb")
    reader = threading.Thread(target=_pump, args=(source, log, tail, secret_values({**os.environ, **env})), daemon=True)
    reader.start()
    try:
        if isinstance(process, subprocess.Popen) and process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write(stdin.encode())
                process.stdin.flush()
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
        with stopper.watching(process) if stopper is not None else contextlib.nullcontext():
            status = _wait(process, timeout)
    except subprocess.TimeoutExpired:
        _end_group(process)
        reader.join(_GRACE)
        remember(False)
        raise InstallError(
            f"{shown(command)} was stopped: it took longer than {timeout:g} s.{_said(tail)}\nLog: {log}",
            hint="Try again on a less busy machine, or raise the time limit.",
            context={"command": shown(command), "log": str(log), "timeout": timeout, "tail": list(tail)},
        ) from None
    finally:
        _end_group(process)
        reader.join(_GRACE)
        if not reader.is_alive():
            source.close()
    if stopper is not None:
        stopper.check()
    remember(status == 0)
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
