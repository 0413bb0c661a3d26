# SPDX-License-Identifier: Apache-2.0
"""Checks of what a component asks for: whether anybody meets it, and whether its own variants permit anything."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codereef.errors import CrError
from codereef.meta.component import Component
from codereef.meta.reference import Query, is_capability, nearest, needed, parse_reference
from codereef.meta.schemas import json_path
from codereef.meta.selection import MAX_ASSIGNMENTS, excluded, is_constraint_key
from codereef.meta.versions import parse_constraint, preference, satisfies

if TYPE_CHECKING:
    from codereef.meta.lint import Finding, Surroundings

#: Where conditions may ask what is on the machine: they are settled when the graph is made.
_OF_THE_GRAPH = ("deps", "runtimes", "conflicts", "excludes")


def requirements(component: Component, path: Path, surroundings: Surroundings) -> Iterator[Finding]:
    """Yield what is wrong with what a component needs."""
    from codereef.meta.lint import Finding

    for where, entry in _entries(component.meta):
        needs = needed(entry.get("needs") or entry["with"])
        place = json_path([*where, "needs" if "needs" in entry else "with"])
        if isinstance(needs, Query):
            fitting = surroundings.tagged(needs)
            if not fitting:
                near = nearest(needs.tags[0], surroundings.tags(needs.kind)) if needs.tags else []
                yield Finding(
                    path, place, f"there is no {needs.phrase}.", f"Did you mean the tag `{near[0]}`?" if near else ""
                )
            elif len(fitting) > 1 and not entry["needs"].get("any"):
                shown = ", ".join(fitting[:4]) + (f" and {len(fitting) - 4} more" if len(fitting) > 4 else "")
                yield Finding(
                    path,
                    place,
                    f"several fit: {shown}; who asks for it gets an error unless a pin chooses.",
                    'Name the one, add tags, or write `"any": true` where any of them will do.',
                )
            continue
        if not is_capability(needs) and parse_reference(needs).kind in ("package", "soft"):
            reference = parse_reference(needs)
            given = [str(m.get("detects") or m["provides"]["capability"]) for m in surroundings.metas(needs)]
            yield Finding(
                path,
                place,
                f"`{needs}` is a {'recipe' if reference.kind == 'package' else 'detector'}, which is not used as it is.",
                f"Ask for what it {'installs' if reference.kind == 'package' else 'finds'}, `{given[0]}`; a pin chooses who provides it."
                if given
                else "Ask for a capability.",
            )
            continue
        if "version" in entry and "needs" in entry:
            yield from _version(path, json_path([*where, "version"]), needs, entry["version"], surroundings)


def _entries(meta: Mapping[str, Any]) -> Iterator[tuple[list[str | int], Mapping[str, Any]]]:
    for role, entry in meta.get("deps", {}).items():
        yield ["deps", role], entry
    for key in ("runtimes", "conflicts"):
        for i, entry in enumerate(meta.get(key, ())):
            yield [key, i], entry
    if isinstance(meta.get("program"), Mapping):
        yield ["program"], meta["program"]


def _version(path: Path, place: str, needs: str, constraint: str, surroundings: Surroundings) -> Iterator[Finding]:
    from codereef.meta.lint import Finding

    if is_capability(needs):
        if surroundings.detected(needs):
            return  # What machines have is not known here.
        known = {v for meta in surroundings.providers(needs) for v in meta["provides"]["versions"]}
    else:
        known = {str(meta["version"]) for meta in surroundings.metas(needs)}
    if known and not any(satisfies(version, constraint) for version in known):
        there = sorted(known, key=lambda version: preference(version)[1])
        shown = ", ".join(there[-5:]) + (f" and {len(there) - 5} older" if len(there) > 5 else "")
        yield Finding(path, place, f"no known version of {needs} meets `{constraint}`; there is {shown}.")


def variants(component: Component, path: Path, surroundings: Surroundings) -> Iterator[Finding]:
    """Yield what is wrong with a component's variants, and with what may be there in several versions."""
    from codereef.meta.lint import Finding

    choices = {name: variant["values"] for name, variant in component.variants.items()}
    total = 1
    for values in choices.values():
        total *= len(values)
    if total > MAX_ASSIGNMENTS:
        yield Finding(
            path,
            "$.variants",
            f"there are {total} combinations of variants; at most {MAX_ASSIGNMENTS} are supported.",
            "Split the component, or turn options that change no dependency into program options.",
        )
    elif "excludes" in component.meta:
        defaults = {name: variant["default"] for name, variant in component.variants.items()}
        if excluded(component.meta, defaults) is not None:
            yield Finding(
                path, "$.excludes", "the defaults are excluded.", "Give the variants defaults that go together."
            )
        if all(
            excluded(component.meta, dict(zip(choices, row, strict=True))) is not None
            for row in itertools.product(*choices.values())
        ):
            yield Finding(path, "$.excludes", "every combination is excluded; the component can never be used.")
    if component.meta.get("provides", {}).get("duplicable") and component.meta["install"]["using"] == "pip":
        yield Finding(
            path,
            "$.provides.duplicable",
            "a Python environment holds one version of a distribution, so it cannot be there several times.",
            "Leave `duplicable` out.",
        )


