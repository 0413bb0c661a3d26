# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: PTH103, PTH118, PTH120
"""The list that search works on, kept between commands: one line of each component, and what it was made from.

<home>/cache/listed.txt holds the state of every file and folder that the index was made from (`codereef.witness`),
and the list. While all of these are as they were, a search needs neither the index nor what makes it; otherwise the
list is made from the index again. The file is lines of text, for that is what can be read without importing anything.
"""

from __future__ import annotations

import os

import codereef
from codereef import witness

# What is here for checking alone: `typing` and `collections.abc` take longer to import than the rest of this.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_FORMAT = "codereef-listed/1"


class Listed:
    """A component as search sees it.

    Attributes:
        kind: its kind.
        name: its name.
        version: the version to be preferred.
        repository: the repository it comes from, or the first of several.
        withdrawn: "yes" where every version is withdrawn, else "".
        capability: what it detects or provides, or "".
        task: its task, or "".
        tags: its tags, separated by blanks.
        summary: what it says of itself.
    """

    __slots__ = ("capability", "kind", "name", "repository", "summary", "tags", "task", "version", "withdrawn")

    def __init__(
        self,
        kind: str,
        name: str,
        version: str,
        repository: str,
        withdrawn: str,
        capability: str,
        task: str,
        tags: str,
        summary: str,
    ) -> None:
        self.kind = kind
        self.name = name
        self.version = version
        self.repository = repository
        self.withdrawn = withdrawn
        self.capability = capability
        self.task = task
        self.tags = tags
        self.summary = summary

    @property
    def reference(self) -> str:
        """The version to be preferred, as `kind:name@version`."""
        return f"{self.kind}:{self.name}@{self.version}"

    def fields(self) -> tuple[str, ...]:
        """Return what `Listed` is made from."""
        return (
            self.kind,
            self.name,
            self.version,
            self.repository,
            self.withdrawn,
            self.capability,
            self.task,
            self.tags,
            self.summary,
        )


def _path(home: str) -> str:
    return os.path.join(home, "cache", "listed.txt")


def _maker() -> str:
    """Return which client made a list: another one may see other components."""
    return f"{_FORMAT} {codereef.__version__} {codereef.__file__}"


def read(home: str) -> list[Listed] | None:
    """Return the list that was kept, by kind and name; None where there is none or something has changed.

    Args:
        home: the client's folder.
    """
    try:
        with open(_path(home), encoding="utf-8", errors="surrogateescape", newline="\n") as stream:
            head, states, rows, end = stream.read().split("\n\n")
        if head != _maker() or end != "end" or not witness.unchanged(states.split("\n")):
            return None
        return [Listed(*line.split("\t")) for line in rows.split("\n")]
    except (OSError, ValueError, TypeError):
        return None


def keep(home: str, entries: Iterable[Listed], states: Sequence[str] | None) -> None:
    """Keep a list with what it was made from; where that is None, or a text has a tab or a line break, it is not kept."""
    rows = [entry.fields() for entry in entries]
    if not states or not rows or any("\t" in field or "\n" in field for row in rows for field in row):
        return
    text = "\n\n".join([_maker(), "\n".join(states), "\n".join("\t".join(row) for row in rows), "end"])
    path = _path(home)
    beside = f"{path}.{os.getpid()}"
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(beside, "w", encoding="utf-8", errors="surrogateescape", newline="\n") as stream:
            stream.write(text)
        os.replace(beside, path)
    except (OSError, ValueError):
        # A list that is not kept costs time, never an answer.
        return
