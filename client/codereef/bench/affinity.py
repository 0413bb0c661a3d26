# SPDX-License-Identifier: Apache-2.0
"""The processors of the measured process; it is pinned before a runtime is loaded and makes its threads."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Optional

from codereef.errors import OptionError

_RANGE = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?")


def affinity() -> Optional[str]:
    """The processors this process may run on, as a kernel list such as ``0-3,8``; None where nobody says."""
    if not hasattr(os, "sched_getaffinity"):
        return None
    cpus = sorted(os.sched_getaffinity(0))
    ranges: list[list[int]] = []
    for cpu in cpus:
        if ranges and ranges[-1][1] == cpu - 1:
            ranges[-1][1] = cpu
        else:
            ranges.append([cpu, cpu])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in ranges)


def parse_cpus(text: str) -> tuple[int, ...]:
    """Numbers of processors of a list such as `0,2-3`.

    Raises:
        OptionError: it is no such list.
    """
    numbers: set[int] = set()
    for part in text.split(","):
        match = _RANGE.fullmatch(part.strip())
        if match is None or int(match[2] or match[1]) < int(match[1]):
            raise OptionError(f"option cpus: {text} is no list of processors", hint="for example cpus=0 or cpus=0,2-3")
        numbers.update(range(int(match[1]), int(match[2] or match[1]) + 1))
    return tuple(sorted(numbers))


def pin(text: str) -> None:
    """Let this process and its threads use only the processors of a list; an empty list changes nothing.

    Raises:
        OptionError: the list is wrong, or this process may not use one of them, or the system cannot pin.
    """
    if not text:
        return
    wanted = parse_cpus(text)
    if not hasattr(os, "sched_setaffinity"):
        raise OptionError("option cpus: this system cannot pin a process to processors", hint="leave cpus out")
    allowed = os.sched_getaffinity(0)
    absent = [number for number in wanted if number not in allowed]
    if absent:
        raise OptionError(
            f"option cpus: processor {absent[0]} is not there or not open to this process",
            hint=f"it may use {', '.join(map(str, sorted(allowed)))}",
        )
    os.sched_setaffinity(0, wanted)


def unpin(before: Optional[str]) -> None:
    """Let this process use the processors again that `affinity` named before it was pinned."""
    if before is not None:
        os.sched_setaffinity(0, parse_cpus(before))


def processor_of_turns(root: Path = Path("/")) -> str:
    """The processor that processes use which take turns on one thread, as text for `pin`.

    On processors of their own they would meet different neighbours: caches, and on a virtual machine the guests that
    share a core. It is the last of the fastest ones open to this process, since the first handles most interrupts.

    Args:
        root: where the machine's file system begins.

    Returns:
        Its number; empty where the system cannot pin.
    """
    if not hasattr(os, "sched_setaffinity"):
        return ""
    return str(max(os.sched_getaffinity(0), key=lambda number: (*_speed(root, number), number)))


def _speed(root: Path, number: int) -> tuple[int, int]:
    """Capacity of a processor, which Arm's kernels tell, and its highest clock; 0 where nobody says."""
    folder = root / f"sys/devices/system/cpu/cpu{number}"
    found = []
    for name in ("cpu_capacity", "cpufreq/cpuinfo_max_freq"):
        try:
            found.append(int((folder / name).read_text(encoding="ascii")))
        except (OSError, ValueError):
            found.append(0)
    return found[0], found[1]
