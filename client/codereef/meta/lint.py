# SPDX-License-Identifier: Apache-2.0
"""Checks of components beyond their schema: what they refer to, their files, their licence, their scripts."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codereef.canonical import sha256_file
from codereef.errors import CrError
from codereef.meta.component import META_FILE, Component, component_digest, read_meta
from codereef.meta.lint_requirements import actions, machine_conditions, requirements, variants
from codereef.meta.reference import Query, is_capability, nearest, parse_reference
from codereef.meta.schemas import json_path
from codereef.meta.selection import template_names

#: Places that name a component of one kind.
_KIND_OF = {"$.program.needs": "program", "$.dashboard": "dashboard"}


@dataclass(frozen=True)
class Finding:
    """Something wrong with a component.

    Attributes:
        file: the file concerned.
        path: JSON path in it, or "".
        message: what was found and what was expected.
        hint: what to do, or "".
    """

    file: Path
    path: str
    message: str
    hint: str = ""


@dataclass(frozen=True)
class Surroundings:
    """What references are checked against.

    Attributes:
        has: tells whether a component `kind:name` exists.
        names: every `kind:name`.
        capabilities: every capability that is detected or provided.
        targets: every target triple.
        metas: the metadata of every version of `kind:name`.
        providers: the metadata of every recipe of a capability.
        detected: tells whether a detector looks for a capability.
        tagged: the components, `kind:name`, that fit a query.
        tags: every tag of a kind.
    """

    has: Callable[[str], bool]
    names: tuple[str, ...]
    capabilities: frozenset[str]
    targets: frozenset[str]
    metas: Callable[[str], Sequence[Mapping[str, Any]]]
    providers: Callable[[str], Sequence[Mapping[str, Any]]]
    detected: Callable[[str], bool]
    tagged: Callable[[Query], Sequence[str]]
    tags: Callable[[str], Collection[str]]


def lint_folder(root: Path, surroundings: Surroundings) -> list[Finding]:
    """Return everything wrong with the component in a folder; empty when it is fine."""
    path = root / META_FILE
    try:
        meta = read_meta(path)
    except CrError as error:
        found = error.context.get("problems")
        if isinstance(found, list):
            return [Finding(path, p["path"], p["message"], p["hint"]) for p in found]
        return [Finding(path, str(error.context.get("path", "")), error.message, error.hint)]
    except OSError as error:
        return [Finding(path, "", f"cannot be read: {error.strerror}.")]
    try:
        component = Component(meta, root, component_digest(root), "")
    except CrError as error:
        return [Finding(Path(str(error.context.get("file", path))), "", error.message, error.hint)]
    except OSError as error:
        return [Finding(path, "", f"a file of the component cannot be read: {error.strerror}.")]
    return [
        finding
        for check in (
            _names,
            _licence,
            _references,
            requirements,
            variants,
            _conditions,
            machine_conditions,
            actions,
            _templates,
            _files,
            _scripts,
            _targets,
        )
        for finding in check(component, path, surroundings)
    ]


def _names(component: Component, path: Path, _: Surroundings) -> Iterator[Finding]:
    # Several versions of a component lie in folders named by the version, inside one named by the component.
    folder = component.root.parent.name if component.root.name == component.version else component.root.name
    if folder != component.name:
        yield Finding(
            path,
            "$.name",
            f"the component is called `{component.name}` but lies in a folder `{folder}`.",
            "Give both the same name.",
        )
    for name, variant in component.variants.items():
        if variant["default"] not in variant["values"]:
            yield Finding(
                path,
                f"$.variants.{name}.default",
                f"`{variant['default']}` is not one of {', '.join(variant['values'])}.",
            )
        if name == "version":
            yield Finding(
                path,
                "$.variants.version",
                "a variant cannot be called `version`: conditions use that word for the version itself.",
                "Give it another name.",
            )


def _licence(component: Component, path: Path, _: Surroundings) -> Iterator[Finding]:
    from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

    entries = [("$.license", component.meta["license"])]
    entries += [
        (f"$.files[{i}].license", f["license"]) for i, f in enumerate(component.meta.get("files", ())) if "license" in f
    ]
    for where, licence in entries:
        try:
            canonical = canonicalize_license_expression(licence)
        except InvalidLicenseExpression:
            canonical = None
        if canonical != licence:
            yield Finding(
                path,
                where,
                f"`{licence}` is not an SPDX licence expression.",
                f"Did you mean `{canonical}`?"
                if canonical
                else "Write for example Apache-2.0, MIT, CC-BY-4.0 or LicenseRef-Something.",
            )


def _needs(meta: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for role, entry in meta.get("deps", {}).items():
        if isinstance(entry["needs"], str):
            yield f"$.deps.{role}.needs", entry["needs"]
    for i, entry in enumerate(meta.get("runtimes", ())):
        yield f"$.runtimes[{i}].needs", entry["needs"]
    for i, entry in enumerate(meta.get("conflicts", ())):
        yield f"$.conflicts[{i}].with", entry["with"]
    if isinstance(meta.get("program"), dict) and isinstance(meta["program"]["needs"], str):
        yield "$.program.needs", meta["program"]["needs"]
    if isinstance(meta.get("dashboard"), str):
        yield "$.dashboard", meta["dashboard"]
    for i, claim in enumerate(meta.get("claims", ())):
        yield f"$.claims[{i}].dataset", claim["dataset"]


def _references(component: Component, path: Path, surroundings: Surroundings) -> Iterator[Finding]:
    for where, needs in _needs(component.meta):
        wanted = _KIND_OF.get(where)
        if wanted and not needs.startswith(wanted + ":"):
            yield Finding(path, where, f"`{needs}` is no {wanted}.", f"Write {wanted}:NAME.")
            continue
        if is_capability(needs):
            if needs not in surroundings.capabilities:
                near = nearest(needs, surroundings.capabilities)
                yield Finding(
                    path, where, f"nobody detects or provides `{needs}`.", f"Did you mean `{near[0]}`?" if near else ""
                )
            continue
        reference = parse_reference(needs)
        if not surroundings.has(reference.unversioned):
            # Names of the same kind only: the kind in front would make any two of them alike.
            own = [name.split(":")[1] for name in surroundings.names if name.startswith(reference.kind + ":")]
            near = [f"{reference.kind}:{name}" for name in nearest(reference.name, own)]
            yield Finding(
                path, where, f"there is no component `{needs}`.", f"Did you mean `{near[0]}`?" if near else ""
            )


def walk_conditions(meta: Mapping[str, Any]) -> Iterator[tuple[list[str | int], Mapping[str, Any]]]:
    """Yield every condition of a component with its place."""
    return _walk(meta, [])


def _walk(value: Any, parts: list[str | int]) -> Iterator[tuple[list[str | int], Mapping[str, Any]]]:
    if isinstance(value, Mapping):
        if isinstance(value.get("when"), Mapping):
            yield [*parts, "when"], value["when"]
        for key, child in value.items():
            if key not in ("when", "variants"):
                yield from _walk(child, [*parts, key])
    elif isinstance(value, list):
        for i, child in enumerate(value):
            yield from _walk(child, [*parts, i])


def _target_facts(triples: Iterable[str]) -> dict[str, set[str]]:
    rows = [(triple, *(triple.split("-") + ["", ""])[:3]) for triple in triples]
    return {f"target.{name}": {row[i] for row in rows} for i, name in enumerate(("triple", "os", "arch", "abi"))}


def _conditions(component: Component, path: Path, surroundings: Surroundings) -> Iterator[Finding]:
    known = [*component.variants, "version", "target.triple", "target.os", "target.arch", "target.abi"]
    for parts, condition in walk_conditions(component.meta):
        for key, wanted in condition.items():
            where = json_path([*parts, key])
            if key.startswith(("detected.", "machine.")):
                continue  # `machine_conditions` looks at these.
            if key not in known:
                near = nearest(key, known)
                yield Finding(
                    path,
                    where,
                    f"`{key}` is neither a variant of the component nor a fact.",
                    f"Did you mean `{near[0]}`?" if near else f"Known are {', '.join(known)}.",
                )
            elif key.startswith("target."):
                facts = _target_facts(surroundings.targets)[key]
                for value in [wanted] if isinstance(wanted, str) else wanted:
                    if value not in facts:
                        near = nearest(value, facts)
                        yield Finding(
                            path,
                            where,
                            f"no target has the {key.split('.')[1]} `{value}`.",
                            f"Did you mean `{near[0]}`?" if near else "",
                        )
            elif key in component.variants:
                for value in [wanted] if isinstance(wanted, str) else wanted:
                    if value not in component.variants[key]["values"]:
                        yield Finding(
                            path,
                            where,
                            f"`{value}` is not a value of the variant, which can be {', '.join(component.variants[key]['values'])}.",
                        )


def _templates(component: Component, path: Path, _: Surroundings) -> Iterator[Finding]:
    for role, entry in component.meta.get("deps", {}).items():
        for name, template in entry.get("variants", {}).items():
            for unknown in [n for n in template_names(template) if n not in component.variants]:
                near = nearest(unknown, component.variants)
                yield Finding(
                    path,
                    json_path(["deps", role, "variants", name]),
                    f"`{template}` names `{unknown}`, which is no variant of the component.",
                    f"Did you mean `{near[0]}`?"
                    if near
                    else f"Its variants are {', '.join(component.variants) or 'none'}.",
                )


def _files(component: Component, path: Path, _: Surroundings) -> Iterator[Finding]:
    names: set[tuple[str, str]] = set()
    for i, entry in enumerate(component.meta.get("files", ())):
        where = f"$.files[{i}]"
        key = (entry["name"], json.dumps(entry.get("when"), sort_keys=True))
        if key in names:
            yield Finding(path, f"{where}.name", f"`{entry['name']}` stands twice for the same condition.")
        names.add(key)
        if "path" not in entry:
            continue
        file = component.root / entry["path"]
        if not file.is_file():
            yield Finding(path, f"{where}.path", f"there is no file `{entry['path']}` in the component.")
            continue
        size = file.stat().st_size
        if size != entry["size"]:
            yield Finding(path, f"{where}.size", f"found {entry['size']}, but `{entry['path']}` has {size} bytes.")
        digest = sha256_file(file)
        if digest != entry["sha256"]:
            yield Finding(
                path, f"{where}.sha256", f"found {entry['sha256'][:16]}…, but `{entry['path']}` has {digest}."
            )


def _scripts(component: Component, path: Path, _: Surroundings) -> Iterator[Finding]:
    scripts = []
    if component.kind == "program":
        scripts.append(("$.run.python", component.meta["run"]["python"]))
    if component.meta.get("install", {}).get("using") == "generate":
        scripts.append(("$.install.script", component.meta["install"]["script"]))
    for where, name in scripts:
        script = component.root / name
        if not script.is_file():
            yield Finding(path, where, f"there is no script `{name}` in the component.")
            continue
        try:
            compile(script.read_bytes(), str(script), "exec", dont_inherit=True)
        except (SyntaxError, ValueError) as error:
            yield Finding(script, "", f"cannot be compiled: {error}.")


def _targets(component: Component, path: Path, surroundings: Surroundings) -> Iterator[Finding]:
    for i, target in enumerate(component.meta.get("targets", ())):
        if target not in surroundings.targets:
            near = nearest(target, surroundings.targets)
            yield Finding(
                path, f"$.targets[{i}]", f"there is no target `{target}`.", f"Did you mean `{near[0]}`?" if near else ""
            )
