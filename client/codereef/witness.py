# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: PTH116
"""What an answer was made from: the state of every file and folder that was looked at, so that it can be kept.

Whoever looks at the disk calls `looked` before. While a `Recorder` is open, it notes the state of that path: type
and rights, size, inode, device, and the times of the last change of contents (mtime) and of anything at all (ctime), to
the nanosecond; or that there is nothing. A folder's times move when a name in it appears, goes or is renamed. An
answer holds as long as all of these are as they were (`unchanged`): nobody but the kernel sets ctime, so a file that
was written, replaced or made to look old shows.

A change in the same tick of the clock as the look would not show. So `Recorder.lines` gives nothing while something it
saw is as young as that. What a state cannot show: writes past the file system, and a clock that was set back.

This module is read by the quickest commands: it imports nothing that an interpreter does not have from its start.
"""

from __future__ import annotations

import os
import time

# What is here for checking alone: `typing` and `collections.abc` take longer to import than the rest of this.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

#: Nanoseconds within which two changes may bear one time: the tick of the slowest Linux clock (100 Hz) and as much
#: again; and that of file systems which keep whole seconds (or two of them).
_TICK, _SLOW = 20_000_000, 2_000_000_000
#: More than this is not worth keeping: looking at all of it would take as long as the answer.
_MOST = 50_000

_open: Recorder | None = None


class Recorder:
    """Notes what is looked at while it is open, which it can be several times. Of two the inner one alone notes."""

    def __init__(self) -> None:
        self._states: dict[str, str] = {}
        self._youngest = 0
        self._unsure = False
        self._outer: Recorder | None = None
        self._started = 0

    def __enter__(self) -> Recorder:
        global _open
        self._started = self._started or time.time_ns()
        self._outer, _open = _open, self
        return self

    def __exit__(self, *_: object) -> None:
        global _open
        _open = self._outer

    def note(self, path: str) -> None:
        """Note the state of a path, the first time that it is looked at."""
        if path in self._states:
            return
        try:
            found = os.stat(path)
        except OSError:
            self._states[path] = _NOTHING
            return
        except ValueError:
            self._unsure = True
            return
        for moment in (found.st_mtime_ns, found.st_ctime_ns):
            slow = moment % 1_000_000_000 == 0
            self._youngest = max(self._youngest, moment + (_SLOW if slow else _TICK))
        self._states[path] = _text(found)

    def doubt(self) -> None:
        """Note that the answer depends on something that no state of a file shows."""
        self._unsure = True

    def lines(self) -> list[str] | None:
        """Return what was noted, a line each for `unchanged`; None where it would prove nothing."""
        if self._unsure or self._youngest >= self._started or len(self._states) > _MOST:
            return None
        if any("\n" in path or not os.path.isabs(path) for path in self._states):  # noqa: PTH117
            return None
        return [f"{state} {path}" for path, state in self._states.items()]


def looked(path: str) -> None:
    """Tell an open recorder of a path that is looked at next."""
    if _open is not None:
        _open.note(path)


def recording() -> bool:
    """Tell whether a recorder is open, for who would have to find out what it looked at."""
    return _open is not None


def doubt() -> None:
    """Tell an open recorder that the answer depends on something else than files."""
    if _open is not None:
        _open.doubt()


_NOTHING = "-"


def _text(found: os.stat_result) -> str:
    return f"{found.st_ctime_ns}.{found.st_mtime_ns}.{found.st_size}.{found.st_ino}.{found.st_dev}.{found.st_mode}"


def unchanged(lines: Iterable[str]) -> bool:
    """Tell whether everything is as `Recorder.lines` has it."""
    stat = os.stat
    for line in lines:
        state, _, path = line.partition(" ")
        try:
            found = stat(path)
        except (OSError, ValueError):
            if state != _NOTHING:
                return False
            continue
        # As `_text`, written out: this runs for thousands of files.
        if state != (
            f"{found.st_ctime_ns}.{found.st_mtime_ns}.{found.st_size}.{found.st_ino}.{found.st_dev}.{found.st_mode}"
        ):
            return False
    return True
