# SPDX-License-Identifier: Apache-2.0
"""One process of a measured program: started with a request, watched, and read when it has ended."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from codereef.canonical import pretty_json
from codereef.errors import MetadataError
from codereef.meta.schemas import parse_json
from codereef.store.locks import inherited
from codereef.target.local import Child, Outcome, clean_environment

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


class Process:
    """One process of a program, from its start to its answer: `with` it, and let it `proceed` until it has ended.

    Args:
        python: interpreter.
        script: the program.
        request: makes the request, given the folder that the program writes to.
        timeout: seconds, without the turns of others.
        memory_limit: bytes of address space; None for no limit.
        on_update: is told how far it has come, from another thread.
        turns: whether the request asks for turns.
    """

    def __init__(
        self,
        python: Path,
        script: Path,
        request: Callable[[Path], Mapping[str, Any]],
        *,
        timeout: float,
        memory_limit: int | None,
        on_update: Callable[[Update], None],
        turns: bool = False,
    ) -> None:
        self._command, self._request = (str(python), "-I", str(script)), request
        self._timeout, self._memory_limit, self._on_update = timeout, memory_limit, on_update
        self._turns = turns
        self._open = ExitStack()

    def __enter__(self) -> Process:
        with ExitStack() as opened:
            self._work = work = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="codereef-run-")))
            output = work / "output"
            output.mkdir()
            (work / "home").mkdir()
            written = work / "request.json"
            written.write_text(pretty_json(self._request(output)), encoding="utf-8")
            self._child = Child(
                [*self._command, str(written)],
                cwd=work,
                # Runtimes keep caches and telemetry in the home; a measurement reads and leaves nothing there.
                environ={**clean_environment(os.environ), **dict.fromkeys(_HOMES, str(work / "home"))},
                timeout=self._timeout,
                memory_limit=self._memory_limit,
                on_line=self._read,
                # What the program uses stays in the store as long as it runs, whatever becomes of this process.
                pass_fds=opened.enter_context(inherited()),
                turns=self._turns,
            )
            opened.callback(self._child.stop)
            self._open = opened.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    @property
    def started(self) -> bool:
        """Whether it has ever run."""
        return self._child.started

    def proceed(self) -> bool:
        """Let it run until its turn is over or it has ended; the first call starts it.

        Returns:
            Whether it is to go on later.

        Raises:
            RunError: it could not be started.
        """
        return self._child.proceed()

    def answer(self) -> Answer:
        """Read what it has written; one that has not ended is ended and counts as interrupted."""
        self._child.stop()
        output = self._work / "output"
        return Answer(
            self._child.outcome(),
            _read_object(output / "response.json"),
            _read_object(output / "samples.partial.json"),
            _read_json(output / "predictions.json") or None,
            _read_json(output / "pitfalls.json") or None,
        )

    def _read(self, line: str) -> None:
        """Take a line of the program; it may print what it likes, only what it says to us concerns us."""
        try:
            data = json.loads(line)
        except ValueError:
            return
        if isinstance(data, dict) and data.get("turn") == "over":
            self._child.turn_over()
        elif isinstance(data, dict):
            _report(data, self._on_update)


def _report(data: Mapping[str, Any], on_update: Callable[[Update], None]) -> None:
    try:
        total, fraction = data.get("total"), data.get("progress")
        update = Update(
            str(data["phase"]),
            int(data.get("done") or 0),
            None if total is None else int(total),
            None if fraction is None else min(1.0, max(0.0, float(fraction))),
        )
    except (ValueError, KeyError, TypeError, OverflowError):
        return
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
