# SPDX-License-Identifier: Apache-2.0
"""`cr lint`: every component below some paths, checked against each other and against the known repositories."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codereef.errors import CrError, NotFoundError, UsageError
from codereef.meta.component import META_FILE, Component, read_meta
from codereef.meta.lint import Finding, Surroundings, lint_folder
from codereef.meta.reference import Query, tags_of
from codereef.repo.index import Index, component_folders


@dataclass(frozen=True)
class LintReport:
    """What linting found.

    Attributes:
        folders: the components that were checked.
        findings: what is wrong.
    """

    folders: tuple[Path, ...]
    findings: tuple[Finding, ...]


def lint(paths: Sequence[Path], index: Index) -> LintReport:
    """Check every component in and below `paths`.

    References are resolved among the components below `paths` and those of `index`.

    Raises:
        NotFoundError: a path does not exist or holds no component.
        UsageError: a path is a file other than a cr.json.
    """
    folders: list[Path] = []
    for path in paths:
        if path.name == META_FILE and path.is_file():
            folders.append(path.parent)
            continue
        if path.is_file():
            raise UsageError(f"{path} is not a component.", hint=f"Name the component's folder or its {META_FILE}.")
        if not path.is_dir():
            raise NotFoundError(f"{path} does not exist.", hint="Name a component's folder or a folder of components.")
        found = component_folders(path)
        if not found:
            raise NotFoundError(
                f"{path} holds no component: no cr.json was found.", hint="docs/tutorial.md shows how to write one."
            )
        folders.extend(found)
    folders = list(dict.fromkeys(folder.resolve() for folder in folders))
    names = {row.key for row in index.rows()}
    capabilities = set(index.capabilities())
    targets = {str(c.meta["triple"]) for row in index.rows("target") for c in index.versions("target", row.name)}
    first: dict[tuple[str, str, str], Path] = {}
    twice: list[Finding] = []
    metas: list[Mapping[str, Any]] = []
    for folder in folders:
        try:
            meta = read_meta(folder / META_FILE)
        except (CrError, OSError):
            continue  # lint_folder tells what is wrong with it.
        metas.append(meta)
        other = first.setdefault((meta["kind"], meta["name"], meta["version"]), folder)
        if other != folder:
            twice.append(
                Finding(
                    folder / META_FILE,
                    "$.version",
                    f"{meta['kind']}:{meta['name']}@{meta['version']} stands in {other} too.",
                    "Give one of them another version or name.",
                )
            )
        names.add(f"{meta['kind']}:{meta['name']}")
        capabilities |= {
            str(meta[key] if key == "detects" else meta[key]["capability"])
            for key in ("detects", "provides")
            if key in meta
        }
        targets |= {str(meta["triple"])} if meta["kind"] == "target" else set()
    known = _Known(index, metas)
    surroundings = Surroundings(
        names.__contains__,
        tuple(sorted(names)),
        frozenset(capabilities),
        frozenset(targets),
        known.metas,
        known.providers,
        known.detected,
        known.tagged,
        known.tags,
    )
    findings = twice + [finding for folder in folders for finding in lint_folder(folder, surroundings)]
    return LintReport(tuple(folders), tuple(findings))


class _Known:
    """What the linted components and those of the index say, the linted ones instead of the same ones of the index."""

    def __init__(self, index: Index, metas: Sequence[Mapping[str, Any]]) -> None:
        self._index = index
        self._own = metas
        self._linted = {(meta["kind"], meta["name"], meta["version"]) for meta in metas}

    def _with(
        self, components: Iterable[Component], fits: Callable[[Mapping[str, Any]], bool]
    ) -> list[Mapping[str, Any]]:
        others = [c.meta for c in components if (c.kind, c.name, c.version) not in self._linted]
        return [*(meta for meta in self._own if fits(meta)), *others]

    def metas(self, key: str) -> list[Mapping[str, Any]]:
        kind, _, name = key.partition(":")
        return self._with(self._index.versions(kind, name), lambda meta: (meta["kind"], meta["name"]) == (kind, name))

    def providers(self, capability: str) -> list[Mapping[str, Any]]:
        return self._with(
            self._index.providers(capability), lambda meta: meta.get("provides", {}).get("capability") == capability
        )

    def detected(self, capability: str) -> bool:
        return bool(self._with(self._index.detectors(capability), lambda meta: meta.get("detects") == capability))

    def tagged(self, query: Query) -> list[str]:
        found = self._with(
            self._index.tagged(query.kind, query.tags, query.without),
            lambda meta: meta["kind"] == query.kind and query.fits(tags_of(meta)),
        )
        return sorted({f"{meta['kind']}:{meta['name']}" for meta in found if "yanked" not in meta})

    def tags(self, kind: str) -> set[str]:
        own = {tag for meta in self._own if meta["kind"] == kind for tag in tags_of(meta)}
        return own | {tag for row in self._index.rows(kind) for tag in (*row.all_tags, row.task) if tag}
