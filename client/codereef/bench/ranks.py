# SPDX-License-Identifier: Apache-2.0
"""Tests that use only the order of samples, and effect sizes that belong to them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby, islice
from statistics import NormalDist

_EXACT_UP_TO = 8
_EXACT_WITH_TIES_UP_TO = 12


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


def _exact_with_ties(n: int, m: int, u: float, ties: Sequence[int]) -> float:
    """Two-sided p-value of U: in how many of all ways to choose n of the values it is as far from its mean.

    Ranks are doubled, so that those which equal values share are whole.
    """
    ranks, before = [], 0
    for count in ties:
        ranks += [2 * before + count + 1] * count
        before += count
    ways: list[dict[int, int]] = [{0: 1}] + [{} for _ in range(n)]
    for rank in ranks:
        for chosen in range(n, 0, -1):
            for total, number in ways[chosen - 1].items():
                ways[chosen][total + rank] = ways[chosen].get(total + rank, 0) + number
    centre = n * (n + m + 1)
    far = round(abs(2 * u - n * m))
    return sum(number for total, number in ways[n].items() if abs(total - centre) >= far) / math.comb(n + m, n)


def mann_whitney(a: Sequence[float], b: Sequence[float]) -> tuple[float, float]:
    """Mann-Whitney U test, two-sided.

    Exact when there are no equal values and one series has at most 8, and with equal values (Streitberg & Rohmel
    1986, Statistical Software Newsletter 12, 10-17) when both have at most 12; else the normal approximation with
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
    if max(n, m) <= _EXACT_WITH_TIES_UP_TO:
        return u, _exact_with_ties(n, m, u, ties)
    total = n + m
    correction = sum(count**3 - count for count in ties) / (total * (total - 1))
    deviation = math.sqrt(n * m / 12 * (total + 1 - correction))
    if deviation == 0:
        return u, 1.0
    z = (abs(u - n * m / 2) - 0.5) / deviation
    return u, min(1.0, 2 * NormalDist().cdf(-z))


def superiority(a: Sequence[float], b: Sequence[float]) -> float:
    """Probability that a value of `b` is larger than one of `a`, equal ones counting half; neither empty.

    0.5 says that neither tends to be larger. It is A12 of Vargha & Delaney (2000, doi:10.3102/10769986025002101)
    of b against a; Cliff's delta is 2 * A12 - 1.
    """
    rank_sum, _ = _rank_sum(b, a)
    return (rank_sum - len(b) * (len(b) + 1) / 2) / (len(a) * len(b))


def memory(values: Sequence[float]) -> float:
    """Correlation of each value with the next, 0 to 0.99: how much a series remembers; 0 of under 3 values."""
    n = len(values)
    centre = math.fsum(values) / n if n else 0.0
    around = [value - centre for value in values]
    total = math.fsum(value * value for value in around)
    if n < 3 or total == 0:
        return 0.0
    return min(0.99, max(0.0, math.fsum(x * y for x, y in zip(around, islice(around, 1, None))) / total))


def forgetting(p: float, correlation: float) -> float:
    """A p-value of a rank test, corrected for values of which each remembers the one before.

    With a lag-one correlation r, n values are worth n * (1 - r) / (1 + r) (Yue & Wang 2004,
    doi:10.1023/B:WARM.0000043140.61082.60), and the normal deviate shrinks by the square root of that.
    """
    if p <= 0 or p >= 1:
        return max(0.0, min(1.0, p))
    z = NormalDist().inv_cdf(p / 2) * math.sqrt((1 - correlation) / (1 + correlation))
    return 2 * NormalDist().cdf(z)


def trend(values: Sequence[float]) -> float:
    """p-value of the Mann-Kendall test of a trend, two-sided, normal approximation with ties; 1 of under 3 values.

    Mann 1945 (doi:10.2307/1907187), Kendall 1975. It looks at every pair: give it a few dozen values.
    """
    n = len(values)
    if n < 3:
        return 1.0
    s = sum((y > x) - (y < x) for i, x in enumerate(values) for y in values[i + 1 :])
    ties = [len([*group]) for _, group in groupby(sorted(values))]
    square = (n * (n - 1) * (2 * n + 5) - sum(t * (t - 1) * (2 * t + 5) for t in ties)) / 18
    if square <= 0:
        return 1.0
    return min(1.0, 2 * NormalDist().cdf(-max(0, abs(s) - 1) / math.sqrt(square)))


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected for their number by Holm's step-down rule (Holm 1979, Scandinavian J. Statistics 6, 65-70).

    Each may be held against the level that one alone would be: the chance that any true "no difference" falls
    under it is at most that level, whatever depends on what.
    """
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    corrected, least = [1.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        least = max(least, min(1.0, p_values[i] * (len(p_values) - rank)))
        corrected[i] = least
    return corrected
