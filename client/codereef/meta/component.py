# SPDX-License-Identifier: Apache-2.0
"""A component: a folder with a `cr.json`, its identity and its digest."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from codereef.canonical import sha256_file
from codereef.errors import CrError, MetadataError
from codereef.meta.reference import KINDS, Reference, nearest

META_FILE = "cr.json"
_IGNORED = {"__pycache__", ".git", ".mypy_cache", ".ruff_cache", ".pytest_cache"}


@dataclass(frozen=True)
class Published:
    """Who published a version in a registry.

    Attributes:
        publisher: name in the registry.
        key: identity of the key that signed it, or "" where it is not signed.
        time: when it was published, ISO 8601 in UTC.
        size: bytes of its archive.
        identity: identity of its sigstore bundle and who vouches for it, or "" without one.
    """

    publisher: str
    key: str
    time: str
    size: int
    identity: str = ""


@dataclass(frozen=True)
class Component:
    """One version of a component.

    Attributes:
        meta: its `cr.json`, validated; with `yanked` where a registry withdrew the version.
        place: folder the component lies in, or a function that fetches it and returns its folder.
        digest: `sha256:` over every file of the folder (see `component_digest`).
        repository: name of the repository it came from.
        published: who published it, for a component of a registry.
    """

    meta: Mapping[str, Any]
    place: Path | Callable[[], Path] = field(compare=False)
    digest: str
    repository: str
    published: Published | None = None

    @property
    def root(self) -> Path:
        """The component's folder; one that lies in a registry is fetched and verified when this is first asked.

        Raises:
            NetworkError: it could not be fetched.
            IntegrityError: what was fetched is not what was published.
        """
        return self.place if isinstance(self.place, Path) else self.place()

    @property
    def yanked(self) -> str:
        """Why the version was withdrawn, or ""."""
        return str(self.meta.get("yanked", ""))

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


def ignored(name: str) -> bool:
    """Tell whether a file or folder of that name is left by a tool, and belongs to no component."""
    return name in _IGNORED or name.endswith(".pyc")


def link_error(path: Path | str) -> MetadataError:
    """Return the error for a symbolic link in a component: it could lead anywhere, or in a circle."""
    return MetadataError(
        f"{path} is a symbolic link; a component consists of files of its own.",
        hint="Replace the link by a copy of what it points to.",
        context={"file": str(path)},
    )


def component_files(root: Path) -> Iterator[Path]:
    """Yield every file that belongs to a component, sorted by path; caches of tools do not belong.

    Raises:
        MetadataError: a symbolic link stands in the folder.
    """
    yield from (Path(entry.path) for entry in _entries(str(root)))


def _entries(folder: str) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        if ignored(entry.name):
            continue
        if entry.is_symlink():
            raise link_error(entry.path)
        if entry.is_dir():
            # A folder with a cr.json of its own is another version or another component.
            if not os.path.isfile(os.path.join(entry.path, META_FILE)):  # noqa: PTH113, PTH118 - thousands of them
                yield from _entries(entry.path)
        elif entry.is_file():
            yield entry


def component_digest(root: Path) -> str:
    """Return the digest of a component folder: SHA-256 over lines `<sha256> <size> <path>` sorted by path."""
    top = str(root)
    lines = []
    for entry in _entries(top):
        name = entry.path[len(top) :].lstrip("/").encode()
        lines.append((name, f"{sha256_file(Path(entry.path))} {entry.stat().st_size} ".encode()))
    return "sha256:" + hashlib.sha256(b"".join(head + name + b"\n" for name, head in sorted(lines))).hexdigest()


def read_meta(path: Path, data: bytes | None = None) -> dict[str, Any]:
    """Read and validate a `cr.json`.

    Args:
        path: the file.
        data: what is in it, where it has been read already.

    Raises:
        MetadataError: not JSON, no known kind, or not following the schema of its kind.
    """
    from codereef.meta.schemas import parse_json

    return check_meta(parse_json(path.read_bytes() if data is None else data, path), path)


def check_meta(document: Any, path: Path | str) -> dict[str, Any]:
    """Validate the parsed metadata of a component.

    Args:
        document: parsed JSON.
        path: the file or address it came from, for the message.

    Raises:
        MetadataError: no known kind, or not following the schema of its kind.
    """
    from codereef.meta.schemas import check

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


def _check_versions(document: Mapping[str, Any], kind: str, path: Path | str) -> None:
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
