# SPDX-License-Identifier: Apache-2.0
"""What a user asks for: a solution, its variants and targets, pins; and what that means for one solution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from codereef.errors import ResolutionError, UsageError
from codereef.lock.types import Lock
from codereef.meta.component import Component
from codereef.meta.reference import nearest
from codereef.meta.selection import assignments, excluded
from codereef.solve.candidates import Request
from codereef.workspace.session import Session


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
        targets: targets to have graphs for besides this machine's; nothing means all that the solution names.
        names: with `upgrade`, what may move: capabilities and components; nothing means everything.
        clear_pins: forget the pins, bans and forced installs that the lock keeps.
    """

    solution: str
    variants: Mapping[str, Sequence[str]]
    every: bool = False
    request: Request = field(default_factory=Request)
    locked: bool = False
    upgrade: bool = False
    targets: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    clear_pins: bool = False


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
        # One choice of variants may stand there for several targets.
        return list({c.id: dict(c.variants) for c in lock.configurations}.values())
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
    # Of several, those that the solution itself excludes are not meant; a single one is, and is explained.
    permitted = [assignment for assignment in chosen if excluded(solution.meta, assignment) is None]
    return permitted if permitted and len(chosen) > 1 else chosen


def wanted_targets(solution: Component, wish: Wish, host: str, lock: Lock | None) -> list[str]:
    """Return the targets to have graphs for: those the solution names, in its order, and this machine's.

    With `wish.targets` these and this machine's; what the lock has of others is kept too.

    Raises:
        ResolutionError: the solution is not for a target that is asked for.
    """
    declared: list[str] = list(solution.meta.get("targets", ()))
    for target in wish.targets:
        if declared and target not in declared:
            near = nearest(target, declared)
            raise ResolutionError(
                f"{solution.reference} supports {', '.join(declared)}; you ask for {target}.",
                hint=f"Did you mean `{near[0]}`?" if near else "Leave out --target for all of them.",
                context={"target": target, "targets": declared},
            )
    had = () if lock is None else lock.targets
    chosen = [*wish.targets, *had] if wish.targets else [*declared, *had]
    if host in declared or not declared:
        chosen.append(host)
    order = {target: place for place, target in enumerate(declared)}
    return sorted({t for t in chosen if not declared or t in order}, key=lambda t: (order.get(t, len(order)), t))


def find_solution(session: Session, name: str) -> Component:
    """Return the solution that a user names.

    Raises:
        NotFoundError: there is none of that name.
        UsageError: it is something else.
    """
    component = session.usable.find(name, default_kind="solution")
    if component.kind != "solution":
        raise UsageError(
            f"{component.reference} is a {component.kind}; a solution is meant.",
            hint="`cr search --kind solution` lists the solutions.",
        )
    return component
