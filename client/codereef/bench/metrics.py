# SPDX-License-Identifier: Apache-2.0
"""Metrics of segmentation, anomaly detection and regression, computed here so that they need no more than NumPy.

Values are exact for the items evaluated. Intervals say how far they might be off for other items of the same
sort (`codereef.bench.redraws`). Tests hold each against scikit-learn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Optional

import numpy as np
import numpy.typing as npt

from codereef.bench.redraws import DRAWS, drawn_again, interval_over
from codereef.bench.response import Metric

Array = npt.NDArray[Any]
_PARTIAL = 0.1  # false-positive rate up to which pAUC looks


def _bootstrap(
    count: int, value: Callable[[Array], Optional[float]], confidence: float, seed: int
) -> Optional[tuple[float, float]]:
    """Interval of a value when items are drawn again; None where it cannot be given."""
    return interval_over([value(chosen) for chosen in drawn_again(count, seed)], confidence)


def _metric(
    value: float,
    method: str,
    count: int,
    confidence: float,
    interval: Optional[tuple[float, float]],
    direction: str = "higher",
) -> Metric:
    if interval is not None:
        method += f"; bootstrap over items, {DRAWS} draws"
    return Metric(value, "", direction, method, count, interval=interval, confidence=confidence if interval else None)


def absent(names: Sequence[str], reason: str, direction: str = "higher") -> dict[str, Metric]:
    """Metrics without a value, and why."""
    return {name: Metric(None, "", direction, "not measured", 0, reason=reason) for name in names}


class Overlap:
    """Pixels by class of one image: in both, in the truth, and predicted.

    Args:
        truth: true class of each pixel.
        labels: predicted class of each pixel, of the same shape; -1 is none.
        ignore: true class where nothing is to be known; those pixels do not count.
    """

    def __init__(self, truth: Array, labels: Array, ignore: Optional[int]) -> None:
        known = np.ones(truth.shape, dtype=bool) if ignore is None else truth != ignore
        truth, labels = truth[known].astype(np.int64), labels[known]
        size = int(max(truth.max(initial=-1), labels.max(initial=-1))) + 1
        self.counts = np.stack(
            [
                np.bincount(truth[truth == labels], minlength=size),
                np.bincount(truth, minlength=size),
                np.bincount(labels[labels >= 0], minlength=size),
            ]
        )


def _ious(total: Array) -> Array:
    both, truth, predicted = total
    union = truth + predicted - both
    found: Array = np.divide(both, union, out=np.full(both.shape, np.nan), where=union > 0)
    return found


def segmentation_metrics(
    overlaps: Sequence[Overlap], names: dict[int, str], confidence: float, seed: int = 0
) -> dict[str, Metric]:
    """mIoU, pixel_accuracy, and `IoU CLASS` for each class that occurs.

    IoU of a class is intersection over union of all pixels of all images; mIoU is the mean over the classes that
    occur in the truth or in what was predicted (Everingham et al. 2015, doi:10.1007/s11263-014-0733-5, section 3.3).

    Args:
        overlaps: what each image has.
        names: of classes.
        confidence: level of the intervals, 0 to 1.
        seed: of the bootstrap.
    """
    size = max((o.counts.shape[1] for o in overlaps), default=0)
    each = np.zeros((len(overlaps), 3, size), dtype=np.int64)
    for number, overlap in enumerate(overlaps):
        each[number, :, : overlap.counts.shape[1]] = overlap.counts
    total = each.sum(axis=0)
    if not total[1].sum():
        return absent(("mIoU", "pixel_accuracy"), "no pixel has a known class")

    def mean(chosen: Array) -> Optional[float]:
        found = _ious(each[chosen].sum(axis=0))
        return None if np.isnan(found).all() else float(np.nanmean(found))

    def right(chosen: Array) -> Optional[float]:
        both, truth, _ = each[chosen].sum(axis=0).sum(axis=1)
        return float(both / truth) if truth else None

    everything = np.arange(len(overlaps))
    metrics = {}
    for name, function, method in (
        ("mIoU", mean, "mean of intersection over union of classes that occur, over all pixels"),
        ("pixel_accuracy", right, "share of pixels whose class is right"),
    ):
        value = function(everything)
        assert value is not None  # some pixel has a class
        interval = _bootstrap(len(overlaps), function, confidence, seed)
        metrics[name] = _metric(value, method, len(overlaps), confidence, interval)
    for index, iou in enumerate(_ious(total).tolist()):
        if iou == iou:  # the class occurs
            name = f"IoU {names.get(index, index)}"
            metrics[name] = _metric(iou, "intersection over union of all pixels", len(overlaps), confidence, None)
    return metrics


def roc(truths: Array, scores: Array) -> tuple[Array, Array]:
    """False and true positive rates at every distinct threshold, from 0, 0 to 1, 1."""
    order = np.argsort(-scores, kind="stable")
    last = np.nonzero(np.append(np.diff(scores[order]) != 0, True))[0]  # equal scores move together
    true = np.concatenate([[0], np.cumsum(truths[order])[last]])
    false = np.concatenate([[0], np.cumsum(~truths[order])[last]])
    return false / false[-1], true / true[-1]


def _area(x: Array, y: Array) -> float:
    return float(np.sum(np.diff(x) * (y[1:] + y[:-1]) / 2))


def auc(truths: Array, scores: Array) -> float:
    """Area under the ROC curve; equal scores count half (Hanley and McNeil 1982, doi:10.1148/radiology.143.1.7063747)."""
    return _area(*roc(truths, scores))


def partial_auc(truths: Array, scores: Array, most: float) -> float:
    """Area under the ROC curve up to a false-positive rate, from 0.5 (chance) to 1 (McClish 1989, doi:10.1177/0272989X8900900307)."""
    false, true = roc(truths, scores)
    stop = int(np.searchsorted(false, most, side="right"))
    if stop < len(false):
        end = np.interp(most, false[stop - 1 : stop + 1], true[stop - 1 : stop + 1])
        false, true = np.append(false[:stop], most), np.append(true[:stop], end)
    least = most**2 / 2
    return 0.5 * (1 + (_area(false, true) - least) / (most - least))


def anomaly_metrics(
    truths: Sequence[int], scores: Sequence[float], confidence: float, seed: int = 0
) -> dict[str, Metric]:
    """AUC and pAUC (false-positive rate up to 0.1) of scores that are higher for what is odd.

    Args:
        truths: 0 for normal, anything else for odd.
        scores: of the same items.
        confidence: level of the intervals, 0 to 1.
        seed: of the bootstrap.
    """
    odd, values = np.asarray(truths) != 0, np.asarray(scores, dtype=np.float64)
    if odd.all() or not odd.any():
        return absent(("AUC", "pAUC"), "the items evaluated are all normal or all odd")
    metrics = {}
    for name, function, method in (
        ("AUC", auc, "area under the ROC curve"),
        ("pAUC", lambda t, s: partial_auc(t, s, _PARTIAL), f"area under the ROC curve up to {_PARTIAL}, standardised"),
    ):

        def value(chosen: Array, function: Callable[[Array, Array], float] = function) -> Optional[float]:
            truth = odd[chosen]
            return None if truth.all() or not truth.any() else function(truth, values[chosen])

        interval = _bootstrap(len(odd), value, confidence, seed)
        metrics[name] = _metric(function(odd, values), method, len(odd), confidence, interval)
    return metrics


def regression_metrics(truths: Array, values: Array, confidence: float, seed: int = 0) -> dict[str, Metric]:
    """MAE, RMSE, max_error and R2 over all values of all items.

    Args:
        truths: [N, values] in float64.
        values: what was predicted, of the same shape.
        confidence: level of the intervals, 0 to 1.
        seed: of the bootstrap.

    R2 is one minus the residual over the total sum of squares of each value, averaged over the values.
    """
    apart = values - truths

    def r2(chosen: Array) -> Optional[float]:
        total = np.sum((truths[chosen] - truths[chosen].mean(axis=0)) ** 2, axis=0)
        if np.any(total == 0):
            return None
        return float(np.mean(1 - np.sum(apart[chosen] ** 2, axis=0) / total))

    functions: tuple[tuple[str, str, Callable[[Array], Optional[float]], str], ...] = (
        ("MAE", "lower", lambda chosen: float(np.mean(np.abs(apart[chosen]))), "mean of absolute errors"),
        ("RMSE", "lower", lambda chosen: float(np.sqrt(np.mean(apart[chosen] ** 2))), "root of the mean square error"),
        ("R2", "higher", r2, "coefficient of determination"),
    )
    everything, count = np.arange(len(apart)), len(apart)
    metrics = {}
    for name, direction, function, method in functions:
        value = function(everything)
        if value is None:
            metrics.update(absent((name,), "the truth is always the same"))
            continue
        metrics[name] = _metric(
            value, method, count, confidence, _bootstrap(count, function, confidence, seed), direction
        )
    worst = float(np.max(np.abs(apart)))
    metrics["max_error"] = _metric(worst, "largest absolute error", count, confidence, None, "lower")
    return metrics
