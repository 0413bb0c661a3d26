# SPDX-License-Identifier: Apache-2.0
"""From a lock to folders on the disk: everything that a configuration needs, in an order that works.

    1. files      every file that no folder has yet, in parallel and checked
    2. folders    models, datasets and packages made of those files
    3. Python     one environment for each set of distributions
    4. generated  datasets that a component's script makes with that environment

What is in the store already is not touched and no network is used for it. Each folder appears whole or not
at all, so a kill at any instant costs only the folder that was being made.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from packaging.utils import canonicalize_name

from codereef.detect import Detected
from codereef.errors import CrError, InstallError, IntegrityError, LockError
from codereef.install.download import RemoteFile, Settings, fetch
from codereef.install.progress import Progress
from codereef.lock.build import install_method, node_facts
from codereef.lock.model import Lock, LockedDistribution, LockedEnvironment, LockedNode, environment_key
from codereef.meta.component import Component
from codereef.meta.reference import parse_reference
from codereef.meta.selection import select
from codereef.repo.index import Index
from codereef.store import Prefix, Store, link_or_copy

GENERATE_TIMEOUT = 1800.0


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


def local_environment_key(environment: LockedEnvironment, python: str) -> str:
    """Return the name of an environment's folder here: an environment is bound to the place of its interpreter."""
    return f"{environment.install_key}-{hashlib.sha256(python.encode()).hexdigest()[:8]}"


def environment_python(folder: Path) -> Path:
    """Return the interpreter of an environment's folder."""
    return folder / "bin" / "python"


def lock_distributions(lock: Lock, bindings: Mapping[str, Detected], settings: Settings, progress: Progress) -> Lock:
    """Return the lock with the exact distributions of every environment that has none yet.

    Raises:
        InstallError: the requirements cannot be met together, or the package index cannot be reached.
    """
    environments = dict(lock.environments)
    for name, environment in lock.environments.items():
        if environment.install_key:
            continue
        distributions: tuple[LockedDistribution, ...] = ()
        if environment.requirements:
            from codereef.install.pip import resolve_distributions

            # What is reused comes through the environment's path and must not be installed a second time.
            reused = {
                canonicalize_name(str(bindings[key].facts["name"])): bindings[key].version for key in environment.reused
            }
            constraints = [f"{name}=={version}" for name, version in reused.items()]
            found = resolve_distributions(
                Path(bindings[environment.python].path), environment.requirements, constraints, settings, progress
            )
            distributions = tuple(
                LockedDistribution(d.name, d.version, tuple(d.sha256))
                for d in found
                if canonicalize_name(d.name) not in reused
            )
        complete = replace(environment, distributions=distributions)
        environments[name] = replace(complete, install_key=environment_key(complete))
    return replace(lock, environments=environments)


def missing_files(lock: Lock, index: Index, store: Store, nodes: Collection[str]) -> list[RemoteFile]:
    """Return the files that must be fetched for `nodes`: those that neither a folder nor the store has."""
    wanted: dict[str, RemoteFile] = {}
    for key in nodes:
        node = lock.nodes[key]
        if not node.files or (node.install_key and sound(store, node.install_key)):
            continue
        component = component_of(node, index)
        target = next(c.target for c in lock.configurations if key in c.nodes)
        for entry in select(component.meta.get("files", ()), node_facts(node.version, node.variants, target)):
            if "path" not in entry and store.blob(entry["sha256"]) is None:
                wanted[entry["sha256"]] = RemoteFile(
                    entry["name"], entry["sha256"], entry["size"], tuple(entry.get("urls", ())), entry.get("origin", "")
                )
    return list(wanted.values())


