# SPDX-License-Identifier: Apache-2.0
"""One process of a measured program: started with a request, watched, and read when it has ended."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codereef.canonical import pretty_json
from codereef.errors import MetadataError
from codereef.meta.schemas import parse_json
from codereef.store.locks import inherited
from codereef.target.local import Outcome, clean_environment, run

_HOMES = ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME")


@dataclass(frozen=True)
class Update:
    """How far a run has come.

    Attributes:
        phase: what it is doing.
        done: items done.
        total: items in all, or None where nobody knows.
        fraction: 0 to 1, or None.
    """

    phase: str
    done: int
    total: int | None
    fraction: float | None


@dataclass(frozen=True)
class Answer:
    """What one process left behind.

    Attributes:
        outcome: how it ended.
        response: its response; empty where it wrote none that can be read.
        partial: samples that it saved on its way.
        predictions: what it predicted, or None.
        pitfalls: what it found out about mistakes, for the action `pitfalls`, or None.
    """

    outcome: Outcome
    response: Mapping[str, Any]
    partial: Mapping[str, Any]
    predictions: Any
    pitfalls: Any = None

    @property
    def status(self) -> str:
        """How it ended: `ok` only where it ended well and says so itself."""
        ended = self.outcome.status
        return "failed" if ended == "ok" and self.response.get("status") != "ok" else ended

    @property
    def samples(self) -> dict[str, Any]:
        """Its series by name, each with `unit` and `values`; nothing that is no series of numbers is among them.

        A program that was ended answers without the series it was in; what it saved on the way has that one.
        """
        found = {}
        for source in (self.partial, self.response):
            listed = source.get("samples")
            found.update(listed if isinstance(listed, dict) else {})
        return found


def answer_of(
    python: Path,
    script: Path,
    request: Callable[[Path], Mapping[str, Any]],
    *,
    timeout: float,
    memory_limit: int | None,
    on_update: Callable[[Update], None],
) -> Answer:
    """Start a program, wait for it and read what it wrote.

    Args:
        python: interpreter.
        script: the program.
        request: makes the request, given the folder that the program writes to.
        timeout: seconds.
        memory_limit: bytes of address space; None for no limit.
        on_update: is told how far it has come, from another thread.

    Raises:
        RunError: it could not be started.
    """
    with tempfile.TemporaryDirectory(prefix="codereef-run-") as folder:
        work = Path(folder)
        output = work / "output"
        output.mkdir()
        (work / "home").mkdir()
        written = work / "request.json"
        written.write_text(pretty_json(request(output)), encoding="utf-8")
        with inherited() as locks:
            outcome = run(
                [str(python), "-I", str(script), str(written)],
                cwd=work,
                # Runtimes keep caches and telemetry in the home; a measurement reads and leaves nothing there.
                environ={**clean_environment(os.environ), **dict.fromkeys(_HOMES, str(work / "home"))},
                timeout=timeout,
                memory_limit=memory_limit,
                on_line=lambda line: _report(line, on_update),
                # What the program uses stays in the store as long as it runs, whatever becomes of this process.
                pass_fds=locks,
            )
        return Answer(
            outcome,
            _read_object(output / "response.json"),
            _read_object(output / "samples.partial.json"),
            _read_json(output / "predictions.json") or None,
            _read_json(output / "pitfalls.json") or None,
        )


def _report(line: str, on_update: Callable[[Update], None]) -> None:
    try:
        data = json.loads(line)
        total, fraction = data.get("total"), data.get("progress")
        update = Update(
            str(data["phase"]),
            int(data.get("done") or 0),
            None if total is None else int(total),
            None if fraction is None else min(1.0, max(0.0, float(fraction))),
        )
    except (ValueError, KeyError, TypeError, OverflowError, AttributeError):
        return  # A program may print what it likes; only progress lines concern us.
    on_update(update)


def _read_json(path: Path) -> Any:
    """Return what a program wrote, or {} where that is missing or no JSON (NaN is none)."""
    try:
        return parse_json(path.read_bytes(), path.name)
    except (OSError, MetadataError):
        return {}


def _read_object(path: Path) -> dict[str, Any]:
    document = _read_json(path)
    return document if isinstance(document, dict) else {}
