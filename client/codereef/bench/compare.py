# SPDX-License-Identifier: Apache-2.0
"""Do two series of latencies differ, by how much, and with what certainty.

The verdict is `faster` or `slower` when a two-sided Mann-Whitney U test gives p < 0.002 and the ratio of the
medians is off 1 by at least the noise floor (1 % when none is known); else `no measurable difference`. Where
even two series without any overlap could not reach that p (6 samples against 6), it is `too few repetitions
to say`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import NormalDist, median
from typing import Optional

from codereef.bench.statistics import bootstrap, middle

ALPHA = 0.002
NOISE_FLOOR = 0.01
_EXACT_UP_TO = 8


@dataclass(frozen=True)
class Comparison:
    """How series b stands to series a.

    Attributes:
        verdict: `faster`, `slower`, `no measurable difference` or `too few repetitions to say`; b against a.
        ratio: median of b / median of a; None when there are too few samples.
        interval: bootstrap confidence interval of the ratio; None as above.
        confidence: level of the interval.
        p_value: of the Mann-Whitney U test, two-sided; None when a series is empty.
        samples: sizes of a and b.
        method: how it was computed.
    """

    verdict: str
    ratio: Optional[float]
    interval: Optional[tuple[float, float]]
    confidence: float
    p_value: Optional[float]
    samples: tuple[int, int]
    method: str


def _orders(n: int, m: int) -> list[int]:
    """Number of orders of n and m samples for each value of U, 0 to n * m.

    They are the coefficients of the Gaussian binomial: the product over i = 1..n of
    (1 - x**(m + i)) / (1 - x**i) (Mann & Whitney 1947).
    """
    counts = [1] + [0] * (n * m)
    for i in range(1, n + 1):
        for u in range(n * m, m + i - 1, -1):
            counts[u] -= counts[u - m - i]
        for u in range(i, n * m + 1):
            counts[u] += counts[u - i]
    return counts


def _rank_sum(a: Sequence[float], b: Sequence[float]) -> tuple[float, list[int]]:
    """Sum of the ranks of `a` among both, from 1, equal values sharing their mean rank; sizes of the groups of equals."""
    total, before = 0.0, 0
    ties = []
    both = sorted([(value, 0) for value in a] + [(value, 1) for value in b])
    for _, group in groupby(both, key=lambda entry: entry[0]):
        origins = [origin for _, origin in group]
        count = len(origins)
        total += (before + (count + 1) / 2) * origins.count(0)
        before += count
        ties.append(count)
    return total, ties


def mann_whitney(a: Sequence[float], b: Sequence[float]) -> tuple[float, float]:
    """Mann-Whitney U test, two-sided.

    Exact when there are no equal values and one series has at most 8; else the normal approximation with
    corrections for ties and continuity (Mann & Whitney 1947, doi:10.1214/aoms/1177730491).

    Args:
        a, b: independent samples, neither empty.

    Returns:
        U of `a` and the p-value.

    Raises:
        ValueError: a series is empty.
    """
    n, m = len(a), len(b)
    if n == 0 or m == 0:
        raise ValueError("a test of no samples")
    rank_sum, ties = _rank_sum(a, b)
    u = rank_sum - n * (n + 1) / 2
    if min(n, m) <= _EXACT_UP_TO and max(ties) == 1 and max(n, m) <= 200:
        counts = _orders(min(n, m), max(n, m))
        extreme = round(max(u, n * m - u))
        return u, min(1.0, 2 * sum(counts[extreme:]) / math.comb(n + m, n))
    total = n + m
    correction = sum(count**3 - count for count in ties) / (total * (total - 1))
    deviation = math.sqrt(n * m / 12 * (total + 1 - correction))
    if deviation == 0:
        return u, 1.0
    z = (abs(u - n * m / 2) - 0.5) / deviation
    return u, min(1.0, 2 * NormalDist().cdf(-z))


def ratio_of_medians(
    a: Sequence[float], b: Sequence[float], confidence: float, seed: int
) -> tuple[float, tuple[float, float]]:
    """Median of b / median of a with its bootstrap interval, the two resampled independently."""
    (first,), _ = bootstrap(a, (0.5,), seed)
    (second,), _ = bootstrap(b, (0.5,), seed + 1)
    return median(b) / median(a), middle([y / x for x, y in zip(first, second)], confidence)


def compare(
    a: Sequence[float],
    b: Sequence[float],
    *,
    seed: int = 0,
    confidence: float = 0.95,
    alpha: float = ALPHA,
    noise_floor: float = NOISE_FLOOR,
) -> Comparison:
    """Compare two series of positive numbers of which lower is better, such as latencies.

    Args:
        a, b: raw samples in one unit, in the order taken; b is judged against a.
        seed: of the bootstrap; take it from the two results' identities to make the answer repeatable.
        confidence: level of the ratio's interval.
        alpha: p-value under which a difference is called one.
        noise_floor: least relative difference of the medians that is called one; 1 % is the least allowed.
    """
    n, m = len(a), len(b)
    floor = max(NOISE_FLOOR, noise_floor)
    method = (
        f"Mann-Whitney U two-sided p < {alpha:g} and |ratio of medians - 1| >= {floor:g}; "
        "circular block bootstrap of the ratio"
    )
    p_value = mann_whitney(a, b)[1] if n and m else None
    if p_value is None or 2 / math.comb(n + m, n) >= alpha:
        return Comparison("too few repetitions to say", None, None, confidence, p_value, (n, m), method)
    ratio, interval = ratio_of_medians(a, b, confidence, seed)
    verdict = "no measurable difference"
    if p_value < alpha and abs(ratio - 1) >= floor:
        verdict = "faster" if ratio < 1 else "slower"
    return Comparison(verdict, ratio, interval, confidence, p_value, (n, m), method)