def install(
    lock: Lock, index: Index, bindings: Mapping[str, Detected], store: Store, settings: Settings, progress: Progress
) -> Installed:
    """Install everything a lock names.

    Args:
        lock: with exact distributions (`lock_distributions`).
        index: the components.
        bindings: detected software by node id.
        store: where to.
        settings: mirrors, offline and the like.
        progress: is told what goes on.

    Raises:
        InstallError: a step failed; what was installed before stays and is not done again.
    """
    folders: dict[str, Path] = {}
    built: list[str] = []
    blobs = fetch(missing_files(lock, index, store, lock.nodes), store, settings, progress)
    for key, node in lock.nodes.items():
        if node.source == "component":
            folders[key] = component_of(node, index).root
        elif node.source == "install" and node.install_key and not node.tree:
            folders[key] = _install_files(key, lock, node, index, store, blobs, progress, built)
    pythons: dict[str, Path] = {}
    for name, environment in lock.environments.items():
        pythons[name] = _install_environment(environment, bindings, store, settings, progress, built)
    for key, node in lock.nodes.items():
        if node.tree:
            environment_name = next((c.environment for c in lock.configurations if key in c.nodes), "")
            folders[key] = _generate(node, index, store, pythons.get(environment_name), progress, built)
    return Installed(folders, pythons, tuple(built))


def sound(store: Store, key: str) -> Prefix | None:
    """Return an installed folder, or None when it is absent or no longer what was installed.

    Every file of a folder with a recorded digest is read again: a number measured on a damaged or swapped
    model would be recorded as the original's.
    """
    prefix = store.prefix(key)
    return None if prefix is None or store.verify_prefix(key) else prefix


def sound_environment(store: Store, key: str, environment: LockedEnvironment) -> Prefix | None:
    """Return an environment's folder, or None when its interpreter or a distribution is missing."""
    from codereef.install.pip import distributions_in

    prefix = store.prefix(key)
    if prefix is None or not os.access(environment_python(prefix.path), os.X_OK):
        return None
    try:
        found = {(canonicalize_name(name), version) for name, version in distributions_in(prefix.path)}
    except CrError:
        return None
    wanted = {(canonicalize_name(d.name), d.version) for d in environment.distributions}
    return prefix if wanted <= found else None


def located(lock: Lock, index: Index, bindings: Mapping[str, Detected], store: Store) -> Installed:
    """Return where everything of a lock is, installing nothing.

    Raises:
        LockError: something is not installed, or no longer what was installed.
    """
    folders: dict[str, Path] = {}
    absent: list[str] = []
    for key, node in lock.nodes.items():
        if node.source == "component":
            folders[key] = component_of(node, index).root
        elif node.source == "install" and node.install_key:
            prefix = sound(store, node.install_key)
            if prefix is None:
                absent.append(key)
            else:
                folders[key] = prefix.path
    pythons: dict[str, Path] = {}
    for name, environment in lock.environments.items():
        key = local_environment_key(environment, bindings[environment.python].path)
        prefix = sound_environment(store, key, environment) if environment.install_key else None
        if prefix is None:
            absent.append(name)
        else:
            pythons[name] = environment_python(prefix.path)
    if absent:
        solution = lock.solution.split("@")[0].split(":")[1]
        raise LockError(
            f"{lock.solution} is not installed here: {', '.join(absent[:6])} {'is' if len(absent) == 1 else 'are'} missing from the store or no longer what was installed.",
            hint=f"`cr init {solution}` mends it.",
            context={"missing": absent},
        )
    return Installed(folders, pythons, ())


