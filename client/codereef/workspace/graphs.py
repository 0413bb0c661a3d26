# SPDX-License-Identifier: Apache-2.0
"""From a wish to the graphs of every target: what of a lock stays, what is solved again, and what has no graph.

A graph stays as it is while its components, the wishes and (for this machine) the detected software are as the
lock has them. What must be solved again prefers what the lock had (`codereef.lock.prefer`), so that only moves
what has to move.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from codereef.detect import Detected
from codereef.errors import LockError, NeedsYouError, NotFoundError, ResolutionError
from codereef.lock.bind import Difference, bind_detected, check_components, refuse
from codereef.lock.prefer import movable, preference
from codereef.lock.types import Lock, LockedConfiguration
from codereef.meta.component import Component
from codereef.meta.reference import nearest
from codereef.meta.selection import configuration_id
from codereef.solve.candidates import TargetFacts
from codereef.solve.universe import PYTHON, Universe
from codereef.workspace import brought
from codereef.workspace.interpreters import only_of, preferred_python
from codereef.workspace.known import look
from codereef.workspace.session import Session
from codereef.workspace.wish import Wish, wanted_configurations, wanted_targets

if TYPE_CHECKING:
    from codereef.solve.resolve import Graph


@dataclass(frozen=True)
class Graphs:
    """The graphs of a solution for all its targets.

    Attributes:
        whole: the lock of all of them; environments may still lack their exact distributions.
        bindings: what was detected, by node id, for this machine's part of the lock.
        solved: configurations that were solved now; the others are as the lock had them.
        missing: what the user has to bring and has not, by node id.
        notes: sentences for the user, such as targets that have no graph.
    """

    whole: Lock
    bindings: Mapping[str, Detected]
    solved: tuple[Graph, ...] = ()
    missing: Mapping[str, NeedsYouError] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Machine:
    """This machine, as resolving sees it."""

    detected: Sequence[Detected]
    python: Detected | None


def make_graphs(session: Session, solution: Component, wish: Wish, lock: Lock | None, *, retry: bool = False) -> Graphs:
    """Work out the graphs of a solution; nothing is written and no network is used.

    Args:
        session: the client.
        solution: the component.
        wish: what the user asks for, with the pins that hold.
        lock: the lock there is.
        retry: try targets again that had no graph.

    Raises:
        ResolutionError: there is no graph for this machine or for a target that was asked for.
        LockError: with `wish.locked`, the lock differs from the components or from this machine.
    """
    _check_names(wish, lock)
    configurations = wanted_configurations(solution, wish, lock)
    targets = wanted_targets(solution, wish, session.host, lock)
    wanted = [(target, variants) for target in targets for variants in configurations]
    machine = _machine(session, lock)
    held: list[LockedConfiguration] = []
    bindings: dict[str, Detected] = {}
    if lock is not None:
        if wish.locked:
            return Graphs(lock, _bound_or_refused(session, wish, lock, configurations, machine))
        if not wish.upgrade:
            held, bindings = _held(session, solution, wish, lock, machine)
    pairs = {(c.target, c.id) for c in held}
    without = _known_without(wish, lock, retry)
    lacking = [
        (target, variants)
        for target, variants in wanted
        if (target, configuration_id(variants)) not in pairs
        and (configuration_id(variants) not in without.get(target, {}) or target == session.host)
    ]
    names = [(target, configuration_id(variants)) for target, variants in wanted]
    if lock is not None and not lacking and not wish.upgrade and wish.request.as_document() == dict(lock.request):
        return Graphs(lock, bindings, notes=_notes(lock))
    from codereef.lock.build import Kept, build_lock

    # Whatever is solved again may have found a way for what had none.
    lacking = [(t, v) for t, v in wanted if (t, configuration_id(v)) not in pairs]
    solved, without = _solve(session, solution, wish, lock, machine, lacking)
    everything = wish.upgrade and not wish.names
    if not solved and not held:
        raise ResolutionError(
            f"{solution.reference} has no graph for any of {', '.join(targets)}: {'; '.join(_reasons(without))}",
            hint=f"`cr lock {solution.name} --target {targets[0]}` says more of one of them.",
            context={"without": without},
        )
    kept = Kept([c for c in held if (c.target, c.id) in names], without, names, None if everything else wish.names)
    whole = build_lock(solution, solved, wish.request, lock, host=session.host, kept=kept)
    here = whole.for_target(session.host)
    # What was chosen comes first: another interpreter may have the same bytes.
    chosen = [n.candidate.detected for graph in solved for n in graph.nodes if n.candidate.detected is not None]
    bindings, _ = bind_detected(here, [*bindings.values(), *chosen, *machine.detected])
    data = brought.look(session, here)
    return Graphs(merged(whole, data.lock), {**bindings, **data.bindings}, tuple(solved), data.missing, _notes(whole))


def merged(whole: Lock, part: Lock) -> Lock:
    """Return a lock with the nodes and environments of one of its parts as that part now has them."""
    return Lock(
        whole.client,
        whole.policy,
        whole.solution,
        whole.solution_digest,
        whole.request,
        whole.configurations,
        {**whole.nodes, **part.nodes},
        {**whole.environments, **part.environments},
        whole.without,
        whole.extra,
        whole.format,
    )


def _machine(session: Session, lock: Lock | None) -> _Machine:
    detected: Sequence[Detected] = session.detected()
    python = preferred_python(detected, session.python)
    if session.python is not None and python is not None:
        return _Machine(only_of(detected, python), python)
    if lock is not None:
        # The interpreter that the lock was made with is preferred to the one this tool was made from.
        here = lock.for_target(session.host)
        bound, _ = bind_detected(here, detected)
        locked = [bound[key] for key, node in here.nodes.items() if node.capability == PYTHON and key in bound]
        python = locked[0] if locked else python
    return _Machine(detected, python)


def _bound_or_refused(
    session: Session, wish: Wish, lock: Lock, configurations: Sequence[Mapping[str, str]], machine: _Machine
) -> dict[str, Detected]:
    """Return the bindings of a lock that must be honoured as it is.

    Raises:
        LockError: naming each node, what the lock has and what is here.
    """
    here = lock.for_target(session.host)
    have = {c.id for c in here.configurations}
    lacking = [name for name in map(configuration_id, configurations) if name not in have]
    if lacking:
        reasons = [lock.without.get(session.host, {}).get(name, "") for name in lacking]
        raise LockError(
            f"The lock has no configuration {', '.join(lacking)} for {session.host}.",
            hint=next((reason for reason in reasons if reason), "")
            or f"It has {'; '.join(f'{c.id} for {c.target}' for c in lock.configurations)}.",
        )
    asked = wish.request.as_document()
    if asked and asked != dict(lock.request):
        raise LockError(
            "The lock was made for other pins than you give, and --locked permits no new one.",
            hint="Leave out --pin, --forbid and --install, or --locked.",
        )
    bindings, missing = bind_detected(here, [*machine.detected, *brought.again(session, here)])
    differences = [*check_components(here, session.usable), *missing]
    differences += [
        Difference(name, "no exact distributions yet", "--locked permits none to be chosen")
        for name, environment in here.environments.items()
        if not environment.install_key and environment.requirements
    ]
    if differences:
        count = len(differences)
        raise refuse(
            lock,
            differences,
            f"{lock.solution} is locked, and {count} of its nodes {'is' if count == 1 else 'are'} not here as the lock has them:",
        )
    return bindings


def _held(
    session: Session, solution: Component, wish: Wish, lock: Lock, machine: _Machine
) -> tuple[list[LockedConfiguration], dict[str, Detected]]:
    """Return the configurations that need not be solved again, and what this machine's nodes are here."""
    same = (lock.solution, lock.solution_digest) == (str(solution.reference), solution.digest)
    if not same or wish.request.as_document() != dict(lock.request):
        return [], {}
    changed = {difference.node for difference in check_components(lock, session.usable)}
    here = lock.for_target(session.host)
    bindings, missing = bind_detected(here, [*machine.detected, *brought.again(session, here)])
    changed |= {difference.node for difference in missing}
    # What was only expected here is now looked at.
    changed |= {key for key, node in here.nodes.items() if node.source == "expected"}
    if session.python is not None and machine.python is not None:
        chosen = {key for key, node in here.nodes.items() if node.capability == PYTHON}
        changed |= {key for key in chosen if key in bindings and bindings[key].path != machine.python.path}
    return [c for c in lock.configurations if changed.isdisjoint(c.nodes)], bindings


