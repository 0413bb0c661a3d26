# SPDX-License-Identifier: Apache-2.0
"""Where an exploration measures: here, in workers of this machine, or on the workers of a scheduler."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from codereef.errors import UsageError
from codereef.explore.document import Subject
from codereef.explore.here import Here
from codereef.explore.jobs import Machines, graph_of
from codereef.explore.scheduler import require_scheduler
from codereef.install.execute import Installed
from codereef.lock.model import Lock
from codereef.workspace.session import Session


@dataclass(frozen=True)
class Place:
    """What a user says of where to measure.

    Attributes:
        directory: folder that holds the solution's folder here.
        workers: Dask workers to start on this machine, or None.
        scheduler: address of a Dask scheduler, or None.
        worker_directory: folder on its workers that holds the solution's; None for the one they were started in.
    """

    directory: Path
    workers: int | None = None
    scheduler: str | None = None
    worker_directory: str | None = None


@contextlib.contextmanager
def machines(
    session: Session, lock: Lock, installed: Installed, subject: Subject, place: Place, say: Callable[[str], None]
) -> Iterator[Machines]:
    """Give the machines to measure on during the block.

    Args:
        session: the command's view.
        lock: the graph, installed here.
        installed: where everything is here.
        subject: what is explored.
        place: where to measure.
        say: is told what a user must know of it.

    Raises:
        UsageError: Dask is not installed, there are fewer processors than pinned workers, or the exploration was
            begun with pinned workers and would go on without.
        NetworkError: no scheduler answers at the address.
        RunError: the workers could not be started.
    """
    if subject.pinned and place.workers is None:
        raise UsageError(
            "The exploration was begun with --pinned, and what is measured otherwise is not like it.",
            hint="Give --workers as before, or begin another one without --resume.",
        )
    if place.workers is None and place.scheduler is None:
        yield Here(
            lock,
            session.index,
            installed,
            session.home,
            subject.timeout,
            subject.memory,
            lambda: say("another exploration measures on this machine; waiting for it"),
        )
        return
    from codereef.explore.distributed import Workers, local_cluster, shares

    if place.scheduler is not None:
        require_scheduler(place.scheduler, say)
    order = {
        "solution": subject.name,
        "directory": (place.worker_directory or "") if place.scheduler else str(place.directory.absolute()),
        "timeout": subject.timeout,
        "memory": subject.memory,
    }
    graphs = {c.id: graph_of(lock, c) for c in lock.configurations}
    cpus = None
    if place.workers is not None and subject.pinned:
        cpus = shares(place.workers, sorted(os.sched_getaffinity(0)))
        say(
            f"{place.workers} workers measure on this machine at the same time, on {len(cpus[0])} processor"
            f"{'s' if len(cpus[0]) != 1 else ''} each; they share caches, memory and heat, so the numbers are not those "
            "of a machine that measures alone"
        )
    elif place.workers is not None and place.workers > 1:
        say("workers of one machine take turns, for two measurements would disturb each other; see --pinned")
    with contextlib.ExitStack() as stack:
        address = place.scheduler or stack.enter_context(local_cluster(place.workers or 1))
        yield stack.enter_context(Workers(address, order, graphs, cpus))
