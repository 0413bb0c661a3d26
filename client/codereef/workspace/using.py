# SPDX-License-Identifier: Apache-2.0
"""Which solutions use a model: those initialised here, and those there are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from codereef.errors import LockError, MetadataError, StorageError, UsageError
from codereef.lock.model import FILE_NAME, Lock, LockedConfiguration, read_lock
from codereef.meta.reference import parse_reference
from codereef.workspace.session import Session


@dataclass(frozen=True)
class Use:
    """A solution, and the model it is meant to be used for.

    Attributes:
        solution: name of the solution.
        model: `model:NAME`, or "" where the user named a solution alone.
        others: other solutions initialised here that use the model too.
    """

    solution: str
    model: str = ""
    others: tuple[str, ...] = ()


def model_of(lock: Lock, configuration: LockedConfiguration) -> str:
    """Return `model:NAME` of what a configuration measures, or "" where it has no model."""
    node = lock.nodes[configuration.root].deps.get("model")
    return "" if node is None else parse_reference(lock.nodes[node].component).unversioned


def find_use(session: Session, name: str, solution: str, directory: Path) -> Use:
    """Return the solution to use for what a user names: a solution, or a model that one initialised here uses.

    Args:
        session: the command's view.
        name: a solution or a model.
        solution: the solution to use the model through, or "" for one that is initialised.
        directory: folder that holds the folders of solutions.

    Raises:
        NotFoundError: nothing has that name.
        UsageError: it is neither a solution nor a model, or two solutions are named.
        LockError: no solution that uses the model is initialised here.
    """
    index = session.usable
    plain = ":" not in name and "?" not in name
    kind = "solution" if not plain or f"solution:{name}" in index or f"model:{name}" not in index else "model"
    component = index.find(name, default_kind=kind)
    if component.kind == "solution":
        if solution:
            raise UsageError(
                f"{component.reference} is a solution, and so is `{solution}`.",
                hint="Name one solution, or a model and the solution that uses it.",
            )
        return Use(component.name)
    if component.kind != "model":
        raise UsageError(
            f"{component.reference} is a {component.kind}; a model or a solution is meant.",
            hint="`cr search --kind model` lists the models.",
        )
    model = component.reference.unversioned
    if solution:
        return Use(index.find(solution, default_kind="solution").name, model)
    found = sorted(set(_initialised(model, directory, session.host)))
    if found:
        return Use(found[0], model, tuple(found[1:]))
    users = [s.name for s in index.of_kind("solution") if s.meta["deps"].get("model", {}).get("needs") == model]
    raise LockError(
        f"No solution that uses {model} is initialised in {directory.absolute()}.",
        hint=f"It is used by {', '.join(users)}: `cr init {users[0]}` initialises it."
        if users
        else "No solution asks for it by name; name the solution after it: `cr pitfalls MODEL SOLUTION`.",
        context={"model": model, "solutions": users},
    )


def _initialised(model: str, directory: Path, host: str) -> Iterator[str]:
    """Yield the solutions whose lock has a configuration for this machine with the model."""
    for path in sorted([directory / FILE_NAME, *directory.glob(f"*/{FILE_NAME}")]):
        if not path.is_file():
            continue
        try:
            lock = read_lock(path).for_target(host)
        except (LockError, MetadataError, StorageError):
            continue  # a file of that name that is no lock of ours is no reason to stop
        if any(model_of(lock, configuration) == model for configuration in lock.configurations):
            yield parse_reference(lock.solution).name
