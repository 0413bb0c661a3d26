# SPDX-License-Identifier: Apache-2.0
"""One index over every component of every repository.

It knows one row of each component, and reads a component's metadata when it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

from codereef.errors import NotFoundError, UsageError
from codereef.meta.component import Component
from codereef.meta.reference import KINDS, Reference, is_query, nearest, parse_query, parse_reference, tags_of
from codereef.repo.catalogue import Broken, Catalogue, Given, Repository, Row, by_preference, merge_rows
from codereef.repo.listed import Listed
from codereef.repo.scan import component_folders

__all__ = ["Broken", "Index", "Repository", "Row", "component_folders", "load_index", "load_repository"]

#: Tells whether components of a repository and kind may be in the index; the last argument is the key that
#: signed one, "" for one without signature, and None where it is not known yet.
Admit = Callable[[Repository, str, "str | None"], bool]


class Index:
    """The components of several repositories; where two have the same version, the earlier one wins.

    Args:
        components: components in memory, which win over those of all catalogues.
        broken: components that could not be read.
        catalogues: the repositories, those that win first.
        admit: tells what may be in the index; a component that may not hides no other.
    """

    def __init__(
        self,
        components: Iterable[Component] = (),
        broken: Iterable[Broken] = (),
        catalogues: Iterable[Catalogue] = (),
        admit: Admit | None = None,
    ) -> None:
        given = tuple(components)
        self._catalogues: list[Catalogue] = [*([Given(given)] if given else []), *catalogues]
        self._admit = admit
        self._own_broken = tuple(broken)
        self._sources: dict[str, list[Catalogue]] = {}
        self._versions: dict[str, tuple[Component, ...]] = {}
        for catalogue in self._catalogues:
            barred = {kind for kind in KINDS if admit and not admit(catalogue.repository, kind, None)}
            for key, row in catalogue.rows.items():
                if row.kind not in barred:
                    self._sources.setdefault(key, []).append(catalogue)

    @property
    def broken(self) -> tuple[Broken, ...]:
        """Components that could not be read."""
        return (*self._own_broken, *(broken for catalogue in self._catalogues for broken in catalogue.broken))

    @cached_property
    def components(self) -> tuple[Component, ...]:
        """Every version of every component. Reads all of them: ask for less where less is enough."""
        self._prepare(self._sources)
        return tuple(component for key in self._sources for component in self._load(key))

    @cached_property
    def _keys(self) -> dict[str, list[str]]:
        """`kind:name` of every component, sorted, by kind."""
        found: dict[str, list[str]] = {}
        for key in sorted(self._sources):
            found.setdefault(key.partition(":")[0], []).append(key)
        return found

    @cached_property
    def _by_capability(self) -> dict[tuple[str, str], list[str]]:
        """`kind:name` of softs and packages, sorted, by kind and capability of any version."""
        found: dict[tuple[str, str], list[str]] = {}
        for kind in ("soft", "package"):
            for key in self._keys.get(kind, ()):
                capabilities = (c for catalogue in self._sources[key] for c in catalogue.rows[key].capabilities)
                for capability in dict.fromkeys(capabilities):
                    found.setdefault((kind, capability), []).append(key)
        return found

    # -- rows: nothing is read -----------------------------------------------------------------------------

    def rows(self, kind: str | None = None) -> list[Row]:
        """Return what is known of every component without reading it, by kind and name."""
        keys = sorted(self._sources) if kind is None else self._keys.get(kind, [])
        return [self.row(key) for key in keys]

    def listed(self) -> list[Listed]:
        """Return what search needs of every component, by kind and name."""
        return [
            Listed(
                row.kind,
                row.name,
                row.newest,
                self.repositories_of(row.key)[0],
                "yes" if row.withdrawn else "",
                row.capability,
                row.task,
                " ".join(row.tags),
                row.summary,
            )
            for row in self.rows()
        ]

    def row(self, key: str) -> Row:
        """Return the row of `kind:name`; KeyError where there is none."""
        return merge_rows([catalogue.rows[key] for catalogue in self._sources[key]])

    def __contains__(self, key: object) -> bool:
        """Tell whether there is a component `kind:name`."""
        return key in self._sources

    def repositories_of(self, key: str) -> tuple[str, ...]:
        """Return the names of the repositories that have a component `kind:name`, those that win first."""
        return tuple(catalogue.repository.name for catalogue in self._sources.get(key, ()))

    def names(self, kind: str | None = None) -> list[str]:
        """Return the names of all components, or of those of one kind, sorted."""
        keys = self._sources if kind is None else self._keys.get(kind, [])
        return sorted({key.partition(":")[2] for key in keys})

    def capabilities(self) -> frozenset[str]:
        """Return every capability that some package provides or some detector looks for."""
        return frozenset(capability for _, capability in self._by_capability)

    # -- components ----------------------------------------------------------------------------------------

    def _load(self, key: str) -> tuple[Component, ...]:
        if key not in self._versions:
            found: dict[str, Component] = {}
            catalogues = self._sources.get(key, [])
            for catalogue in catalogues:
                for component in catalogue.load(key):
                    signer = component.published.key if component.published else ""
                    if self._admit is None or self._admit(catalogue.repository, component.kind, signer):
                        found.setdefault(component.version, component)
            order = by_preference(found) if len(catalogues) > 1 else list(found)
            self._versions[key] = tuple(found[version] for version in order)
        return self._versions[key]

    def _prepare(self, keys: Iterable[str]) -> None:
        """Bring in what these components need, all at once where it has to be fetched."""
        wanted: dict[int, list[str]] = {}
        for key in keys:
            if key not in self._versions:
                for catalogue in self._sources[key]:
                    wanted.setdefault(id(catalogue), []).append(key)
        for catalogue in self._catalogues:
            if id(catalogue) in wanted:
                catalogue.prepare(wanted[id(catalogue)])

    def _all_of(self, keys: Sequence[str]) -> Iterator[Component]:
        """Yield every version of components."""
        self._prepare(keys)
        for key in keys:
            yield from self._load(key)

    def versions(self, kind: str, name: str) -> Sequence[Component]:
        """Return all versions of a component, stable ones before pre-releases, newest first; empty when there is none."""
        return self._load(f"{kind}:{name}")

    def of_kind(self, kind: str) -> Iterator[Component]:
        """Yield the newest version of every component of a kind that was not withdrawn, by name."""
        keys = self._keys.get(kind, [])
        self._prepare(keys)
        for key in keys:
            newest = next((component for component in self._load(key) if not component.yanked), None)
            if newest is not None:
                yield newest

    def providers(self, capability: str) -> Sequence[Component]:
        """Return every version of every package that provides a capability: by name, preferred versions first."""
        found = self._all_of(self._by_capability.get(("package", capability), []))
        return tuple(c for c in found if c.meta["provides"]["capability"] == capability)

    def detectors(self, capability: str) -> Sequence[Component]:
        """Return every version of every detector of a capability: by name, preferred versions first."""
        found = self._all_of(self._by_capability.get(("soft", capability), []))
        return tuple(c for c in found if c.meta["detects"] == capability)

    def tagged(self, kind: str, with_: Collection[str], without: Collection[str] = ()) -> Sequence[Component]:
        """Return every version of a kind that has all tags `with_` and none of `without`: by name, preferred first.

        The task counts as a tag.
        """
        wanted, unwanted = set(with_), set(without)
        keys = self._keys.get(kind, [])
        fitting = [
            k for k in keys if any(wanted.issubset((*c.rows[k].all_tags, c.rows[k].task)) for c in self._sources[k])
        ]
        found = self._all_of(fitting)
        return tuple(c for c in found if wanted <= tags_of(c.meta) and unwanted.isdisjoint(tags_of(c.meta)))

    def find(self, text: str, *, default_kind: str | None = None) -> Component:
        """Return the component a user named: `[kind:]name[@constraint]` or `kind?tag,-tag`, the newest that fits.

        A version that was withdrawn (yanked) is found only where it is named exactly.

        Raises:
            NotFoundError: nothing of that name, or no such version; the nearest names are in the hint.
            UsageError: a bare name that several kinds have, tags that several components have, or no reference at all.
        """
        if is_query(text):
            from codereef.repo.query import find_tagged

            return find_tagged(self, parse_query(text, default_kind=default_kind))
        kinds = [default_kind] if default_kind else []
        if ":" not in text and not default_kind:
            bare = text.split("@")[0]
            kinds = sorted(kind for kind in KINDS if f"{kind}:{bare}" in self._sources)
            if len(kinds) > 1:
                raise UsageError(
                    f"`{bare}` is the name of several components: {', '.join(f'{k}:{bare}' for k in kinds)}.",
                    hint="Write the kind too.",
                )
        reference = parse_reference(text, default_kind=kinds[0] if kinds else "solution")
        found = self.versions(reference.kind, reference.name)
        if not found:
            raise self.unknown(reference, bare=":" not in text and not default_kind)
        from codereef.meta.versions import satisfies

        fitting = [c for c in found if reference.version is None or satisfies(c.version, reference.version)]
        for component in fitting:
            if not component.yanked or (reference.version or "").lstrip("=") == component.version:
                return component
        if fitting:
            raise NotFoundError(
                f"{reference} was withdrawn: {fitting[0].yanked}",
                hint=f"`{reference.unversioned}@{fitting[0].version}` names it all the same.",
                context={"reference": str(reference), "yanked": [c.version for c in fitting]},
            )
        raise NotFoundError(
            f"There is no {reference}; versions here are {', '.join(c.version for c in found)}.",
            hint=f"`cr versions {reference.unversioned}` lists them with their repositories.",
            context={"reference": str(reference), "versions": [c.version for c in found]},
        )

    def unknown(self, reference: Reference, *, bare: bool = False) -> NotFoundError:
        """Return the error for a name that no repository has, with the nearest names."""
        near = [f"{reference.kind}:{name}" for name in nearest(reference.name, self.names(reference.kind))]
        if not near or bare:
            others = nearest(reference.name, self.names())
            near += [f"{kind}:{name}" for name in others for kind in KINDS if f"{kind}:{name}" in self._sources]
            near = list(dict.fromkeys(near))[:4]
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


def open_catalogue(repository: Repository, cache_dir: Path | None, *, offline: bool = False) -> Catalogue:
    """Return the components of one repository, through its cache.

    Args:
        repository: the repository.
        cache_dir: folder of the caches; None reads everything afresh.
        offline: fetch nothing from a registry; what was not fetched before is an error when it is needed.
    """
    if repository.kind == "registry":
        from codereef.repo.registry.catalogue import RegistryCatalogue

        return RegistryCatalogue(repository, cache_dir, offline=offline)
    from codereef.repo.folder import FolderCatalogue

    return FolderCatalogue(repository, cache_dir)


def load_repository(repository: Repository, cache_dir: Path | None) -> tuple[Mapping[str, Row], list[Broken]]:
    """Return the rows of one repository and what of it could not be read.

    Args:
        repository: the repository.
        cache_dir: folder of the caches; None reads everything afresh.
    """
    catalogue = open_catalogue(repository, cache_dir, offline=True)
    return catalogue.rows, list(catalogue.broken)


def load_index(
    repositories: Iterable[Repository],
    cache_dir: Path | None,
    *,
    admit: Admit | None = None,
    offline: bool = False,
) -> Index:
    """Return one index over `repositories`; where two have the same version, the earlier one wins.

    Args:
        repositories: where components come from.
        cache_dir: folder of the caches; None reads everything afresh.
        admit: tells what may be in the index; a component that may not hides no other.
        offline: fetch nothing from registries.
    """
    catalogues = [open_catalogue(repository, cache_dir, offline=offline) for repository in repositories]
    return Index(catalogues=catalogues, admit=admit)
