# SPDX-License-Identifier: Apache-2.0
"""The Pareto frontier of two metrics."""

from __future__ import annotations

from collections.abc import Sequence


def frontier(points: Sequence[tuple[float, float]], *, lower_x: bool = True, lower_y: bool = False) -> list[int]:
    """Return the positions of the points that no other point dominates, in order of x.

    A point dominates another when it is at least as good on both axes and better on one; equal points
    therefore all stay.

    Args:
        points: (x, y) of each point.
        lower_x: whether a lower x is better.
        lower_y: whether a lower y is better.
    """
    signed = [(x if lower_x else -x, y if lower_y else -y, i) for i, (x, y) in enumerate(points)]
    kept: list[int] = []
    best: tuple[float, float] | None = None
    for x, y, i in sorted(signed):
        if best is None or y < best[1] or (x, y) == best:
            kept.append(i)
            best = (x, y)
    return sorted(kept, key=lambda i: (points[i][0], i))
