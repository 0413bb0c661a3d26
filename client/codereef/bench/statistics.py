# SPDX-License-Identifier: Apache-2.0
"""Statistics of raw samples: percentiles and confidence intervals.

Percentiles interpolate linearly between order statistics (Hyndman & Fan 1996, type 7). A percentile q is
given only when n * (1 - q) >= 10, so that ten samples lie above it: p50 needs 20, p90 100, p99 1,000.

Intervals are percentile bootstrap intervals. Latencies that follow each other are alike, and resampling them
one by one would make the interval too narrow; so blocks of neighbours are drawn (circular block bootstrap,
Politis & Romano 1992) of length ceil(n ** (1/3)). The draws are seeded: block after block starts at
int(random() * n) of Python's `random.Random(seed)`, which is the same on every machine.

Only the standard library is used, for the same code runs in the solution's Python, where the samples are
taken, and in the client's, where results are compared.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import accumulate, chain
from random import Random
from statistics import NormalDist
from typing import Optional

PERCENTILE_METHOD = "linear interpolation (Hyndman-Fan type 7)"
_SAMPLES_ABOVE = 10
_MOST_DRAWS, _FEWEST_DRAWS, _WORK = 2000, 200, 20_000_000
# How many standard deviations around a percentile are looked at first; what lies outside is still found.
_REACH = 5.0


def needed_samples(q: float) -> int:
    """Samples that a percentile needs to be shown: the least n with n * (1 - q) >= 10.

    The tail is rounded to 9 digits first, for 1 - 0.9 is a little less than 0.1 in binary.
    """
    return math.ceil(round(_SAMPLES_ABOVE / round(1 - q, 9), 6))


def percentile(values: Sequence[float], q: float) -> float:
    """Percentile of raw samples, q in 0..1, by linear interpolation; raises ValueError when empty."""
    if len(values) == 0:
        raise ValueError("no percentile of no samples")
    return _between(sorted(values), *_position(len(values), q))


def _position(n: int, q: float) -> tuple[int, float]:
    """Which order statistic, from 0, a percentile of n samples follows, and how far it is to the next."""
    place = (n - 1) * q
    low = min(math.floor(place), n - 1)
    return low, place - low


def _between(ordered: Sequence[float], low: int, part: float) -> float:
    below = ordered[low]
    return float(below + (ordered[low + 1] - below) * part if part else below)


def median_interval(values: Sequence[float], confidence: float) -> Optional[tuple[float, float]]:
    """Confidence interval of the median from order statistics, free of any distribution.

    The ranks are those of the normal approximation to the binomial (Conover 1999, section 3.2):
    n/2 -+ z * sqrt(n)/2, rounded outwards. It takes the samples as independent.

    Args:
        values: raw samples.
        confidence: level, 0 to 1.

    Returns:
        Lowest and highest value, or None when the samples are too few for such an interval.
    """
    n = len(values)
    reach = NormalDist().inv_cdf(0.5 + confidence / 2) * math.sqrt(n) / 2
    low, high = math.floor(n / 2 - reach), math.ceil(n / 2 + reach) + 1  # ranks from 1
    if low < 1 or high > n:
        return None
    ordered = sorted(values)
    return float(ordered[low - 1]), float(ordered[high - 1])


def draws_for(n: int) -> int:
    """Bootstrap draws for n samples: 2,000, fewer (never under 200) when n is so large that it would take long."""
    return max(_FEWEST_DRAWS, min(_MOST_DRAWS, _WORK // max(n, 1)))


def bootstrap(
    values: Sequence[float], quantiles: Sequence[float], seed: int, draws: Optional[int] = None
) -> tuple[list[list[float]], list[float]]:
    """Bootstrap distributions of percentiles and of the mean.

    A draw of n samples is n ** (2/3) blocks. What each block adds to the sum, and to the count of samples
    below a percentile, is known before; so only the few samples near the percentile are sorted.

    Args:
        values: n raw samples in the order taken, at least one.
        quantiles: percentiles, 0..1.
        seed: of the draws.
        draws: how many; `draws_for(n)` when None.

    Returns:
        For each quantile its value in every resampled series, and the mean of every resampled series.
    """
    n = len(values)
    length = math.ceil(n ** (1 / 3))
    blocks = math.ceil(n / length)
    last = n - (blocks - 1) * length
    draws = draws_for(n) if draws is None else draws
    random = Random(seed).random
    centre = math.fsum(values) / n
    sums, last_sums = ([*_windows([v - centre for v in values], size)] for size in (length, last))
    near = [_Percentile(values, q, length, last) for q in quantiles]
    points: list[list[float]] = [[] for _ in quantiles]
    means = []
    for _ in range(draws):
        starts = [int(random() * n) for _ in range(blocks)]
        end = starts.pop()
        means.append(centre + (sum(map(sums.__getitem__, starts)) + last_sums[end]) / n)
        for percentile_, drawn in zip(near, points):
            drawn.append(percentile_.of(starts, end))
    return points, means


def _windows(values: Sequence[float], size: int) -> Iterator[float]:
    """The sum of each `size` values that follow each other, in a circle."""
    sums = [0, *accumulate(chain(values, values[:size]))]
    return (sums[i + size] - sums[i] for i in range(len(values)))


class _Percentile:
    """One percentile of a series that is made of blocks of another."""

    def __init__(self, values: Sequence[float], q: float, length: int, last: int) -> None:
        n = len(values)
        order = sorted(range(n), key=values.__getitem__)
        self._ordered = [values[i] for i in order]
        ranks = [0] * n
        for rank, i in enumerate(order):
            ranks[i] = rank
        self._ranks, self._length, self._last = ranks + ranks, length, last
        self._low, self._part = _position(n, q)
        # The count of drawn samples below the percentile is a sum of independent counts, one a block.
        counts = [*_windows([rank <= self._low for rank in ranks], length)]
        mean = sum(counts) / n
        deviation = math.sqrt(sum((count - mean) ** 2 for count in counts) / n * math.ceil(n / length))
        reach = math.ceil(_REACH * deviation) + 2
        first, after = self._low - reach, self._low + reach
        self._below, self._last_below = (
            [*map(int, _windows([rank < first for rank in ranks], size))] for size in (length, last)
        )
        inside = [rank for rank in self._ranks if first <= rank < after]
        upto = [0, *accumulate(first <= rank < after for rank in self._ranks)]
        self._inside, self._last_inside = (
            [inside[upto[i] : upto[i + size]] for i in range(n)] for size in (length, last)
        )

    def of(self, starts: Sequence[int], end: int) -> float:
        """The percentile of blocks that begin at `starts`, and of a last and shorter one that begins at `end`."""
        below = sum(map(self._below.__getitem__, starts)) + self._last_below[end]
        inside = sorted(chain(*map(self._inside.__getitem__, starts), self._last_inside[end]))
        low = self._low - below
        if low < 0 or low + (self._part > 0) >= len(inside):
            # Seldom, the percentile moved further than was looked: all that was drawn is sorted.
            inside = sorted(
                chain(
                    *(self._ranks[start : start + self._length] for start in starts),
                    self._ranks[end : end + self._last],
                )
            )
            low = self._low
        return _between([self._ordered[rank] for rank in inside[low : low + 2]], 0, self._part)


def middle(draws: Sequence[float], confidence: float) -> tuple[float, float]:
    """The central part of a bootstrap distribution that holds `confidence` of it."""
    ordered = sorted(draws)
    tail = (1 - confidence) / 2
    return percentile(ordered, tail), percentile(ordered, 1 - tail)


def proportion_interval(successes: int, n: int, confidence: float) -> tuple[float, float]:
    """Wilson's score interval of a proportion (Wilson 1927, doi:10.1080/01621459.1927.10502953); n >= 1."""
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    p = successes / n
    scale = 1 + z * z / n
    centre = (p + z * z / (2 * n)) / scale
    reach = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / scale
    return max(0.0, centre - reach), min(1.0, centre + reach)
