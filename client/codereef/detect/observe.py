# SPDX-License-Identifier: Apache-2.0
"""Watching the machine from the client's process while a program is measured in another one.

A thread reads the clock of the fastest core, the temperatures, the counters of throttling and the ticks twice a
second; a second one reads the power meter or the battery once a second. Nothing is read inside the measured
process, whose own collectors work before and after its queries only. What the reading costs is part of what it
returns.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import Generic, TypeVar

from codereef.detect.energy import Phase, Reading, machine_energy
from codereef.detect.meter import Battery, Source, Unreadable
from codereef.detect.sensors import Sensor, celsius, policies, sensors, throttle_count, throttle_files, ticks
from codereef.detect.state import NOT_AVAILABLE
from codereef.detect.tree import Tree

EVERY_S = 0.5
METER_EVERY_S = 1.0
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Sample:
    """The machine at one time (seconds of the monotonic clock)."""

    time: float
    fastest_khz: int | None
    celsius: tuple[float | None, ...]
    throttle_count: int | None
    ticks: Mapping[str, int] | None


class _Watcher:
    """Reads a sample; finds the files to read once."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self.sensors: list[Sensor] = sensors(tree)
        self._clocks = [f"{folder}/scaling_cur_freq" for folder in policies(tree)]
        self._throttle = throttle_files(tree)

    def read(self) -> Sample:
        """Read the machine now."""
        tree = self._tree
        clocks = [value for value in map(tree.number, self._clocks) if value is not None]
        return Sample(
            time.monotonic(),
            max(clocks, default=None),
            tuple(celsius(tree.number(sensor.path)) for sensor in self.sensors),
            throttle_count(tree, self._throttle),
            ticks(tree),
        )


class _Repeated(Generic[T]):
    """Calls a function now, every `every_s` seconds in a thread of its own, and once more at the end."""

    def __init__(self, read: Callable[[], T], every_s: float) -> None:
        self._read, self._every_s = read, every_s
        self.values: list[T] = []
        self.cpu_seconds = 0.0
        self.trouble: Exception | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def _once(self) -> None:
        begin = time.thread_time()
        self.values.append(self._read())
        self.cpu_seconds += time.thread_time() - begin

    def start(self) -> None:
        self._once()
        self._thread.start()

    def _work(self) -> None:
        try:
            while not self._stop.wait(self._every_s):
                self._once()
        except Exception as error:  # Raised where the values are asked for; a thread has nobody to tell.
            self.trouble = error

    def stop(self) -> None:
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()
            if self.trouble is None:
                try:
                    self._once()
                except Exception as error:
                    self.trouble = error


