# SPDX-License-Identifier: Apache-2.0
"""`cr plan`: what `cr init` would do, worked out without writing anything and without the network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from codereef.detect import Detected
from codereef.errors import LockError, NeedsYouError, ResolutionError
from codereef.lock.model import FILE_NAME, Lock, read_lock
from codereef.meta.component import Component
from codereef.solve.candidates import Request
from codereef.witness import looked
from codereef.workspace.graphs import make_graphs
from codereef.workspace.session import Session, workspace_folder
from codereef.workspace.steps import Step, steps_of
from codereef.workspace.wish import Wish, find_solution

if TYPE_CHECKING:
    from codereef.solve.resolve import Graph


@dataclass(frozen=True)
class Plan:
    """What `cr init` would do.

    Attributes:
        solution: the component.
        lock: the graphs for this machine; environments may still lack their exact distributions.
        bindings: detected software by node id.
        solved: configurations of all targets that were solved now, none when an existing lock was kept.
        kept: whether an existing lock was kept as it is.
        folder: the workspace.
        steps: what would be done, by node.
        dropped: configurations of the existing lock that the new one has no more.
        missing: what the user has to bring and has not, by node id.
        whole: the lock that is written: the graphs for every target.
        notes: sentences for the user, such as targets that have no graph.
        before: the lock there was.
        wish: what the user asked for.
    """

    solution: Component
    lock: Lock
    bindings: Mapping[str, Detected]
    solved: tuple[Graph, ...]
    kept: bool
    folder: Path
    steps: tuple[Step, ...]
    dropped: tuple[str, ...] = ()
    missing: Mapping[str, NeedsYouError] = field(default_factory=dict)
    whole: Lock | None = None
    notes: tuple[str, ...] = ()
    before: Lock | None = None
    wish: Wish | None = None

    @property
    def written(self) -> Lock:
        """The lock of every target, of which `lock` is a part."""
        return self.lock if self.whole is None else self.whole


def make_plan(session: Session, wish: Wish, directory: Path, *, installing: bool = True) -> Plan:
    """Work out what `cr init` or `cr lock` would do; nothing is written and no network is used.

    Args:
        session: the client.
        wish: what the user asks for.
        directory: folder that holds the solution's folder.
        installing: it is to be installed here; else there are no steps, this machine need not be one of the
            solution's targets, and targets that had no graph are tried again.

    Raises:
        NotFoundError: no such solution.
        ResolutionError: there is no graph.
        LockError: with `locked`, the lock is missing or differs from the components or from this machine.
    """
    solution = find_solution(session, wish.solution)
    folder = workspace_folder(directory, solution.name)
    lock = existing_lock(folder, wish)
    wish = with_pins(wish, lock)
    if installing:
        _check_target(solution, session.host)
    graphs = make_graphs(session, solution, wish, lock, retry=not installing)
    here = graphs.whole.for_target(session.host)
    before = [] if lock is None else list(dict.fromkeys(c.id for c in lock.configurations))
    dropped = tuple(name for name in before if name not in {c.id for c in graphs.whole.configurations})
    steps = steps_of(session, here, graphs.bindings, graphs.missing) if installing else ()
    return Plan(
        solution,
        here,
        graphs.bindings,
        graphs.solved,
        graphs.whole is lock,
        folder,
        steps,
        dropped,
        graphs.missing,
        graphs.whole,
        graphs.notes,
        lock,
        wish,
    )


def with_pins(wish: Wish, lock: Lock | None) -> Wish:
    """Return a wish with the pins that hold: once given they hold until other ones are."""
    if lock is None or wish.request.as_document() or wish.clear_pins:
        return wish
    return replace(wish, request=Request.from_document(lock.request))


def existing_lock(folder: Path, wish: Wish) -> Lock | None:
    """Return the lock of a workspace, if there is one.

    Raises:
        LockError: it cannot be read; or there is none and the wish permits no new one.
    """
    path = folder / FILE_NAME
    looked(str(path.absolute()))
    if not path.exists():
        if wish.locked:
            raise LockError(
                f"There is no lock at {path}, and --locked permits no new one.",
                hint=f"`cr init {wish.solution}` without --locked writes it.",
            )
        return None
    return read_lock(path)


def _check_target(solution: Component, host: str) -> None:
    targets = solution.meta.get("targets")
    if targets and host not in targets:
        raise ResolutionError(
            f"{solution.reference} supports {', '.join(targets)}; this machine is {host}.",
            hint="Another solution may support it: `cr search --kind solution`.",
            context={"target": host, "targets": targets},
        )
