# SPDX-License-Identifier: Apache-2.0
"""How an exploration goes, on the terminal."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import click

from codereef.cli.progress import TerminalProgress, left

if TYPE_CHECKING:
    from codereef.errors import CrError
    from codereef.explore.document import Exploration
    from codereef.explore.jobs import Finished, Job
    from codereef.explore.search import Repetition
    from codereef.run.process import Update


@dataclass
class Shown:
    """Progress of an exploration on the terminal."""

    progress: TerminalProgress
    machines: int = 1
    told: set[int] = field(default_factory=set)
    #: Of the exploration that was shown last: computed once a measurement, for a program reports while it is measured.
    shown: tuple[Exploration | None, str, str] = (None, "", "")

    def going(self, exploration: Exploration, job: Job, update: Update) -> None:
        if self.shown[0] is not exploration:
            self.shown = (exploration, _place(exploration), self._left(exploration))
        share = f" {update.fraction * 100:.0f} %" if update.fraction is not None else ""
        self.progress.status(f"{self.shown[1]} {job.name}: {update.phase}{share}{self.shown[2]}")

    def measured(self, exploration: Exploration, finished: Finished, repetition: Repetition) -> None:
        if repetition.status != "ok":
            self.progress.note(
                click.style(f"{finished.job.name}: {repetition.status}", fg="red") + f", {repetition.error}"
            )
        from codereef.explore.search import open_rounds

        waiting = open_rounds(exploration.search, exploration.measured)
        number = finished.job.round
        if number not in self.told and number not in {entry.number for entry in waiting}:
            self.told.add(number)
            self.progress.note(f"round {number + 1} is measured{self._left(exploration)}")

    def refused(self, machine: str, error: CrError) -> None:
        self.progress.note(f"{machine} is left out: {error.message} {error.hint}")

    def _left(self, exploration: Exploration) -> str:
        from codereef.explore.search import seconds_left

        seconds = seconds_left(exploration.search, exploration.measured, self.machines)
        return f", about {left(seconds)}" if seconds else ""


def _place(exploration: Exploration) -> str:
    """Return how many repetitions are done, of how many where that is known."""
    from codereef.explore.search import repetitions_left

    done = sum(len(repetitions) for repetitions in exploration.measured)
    more = repetitions_left(exploration.search, exploration.measured)
    return f"[{done + 1}]" if more is None else f"[{min(done + 1, done + more)}/{done + more}]"
