# SPDX-License-Identifier: Apache-2.0
"""Measuring configurations on this machine, one after the other or in turns.

A crash, a time-out or a lack of memory is a result too, with a status and with the samples taken before.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from codereef.home import Home
from codereef.install.execute import Installed
from codereef.lock.model import Lock, LockedConfiguration
from codereef.repo.index import Index
from codereef.run.measurement import Measured, Measurement, Order
from codereef.run.process import Update

if TYPE_CHECKING:
    from codereef.detect.meter import Source

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
        interleave: let the configurations take turns, process by process: what the machine does meanwhile meets
            all alike, and `cr compare` can tell smaller differences. There are results only at the end.
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
    """Let measurements take turns until all are done; return whether the user interrupted."""
    while left := [entry for entry in group if not entry[1].done]:
        for number, measurement in left:

            def update(said: Update, number: int = number) -> None:
                on_update(number, said)

            measurement.step(update)
            if measurement.interrupted:
                return True
    return False
