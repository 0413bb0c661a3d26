# SPDX-License-Identifier: Apache-2.0
"""Energy of the whole machine in measuring phases, from readings that were taken beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean

from codereef.detect.meter import Source

_UNITS = {"energy_machine": "J", "power_machine": "W"}


@dataclass(frozen=True, slots=True)
class Phase:
    """When queries ran, in seconds of the monotonic clock, and how many."""

    begin: float
    end: float
    queries: int


@dataclass(frozen=True, slots=True)
class Reading:
    """A number and the times between which the source gave it, in seconds of the monotonic clock."""

    began: float
    ended: float
    value: float

    @property
    def time(self) -> float:
        """The middle of that time."""
        return (self.began + self.ended) / 2


@dataclass(frozen=True, slots=True)
class _Joules:
    """Energy of a phase with its lowest and highest possible value."""

    value: float
    low: float
    high: float


class _NotTold(Exception):
    """The readings do not tell the energy; the text says why."""


def _at(readings: Sequence[Reading], time: float) -> float:
    """Return a counter's value at a time between two readings, as if the power in between had been even."""
    before = max((r for r in readings if r.time <= time), key=lambda r: r.time)
    after = min((r for r in readings if r.time >= time), key=lambda r: r.time)
    gap = after.time - before.time
    return before.value + (after.value - before.value) * ((time - before.time) / gap if gap > 0 else 0.0)


def _counted(readings: Sequence[Reading], phase: Phase) -> _Joules:
    """Energy by a counter that only rises: bounds are the readings inside and outside the phase."""
    if any(later.value < earlier.value for earlier, later in pairwise(readings)):
        raise _NotTold("the meter's joules went down")
    outer_begin = [r.value for r in readings if r.ended <= phase.begin]
    outer_end = [r.value for r in readings if r.began >= phase.end]
    if not outer_begin or not outer_end:
        raise _NotTold("the meter gave no number before or after the phase")
    inner = [r.value for r in readings if r.began >= phase.begin and r.ended <= phase.end]
    low = inner[-1] - inner[0] if inner else 0.0
    return _Joules(_at(readings, phase.end) - _at(readings, phase.begin), low, outer_end[0] - outer_begin[-1])


def _sampled(readings: Sequence[Reading], phase: Phase) -> _Joules:
    """Energy by powers: their mean inside the phase; bounds are the lowest and the highest of them."""
    inside = [r.value for r in readings if phase.begin <= r.time <= phase.end]
    if len(inside) < 2:
        raise _NotTold(f"{len(inside)} readings of the power in a phase of {phase.end - phase.begin:.1f} s are too few")
    seconds = phase.end - phase.begin
    return _Joules(fmean(inside) * seconds, min(inside) * seconds, max(inside) * seconds)


def machine_energy(
    source: Source, readings: Sequence[Reading], phases: Sequence[Phase], problem: str = ""
) -> dict[str, object]:
    """Return the metrics `energy_machine` (J a query) and `power_machine` (W), as in a result.

    Args:
        source: what was read.
        readings: in the order taken.
        phases: the measuring phases of one result; their energies and queries are summed.
        problem: why the source could not be read, where it could not.
    """
    try:
        if problem:
            raise _NotTold(problem)
        parts = [(_counted if source.unit == "J" else _sampled)(readings, phase) for phase in phases]
    except _NotTold as error:
        return {name: _metric(None, unit, "not measured", 0, reason=str(error)) for name, unit in _UNITS.items()}
    seconds = sum(phase.end - phase.begin for phase in phases)
    queries = sum(phase.queries for phase in phases)
    value, low, high = (sum(getattr(part, name) for part in parts) for name in ("value", "low", "high"))
    bounds = (
        "bounds from the last reading outside and the first inside each end of the phase"
        if source.unit == "J"
        else "bounds from the lowest and the highest reading"
    )
    method = (
        f"{source.name}, whole machine, over {seconds:.3f} s ({value:.4g} J); idle power is not subtracted; "
        f"{bounds}, not a confidence interval"
    )
    count = len(readings)
    found: dict[str, object] = {"power_machine": _metric((value, low, high), "W", method, count, seconds)}
    found["energy_machine"] = (
        _metric((value, low, high), "J", method, count, queries)
        if queries
        else _metric(None, "J", "not measured", 0, reason="no query was counted")
    )
    return found


def _metric(
    joules: tuple[float, float, float] | None, unit: str, method: str, samples: int, per: float = 1.0, reason: str = ""
) -> Mapping[str, object]:
    metric: dict[str, object] = {
        "value": None if joules is None else joules[0] / per,
        "unit": unit,
        "direction": "lower",
        "interval": None if joules is None else [joules[1] / per, joules[2] / per],
        "confidence": None,
        "method": method,
        "samples": samples,
    }
    if reason:
        metric["reason"] = f"not available: {reason}"
    return metric
