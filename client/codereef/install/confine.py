# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: PTH109, PTH110, PTH112
"""Runs commands in namespaces of their own: the file system read-only but for some folders, and no network.

A program of its own for where bubblewrap is not installed; it imports nothing of the client.

    python -I -S confine.py SPEC COMMAND...   becomes the command; without one it only tries
    python -I -S confine.py --serve FD        forks for each command that it is told, which costs a tenth

SPEC is JSON: {"writable": [...], "hidden": [...], "network": false}. It uses what Linux gives every user since 5.12:
user, mount and network namespaces (clone flags), `mount_setattr`. Exit status 125 means that the namespaces could not
be made, 127 that the command could not be started; otherwise it is the command's own.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import json
import os
import select
import signal
import socket
import struct
import sys

# What is here for checking alone costs time to import.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

CLONE_NEWNS, CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWNET = 0x00020000, 0x08000000, 0x10000000, 0x40000000
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 2, 4, 8, 0x1000, 0x4000, 1 << 18
AT_FDCWD, AT_RECURSIVE = -100, 0x8000
SYS_MOUNT_SETATTR = 442  # the same number on every architecture
MOUNT_ATTR_RDONLY = 1
PR_SET_NO_NEW_PRIVS, PR_SET_PDEATHSIG, PR_CAPBSET_DROP = 38, 1, 24
#: Open files that one message can bring: `SCM_MAX_FD` of Linux.
MOST_FILES = 253
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _mount(source: str, target: str, kind: str | None, flags: int) -> None:
    name = kind.encode() if kind else None
    _check(_libc.mount(os.fsencode(source), os.fsencode(target), name, ctypes.c_ulong(flags), None), f"mount {target}")


def _read_only(path: str, on: bool) -> None:
    # struct mount_attr: attr_set, attr_clr, propagation, userns_fd
    attr = struct.pack("QQQQ", MOUNT_ATTR_RDONLY if on else 0, 0 if on else MOUNT_ATTR_RDONLY, 0, 0)
    done = _libc.syscall(
        ctypes.c_long(SYS_MOUNT_SETATTR),
        ctypes.c_int(AT_FDCWD),
        ctypes.c_char_p(os.fsencode(path)),
        ctypes.c_uint(AT_RECURSIVE),
        ctypes.c_char_p(attr),
        ctypes.c_size_t(len(attr)),
    )
    _check(done, f"mount_setattr {path}")


def _write(path: str, text: str) -> None:
    with open(path, "w") as stream:
        stream.write(text)


def _loopback() -> None:
    """Bring up 127.0.0.1 of the new network, which tests of the software may need."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = bytearray(struct.pack("16sh14x", b"lo", 0))
        fcntl.ioctl(control, SIOCGIFFLAGS, request)
        flags = struct.unpack("16sh14x", request)[1] | IFF_UP
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags))


