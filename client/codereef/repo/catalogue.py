# SPDX-License-Identifier: Apache-2.0
"""What an index knows of a component without reading it: one row; and where rows and components come from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from codereef.errors import CrError
from codereef.meta.component import Component


@dataclass(frozen=True)
class Repository:
    """Where components come from.

    Attributes:
        name: how the user calls it; the embedded one is `default`.
        root: its folder; for a registry the folder that holds what was fetched from it.
        origin: where it came from: `embedded`, a folder, or an address (no credentials).
        trusted: whether code of its components may run.
        kind: `folder`, `git`, `registry` or `pack`.
        publishers: identities of the keys whose components may run, for a registry that has keys.
    """

    name: str
    root: Path
    origin: str
    trusted: bool = True
    kind: str = "folder"
    publishers: frozenset[str] = field(default=frozenset())


@dataclass(frozen=True)
class Broken:
    """A component that could not be read."""

    path: Path
    error: CrError


class Row(NamedTuple):
    """One component of one repository, all versions: enough to search, list and suggest.

    Attributes:
        kind: its kind.
        name: its name.
        versions: every version, stable before pre-releases, newest first.
        yanked: the versions that were withdrawn.
        summary: what the newest version says of itself.
        tags: tags of the newest version.
        capability: what the newest version detects or provides, or "".
        task: task of the newest version, or "".
        all_tags: tags that any version has.
        capabilities: what any version detects or provides.
    """

    kind: str
    name: str
    versions: tuple[str, ...]
    yanked: tuple[str, ...]
    summary: str
    tags: tuple[str, ...]
    capability: str
    task: str
    all_tags: tuple[str, ...]
    capabilities: tuple[str, ...]

    @property
    def key(self) -> str:
        """`kind:name`."""
        return f"{self.kind}:{self.name}"

    @property
    def newest(self) -> str:
        """The version to be preferred: not withdrawn where there is such a one."""
        return next((v for v in self.versions if v not in self.yanked), self.versions[0])

    @property
    def withdrawn(self) -> bool:
        """Whether every version is yanked."""
        return len(self.yanked) >= len(self.versions)


class Catalogue(Protocol):
    """The components of one repository."""

    repository: Repository

    @property
    def rows(self) -> Mapping[str, Row]:
        """Every component by `kind:name`."""

    @property
    def broken(self) -> Sequence[Broken]:
        """What could not be read."""

    def load(self, key: str) -> Sequence[Component]:
        """Return every version of a component that `rows` has, in the order of the row."""

    def prepare(self, keys: Iterable[str]) -> None:
        """Bring in what loading these components needs, at once where it has to be fetched."""


def capability_of(meta: Mapping[str, Any]) -> str:
    """Return the capability that a soft detects or a package provides, or ""."""
    provides = meta.get("provides")
    return str(meta.get("detects") or (provides.get("capability", "") if isinstance(provides, Mapping) else ""))


def by_preference(versions: Iterable[str]) -> list[str]:
    """Return versions, stable before pre-releases, newest first."""
    found = list(versions)
    if len(found) < 2:
        return found
    from codereef.meta.versions import preference

    return sorted(found, key=preference, reverse=True)


def row_of(metas: Mapping[str, Mapping[str, Any]]) -> Row:
    """Return the row of a component from its metadata by version."""
    versions = tuple(by_preference(metas))
    yanked = tuple(version for version in versions if "yanked" in metas[version])
    newest = metas[next((v for v in versions if v not in yanked), versions[0])]
    return Row(
        str(newest["kind"]),
        str(newest["name"]),
        versions,
        yanked,
        str(newest["summary"]),
        tuple(newest.get("tags", ())),
        capability_of(newest),
        str(newest.get("task", "")),
        tuple(dict.fromkeys(tag for meta in metas.values() for tag in meta.get("tags", ()))),
        tuple(dict.fromkeys(c for c in map(capability_of, metas.values()) if c)),
    )


def pack_row(row: Row) -> list[Any]:
    """Return a row as JSON data; lists are joined by blanks, which no entry has, for they are quicker to read so."""
    more = [*row.all_tags] if set(row.all_tags) != set(row.tags) else []
    other = [*row.capabilities] if row.capabilities != ((row.capability,) if row.capability else ()) else []
    return [
        row.kind,
        row.name,
        " ".join(row.versions),
        " ".join(row.yanked),
        row.summary,
        " ".join(row.tags),
        row.capability,
        row.task,
        " ".join(more),
        " ".join(other),
    ]


def unpack_row(data: Sequence[str]) -> Row:
    """Read what `pack_row` returned.

    Raises:
        ValueError, TypeError, AttributeError: it is something else.
    """
    kind, name, versions, yanked, summary, tags, capability, task, more, other = data
    own = tuple(tags.split())
    return Row(
        kind,
        name,
        tuple(versions.split()),
        tuple(yanked.split()) if yanked else (),
        summary,
        own,
        capability,
        task,
        tuple(more.split()) if more else own,
        tuple(other.split()) if other else (capability,) if capability else (),
    )


def merge_rows(rows: Sequence[Row]) -> Row:
    """Return one row for a component that several repositories have; where two have a version, the earlier counts."""
    if len(rows) == 1:
        return rows[0]
    owner: dict[str, Row] = {}
    for row in rows:
        for version in row.versions:
            owner.setdefault(version, row)
    versions = tuple(by_preference(owner))
    yanked = tuple(v for v in versions if v in owner[v].yanked)
    newest = owner[next((v for v in versions if v not in yanked), versions[0])]
    return newest._replace(
        versions=versions,
        yanked=yanked,
        all_tags=tuple(dict.fromkeys(tag for row in rows for tag in row.all_tags)),
        capabilities=tuple(dict.fromkeys(c for row in rows for c in row.capabilities)),
    )


class Given:
    """A catalogue of components that are in memory already."""

    def __init__(self, components: Iterable[Component]) -> None:
        self.repository = Repository("", Path(), "given")
        self.broken: Sequence[Broken] = ()
        self.everything = tuple(components)
        self._by_key: dict[str, dict[str, Component]] = {}
        for component in self.everything:
            self._by_key.setdefault(component.reference.unversioned, {}).setdefault(component.version, component)
        self._rows: dict[str, Row] = {}

    @property
    def rows(self) -> Mapping[str, Row]:
        """Every component by `kind:name`."""
        if not self._rows:
            for key, versions in self._by_key.items():
                self._rows[key] = row_of({version: component.meta for version, component in versions.items()})
        return self._rows

    def load(self, key: str) -> Sequence[Component]:
        """Return every version of a component."""
        return [self._by_key[key][version] for version in self.rows[key].versions]

    def prepare(self, keys: Iterable[str]) -> None:
        """Nothing has to be brought in."""
