# SPDX-License-Identifier: Apache-2.0
"""What a user writes after `--vary`: `NAME=VALUE,VALUE`, and ranges of numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from decimal import Decimal, InvalidOperation

from codereef.errors import UsageError

#: More values than this are no dimension that anybody measures; a slip such as `1..10000000` ends here.
MOST_VALUES = 10_000

_RANGE = re.compile(r"^(?P<low>[^.*+]+(?:\.\d+)?)\.\.(?P<high>[^*+]+?)(?:(?P<sign>[*+])(?P<step>.+))?$")
_EXAMPLE = "For example threads=1,2,4, threads=1..8, threads=1..9+2 or batch=1..64*2."


def split_dimension(text: str) -> tuple[str, str]:
    """Return name and values of `NAME=VALUES`.

    Raises:
        UsageError: there is no name, or there are no values.
    """
    name, sign, values = text.partition("=")
    if not sign or not name or not values.strip(","):
        raise UsageError(f"--vary {text}: expected NAME=VALUE,VALUE.", hint=_EXAMPLE)
    return name.strip(), values


def expand(name: str, values: str, *, numeric: bool) -> list[str]:
    """Return the values that a user means, in his order.

    Args:
        name: of the dimension, for messages.
        values: what stands after `=`: values and ranges, separated by commas. `1..8` counts by one, `1..9+2` by two;
            `1..64*2` multiplies. A range ends at its upper end or before it.
        numeric: whether ranges are known; elsewhere `..` is part of a value.

    Raises:
        UsageError: a range has no end, goes nowhere, or has too many values, or a value stands twice.
    """
    found: dict[str, None] = {}
    for part in (part.strip() for part in values.split(",")):
        if not part:
            continue
        for value in _range(name, part) if numeric and ".." in part else (part,):
            if value in found:
                raise twice(name, value)
            found[value] = None
            if len(found) > MOST_VALUES:
                raise UsageError(
                    f"--vary {name}={part} has more than {MOST_VALUES:,} values.",
                    hint="Take larger steps: 1..64*2 doubles, 1..100+10 counts by ten.",
                )
    return list(found)


def twice(name: str, value: str) -> UsageError:
    """Return the error for a value that stands twice: who writes it so means repetitions, or a slip."""
    return UsageError(
        f"--vary {name} has the value {value} twice.",
        hint="Write each value once. How often every point is measured is what --repeat says, such as --repeat 5.",
    )


def _range(name: str, text: str) -> Iterator[str]:
    match = _RANGE.match(text)
    wrong = f"--vary {name}={text} is no range"
    if match is None:
        raise UsageError(f"{wrong}.", hint=_EXAMPLE)
    try:
        low, high = (Decimal(match[part]) for part in ("low", "high"))
        step = Decimal(match["step"]) if match["step"] else Decimal(1)
    except InvalidOperation:
        raise UsageError(f"{wrong} of numbers.", hint=_EXAMPLE) from None
    if not (low.is_finite() and high.is_finite() and step.is_finite()):
        raise UsageError(f"{wrong} of numbers.", hint=_EXAMPLE)
    if high < low:
        raise UsageError(f"{wrong}: it ends before it begins.", hint=f"Write {name}={match['high']}..{match['low']}.")
    if match["sign"] == "*":
        if step <= 1 or low <= 0:
            raise UsageError(
                f"{wrong}: it never comes to its end.",
                hint="A range that multiplies begins above 0 and multiplies by more than 1.",
            )
        while low <= high:
            yield _text(low)
            low *= step
        return
    if step <= 0:
        raise UsageError(f"{wrong}: it never comes to its end.", hint="The step must be above 0.")
    while low <= high:
        yield _text(low)
        low += step


def _text(value: Decimal) -> str:
    """Write a number as people do: `4`, `0.3`."""
    return format(value.normalize(), "f")


def listed(values: Sequence[str], most: int = 8) -> str:
    """Return values for a sentence, cut after a few."""
    more = f" and {len(values) - most} more" if len(values) > most else ""
    return ", ".join(values[:most]) + more
