# SPDX-License-Identifier: Apache-2.0
"""Whether a series has more than one mode, by the dip test of Hartigan & Hartigan (1985, doi:10.1214/aos/1176346577).

The dip is the least distance between the empirical distribution and any with a single mode. Its critical value
is that of the uniform distribution, which of all with one mode comes nearest to having two; so for others
the test errs on the side of one mode.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from statistics import median
from typing import Optional

#: The dip of n uniform values times sqrt(n) stays under it in 99.9 of 100 cases, for 50 values and more
#: (tests/bench/test_series.py simulates it).
LIMIT = 0.7
FEWEST = 50
_MOST = 2000
#: Modes nearer to each other than this, or of which one is rarer, are nothing that a reader must know.
LEAST_GAP = 0.02
LEAST_SHARE = 0.05


@dataclass(frozen=True)
class Modes:
    """Two groups of samples that a single median describes badly.

    Attributes:
        low, high: medians of the two groups.
        share: part of the samples in the lower group, 0 to 1.
        dip: distance to the nearest distribution with a single mode.
        limit: what the dip of a single mode stays under in 999 of 1,000 cases.
    """

    low: float
    high: float
    share: float
    dip: float
    limit: float


def find_modes(values: Sequence[float]) -> Optional[Modes]:
    """The two main groups of a series with more than one mode; None where one mode explains it, or of under 50.

    Of long series 2,000 samples are looked at, evenly from the whole.
    """
    n = len(values)
    if n < FEWEST:
        return None
    ordered = sorted(values[i * n // _MOST] for i in range(_MOST)) if n > _MOST else sorted(values)
    size = len(ordered)
    found, limit = dip(_untied(ordered)), LIMIT / math.sqrt(size)
    if found <= limit:
        return None
    # Outliers would be taken for a group of their own.
    inner = ordered[size // 50 : size - size // 50]
    cut = _cut(inner)
    low, high, share = float(median(inner[:cut])), float(median(inner[cut:])), cut / len(inner)
    if not LEAST_SHARE <= share <= 1 - LEAST_SHARE or low <= 0 or high / low - 1 < LEAST_GAP:
        return None
    return Modes(low, high, share, found, limit)


def _untied(ordered: Sequence[float]) -> list[float]:
    """Equal values spread over the step of the clock that made them equal: the test is for continuous values."""
    groups = [(value, len([*group])) for value, group in groupby(ordered)]
    if len(groups) == len(ordered):
        return list(ordered)
    step = min((b[0] - a[0] for a, b in zip(groups, islice(groups, 1, None))), default=0.0)
    return [value + step * ((k + 0.5) / count - 0.5) for value, count in groups for k in range(count)]


def _cut(ordered: Sequence[float]) -> int:
    """Where to cut sorted values in two so that the squares within the parts are least (Fisher 1958; Otsu 1979)."""
    n, total = len(ordered), math.fsum(ordered)
    best, cut, left = -1.0, 1, 0.0
    for i in range(1, n):
        left += ordered[i - 1]
        gain = (left / i - (total - left) / (n - i)) ** 2 * i * (n - i)
        if gain > best:
            best, cut = gain, i
    return cut


def _hull(x: Sequence[float], low: int, high: int, sign: int) -> list[int]:
    """Corners of the greatest convex minorant (sign 1) or least concave majorant (-1) of the points (x[i], i)."""
    corners: list[int] = []
    for i in range(low, high + 1):
        while len(corners) > 1:
            a, b = corners[-2], corners[-1]
            if sign * ((b - a) * (x[i] - x[b]) - (i - b) * (x[b] - x[a])) < 0:
                break
            corners.pop()
        corners.append(i)
    return corners


def _on(x: Sequence[float], corners: Sequence[int], i: int) -> float:
    """Height of a hull over the i-th value."""
    at = bisect_right(corners, i) - 1
    a = corners[at]
    if a == i or at + 1 == len(corners):
        return float(a)
    b = corners[at + 1]
    return a + (b - a) * ((x[i] - x[a]) / (x[b] - x[a]) if x[b] > x[a] else 1.0)


def _furthest(x: Sequence[float], corners: Sequence[int], sign: int) -> float:
    """Greatest distance of the steps of the empirical distribution to a hull, in counts."""
    worst = 0.0
    for a, b in zip(corners, islice(corners, 1, None)):
        slope = (b - a) / (x[b] - x[a]) if x[b] > x[a] else 0.0
        for i in range(a, b + 1):
            worst = max(worst, sign * (i - a - slope * (x[i] - x[a])) + 1)
    return worst


def dip(ordered: Sequence[float]) -> float:
    """The dip of sorted values, 0.5 / n to 0.25.

    The modal interval shrinks from the whole range: below it the distribution is held against the greatest
    convex minorant, above it against the least concave majorant, until the two are as close as what was left
    outside already demands.
    """
    n = len(ordered)
    x, low, high, worst = ordered, 0, n - 1, 1.0
    while high > low and x[high] > x[low]:
        minorant, majorant = _hull(x, low, high, 1), _hull(x, low, high, -1)
        apart, new_low, new_high = 0.0, low, high
        for g in minorant:
            distance = _on(x, majorant, g) - g + 1
            if distance > apart:
                apart, new_low = distance, g
                new_high = majorant[min(bisect_right(majorant, g), len(majorant) - 1)]
        for m in majorant:
            distance = m - _on(x, minorant, m) + 1
            if distance > apart:
                apart, new_high = distance, m
                new_low = minorant[max(bisect_right(minorant, m - 1) - 1, 0)]
        if apart <= worst:
            break
        below = [i for i in minorant if i <= new_low]
        above = [i for i in majorant if i >= new_high]
        worst = max(worst, _furthest(x, below, 1), _furthest(x, above, -1))
        if (new_low, new_high) == (low, high):
            break
        low, high = new_low, new_high
    return worst / (2 * n)