def _install_files(
    key: str,
    lock: Lock,
    node: LockedNode,
    index: Index,
    store: Store,
    blobs: Mapping[str, Path],
    progress: Progress,
    built: list[str],
) -> Path:
    existing = sound(store, node.install_key)
    if existing is not None:
        return existing.path
    _remove_damaged(store, node.install_key, progress)
    component = component_of(node, index)
    target = next(c.target for c in lock.configurations if key in c.nodes)
    with store.building(node.install_key, waiting=_waiting(node.install_key, progress)) as build:
        if build.existing is not None:
            return build.existing.path
        for entry in select(component.meta.get("files", ()), node_facts(node.version, node.variants, target)):
            if "path" in entry:
                # The copy is checked, so that a folder edited after indexing is noticed.
                source = store.add_blob(component.root / entry["path"], entry["sha256"], entry["size"])
            else:
                source = blobs.get(entry["sha256"]) or store.blob(entry["sha256"]) or _lost(entry["name"])
            place = build.path / entry["name"]
            place.parent.mkdir(parents=True, exist_ok=True)
            if entry.get("unpack"):
                from codereef.install.archive import unpack

                unpack(source, place.parent)
            else:
                link_or_copy(source, place)
        built.append(node.install_key)
        return build.commit({"component": node.component, "variants": dict(node.variants)}, digest=True).path


def _remove_damaged(store: Store, key: str, progress: Progress) -> None:
    if store.prefix(key) is not None:
        progress.note(f"{key} is no longer what was installed and is made again")
        store.remove_prefix(key)


def _waiting(key: str, progress: Progress) -> Callable[[], None]:
    return lambda: progress.note(f"waiting for another cr that is making {key}")


def _lost(name: str) -> Path:
    raise InstallError(
        f"{name} was fetched but is no longer in the store.",
        hint="Another process may have emptied the store; run the same command again.",
    )


def _install_environment(
    environment: LockedEnvironment,
    bindings: Mapping[str, Detected],
    store: Store,
    settings: Settings,
    progress: Progress,
    built: list[str],
) -> Path:
    python = bindings[environment.python]
    key = local_environment_key(environment, python.path)
    existing = sound_environment(store, key, environment)
    if existing is not None:
        return environment_python(existing.path)
    _remove_damaged(store, key, progress)
    from codereef.install.pip import Distribution, create_environment

    with store.building(key, in_place=True, waiting=_waiting(key, progress)) as build:
        if build.existing is not None:
            return environment_python(build.existing.path)
        reused: Sequence[Path] = [Path(bindings[node].path) for node in environment.reused]
        distributions = [Distribution(d.name, d.version, d.sha256) for d in environment.distributions]
        create_environment(build.path, Path(python.path), distributions, reused, settings, progress, log_dir=store.logs)
        built.append(key)
        return environment_python(
            build.commit({"python": environment.python_version, "distributions": len(distributions)}).path
        )


def _generate(
    node: LockedNode, index: Index, store: Store, python: Path | None, progress: Progress, built: list[str]
) -> Path:
    existing = sound(store, node.install_key)
    if existing is not None:
        return existing.path
    _remove_damaged(store, node.install_key, progress)
    component = component_of(node, index)
    recipe = component.meta["install"]
    if python is None or install_method(component) != "generate":
        raise InstallError(
            f"{node.component} is made by a Python script, and no Python environment is in its graph.",
            hint='Give it a dependency: "python": {"needs": "compiler.python"}.',
        )
    from codereef.install import generate
    from codereef.store import tree_digest

    with store.building(node.install_key, waiting=_waiting(node.install_key, progress)) as build:
        if build.existing is not None:
            return build.existing.path
        request = {"output": str(build.path), "variants": dict(node.variants), "options": recipe.get("options", {})}
        generate.run(
            component.root / recipe["script"],
            python,
            request,
            build.path,
            recipe.get("timeout", GENERATE_TIMEOUT),
            progress,
            log_dir=store.logs,
        )
        found = tree_digest(build.path)
        if found != node.tree:
            raise IntegrityError(
                f"{node.component} ({recipe['script']}) made something else than it should: expected {node.tree}, found {found}.",
                hint="In a component you are writing, put the digest found into `install.digests`. Otherwise the generator gives "
                "something else on this machine, or was changed without its digest. Nothing was kept.",
                context={"component": node.component, "expected": node.tree, "found": found},
            )
        built.append(node.install_key)
        return build.commit({"component": node.component, "variants": dict(node.variants)}, digest=True).path
