# SPDX-License-Identifier: Apache-2.0
"""Carrying out an exploration: which machine measures what next, and keeping what came of it.

A round stays on one machine, so that every point is measured on it as often as every other one. What has been
measured is kept before anything else is begun: the result in the history, then the document.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

from codereef.errors import CancelledError, CrError, RunError
from codereef.explore.document import Exploration
from codereef.explore.jobs import Finished, Job, Machines
from codereef.explore.search import Repetition, failures, given_up, open_rounds
from codereef.record.history import Result
from codereef.record.privacy import scrub
from codereef.run.process import Update


class Watcher(Protocol):
    """Is told how an exploration goes."""

    def going(self, exploration: Exploration, job: Job, update: Update) -> None:
        """A measurement has come further."""

    def measured(self, exploration: Exploration, finished: Finished, repetition: Repetition) -> None:
        """A measurement has ended and is kept."""

    def refused(self, machine: str, error: CrError) -> None:
        """A machine can measure nothing of this exploration."""


@dataclass(frozen=True)
class Keeper:
    """Where things are kept.

    Attributes:
        add: keeps a result in the history.
        save: writes the document.
    """

    add: Callable[[Mapping[str, Any]], Result]
    save: Callable[[Exploration], None]


def without_accuracy(program: Mapping[str, Any]) -> dict[str, str]:
    """Return the option that leaves the accuracy pass out, or nothing where the program has none.

    Args:
        program: its `cr.json`.
    """
    declared = program.get("options", {}).get("accuracy", {})
    if declared.get("type") == "boolean":
        return {"accuracy": "false"}
    return {"accuracy": "off"} if "off" in declared.get("values", ()) else {}


def carry_out(
    exploration: Exploration,
    machines: Machines,
    keeper: Keeper,
    watcher: Watcher,
    skip_accuracy: Mapping[str, Mapping[str, str]],
) -> Exploration:
    """Measure until the search has ended, and return the exploration as it then is.

    Args:
        exploration: as far as it has come.
        machines: where to measure.
        keeper: where results and document are kept.
        watcher: is told how it goes.
        skip_accuracy: by configuration, the options of a repetition that is not a point's first: its accuracy is
            known, and no repetition changes it.

    Raises:
        CancelledError: the user interrupted.
        CrError: no machine can measure, or the disk is full.
    """
    keeper.save(exploration)
    busy: dict[str, Job] = {}
    own: dict[str, int] = {}
    refusals: dict[str, CrError] = {}
    while True:
        here = [name for name in machines.names() if name not in refusals]
        if refusals and not here and not busy:
            raise next(iter(refusals.values()))
        own = {name: number for name, number in own.items() if name in here}
        for name in here:
            if name not in busy and (job := _next(exploration, name, own, busy, skip_accuracy)) is not None:
                own[name] = job.round
                busy[name] = job
                machines.start(name, job)
        if not busy and not open_rounds(exploration.search, exploration.measured):
            break
        for finished in machines.wait(partial(watcher.going, exploration)):
            busy.pop(finished.machine, None)
            if finished.refused is not None:
                refusals[finished.machine] = finished.refused
                watcher.refused(finished.machine, finished.refused)
                continue
            repetition = _kept(exploration, finished, keeper)
            exploration = exploration.with_repetition(finished.job.point, repetition)
            keeper.save(exploration)
            watcher.measured(exploration, finished, repetition)
    exploration = replace(exploration, complete=True)
    keeper.save(exploration)
    return exploration


def _next(
    exploration: Exploration,
    machine: str,
    own: Mapping[str, int],
    busy: Mapping[str, Job],
    skip_accuracy: Mapping[str, Mapping[str, str]],
) -> Job | None:
    """Return what a machine measures next: of its own round, else of one that is nobody's."""
    under_way = {(job.point, job.round) for job in busy.values()}
    for number in (own.get(machine), None):
        taken = {round_ for name, round_ in own.items() if name != machine}
        for found in open_rounds(exploration.search, exploration.measured):
            if found.number != number if number is not None else found.number in taken:
                continue
            for index in found.points:
                point, measured = exploration.points[index], exploration.measured[index]
                # What failed once is tried again alone: two machines must not both find that it fails for good.
                doubtful = failures(measured) > 0 and any(job.point == index for job in busy.values())
                if (index, found.number) not in under_way and not doubtful:
                    known = any(r.status == "ok" for r in measured)
                    more = skip_accuracy.get(point.configuration, {}) if known else {}
                    # What the user chose himself, for all points or as a dimension, stays as it is.
                    given = {**more, **point.options}
                    return Job(index, found.number, point.name, point.configuration, given)
    return None


def _kept(exploration: Exploration, finished: Finished, keeper: Keeper) -> Repetition:
    """Keep the result of a job and return what the document says of it."""
    number, seconds = finished.job.round, round(finished.seconds, 3)
    if finished.document is None:
        return Repetition(number, "lost" if finished.lost else "failed", seconds=seconds, error=scrub(finished.error))
    if finished.document["status"] == "interrupted":
        raise CancelledError("Interrupted.")
    result = keeper.add(finished.document)
    document = result.document
    return Repetition(
        number,
        str(document["status"]),
        result.id,
        seconds,
        str(document["machine"]["class_digest"]),
        result.metric(exploration.search.objective),
        str(document.get("error", "")),
    )


def require_success(exploration: Exploration) -> None:
    """Raise `RunError` where points were given up, or nothing has the objective.

    Raises:
        RunError: names them; what was measured is kept.
    """
    failed = [
        f"{point.name} ({repetitions[-1].status}: {repetitions[-1].error})"
        for point, repetitions in zip(exploration.points, exploration.measured)
        if given_up(repetitions)
    ]
    hint = f"`cr explore {exploration.subject.name} --resume {exploration.id} --json` has everything."
    if failed:
        raise RunError(
            f"{len(failed)} of {len(exploration.points)} points did not finish: {'; '.join(failed[:3])}"
            + (f"; and {len(failed) - 3} more." if len(failed) > 3 else "."),
            hint=hint,
            context={"exploration": exploration.id, "points": len(failed)},
        )
    if not any(r.value is not None for repetitions in exploration.measured for r in repetitions):
        raise RunError(
            f"No result gives {exploration.search.objective}.",
            hint="`cr show latest` says why it is withheld; longer measurements (-o max_seconds=) may give it.",
        )
