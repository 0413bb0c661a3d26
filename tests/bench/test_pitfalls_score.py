# SPDX-License-Identifier: Apache-2.0
"""Changes over the same images and agreement, against simulations and values worked out by hand."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
from codereef.bench.accuracy import coco_draws
from codereef.bench.pitfalls_score import Scored, agreement, change, f1, paired_proportions
from codereef.bench.response import Metric

from tests.bench.test_accuracy_intervals import scene


def found(x: float, score: float = 0.9, category: int = 1) -> dict[str, Any]:
    return {"bbox": [x, 0, 10, 10], "score": score, "category_id": category}


def ranked(*classes: int) -> dict[str, Any]:
    return {"classes": [{"class_index": c} for c in classes]}


def test_the_interval_of_a_large_table_is_that_of_the_textbook() -> None:
    """Agresti, Categorical Data Analysis, 2002, table 10.1: 794, 150, 86, 570 give 0.04 with 0.02 to 0.06."""
    first = [True] * 794 + [True] * 150 + [False] * 86 + [False] * 570
    second = [True] * 794 + [False] * 150 + [True] * 86 + [False] * 570
    low, high = paired_proportions(first, second, 0.95)
    wald = 1.959964 * math.sqrt(((150 + 86) - (150 - 86) ** 2 / 1600) / 1600**2)
    assert (low, high) == (pytest.approx(0.04 - wald, abs=5e-4), pytest.approx(0.04 + wald, abs=5e-4))
    mirrored = paired_proportions(second, first, 0.95)
    assert mirrored == (pytest.approx(-high), pytest.approx(-low))


def test_the_interval_covers_the_true_change_about_as_often_as_it_says() -> None:
    chance = random.Random(11)
    covered = 0
    for _ in range(1500):
        right = [chance.random() < 0.7 for _ in range(40)]
        wrong = [(chance.random() < 0.75) if hit else (chance.random() < 0.2) for hit in right]
        low, high = paired_proportions(wrong, right, 0.95)
        covered += low <= (0.7 * 0.75 + 0.3 * 0.2) - 0.7 <= high
    assert 0.93 <= covered / 1500 <= 0.985


def test_no_image_that_changed_sides_is_no_certainty() -> None:
    hits = [True] * 30 + [False] * 20
    low, high = paired_proportions(hits, hits, 0.95)
    assert -0.15 < low < -0.02 and high == pytest.approx(-low)
    metric = Metric(0.6, "", "higher", "share", 50)
    scored = Scored({"top1": metric}, hits={"top1": hits})
    assert change(scored, scored, "top1", 0.95).interval == (low, high)
    exact = change(scored, scored, "top1", 0.95, alike=True)
    assert (exact.value, exact.interval) == (0.0, None)


def test_a_metric_without_value_has_no_change() -> None:
    absent = Scored({"top5": Metric(None, "", "higher", "not measured", 0, reason="too few classes")})
    moved = change(absent, absent, "top5", 0.95)
    assert (moved.value, moved.reason) == (None, "too few classes")


def test_the_change_of_average_precision_is_paired() -> None:
    truth, detections = scene(60, 2)
    worse = [d for number, d in enumerate(detections) if number % 10]
    ids = list(range(1, 61))
    scored = []
    for listed in (detections, worse):
        metrics, _, draws = coco_draws(truth, listed, ids)
        scored.append(Scored(metrics, draws={"mAP": {i: draw["mAP"] for i, draw in enumerate(draws)}}))
    moved = change(scored[0], scored[1], "mAP", 0.95)
    assert moved.value is not None and moved.interval is not None and moved.value < 0
    low, high = moved.interval
    assert low < moved.value < high
    alone = scored[0].metrics["mAP"].interval
    assert alone is not None and high - low < (alone[1] - alone[0]) / 2, "the images are the same for both"
    same = change(scored[0], scored[0], "mAP", 0.95)
    assert (same.value, same.interval) == (0.0, (0.0, 0.0))


@pytest.mark.parametrize(
    ("right", "wrong", "expected"),
    [
        ([], [], 1.0),
        ([found(0)], [], 0.0),
        ([], [found(0)], 0.0),
        ([found(0)], [found(0)], 1.0),
        ([found(0), found(50)], [found(50, 0.5), found(0, 0.4)], 1.0),
        ([found(0)], [found(0, category=2)], 0.0),
        ([found(0)], [found(3)], 1.0),  # 7 of 13: IoU .54
        ([found(0)], [found(4)], 0.0),  # 6 of 14: IoU .43
        ([found(0)], [found(0), found(1, 0.8)], 2 / 3),  # one of two finds a box that is free
        ([found(0)], [found(1, 0.8), found(50), found(0, 0.29)], 2 / 3),
        ([found(0, 0.2)], [found(50, 0.1)], 1.0),  # nobody would look at either
    ],
)
def test_f1_of_one_image(right: list[dict[str, Any]], wrong: list[dict[str, Any]], expected: float) -> None:
    assert f1(right, wrong) == pytest.approx(expected)


def test_agreement_of_classes_is_of_the_best_one() -> None:
    right = [ranked(1, 2), ranked(3, 4), ranked(5, 6), ranked()]
    wrong = [ranked(1, 9), ranked(4, 3), ranked(5), ranked()]
    found = agreement("classification", right, wrong, 0.95)
    assert found.value == 0.75 and found.interval is not None and found.interval[0] < 0.75 < found.interval[1]


def test_agreement_of_detections_is_a_mean_over_images() -> None:
    right = [{"detections": [found(0)]}] * 12
    wrong = [{"detections": [found(0)]}] * 6 + [{"detections": [found(50)]}] * 6
    said = agreement("detections", right, wrong, 0.95)
    assert said.value == 0.5 and said.interval is not None
    assert 0.1 < said.interval[0] < 0.35 and 0.65 < said.interval[1] < 0.9
    assert agreement("detections", right[:9], wrong[:9], 0.95).interval is None, "nine images are too few"
    assert agreement("segmentation", right, wrong, 0.95).value is None
