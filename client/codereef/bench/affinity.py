# SPDX-License-Identifier: Apache-2.0
"""Pins the measured process to processors, before a runtime is loaded and makes its threads."""

from __future__ import annotations

import os
import re

from codereef.errors import OptionError

_RANGE = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?")


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