def confine(writable: list[str], hidden: list[str], network: bool) -> None:
    """Move this process into namespaces of its own.

    Args:
        writable: folders that stay writable.
        hidden: folders and files that become empty.
        network: keep the network.

    Raises:
        OSError: the machine does not permit it.
    """
    user, group = os.getuid(), os.getgid()
    flags = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWIPC | (0 if network else CLONE_NEWNET)
    _check(_libc.unshare(ctypes.c_int(flags)), "unshare")
    _write("/proc/self/setgroups", "deny")
    _write("/proc/self/uid_map", f"{user} {user} 1")
    _write("/proc/self/gid_map", f"{group} {group} 1")
    if not network:
        _loopback()
    _mount("none", "/", None, MS_REC | MS_PRIVATE)
    for place in hidden:
        if os.path.isdir(place):
            _mount("none", place, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC)
        elif os.path.exists(place):
            _mount("/dev/null", place, None, MS_BIND)
    for place in writable:
        _mount(place, place, None, MS_BIND | MS_REC)
    _read_only("/", True)
    for place in writable:
        _read_only(place, False)
    # The folder it was in is still that of the old mount.
    os.chdir(os.getcwd())
    # No program with extra rights (sudo, mount) gives them in here.
    _check(_libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl")
    # Root keeps every capability across exec, and could undo the mounts; an empty bounding set leaves none.
    number = 0
    while _libc.prctl(PR_CAPBSET_DROP, number, 0, 0, 0) == 0:
        number += 1
    if number == 0 or ctypes.get_errno() != errno.EINVAL:
        _check(-1, "prctl")
    # As with bubblewrap: what is confined ends with who started it.
    _check(_libc.prctl(PR_SET_PDEATHSIG, 9, 0, 0, 0), "prctl")


def become(spec: dict[str, Any], command: list[str], env: Mapping[str, str]) -> int:
    """Confine this process as `spec` says and become the command; return a status where that failed.

    Without a command the status is 0 when the process could be confined.
    """
    try:
        confine(spec["writable"], spec["hidden"], spec["network"])
    except OSError as error:
        os.write(2, f"confine: {error}\n".encode())
        return 125
    if not command:
        return 0
    # Python ignores these, and what is executed would inherit that.
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvpe(command[0], command, env)
    except OSError as error:
        os.write(2, f"confine: {command[0]}: {error.strerror}\n".encode())
    return 127


def _receive(control: socket.socket) -> list[int]:
    """Return the open files of the next message, none of which a command inherits; none where the client is gone."""
    space = socket.CMSG_SPACE(MOST_FILES * 4)
    text, found, _, _ = control.recvmsg(1, space, socket.MSG_CMSG_CLOEXEC)
    if not text:
        return []
    return [number for _, _, data in found for (number,) in struct.iter_unpack("i", data[: len(data) // 4 * 4])]


def _forked(talk: socket.socket, output: int, kept: list[int]) -> int:
    """Be the process of one command: read what it is, say who it is, become it."""
    os.setsid()
    with talk.makefile("rb") as stream:
        request = json.loads(stream.read())
    talk.send(struct.pack("ci", b"p", os.getpid()))
    os.dup2(output, 1)
    os.dup2(output, 2)
    for number in kept:
        os.set_inheritable(number, True)
    os.chdir(request["cwd"])
    return become(request["spec"], request["command"], request["env"])


def serve(number: int) -> int:
    """Fork for each command that comes on a socket and tell how it ended, until the other end is closed.

    A message brings open files: a socket for this command alone, its standard output, and what it is to hold open.
    On the socket comes a request in JSON (`spec`, `command`, `env`, `cwd`) up to its end; back go `p` and the
    process's id, once it leads a session of its own, and then `s` and its exit status. When
    the other end is closed, what still runs is killed, with its process group.
    """
    control = socket.socket(fileno=number)
    control.set_inheritable(False)
    running: dict[int, tuple[int, socket.socket]] = {}
    ready = select.poll()
    ready.register(number, select.POLLIN)
    while True:
        for file, _ in ready.poll():
            if file == number:
                files = _receive(control)
                if not files:
                    for process, _ in running.values():
                        with contextlib.suppress(OSError):
                            os.killpg(process, signal.SIGKILL)
                    return 0
                talk = socket.socket(fileno=files[0])
                process = os.fork()
                if process == 0:
                    status = 126
                    try:
                        status = _forked(talk, files[1], files[2:])
                    finally:
                        os._exit(status)
                for received in files[1:]:
                    os.close(received)
                ended = os.pidfd_open(process)
                running[ended] = process, talk
                ready.register(ended, select.POLLIN)
            else:
                process, talk = running.pop(file)
                ready.unregister(file)
                os.close(file)
                _, result = os.waitpid(process, 0)
                with talk, contextlib.suppress(OSError):
                    talk.send(struct.pack("ci", b"s", os.waitstatus_to_exitcode(result)))


def main(arguments: list[str]) -> int:
    """Serve, or confine this process as `arguments[0]` says and become the command of the rest."""
    if arguments[0] == "--serve":
        return serve(int(arguments[1]))
    return become(json.loads(arguments[0]), arguments[1:], os.environ)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
