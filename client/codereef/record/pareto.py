# SPDX-License-Identifier: Apache-2.0
"""The Pareto frontier of points in the plane."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

Direction = Literal["lower", "higher"]


def frontier(points: Sequence[tuple[float, float]], x: Direction, y: Direction) -> list[int]:
    """Return the indices of the points that no other point dominates, ordered along the better x first.

    A point is dominated by another that is no worse on both axes and better on at least one; exact ties
    dominate nobody, so equal points all stay. One sort and one pass (Kung, Luccio and Preparata 1975, the
    case of two dimensions).

    Args:
        points: finite (x, y) pairs.
        x: which way is better on the first axis.
        y: which way is better on the second axis.
    """
    sign_x = 1.0 if x == "lower" else -1.0
    sign_y = 1.0 if y == "lower" else -1.0
    order = sorted(range(len(points)), key=lambda i: (sign_x * points[i][0], sign_y * points[i][1], i))
    kept: list[int] = []
    best: float | None = None
    last_x: float | None = None
    for i in order:
        value = sign_y * points[i][1]
        if best is None or value < best:
            best, last_x = value, points[i][0]
            kept.append(i)
        elif value == best and points[i][0] == last_x:
            kept.append(i)
    return kept
