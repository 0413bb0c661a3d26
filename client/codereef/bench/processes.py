# SPDX-License-Identifier: Apache-2.0
"""Statistics of times that were measured in one process, or in several, one after the other.

What a process is given once (memory layout, address randomisation, placement of threads) shifts all its samples
together. More samples of one process do not make up for that; more processes do (Kalibera & Jones 2013,
"Rigorous benchmarking in reasonable time", doi:10.1145/2464157.2464160; Mytkowicz et al. 2009,
doi:10.1145/1508284.1508275).

The value of a statistic is that of all samples together. Its interval is the smallest that holds two others:

- Student's t interval of the mean of what each process gives on its own, which has the spread between processes
  in it and is right for as few as two of them (a bootstrap of three processes is much too narrow);
- the block bootstrap interval of all samples, which stands where processes agree better than they could know.

Of one process there is the second alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, median, variance
from typing import Optional

from codereef.bench.distributions import f_tail, t_quantile
from codereef.bench.response import Metric
from codereef.bench.statistics import PERCENTILE_METHOD, bootstrap, draws_for, middle, needed_samples, percentile

#: Processes differ by more than chance: at this p-value, and by at least this share of the median.
UNEVEN_P = 0.001
UNEVEN_SPREAD = 0.02
_DRAWS = 300


@dataclass(frozen=True)
class Between:
    """How processes differ in the median of a series.

    Attributes:
        processes: number of processes with samples.
        medians: the median of each.
        spread: largest of them / smallest - 1.
        share: part of the variance of these medians that noise within the processes does not explain, 0 to 1;
            None for a single process. Near 1, only more processes narrow the interval; near 0, more samples do.
        p_value: probability of medians as far apart as these if processes did not differ; None as above.
        uneven: whether they differ by more than chance, and by enough to matter.
    """

    processes: int
    medians: tuple[float, ...]
    spread: float
    share: Optional[float]
    p_value: Optional[float]
    uneven: bool

    def as_dict(self) -> dict[str, object]:
        """It as JSON data."""
        return {**asdict(self), "medians": list(self.medians)}


@dataclass(frozen=True)
class ProcessesSummary:
    """Metrics over all processes, and how these differ."""

    metrics: dict[str, Metric]
    between: Between


def summarise_processes(
    series: Sequence[Sequence[float]],
    name: str = "latency",
    quantiles: Sequence[float] = (0.5, 0.9, 0.99),
    confidence: float = 0.95,
    seed: int = 0,
) -> ProcessesSummary:
    """Metrics `<name>_p50` and so on, `<name>_mean` and `throughput` of times taken in one or several processes.

    Throughput is queries over the time spent in queries, 1 / mean: what the model does, free of what the harness
    does between queries.

    Args:
        series: times in seconds in the order taken, one series a process, in the order of the processes. Those
            without samples are left out.
        name: of the series; `throughput` is only said of `latency`.
        quantiles: percentiles, 0..1.
        confidence: level of the intervals, 0 to 1.
        seed: of the bootstrap.

    Raises:
        ValueError: no process has samples.
    """
    kept = [list(map(float, values)) for values in series if len(values)]
    if not kept:
        raise ValueError("no statistics of no samples")
    everything = [value for values in kept for value in values]
    n = len(everything)
    enough = n >= needed_samples(0.5)
    shown = [q for q in quantiles if n >= needed_samples(q)]
    points, means = bootstrap(everything, shown, seed) if enough or shown else ([], [])
    means = means if enough else []
    metrics: dict[str, Metric] = {}
    for q in quantiles:
        label = f"{name}_p{q * 100:g}"
        if q not in shown:
            reason = f"p{q * 100:g} needs {needed_samples(q)} samples, there are {n}"
            metrics[label] = Metric(None, "s", "lower", PERCENTILE_METHOD, n, reason=reason)
            continue
        each = [percentile(values, q) for values in kept]
        metrics[label] = _metric(
            percentile(everything, q), each, points[shown.index(q)], confidence, n, "s", "lower", PERCENTILE_METHOD
        )
    each = [math.fsum(values) / len(values) for values in kept]
    mean = math.fsum(everything) / n
    metrics[f"{name}_mean"] = _metric(mean, each, means, confidence, n, "s", "lower", "arithmetic mean")
    if name == "latency":
        metrics["throughput"] = _metric(
            1 / mean, [1 / value for value in each], [1 / value for value in means], confidence, n, "1/s", "higher",
            "queries / time in queries, single stream",
        )  # fmt: skip
    return ProcessesSummary(metrics, between_processes(kept, seed))


def _metric(
    value: float, each: Sequence[float], draws: Sequence[float], confidence: float, n: int, unit: str, direction: str,
    method: str,
) -> Metric:  # fmt: skip
    if not draws:
        return Metric(value, unit, direction, method, n)
    bounds = [*middle(draws, confidence)]
    how = f"circular block bootstrap, block {math.ceil(n ** (1 / 3))}, {draws_for(n)} draws"
    if len(each) > 1:
        reach = t_quantile(confidence, len(each) - 1) * math.sqrt(variance(each) / len(each))
        # Times are no less than nothing, however few the processes.
        bounds += [max(0.0, fmean(each) - reach), fmean(each) + reach, value]
        how = f"the wider of Student's t over {len(each)} processes and {how}"
    return Metric(
        value, unit, direction, f"{method}; {how}", n, interval=(min(bounds), max(bounds)), confidence=confidence
    )


def between_processes(series: Sequence[Sequence[float]], seed: int = 0) -> Between:
    """How the medians of processes differ, beside what noise within each explains.

    The variance of the medians is held against the mean of the variances that a block bootstrap gives each of
    them: their ratio is F-distributed when processes do not differ, with as many degrees of freedom below as
    there are blocks, less one a process.

    Args:
        series: raw samples, one series a process, none empty.
        seed: of the bootstrap.
    """
    medians = tuple(float(median(values)) for values in series)
    spread = max(medians) / min(medians) - 1 if min(medians) > 0 else 0.0
    k = len(medians)
    if k < 2:
        return Between(k, medians, spread, None, None, False)
    observed = variance(medians)
    noise = fmean(
        variance(bootstrap(values, (0.5,), seed + i, min(_DRAWS, draws_for(len(values))))[0][0])
        for i, values in enumerate(series)
    )
    freedom = sum(math.ceil(len(values) / math.ceil(len(values) ** (1 / 3))) - 1 for values in series)
    if observed == 0:
        return Between(k, medians, spread, 0.0, 1.0, False)
    p = f_tail(observed / noise if noise else math.inf, k - 1, freedom) if freedom else 1.0
    return Between(
        k, medians, spread, max(0.0, 1 - noise / observed), p, p < UNEVEN_P and spread >= UNEVEN_SPREAD
    )  # fmt: skip


@dataclass(frozen=True)
class SingleValues:
    """One number from each of several processes, such as load times.

    Attributes:
        value: their median.
        interval: lowest and highest, which hold the median of all processes there could be with probability
            `confidence`, whatever their distribution; None for a single process.
        confidence: 1 - 2**(1 - n) of n values (Conover 1999, section 3.2); None for a single process.
        samples: number of values.
        method: how it was computed.
    """

    value: float
    interval: Optional[tuple[float, float]]
    confidence: Optional[float]
    samples: int
    method: str


def combine_single(values: Sequence[float]) -> SingleValues:
    """Combine a metric of which each process gives one number: load time, first inference, peak memory.

    Raises:
        ValueError: there is no value.
    """
    if not len(values):
        raise ValueError("no median of no values")
    n, value = len(values), float(median(values))
    if n == 1:
        return SingleValues(value, None, None, 1, "single measurement")
    return SingleValues(
        value,
        (float(min(values)), float(max(values))),
        1 - 2.0 ** (1 - n),
        n,
        f"median of {n} processes; interval from the lowest to the highest",
    )
