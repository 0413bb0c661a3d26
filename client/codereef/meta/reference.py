# SPDX-License-Identifier: Apache-2.0
"""References to components, `kind:name@version`, queries by tag, and what a dependency may ask for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from codereef.errors import UsageError
from codereef.meta.kinds import KINDS as KINDS

#: Likeness below which two names are not called near.
_LIKE = 0.6
_TAG = re.compile(r"^-?[a-z0-9][a-z0-9._-]*$")
_REFERENCE = re.compile(r"^(?:(?P<kind>[a-z]+):)?(?P<name>[a-z0-9][a-z0-9._-]*)(?:@(?P<version>\S+))?$")


@dataclass(frozen=True, order=True)
class Reference:
    """A component by kind and name, and by version where one is meant."""

    kind: str
    name: str
    version: str | None = None

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}" + (f"@{self.version}" if self.version else "")

    @property
    def unversioned(self) -> str:
        return f"{self.kind}:{self.name}"


def _last(text: str) -> str:
    """Return the last part of a path, which is how the folder of a solution is called; "" of what is no path."""
    name = text.rstrip("/").rpartition("/")[2]
    return name if "/" in text and _REFERENCE.match(name) else ""


def parse_reference(text: str, *, default_kind: str | None = None) -> Reference:
    """Read `kind:name[@version]`.

    Args:
        text: what the user or a component wrote.
        default_kind: kind of a bare name; without it a bare name is an error.

    Raises:
        UsageError: the text is no reference, or its kind is unknown.
    """
    match = _REFERENCE.match(text.strip())
    kind = (match["kind"] or default_kind) if match else None
    if match is None or kind is None:
        name = _last(text)
        raise UsageError(
            f"`{text}` is not a component reference.",
            hint=f"It is a path, and components are found by name: write {name}."
            if name
            else "Write kind:name or kind:name@version, such as model:shapes-ssd@1.0.0.",
            context={"reference": text},
        )
    if kind not in KINDS:
        near = nearest(kind, KINDS)
        raise UsageError(
            f"`{kind}` in `{text}` is not a kind of component.",
            hint=f"Did you mean `{near[0]}`?" if near else f"Kinds are {', '.join(KINDS)}.",
            context={"reference": text, "kinds": list(KINDS)},
        )
    return Reference(kind, match["name"], match["version"])


@dataclass(frozen=True, order=True)
class Query:
    """Any component of a kind that has some tags and has not others.

    Attributes:
        kind: kind of the component.
        tags: tags it must have, sorted.
        without: tags it must not have, sorted.
    """

    kind: str
    tags: tuple[str, ...]
    without: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return how a user types it: `model?object-detection,-int8`."""
        return f"{self.kind}?{','.join([*self.tags, *(f'-{tag}' for tag in self.without)])}"

    @property
    def phrase(self) -> str:
        """Return it for a sentence: `model with the tags coco and ssd but not quantized`."""
        parts = []
        if self.tags:
            parts.append(f"with the tag{'s' if self.tags[1:] else ''} {' and '.join(self.tags)}")
        if self.without:
            parts.append(f"without the tag{'s' if self.without[1:] else ''} {' and '.join(self.without)}")
        return f"{self.kind} {' but '.join(parts)}"

    def fits(self, tags: Iterable[str]) -> bool:
        """Tell whether a component with these tags is meant."""
        own = set(tags)
        return own.issuperset(self.tags) and own.isdisjoint(self.without)


def tags_of(meta: Mapping[str, Any]) -> set[str]:
    """Return the words that a query finds a component by: its tags and its task."""
    return {*meta.get("tags", ()), *([meta["task"]] if "task" in meta else [])}


def make_query(kind: str, tags: Iterable[str]) -> Query:
    """Return the query for tags of which those that begin with `-` must not be there."""
    found = set(tags)
    return Query(
        kind,
        tuple(sorted(tag for tag in found if not tag.startswith("-"))),
        tuple(sorted(tag[1:] for tag in found if tag.startswith("-"))),
    )


def is_query(text: str) -> bool:
    """Tell whether a text asks by tags: `model?object-detection,-int8`."""
    return "?" in text


def parse_query(text: str, *, default_kind: str | None = None) -> Query:
    """Read `kind?tag,-tag`.

    Args:
        text: what the user wrote.
        default_kind: kind where none is written, as in `?object-detection`.

    Raises:
        UsageError: the text is no query, or its kind is unknown.
    """
    kind, _, rest = text.strip().partition("?")
    tags = [tag.strip() for tag in rest.split(",")]
    kind = kind or default_kind or ""
    if kind not in KINDS or not all(_TAG.match(tag) for tag in tags):
        near = nearest(kind, KINDS) if kind and kind not in KINDS else []
        raise UsageError(
            f"`{text}` is no query by tags.",
            hint=f"Did you mean `{near[0]}?{rest}`?"
            if near
            else "Write kind?tag,tag and - in front of what it must not have, such as model?object-detection,-int8.",
            context={"query": text},
        )
    return make_query(kind, tags)


def needed(needs: str | Mapping[str, Any]) -> str | Query:
    """Return what a dependency's `needs` asks for: a capability or component as text, or a query."""
    return needs if isinstance(needs, str) else make_query(needs["kind"], needs["tags"])


def needs_text(needs: str | Mapping[str, Any]) -> str:
    """Return what a dependency's `needs` asks for as one line of text."""
    return str(needed(needs))


def is_capability(needs: str) -> bool:
    """Tell whether `needs` names a capability (`lib.onnxruntime`) and not a component (`model:x`)."""
    return ":" not in needs and "?" not in needs


def nearest(word: str, known: Iterable[str], *, count: int = 3) -> list[str]:
    """Return up to `count` of `known` that look like `word`, best first, of equals the first by name.

    Likeness is that of `difflib`: twice the matching characters over all characters, at least 0.6. A name
    whose letters alone rule out that it is among the best is passed over, so that 20,000 names take well
    under a tenth of a second.
    """
    import difflib
    from heapq import heappush, heapreplace

    candidates = sorted(set(known))
    wanted = [(letter, word.count(letter)) for letter in set(word)]
    matcher = difflib.SequenceMatcher(b=word)
    best: list[tuple[float, int]] = []  # the worst of the best so far stands first
    bar = _LIKE
    for place, name in enumerate(candidates):
        least = bar * (len(word) + len(name)) / 2
        if min(len(word), len(name)) < least:
            continue
        if sum([min(times, name.count(letter)) for letter, times in wanted]) < least:
            continue
        matcher.set_seq1(name)
        ratio = matcher.ratio()
        if ratio >= _LIKE and len(best) < count:
            heappush(best, (ratio, -place))
        elif ratio > bar:
            heapreplace(best, (ratio, -place))
        if len(best) == count:
            bar = max(bar, best[0][0])
    close = [candidates[-place] for _, place in sorted(best, reverse=True)]
    inside = [name for name in candidates if len(word) >= 3 and (word in name or name in word)]
    return list(dict.fromkeys([*close, *inside]))[:count]
