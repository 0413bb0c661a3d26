# SPDX-License-Identifier: Apache-2.0
"""Search over names, tags and summaries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from codereef.meta.component import Component
from codereef.repo.index import Index


@dataclass(frozen=True)
class Hit:
    """A component found, with how well it fits (higher is better)."""

    component: Component
    score: int


def search(index: Index, words: Sequence[str], *, kind: str | None = None, tags: Sequence[str] = ()) -> list[Hit]:
    """Return the newest version of each component that has every word somewhere, best first.

    A word weighs most as the whole name, then in the name, in a tag, in the task and in the summary.
    """
    hits: list[Hit] = []
    kinds = [kind] if kind else sorted({component.kind for component in index.components})
    for chosen in kinds:
        for component in index.of_kind(chosen):
            own = set(component.meta.get("tags", ()))
            if not set(tags) <= own:
                continue
            score = 0
            for word in (w.lower() for w in words):
                provides = str(
                    component.meta.get("detects") or component.meta.get("provides", {}).get("capability", "")
                )
                points = max(
                    100 if word == component.name else 0,
                    40 if word in component.name else 0,
                    30 if word in own else 0,
                    20 if word in provides or word == component.meta.get("task") else 0,
                    10 if word in component.meta["summary"].lower() else 0,
                )
                if not points:
                    break
                score += points
            else:
                hits.append(Hit(component, score))
    return sorted(hits, key=lambda hit: (-hit.score, hit.component.kind, hit.component.name))
