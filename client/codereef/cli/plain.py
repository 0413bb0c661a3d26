# SPDX-License-Identifier: Apache-2.0
"""Printing as click prints, without click: for the commands that are answered directly (`cli.direct`)."""

from __future__ import annotations

import os
import sys

# What is here for checking alone: `typing` and `collections.abc` take longer to import than the rest of this.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TextIO


_BOLD, _RESET = "\033[1m", "\033[0m"


def color() -> bool | None:
    """Return False where the user wants no colour (NO_COLOR), else None: colour on a terminal only."""
    return False if os.environ.get("NO_COLOR") else None


def bold(text: str) -> str:
    """Return text in bold; `echo` takes that away again where it is not for a terminal."""
    return f"{_BOLD}{text}{_RESET}"


def echo(text: str, *, err: bool = False) -> None:
    """Print a line; styles only on a terminal, and where the user wants them."""
    stream = sys.stderr if err else sys.stdout
    if stream is None:
        return
    if "\033" in text and (color() is False or not _terminal(stream)):
        text = text.replace(_BOLD, "").replace(_RESET, "")
        if "\033" in text:
            text = _unstyled(text)
    stream.write(f"{text}\n")
    stream.flush()


def _unstyled(text: str) -> str:
    """Return text without control sequences (ECMA-48, section 5.4), whoever brought them along."""
    if "\033" not in text:
        return text
    import re

    return re.sub(r"\033\[[0-?]*[ -/]*[@-~]", "", text)


def _terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except ValueError:
        return False


def print_json(document: object) -> None:
    """Print data as JSON to standard output."""
    import json

    echo(json.dumps(document, indent=2, ensure_ascii=False, default=str))


def table(rows: Sequence[Sequence[str]], head: Sequence[str], *, right: Sequence[int] = ()) -> str:
    """Return rows as a text table, or as blocks of lines where a terminal is too narrow for it.

    Args:
        rows: cells as text.
        head: column names.
        right: columns that are aligned to the right.
    """
    everything = [list(head), *[list(row) for row in rows]]
    widths = [max(len(_unstyled(cell)) for cell in column) for column in zip(*everything, strict=True)]
    if sys.stdout is not None and sys.stdout.isatty():
        import shutil

        columns = shutil.get_terminal_size().columns
        if sum(widths) + 2 * (len(widths) - 1) > columns:
            return _blocks(rows, head)
    lines = []
    for row in everything:
        cells = []
        for i, cell in enumerate(row):
            blanks = " " * (widths[i] - len(_unstyled(cell)))
            cells.append(blanks + cell if i in right else cell + blanks)
        lines.append("  ".join(cells).rstrip())
    lines[0] = bold(lines[0])
    return "\n".join(lines)


def _blocks(rows: Sequence[Sequence[str]], head: Sequence[str]) -> str:
    width = max(len(name) for name in head[1:]) if len(head) > 1 else 0
    lines = []
    for row in rows:
        lines.append(bold(row[0]))
        lines += [f"  {name.ljust(width)}  {cell}" for name, cell in zip(head[1:], row[1:]) if cell]
    return "\n".join(lines)
