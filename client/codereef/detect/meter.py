# SPDX-License-Identifier: Apache-2.0
"""What tells the power of the whole machine: a meter that the user has set up, or a battery that is in use."""

from __future__ import annotations

import math
import os
import re
import shutil
import subprocess  # noqa: F401 - loaded here, so that the reading thread never imports
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from codereef.detect.command import run_command
from codereef.detect.tree import Tree
from codereef.errors import UsageError

Unit = Literal["J", "W"]
TIMEOUT = 5.0
_FILE = "file:"
_UNITS: dict[str, Unit] = {"joules": "J", "watts": "W"}
_NUMBER = re.compile(r"(?<![\w.+-])[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_HINT = (
    "Write `joules` or `watts`, then a command with its arguments, or `file:` and a path, separated by commas: "
    "`cr config set meter joules,read-meter,--channel,1`."
)


class Unreadable(Exception):
    """A source gave no number; the text says why, as a clause for people."""


class Source(Protocol):
    """Something that tells energy or power when it is asked."""

    @property
    def unit(self) -> Unit:
        """`J` for a counter that only rises, `W` for the power at the time."""

    @property
    def name(self) -> str:
        """What it is, for people."""

    def read(self) -> float:
        """Return joules or watts.

        Raises:
            Unreadable: it told no number.
        """


def number_in(text: str) -> float:
    """Return the first number of the last line that is not empty; digits inside a word are none.

    Raises:
        Unreadable: there is none.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    match = _NUMBER.search(lines[-1]) if lines else None
    if match is None or not math.isfinite(float(match[0])):
        raise Unreadable("the meter printed no number")
    return float(match[0])


@dataclass(frozen=True, slots=True)
class Meter:
    """A meter of the user's own, outside the machine or a tool that reads one.

    Attributes:
        unit: what it tells.
        command: program and arguments, or nothing.
        file: file that is read instead.
    """

    unit: Unit
    command: tuple[str, ...] = ()
    file: Path | None = None

    @property
    def name(self) -> str:
        """What it is, for people; the command is the user's own and is not told."""
        return "external meter"

    def read(self) -> float:
        """See `Source.read`."""
        if self.file is not None:
            try:
                return number_in(self.file.read_text(encoding="utf-8", errors="replace"))
            except OSError as error:
                raise Unreadable(f"the meter's file cannot be read ({error.strerror})") from None
        output = run_command(self.command, os.environ, TIMEOUT)
        if output.problem:
            raise Unreadable(f"the meter's command {output.problem}")
        return number_in(output.stdout)


def parse_meter(words: Sequence[str]) -> Meter | None:
    """Return the meter that the setting `meter` describes, None where it is empty.

    Args:
        words: `joules` or `watts`, then a command with its arguments or `file:PATH`.

    Raises:
        UsageError: it is none of these, or there is no such program.
    """
    if not words:
        return None
    unit, rest = _UNITS.get(words[0]), list(words[1:])
    if unit is None or not rest:
        raise UsageError(f"The setting `meter` is `{','.join(words)}`, which names no meter.", hint=_HINT)
    if rest[0].startswith(_FILE):
        path = Path(rest[0][len(_FILE) :]).expanduser()
        if len(rest) > 1 or not path.is_absolute():
            raise UsageError(
                f"The setting `meter` reads `{','.join(rest)}`, which is not one absolute path.", hint=_HINT
            )
        return Meter(unit, file=path)
    program = shutil.which(rest[0])
    if program is None:
        raise UsageError(f"The setting `meter` runs `{rest[0]}`, and there is no such program.", hint=_HINT)
    return Meter(unit, (str(Path(program).absolute()), *rest[1:]))


class Battery:
    """The power that the machine draws from its batteries (Documentation/power/power_supply_class.rst).

    Args:
        tree: the machine's file system.
    """

    unit: Unit = "W"
    name = "battery"

    def __init__(self, tree: Tree) -> None:
        self._tree = tree

    def read(self) -> float:
        """See `Source.read`."""
        tree, base = self._tree, "sys/class/power_supply"
        total, found = 0.0, False
        for entry in tree.names(base):
            here = f"{base}/{entry}"
            kind = tree.text(f"{here}/type", 32)
            if kind in ("Mains", "USB") and tree.number(f"{here}/online") == 1:
                raise Unreadable("the machine runs on mains power, of which its battery tells nothing")
            if kind != "Battery" or tree.text(f"{here}/scope", 32) == "Device":
                continue
            found = True
            if (tree.text(f"{here}/status", 32) or "").lower() != "discharging":
                continue  # with two batteries one may rest while the other is used
            watts = _watts(tree, here)
            if watts is None:
                raise Unreadable("the battery does not tell its power")
            total += watts
        if not found:
            raise Unreadable("no battery, and no meter is set up (`cr config set meter`)")
        if total <= 0:
            raise Unreadable("no battery is in use")
        return total


def _watts(tree: Tree, here: str) -> float | None:
    power = tree.number(f"{here}/power_now")
    if power is not None:
        return abs(power) / 1e6  # some drivers write what flows out as negative
    current, voltage = tree.number(f"{here}/current_now"), tree.number(f"{here}/voltage_now")
    return None if current is None or voltage is None else abs(current) * voltage / 1e12
