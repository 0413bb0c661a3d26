# SPDX-License-Identifier: Apache-2.0
"""Where two results part: the first step that did not give both the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def parting(a: Mapping[str, Any], b: Mapping[str, Any]) -> str | None:
    """Return a sentence on where the steps of two result documents part.

    None where a document has no digests, or where the digests are of other items: of another dataset, or of
    another number of its first items.
    """
    left, right = a.get("stages", []), b.get("stages", [])
    items = {stage.get("items") for stage in (*left, *right) if "digest" in stage}
    if a["dataset"] != b["dataset"] or len(items) != 1 or not left or not right:
        return None
    count = items.pop()
    for one, other in zip(left, right):
        if "digest" not in one or "digest" not in other:
            return None
        if one["digest"] != other["digest"]:
            place = f"{one['side']} {one['step']}"
            if _name(one) == _name(other):
                return f"Steps part at {place}, which is carried out alike: its arguments or the machine differ."
            return f"Steps part at {place}: {_name(one)} in A, {_name(other)} in B."
    if len(left) != len(right):
        longer, name = (left, "A") if len(left) > len(right) else (right, "B")
        extra = longer[min(len(left), len(right))]
        return f"Steps part at {extra['side']} {extra['step']}, which only {name} has."
    return f"Every step gave both the same for the first {count} items."


def _name(stage: Mapping[str, Any]) -> str:
    version = f" ({stage['version']})" if stage.get("version") else ""
    return f"{stage['step']} by {stage['implementation']}{version}"
