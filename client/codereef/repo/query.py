# SPDX-License-Identifier: Apache-2.0
"""What a user means by tags: `model?object-detection,-int8` names a component where exactly one fits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codereef.errors import NotFoundError, UsageError
from codereef.meta.component import Component
from codereef.meta.reference import Query, nearest, tags_of

if TYPE_CHECKING:
    from codereef.repo.index import Index

#: How many candidates an error lists.
MAX_LISTED = 8


def find_tagged(index: Index, query: Query) -> Component:
    """Return the newest version of the one component that fits a query.

    Several are an error, always: which one is meant is the user's to say.

    Raises:
        NotFoundError: no component fits; the nearest tags are in the hint.
        UsageError: several components fit; all are listed with the tags that tell them apart.
    """
    found: dict[str, Component] = {}
    for component in index.tagged(query.kind, query.tags, query.without):
        if not component.yanked:
            found.setdefault(component.reference.unversioned, component)
    if not found:
        raise _none(index, query)
    if len(found) > 1:
        raise _several(query, found)
    return next(iter(found.values()))


def near_tags(index: Index, query: Query) -> list[str]:
    """Return tags of the query's kind that look like those it asks for and nobody has."""
    known = {tag for row in index.rows(query.kind) for tag in (*row.all_tags, row.task) if tag}
    return [near for tag in query.tags if tag not in known for near in nearest(tag, known, count=2)]


def _none(index: Index, query: Query) -> NotFoundError:
    near = near_tags(index, query)
    return NotFoundError(
        f"No repository has a {query.phrase}.",
        hint=f"Did you mean the tag {' or '.join(f'`{tag}`' for tag in near)}?"
        if near
        else f"`cr search --kind {query.kind}` lists what there is; fewer tags find more.",
        context={"query": str(query), "nearest": near},
    )


def _several(query: Query, found: dict[str, Component]) -> UsageError:
    names = list(found)
    shared = set.intersection(*(tags_of(c.meta) for c in found.values()))
    lines = []
    for name in names[:MAX_LISTED]:
        own = sorted(tags_of(found[name].meta) - shared)
        lines.append(f"  · {name}" + (f" ({', '.join(own)})" if own else ""))
    if len(names) > MAX_LISTED:
        lines.append(f"  · and {len(names) - MAX_LISTED} more")
    return UsageError(
        f"{len(names)} components fit `{query}`:\n" + "\n".join(lines),
        hint="Write the name of the one you mean, or more tags; in brackets stand those that tell them apart.",
        context={"query": str(query), "candidates": names},
    )