class Observation:
    """A block in which a program is measured.

    Args:
        meter: the user's power meter; None reads the battery where there is one.
        root: where the file system of the machine begins.
        every_s: seconds between two looks at the machine.
        meter_every_s: seconds between two looks at the meter.
    """

    def __init__(
        self,
        meter: Source | None = None,
        root: Path = Path("/"),
        every_s: float = EVERY_S,
        meter_every_s: float = METER_EVERY_S,
    ) -> None:
        tree = Tree(root)
        self._watcher = _Watcher(tree)
        self._samples = _Repeated(self._watcher.read, every_s)
        self._source: Source = meter if meter is not None else Battery(tree)
        self._meter = _Repeated(self._read_meter, meter_every_s)
        self._every_s = every_s
        self._problem = ""

    def _read_meter(self) -> Reading:
        began = time.monotonic()
        value = self._source.read()
        return Reading(began, time.monotonic(), value)

    def __enter__(self) -> Observation:
        self._samples.start()
        try:
            self._meter.start()
        except Unreadable as error:
            self._problem = str(error)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._samples.stop()
        self._meter.stop()
        if self._meter.trouble is not None:
            self._problem = str(self._meter.trouble)

    def metrics(self, phases: Sequence[Mapping[str, object]]) -> dict[str, object]:
        """Return the metrics of the whole machine's energy, none without a measuring phase.

        Args:
            phases: `phase` of the response of each measured process.
        """
        known = _phases(phases)
        shared = "other processes were measured in turns with it" if any(p.get("shared") for p in phases) else ""
        return machine_energy(self._source, self._meter.values, known, self._problem or shared) if known else {}

    def during(self, phases: Sequence[Mapping[str, object]]) -> dict[str, object]:
        """Return what was seen while queries ran, or while the program ran where it tells no phase.

        Args:
            phases: `phase` of the response of each measured process.
        """
        known, samples = _phases(phases), self._samples.values
        inside = [s for s in samples if not known or any(p.begin <= s.time <= p.end for p in known)]
        spans = [_around(samples, p) for p in known] or [(samples[0], samples[-1])]
        affinity = next((phase["affinity"] for phase in phases if phase.get("affinity")), NOT_AVAILABLE)
        return {
            "of": "measuring" if known else "program",
            "readings": len(inside),
            "every_s": self._every_s,
            "cost_cpu_seconds": round(self._samples.cpu_seconds + self._meter.cpu_seconds, 6),
            "affinity": affinity,
            "fastest_khz": _spread([s.fastest_khz for s in inside]),
            "temperatures": self._temperatures(inside),
            "throttle_count": _gained([(a.throttle_count, b.throttle_count) for a, b in spans]),
            "ticks": _gained_ticks([(a.ticks, b.ticks) for a, b in spans]),
        }

    def course(self, phase: object) -> tuple[list[float], list[float]]:
        """Return the readings of the fastest clock (kHz) and of the hottest sensor (degrees) in one phase, in order.

        Args:
            phase: `phase` of the response of one measured process; nothing is returned where it makes no sense.
        """
        known = _phases([phase]) if isinstance(phase, Mapping) else []
        inside = [s for s in self._samples.values if any(p.begin <= s.time <= p.end for p in known)]
        heat = [[value for value in s.celsius if value is not None] for s in inside]
        return (
            [float(s.fastest_khz) for s in inside if s.fastest_khz is not None],
            [max(values) for values in heat if values],
        )

    def _temperatures(self, inside: Sequence[Sample]) -> object:
        found = [
            {
                "sensor": sensor.name or NOT_AVAILABLE,
                "limit_celsius": NOT_AVAILABLE if sensor.limit is None else sensor.limit,
                **spread,
            }
            for place, sensor in enumerate(self._watcher.sensors)
            if isinstance(spread := _spread([s.celsius[place] for s in inside]), dict)
        ]
        return found or NOT_AVAILABLE


def _phases(phases: Sequence[Mapping[str, object]]) -> list[Phase]:
    """Return the phases that make sense; a program may write what it likes."""
    found = []
    for phase in phases:
        begin, end, queries = (phase.get(name) for name in ("begin", "end", "queries"))
        if isinstance(begin, (int, float)) and isinstance(end, (int, float)) and end > begin:
            found.append(Phase(begin, end, queries if isinstance(queries, int) and queries > 0 else 0))
    return found


def _around(samples: Sequence[Sample], phase: Phase) -> tuple[Sample, Sample]:
    """Return the last sample before a phase and the first after it."""
    before = [s for s in samples if s.time <= phase.begin]
    after = [s for s in samples if s.time >= phase.end]
    return (before or samples)[-1 if before else 0], (after or samples)[0 if after else -1]


def _spread(values: Sequence[float | None]) -> object:
    known = [value for value in values if value is not None]
    return {"min": min(known), "median": median(known), "max": max(known)} if known else NOT_AVAILABLE


def _gained(spans: Sequence[tuple[int | None, int | None]]) -> object:
    gains = [b - a for a, b in spans if a is not None and b is not None]
    return sum(gains) if gains else NOT_AVAILABLE


def _gained_ticks(spans: Sequence[tuple[Mapping[str, int] | None, Mapping[str, int] | None]]) -> object:
    known = [(a, b) for a, b in spans if a is not None and b is not None]
    return {name: sum(b[name] - a[name] for a, b in known) for name in known[0][0]} if known else NOT_AVAILABLE
