# SPDX-License-Identifier: Apache-2.0
"""Search over names, tags and summaries; no component is read for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from codereef.meta.component import Component
from codereef.repo.catalogue import Row
from codereef.repo.index import Index


@dataclass(frozen=True)
class Hit:
    """A component found, with how well it fits (higher is better)."""

    row: Row
    score: int
    index: Index

    @property
    def reference(self) -> str:
        """The newest version of it, as `kind:name@version`."""
        return f"{self.row.key}@{self.row.newest}"

    @property
    def repository(self) -> str:
        """The repository it comes from, or the first of several."""
        return self.index.repositories_of(self.row.key)[0]

    @property
    def component(self) -> Component:
        """The newest version of it, which is read now."""
        found = self.index.versions(self.row.kind, self.row.name)
        return next((component for component in found if component.version == self.row.newest), found[0])


def search(index: Index, words: Sequence[str], *, kind: str | None = None, tags: Sequence[str] = ()) -> list[Hit]:
    """Return the components whose newest version has every word somewhere, best first; without those withdrawn.

    A word weighs most as the whole name, then in the name, in a tag, in the task and in the summary.
    """
    hits: list[Hit] = []
    wanted = set(tags)
    lowered = [word.lower() for word in words]
    for row in index.rows(kind):
        if row.withdrawn or not wanted.issubset(row.tags):
            continue
        score = 0
        for word in lowered:
            if word == row.name:
                score += 100
            elif word in row.name:
                score += 40
            elif word in row.tags:
                score += 30
            elif (row.capability and word in row.capability) or word == row.task:
                score += 20
            elif word in row.summary.lower():
                score += 10
            else:
                break
        else:
            hits.append(Hit(row, score, index))
    return sorted(hits, key=lambda hit: (-hit.score, hit.row.kind, hit.row.name))
