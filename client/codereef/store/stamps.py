# SPDX-License-Identifier: Apache-2.0
"""What was found sound need not be read again while nobody has touched it.

    <store>/v1/checked/<key>    the state of all files of a folder when all of them were read and found sound,
                                and the digest of the listing they agreed with

The state is, of every file: device, inode, type and rights, size, and the times of its last change of contents
(mtime) and of anything at all (ctime), to the nanosecond. The kernel sets ctime and gives nobody a way to set it
back: every write, truncation, rename, link, chmod or `touch` through the file system moves it. A write in the same
tick of the clock as the reading would not: so a state is only taken when a file made after it already has a later
ctime than all of them, which means that the clock has moved on before the reading began.

What the state cannot show: a disk that gives other bytes than were written, writes past the file system (to the
device), and a clock that was set back. Whoever measures reads everything (`Store.reading_all`).
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from pathlib import Path

from .tree import OWN

_FORMAT = "codereef-checked/1"
_PATIENCE = 0.1  # seconds to wait for the clock of the file system to move on


def state(folder: Path) -> tuple[str, int]:
    """Return the digest of the state of all files below a folder, and the latest ctime in nanoseconds.

    The store's own two files at the top are left out; what they say is checked by digest.

    Raises:
        OSError: something cannot be looked at.
    """
    rows: list[str] = []
    latest = 0
    base = len(str(folder)) + 1
    pending = [str(folder)]
    while pending:
        with os.scandir(pending.pop()) as items:
            for item in items:
                if item.is_dir(follow_symlinks=False):
                    pending.append(item.path)
                    continue
                if item.path[base:] in OWN:
                    continue
                s = item.stat(follow_symlinks=False)
                latest = max(latest, s.st_ctime_ns)
                rows.append(
                    f"{s.st_dev} {s.st_ino} {s.st_mode} {s.st_size} {s.st_mtime_ns} {s.st_ctime_ns} {item.path[base:]}"
                )
    rows.sort()
    return hashlib.sha256("\n".join(rows).encode("utf-8", "surrogateescape")).hexdigest(), latest


def settled(place: Path, latest: int) -> bool:
    """Wait until whatever is written now gets a later ctime than `latest`; return whether that came about.

    Args:
        place: a folder on the same file system.
        latest: nanoseconds.
    """
    probe = place / f".clock.{os.urandom(4).hex()}"
    end = time.monotonic() + _PATIENCE
    try:
        while True:
            with probe.open("wb") as stream:
                now = os.fstat(stream.fileno()).st_ctime_ns
            probe.unlink()
            if now > latest:
                return True
            if time.monotonic() > end:
                return False
            time.sleep(0.002)
    except OSError:
        return False


def trusted(mark: Path, found: str) -> bool:
    """Tell whether a folder of that state was found sound before."""
    try:
        return mark.read_text() == f"{_FORMAT} {found}\n"
    except (OSError, UnicodeDecodeError):
        return False


def trust(mark: Path, found: str) -> None:
    """Note that a folder of that state was found sound; a store that cannot be written to is left as it is."""
    beside = mark.with_name(f".{mark.name}.{os.urandom(4).hex()}")
    with contextlib.suppress(OSError):
        mark.parent.mkdir(exist_ok=True)
        try:
            # Not flushed: losing it costs one reading, and half of it is no note.
            beside.write_text(f"{_FORMAT} {found}\n")
            beside.replace(mark)
        finally:
            beside.unlink(missing_ok=True)
