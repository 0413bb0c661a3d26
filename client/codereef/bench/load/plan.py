# SPDX-License-Identifier: Apache-2.0
"""What is asked of a load: the scenario, how many samples a query has, when queries come, and when it is over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

import numpy as np

from codereef.bench.load.core import StopRule
from codereef.bench.load.rules import (
    Budget,
    EarlyStopping,
    MaxCount,
    MinDuration,
    NarrowInterval,
    NotBefore,
    RelativeDeviation,
)
from codereef.bench.options import Options
from codereef.errors import OptionError

SINGLE, MULTI, SERVER, OFFLINE = "single-stream", "multi-stream", "server", "offline"
SCENARIOS = (SINGLE, MULTI, SERVER, OFFLINE)
#: The percentile that MLPerf reports of each scenario (mlperf.conf of LoadGen 6); Offline has none.
PERCENTILES = {SINGLE: 0.9, MULTI: 0.99, SERVER: 0.99}
_BLOCK = 4096


@dataclass(frozen=True)
class Plan:
    """A load, checked.

    Attributes:
        scenario: one of `SCENARIOS`.
        samples_per_query: samples of a query; in Offline, where one query holds all, of one inference.
        batch: samples of one inference.
        percentile: what the scenario reports, 0 to 1; None in Offline.
        quantile: what the rule `interval` looks at, 0 to 1; None for the mean.
        target_qps: queries a second that arrive, in the scenario server.
        target_latency: bound on the percentile in seconds, in the scenario server; None without one.
        options: the options in force.
    """

    scenario: str
    samples_per_query: int
    batch: int
    percentile: Optional[float]
    quantile: Optional[float]
    target_qps: float
    target_latency: Optional[float]
    options: Options

    @property
    def min_samples(self) -> int:
        """Fewest samples (queries, but in Offline): no more than there may be."""
        return min(self.options.min_samples, self.options.max_samples)

    @property
    def min_queries(self) -> int:
        """Fewest queries; in Offline the samples are counted, and these are inferences."""
        return self._queries(self.min_samples)

    @property
    def max_queries(self) -> int:
        """Most queries; see `min_queries`."""
        return max(self._queries(self.options.max_samples), 1)

    def _queries(self, count: int) -> int:
        return -(-count // self.samples_per_query) if self.scenario == OFFLINE else count

    def rules(self, together: bool = False) -> tuple[StopRule, ...]:
        """The rules that end it: the one that was chosen, and the limits of time and count.

        Args:
            together: whether other processes measure in turns with it. Then the rule `interval` does not end it:
                they would be done at different moments, and what the machine did after would meet the last alone.
        """
        options = self.options
        chosen: list[StopRule] = []
        if options.stop == "interval" and not together:
            chosen = [NarrowInterval(options.relative_width, options.confidence, self.min_queries, self.quantile)]
        elif options.stop == "relative-deviation":
            chosen = [RelativeDeviation(max(1, self.min_queries // 3), options.relative_deviation)]
        elif options.stop == "early-stopping" and self.percentile is not None:
            chosen = [EarlyStopping(self.percentile, self.target_latency)]
        elif options.stop == "duration":
            return MinDuration(options.min_seconds, self.min_queries), *self._limits()
        if options.min_seconds > 0:
            chosen = [NotBefore(options.min_seconds, rule) for rule in chosen]
        return *chosen, *self._limits()

    def _limits(self) -> tuple[StopRule, ...]:
        return MaxCount(self.max_queries), Budget(self.options.max_seconds)

    def settings(self) -> dict[str, object]:
        """The settings in force, in SI units, as JSON data."""
        options = self.options
        facts: dict[str, object] = {
            "scenario": self.scenario,
            "samples_per_query": self.samples_per_query,
            "batch": self.batch,
            "stop": options.stop,
            "min_samples": self.min_samples,
            "max_samples": options.max_samples,
            "min_seconds": options.min_seconds,
            "max_seconds": options.max_seconds,
            "threads": options.threads,
        }
        if self.percentile is not None:
            facts["percentile"] = self.percentile
        if options.stop == "interval":
            facts["statistic"] = "mean" if self.quantile is None else f"p{self.quantile * 100:g}"
        if self.scenario == SERVER:
            facts.update(target_qps=self.target_qps, target_latency=self.target_latency, seed=options.seed)
        facts.update({name: value for name in ("cpus", "provider", "delegate") if (value := getattr(options, name))})
        return facts


def make_plan(scenario: str, options: Options) -> Plan:
    """Check what was asked for and return the plan.

    Raises:
        OptionError: the scenario is unknown, or the options do not go together.
    """
    if scenario not in SCENARIOS:
        raise OptionError(f"no scenario is called {scenario}; known: {', '.join(SCENARIOS)}")
    if options.min_seconds > options.max_seconds:
        raise OptionError(
            f"option min_seconds ({options.min_seconds:g}) is more than max_seconds ({options.max_seconds:g})",
            hint="raise max_seconds; MLPerf measures for 600 seconds",
        )
    if scenario == OFFLINE and options.stop == "early-stopping":
        raise OptionError(
            "early stopping is a rule about latency, and the scenario offline has none",
            hint="choose stop=interval, count, duration or relative-deviation",
        )
    if scenario == SERVER and options.batch != 1:
        raise OptionError(
            "the scenario server answers queries one at a time; batch must be 1",
            hint="the scenarios offline and multi-stream join samples",
        )
    if scenario == SERVER and options.target_qps <= 0:
        raise OptionError(
            "the scenario server needs target_qps, the queries a second that arrive",
            hint="begin below the throughput of the scenario offline, such as -o target_qps=20",
        )
    samples = {MULTI: options.samples_per_query, SERVER: 1}.get(scenario, options.batch)
    if samples % options.batch:
        raise OptionError(f"samples_per_query ({samples}) must be a multiple of batch ({options.batch})")
    percentile = PERCENTILES.get(scenario)
    quantile = percentile if options.statistic == "scenario" else float(options.statistic[1:]) / 100
    return Plan(
        scenario,
        samples,
        options.batch,
        percentile,
        None if scenario == OFFLINE else quantile,
        options.target_qps,
        options.target_latency or None,
        options,
    )


class PoissonArrivals:
    """Arrivals of a Poisson process: exponential gaps, drawn by numpy's frozen `RandomState`, the same everywhere.

    Args:
        rate: arrivals a second.
        seed: of the draws, 0 to 2**32 - 1.
    """

    def __init__(self, rate: float, seed: int) -> None:
        self._random, self._gap_ns, self._last = np.random.RandomState(seed), 1e9 / rate, 0.0

    def block(self) -> Sequence[int]:
        """See `core.Schedule.block`."""
        # The first query arrives at the start, as in LoadGen.
        gaps = self._random.exponential(self._gap_ns, _BLOCK)
        ends = self._last + np.cumsum(gaps)
        arrivals = ends - gaps
        self._last = float(ends[-1])
        numbers: list[int] = arrivals.astype(np.int64).tolist()
        return numbers
