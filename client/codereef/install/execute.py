# SPDX-License-Identifier: Apache-2.0
"""From a lock to folders on the disk: everything that a configuration needs, in an order that works.

    1. files      every file that no folder has yet, in parallel and checked; commits of git repositories
    2. the rest   each node as soon as what it needs is there: folders of files, builds, and one Python environment
                  for each set of distributions; then datasets that a component's script makes with it

What is in the store already is not touched and no network is used for it. Each folder appears whole or not
at all, so a kill at any instant costs only the folder that was being made.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from codereef.detect import Detected
from codereef.detect.platform import host_target
from codereef.errors import CrError, LockError
from codereef.lock.keys import BUILDS, install_method
from codereef.lock.model import Lock
from codereef.repo.index import Index
from codereef.store import Store

from . import building
from .download import RemoteFile, Settings, fetch
from .environments import install_environment, lock_distributions
from .failures import Recorder
from .files import install_files, missing_files, split
from .git import GitSource, obtain
from .nodes import (
    Installed,
    Options,
    component_of,
    environment_python,
    local_environment_key,
    ordered,
    sound,
    sound_environment,
)
from .process import Stopper
from .progress import Progress

__all__ = [
    "Installed",
    "Options",
    "component_of",
    "environment_python",
    "install",
    "local_environment_key",
    "located",
    "lock_distributions",
    "missing_files",
    "obtain_files",
    "sound",
    "sound_environment",
]

#: Nodes that are installed at once. Builds use all cores by themselves; two of them fill each other's gaps.
_AT_ONCE = 2


def install(
    lock: Lock,
    index: Index,
    bindings: Mapping[str, Detected],
    store: Store,
    settings: Settings,
    progress: Progress,
    options: Options | None = None,
) -> Installed:
    """Install everything a lock names for this machine.

    Args:
        lock: with exact distributions (`lock_distributions`).
        index: the components.
        bindings: detected software by node id.
        store: where to.
        settings: mirrors, offline and the like.
        progress: is told what goes on.
        options: what the user decides about builds.

    Raises:
        InstallError: a step failed; what was installed before stays and is not done again.
        KeyboardInterrupt: the user interrupted; everything that ran was ended.
    """
    stopper = Stopper()
    options = options or Options()
    recorder = Recorder(options.failures, lock, index, stopper)
    building.sweep_kept(store)
    here = _here(lock)
    missing = missing_files(lock, index, store, here)
    if missing:
        obtain_files(missing, store, settings, progress, recorder, _owners(lock))
    return _Installation(lock, index, bindings, store, settings, progress, options, recorder, stopper, here).run()


def _here(lock: Lock) -> list[str]:
    """Return the nodes of the configurations that are for this machine; of all where none is for it."""
    host = host_target()
    mine = [c for c in lock.configurations if c.target == host] or list(lock.configurations)
    names = {key for configuration in mine for key in configuration.nodes}
    return [key for key in lock.nodes if key in names]


def _owners(lock: Lock) -> dict[str, str]:
    """Return a node that has a file, by the file's SHA-256."""
    return {file.sha256: key for key, node in lock.nodes.items() for file in node.files}


def obtain_files(
    missing: list[RemoteFile],
    store: Store,
    settings: Settings,
    progress: Progress,
    recorder: Recorder,
    owners: Mapping[str, str],
) -> None:
    """Bring files into the store: downloads in parallel, then commits of git repositories.

    Args:
        missing: from `missing_files`.
        store: where to.
        settings: mirrors, offline and the like.
        progress: is told what goes on.
        recorder: keeps what is to be known about a failure.
        owners: node by SHA-256, for the record of a failure.

    Raises:
        DownloadError: one could not be had from anywhere.
        IntegrityError: one is not what it should be.
    """
    remote, commits = split(missing)
    if remote:
        details = {"files": [{"name": f.name, "sha256": f.sha256, "size": f.size} for f in remote]}
        node = owners.get(remote[0].sha256, "")
        with recorder.step("download", node, details=details):
            try:
                fetch(remote, store, settings, progress)
            except CrError as error:
                # The error names the file that failed; its node tells more than the first one's.
                owner = owners.get(str(error.context.get("sha256", "")), "")
                if owner:
                    error.context.setdefault("node", owner)
                raise
    for commit in commits:
        details = {"files": [{"name": commit.name, "sha256": commit.sha256, "size": commit.size}]}
        with recorder.step("git", owners.get(commit.sha256, ""), details=details):
            _obtain_commit(commit, store, settings, progress)


def _obtain_commit(commit: GitSource, store: Store, settings: Settings, progress: Progress) -> None:
    obtain(commit, store, settings, progress)


