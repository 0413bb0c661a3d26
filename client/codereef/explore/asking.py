# SPDX-License-Identifier: Apache-2.0
"""From what a user asks for to an exploration: a new one, or the one that the same question already has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from codereef.detect.instance import instance_id
from codereef.errors import LockError, UsageError
from codereef.explore.document import Exploration, Explorations, Subject, begin
from codereef.explore.search import Search, choose_points
from codereef.explore.space import Measurable, make_space
from codereef.home import Home
from codereef.lock.model import Lock
from codereef.meta.component import Component
from codereef.meta.reference import nearest
from codereef.repo.index import Index
from codereef.run.request import parts_of

GRID_REPEAT, HALVING_REPEAT = 5, 1
OBJECTIVE = "latency_p50"


@dataclass(frozen=True)
class Wish:
    """What a user asks for.

    Attributes:
        vary: entries `NAME=VALUES`.
        variants: permitted values by variant.
        options: options that are the same everywhere.
        kind: `grid`, `random` or `halving`.
        repeat: repetitions, or None for the default of the kind.
        seed: of order and choice.
        samples: points that `random` takes.
        objective: a metric.
        budget: measuring seconds of `halving`.
        timeout: seconds of one measurement.
        memory: bytes of address space.
        pinned: whether workers share this machine.
    """

    vary: Sequence[str]
    variants: Mapping[str, Sequence[str]] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)
    kind: str = "grid"
    repeat: int | None = None
    seed: int = 1
    samples: int | None = None
    objective: str = OBJECTIVE
    budget: float | None = None
    timeout: float | None = None
    memory: int | None = None
    pinned: bool = False


def measurables_of(lock: Lock, index: Index) -> list[Measurable]:
    """Return every configuration of a lock with the program that measures it."""
    found = []
    for configuration in lock.configurations:
        parts = parts_of(lock, configuration, index)
        found.append(
            Measurable(configuration, parts.program.meta, parts.solution.meta["actions"].get("benchmark") or {})
        )
    return found


def ask(wish: Wish, solution: Component, lock: Lock, index: Index, home: Home, *, fresh: bool) -> Exploration:
    """Return the exploration of a wish: the newest one of the same question, else a new one.

    Args:
        wish: what is asked for.
        solution: what is explored.
        lock: its part for this machine, installed.
        index: the components.
        home: the client's home.
        fresh: begin a new one in any case.

    Raises:
        UsageError: the wish contradicts itself, the program or the solution.
        LockError: the lock lacks a configuration; the hint has the command that adds it.
    """
    measurables = measurables_of(lock, index)
    search = _search(wish, measurables[0].program)
    space = make_space(
        wish.vary,
        measurables,
        solution=solution.name,
        only=wish.variants,
        fixed=wish.options,
        lock_variants={name: declared["values"] for name, declared in solution.variants.items()},
    )
    points = choose_points(space, search)
    subject = Subject(
        lock.solution,
        lock.solution_digest,
        lock.digest,
        lock.configurations[0].target,
        wish.timeout,
        wish.memory,
        wish.pinned,
    )
    exploration = begin(subject, search, points, instance_id(home.root / "instance.salt"))
    known = None if fresh else Explorations(home.explorations).same(exploration.question)
    return known or exploration


def require_lock(exploration: Exploration, lock: Lock) -> None:
    """Refuse to go on where the lock is no longer what it was.

    Raises:
        LockError: it is not.
    """
    if exploration.subject.lock_digest != lock.digest:
        raise LockError(
            f"The lock has changed since the exploration {exploration.id} began; its points would not be of one thing.",
            hint="Give --vary again: that begins another exploration. Or bring back the lock that it began with.",
            context={"was": exploration.subject.lock_digest, "is": lock.digest},
        )


def _search(wish: Wish, program: Mapping[str, Any]) -> Search:
    for name, given, kind in (("--samples", wish.samples, "random"), ("--budget", wish.budget, "halving")):
        if given is not None and wish.kind != kind:
            raise UsageError(
                f"{name} is for --search {kind}, and you search by {wish.kind}.", hint=f"Add --search {kind}."
            )
    if wish.kind == "random" and wish.samples is None:
        raise UsageError("--search random needs to know how many points to take.", hint="For example --samples 20.")
    metrics: Mapping[str, Mapping[str, Any]] = program.get("metrics", {})
    if wish.objective not in metrics:
        near = nearest(wish.objective, metrics)
        raise UsageError(
            f"{program['name']} has no metric `{wish.objective}`.",
            hint=f"Did you mean `{near[0]}`?" if near else f"Its metrics are {', '.join(metrics) or 'none'}.",
            context={"metric": wish.objective, "known": list(metrics)},
        )
    repeat = wish.repeat or (HALVING_REPEAT if wish.kind == "halving" else GRID_REPEAT)
    direction = str(metrics[wish.objective]["direction"])
    return Search(wish.kind, repeat, wish.seed, wish.objective, direction, wish.samples, wish.budget)
