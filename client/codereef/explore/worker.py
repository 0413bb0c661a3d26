# SPDX-License-Identifier: Apache-2.0
"""What a Dask worker does: open the solution that is initialised there, measure once, hand back the result.

Only data goes over the wire. The worker runs the client that is installed there, on what `cr init` installed there.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from codereef.errors import CrError, LockError, OptionError, RunError
from codereef.explore.jobs import alone, graph_of
from codereef.explore.values import listed
from codereef.home import Home
from codereef.run.measure import Order, measure
from codereef.workspace.initialise import open_workspace
from codereef.workspace.session import Session

#: Locks whose models and data this process has read whole; the next job looks only whether they were touched.
_READ: set[tuple[str, str]] = set()


def measure_job(order: Mapping[str, Any]) -> dict[str, Any]:
    """Measure one point once.

    Args:
        order: `solution`, `directory` (that holds the solution's folder; "" for the folder the worker was started
            in), `configuration` (its id), `graph` (what must be in it), `given`, `timeout`, `memory`, and `cpus`
            (numbers of the processors to measure on; None for all).

    Returns:
        `document` (a result) and `seconds`; or `failed` (why the program could not be started, or what it refuses of
        this point); or `refused` (an error as data: this machine can measure nothing of the exploration).
    """
    home = Home.default()
    session = Session(home)
    try:
        # Pinned workers of one machine measure at once; others wait for each other.
        with session.in_use, contextlib.nullcontext() if order["cpus"] else alone(home):
            return _measured(session, order)
    except (OptionError, RunError) as error:
        return {"failed": error.message}
    except CrError as error:
        return {"refused": error.as_dict()["error"]}


def _measured(session: Session, order: Mapping[str, Any]) -> dict[str, Any]:
    directory = Path(order["directory"]) if order["directory"] else Path()
    known = (str(directory.absolute()), str(order["solution"]))
    _, lock, installed, _ = open_workspace(session, order["solution"], directory, thorough=known not in _READ)
    _READ.add(known)
    name = order["solution"]
    configuration = next((c for c in lock.configurations if c.id == order["configuration"]), None)
    if configuration is None:
        raise LockError(
            f"The lock of {name} on this worker has no configuration {order['configuration']}.",
            hint=f"Copy cr.lock to the worker and run `cr init {name} --locked` there.",
        )
    differences = _differences(order["graph"], graph_of(lock, configuration))
    if differences:
        raise LockError(
            f"The lock of {name} on this worker is another one: {listed(differences, 3)}.",
            hint=f"Copy cr.lock to the worker and run `cr init {name} --locked` there.",
            context={"differences": differences},
        )
    if order["cpus"]:
        # Of this thread, and so of the program that it starts.
        os.sched_setaffinity(0, order["cpus"])
    begun = time.monotonic()
    measured = measure(
        lock,
        configuration,
        session.index,
        installed,
        session.home,
        # A repetition is a process; rounds over all points are what repeats.
        Order("benchmark", order["given"], timeout=order["timeout"], memory_limit=order["memory"], processes=1),
    )
    return {"document": measured.document, "seconds": time.monotonic() - begun}


def _differences(wanted: Mapping[str, str], here: Mapping[str, str]) -> list[str]:
    """Return what is not the same in two graphs, in words."""

    def short(text: str) -> str:
        return text[:19] if text.startswith("sha256:") else text or "nothing"

    return [
        f"{name} is {short(here.get(name, ''))} there and {short(wanted.get(name, ''))} here"
        for name in sorted({*wanted, *here})
        if wanted.get(name) != here.get(name)
    ]
