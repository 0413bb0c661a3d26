# SPDX-License-Identifier: Apache-2.0
"""The frame of every build: sources, working folder, back-end, checks, commit.

A working folder is named by the key of what is built and is kept when the build fails, so that the next try goes
on in it. Success removes it; so does time.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import time
from collections.abc import Mapping
from pathlib import Path

from codereef.detect import Detected
from codereef.disk import remove_tree, storing
from codereef.errors import InstallError, IntegrityError, StorageError
from codereef.lock.keys import install_method
from codereef.lock.model import Lock
from codereef.meta.component import Component
from codereef.repo.index import Index
from codereef.store import Store

from .failures import Recorder
from .files import place_sources
from .nodes import Options, component_of, remove_damaged, sound, target_of, waiting
from .process import traced
from .progress import Progress
from .sandbox import Kind, available
from .toolchain import choose
from .work import Dependency, Work

#: Folder of the store that kept working folders lie in.
KEPT = "kept"
KEEP_SECONDS = 14 * 86400.0
_READY = ".sources-are-complete"
_MANIFEST_LINES = 200  # of each command
#: Back-ends that run other package managers, which have rules and a cache of their own.
FOREIGN = ("conda", "spack")


def kept_folder(store: Store, key: str) -> Path:
    """Return where the working folder of a key is."""
    return store.tmp / KEPT / key


def install_build(
    key: str,
    lock: Lock,
    index: Index,
    bindings: Mapping[str, Detected],
    folders: Mapping[str, Path],
    host: str,
    store: Store,
    options: Options,
    progress: Progress,
    recorder: Recorder,
    built: list[str],
) -> Path:
    """Return the folder of a node that is built, after building it where it is not in the store.

    Args:
        key: id of the node.
        lock: the graph.
        index: the components.
        bindings: detected software by node id.
        folders: installed folders by node id; those of its dependencies are among them.
        host: triple of the machine that builds.
        store: where to.
        options: what the user decides.
        progress: is told what goes on.
        recorder: keeps what is to be known about a failure.
        built: gets the name of the folder when it was made.

    Raises:
        InstallError: it could not be built; its working folder is kept.
    """
    node = lock.nodes[key]
    existing = sound(store, node.install_key)
    if existing is not None:
        return existing.path
    remove_damaged(store, node.install_key, progress)
    component = component_of(node, index)
    method = install_method(component)
    with (
        recorder.step(method, key, details={"install_key": node.install_key}),
        store.building(node.install_key, in_place=True, waiting=waiting(node.install_key, progress)) as build,
    ):
        if build.existing is not None:
            return build.existing.path
        folder = kept_folder(store, node.install_key)
        if options.fresh:
            remove_tree(folder)
        _prepare(folder, lock, key, component, store, progress)
        # A foreign package manager writes where it keeps its own cache.
        sandbox: Kind = "none" if method in FOREIGN else available()
        if sandbox == "none" and method not in FOREIGN:
            progress.note(f"{key} is built without a sandbox (CR_SANDBOX=off)")
        found = {role: _dependency(lock, other, bindings, folders) for role, other in node.deps.items()}
        deps = {role: dependency for role, dependency in found.items() if dependency is not None}
        compilers = [
            d.detected for d in deps.values() if d.detected is not None and d.capability.startswith("compiler.c")
        ]
        target = target_of(lock, key)
        work = Work(
            key,
            component,
            node.version,
            node.variants,
            target,
            host,
            folder,
            build.path,
            deps,
            choose(compilers, target, host, key),
            options.jobs or os.cpu_count() or 1,
            store.logs,
            sandbox,
        )
        task = f"build {node.install_key}"
        progress.start(task, None, f"{key} ({method})")
        try:
            importlib.import_module(f"codereef.install.{method}").build(work)
        finally:
            progress.finish(task)
        _check(work, build.path)
        meta = {
            "component": node.component,
            "variants": dict(node.variants),
            "target": target,
            "sandbox": sandbox,
            "bound": method in FOREIGN or _names_its_place(build.path, store.prefixes),
            "log": [line for ran in traced() for line in _last_lines(ran.log)],
        }
        # A foreign package manager's files change when its programs are used (caches), as with a Python environment.
        made = build.commit(meta, digest=method not in FOREIGN, links=method not in FOREIGN)
        built.append(node.install_key)
        remove_tree(folder)
        return made.path


def _names_its_place(prefix: Path, prefixes: Path) -> bool:
    """Whether a file names a folder of this store, so that the folder works nowhere else."""
    place = os.fsencode(prefixes)
    for path in prefix.rglob("*"):
        if path.is_symlink():
            if os.fsencode(path.readlink()).startswith(place):
                return True
        elif path.is_file():
            with path.open("rb") as stream:
                end = b""
                while piece := stream.read(1 << 20):
                    # A name may lie across two pieces.
                    if place in end + piece:
                        return True
                    end = piece[-len(place) :]
    return False


def _last_lines(log: Path) -> list[str]:
    """Return the command and the last lines of a log, for the manifest of what was built."""
    with contextlib.suppress(OSError):
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        return [*lines[:1], *lines[1:][-_MANIFEST_LINES:]]
    return []


def _prepare(folder: Path, lock: Lock, key: str, component: Component, store: Store, progress: Progress) -> None:
    """Make the working folder, or go on in the one that a failed build has left."""
    if (folder / _READY).exists():
        progress.note(f"{key}: going on where the last build stopped (--fresh begins anew)")
        with storing("the working folder", folder):
            (folder / _READY).touch()
        return
    remove_tree(folder)
    with storing("the working folder", folder):
        for name in ("build", "home", "tmp"):
            (folder / name).mkdir(parents=True)
    place_sources(lock, key, component, store, folder / "src")
    (folder / _READY).touch()


def _dependency(
    lock: Lock, key: str, bindings: Mapping[str, Detected], folders: Mapping[str, Path]
) -> Dependency | None:
    """Return what a build is given for a node; None for a Python distribution, which has no folder of its own."""
    node = lock.nodes[key]
    found = bindings.get(key)
    path = folders.get(key) or (Path(found.path) if found is not None else None)
    if path is not None:
        return Dependency(node.capability, path, found is None, node.scope == "build", found)
    if node.source == "install" and not node.install_key:
        return None
    raise InstallError(
        f"{key} is needed for a build and is not on this machine.",
        hint="Run `cr detect`, then `cr init` again.",
        context={"node": key},
    )


def _check(work: Work, prefix: Path) -> None:
    """Raise unless the folder holds what the recipe says, and no link leads out of it."""
    for name in work.recipe.get("produces", ()):
        path = prefix / work.expand(name)
        if not path.exists():
            have = sorted(p.relative_to(prefix).as_posix() for p in prefix.rglob("*") if p.is_file())
            raise InstallError(
                f"{work.node} was built, and {work.expand(name)} is not there.",
                hint=f"The build has installed {', '.join(have[:8]) or 'nothing'}{' …' if len(have) > 8 else ''}.",
                context={"node": work.node, "missing": work.expand(name), "installed": have[:100]},
            )
    if not any(prefix.iterdir()):
        raise InstallError(
            f"{work.node} was built, and nothing was installed into {prefix}.",
            hint="The commands of the recipe have to put their files into {prefix}.",
        )
    if work.component.meta["install"]["using"] in FOREIGN:
        return
    inside = prefix.resolve()
    for path in prefix.rglob("*"):
        if path.is_symlink() and not path.resolve().is_relative_to(inside):
            raise IntegrityError(
                f"{work.node} has installed the link {path.relative_to(prefix)}, which leads to {path.resolve()}, "
                "outside of its folder.",
                hint="Install the file itself.",
                context={"node": work.node, "link": str(path)},
            )


def sweep_kept(store: Store, *, now: float | None = None) -> int:
    """Remove working folders that nobody has gone on with for two weeks; return how many.

    One that a living process works in is left alone, whatever its age.
    """
    removed = 0
    now = time.time() if now is None else now
    with contextlib.suppress(OSError):
        for folder in list((store.tmp / KEPT).iterdir()):
            with contextlib.suppress(OSError, StorageError):
                if now - _last_used(folder) > KEEP_SECONDS:
                    with store.lock(f"prefix.{folder.name}"[:200], timeout=0):
                        remove_tree(folder)
                        removed += 1
    return removed


def _last_used(folder: Path) -> float:
    marker = folder / _READY
    return (marker if marker.exists() else folder).stat().st_mtime
