# SPDX-License-Identifier: Apache-2.0
"""A component: a folder with a `cr.json`, its identity and its digest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codereef.canonical import sha256_file
from codereef.errors import CrError, MetadataError
from codereef.meta.reference import KINDS, Reference, nearest

META_FILE = "cr.json"
_IGNORED = {"__pycache__", ".git", ".mypy_cache", ".ruff_cache", ".pytest_cache"}


@dataclass(frozen=True)
class Component:
    """One version of a component.

    Attributes:
        meta: its `cr.json`, validated.
        root: folder the component lies in.
        digest: `sha256:` over every file of the folder (see `component_digest`).
        repository: name of the repository it came from.
    """

    meta: Mapping[str, Any]
    root: Path
    digest: str
    repository: str

    @property
    def kind(self) -> str:
        return str(self.meta["kind"])

    @property
    def name(self) -> str:
        return str(self.meta["name"])

    @property
    def version(self) -> str:
        return str(self.meta["version"])

    @property
    def reference(self) -> Reference:
        return Reference(self.kind, self.name, self.version)

    @property
    def variants(self) -> Mapping[str, Mapping[str, Any]]:
        found: Mapping[str, Mapping[str, Any]] = self.meta.get("variants", {})
        return found


def component_files(root: Path) -> Iterator[Path]:
    """Yield every file that belongs to a component, sorted by path; caches of tools do not belong.

    Raises:
        MetadataError: a symbolic link stands in the folder; it could lead anywhere, or in a circle.
    """
    for path in sorted(root.iterdir()):
        if path.name in _IGNORED or path.suffix == ".pyc":
            continue
        if path.is_symlink():
            raise MetadataError(
                f"{path} is a symbolic link; a component consists of files of its own.",
                hint="Replace the link by a copy of what it points to.",
                context={"file": str(path)},
            )
        if path.is_dir():
            # A folder with a cr.json of its own is another version or another component.
            if not (path / META_FILE).is_file():
                yield from component_files(path)
        elif path.is_file():
            yield path


def component_digest(root: Path) -> str:
    """Return the digest of a component folder: SHA-256 over lines `<sha256> <size> <path>` sorted by path."""
    lines = sorted(
        (path.relative_to(root).as_posix().encode(), f"{sha256_file(path)} {path.stat().st_size} ".encode())
        for path in component_files(root)
    )
    return "sha256:" + hashlib.sha256(b"".join(head + name + b"\n" for name, head in lines)).hexdigest()


def read_meta(path: Path) -> dict[str, Any]:
    """Read and validate a `cr.json`.

    Raises:
        MetadataError: not JSON, no known kind, or not following the schema of its kind.
    """
    from codereef.meta.schemas import check, parse_json

    document = parse_json(path.read_bytes(), path)
    kind = document.get("kind") if isinstance(document, dict) else None
    if not isinstance(kind, str) or kind not in KINDS:
        near = nearest(str(kind), KINDS)
        raise MetadataError(
            f"{path}: $.kind: found {kind!r}, expected one of {', '.join(KINDS)}.",
            hint=f"Did you mean `{near[0]}`?" if near else "",
            context={"file": str(path), "path": "$.kind"},
        )
    check(document, kind, path)
    _check_versions(document, kind, path)
    return dict(document)


def _versions(value: Any, parts: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Yield every version constraint: `version` beside `needs` or `with`, and in conditions."""
    if isinstance(value, Mapping):
        if ("needs" in value or "with" in value) and isinstance(value.get("version"), str):
            yield (*parts, "version"), value["version"]
        condition = value.get("when")
        if isinstance(condition, Mapping) and "version" in condition:
            wanted = condition["version"]
            yield from (
                ((*parts, "when", "version"), text) for text in ([wanted] if isinstance(wanted, str) else wanted)
            )
        for key, child in value.items():
            yield from _versions(child, (*parts, key))
    elif isinstance(value, list):
        for i, child in enumerate(value):
            yield from _versions(child, (*parts, i))


def _check_versions(document: Mapping[str, Any], kind: str, path: Path) -> None:
    """Raise unless every version and constraint can be read, so that a bad one stops its component only."""
    from codereef.meta.schemas import Problem, json_path
    from codereef.meta.versions import parse_constraint, parse_version

    plain: list[tuple[tuple[str | int, ...], str]] = [(("version",), document["version"])]
    plain += [
        (("provides", "versions", i), text) for i, text in enumerate(document.get("provides", {}).get("versions", ()))
    ]
    found: list[Problem] = []
    for read, entries in ((parse_version, plain), (parse_constraint, list(_versions(document, ())))):
        for parts, text in entries:
            try:
                read(text)
            except CrError as error:
                found.append(Problem(json_path(parts), error.message, error.hint))
    if found:
        raise MetadataError(
            f"{path} has versions that cannot be read:\n" + "\n".join(f"  {problem}" for problem in found),
            hint=f"`cr lint {path}` checks it again; docs/reference/{kind}.md lists every key.",
            context={
                "file": str(path),
                "schema": kind,
                "problems": [{"path": p.path, "message": p.message, "hint": p.hint} for p in found],
            },
        )
