# SPDX-License-Identifier: Apache-2.0
"""Starts confined commands from one helper, which forks for each of them.

Where bubblewrap is not installed, `confine.py` confines a command and becomes it. An interpreter of its own for each
command takes ten times as long as a fork, so that one helper (`confine.py --serve`) is kept while this process lives.
It holds nothing of this process: what a command is given comes with its message. It ends when its socket is closed,
so also when this process is killed, and ends what it has started.
"""

from __future__ import annotations

import array
import atexit
import contextlib
import json
import os
import select
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

#: How `confine.py` is run; what it confines to and the command follow.
PROGRAM = (sys.executable, "-I", "-S", str(Path(__file__).with_name("confine.py")))
_END_SECONDS = 2.0
_MESSAGE = struct.Struct("ci")
_MOST_FILES = 200  # Linux takes 253 with one message.


class Confined:
    """A command that the helper has started, with what is used of `subprocess.Popen`.

    Attributes:
        pid: its process, which leads a session and a process group.
        returncode: its exit status; None until it has been waited for.
    """

    def __init__(self, pid: int, talk: socket.socket) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._talk = talk

    def poll(self) -> int | None:
        """Return the exit status, or None while it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit status once it has ended.

        Raises:
            subprocess.TimeoutExpired: it has not within `timeout` seconds.
        """
        if self.returncode is None:
            ready = select.poll()
            ready.register(self._talk, select.POLLIN)
            if not ready.poll(None if timeout is None else min(timeout * 1000, 2**31 - 1)):
                raise subprocess.TimeoutExpired("confine", timeout or 0)
            # Without an answer the helper was killed, and with it the command.
            self.returncode = _number(self._talk, b"s", -9)
            self._talk.close()
        return self.returncode


class _Helper:
    """The helper of this process."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [*PROGRAM, "--serve", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env={},
                start_new_session=True,
                pass_fds=[theirs.fileno()],
            )

    def start(self, request: bytes, output: int, kept: Sequence[int]) -> Confined | None:
        talk, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        pid = 0
        with theirs, contextlib.suppress(OSError):
            files = array.array("i", [theirs.fileno(), output, *kept])
            self._control.sendmsg([b"."], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, files)])
            theirs.close()
            talk.sendall(request)
            talk.shutdown(socket.SHUT_WR)
            pid = _number(talk, b"p", 0)
        if not pid:
            talk.close()
            return None
        return Confined(pid, talk)

    def end(self) -> None:
        """End the helper and wait for it, so that what it took is counted as this process's."""
        self._control.close()
        if self.owner == os.getpid():
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_END_SECONDS)


_guard = threading.Lock()
_kept: list[_Helper] = []


def _helper() -> _Helper:
    with _guard:
        if _kept and _kept[0].owner != os.getpid():
            _kept.pop().end()
        if not _kept:
            _kept.append(_Helper())
            atexit.register(_end, _kept[0])
        return _kept[0]


def _end(helper: _Helper) -> None:
    with _guard:
        if helper in _kept:
            _kept.remove(helper)
        atexit.unregister(_end)
        helper.end()


def _number(talk: socket.socket, kind: bytes, default: int) -> int:
    """Return the number of the next message, or the default where it is of another kind or there is none."""
    with contextlib.suppress(OSError):
        data = talk.recv(_MESSAGE.size, socket.MSG_WAITALL)
        if len(data) == _MESSAGE.size and data[:1] == kind:
            return int(_MESSAGE.unpack(data)[1])
    return default


def start(
    wrap: Sequence[str], command: Sequence[str], env: Mapping[str, str], cwd: Path, output: int, kept: Sequence[int]
) -> Confined | None:
    """Start a command confined as `wrap` says; None where that is not for the helper, or it cannot be had.

    Args:
        wrap: what `sandbox.wrapper` has returned.
        command: program and arguments; without any it is only tried whether the process can be confined.
        env: its whole environment.
        cwd: its working folder.
        output: open file that it writes to.
        kept: open files that it holds until it ends.

    Raises:
        OSError: the working folder is not there.
    """
    if tuple(wrap[:-1]) != PROGRAM or not hasattr(os, "pidfd_open") or len(kept) > _MOST_FILES:
        return None
    cwd.stat()
    request = {"spec": json.loads(wrap[-1]), "command": list(command), "env": dict(env), "cwd": str(cwd)}
    try:
        helper = _helper()
    except OSError:
        return None
    found = helper.start(json.dumps(request).encode(), output, kept)
    if found is None:
        # It was killed: the next command has another.
        _end(helper)
    return found
