# SPDX-License-Identifier: Apache-2.0
"""What every format asks of a lock: one target's part, its environments, and what the parts are called."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from codereef.errors import LockError, UsageError
from codereef.lock.types import Lock, LockedConfiguration, LockedEnvironment, LockedNode
from codereef.meta.reference import parse_reference


@dataclass(frozen=True)
class Part:
    """The part of a lock that is exported.

    Attributes:
        lock: its configurations of one target, with their nodes and environments.
        target: triple.
        solution: name of the solution.
        version: version of the solution.
    """

    lock: Lock
    target: str
    solution: str
    version: str

    @property
    def title(self) -> str:
        """How people call it: `demo 1.0.0 for linux-x86_64-gnu`."""
        return f"{self.solution} {self.version} for {self.target}"


def part_of(lock: Lock, target: str, configurations: Sequence[str] = ()) -> Part:
    """Return the part of a lock for one target.

    Args:
        lock: the lock.
        target: triple.
        configurations: only these; nothing means all.

    Raises:
        LockError: the lock has no graph for the target.
    """
    chosen = [c for c in lock.configurations if c.target == target and (not configurations or c.id in configurations)]
    if not chosen:
        raise LockError(
            f"The lock of {lock.solution} has no such configuration for {target}.",
            hint=f"It has {'; '.join(f'{c.id} for {c.target}' for c in lock.configurations)}.",
            context={"target": target, "targets": list(lock.targets)},
        )
    reference = parse_reference(lock.solution)
    return Part(lock.part(chosen), target, reference.name, reference.version or "")


def only_environment(part: Part, format_: str) -> tuple[str, LockedEnvironment, list[LockedConfiguration]]:
    """Return the one Python environment of a part, its name and its configurations.

    Raises:
        UsageError: there is none, or more than one.
        LockError: its exact distributions are open.
    """
    environments = part.lock.environments
    if not environments:
        raise UsageError(f"{part.title} has no Python environment, so there is nothing for {format_}.")
    if len(environments) > 1:
        listed = "; ".join(f"{name}: {' '.join(c.id for c in _users(part, name))}" for name in environments)
        raise UsageError(
            f"{part.title} has {len(environments)} Python environments, and {format_} describes one.",
            hint=f"Choose configurations with --variant. {listed}",
            context={"environments": {name: [c.id for c in _users(part, name)] for name in environments}},
        )
    name, environment = next(iter(environments.items()))
    if environment.requirements and not environment.install_key:
        raise LockError(
            f"The exact Python distributions for {part.target} are open in the lock.",
            hint=f"`cr lock {part.solution}` with the network, or `cr init {part.solution}` on such a machine, fills them in.",
        )
    return name, environment, _users(part, name)


def _users(part: Part, environment: str) -> list[LockedConfiguration]:
    return [c for c in part.lock.configurations if c.environment == environment]


def reused_names(part: Part, environment: LockedEnvironment) -> list[tuple[str, str]]:
    """Return name and version of the distributions that an environment takes from its interpreter."""
    return [distribution_of(part.lock.nodes[key]) for key in environment.reused]


def distribution_of(node: LockedNode) -> tuple[str, str]:
    """Return name and version of a Python distribution that was found, or is expected, in an interpreter."""
    name = str(node.facts.get("name") or parse_reference(node.component).name)
    return name, node.version
