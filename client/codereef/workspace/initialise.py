# SPDX-License-Identifier: Apache-2.0
"""`cr plan` and `cr init`: from a solution's name to a lock, and from the lock to an installed graph."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

from codereef.detect import Detected
from codereef.errors import LockError, NotFoundError, ResolutionError, UsageError
from codereef.install.download import RemoteFile
from codereef.install.execute import (
    Installed,
    component_of,
    install,
    local_environment_key,
    located,
    lock_distributions,
    missing_files,
    sound,
    sound_environment,
)
from codereef.install.progress import Progress
from codereef.lock.bind import bind_detected, check_components, refuse
from codereef.lock.build import build_lock
from codereef.lock.model import FILE_NAME, Lock, LockedNode, read_lock, write_lock
from codereef.meta.component import Component
from codereef.meta.reference import nearest
from codereef.meta.selection import assignments, configuration_id
from codereef.solve.candidates import Request, TargetFacts
from codereef.solve.resolve import Graph, resolve
from codereef.solve.universe import PYTHON, Universe
from codereef.workspace.session import Session, workspace_folder


@dataclass(frozen=True)
class Wish:
    """What the user asks for.

    Attributes:
        solution: name of the solution.
        variants: permitted values by variant name; an empty mapping means the defaults, or what the lock has.
        every: all combinations of variants.
        request: pins, bans and forced installs.
        locked: refuse to differ from the lock.
        upgrade: resolve again although the lock holds.
    """

    solution: str
    variants: Mapping[str, Sequence[str]]
    every: bool = False
    request: Request = field(default_factory=Request)
    locked: bool = False
    upgrade: bool = False


@dataclass(frozen=True)
class Step:
    """One line of a plan.

    Attributes:
        action: `reuse` (detected), `use` (a component as it is), `have` (installed), `copy` (from the
            component), `download`, `generate` or `environment`.
        what: version and name for people.
        size: bytes to fetch, or None where nobody knows.
        origin: where from: a path on this machine, a repository, a host.
        configurations: the configurations that need it.
    """

    action: str
    what: str
    size: int | None
    origin: str
    configurations: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """What `cr init` would do.

    Attributes:
        solution: the component.
        lock: the graph; environments may still lack their exact distributions.
        bindings: detected software by node id.
        graphs: solved configurations, empty when an existing lock was kept.
        kept: whether an existing lock was kept as it is.
        folder: the workspace.
        steps: what would be done, by node.
        dropped: configurations of the existing lock that the new one has no more.
    """

    solution: Component
    lock: Lock
    bindings: Mapping[str, Detected]
    graphs: tuple[Graph, ...]
    kept: bool
    folder: Path
    steps: tuple[Step, ...]
    dropped: tuple[str, ...] = ()


def wanted_configurations(solution: Component, wish: Wish, lock: Lock | None) -> list[dict[str, str]]:
    """Return the variant assignments that a wish names, in a stable order.

    Without a word about variants that is what the lock has, else the defaults.

    Raises:
        UsageError: no such variant or value.
    """
    for name, values in wish.variants.items():
        known = solution.variants.get(name)
        if known is None:
            near = nearest(name, solution.variants)
            raise UsageError(
                f"{solution.reference} has no variant `{name}`.",
                hint=f"Did you mean `{near[0]}`?"
                if near
                else f"Its variants are {', '.join(solution.variants) or 'none'}.",
                context={"variant": name, "known": list(solution.variants)},
            )
        for value in values:
            if value != "all" and value not in known["values"]:
                raise UsageError(
                    f"Variant {name} of {solution.reference} cannot be `{value}`.",
                    hint=f"It can be {', '.join(known['values'])}, or `all`.",
                    context={"variant": name, "values": known["values"]},
                )
    if not wish.every and not wish.variants and lock is not None:
        return [dict(c.variants) for c in lock.configurations]
    chosen = []
    for assignment in assignments(solution.variants, str(solution.reference)):
        fits = all(
            wish.every
            or (name in wish.variants and ("all" in wish.variants[name] or value in wish.variants[name]))
            or (name not in wish.variants and value == solution.variants[name]["default"])
            for name, value in assignment.items()
        )
        if fits:
            chosen.append(assignment)
    return chosen


def _solution(session: Session, name: str) -> Component:
    component = session.usable.find(name, default_kind="solution")
    if component.kind != "solution":
        raise UsageError(
            f"{component.reference} is a {component.kind}; a solution is meant.",
            hint="`cr search --kind solution` lists the solutions.",
        )
    return component


def make_plan(session: Session, wish: Wish, directory: Path) -> Plan:
    """Work out what `cr init` would do; nothing is written and no network is used.

    Raises:
        NotFoundError: no such solution.
        ResolutionError: there is no graph.
        LockError: with `locked`, the lock is missing or differs from the components or from this machine.
    """
    solution = _solution(session, wish.solution)
    folder = workspace_folder(directory, solution.name)
    lock = _existing(folder, wish)
    if lock is not None and not wish.request.as_document():
        # Pins once given hold until other ones are.
        wish = replace(wish, request=Request.from_document(lock.request))
    _check_target(solution, session.host)
    configurations = wanted_configurations(solution, wish, lock)
    detected: Sequence[Detected] = session.detected()
    python = _preferred_python(detected, session.python)
    if session.python is not None and python is not None:
        detected = _only(detected, python)
    if lock is not None and not wish.upgrade:
        kept = _keep(session, solution, wish, lock, configurations, detected)
        if kept is not None:
            return Plan(solution, lock, kept, (), True, folder, _steps(session, lock, kept))
    host = TargetFacts.from_triple(session.host)
    graphs = []
    for variants in configurations:
        universe = Universe(session.usable, detected, host, host, wish.request, python.path if python else None)
        graphs.append(resolve(universe, solution, variants))
    fresh = build_lock(solution, graphs, wish.request, None if wish.upgrade else lock)
    # What was chosen comes first: another interpreter may have the same bytes.
    chosen = [n.candidate.detected for graph in graphs for n in graph.nodes if n.candidate.detected is not None]
    bindings, _ = bind_detected(fresh, [*chosen, *detected])
    before = [] if lock is None else [c.id for c in lock.configurations]
    dropped = tuple(name for name in before if name not in {c.id for c in fresh.configurations})
    return Plan(solution, fresh, bindings, tuple(graphs), False, folder, _steps(session, fresh, bindings), dropped)


def _preferred_python(detected: Sequence[Detected], asked: str | None) -> Detected | None:
    """Return the interpreter to prefer.

    Args:
        detected: what this machine has.
        asked: a path, a command name or the beginning of a version; None takes the one this tool was made from.

    Raises:
        NotFoundError: the one asked for was not detected.
    """
    pythons = [d for d in detected if d.capability == PYTHON and d.facts.get("tool") is not True]
    if asked is None:
        base = os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)
        own = [d for d in pythons if os.path.realpath(d.path) == base and d.facts.get("is_venv") is not True]
        return own[0] if own else None
    named = Path(shutil.which(asked) or asked).absolute()
    real = os.path.realpath(named)
    # Every virtual environment's interpreter is a link to the one it was made from, so the folder decides first.
    choices = [
        *(d for d in pythons if d.path == str(named)),
        *(d for d in pythons if Path(d.path).parent == named.parent and os.path.realpath(d.path) == real),
        *(d for d in pythons if os.path.realpath(d.path) == real and d.facts.get("is_venv") is not True),
        *(d for d in pythons if f"{d.version}.".startswith(f"{asked.removeprefix('python')}.")),
    ]
    if asked and choices:
        return choices[0]
    raise NotFoundError(
        f"No Python interpreter was detected at `{asked}`.",
        hint="`cr detect compiler.python` lists those that were: "
        + ", ".join(f"{d.version} at {d.path}" for d in pythons[:4])
        + ".",
        context={"python": asked},
    )


def _only(detected: Sequence[Detected], python: Detected) -> list[Detected]:
    """Return what was detected without other interpreters and what is installed in them."""
    return [
        d
        for d in detected
        if (d.path == python.path if d.capability == PYTHON else d.paths.get("python", python.path) == python.path)
    ]


def _existing(folder: Path, wish: Wish) -> Lock | None:
    path = folder / FILE_NAME
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


def _keep(
    session: Session,
    solution: Component,
    wish: Wish,
    lock: Lock,
    configurations: Sequence[Mapping[str, str]],
    detected: Sequence[Detected],
) -> dict[str, Detected] | None:
    """Return the bindings when the lock still says what is wanted, None when it must be made again."""
    differences = check_components(lock, session.usable)
    bindings, missing = bind_detected(lock, detected)
    differences += missing
    have = {c.id: c.target for c in lock.configurations}
    wanted = [configuration_id(variants) for variants in configurations]
    lacking = [name for name in wanted if have.get(name) != session.host]
    asked = wish.request.as_document()
    other_request = bool(asked) and asked != dict(lock.request)
    if wish.locked:
        if lacking:
            raise LockError(
                f"The lock has no configuration {', '.join(lacking)} for {session.host}.",
                hint=f"It has {'; '.join(f'{k} for {v}' for k, v in have.items())}.",
            )
        if other_request:
            raise LockError(
                "The lock was made for other pins than you give, and --locked permits no new one.",
                hint="Leave out --pin, --forbid and --install, or --locked.",
            )
        if differences:
            raise refuse(
                lock,
                differences,
                f"{lock.solution} is locked, and {len(differences)} of its nodes {'is' if len(differences) == 1 else 'are'} not here as the lock has them:",
            )
        return bindings
    if differences or lacking or other_request or lock.solution != str(solution.reference):
        return None
    return bindings


def _steps(session: Session, lock: Lock, bindings: Mapping[str, Detected]) -> tuple[Step, ...]:
    steps: list[Step] = []
    fetched = {f.sha256: f for f in missing_files(lock, session.usable, session.store, lock.nodes)}
    for key, node in lock.nodes.items():
        users = tuple(c.id for c in lock.configurations if key in c.nodes)
        if node.source == "detected":
            steps.append(Step("reuse", f"{node.capability} {node.version}", 0, bindings[key].path, users))
        elif node.source == "component":
            steps.append(Step("use", key, 0, component_of(node, session.usable).repository, users))
        elif node.install_key:
            have = sound(session.store, node.install_key) is not None
            size = sum(f.size for f in node.files if f.sha256 in fetched)
            steps.append(
                Step(
                    "have" if have else "generate" if node.tree else "download" if size else "copy",
                    key,
                    0 if have else size,
                    _origin(session, node, fetched),
                    users,
                )
            )
    for name, environment in lock.environments.items():
        users = tuple(c.id for c in lock.configurations if c.environment == name)
        local = local_environment_key(environment, bindings[environment.python].path)
        have = bool(environment.install_key) and sound_environment(session.store, local, environment) is not None
        what = f"Python {environment.python_version} with {', '.join(environment.requirements) or 'nothing else'}"
        steps.append(
            Step(
                "have" if have else "environment",
                what,
                0 if have else None,
                "the Python package index" if environment.requirements else "",
                users,
            )
        )
    return tuple(steps)


def _origin(session: Session, node: LockedNode, fetched: Mapping[str, RemoteFile]) -> str:
    """Return where the files of a node come from: hosts, a mirror, the store or the component itself."""
    places: list[str] = []
    for entry in component_of(node, session.usable).meta.get("files", ()):
        if entry["sha256"] not in {f.sha256 for f in node.files}:
            continue
        remote = fetched.get(entry["sha256"])
        if remote is None:
            places.append("its component" if "path" in entry else "the store")
        else:
            places.append(urlsplit(remote.urls[0]).hostname or "a file" if remote.urls else "a mirror")
    return ", ".join(dict.fromkeys(places)) or "its component"


@dataclass(frozen=True)
class Ready:
    """An installed solution."""

    plan: Plan
    lock: Lock
    installed: Installed


def carry_out(session: Session, plan: Plan, progress: Progress) -> Ready:
    """Install what a plan says and write the lock.

    A first lock is written before anything is installed, so that a second try after a kill does the same again.
    A lock that is there is replaced only when the new graph is installed: a failure leaves what worked.

    Raises:
        InstallError: a step failed.
        UsageError: code of a repository that is not trusted would run.
    """
    _require_trust(session, plan.lock)
    lock = lock_distributions(plan.lock, plan.bindings, session.settings, progress)
    path = plan.folder / FILE_NAME
    if not path.exists():
        write_lock(lock, path)
    installed = install(lock, session.usable, plan.bindings, session.store, session.settings, progress)
    write_lock(lock, path)
    return Ready(plan, lock, installed)


def _require_trust(session: Session, lock: Lock) -> None:
    """Refuse a graph whose programs, generators or recipes come from a repository the user has not trusted.

    A recipe counts as code: it says which distributions are installed, and those run.
    """
    code = []
    for node in lock.nodes.values():
        if node.source != "detected":
            component = component_of(node, session.usable)
            if component.kind in ("program", "package") or node.tree:
                code.append((component.repository, str(component.reference)))
    session.require_trust(code)


def open_workspace(session: Session, solution_name: str, directory: Path) -> tuple[Component, Lock, Installed, Path]:
    """Return an initialised solution, after checking that its lock still tells the truth about this machine.

    Raises:
        LockError: there is no lock, something is missing, or a detected fact has changed.
    """
    solution = _solution(session, solution_name)
    folder = workspace_folder(directory, solution.name)
    path = folder / FILE_NAME
    if not path.exists():
        raise LockError(
            f"{solution.reference} has not been initialised here: there is no {path}.",
            hint=f"`cr init {solution.name}` does that.",
            context={"path": str(path)},
        )
    lock = read_lock(path)
    bindings, differences = bind_detected(
        lock, session.detected({n.capability for n in lock.nodes.values() if n.source == "detected"})
    )
    differences = [*check_components(lock, session.usable), *differences]
    if differences:
        raise refuse(lock, differences, f"{lock.solution} was initialised with something else than is here now:")
    _require_trust(session, lock)
    return solution, lock, located(lock, session.usable, bindings, session.store), folder
