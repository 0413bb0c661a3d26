# SPDX-License-Identifier: Apache-2.0
"""One index over every component of every repository, cached on disk and invalidated by content.

A repository's cache holds, for each component folder, the size and time of every file in it. A folder whose
files have not changed is taken from the cache without reading, hashing or validating it again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from codereef import __version__
from codereef.disk import write_atomic
from codereef.embedded import REPOSITORY_FOLDERS, data_root
from codereef.errors import CrError, MetadataError, NotFoundError
from codereef.meta.component import META_FILE, Component, component_digest, component_files, read_meta
from codereef.meta.reference import Reference, nearest, parse_reference
from codereef.meta.versions import preference, satisfies

CACHE_FORMAT = 3
MAX_DEPTH = 5


@dataclass(frozen=True)
class Repository:
    """A folder of components.

    Attributes:
        name: how the user calls it; the embedded one is `default`.
        root: its folder.
        origin: where it came from: `embedded`, a folder, or the address of a git repository (no credentials).
        trusted: whether code of its components may run.
    """

    name: str
    root: Path
    origin: str
    trusted: bool = True


@dataclass(frozen=True)
class Broken:
    """A component that could not be read."""

    path: Path
    error: CrError


@dataclass(frozen=True)
class Index:
    """Every component that could be read, and those that could not."""

    components: tuple[Component, ...]
    broken: tuple[Broken, ...] = ()
    _by_name: dict[str, list[Component]] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        for component in self.components:
            self._by_name.setdefault(component.reference.unversioned, []).append(component)
        for versions in self._by_name.values():
            versions.sort(key=lambda component: preference(component.version), reverse=True)

    def versions(self, kind: str, name: str) -> Sequence[Component]:
        """Return all versions of a component, stable ones before pre-releases, newest first; empty when there is none."""
        return tuple(self._by_name.get(f"{kind}:{name}", ()))

    def of_kind(self, kind: str) -> Iterator[Component]:
        """Yield the newest version of every component of a kind, by name."""
        for key in sorted(self._by_name):
            if key.startswith(kind + ":"):
                yield self._by_name[key][0]

    def find(self, text: str, *, default_kind: str | None = None) -> Component:
        """Return the component a user named: `[kind:]name[@constraint]`, the newest that fits.

        Raises:
            NotFoundError: nothing of that name, or no such version; the nearest names are in the hint.
            UsageError: a bare name that several kinds have, or no reference at all.
        """
        kinds = [default_kind] if default_kind else []
        if ":" not in text and not default_kind:
            bare = text.split("@")[0]
            kinds = sorted({c.kind for c in self.components if c.name == bare})
            if len(kinds) > 1:
                from codereef.errors import UsageError

                raise UsageError(
                    f"`{bare}` is the name of several components: {', '.join(f'{k}:{bare}' for k in kinds)}.",
                    hint="Write the kind too.",
                )
        reference = parse_reference(text, default_kind=kinds[0] if kinds else "solution")
        found = self.versions(reference.kind, reference.name)
        if not found:
            raise self.unknown(reference, bare=":" not in text and not default_kind)
        for component in found:
            if reference.version is None or satisfies(component.version, reference.version):
                return component
        raise NotFoundError(
            f"There is no {reference}; versions here are {', '.join(c.version for c in found)}.",
            hint=f"`cr versions {reference.unversioned}` lists them with their repositories.",
            context={"reference": str(reference), "versions": [c.version for c in found]},
        )

    def unknown(self, reference: Reference, *, bare: bool = False) -> NotFoundError:
        """Return the error for a name that no repository has, with the nearest names."""
        same = sorted({c.name for c in self.components if c.kind == reference.kind})
        near = [f"{reference.kind}:{name}" for name in nearest(reference.name, same)]
        if not near or bare:
            others = {str(c.reference.unversioned): c.name for c in self.components}
            near = list(
                dict.fromkeys(
                    [*near, *(key for key, name in others.items() if name in nearest(reference.name, others.values()))]
                )
            )[:4]
        broken = [b for b in self.broken if b.path.parent.name == reference.name]
        if broken:
            return NotFoundError(
                f"{reference.name if bare else reference} cannot be used: {broken[0].error.message}",
                hint=broken[0].error.hint,
                context={"reference": str(reference), "file": str(broken[0].path)},
            )
        what = f"`{reference.name}`" if bare else f"`{reference}`"
        return NotFoundError(
            f"No component {what} in any repository.",
            hint=f"Did you mean {' or '.join(f'`{n}`' for n in near)}?"
            if near
            else f"`cr search {reference.name}` looks in names, tags and summaries.",
            context={"reference": str(reference), "nearest": near},
        )


def _metas(root: Path, depth: int = 0) -> Iterator[Path]:
    """Yield every cr.json below `root`, by path, not following links and not deeper than five folders."""
    try:
        entries = sorted(root.iterdir())
    except OSError:
        return
    for entry in entries:
        if entry.name == META_FILE and entry.is_file():
            yield entry
        elif depth < MAX_DEPTH and entry.is_dir() and not entry.is_symlink() and not entry.name.startswith((".", "_")):
            yield from _metas(entry, depth + 1)


def component_folders(root: Path) -> list[Path]:
    """Return the component folders of a repository: in the four standard folders where it has them, else anywhere."""
    standard = [root / name for name in REPOSITORY_FOLDERS if (root / name).is_dir()]
    found = [meta.parent for folder in (standard or [root]) for meta in _metas(folder)]
    return sorted(found)


def _signature(root: Path) -> list[list[Any]]:
    rows: list[list[Any]] = []
    for path in component_files(root):
        stat = path.stat()
        # The change time tells when somebody set the modification time back.
        rows.append([path.relative_to(root).as_posix(), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns])
    return rows


def _stamp() -> list[Any]:
    """Return what a cache depends on besides the components: its format, the client and the schemas."""
    return [CACHE_FORMAT, __version__, *_signature(data_root() / "schemas")]


def _load_cache(path: Path, stamp: list[Any]) -> dict[str, Any]:
    try:
        document = json.loads(path.read_bytes())
        if document["stamp"] == stamp:
            return {
                key: entry
                for key, entry in document["components"].items()
                if {"signature", "meta", "digest"} <= set(entry)
            }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass
    return {}


def load_repository(repository: Repository, cache_dir: Path | None) -> tuple[list[Component], list[Broken]]:
    """Read every component of one repository, through its cache.

    Args:
        repository: the repository.
        cache_dir: folder of the caches; None reads everything afresh.
    """
    stamp = _stamp() if cache_dir else []
    name = hashlib.sha256(str(repository.root).encode()).hexdigest()[:16]
    cache_path = cache_dir / f"index-{name}.json" if cache_dir else None
    cached = _load_cache(cache_path, stamp) if cache_path else {}
    fresh: dict[str, Any] = {}
    components: list[Component] = []
    broken: list[Broken] = []
    changed = False
    for folder in component_folders(repository.root):
        key = folder.relative_to(repository.root).as_posix()
        entry = cached.get(key)
        try:
            signature = _signature(folder)
            if not isinstance(entry, dict) or entry.get("signature") != signature:
                entry = {
                    "signature": signature,
                    "meta": read_meta(folder / META_FILE),
                    "digest": component_digest(folder),
                }
                changed = True
        except (CrError, OSError) as error:
            cause = (
                error
                if isinstance(error, CrError)
                else MetadataError(f"{error.filename or folder} cannot be read: {error.strerror}.")
            )
            broken.append(Broken(folder / META_FILE, cause))
            continue
        fresh[key] = entry
        components.append(Component(entry["meta"], folder, entry["digest"], repository.name))
    if cache_path and (changed or set(fresh) != set(cached)):
        try:
            write_atomic(cache_path, json.dumps({"stamp": stamp, "components": fresh}), what="the cached index")
        except CrError:
            pass  # A cache that cannot be written costs time, never an answer.
    return components, broken


def load_index(
    repositories: Iterable[Repository],
    cache_dir: Path | None,
    *,
    admit: Callable[[Component], bool] = lambda _: True,
) -> Index:
    """Return one index over `repositories`; where two have the same version, the earlier one wins.

    Args:
        repositories: where components come from.
        cache_dir: folder of the caches; None reads everything afresh.
        admit: tells whether a component may be in the index; one that may not hides no other.
    """
    seen: dict[str, Component] = {}
    broken: list[Broken] = []
    for repository in repositories:
        components, failures = load_repository(repository, cache_dir)
        broken.extend(failures)
        for component in filter(admit, components):
            seen.setdefault(str(component.reference), component)
    return Index(tuple(seen.values()), tuple(broken))
