# SPDX-License-Identifier: Apache-2.0
"""Python environments of a lock: their exact distributions, and their folders in the store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from codereef.detect import Detected
from codereef.lock.model import Lock, LockedDistribution, LockedEnvironment, environment_key
from codereef.store import Store

from .download import Settings
from .failures import Recorder
from .nodes import environment_python, local_environment_key, remove_damaged, sound_environment, waiting
from .progress import Progress


def lock_distributions(
    lock: Lock,
    bindings: Mapping[str, Detected],
    settings: Settings,
    progress: Progress,
    *,
    recorder: Recorder | None = None,
    log_dir: Path | None = None,
    preferred: Mapping[str, Sequence[LockedDistribution]] | None = None,
) -> Lock:
    """Return the lock with the exact distributions of every environment that has none yet.

    Args:
        lock: the graph.
        bindings: detected software by node id.
        settings: `offline` and the like.
        progress: is told what goes on.
        recorder: keeps what is to be known about a failure.
        log_dir: where logs go; the default store's by default.
        preferred: by environment, versions to stay with where the requirements permit.

    Raises:
        InstallError: the requirements cannot be met together, or the package index cannot be reached.
    """
    environments = dict(lock.environments)
    for name, environment in lock.environments.items():
        if environment.install_key:
            continue
        distributions: tuple[LockedDistribution, ...] = ()
        if environment.requirements:
            from packaging.utils import canonicalize_name

            from codereef.install.pip import Distribution, resolve_distributions

            # What is reused comes through the environment's path and must not be installed a second time.
            reused = {
                canonicalize_name(str(bindings[key].facts["name"])): bindings[key].version for key in environment.reused
            }
            constraints = [f"{name}=={version}" for name, version in reused.items()]
            with (recorder or Recorder()).step("pip", name, replay=True):
                found = resolve_distributions(
                    Path(bindings[environment.python].path),
                    environment.requirements,
                    constraints,
                    settings,
                    progress,
                    log_dir=log_dir,
                    preferred=[Distribution(d.name, d.version, d.sha256) for d in (preferred or {}).get(name, ())],
                )
            distributions = tuple(
                LockedDistribution(d.name, d.version, tuple(d.sha256))
                for d in found
                if canonicalize_name(d.name) not in reused
            )
        complete = replace(environment, distributions=distributions)
        environments[name] = replace(complete, install_key=environment_key(complete))
    return replace(lock, environments=environments)


def install_environment(
    environment: LockedEnvironment,
    bindings: Mapping[str, Detected],
    store: Store,
    settings: Settings,
    progress: Progress,
    built: list[str],
) -> Path:
    """Return the interpreter of an environment, which is made where it is not in the store yet.

    Raises:
        InstallError: it could not be made.
    """
    python = bindings[environment.python]
    key = local_environment_key(environment, python.path)
    existing = sound_environment(store, key, environment)
    if existing is not None:
        return environment_python(existing.path)
    remove_damaged(store, key, progress)
    from codereef.install.pip import Distribution, create_environment

    with store.building(key, in_place=True, waiting=waiting(key, progress)) as build:
        if build.existing is not None:
            return environment_python(build.existing.path)
        reused: Sequence[Path] = [Path(bindings[node].path) for node in environment.reused]
        distributions = [Distribution(d.name, d.version, d.sha256) for d in environment.distributions]
        create_environment(build.path, Path(python.path), distributions, reused, settings, progress, log_dir=store.logs)
        built.append(key)
        return environment_python(
            build.commit({"python": environment.python_version, "distributions": len(distributions)}).path
        )
