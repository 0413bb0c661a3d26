# SPDX-License-Identifier: Apache-2.0
"""Reads the fenced blocks of a Markdown page: files to write and commands to run."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_FENCE = re.compile(r"^```(\w*)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """One fenced block: its language, its attributes (`title=x` and the like) and its text."""

    language: str
    attributes: dict[str, str]
    text: str


@dataclass(frozen=True)
class Command:
    """One command of a `console` block: what is typed, the output promised, and the exit code promised."""

    line: str
    promised: tuple[str, ...]
    exit_code: int


def blocks(page: str) -> Iterator[Block]:
    """Yield the fenced blocks of a page in order."""
    for match in _FENCE.finditer(page):
        yield Block(match[1], dict(part.split("=", 1) for part in match[2].split()), match[3])


def commands(block: Block) -> list[Command]:
    """Return the commands of a `console` block; `exit=N` on the fence is the exit code of the last one."""
    found: list[tuple[str, list[str]]] = []
    for line in block.text.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        elif line.strip():
            found[-1][1].append(line)
    last = int(block.attributes.get("exit", 0))
    return [
        Command(line, tuple(promised), last if number == len(found) else 0)
        for number, (line, promised) in enumerate(found, 1)
    ]


def broken_promise(promised: Sequence[str], output: str) -> str:
    """Return the first promised line that the output does not have, or "" when it keeps every promise.

    The lines must appear in this order. Runs of blanks count as one; `...` stands for anything, and alone on
    a line for any number of lines.
    """
    lines = [" ".join(line.split()) for line in output.splitlines()]
    position = 0
    for wanted in promised:
        if wanted.strip() == "...":
            continue
        pattern = re.compile(".*".join(re.escape(part) for part in re.split(r" ?\.\.\. ?", " ".join(wanted.split()))))
        while position < len(lines) and not pattern.fullmatch(lines[position]):
            position += 1
        if position == len(lines):
            return wanted
        position += 1
    return ""
