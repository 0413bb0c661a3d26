# SPDX-License-Identifier: Apache-2.0
"""Timing of whole commands against each other: interleaved runs, medians, ratios. Run as a script it does nothing."""

from __future__ import annotations

import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Timed:
    """Medians of one command, in seconds.

    Attributes:
        wall: wall time.
        cpu: user and system time of the process and of every descendant that it waited for.
    """

    wall: float
    cpu: float


@dataclass(frozen=True)
class Command:
    """A command that is timed.

    Attributes:
        arguments: program and arguments.
        environ: variables besides those of this process.
        folder: where it runs; here by default.
        prepare: called before each run, in no measured time, to bring back the state that the run changes.
        says: text that it must print, so that an error or an empty answer is never timed.
        failing: it ends with another exit code than 0 although it did what was asked.
    """

    arguments: Sequence[str]
    environ: Mapping[str, str] = field(default_factory=dict)
    folder: Path | None = None
    prepare: Callable[[], None] = lambda: None
    says: str = ""
    failing: bool = False


def run_once(command: Command) -> Timed:
    """Run a command and return what it took.

    Raises:
        RuntimeError: it failed, or did not print what it must.
    """
    command.prepare()
    environ = {**os.environ, **command.environ}
    with tempfile.TemporaryFile() as out:
        started = time.perf_counter()
        process = subprocess.Popen(
            command.arguments, env=environ, cwd=command.folder, stdin=subprocess.DEVNULL, stdout=out, stderr=out
        )
        # The resources of this child alone, in microseconds; `os.times` counts in hundredths of a second.
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        text = out.read().decode(errors="replace")
    if (process.returncode != 0 and not command.failing) or command.says not in text:
        raise RuntimeError(f"{' '.join(command.arguments)} ended with {process.returncode}: {text[-600:]}")
    return Timed(wall, used.ru_utime + used.ru_stime)


def interleaved(
    commands: Mapping[str, Command | Sequence[str]], *, runs: int, environ: Mapping[str, str] | None = None
) -> dict[str, Timed]:
    """Run every command `runs` times, taking turns, after one run that is thrown away.

    Args:
        commands: each by its name, as a `Command` or as program and arguments.
        runs: how often.
        environ: variables for those that are given as program and arguments.

    Raises:
        RuntimeError: a command failed.
    """
    every = {
        name: command if isinstance(command, Command) else Command(command, environ or {})
        for name, command in commands.items()
    }
    found: dict[str, list[Timed]] = {name: [] for name in every}
    for turn in range(runs + 1):
        for name, command in every.items():
            timed = run_once(command)
            if turn:
                found[name].append(timed)
    return {
        name: Timed(statistics.median(t.wall for t in timed), statistics.median(t.cpu for t in timed))
        for name, timed in found.items()
    }


def report(name: str, timed: Timed, peer: str, other: Timed, goal: float | None, *, by: str = "wall") -> bool:
    """Print one line and return whether the goal is met (None: there is none).

    Args:
        name: what was timed.
        timed: its time.
        peer: what it is compared with.
        other: the peer's time.
        goal: highest ratio of the two.
        by: `wall` or `cpu`, which the ratio is made of.
    """
    ratio = getattr(timed, by) / getattr(other, by)
    verdict = "" if goal is None else f"  goal {goal:.3g}: {'met' if ratio <= goal else 'MISSED'}"
    print(
        f"{name:40} {timed.wall * 1e3:8.1f} ms wall {timed.cpu * 1e3:8.1f} ms cpu   {ratio:6.3f} x {peer} "
        f"({getattr(other, by) * 1e3:.1f} ms {by}){verdict}",
        flush=True,
    )
    return goal is None or ratio <= goal
