# SPDX-License-Identifier: Apache-2.0
"""`cr init`: from a plan to a lock and an installed graph; and opening what was initialised.

The plan is made in `codereef.workspace.plan`, the graphs in `codereef.workspace.graphs`; their names can be
imported from here too.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from codereef.errors import LockError
from codereef.install.execute import Installed, component_of, install
from codereef.install.progress import Progress
from codereef.lock.bind import FOUND, bind_detected, check_components, refuse
from codereef.lock.model import FILE_NAME, Lock, read_lock, write_lock
from codereef.meta.component import Component
from codereef.workspace import brought, terms
from codereef.workspace.distributions import foreign_distributions, own_distributions
from codereef.workspace.graphs import merged
from codereef.workspace.plan import Plan, make_plan
from codereef.workspace.session import Session, workspace_folder
from codereef.workspace.steps import Step
from codereef.workspace.storage import installing, sound_location, use
from codereef.workspace.system import with_system_packages
from codereef.workspace.trust import holds_code
from codereef.workspace.wish import Wish, find_solution, wanted_configurations

__all__ = [
    "Plan",
    "Ready",
    "Step",
    "Wish",
    "carry_out",
    "make_plan",
    "open_workspace",
    "terms_of",
    "wanted_configurations",
]


@dataclass(frozen=True)
class Ready:
    """An installed solution.

    Attributes:
        plan: what was planned.
        lock: the graphs of this machine, with exact distributions.
        installed: where everything is.
        notes: sentences for the user, such as what stays open for other targets.
    """

    plan: Plan
    lock: Lock
    installed: Installed
    notes: tuple[str, ...] = ()


def carry_out(session: Session, plan: Plan, progress: Progress) -> Ready:
    """Install what a plan says and write the lock.

    A first lock is written before anything is installed, so that a second try after a kill does the same again.
    A lock that is there is replaced only when the new graph is installed: a failure leaves what worked.

    Raises:
        InstallError: a step failed.
        NeedsYouError: terms are not accepted, data is not here that the user has to bring, or the system's
            package manager has to be run.
        UsageError: code of a repository that is not trusted would run.
    """
    _require_trust(session, plan.lock)
    brought.require(plan.missing)
    terms.require(session.home, terms_of(session, plan.lock))
    brought.keep_places(session)
    plan = with_system_packages(session, plan, progress)
    lock = own_distributions(session, plan, progress)
    path = plan.folder / FILE_NAME
    with installing(session.store, path, lock, plan.bindings):
        if not path.exists():
            write_lock(merged(plan.written, lock), path)
        installed = install(
            lock, session.usable, plan.bindings, session.store, session.settings, progress, session.options
        )
        # Only now: what other machines will need must not keep this one waiting for its own.
        whole, notes = foreign_distributions(session, plan, merged(plan.written, lock), progress)
        write_lock(whole, path)
    return Ready(plan, lock, brought.with_folders(installed, lock, plan.bindings), notes)


def terms_of(session: Session, lock: Lock) -> list[terms.Terms]:
    """Return the terms that the components of a lock are under."""
    return terms.terms_of(component_of(node, session.usable) for node in lock.nodes.values())


def _require_trust(session: Session, lock: Lock) -> None:
    """Refuse a graph whose programs, generators or recipes come from a repository the user has not trusted.

    A recipe counts as code: it says which distributions are installed, and those run.
    """
    code = []
    for node in lock.nodes.values():
        if node.source not in FOUND:
            component = component_of(node, session.usable)
            if holds_code(component):
                code.append((component.repository, str(component.reference)))
    session.require_trust(code)


def open_workspace(
    session: Session, solution_name: str, directory: Path, *, thorough: bool = True
) -> tuple[Component, Lock, Installed, Path]:
    """Return an initialised solution, after checking that its lock still tells the truth about this machine.

    What it names stays in the store as long as the session lives.

    Args:
        session: the command's view.
        solution_name: the solution.
        directory: folder that holds the solution's folder.
        thorough: read every model, dataset and package again, whatever was found before; for measuring.

    Raises:
        LockError: there is no lock, something is missing, or a detected fact has changed.
    """
    solution = find_solution(session, solution_name)
    folder = workspace_folder(directory, solution.name)
    path = folder / FILE_NAME
    if not path.exists():
        raise LockError(
            f"{solution.reference} has not been initialised here: there is no {path}.",
            hint=f"`cr init {solution.name}` does that.",
            context={"path": str(path)},
        )
    whole = read_lock(path)
    lock = whole.for_target(session.host)
    if not lock.configurations:
        raise LockError(
            f"The lock at {path} has no configuration for {session.host}; it has {', '.join(whole.targets)}.",
            hint=f"`cr init {solution.name}` adds this machine.",
            context={"path": str(path), "target": session.host, "targets": list(whole.targets)},
        )
    detected = session.detected({n.capability for n in lock.nodes.values() if n.source in FOUND})
    bindings, differences = bind_detected(lock, [*detected, *brought.again(session, lock)])
    differences = [*check_components(lock, session.usable), *differences]
    if differences:
        raise refuse(lock, differences, f"{lock.solution} was initialised with something else than is here now:")
    _require_trust(session, lock)
    terms.require(session.home, terms_of(session, lock))
    use(session, path, lock, bindings)
    installed = sound_location(session, lock, bindings, thorough=thorough)
    return solution, lock, brought.with_folders(installed, lock, bindings), folder
