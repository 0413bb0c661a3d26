# SPDX-License-Identifier: Apache-2.0
"""What a component declares that it needs, and how far its variant values are handed on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from codereef.meta.component import Component
from codereef.meta.reference import Query, is_capability, needed, parse_reference
from codereef.repo.index import Index


def declared_dependencies(component: Component) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield every dependency of a component by role: `deps`, a solution's `program`, a model's `runtimes`."""
    meta = component.meta
    if component.kind == "solution":
        yield "program", meta["program"]
    if component.kind == "model":
        for entry in meta["runtimes"]:
            yield "runtime", entry
    yield from meta.get("deps", {}).items()


def behind(index: Index, needs: str | Query) -> Sequence[Component]:
    """Return every version of every component that a requirement could lead to, detectors left aside."""
    if isinstance(needs, Query):
        return index.tagged(needs.kind, needs.tags, needs.without)
    if is_capability(needs):
        return index.providers(needs)
    reference = parse_reference(needs)
    return index.versions(reference.kind, reference.name)


def handed_on(index: Index, component: Component, variant: str) -> list[str]:
    """Return the requirements below a component that the value of one of its variants holds for.

    These are all that it can need, directly or through others, on the machine that it is for itself, and that
    somebody with a variant of that name can meet. The value is not handed on past a dependency that says
    `"propagate": false` or asks for a value of that variant itself, nor to the machine that builds.

    Args:
        index: the components.
        component: the component whose variant it is.
        variant: name of the variant.
    """
    found: dict[str, None] = {}
    waiting = [component]
    seen: set[str] = {str(component.reference)}
    while waiting:
        current = waiting.pop()
        for _, entry in declared_dependencies(current):
            if entry.get("propagate") is False or variant in entry.get("variants", {}) or entry.get("for") == "build":
                continue
            needs = needed(entry["needs"])
            for other in behind(index, needs):
                if variant in other.variants:
                    # A query is met by components, which are variables of their own.
                    found[other.reference.unversioned if isinstance(needs, Query) else str(needs)] = None
                if str(other.reference) not in seen:
                    seen.add(str(other.reference))
                    waiting.append(other)
    found.pop(component.reference.unversioned, None)
    return sorted(found)
