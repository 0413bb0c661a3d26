# SPDX-License-Identifier: Apache-2.0
"""`cr outdated`: what a lock has, the newest that fits, and the newest there is. No network is used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from packaging.version import InvalidVersion, Version

from codereef.errors import CrError
from codereef.install.progress import NullProgress
from codereef.lock.bind import FOUND
from codereef.lock.diff import label
from codereef.lock.model import FILE_NAME, Lock, LockedEnvironment, LockedNode, read_lock
from codereef.meta.component import Component
from codereef.meta.reference import parse_reference
from codereef.meta.versions import preference
from codereef.workspace.graphs import make_graphs
from codereef.workspace.plan import with_pins
from codereef.workspace.session import Session, workspace_folder
from codereef.workspace.wish import Wish, find_solution


@dataclass(frozen=True)
class Row:
    """One thing of a lock.

    Attributes:
        what: capability, component or distribution.
        kind: `component`, `capability`, `detected`, `expected` or `distribution`.
        locked: version in the lock.
        fits: newest version that a full upgrade would take; "" where that is not known.
        newest: newest version there is, fitting or not; "" where that is not known.
        targets: targets it is for.
    """

    what: str
    kind: str
    locked: str
    fits: str
    newest: str
    targets: tuple[str, ...]

    @property
    def outdated(self) -> bool:
        """Tell whether there is anything newer, fitting or not."""
        return self.movable or bool(self.newest and _newer(self.newest, self.locked))

    @property
    def movable(self) -> bool:
        """Tell whether an upgrade would take something newer."""
        return bool(self.fits and _newer(self.fits, self.locked))


@dataclass(frozen=True)
class Outdated:
    """What of a lock is outdated.

    Attributes:
        lock: the lock.
        rows: everything in it.
        notes: sentences for the user.
    """

    lock: Lock
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()


def _newer(version: str, than: str) -> bool:
    try:
        return Version(version) > Version(than)
    except InvalidVersion:
        return version != than


def outdated(session: Session, name: str, directory: Path) -> Outdated:
    """Compare a lock with what there is in the repositories, on this machine and in the package cache.

    Raises:
        LockError: there is no lock.
    """
    solution = find_solution(session, name)
    lock = read_lock(workspace_folder(directory, solution.name) / FILE_NAME)
    wish = with_pins(Wish(name, {}, upgrade=True), lock)
    notes: list[str] = []
    fits: Lock | None = None
    try:
        fits = make_graphs(session, solution, wish, lock).whole
    except CrError as error:
        notes.append(f"What fits is not known: {error.message.splitlines()[0]}")
    rows = [*_nodes(session, lock, fits), *_distributions(session, lock, fits, notes)]
    return Outdated(lock, tuple(rows), tuple(notes))


def _nodes(session: Session, lock: Lock, fits: Lock | None) -> Iterator[Row]:
    upgraded: dict[tuple[str, str, str, str], str] = {}
    for configuration in fits.configurations if fits else ():
        for key in configuration.nodes:
            node = fits.nodes[key] if fits else lock.nodes[key]
            upgraded[configuration.target, configuration.id, label(node), node.scope] = node.version
    found: dict[tuple[str, str, str, str, str], list[str]] = {}
    newest: dict[str, str] = {}
    for configuration in lock.configurations:
        for key in configuration.nodes:
            node = lock.nodes[key]
            what = label(node)
            fitting = upgraded.get((configuration.target, configuration.id, what, node.scope), "")
            if what not in newest:
                newest[what] = _newest(session, node)
            row = (what, _kind(node), node.version, fitting, newest[what])
            found.setdefault(row, []).append(configuration.target)
    for (what, kind, locked, fitting, top), targets in sorted(found.items()):
        yield Row(what, kind, locked or "any", fitting or locked or "any", top, tuple(dict.fromkeys(targets)))


def _kind(node: LockedNode) -> str:
    if node.source in FOUND:
        return node.source
    return "capability" if node.capability else "component"


def _newest(session: Session, node: LockedNode) -> str:
    """Return the newest version of what a node provides, from any repository or on this machine."""
    index = session.usable
    versions: list[str] = []
    if node.capability:
        versions += [
            str(version)
            for component in index.providers(node.capability)
            if not component.meta.get("yanked")
            for version in component.meta["provides"]["versions"]
        ]
        found = session.detected({node.capability})
        versions += [item.version for item in found if item.facts.get("tool") is not True]
    else:
        reference = parse_reference(node.component)
        versions += [c.version for c in _offered(index.versions(reference.kind, reference.name))]
    return max(versions, key=preference, default="")


def _offered(components: Sequence[Component]) -> list[Component]:
    return [component for component in components if not component.meta.get("yanked")]


def _distributions(session: Session, lock: Lock, fits: Lock | None, notes: list[str]) -> Iterator[Row]:
    found: dict[tuple[str, str, str, str], list[str]] = {}
    wanted = {(c.target, c.id): c.environment for c in (fits.configurations if fits else ())}
    unknown: set[str] = set()
    for configuration in lock.configurations:
        environment = lock.environments.get(configuration.environment)
        if environment is None or not environment.distributions:
            continue
        name = wanted.get((configuration.target, configuration.id), "")
        better = fits.environments[name] if fits and name else environment
        fitting = _known_offline(session, better, better.requirements)
        newest = _known_offline(session, better, [d.name for d in environment.distributions], alone=True)
        if not fitting and not newest:
            unknown.add(environment.target)
        for d in environment.distributions:
            row = (d.name, d.version, fitting.get(d.name, ""), newest.get(d.name, ""))
            found.setdefault(row, []).append(environment.target)
    if unknown:
        notes.append("Newer Python distributions are not known without the network; `cr lock --upgrade` asks for them.")
    for (what, locked, fitting_version, top), targets in sorted(found.items()):
        yield Row(what, "distribution", locked, fitting_version, top, tuple(dict.fromkeys(targets)))


def _known_offline(
    session: Session, environment: LockedEnvironment, requirements: Sequence[str], *, alone: bool = False
) -> Mapping[str, str]:
    """Return versions by distribution from the package cache, or nothing where it does not have them.

    Args:
        session: the client.
        environment: what they are for.
        requirements: what is asked for.
        alone: take each requirement by itself, whatever the others ask for.
    """
    from codereef.install.foreign import Platform, resolve_for_target
    from codereef.install.pip import find_uv

    if not environment.python_version or not requirements or find_uv() is None:
        return {}
    offline = replace(session.settings, offline=True)
    platform = Platform(environment.target, environment.python_version)
    try:
        found = resolve_for_target(
            platform, requirements, (), offline, NullProgress(), log_dir=session.store.logs, dependencies=not alone
        )
    except CrError:
        return {}
    return {d.name: d.version for d in found}
