# SPDX-License-Identifier: Apache-2.0
"""Search over names, tags and summaries; no component is read for it."""

from __future__ import annotations

from codereef.repo.listed import Listed

# What is here for checking alone: `typing` and `collections.abc` take longer to import than the rest of this.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def search(
    entries: Iterable[Listed], words: Sequence[str], *, kind: str | None = None, tags: Sequence[str] = ()
) -> list[Listed]:
    """Return the components whose newest version has every word somewhere, best first; without those withdrawn.

    A word weighs most as the whole name, then in the name, in a tag, in the task and in the summary.

    Args:
        entries: the components.
        words: each must be there.
        kind: only this kind.
        tags: each must be there.
    """
    hits: list[tuple[int, str, str, Listed]] = []
    lowered = [word.lower() for word in words]
    for entry in entries:
        if entry.withdrawn or (kind is not None and entry.kind != kind):
            continue
        own = entry.tags.split(" ") if words or tags else ()
        if not all(tag in own for tag in tags):
            continue
        score = 0
        for word in lowered:
            if word == entry.name:
                score += 100
            elif word in entry.name:
                score += 40
            elif word in own:
                score += 30
            elif (entry.capability and word in entry.capability) or word == entry.task:
                score += 20
            elif word in entry.summary.lower():
                score += 10
            else:
                break
        else:
            hits.append((-score, entry.kind, entry.name, entry))
    hits.sort(key=lambda hit: hit[:3])
    return [entry for _, _, _, entry in hits]
