# SPDX-License-Identifier: Apache-2.0
"""Metrics of segmentation, anomaly detection and regression against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from codereef.bench.metrics import Overlap, anomaly_metrics, partial_auc, regression_metrics, segmentation_metrics
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk


@pytest.mark.parametrize("ignore", [None, 255])
def test_iou_equals_the_jaccard_score_of_all_pixels(ignore: int | None) -> None:
    generator = np.random.default_rng(8)
    truths = [generator.integers(0, 5, (20, 30)) for _ in range(12)]
    labels = [np.where(generator.random((20, 30)) < 0.7, truth, generator.integers(0, 6, (20, 30))) for truth in truths]
    if ignore is not None:
        for truth in truths:
            truth[generator.random(truth.shape) < 0.1] = ignore
    overlaps = [Overlap(truth, label, ignore) for truth, label in zip(truths, labels)]
    found = segmentation_metrics(overlaps, {0: "sky", 3: "road"}, 0.95)
    truth, label = np.concatenate(truths).ravel(), np.concatenate(labels).ravel()
    known = truth != 255
    ious = sk.jaccard_score(truth[known], label[known], average=None, labels=range(6))
    assert found["mIoU"].value == pytest.approx(np.mean(ious))
    assert [found[f"IoU {name}"].value for name in ("sky", 1, 2, "road", 4, 5)] == pytest.approx(list(ious))
    assert found["pixel_accuracy"].value == pytest.approx(sk.accuracy_score(truth[known], label[known]))
    low, high = found["mIoU"].interval or (0, 0)
    assert low < found["mIoU"].value < high


def test_a_class_that_never_occurs_does_not_count_and_an_unseen_pixel_is_wrong() -> None:
    truth, labels = np.array([[0, 0, 2, 2]]), np.array([[0, 0, 2, -1]])
    found = segmentation_metrics([Overlap(truth, labels, None)], {}, 0.95)
    assert found["mIoU"].value == pytest.approx((1 + 0.5) / 2)
    assert "IoU 1" not in found
    assert found["pixel_accuracy"].value == 0.75


def test_without_a_known_pixel_there_is_no_value() -> None:
    found = segmentation_metrics([Overlap(np.full((2, 2), 255), np.zeros((2, 2), int), 255)], {}, 0.95)
    assert found["mIoU"].value is None and found["mIoU"].reason == "no pixel has a known class"


scores = st.lists(st.tuples(st.booleans(), st.integers(0, 8)), min_size=2, max_size=40)


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(scores)
def test_auc_equals_scikit_learn_with_ties(rows: list[tuple[bool, int]]) -> None:
    truths, values = [int(odd) for odd, _ in rows], [value / 4 for _, value in rows]
    found = anomaly_metrics(truths, values, 0.95)
    if len(set(truths)) == 1:
        assert found["AUC"].value is None
        return
    assert found["AUC"].value == pytest.approx(sk.roc_auc_score(truths, values))
    assert found["pAUC"].value == pytest.approx(sk.roc_auc_score(truths, values, max_fpr=0.1))


@pytest.mark.parametrize("most", [0.05, 0.25, 1.0])
def test_partial_auc_equals_scikit_learn(most: float) -> None:
    generator = np.random.default_rng(9)
    truths = generator.random(300) < 0.4
    values = generator.normal(size=300) + truths
    assert partial_auc(truths, values, most) == pytest.approx(sk.roc_auc_score(truths, values, max_fpr=most))


@pytest.mark.parametrize("columns", [1, 3])
def test_regression_equals_scikit_learn(columns: int) -> None:
    generator = np.random.default_rng(10)
    truths = generator.normal(size=(50, columns))
    values = truths + generator.normal(0, 0.3, size=truths.shape)
    found = regression_metrics(truths, values, 0.95)
    assert found["MAE"].value == pytest.approx(sk.mean_absolute_error(truths, values))
    assert found["RMSE"].value == pytest.approx(np.sqrt(sk.mean_squared_error(truths, values)))
    assert found["R2"].value == pytest.approx(sk.r2_score(truths, values))
    assert found["max_error"].value == pytest.approx(np.abs(truths - values).max())
    assert (found["MAE"].direction, found["R2"].direction) == ("lower", "higher")


def test_a_truth_that_never_changes_has_no_r2() -> None:
    assert regression_metrics(np.ones((12, 1)), np.zeros((12, 1)), 0.95)["R2"].value is None


@pytest.mark.slow
def test_the_interval_covers_the_auc_of_the_population_as_often_as_it_says() -> None:
    """Normal scores one standard deviation apart: AUC is Phi(1 / sqrt(2)) = 0.7602."""
    generator = np.random.default_rng(11)
    covered = 0
    for seed in range(60):
        truths = np.arange(200) % 2
        low, high = anomaly_metrics(truths.tolist(), (generator.normal(size=200) + truths).tolist(), 0.9, seed)[
            "AUC"
        ].interval or (0, 0)
        covered += low <= 0.76025 <= high
    assert 46 <= covered <= 60