class _Installation:
    """One walk over a lock, several nodes at once."""

    def __init__(
        self,
        lock: Lock,
        index: Index,
        bindings: Mapping[str, Detected],
        store: Store,
        settings: Settings,
        progress: Progress,
        options: Options,
        recorder: Recorder,
        stopper: Stopper,
        here: list[str],
    ) -> None:
        self._lock = lock
        self._index = index
        self._bindings = bindings
        self._store = store
        self._settings = settings
        self._progress = progress
        self._options = options
        self._recorder = recorder
        self._stopper = stopper
        self._here = here
        self._host = host_target()
        self._folders: dict[str, Path] = {}
        self._pythons: dict[str, Path] = {}
        self._built: list[str] = []

    def run(self) -> Installed:
        """Install all nodes."""
        work: dict[str, tuple[Callable[[], None], set[str]]] = {}
        for key in ordered(self._lock, self._here):
            task = self._task(key)
            if task is not None:
                needs = set(self._lock.nodes[key].deps.values())
                if self._method(key) == "generate":
                    needs |= {f"environment {c.environment}" for c in self._lock.configurations if key in c.nodes}
                work[key] = (task, needs)
        for name in self._environments():
            work[f"environment {name}"] = (lambda name=name: self._environment(name), set())  # type: ignore[misc]
        self._all(work)
        return Installed(self._folders, self._pythons, tuple(self._built))

    def _environments(self) -> list[str]:
        used = {c.environment for c in self._lock.configurations if set(c.nodes) <= set(self._here)}
        return [name for name in self._lock.environments if name in used]

    def _method(self, key: str) -> str:
        node = self._lock.nodes[key]
        return install_method(component_of(node, self._index)) if node.source == "install" else ""

    def _task(self, key: str) -> Callable[[], None] | None:
        """Return what installs a node, or None where there is nothing to do."""
        node = self._lock.nodes[key]
        if node.source == "component":
            self._folders[key] = component_of(node, self._index).root
            return None
        if node.source != "install" or not node.install_key:
            return None
        method = self._method(key)
        if method == "generate":
            return lambda: self._generate(key)
        if method in BUILDS:
            return lambda: self._build(key)
        return lambda: self._files(key)

    def _files(self, key: str) -> None:
        with self._recorder.step(self._method(key), key):
            self._folders[key] = install_files(key, self._lock, self._index, self._store, self._progress, self._built)

    def _build(self, key: str) -> None:
        self._folders[key] = building.install_build(
            key,
            self._lock,
            self._index,
            self._bindings,
            self._folders,
            self._host,
            self._store,
            self._options,
            self._progress,
            self._recorder,
            self._built,
        )

    def _environment(self, name: str) -> None:
        with self._recorder.step("pip", name, replay=True):
            self._pythons[name] = install_environment(
                self._lock.environments[name],
                self._bindings,
                self._store,
                self._settings,
                self._progress,
                self._built,
            )

    def _generate(self, key: str) -> None:
        from .generate import install_generated

        name = next((c.environment for c in self._lock.configurations if key in c.nodes), "")
        with self._recorder.step("generate", key):
            self._folders[key] = install_generated(
                self._lock.nodes[key],
                component_of(self._lock.nodes[key], self._index),
                self._store,
                self._pythons.get(name),
                self._progress,
                self._built,
            )

    def _all(self, work: dict[str, tuple[Callable[[], None], set[str]]]) -> None:
        """Do all work, each piece after what it needs; the first error ends the beginning of new pieces."""
        from queue import SimpleQueue

        ended: SimpleQueue[tuple[str, BaseException | None]] = SimpleQueue()

        def do(key: str, task: Callable[[], None]) -> None:
            try:
                task()
            except BaseException as error:
                ended.put((key, error))
            else:
                ended.put((key, None))

        waiting = dict(work)
        running: dict[str, threading.Thread] = {}
        failed: BaseException | None = None
        try:
            while True:
                ready = [k for k, (_, needs) in waiting.items() if not needs & work.keys()] if failed is None else []
                if len(ready) == 1 and not running:
                    # No thread for one thing: an interrupt then reaches it at once.
                    waiting.pop(ready[0])[0]()
                    work.pop(ready[0])
                    continue
                for key in ready[: max(0, min(_AT_ONCE, os.cpu_count() or 1) - len(running))]:
                    running[key] = threading.Thread(target=do, args=(key, waiting.pop(key)[0]), name=f"install {key}")
                    running[key].start()
                if not running:
                    break
                key, error = ended.get()
                running.pop(key).join()
                work.pop(key)
                failed = failed or error
        except BaseException:
            # Ctrl-C comes here, in the main thread: what runs is ended, and its threads clean up.
            self._stopper.stop()
            for thread in running.values():
                thread.join()
            raise
        if failed is not None:
            raise failed


def located(lock: Lock, index: Index, bindings: Mapping[str, Detected], store: Store) -> Installed:
    """Return where everything of a lock is that is for this machine, installing nothing.

    Raises:
        LockError: something is not installed, or no longer what was installed.
    """
    folders: dict[str, Path] = {}
    absent: list[str] = []
    here = _here(lock)
    for key in here:
        node = lock.nodes[key]
        if node.source == "component":
            folders[key] = component_of(node, index).root
        elif node.source == "install" and node.install_key:
            prefix = sound(store, node.install_key)
            if prefix is None:
                absent.append(key)
            else:
                folders[key] = prefix.path
    pythons: dict[str, Path] = {}
    used = {c.environment for c in lock.configurations if set(c.nodes) <= set(here)}
    for name, environment in lock.environments.items():
        if name not in used:
            continue
        key = local_environment_key(environment, bindings[environment.python].path)
        found = sound_environment(store, key, environment) if environment.install_key else None
        if found is None:
            absent.append(name)
        else:
            pythons[name] = environment_python(found.path)
    if absent:
        solution = lock.solution.split("@")[0].split(":")[1]
        raise LockError(
            f"{lock.solution} is not installed here: {', '.join(absent[:6])} {'is' if len(absent) == 1 else 'are'} missing from the store or no longer what was installed.",
            hint=f"`cr init {solution}` mends it.",
            context={"missing": absent},
        )
    return Installed(folders, pythons, ())