def machine_conditions(component: Component, path: Path, surroundings: Surroundings) -> Iterator[Finding]:
    """Yield what is wrong with conditions on what a machine has or is."""
    from codereef.meta.lint import Finding, walk_conditions

    for parts, condition in walk_conditions(component.meta):
        for key, wanted in condition.items():
            if not key.startswith(("detected.", "machine.")):
                continue
            where = json_path([*parts, key])
            if parts[0] not in _OF_THE_GRAPH:
                yield Finding(
                    path,
                    where,
                    f"`{key}` is asked while the graph is made, so only in {', '.join(f'`{k}`' for k in _OF_THE_GRAPH)}.",
                    "Make it a condition of a dependency, or a variant.",
                )
                continue
            capability = key.removeprefix("detected.").partition("#")[0]
            if key.startswith("detected.") and not surroundings.detected(capability):
                near = nearest(capability, surroundings.capabilities)
                yield Finding(
                    path,
                    where,
                    f"no detector looks for `{capability}`.",
                    f"Did you mean `detected.{near[0]}`?" if near else "",
                )
            for text in ([wanted] if isinstance(wanted, str) else wanted) if is_constraint_key(key) else ():
                try:
                    parse_constraint(text)
                except CrError as error:
                    yield Finding(path, where, error.message, error.hint)


def actions(component: Component, path: Path, surroundings: Surroundings) -> Iterator[Finding]:
    """Yield the options and metrics of a solution's actions that its program does not know."""
    from codereef.meta.lint import Finding

    if component.kind != "solution" or not isinstance(component.meta["program"]["needs"], str):
        return
    program = component.meta["program"]
    metas = [
        meta
        for meta in surroundings.metas(program["needs"])
        if satisfies(str(meta["version"]), program.get("version", "")) and meta["kind"] == "program"
    ]
    if not metas:
        return
    options = {name for meta in metas for name in meta.get("options", {})}
    metrics = {name for meta in metas for name in meta["metrics"]}
    for action, entry in component.meta["actions"].items():
        asked = [("option", name, ["options", name]) for name in entry.get("options", {})]
        asked += [("metric", name, ["metrics", i]) for i, name in enumerate(entry.get("metrics", ()))]
        for sort, name, place in asked:
            known = options if sort == "option" else metrics
            # A program that lists none leaves them open.
            if known and name not in known:
                near = nearest(name, known)
                yield Finding(
                    path,
                    json_path(["actions", action, *place]),
                    f"{program['needs']} has no {sort} `{name}`.",
                    f"Did you mean `{near[0]}`?" if near else f"It has {', '.join(sorted(known)[:12])}.",
                )
