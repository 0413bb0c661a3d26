# SPDX-License-Identifier: Apache-2.0
"""Stop rules: when enough has been measured. `core.StopRule` says what each of them answers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from statistics import NormalDist
from typing import Any, Optional

import numpy as np

from codereef.bench.load.core import NEVER, Samples, StopRule
from codereef.bench.load.early_stopping import CONFIDENCE, fewest_queries, most_over

# What a clock that is read in tens of nanoseconds cannot tell apart.
_CLOCK_NS = 20


def growing(count: int) -> int:
    """The count at which to look next, a quarter further on: so seldom that looking hardly disturbs."""
    return count + max(16, count // 4)


@dataclass(frozen=True)
class Budget:
    """Stops when `seconds` have passed since the start; the query under way is finished."""

    seconds: float

    def due(self, count: int, elapsed_ns: int) -> tuple[int, int]:
        """See `StopRule.due`."""
        return NEVER, int(self.seconds * 1e9)

    def reason(self, samples: Samples, elapsed_ns: int) -> str:
        """See `StopRule.reason`."""
        return f"the budget of {self.seconds:g} s ended" if elapsed_ns >= self.seconds * 1e9 else ""


@dataclass(frozen=True)
class MaxCount:
    """Stops after `count` samples."""

    count: int

    def due(self, count: int, elapsed_ns: int) -> tuple[int, int]:
        """See `StopRule.due`."""
        return self.count, NEVER

    def reason(self, samples: Samples, elapsed_ns: int) -> str:
        """See `StopRule.reason`."""
        return f"{self.count} samples were taken" if samples.size >= self.count else ""


@dataclass(frozen=True)
class MinDuration:
    """Stops when both `seconds` have passed and `count` samples were taken: LoadGen's own rule.

    The last query is the first that is sent when both hold, as in LoadGen.
    """

    seconds: float
    count: int

    def due(self, count: int, elapsed_ns: int) -> tuple[int, int]:
        """See `StopRule.due`."""
        if elapsed_ns < self.seconds * 1e9:
            return NEVER, int(self.seconds * 1e9)
        return max(self.count, count + 1), NEVER

    def reason(self, samples: Samples, elapsed_ns: int) -> str:
        """See `StopRule.reason`."""
        if _sent_ns(samples, elapsed_ns) < self.seconds * 1e9 or samples.size < self.count:
            return ""
        return f"{self.seconds:g} s had passed and {self.count} samples were taken"


@dataclass(frozen=True)
class NotBefore:
    """Another rule, which is not asked before `seconds` have passed."""

    seconds: float
    rule: StopRule

    def due(self, count: int, elapsed_ns: int) -> tuple[int, int]:
        """See `StopRule.due`."""
        if elapsed_ns < self.seconds * 1e9:
            return NEVER, int(self.seconds * 1e9)
        return self.rule.due(count, elapsed_ns)

    def reason(self, samples: Samples, elapsed_ns: int) -> str:
        """See `StopRule.reason`."""
        return self.rule.reason(samples, elapsed_ns) if _sent_ns(samples, elapsed_ns) >= self.seconds * 1e9 else ""


def _sent_ns(samples: Samples, elapsed_ns: int) -> int:
    """When the last query was sent, or was to arrive."""
    return elapsed_ns - int(samples[-1])


@dataclass(frozen=True)
class NarrowInterval:
    """Stops when the confidence interval of a percentile is narrow, once there are `min_samples`.

    It looks when the count has grown by a quarter, so seldom that looking hardly disturbs: first at the interval that
    there would be were the samples independent, and when that is narrow at one as wide as the circular block
    bootstrap would have it, whose variance is known without a draw. That must be a tenth narrower than asked for,
    since the interval that is reported in the end is drawn, and varies. Looking more than once makes the true
    confidence somewhat lower than the nominal one.

    Attributes:
        relative_width: width of the interval as a fraction of the percentile.
        confidence: level of the interval, 0 to 1.
        min_samples: fewest samples.
        quantile: percentile, 0 to 1; None for the mean.
    """

    relative_width: float
    confidence: float
    min_samples: int
    quantile: Optional[float] = 0.5

    def due(self, count: int, elapsed_ns: int) -> tuple[int, int]:
        """See `StopRule.due`."""
        return max(self.min_samples, growing(count)), NEVER

    def reason(self, samples: Samples, elapsed_ns: int) -> str:
        """See `StopRule.reason`."""
        if samples.size < self.min_samples:
            return ""
        z = NormalDist().inv_cdf(0.5 + self.confidence / 2)
        find = _mean_interval if self.quantile is None else partial(_rank_interval, q=self.quantile)
        for blocks in (False, True):
            found = find(samples, z, blocks)
            if found is None or found[2] - found[0] > 0.9 * self.relative_width * found[1]:
                return ""
        q = self.quantile
        name = "mean" if q is None else "median" if q == 0.5 else f"p{q * 100:g}"
        return f"the {self.confidence:.0%} interval of the {name} is narrow enough"


def _rank_interval(samples: Samples, z: float, blocks: bool, q: float) -> Optional[tuple[float, float, float]]:
    """Lower end, value and upper end for a percentile; None when the samples are too few."""
    n = samples.size
    middle = int((n - 1) * q)
    variance = _block_variance(_lowest(samples, middle + 1)) if blocks else n * q * (1 - q)
    reach = z * math.sqrt(variance)
    low, high = math.floor(n * q - reach), math.ceil(n * q + reach) + 1  # ranks from 1
    if low < 1 or high > n:
        return None
    found = np.partition(samples, (low - 1, middle, high - 1))
    return float(found[low - 1]), float(found[middle]), float(found[high - 1])


def _lowest(samples: Samples, count: int) -> Any:
    """Which samples are the `count` lowest; of equal ones the first."""
    value = np.partition(samples, count - 1)[count - 1]
    lowest = samples < value
    ties = np.flatnonzero(samples == value)
    lowest[ties[: count - np.count_nonzero(lowest)]] = True
    return lowest


def _mean_interval(samples: Samples, z: float, blocks: bool) -> Optional[tuple[float, float, float]]:
    """Lower end, value and upper end for the mean; None when the samples are too few."""
    n = samples.size
    if n < 2:
        return None
    mean = float(np.mean(samples))
    variance = _block_variance(samples - mean) if blocks else float(np.var(samples, ddof=1)) * n
    reach = z * math.sqrt(variance) / n
    return mean - reach, mean, mean + reach


def _block_variance(values: Any) -> float:
    """Variance of the sum of n values that are drawn as neighbours, in blocks of ceil(n ** (1/3)).

    It is that of the circular block bootstrap of `statistics`: n / length blocks, each any of the n there are.
    """
    n = len(values)
    length = math.ceil(n ** (1 / 3))
    sums = np.concatenate(([0], np.cumsum(np.concatenate((values, values[:length])))))
    variance: float = np.var(sums[length : length + n] - sums[:n]) * n / length
    return variance


@dataclass(frozen=True)
class EarlyStopping:
    """Stops when MLPerf's early stopping lets it; see `early_stopping`.

    Attributes:
        percentile: of the scenario, 0 to 1.
        bound_s: bound on the latency, in seconds; without one the estimate of the percentile must exist.
    """

    percentile: float
    bound_s: Optional[float]

    def due(self, count: int, elapsed_ns: int) -> tuple[int, int]:
        """See `StopRule.due`."""
        if self.bound_s is None:
            return max(fewest_queries(1, self.percentile), count + 1), NEVER
        return max(fewest_queries(0, self.percentile), growing(count) if count else 0), NEVER

    def reason(self, samples: Samples, elapsed_ns: int) -> str:
        """See `StopRule.reason`."""
        subject = f"p{self.percentile * 100:g}"
        if self.bound_s is None:
            if samples.size < fewest_queries(1, self.percentile):
                return ""
            return f"{samples.size} queries are enough for an estimate of {subject} with {CONFIDENCE:.0%} confidence"
        allowed = most_over(samples.size, self.percentile)
        if allowed is None or np.count_nonzero(samples > self.bound_s * 1e9) > allowed:
            return ""
        return f"with {CONFIDENCE:.0%} confidence {subject} is at most {self.bound_s:g} s"


@dataclass(frozen=True)
class RelativeDeviation:
    """The Phoronix Test Suite's rule, on runs of `run_length` queries that follow each other.

    A run's value is its mean. There are three runs; more are added while the relative standard deviation of their
    values is `most` or more, or a value lies more than three standard deviations from the mean, up to four times as
    many (three times, when a run takes two minutes or more; twice, from four minutes). A run of over twenty minutes
    is never repeated.

    Attributes:
        run_length: queries of a run.
        most: relative standard deviation that still calls for another run.
        times: runs that are always made.
    """

    run_length: int
    most: float = 0.025
    times: int = 3

    def due(self, count: int, elapsed_ns: int) -> tuple[int, int]:
        """See `StopRule.due`."""
        return max(self.times, count // self.run_length + 1) * self.run_length, NEVER

    def reason(self, samples: Samples, elapsed_ns: int) -> str:
        """See `StopRule.reason`."""
        runs = samples.size // self.run_length
        if runs < self.times:
            return ""
        values = samples[: runs * self.run_length].reshape(runs, self.run_length).mean(axis=1)
        deviation, mean = float(np.std(values, ddof=1)), float(np.mean(values))
        relative = deviation / mean if mean else 0.0
        if relative < self.most and bool((abs(values - mean) <= 3 * deviation).all()):
            return f"the means of {runs} runs have a relative standard deviation of {relative:.1%}"
        minutes = elapsed_ns / 60e9 / runs
        limit = 1 if minutes > 20 else 4 if minutes < 2 else 3 if minutes < 4 else 2
        if runs >= limit * self.times:
            return f"{runs} runs were made and their relative standard deviation is {relative:.1%}"
        return ""


@dataclass(frozen=True)
class Steady:
    """Ends a warm-up: at its time and its count, or before when the queries have become steady.

    Steady means that the medians of the last two quarters of at least 80 queries and a tenth of the time lie
    within one per cent (and what the clock cannot tell apart): a fast model is warm long before a second has passed.
    """

    seconds: float
    count: int

    def due(self, count: int, elapsed_ns: int) -> tuple[int, int]:
        """See `StopRule.due`."""
        if elapsed_ns >= self.seconds * 1e9:
            return max(self.count, count + 1), NEVER
        return max(80, growing(count)), int(self.seconds * 1e9)

    def reason(self, samples: Samples, elapsed_ns: int) -> str:
        """See `StopRule.reason`."""
        if samples.size < self.count:
            return ""
        if elapsed_ns >= self.seconds * 1e9:
            return "warm"
        if samples.size < 80 or elapsed_ns < self.seconds * 1e8:
            return ""
        quarter = samples.size // 4
        last, before = np.median(samples[-quarter:]), np.median(samples[-2 * quarter : -quarter])
        return "warm and steady" if abs(last - before) <= 0.01 * before + _CLOCK_NS else ""
