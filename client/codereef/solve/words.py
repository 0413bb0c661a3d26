# SPDX-License-Identifier: Apache-2.0
"""How candidates, versions and lists of names are written in explanations."""

from __future__ import annotations

from collections.abc import Iterable

from codereef.meta.versions import preference
from codereef.solve.candidates import Candidate

MAX_VERSIONS = 5


def listed(names: Iterable[str], last: str = "and", limit: int = 6) -> str:
    """Write names as `a, b and c`; beyond `limit` it says how many more there are."""
    unique = list(dict.fromkeys(names))
    if len(unique) > limit:
        return ", ".join(unique[: limit - 1]) + f" {last} {len(unique) - limit + 1} more"
    return f" {last} ".join([*([", ".join(unique[:-1])] if unique[1:] else []), *unique[-1:]])


def shortened(text: str, limit: int = 160) -> str:
    """Cut a long text of somebody's own, such as a reason."""
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def named(candidates: Iterable[Candidate]) -> str:
    """Write candidates by component, each with its versions and, where they differ, its variants."""
    groups: dict[tuple[str, str], list[Candidate]] = {}
    for candidate in candidates:
        there: str = candidate.source if candidate.source in ("detected", "expected") else ""
        groups.setdefault((candidate.component.name, there), []).append(candidate)
    texts = []
    for (name, found), members in groups.items():
        versions = sorted({c.version for c in members if c.version}, key=lambda version: preference(version)[1])
        shown = (
            f" {versions[0]} to {versions[-1]} ({len(versions)} versions)"
            if len(versions) > MAX_VERSIONS
            else f" {listed(versions)}"
            if versions
            else ""
        )
        variants = {", ".join(f"{k}={v}" for k, v in sorted(c.variants.items())): None for c in members if c.variants}
        if members[0].component.kind == "solution":
            variants = {}  # The first line of the message has them.
        where = {"detected": " on this machine", "expected": " (expected there)"}.get(found, "")
        texts.append(f"{name}{shown}" + (f" with {listed(variants, 'or')}" if variants else "") + where)
    return listed(texts)
