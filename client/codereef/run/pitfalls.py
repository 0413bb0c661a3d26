# SPDX-License-Identifier: Apache-2.0
"""What classic mistakes around a model would do: one run of the action `pitfalls`, and the document made of it.

Such a document (`codereef-pitfalls/1`, docs/formats/pitfalls.md) is no result: it says nothing about this machine
that could be compared or uploaded, so it does not go into the history.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from codereef.errors import CancelledError, RunError
from codereef.home import Home
from codereef.install.execute import Installed
from codereef.lock.model import Lock, LockedConfiguration
from codereef.meta.schemas import problems
from codereef.record.privacy import scrub
from codereef.repo.index import Index
from codereef.run.measure import Order, measure
from codereef.run.process import Update

FORMAT = "codereef-pitfalls/1"
_KEPT = (
    "solution",
    "configuration",
    "lock_digest",
    "task",
    "model",
    "precision",
    "dataset",
    "runtime",
    "options",
    "machine",
    "environment",
    "processing",
    "warnings",
    "started_at",
    "ended_at",
    "client",
)
_FOUND = ("images", "of", "metric", "metrics", "pitfalls")


@dataclass(frozen=True)
class Wanted:
    """How mistakes are to be measured.

    Attributes:
        images: how many images; 0 is as many as about a minute allows.
        options: of the program, as text by name.
        timeout: seconds; the program's own limit where it is None.
    """

    images: int
    options: Mapping[str, str]
    timeout: float | None = None


def find_pitfalls(
    lock: Lock,
    configuration: LockedConfiguration,
    index: Index,
    installed: Installed,
    home: Home,
    wanted: Wanted,
    on_update: Callable[[Update], None] = lambda _: None,
) -> dict[str, Any]:
    """Measure the mistakes of one configuration and return the document.

    Args:
        lock: the graph, installed.
        configuration: the one to measure.
        index: the components.
        installed: where everything is.
        home: the client's home.
        wanted: images, options and time.
        on_update: is told how far it has come, from another thread.

    Raises:
        UsageError: an option is wrong, or the program refuses it.
        RunError: the program failed, or is none that knows mistakes.
        CancelledError: it was interrupted; nothing is kept.
    """
    measured = measure(
        lock,
        configuration,
        index,
        installed,
        home,
        Order(
            "pitfalls",
            {**wanted.options, "accuracy_limit": str(wanted.images)},
            timeout=wanted.timeout,
        ),
        on_update=on_update,
    )
    result = measured.document
    if result["status"] == "interrupted":
        raise CancelledError(
            f"Interrupted; nothing is kept of {configuration.id}.",
            hint="A small number, such as `--images 10`, takes less time.",
        )
    if result["status"] != "ok":
        raise RunError(
            f"The mistakes of {configuration.id} could not be measured: {result['error']}.",
            hint="Allow more time with --timeout, or take fewer images with --images."
            if result["status"] == "timeout"
            else f"`cr validate` runs the right pipeline alone; {result['solution']['component']} may be at fault.",
            context={"status": result["status"], "tail": list(measured.tail)},
        )
    if not isinstance(measured.pitfalls, dict):
        raise RunError(
            f"The program of {configuration.id} measures no mistakes.",
            hint="The programs `object-detection` and `image-classification` do.",
        )
    document: dict[str, Any] = {"format": FORMAT}
    document.update({key: result[key] for key in _KEPT if key in result})
    document.update({key: measured.pitfalls[key] for key in _FOUND if key in measured.pitfalls})
    for row in document.get("pitfalls", ()):
        if isinstance(row, dict) and "error" in row:
            row["error"] = scrub(str(row["error"]))
    wrong = problems(document, "pitfalls")
    if wrong:
        raise RunError(
            f"What the program of {configuration.id} wrote does not follow the pitfalls schema: {wrong[0]}.",
            hint="Client and program may be of different versions; `cr init` brings the program up to date.",
        )
    return document
