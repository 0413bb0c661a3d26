# SPDX-License-Identifier: Apache-2.0
"""What the back-ends ask about the nodes of a lock: the component, the folder, the order."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codereef.errors import CrError, InstallError, LockError
from codereef.lock.keys import node_facts
from codereef.lock.model import Lock, LockedEnvironment, LockedNode
from codereef.meta.component import Component
from codereef.meta.reference import parse_reference
from codereef.meta.selection import select
from codereef.repo.index import Index
from codereef.store import Prefix, Store
from codereef.witness import looked, recording

from .progress import Progress


@dataclass(frozen=True)
class Installed:
    """Where things are.

    Attributes:
        folders: folder by node id, of installed nodes and of components used as they are.
        pythons: interpreter by environment id.
        built: names of the folders that were made this time.
    """

    folders: Mapping[str, Path]
    pythons: Mapping[str, Path]
    built: tuple[str, ...]


@dataclass(frozen=True)
class Options:
    """What the user decides about builds.

    Attributes:
        fresh: begin builds anew instead of going on in the folders that failed ones have left.
        jobs: commands at once within a build; as many as there are cores when 0.
        run_system_commands: run the system's package manager instead of showing its command.
        failures: folder that failures are recorded in; none are when it is None.
    """

    fresh: bool = False
    jobs: int = 0
    run_system_commands: bool = False
    failures: Path | None = None


def component_of(node: LockedNode, index: Index) -> Component:
    """Return the component that a locked node is made from.

    Raises:
        LockError: no repository has it, or only with other content.
    """
    reference = parse_reference(node.component)
    for component in index.versions(reference.kind, reference.name):
        if component.version == reference.version and component.digest == node.digest:
            return component
    raise LockError(
        f"{node.component} is not in any repository as the lock has it ({node.digest[:19]}…).",
        hint="`cr repo update` fetches newer components; `cr init` resolves again.",
        context={"component": node.component, "digest": node.digest},
    )


def target_of(lock: Lock, key: str) -> str:
    """Return the triple that a node is for; data may be for several, and any of them is right."""
    return next(c.target for c in lock.configurations if key in c.nodes)


def files_of(lock: Lock, key: str, component: Component) -> list[dict[str, Any]]:
    """Return the `files` entries of a component that hold for a node."""
    node = lock.nodes[key]
    return select(component.meta.get("files", ()), node_facts(node.version, node.variants, target_of(lock, key)))


def ordered(lock: Lock, nodes: Collection[str]) -> list[str]:
    """Return nodes with dependencies before what needs them, otherwise in the order of the lock."""
    done: dict[str, None] = {}

    def visit(key: str, trail: tuple[str, ...]) -> None:
        if key in done or key in trail or key not in lock.nodes:
            return
        for other in lock.nodes[key].deps.values():
            visit(other, (*trail, key))
        done[key] = None

    for key in lock.nodes:
        if key in nodes:
            visit(key, ())
    return [key for key in done if key in nodes]


def local_environment_key(environment: LockedEnvironment, python: str) -> str:
    """Return the name of an environment's folder here: an environment is bound to the place of its interpreter."""
    return f"{environment.install_key}-{hashlib.sha256(python.encode()).hexdigest()[:8]}"


def environment_python(folder: Path) -> Path:
    """Return the interpreter of an environment's folder."""
    return folder / "bin" / "python"


def sound(store: Store, key: str) -> Prefix | None:
    """Return an installed folder, or None when it is absent or no longer what was installed.

    Every file of a folder with a recorded digest is read again: a number measured on a damaged or swapped
    model would be recorded as the original's.
    """
    if recording():
        look_below(store.prefixes / key)
    prefix = store.prefix(key)
    return None if prefix is None or store.verify_prefix(key) else prefix


def sound_environment(store: Store, key: str, environment: LockedEnvironment) -> Prefix | None:
    """Return an environment's folder, or None when its interpreter or a distribution is missing."""
    from packaging.utils import canonicalize_name

    from codereef.install.pip import distributions_in

    if recording():
        _look_at_environment(store.prefixes / key)
    prefix = store.prefix(key)
    if prefix is None or not os.access(environment_python(prefix.path), os.X_OK):
        return None
    try:
        found = {(canonicalize_name(name), version) for name, version in distributions_in(prefix.path)}
    except CrError:
        return None
    wanted = {(canonicalize_name(d.name), d.version) for d in environment.distributions}
    return prefix if wanted <= found else None


def look_below(folder: Path) -> None:
    """Tell an open recorder of a folder and of everything below it."""
    looked(str(folder))
    for base, folders, files in os.walk(folder):
        for name in (*folders, *files):
            looked(os.path.join(base, name))  # noqa: PTH118


def _look_at_environment(folder: Path) -> None:
    """Tell an open recorder of what says which distributions an environment has."""
    looked(str(folder))
    for path in folder.glob(".codereef-prefix.*"):
        looked(str(path))
    looked(str(environment_python(folder).parent))
    looked(str(environment_python(folder)))
    for site in folder.glob("lib/python*/site-packages"):
        looked(str(site.parent.parent))
        looked(str(site))
        for path in (*site.glob("*.dist-info/METADATA"), *site.glob("*.egg-info/PKG-INFO")):
            looked(str(path.parent))
            looked(str(path))


def remove_damaged(store: Store, key: str, progress: Progress) -> None:
    """Remove an installed folder that is not sound, and say so."""
    if store.prefix(key) is not None:
        progress.note(f"{key} is no longer what was installed and is made again")
        store.remove_prefix(key)


def waiting(key: str, progress: Progress) -> Callable[[], None]:
    """Return what tells the user that another process is at work on a folder."""
    return lambda: progress.note(f"waiting for another cr that is making {key}")


def lost(name: str) -> Path:
    """Raise the error for a file that has gone from the store meanwhile."""
    raise InstallError(
        f"{name} was fetched but is no longer in the store.",
        hint="Another process may have emptied the store; run the same command again.",
    )


def chain(lock: Lock, key: str) -> Sequence[tuple[str, str]]:
    """Return how the root of a configuration comes to ask for a node: (role, node), the root first with role "".

    The shortest chain of the first configuration that has the node; the node alone where nothing asks for it.
    """
    for configuration in lock.configurations:
        if key not in configuration.nodes:
            continue
        paths: list[tuple[tuple[str, str], ...]] = [(("", configuration.root),)]
        seen = {configuration.root}
        for path in paths:
            if path[-1][1] == key:
                return path
            for role, child in lock.nodes[path[-1][1]].deps.items():
                if child not in seen:
                    seen.add(child)
                    paths.append((*path, (role, child)))
    return (("", key),)
