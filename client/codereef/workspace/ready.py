# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: PTH103, PTH109, PTH118, PTH120
"""What `cr init SOLUTION` found when everything was there already, so that the next one need not work it out again.

<home>/cache/ready/<digest of folder and solution> holds what that command printed, and the state (`codereef.witness`) of
every file and folder that it looked at: repositories and their components, settings, accepted terms, the lock and
its registration in the store, every folder of PATH and every candidate, interpreter and distribution that detection
looked at, and the installed folders with their files. While all of them are as they were, and so are the environment,
the client and its interpreter, the command would do the same again: nothing. It is only an answer for people.
`cr benchmark`, `cr run` and whatever else uses what is installed do not read it.

Nothing is kept where an answer depends on more: registries, data that the user brings, a candidate that hung and is
asked again later, or an option that is not in `cr init SOLUTION [-y] [-q]`.
"""

from __future__ import annotations

import os
import sys

import codereef
from codereef import witness

# What is here for checking alone: `typing` and `collections.abc` take longer to import than the rest of this.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_FORMAT = "codereef-ready/1"
#: Bookkeeping of shells, which differs from one command to the next. The folder itself is in the name of the file.
_FLEETING = ("_", "OLDPWD", "PWD", "SHLVL")


def _digest(*parts: str) -> str:
    try:
        # What hashlib gives too; but that loads OpenSSL, which takes longer than all else here.
        from _blake2 import blake2b
    except ImportError:
        from hashlib import blake2b
    return blake2b("\0".join(parts).encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()


def _path(home: str, solution: str) -> str:
    return os.path.join(home, "cache", "ready", _digest(os.getcwd(), solution))


def _maker() -> str:
    """Return what an answer depends on besides files. No value of the environment is written anywhere."""
    environment = sorted(f"{name}={value}" for name, value in os.environ.items() if name not in _FLEETING)
    base = str(getattr(sys, "_base_executable", ""))
    machine = " ".join(os.uname()) if hasattr(os, "uname") else sys.platform
    parts = (codereef.__version__, codereef.__file__, sys.version, sys.executable, sys.prefix, base, machine)
    return f"{_FORMAT} {_digest(*parts, *environment)}"


def holds(home: str, solution: str) -> list[str] | None:
    """Return what was kept, a line each, where everything is as it was; else None.

    Args:
        home: the client's folder.
        solution: as the user names it.
    """
    try:
        with open(_path(home, solution), encoding="utf-8", errors="surrogateescape", newline="\n") as stream:
            head, states, said, end = stream.read().split("\n\n")
        if head == _maker() and end == "end" and witness.unchanged(states.split("\n")):
            return said.split("\n")
    except (OSError, ValueError):
        pass
    return None


def keep(home: str, solution: str, said: Sequence[str], states: Sequence[str] | None) -> None:
    """Keep what a command printed with what it was made from; nothing where that is None.

    Args:
        home: the client's folder.
        solution: as the user named it.
        said: lines of text.
        states: from `witness.Recorder.lines`.
    """
    if not states or any(not line or "\n" in line for line in said):
        return
    beside = ""
    try:
        path = _path(home, solution)
        beside = f"{path}.{os.getpid()}"
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(beside, "w", encoding="utf-8", errors="surrogateescape", newline="\n") as stream:
            stream.write("\n\n".join([_maker(), "\n".join(states), "\n".join(said), "end"]))
        os.replace(beside, path)
    except (OSError, ValueError):
        # What is not kept costs time, never an answer.
        return
