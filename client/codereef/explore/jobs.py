# SPDX-License-Identifier: Apache-2.0
"""One measurement of an exploration as data, and what machines that measure must be able to do."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from codereef.errors import CrError
from codereef.home import Home
from codereef.lock.bind import FOUND
from codereef.lock.model import Lock, LockedConfiguration
from codereef.run.process import Update
from codereef.store.locks import locked


@dataclass(frozen=True)
class Job:
    """One measurement to be made.

    Attributes:
        point: index of the point.
        round: the round it belongs to.
        name: of the point, for people.
        configuration: id in the lock.
        given: options of the program, as text.
    """

    point: int
    round: int
    name: str
    configuration: str
    given: Mapping[str, str]


@dataclass(frozen=True)
class Finished:
    """What became of a job.

    Attributes:
        job: the job.
        machine: who measured.
        seconds: from start to end.
        document: the result, or None where there is none.
        error: what went wrong where there is no result.
        lost: whether the machine went away.
        refused: why this machine can measure nothing of the exploration, or None.
    """

    job: Job
    machine: str
    seconds: float
    document: Mapping[str, Any] | None = None
    error: str = ""
    lost: bool = False
    refused: CrError | None = None


class Machines(Protocol):
    """Where jobs are carried out; each machine one at a time."""

    def names(self) -> Sequence[str]:
        """Return the machines that are there now."""

    def start(self, machine: str, job: Job) -> None:
        """Begin a job on a machine that has none."""

    def wait(self, on_update: Callable[[Job, Update], None]) -> Sequence[Finished]:
        """Wait until something has ended or a machine has come, and return what has ended."""


@contextlib.contextmanager
def alone(home: Home, *, waiting: Callable[[], None] | None = None) -> Iterator[None]:
    """Keep other explorations from measuring on this machine, as far as they share its home, during the block."""
    with locked(home.root / "measuring.lock", waiting=waiting):
        yield


def graph_of(lock: Lock, configuration: LockedConfiguration) -> dict[str, str]:
    """Return what another machine must have to measure the same: digest by component, version by distribution.

    What machines have by themselves (an interpreter, a detected library) is left out; the result tells of it.
    """
    part = lock.restricted(configuration)
    graph = {node.component: node.digest for node in part.nodes.values() if node.source not in FOUND}
    for environment in part.environments.values():
        graph.update({distribution.name: distribution.version for distribution in environment.distributions})
    return graph
