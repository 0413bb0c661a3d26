# SPDX-License-Identifier: Apache-2.0
"""Exact Python distributions: for this machine, and as well as can be for the other targets of a lock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from codereef.errors import InstallError
from codereef.install.failures import Recorder
from codereef.install.progress import Progress
from codereef.lock.types import Lock, LockedDistribution, LockedEnvironment, LockedNode, environment_key
from codereef.meta.reference import parse_reference
from codereef.workspace.session import Session

if TYPE_CHECKING:
    from codereef.workspace.plan import Plan


def own_distributions(session: Session, plan: Plan, progress: Progress) -> Lock:
    """Return this machine's part of a plan with the exact distributions of its environments.

    Raises:
        InstallError: the requirements cannot be met together, or the package index cannot be reached.
    """
    from codereef.install.environments import lock_distributions

    preferred = {name: preferred_versions(plan, e) for name, e in plan.lock.environments.items()}
    return lock_distributions(
        plan.lock,
        plan.bindings,
        session.settings,
        progress,
        recorder=Recorder(session.options.failures, plan.lock, session.usable),
        log_dir=session.store.logs,
        preferred=preferred,
    )


def preferred_versions(plan: Plan, environment: LockedEnvironment) -> tuple[LockedDistribution, ...]:
    """Return the distributions that the lock had for such an environment, without those that are to move."""
    wish = plan.wish
    if plan.before is None or (wish is not None and wish.upgrade and not wish.names):
        return ()
    moving = set(wish.names) if wish is not None else set()
    others = plan.before.environments.values()

    # One of the same target comes first, then one with most of the same requirements.
    def like(other: LockedEnvironment) -> tuple[bool, int]:
        return other.target == environment.target, len({*other.requirements} & {*environment.requirements})

    best = max((e for e in others if e.distributions), key=like, default=None)
    return tuple(d for d in best.distributions if d.name not in moving) if best else ()


def foreign_distributions(
    session: Session, plan: Plan, whole: Lock, progress: Progress, *, retry: bool = False
) -> tuple[Lock, tuple[str, ...]]:
    """Fill in the exact distributions of environments for other targets, where they can be had.

    Where the plan kept the lock as it is nothing is tried, unless `retry` says so: what was open then is open still.

    Returns:
        The lock, and a sentence for each environment that stays open; its own machine fills it in.
    """
    environments = dict(whole.environments)
    notes: list[str] = []
    for name, environment in whole.environments.items():
        if environment.install_key or environment.target == session.host or not (plan.solved or retry):
            continue
        reason = ""
        found: tuple[LockedDistribution, ...] = ()
        if environment.requirements and not environment.python_version:
            reason = "which Python it has is not known"
        try:
            if environment.requirements and not reason:
                found = _resolved(session, plan, whole.nodes, environment, progress)
        except InstallError as error:
            reason = _why(error)
        if reason:
            open_ = f"The exact Python distributions for {environment.target} stay open ({name})"
            notes.append(f"{open_}: {reason.rstrip('.')}. `cr init` on such a machine fills them in.")
            continue
        complete = replace(environment, distributions=found)
        environments[name] = replace(complete, install_key=environment_key(complete))
    return replace(whole, environments=environments), tuple(notes)


def _resolved(
    session: Session,
    plan: Plan,
    nodes: Mapping[str, LockedNode],
    environment: LockedEnvironment,
    progress: Progress,
) -> tuple[LockedDistribution, ...]:
    from packaging.utils import canonicalize_name

    from codereef.install.pip import Distribution

    # What is reused comes through the environment's path and must not be installed a second time.
    reused: dict[str, str] = {}
    for key in environment.reused:
        reference = parse_reference(nodes[key].component)
        softs = [c for c in session.usable.versions(reference.kind, reference.name) if c.version == reference.version]
        name = softs[0].meta.get("find", {}).get("python_distribution") if softs else None
        if name:
            reused[canonicalize_name(name)] = nodes[key].version
    from codereef.install.foreign import Platform, resolve_for_target

    found = resolve_for_target(
        Platform(environment.target, environment.python_version),
        environment.requirements,
        [f"{name}=={version}" for name, version in reused.items() if version],
        session.settings,
        progress,
        preferred=[Distribution(d.name, d.version, d.sha256) for d in preferred_versions(plan, environment)],
        log_dir=session.store.logs,
    )
    return tuple(
        LockedDistribution(d.name, d.version, tuple(d.sha256)) for d in found if canonicalize_name(d.name) not in reused
    )


def _why(error: InstallError) -> str:
    """Return the last words of the tool that failed, or the error's own."""
    tail = error.context.get("tail")
    said = [line.strip(" ×╰─▶│") for line in tail if str(line).strip()] if isinstance(tail, list) else []
    return (" ".join(said) if said else error.message.splitlines()[0])[:300]
