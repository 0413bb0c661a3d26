# SPDX-License-Identifier: Apache-2.0
"""`cr lock`: a lock written, refreshed and checked without installing anything."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from codereef.errors import LockError
from codereef.install.progress import Progress
from codereef.lock.bind import bind_detected, check_components
from codereef.lock.diff import Change, compare_locks
from codereef.lock.model import FILE_NAME, Lock, read_lock, write_lock
from codereef.workspace import brought
from codereef.workspace.distributions import foreign_distributions, own_distributions
from codereef.workspace.graphs import merged
from codereef.workspace.plan import Plan, make_plan
from codereef.workspace.session import Session, workspace_folder
from codereef.workspace.wish import Wish, find_solution


@dataclass(frozen=True)
class Written:
    """A lock that was written or found as it should be.

    Attributes:
        path: its file.
        lock: the lock.
        changes: what is other than before; everything is added where there was none.
        notes: sentences for the user.
    """

    path: Path
    lock: Lock
    changes: tuple[Change, ...]
    notes: tuple[str, ...]


def write(session: Session, wish: Wish, directory: Path, progress: Progress) -> Written:
    """Write or refresh the lock of a solution; nothing is installed.

    Raises:
        ResolutionError: there is no graph for this machine or a target that was asked for.
        InstallError: exact distributions for this machine cannot be had.
    """
    plan = make_plan(session, wish, directory, installing=False)
    lock, notes = _complete(session, plan, progress)
    path = plan.folder / FILE_NAME
    write_lock(lock, path)
    changes = compare_locks(plan.before, lock) if plan.before is not None else ()
    return Written(path, lock, tuple(changes), (*plan.notes, *notes))


def _complete(session: Session, plan: Plan, progress: Progress) -> tuple[Lock, tuple[str, ...]]:
    own = own_distributions(session, plan, progress) if plan.lock.configurations else plan.lock
    return foreign_distributions(session, plan, merged(plan.written, own), progress, retry=True)


@dataclass(frozen=True)
class Finding:
    """One thing that keeps a lock from holding.

    Attributes:
        what: node, configuration or environment.
        text: what the lock has and what is here instead.
        kind: `machine` (not here as locked), `components` (a repository has it otherwise), `stale` (`cr lock`
            would change it) or `open` (exact distributions are missing).
    """

    what: str
    text: str
    kind: str


def verify(session: Session, wish: Wish, directory: Path) -> tuple[Lock, list[Finding]]:
    """Tell whether a lock holds on this machine and is what `cr lock` would write; nothing is written.

    Returns:
        The lock, and what keeps it from holding; nothing where it holds.

    Raises:
        LockError: there is no lock.
    """
    solution = find_solution(session, wish.solution)
    path = workspace_folder(directory, solution.name) / FILE_NAME
    lock = read_lock(path)
    here = lock.for_target(session.host)
    findings: list[Finding] = []
    if not here.configurations:
        have = ", ".join(lock.targets)
        findings.append(Finding(session.host, f"the lock has no configuration for it; it has {have}", "machine"))
    detected = [*session.detected(), *brought.again(session, here)]
    _, missing = bind_detected(here, detected)
    findings += [Finding(d.node, f"the lock has {d.locked}; {d.here}", "machine") for d in missing]
    changed = check_components(lock, session.usable)
    findings += [Finding(d.node, f"the lock has {d.locked}; {d.here}", "components") for d in changed]
    findings += [
        Finding(name, "its exact distributions are open", "open")
        for name, environment in here.environments.items()
        if environment.requirements and not environment.install_key
    ]
    if not findings:
        # Exact distributions need the network; a plan has none for what it solved again.
        fresh = make_plan(session, replace(wish, locked=False), directory, installing=False).written
        findings += [Finding(c.what, c.text, "stale") for c in compare_locks(lock, fresh) if c.kind != "distribution"]
    return lock, findings


def refusal(lock: Lock, findings: list[Finding]) -> LockError:
    """Return the error that names everything that keeps a lock from holding."""
    name = lock.solution.split("@")[0].split(":")[1]
    shown = "\n".join(f"  · {f.what}: {f.text}" for f in findings[:10])
    more = f"\n  … and {len(findings) - 10} more" if len(findings) > 10 else ""
    return LockError(
        f"The lock of {lock.solution} does not hold:\n{shown}{more}",
        hint=f"`cr lock {name}` writes what holds; `cr init {name}` installs it too.",
        context={"findings": [{"what": f.what, "text": f.text, "kind": f.kind} for f in findings]},
    )
