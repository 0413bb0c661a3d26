# SPDX-License-Identifier: Apache-2.0
"""Files of components: what must be fetched, and the folders that consist of them (`download` and `git`)."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from codereef.disk import storing
from codereef.errors import InstallError
from codereef.lock.model import Lock
from codereef.meta.component import Component
from codereef.repo.index import Index
from codereef.store import Store, link_or_copy
from codereef.witness import doubt

from .download import RemoteFile
from .git import GitSource, git_source
from .nodes import component_of, files_of, lost, remove_damaged, sound, waiting
from .progress import Progress


def remote_file(entry: Mapping[str, Any]) -> RemoteFile | None:
    """Return the file to fetch for a `files` entry, a `GitSource` for a commit; None for a file of the component."""
    if "path" in entry:
        return None
    if "git" in entry:
        return git_source(entry)
    return RemoteFile(
        entry["name"], entry["sha256"], entry["size"], tuple(entry.get("urls", ())), entry.get("origin", "")
    )


def missing_files(lock: Lock, index: Index, store: Store, nodes: Collection[str]) -> list[RemoteFile]:
    """Return the files that must be fetched for `nodes`: those that neither a folder nor the store has.

    A commit of a git repository is among them as a `GitSource`.
    """
    wanted: dict[str, RemoteFile] = {}
    for key in nodes:
        node = lock.nodes[key]
        if not node.files or (node.install_key and sound(store, node.install_key)):
            continue
        component = component_of(node, index)
        for entry in files_of(lock, key, component):
            file = remote_file(entry)
            doubt()  # Whether it is fetched depends on the store's files and, where they are absent, on others.
            if file is not None and store.blob(file.sha256) is None:
                wanted[file.sha256] = file
    return list(wanted.values())


def split(files: Sequence[RemoteFile]) -> tuple[list[RemoteFile], list[GitSource]]:
    """Return the files to download and the commits to fetch."""
    return [f for f in files if not isinstance(f, GitSource)], [f for f in files if isinstance(f, GitSource)]


def install_files(key: str, lock: Lock, index: Index, store: Store, progress: Progress, built: list[str]) -> Path:
    """Return the folder of a node that consists of its files, all of which are in the store.

    Raises:
        InstallError: a file is not in the store.
        IntegrityError: an archive is unsafe, or a file of the component was changed.
    """
    node = lock.nodes[key]
    existing = sound(store, node.install_key)
    if existing is not None:
        return existing.path
    remove_damaged(store, node.install_key, progress)
    component = component_of(node, index)
    with store.building(node.install_key, waiting=waiting(node.install_key, progress)) as build:
        if build.existing is not None:
            return build.existing.path
        for entry in files_of(lock, key, component):
            source = stored(entry, component, store)
            place = build.path / entry["name"]
            if not _unpacked(entry, source, place):
                place.parent.mkdir(parents=True, exist_ok=True)
                link_or_copy(source, place)
        built.append(node.install_key)
        return build.commit({"component": node.component, "variants": dict(node.variants)}, digest=True).path


def stored(entry: Mapping[str, Any], component: Component, store: Store) -> Path:
    """Return the file of an entry in the store; one of the component is taken into it, checked.

    Raises:
        InstallError: it is not there.
        IntegrityError: the component's own file is not what its metadata says.
    """
    if "path" in entry:
        # The copy is checked, so that a folder edited after indexing is noticed.
        return store.add_blob(component.root / entry["path"], entry["sha256"], entry["size"])
    return store.blob(entry["sha256"]) or lost(entry["name"])


def place_sources(lock: Lock, key: str, component: Component, store: Store, folder: Path) -> None:
    """Copy the sources of a build into a folder; a build may change them, so they are no links into the store.

    Raises:
        InstallError: a file is not in the store, or there is none at all.
        IntegrityError: an archive is unsafe, or a file of the component was changed.
    """
    entries = files_of(lock, key, component)
    with storing("the sources", folder):
        folder.mkdir(parents=True, exist_ok=True)
        for entry in entries:
            source = stored(entry, component, store)
            place = folder / entry["name"]
            if _unpacked(entry, source, place):
                continue
            place.parent.mkdir(parents=True, exist_ok=True)
            if place.exists():
                raise InstallError(
                    f"{component.reference} has two sources named {entry['name']}.",
                    hint="Give one of them another `name`, or a `when` that excludes the other.",
                )
            shutil.copyfile(source, place)
            executable = "path" in entry and os.access(component.root / entry["path"], os.X_OK)
            place.chmod(0o755 if executable else 0o644)


def _unpacked(entry: Mapping[str, Any], source: Path, place: Path) -> bool:
    """Unpack an archive: a commit into a folder of its name, any other into the folder of its name; else do nothing."""
    folder = place if "git" in entry else place.parent if entry.get("unpack") else None
    if folder is None:
        return False
    from codereef.archive import unpack

    folder.mkdir(parents=True, exist_ok=True)
    unpack(source, folder)
    return True
