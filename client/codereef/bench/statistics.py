# SPDX-License-Identifier: Apache-2.0
"""Statistics of raw samples: percentiles, confidence intervals, and what a reader must be warned of.

Percentiles interpolate linearly between order statistics (Hyndman & Fan 1996, type 7). A percentile q is
given only when n * (1 - q) >= 10, so that ten samples lie above it: p50 needs 20, p90 100, p99 1,000.

Intervals are percentile bootstrap intervals. Latencies that follow each other are alike, and resampling them
one by one would make the interval too narrow; so blocks of neighbours are drawn (circular block bootstrap,
Politis & Romano 1992) of length ceil(n ** (1/3)). The draws are seeded.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Optional

import numpy as np
import numpy.typing as npt

from codereef.bench.response import Metric

Values = npt.NDArray[Any]
PERCENTILE_METHOD = "linear interpolation (Hyndman-Fan type 7)"
_SAMPLES_ABOVE = 10
_MOST_DRAWS, _FEWEST_DRAWS, _WORK = 2000, 200, 20_000_000
_CHUNK = 4_000_000
DRIFT_LIMIT = 0.05


def needed_samples(q: float) -> int:
    """Samples that a percentile needs to be shown: the least n with n * (1 - q) >= 10.

    The tail is rounded to 9 digits first, for 1 - 0.9 is a little less than 0.1 in binary.
    """
    return math.ceil(round(_SAMPLES_ABOVE / round(1 - q, 9), 6))


def percentile(values: Values, q: float) -> float:
    """Percentile of raw samples, q in 0..1, by linear interpolation; raises ValueError when empty."""
    if values.size == 0:
        raise ValueError("no percentile of no samples")
    return float(np.percentile(values, q * 100))


def median_interval(values: Values, confidence: float) -> Optional[tuple[float, float]]:
    """Confidence interval of the median from order statistics, free of any distribution.

    The ranks are those of the normal approximation to the binomial (Conover 1999, section 3.2):
    n/2 -+ z * sqrt(n)/2, rounded outwards. It takes the samples as independent.

    Args:
        values: raw samples.
        confidence: level, 0 to 1.

    Returns:
        Lowest and highest value, or None when the samples are too few for such an interval.
    """
    n = values.size
    reach = NormalDist().inv_cdf(0.5 + confidence / 2) * math.sqrt(n) / 2
    low, high = math.floor(n / 2 - reach), math.ceil(n / 2 + reach) + 1  # ranks from 1
    if low < 1 or high > n:
        return None
    ordered = np.partition(values, [low - 1, high - 1])
    return float(ordered[low - 1]), float(ordered[high - 1])


def draws_for(n: int) -> int:
    """Bootstrap draws for n samples: 2,000, fewer (never under 200) when n is so large that it would take long."""
    return max(_FEWEST_DRAWS, min(_MOST_DRAWS, _WORK // max(n, 1)))


def bootstrap(
    values: Values, quantiles: Sequence[float], seed: int, draws: Optional[int] = None
) -> tuple[Values, Values]:
    """Bootstrap distributions of percentiles and of the mean.

    Args:
        values: n raw samples in the order taken.
        quantiles: percentiles, 0..1.
        seed: of the draws.
        draws: how many; `draws_for(n)` when None.

    Returns:
        [draws, len(quantiles)] percentiles and [draws] means of the resampled series.
    """
    n = values.size
    length = math.ceil(n ** (1 / 3)) if n else 0
    blocks = math.ceil(n / length) if n else 0
    draws = draws_for(n) if draws is None else draws
    generator = np.random.default_rng(seed)
    points = np.empty((draws, len(quantiles)))
    means = np.empty(draws)
    percents = [q * 100 for q in quantiles]
    step = max(1, _CHUNK // max(n, 1))
    for begin in range(0, draws, step):
        count = min(step, draws - begin)
        starts = generator.integers(0, n, size=(count, blocks, 1))
        index = ((starts + np.arange(length)) % n).reshape(count, -1)[:, :n]
        drawn = values[index]
        means[begin : begin + count] = drawn.mean(axis=1)
        if percents:
            points[begin : begin + count] = np.percentile(drawn, percents, axis=1, overwrite_input=True).T
    return points, means


def middle(draws: Values, confidence: float) -> tuple[float, float]:
    """The central part of a bootstrap distribution that holds `confidence` of it."""
    tail = (1 - confidence) / 2 * 100
    low, high = np.percentile(draws, [tail, 100 - tail])
    return float(low), float(high)


@dataclass(frozen=True)
class LatencySummary:
    """Metrics of a latency series and what a reader must be warned of."""

    metrics: dict[str, Metric]
    warnings: tuple[str, ...]


def drift(values: Values) -> Optional[float]:
    """Relative change of the median from the first half to the second; None under 20 samples."""
    if values.size < 20:
        return None
    half = values.size // 2
    first = float(np.median(values[:half]))
    return float(np.median(values[half:])) / first - 1 if first > 0 else None


def percentile_metrics(
    values: Values, name: str, quantiles: Sequence[float], confidence: float, seed: int
) -> dict[str, Metric]:
    """Metrics `<name>_p50` and so on of a series of times in seconds; see the module for the rules."""
    metrics: dict[str, Metric] = {}
    shown = [q for q in quantiles if values.size >= needed_samples(q)]
    points = bootstrap(values, shown, seed)[0] if shown else np.empty((0, 0))
    for q in quantiles:
        label = f"{name}_p{q * 100:g}"
        if q not in shown:
            metrics[label] = Metric(
                None, "s", "lower", PERCENTILE_METHOD, int(values.size),
                reason=f"p{q * 100:g} needs {needed_samples(q)} samples, there are {values.size}",
            )  # fmt: skip
            continue
        metrics[label] = Metric(
            percentile(values, q), "s", "lower", f"{PERCENTILE_METHOD}; {_bootstrap_method(values.size)}",
            int(values.size), interval=middle(points[:, shown.index(q)], confidence), confidence=confidence,
        )  # fmt: skip
    return metrics


def _bootstrap_method(n: int) -> str:
    return f"circular block bootstrap, block {math.ceil(n ** (1 / 3))}, {draws_for(n)} draws"


def summarise_latency(values: Values, confidence: float, seed: int) -> LatencySummary:
    """Metrics latency_p50, p90, p99, latency_mean and throughput of a single stream.

    Throughput is queries over the time spent in queries, 1 / mean: what the model does, free of what the
    harness does between queries.

    Args:
        values: latencies in seconds, in the order taken; at least one.
        confidence: level of the intervals, 0 to 1.
        seed: of the bootstrap.
    """
    n = int(values.size)
    metrics = percentile_metrics(values, "latency", (0.5, 0.9, 0.99), confidence, seed)
    mean = float(values.mean())
    interval = None
    if n >= needed_samples(0.5):
        interval = middle(bootstrap(values, (), seed)[1], confidence)
    metrics["latency_mean"] = Metric(
        mean, "s", "lower", f"arithmetic mean; {_bootstrap_method(n)}", n,
        interval=interval, confidence=None if interval is None else confidence,
    )  # fmt: skip
    metrics["throughput"] = Metric(
        1 / mean, "1/s", "higher", f"queries / time in queries, single stream; {_bootstrap_method(n)}", n,
        interval=None if interval is None else (1 / interval[1], 1 / interval[0]),
        confidence=None if interval is None else confidence,
    )  # fmt: skip
    warnings = []
    change = drift(values)
    if change is not None and abs(change) > DRIFT_LIMIT:
        warnings.append(f"not steady: the median latency changed by {change:+.1%} from the first half to the second")
    return LatencySummary(metrics, tuple(warnings))


def proportion_interval(successes: int, n: int, confidence: float) -> tuple[float, float]:
    """Wilson's score interval of a proportion (Wilson 1927, doi:10.1080/01621459.1927.10502953); n >= 1."""
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    p = successes / n
    scale = 1 + z * z / n
    centre = (p + z * z / (2 * n)) / scale
    reach = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / scale
    return max(0.0, centre - reach), min(1.0, centre + reach)
