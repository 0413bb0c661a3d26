# SPDX-License-Identifier: Apache-2.0
"""What every collector offers, and how it says that a number cannot be had."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from codereef.bench.response import Metric


@dataclass(frozen=True)
class Phase:
    """A measuring phase that has ended.

    Attributes:
        seconds: how long it took.
        queries: how many queries it answered; 0 when nobody said.
    """

    seconds: float
    queries: int


class Collector(Protocol):
    """One source of numbers about a phase.

    Attributes:
        metrics: every metric it can give, by name: unit and direction. `stop` gives each of them.
    """

    metrics: Mapping[str, tuple[str, str]]

    def start(self) -> None:
        """Read the source, right before the phase; never raises for what the machine does not offer."""

    def stop(self, phase: Phase) -> dict[str, Metric]:
        """Read the source again, right after the phase, and say what lies between."""


def not_available(metrics: Mapping[str, tuple[str, str]], reason: str) -> dict[str, Metric]:
    """Return metrics without a value.

    Args:
        metrics: their units and directions, by name.
        reason: what stood in the way, a clause for people.
    """
    return {
        name: Metric(None, unit, direction, "not measured", 0, reason=f"not available: {reason}")
        for name, (unit, direction) in metrics.items()
    }


def energy_metrics(
    part: str, joules: float, refresh_s: float, phase: Phase, source: str, covers: str
) -> dict[str, Metric]:
    """Return `energy_PART` (a query) and `power_PART` (mean) of a counter's difference.

    The bounds are those of the counter's refresh alone. Either reading may be as old as one period; at the mean
    power that is `power * refresh_s` at either end. How exact the sensor is, nobody tells us.

    Args:
        part: `cpu` or `gpu`.
        joules: what the counter gained.
        refresh_s: longest time between two refreshes of the counter, in seconds.
        phase: the phase.
        source: what was read.
        covers: whose energy it is.
    """
    power = joules / phase.seconds
    low, high = max(0.0, joules - power * refresh_s), joules + power * refresh_s
    method = (
        f"{source} over {phase.seconds:.3f} s ({joules:.4g} J); {covers}; idle power is not subtracted; "
        f"bounds from the counter's refresh (about every {refresh_s * 1e3:g} ms), not a confidence interval"
    )
    watts = (low / phase.seconds, high / phase.seconds)
    metrics = {f"power_{part}": Metric(power, "W", "lower", method, 1, interval=watts)}
    if phase.queries:
        bounds = (low / phase.queries, high / phase.queries)
        metrics[f"energy_{part}"] = Metric(joules / phase.queries, "J", "lower", method, 1, interval=bounds)
    else:
        metrics.update(not_available({f"energy_{part}": ("J", "lower")}, "no query was counted"))
    return metrics
