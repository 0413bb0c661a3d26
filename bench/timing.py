# SPDX-License-Identifier: Apache-2.0
"""Timing of whole commands against each other: interleaved runs, medians, ratios. Run as a script it does nothing."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Timed:
    """Medians of one command, in seconds.

    Attributes:
        wall: wall time.
        cpu: user and system time of the process and its children.
    """

    wall: float
    cpu: float


def interleaved(
    commands: Mapping[str, Sequence[str]], *, runs: int, environ: Mapping[str, str] | None = None
) -> dict[str, Timed]:
    """Run every command `runs` times, taking turns, after one run that is thrown away.

    Raises:
        RuntimeError: a command failed.
    """
    walls: dict[str, list[float]] = {name: [] for name in commands}
    cpus: dict[str, list[float]] = {name: [] for name in commands}
    environment = {**os.environ, **(environ or {})}
    for turn in range(runs + 1):
        for name, command in commands.items():
            before, started = os.times(), time.perf_counter()
            done = subprocess.run(command, env=environment, capture_output=True)
            wall, after = time.perf_counter() - started, os.times()
            if done.returncode != 0:
                raise RuntimeError(
                    f"{' '.join(command)} ended with {done.returncode}: {done.stderr.decode(errors='replace')[-400:]}"
                )
            if turn:
                walls[name].append(wall)
                cpus[name].append(
                    after.children_user + after.children_system - before.children_user - before.children_system
                )
    return {name: Timed(statistics.median(walls[name]), statistics.median(cpus[name])) for name in commands}


def report(name: str, timed: Timed, peer: str, other: Timed, goal: float | None) -> bool:
    """Print one line and return whether the goal is met (None: there is none)."""
    ratio = timed.wall / other.wall
    verdict = "" if goal is None else f"  goal {goal:g}: {'met' if ratio <= goal else 'MISSED'}"
    print(
        f"{name:34} {timed.wall * 1e3:8.1f} ms wall {timed.cpu * 1e3:8.1f} ms cpu   {ratio:6.2f} x {peer} ({other.wall * 1e3:.1f} ms){verdict}"
    )
    return goal is None or ratio <= goal
