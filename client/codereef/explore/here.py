# SPDX-License-Identifier: Apache-2.0
"""Measuring on this machine: one job after another, each a process of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from codereef.errors import CancelledError, OptionError, RunError
from codereef.explore.jobs import Finished, Job, alone
from codereef.home import Home
from codereef.install.execute import Installed
from codereef.lock.model import Lock
from codereef.repo.index import Index
from codereef.run.measure import Order, measure
from codereef.run.process import Update


@dataclass
class Here:
    """This machine.

    Attributes:
        lock: the graph, installed.
        index: the components.
        installed: where everything is.
        home: the client's home.
        timeout: seconds of one measurement; None for the program's own limit.
        memory: bytes of address space; None for no limit.
        waiting: is called when another exploration measures here.
    """

    lock: Lock
    index: Index
    installed: Installed
    home: Home
    timeout: float | None = None
    memory: int | None = None
    waiting: Callable[[], None] | None = None
    _job: Job | None = field(default=None, init=False)

    def names(self) -> Sequence[str]:
        return ("here",)

    def start(self, machine: str, job: Job) -> None:
        self._job = job

    def wait(self, on_update: Callable[[Job, Update], None]) -> Sequence[Finished]:
        """Carry out the job.

        Raises:
            CancelledError: the user interrupted; nothing is kept of the job.
            UsageError: an option is wrong.
        """
        job, self._job = self._job, None
        if job is None:
            return ()
        configuration = next(c for c in self.lock.configurations if c.id == job.configuration)
        begun = time.monotonic()
        try:
            with alone(self.home, waiting=self.waiting):
                begun = time.monotonic()
                measured = measure(
                    self.lock,
                    configuration,
                    self.index,
                    self.installed,
                    self.home,
                    # A repetition is a process; rounds over all points are what repeats.
                    Order("benchmark", job.given, timeout=self.timeout, memory_limit=self.memory, processes=1),
                    on_update=lambda update: on_update(job, update),
                )
        except (OptionError, RunError) as error:
            # What this point asks for cannot be had; the others are measured all the same.
            return (Finished(job, "here", time.monotonic() - begun, error=error.message),)
        if measured.document["status"] == "interrupted":
            raise CancelledError("Interrupted.")
        return (Finished(job, "here", time.monotonic() - begun, measured.document),)
