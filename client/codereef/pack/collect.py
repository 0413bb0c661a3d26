# SPDX-License-Identifier: Apache-2.0
"""Gathers what a pack of a lock holds: its components, their files, what was generated and built, and the wheels."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from codereef import __version__
from codereef.canonical import pretty_json, sha256_file
from codereef.disk import write_atomic
from codereef.errors import LockError
from codereef.install.download import RemoteFile, Settings, fetch
from codereef.install.execute import component_of
from codereef.install.files import remote_file, split
from codereef.install.git import obtain
from codereef.install.nodes import files_of as entries_of
from codereef.install.progress import Progress
from codereef.lock.keys import install_method
from codereef.lock.model import Lock, LockedConfiguration, to_document
from codereef.meta.component import Component, component_files
from codereef.repo.index import Index
from codereef.store import Store
from codereef.store.tree import entries, listing_digest, tree_listing

from .format import LOCK, Manifest, Member, PackedComponent, PackedEnvironment, PackedFolder
from .wheels import Wheel


@dataclass(frozen=True)
class Collected:
    """What goes into a pack: its manifest, and the file of each member by its path."""

    manifest: Manifest
    sources: Mapping[str, Path]


def part_of(lock: Lock, targets: Collection[str]) -> Lock:
    """Return the lock of the configurations for some targets; all of it where none is named.

    Raises:
        LockError: the lock has none for one of them.
    """
    known = tuple(dict.fromkeys(c.target for c in lock.configurations))
    for target in targets:
        if target not in known:
            name = lock.solution.split("@")[0].split(":")[1]
            raise LockError(
                f"The lock of {lock.solution} has no configuration for {target}; it has those for {', '.join(known)}.",
                hint=f"`cr init {name}` on that machine, or a solution whose `targets` name it, adds one.",
                context={"target": target, "known": list(known)},
            )
    if not targets or set(targets) == set(known):
        return lock
    kept: tuple[LockedConfiguration, ...] = tuple(c for c in lock.configurations if c.target in targets)
    nodes = {key for c in kept for key in c.nodes}
    environments = {c.environment for c in kept}
    return replace(
        lock,
        configurations=kept,
        nodes={key: node for key, node in lock.nodes.items() if key in nodes},
        environments={key: value for key, value in lock.environments.items() if key in environments},
    )


def files_of(lock: Lock, index: Index) -> dict[str, RemoteFile]:
    """Return every file of a lock that does not lie in its component, by SHA-256."""
    found: dict[str, RemoteFile] = {}
    for key, node in lock.nodes.items():
        if not node.files:
            continue
        for entry in entries_of(lock, key, component_of(node, index)):
            file = remote_file(entry)
            if file is not None:
                found[file.sha256] = file
    return found


class _Basket:
    """Members with their sources, each path once."""

    def __init__(self) -> None:
        self.members: dict[str, Member] = {}
        self.sources: dict[str, Path] = {}

    def add(self, path: str, source: Path, sha256: str, size: int, *, executable: bool = False) -> None:
        self.members[path] = Member(path, sha256, size, executable)
        self.sources[path] = source


def collect(
    whole: Lock,
    lock: Lock,
    index: Index,
    store: Store,
    wheels: Mapping[str, Sequence[Wheel]],
    lacking: Mapping[str, Sequence[str]],
    settings: Settings,
    progress: Progress,
    work: Path,
) -> Collected:
    """Gather what a pack holds; files the store has not are fetched.

    Args:
        whole: the lock of the workspace; it and the components it names are packed as they are.
        lock: the part of it whose files, folders and wheels are packed (`part_of`).
        index: the components.
        store: the store.
        wheels: wheels of each environment of the lock.
        lacking: distributions of each environment whose wheel could not be had.
        settings: how to fetch.
        progress: is told what goes on.
        work: an empty folder for files that are made only for the pack.

    Raises:
        DownloadError: a file could not be fetched.
        LockError: a component is not as the lock has it.
    """
    basket = _Basket()
    missing: list[str] = []
    write_atomic(work / LOCK, pretty_json(to_document(whole)))
    basket.add(LOCK, work / LOCK, sha256_file(work / LOCK), (work / LOCK).stat().st_size)
    components = _components(whole, index, basket)
    remote, commits = split(list(files_of(lock, index).values()))
    blobs = dict(fetch(remote, store, settings, progress))
    blobs.update((commit.sha256, obtain(commit, store, settings, progress)) for commit in commits)
    for sha256, path in blobs.items():
        basket.add(f"files/{sha256}", path, sha256, path.stat().st_size)
    folders = _folders(lock, index, store, basket, missing)
    for name in sorted(wheels):
        for wheel in wheels[name]:
            basket.add(f"wheels/{wheel.path.name}", wheel.path, wheel.sha256, wheel.path.stat().st_size)
    for node in lock.nodes.values():
        if node.source == "detected" and install_method(component_of(node, index)) == "manual":
            missing.append(f"{node.component} is data that everybody has to bring; a pack may not hold it")
    for name, environment in sorted(lock.environments.items()):
        if environment.requirements and not environment.distributions:
            missing.append(f"the Python distributions for {environment.target}, which the lock does not have yet")
        missing += [f"no wheel of {entry} for {environment.target}" for entry in lacking.get(name, ())]
        missing += [
            f"{lock.nodes[key].capability} {lock.nodes[key].version} for {environment.target}, which was detected and not "
            "installed (`cr init SOLUTION --install '*'` before installs it)"
            for key in environment.reused
        ]
    manifest = Manifest(
        lock.solution,
        lock.solution_digest,
        __version__,
        tuple({"id": c.id, "target": c.target} for c in lock.configurations),
        components,
        folders,
        tuple(
            PackedEnvironment(name, environment.target, tuple(lacking.get(name, ())))
            for name, environment in sorted(lock.environments.items())
        ),
        tuple(dict.fromkeys(missing)),
        # The lock first, then by path: `cr pack --list` and a reader find the small things at the beginning.
        tuple(sorted(basket.members.values(), key=lambda m: (m.path != LOCK, m.path))),
    )
    return Collected(manifest, basket.sources)


def _components(lock: Lock, index: Index, basket: _Basket) -> tuple[PackedComponent, ...]:
    found: dict[str, Component] = {}
    for node in lock.nodes.values():
        found[node.component] = component_of(node, index)
    packed = []
    for reference, component in sorted(found.items()):
        place = f"components/{component.kind}/{component.name}/{component.version}"
        for file in component_files(component.root):
            status = file.stat()
            name = file.relative_to(component.root).as_posix()
            basket.add(
                f"{place}/{name}", file, sha256_file(file), status.st_size, executable=bool(status.st_mode & 0o100)
            )
        packed.append(PackedComponent(reference, component.digest, place))
    return tuple(packed)


def _folders(lock: Lock, index: Index, store: Store, basket: _Basket, missing: list[str]) -> tuple[PackedFolder, ...]:
    """Pack what was generated and what was built; what only unpacks files is made again from them."""
    packed: list[PackedFolder] = []
    for node in sorted(lock.nodes.values(), key=lambda node: node.install_key):
        if not node.install_key or any(folder.key == node.install_key for folder in packed):
            continue
        method = install_method(component_of(node, index))
        if method == "download":
            continue
        prefix = store.prefix(node.install_key)
        if prefix is None:
            targets = sorted({c.target for c in lock.configurations if _uses(lock, c, node.install_key)})
            missing.append(f"{node.component} was not made here for {', '.join(targets)}")
            continue
        if prefix.meta.get("bound"):
            missing.append(f"{node.component} was made by {method} and names its own place: it cannot lie elsewhere")
            continue
        place = f"folders/{node.install_key}"
        listing = tree_listing(prefix.path, links=True)
        for line, entry in zip(listing.splitlines(), entries(prefix.path), strict=True):
            name = os.fsdecode(entry.name)
            if entry.link:
                link = str(Path(entry.path).readlink())
                digest = hashlib.sha256(b"").hexdigest()
                basket.members[f"{place}/{name}"] = Member(f"{place}/{name}", digest, 0, False, link)
            else:
                sha256, size, _ = line.split(b" ", 2)
                executable = bool(entry.status.st_mode & 0o100)
                basket.add(f"{place}/{name}", Path(entry.path), sha256.decode(), int(size), executable=executable)
        packed.append(
            PackedFolder(node.install_key, listing_digest(listing), place, bool(node.tree), dict(prefix.meta))
        )
    return tuple(packed)


def _uses(lock: Lock, configuration: LockedConfiguration, key: str) -> bool:
    return any(lock.nodes[name].install_key == key for name in configuration.nodes)
