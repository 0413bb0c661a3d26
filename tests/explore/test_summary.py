# SPDX-License-Identifier: Apache-2.0
"""Rows of points: medians and intervals over repetitions, frontier, classes of machines."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from codereef.explore.document import Exploration, Subject, begin
from codereef.explore.search import Repetition, Search
from codereef.explore.space import Point
from codereef.explore.summary import best_of, estimate, plot_points, rivals_of, row_document, summarise
from codereef.record.history import Result, result_id
from scipy import stats

from tests.explore.parts import search
from tests.record.results import DIGEST, document, metric

OTHER = "sha256:" + "1" * 64


def explored(
    points: dict[str, list[tuple[float, float]]], chosen: Search | None = None, machine: str = DIGEST
) -> tuple[Exploration, dict[str, Result]]:
    """Return an exploration whose points have results of these (latency, accuracy)."""
    subject = Subject("solution:demo@1.0.0", DIGEST, DIGEST, "linux-x86_64-gnu")
    made = [Point(name, "default", {}) for name in points]
    exploration, results = begin(subject, chosen or search(), made, "a" * 32), {}
    for index, values in enumerate(points.values()):
        for number, (latency, accuracy) in enumerate(values):
            metrics: dict[str, Any] = {
                "latency_p50": metric(latency, interval=[latency * 0.99, latency * 1.01]),
                "throughput": metric(1 / latency, "1/s", "higher"),
                "mAP": metric(accuracy, "", "higher", [accuracy - 0.01, accuracy + 0.01]),
            }
            made_document = document([latency], metrics=metrics, started_at=f"2026-01-01T10:{index:02}:{number:02}Z")
            made_document["machine"]["class_digest"] = machine
            result = Result(result_id(made_document), made_document)
            results[result.id] = result
            repetition = Repetition(number, "ok", result.id, 1.0, machine, latency)
            exploration = exploration.with_repetition(index, repetition)
    return exploration, results


def test_a_row_has_medians_and_the_frontier_is_that_of_the_medians() -> None:
    exploration, results = explored(
        {
            "fast": [(0.010, 0.7), (0.011, 0.7), (0.050, 0.7)],
            "good": [(0.020, 0.8), (0.021, 0.8), (0.022, 0.8)],
            "bad": [(0.030, 0.6), (0.031, 0.6), (0.009, 0.6)],
        }
    )
    rows = summarise(exploration, results)
    assert [row.metrics["latency_p50"].value for row in rows] == [0.011, 0.021, 0.030]
    assert [row.best for row in rows] == [True, True, False]
    assert [row.repeats for row in rows] == [3, 3, 3]
    assert best_of(exploration) == "fast"
    drawn = plot_points(exploration, rows, 1e3)[0]
    assert (drawn.label, round(drawn.x, 6), drawn.y) == ("fast", 11.0, 0.7)
    assert row_document(rows[0])["metrics"]["latency_p50"]["confidence"] == 0.95


def test_a_best_point_that_chance_may_have_put_first_names_its_rivals() -> None:
    exploration, results = explored(
        {"a": [(0.0100, 0.7), (0.0101, 0.7)], "b": [(0.0101, 0.7), (0.0102, 0.7)], "c": [(0.9, 0.7), (0.901, 0.7)]}
    )
    assert rivals_of(exploration, summarise(exploration, results), "a") == ["b"]


def test_points_on_other_data_have_a_frontier_of_their_own() -> None:
    exploration, results = explored({"small": [(0.010, 0.9)], "large": [(0.020, 0.6)]})
    name = exploration.measured[1][0].result
    elsewhere = {**results[name].document, "dataset": "dataset:others@1.0.0"}
    rows = summarise(exploration, {**results, name: Result(name, elsewhere)})
    assert [row.best for row in rows] == [True, True], "alone, `small` would be better in both"
    assert len({row.group for row in rows}) == 2


def test_the_interval_of_an_accuracy_is_that_of_its_images_however_often_it_was_measured() -> None:
    exploration, results = explored({"a": [(0.01, 0.7)] * 4, "b": [(0.02, 0.8)]})
    rows = summarise(exploration, results)
    assert rows[0].metrics["mAP"].interval == pytest.approx((0.69, 0.71))


def test_an_accuracy_that_only_the_first_repetition_has_is_the_points() -> None:
    exploration, results = explored({"a": [(0.01, 0.7), (0.011, 0.0)]})
    second = exploration.measured[0][1].result
    changed = {**results[second].document, "metrics": {"latency_p50": metric(0.011)}}
    results[second] = Result(second, changed)
    (row,) = summarise(exploration, results)
    assert row.metrics["mAP"].value == 0.7 and row.repeats == 2 and row.best


def test_each_class_of_machine_has_rows_and_a_frontier_of_its_own() -> None:
    here, results = explored({"a": [(0.01, 0.7)], "b": [(0.02, 0.6)]})
    there, more = explored({"a": [(0.001, 0.7)], "b": [(0.002, 0.8)]}, machine=OTHER)
    for index in range(2):
        here = here.with_repetition(index, there.measured[index][0])
    rows = summarise(here, {**results, **more})
    assert [(r.name, r.machine, r.best) for r in rows] == [
        ("a", DIGEST, True),
        ("a", OTHER, True),
        ("b", DIGEST, False),
        ("b", OTHER, True),
    ]


def test_a_point_that_was_given_up_has_a_row_that_says_so() -> None:
    exploration, results = explored({"a": [(0.01, 0.7)], "b": []})
    for number in range(2):
        exploration = exploration.with_repetition(1, Repetition(number, "crashed", error="it was ended by SIGSEGV"))
    rows = summarise(exploration, results)
    assert (rows[1].status, rows[1].failed, rows[1].repeats, rows[1].metrics) == ("crashed", 2, 0, {})


def test_a_result_that_was_deleted_is_left_out() -> None:
    exploration, results = explored({"a": [(0.01, 0.7), (0.03, 0.7)]})
    del results[exploration.measured[0][1].result]
    assert summarise(exploration, results)[0].metrics["latency_p50"].value == 0.01


def test_throughput_as_objective_turns_the_frontier_round() -> None:
    chosen = search(objective="throughput", direction="higher")
    exploration, results = explored({"slow": [(0.02, 0.7)], "fast": [(0.01, 0.7)]}, chosen)
    assert [row.best for row in summarise(exploration, results)] == [False, True]


def test_one_repetition_keeps_the_interval_of_its_own() -> None:
    assert estimate([2.0], (1.0, 3.0)).interval == (1.0, 3.0)
    assert estimate([2.0]).interval is None


@pytest.mark.parametrize("n", [2, 3, 4, 5])
def test_few_repetitions_have_students_interval_of_their_logarithms(n: int) -> None:
    from math import exp, log

    random = Random(n)
    values = [random.uniform(1, 2) for _ in range(n)]
    logs = [log(v) for v in values]
    low, high = stats.t.interval(0.95, n - 1, loc=sum(logs) / n, scale=stats.sem(logs))
    assert estimate(values).interval == pytest.approx((exp(low), exp(high)), rel=1e-3)


@pytest.mark.parametrize("n", [6, 7, 9, 15, 20, 101])
def test_many_repetitions_have_the_interval_of_order_statistics(n: int) -> None:
    values = list(range(n))
    found = estimate([float(v) for v in values]).interval
    assert found is not None
    low = int(found[0])
    assert found[1] == n - 1 - low
    coverage = [stats.binom.cdf(n - 1 - rank, n, 0.5) - stats.binom.cdf(rank, n, 0.5) for rank in (low, low + 1)]
    assert coverage[0] >= 0.95 - 1e-12 > coverage[1], "the narrowest that holds the median with 95 %"


@pytest.mark.slow
@pytest.mark.parametrize("n", [3, 5, 8])
def test_the_interval_holds_the_median_as_often_as_it_says(n: int) -> None:
    random = Random(3)
    trials, hits = 2000, 0
    for _ in range(trials):
        bounds = estimate([random.lognormvariate(0.0, 0.1) for _ in range(n)]).interval
        hits += bounds is not None and bounds[0] <= 1.0 <= bounds[1]
    assert hits / trials >= 0.935