def _check_names(wish: Wish, lock: Lock | None) -> None:
    """Refuse to upgrade what is not in the lock.

    Raises:
        NotFoundError: naming the nearest names.
    """
    known = movable(lock) if lock is not None else set()
    for name in wish.names:
        if name not in known:
            near = nearest(name, known)
            raise NotFoundError(
                f"`{name}` is not in the lock.",
                hint=f"Did you mean {' or '.join(f'`{n}`' for n in near)}?" if near else "`cr tree` shows the graph.",
                context={"name": name},
            )


def _known_without(wish: Wish, lock: Lock | None, retry: bool) -> Mapping[str, Mapping[str, str]]:
    """Return what is known to have no graph and is not tried again."""
    if lock is None or retry or wish.upgrade:
        return {}
    return {target: reasons for target, reasons in lock.without.items() if target not in wish.targets}


def _solve(
    session: Session,
    solution: Component,
    wish: Wish,
    lock: Lock | None,
    machine: _Machine,
    lacking: Sequence[tuple[str, Mapping[str, str]]],
) -> tuple[list[Graph], dict[str, dict[str, str]]]:
    """Solve configurations; those without a graph come back with the reason."""
    from codereef.detect.machine import machine_class
    from codereef.solve.resolve import resolve

    host = TargetFacts.from_triple(session.host)
    # `--upgrade` without a name moves everything.
    holds = not wish.upgrade or bool(wish.names)
    solved: list[Graph] = []
    without: dict[str, dict[str, str]] = {}
    for target, variants in lacking:
        identifier = configuration_id(variants)
        universe = Universe(
            session.usable,
            machine.detected,
            host,
            TargetFacts.from_triple(target),
            wish.request,
            machine.python.path if machine.python else None,
            machine=lambda: machine_class(session.home.cache),
            kept={node.component for node in lock.nodes.values()} if lock is not None else (),
            prefer=preference(lock, identifier, target, wish.names) if lock is not None and holds else None,
            look=lambda: look(session),
        )
        try:
            solved.append(resolve(universe, solution, variants))
        except ResolutionError as error:
            if target == session.host or target in wish.targets:
                raise
            without.setdefault(target, {})[identifier] = error.message.splitlines()[0]
    return solved, without


def _reasons(without: Mapping[str, Mapping[str, str]]) -> list[str]:
    return list(dict.fromkeys(reason for reasons in without.values() for reason in reasons.values()))[:3]


def _notes(lock: Lock) -> tuple[str, ...]:
    notes = []
    for target, reasons in lock.without.items():
        shown = "; ".join(f"{name}: {reason}" for name, reason in list(reasons.items())[:2])
        more = f" (and {len(reasons) - 2} more)" if len(reasons) > 2 else ""
        notes.append(f"{target} has no graph. {shown}{more}")
    return tuple(notes)
