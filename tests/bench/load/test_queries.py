# SPDX-License-Identifier: Apache-2.0
"""Queries of several samples and inferences of several samples, and which answer belongs to which sample."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from codereef.bench.load import driver
from codereef.bench.load.plan import make_plan
from codereef.bench.load.queries import check_batch, join, make_queries, split
from codereef.bench.options import Options
from codereef.errors import OptionError

FEEDS = [{"x": np.full((1, 2), float(i)), "n": np.full((1,), i)} for i in range(7)]


def test_joined_tensors_hold_every_sample_and_come_apart_again() -> None:
    joined = join(FEEDS[2:5])
    assert joined["x"].tolist() == [[2, 2], [3, 3], [4, 4]]
    assert joined["n"].tolist() == [2, 3, 4]
    assert [each["x"].tolist() for each in split(joined, 3)] == [[[2, 2]], [[3, 3]], [[4, 4]]]


def test_queries_go_through_the_samples_in_order_and_only_whole() -> None:
    queries = make_queries(FEEDS, 3, 1)
    assert [query.samples for query in queries] == [(0, 1, 2), (3, 4, 5)]
    assert [part["n"].tolist() for part in queries[1].parts] == [[3], [4], [5]]
    joined = make_queries(FEEDS, 4, 2)
    assert [[part["n"].tolist() for part in query.parts] for query in joined] == [[[0, 1], [2, 3]]]


def test_samples_are_used_again_where_a_query_needs_more_than_there_are() -> None:
    (query,) = make_queries(FEEDS[:3], 8, 4)
    assert query.samples == (0, 1, 2, 0, 1, 2, 0, 1)


@pytest.mark.parametrize(
    ("scenario", "given", "calls", "rows"),
    [
        ("single-stream", {}, 20, 1),
        ("single-stream", {"batch": 2}, 20, 2),
        ("multi-stream", {"samples_per_query": 6, "batch": 3}, 40, 3),
        ("server", {"target_qps": 5000.0}, 20, 1),
        ("offline", {"batch": 4}, 5, 4),
    ],
)  # fmt: skip
def test_every_scenario_sends_what_it_says_and_keeps_the_right_answers(
    scenario: str, given: dict[str, Any], calls: int, rows: int
) -> None:
    seen: list[int] = []

    def invoke(feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        seen.append(len(feeds["x"]))
        return {"y": feeds["x"].sum(axis=1) * 10}

    plan = make_plan(scenario, Options(stop="count", min_samples=20, max_samples=20, **given))
    driven = driver.drive(plan, invoke, FEEDS, keep=range(7))
    assert seen == [rows] * calls
    assert driven.samples == calls * rows
    # Samples that no whole query reached have no answer.
    assert set(driven.answers) == set(range(7 // plan.samples_per_query * plan.samples_per_query))
    for sample, outputs in driven.answers.items():
        assert outputs["y"].tolist() == [sample * 20]


def test_a_model_that_does_not_answer_for_each_sample_is_refused() -> None:
    check_batch({"y": np.zeros((1, 3))}, {"y": np.zeros((4, 3))}, 4)
    check_batch({"y": np.zeros((2, 3))}, {"y": np.zeros((8, 3))}, 4)
    for shape in ((1, 3), (3, 3), ()):
        with pytest.raises(OptionError, match="does not answer for each of them"):
            check_batch({"y": np.zeros((1, 3))}, {"y": np.zeros(shape)}, 4)
