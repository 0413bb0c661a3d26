# SPDX-License-Identifier: Apache-2.0
"""The frontier, against the definition tried on every pair."""

from __future__ import annotations

import pytest
from codereef.record.pareto import Direction, frontier
from hypothesis import given
from hypothesis import strategies as st

NUMBERS = st.one_of(st.integers(-4, 4).map(float), st.floats(-1e9, 1e9))
POINTS = st.lists(st.tuples(NUMBERS, NUMBERS), max_size=40)


def dominated(point: tuple[float, float], other: tuple[float, float], x: Direction, y: Direction) -> bool:
    pairs = [(a, b) if way == "lower" else (b, a) for a, b, way in ((other[0], point[0], x), (other[1], point[1], y))]
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)


@pytest.mark.parametrize("x", ["lower", "higher"])
@pytest.mark.parametrize("y", ["lower", "higher"])
@given(points=POINTS)
def test_frontier_holds_exactly_the_points_that_nothing_dominates(
    points: list[tuple[float, float]], x: Direction, y: Direction
) -> None:
    expected = {i for i, point in enumerate(points) if not any(dominated(point, other, x, y) for other in points)}
    found = frontier(points, x, y)
    assert set(found) == expected
    assert len(found) == len(expected)


@given(points=POINTS)
def test_frontier_runs_along_the_better_x_first(points: list[tuple[float, float]]) -> None:
    values = [points[i] for i in frontier(points, "lower", "higher")]
    assert values == sorted(values)


def test_exact_ties_stay() -> None:
    assert sorted(frontier([(1, 2), (1, 2), (3, 1), (0, 5)], "lower", "lower")) == [0, 1, 2, 3]


def test_a_point_worse_on_one_axis_and_equal_on_the_other_goes() -> None:
    assert frontier([(1, 1), (1, 2), (2, 1)], "lower", "lower") == [0]
