# SPDX-License-Identifier: Apache-2.0
"""`cr lint`: every component below some paths, checked against each other and against the known repositories."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from codereef.errors import CrError, NotFoundError, UsageError
from codereef.meta.component import META_FILE, read_meta
from codereef.meta.lint import Finding, Surroundings, lint_folder
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
    names = {c.reference.unversioned for c in index.components}
    capabilities = {str(c.meta["detects"]) for c in index.components if c.kind == "soft"} | {
        str(c.meta["provides"]["capability"]) for c in index.components if c.kind == "package"
    }
    targets = {str(c.meta["triple"]) for c in index.components if c.kind == "target"}
    first: dict[tuple[str, str, str], Path] = {}
    twice: list[Finding] = []
    for folder in folders:
        try:
            meta = read_meta(folder / META_FILE)
        except (CrError, OSError):
            continue  # lint_folder tells what is wrong with it.
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
    surroundings = Surroundings(names.__contains__, tuple(sorted(names)), frozenset(capabilities), frozenset(targets))
    findings = twice + [finding for folder in folders for finding in lint_folder(folder, surroundings)]
    return LintReport(tuple(folders), tuple(findings))
