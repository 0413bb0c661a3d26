# SPDX-License-Identifier: Apache-2.0
"""Which configurations of a lock a command is about: those with the variants that `-v` names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from codereef.errors import LockError
from codereef.lock.model import Lock, LockedConfiguration
from codereef.meta.reference import nearest

_SHOWN = 3
_SHOWN_CONFIGURATIONS = 6


def chosen_configurations(lock: Lock, variants: Mapping[str, Sequence[str]]) -> list[LockedConfiguration]:
    """Return the configurations that have these variants, in the lock's order.

    Args:
        lock: its part for this machine, as `open_workspace` returns it.
        variants: permitted values by name; `all` permits each.

    Raises:
        LockError: there is none, or a single one of the values is in no configuration, even where others are.
    """
    fitting = [
        c
        for c in lock.configurations
        if all("all" in values or c.variants.get(name) in values for name, values in variants.items())
    ]
    known = {item for c in lock.configurations for item in c.variants.items()}
    names = {name for name, _ in known}
    absent = [
        f"{name}={value}"
        for name, values in variants.items()
        for value in values
        if (name not in names if value == "all" else (name, value) not in known)
    ]
    if absent or not fitting:
        raise LockError(
            f"The lock of {lock.solution} has no configuration with {_listed(absent) if absent else 'these variants'}.",
            hint=_hint(lock, [n for n in variants if n not in names], names),
            context={"absent": absent, "configurations": [c.id for c in lock.configurations]},
        )
    return fitting


def _hint(lock: Lock, unknown: Sequence[str], names: Iterable[str]) -> str:
    near = nearest(unknown[0], names) if unknown else []
    there = [c.id for c in lock.configurations]
    more = f"; and {len(there) - _SHOWN_CONFIGURATIONS} more" if len(there) > _SHOWN_CONFIGURATIONS else ""
    solution = lock.solution.split("@")[0].split(":")[1]
    return (
        (f"Did you mean `{near[0]}`? " if near else "")
        + f"It has {'; '.join(there[:_SHOWN_CONFIGURATIONS])}{more}. "
        + f"`cr init {solution}` with every variant you want writes a lock that has them."
    )


def _listed(entries: Sequence[str]) -> str:
    return ", ".join(entries[:_SHOWN]) + (f" and {len(entries) - _SHOWN} more" if len(entries) > _SHOWN else "")
