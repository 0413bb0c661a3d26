# SPDX-License-Identifier: Apache-2.0
"""Measuring configurations on this machine, one after the other or in turns.

A crash, a time-out or a lack of memory is a result too, with a status and with the samples taken before.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

from codereef.home import Home
from codereef.install.execute import Installed
from codereef.lock.model import Lock, LockedConfiguration
from codereef.repo.index import Index
from codereef.run.measurement import Measured, Measurement, Order
from codereef.run.process import Process, Update

if TYPE_CHECKING:
    from codereef.detect.meter import Source

#: Length of a turn, in seconds: neighbours come and go in tenths of one, and getting warm again takes 5 ms.
TURN_SECONDS = 0.05

__all__ = ["Measured", "Order", "measure", "measure_all"]


def measure(
    lock: Lock,
    configuration: LockedConfiguration,
    index: Index,
    installed: Installed,
    home: Home,
    order: Order,
    *,
    meter: Source | None = None,
    on_update: Callable[[Update], None] = lambda _: None,
) -> Measured:
    """Run one action of one configuration; see `measure_all`."""
    found = measure_all(
        lock, [configuration], index, installed, home, order, meter=meter, on_update=lambda _, update: on_update(update)
    )
    return next(found)[1]


def measure_all(
    lock: Lock,
    configurations: Sequence[LockedConfiguration],
    index: Index,
    installed: Installed,
    home: Home,
    order: Order,
    *,
    interleave: bool = False,
    meter: Source | None = None,
    on_update: Callable[[int, Update], None] = lambda _, __: None,
) -> Iterator[tuple[int, Measured]]:
    """Run one action of several configurations, and give each result as soon as there is one.

    Args:
        lock: the graph, installed.
        configurations: those to run.
        index: the components.
        installed: where everything is.
        home: the client's home.
        order: what is asked.
        interleave: let the configurations take turns: what the machine does meanwhile meets all alike, and
            `cr compare` can tell smaller differences. The turns are of `TURN_SECONDS` where the programs can do
            that, and their models are all in memory then; else one process follows the other. There are results
            only at the end.
        meter: power meter; None takes what the setting `meter` names, else a battery in use.
        on_update: is told which configuration, counted from 0, has come how far, from another thread.

    Yields:
        Number and result of each configuration. After an interrupt there are no more than those that had begun.

    Raises:
        OptionError: a program refuses what was asked; nothing is kept of that configuration, and no other is begun.
        UsageError: an option or the setting `meter` is wrong.
        RunError: a program could not be started.
    """
    from codereef.config import value
    from codereef.detect.meter import parse_meter
    from codereef.detect.observe import Observation

    source = meter or parse_meter(value(home, "meter"))
    begun = [Measurement(lock, one, index, installed, home, order) for one in configurations]
    groups = [list(enumerate(begun))] if interleave else [[entry] for entry in enumerate(begun)]
    turns = secrets.token_hex(8) if interleave and len(begun) > 1 else ""
    for group in groups:
        # The block that watches the machine meanwhile; every process of one result belongs into it.
        with Observation(source) as observation:
            stopped = _carry_out(group, on_update)
        for number, measurement in group:
            if measurement.begun:
                yield number, measurement.finish(observation, turns)
        if stopped:
            return


def _carry_out(group: Sequence[tuple[int, Measurement]], on_update: Callable[[int, Update], None]) -> bool:
    """Let measurements take turns until all are done; return whether the user interrupted.

    In every second round the last comes first, so that no place in the order is anybody's.
    """
    forward = True
    while left := [entry for entry in group if not entry[1].done]:
        left = left if forward else left[::-1]
        forward = not forward
        together = len(left) > 1 and all(measurement.takes_turns for _, measurement in left)
        for entries in [left] if together else [[entry] for entry in left]:
            _run_next(entries, on_update)
            if any(measurement.interrupted for _, measurement in entries):
                return True
    return False


def _run_next(entries: Sequence[tuple[int, Measurement]], on_update: Callable[[int, Update], None]) -> None:
    """Run the next process of each measurement, in turns where there are several.

    Only one of the processes runs at any time: each of the later ones is started when those before it have loaded
    their model and wait for their next turn.
    """
    with ExitStack() as opened:
        waiting = deque[tuple[Measurement, Process]]()
        for number, measurement in entries:

            def update(said: Update, number: int = number) -> None:
                on_update(number, said)

            process = measurement.process(update, TURN_SECONDS if len(entries) > 1 else None)
            waiting.append((measurement, opened.enter_context(process)))
        try:
            while waiting:
                measurement, process = waiting[0]
                if process.proceed():
                    waiting.rotate(-1)
                    continue
                measurement.add(process.answer())
                waiting.popleft()
                if measurement.interrupted:
                    break
        except KeyboardInterrupt:  # between two turns, when none of the processes runs
            if not any(process.started for _, process in waiting):
                raise
        for measurement, process in waiting:
            if process.started:
                measurement.add(process.answer())
