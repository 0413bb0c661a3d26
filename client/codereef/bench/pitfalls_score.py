# SPDX-License-Identifier: Apache-2.0
"""Two pipelines over the same images: how far their accuracy is apart, and how often they say the same.

Both work on what `Task.predictions` gives. The change of a share of images (top-1, top-5) has Newcombe's interval
for paired proportions (Newcombe 1998, Statistics in Medicine 17, 2635-2650, method 10): unlike a bootstrap it does
not shrink to nothing where no image of a small sample changed sides. The change of average precision, which is no
mean over images, has a paired bootstrap interval: both pipelines are scored on the same draws of images.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from codereef.bench.accuracy import coco_draws
from codereef.bench.datasets import Dataset
from codereef.bench.detections import overlaps
from codereef.bench.redraws import FEWEST
from codereef.bench.response import Metric
from codereef.bench.statistics import middle, proportion_interval
from codereef.bench.tasks import Task

Predictions = Sequence[Mapping[str, Any]]
IOU, SCORE = 0.5, 0.3  # of a match, and of what a person would look at (`cr run` shows no more)
_DRAWS = 2000
_TOP = {"top1": 1, "top5": 5}


@dataclass(frozen=True)
class Scored:
    """How accurate one pipeline was.

    Attributes:
        metrics: as in a result.
        hits: of metrics that are a share of images, whether each image was right.
        draws: of metrics that were bootstrapped, the value in each draw, by its number.
    """

    metrics: Mapping[str, Metric]
    hits: Mapping[str, list[bool]] = field(default_factory=dict)
    draws: Mapping[str, dict[int, float]] = field(default_factory=dict)


def score_of(task: Task, dataset: Dataset, predictions: Predictions, confidence: float) -> Scored:
    """Score a pipeline, with what a paired change needs.

    Args:
        task: has taken all outputs.
        dataset: the truth.
        predictions: those of `task`.
        confidence: level of the intervals, 0 to 1.

    Raises:
        RunError: an evaluator is absent.
    """
    if task.output_type == "detections" and dataset.coco is not None:
        return _score_detections(dataset.coco, predictions, confidence)
    metrics, _ = task.score(confidence)
    hits = {}
    if task.output_type == "classification":
        rows = [(item["truth"], [c["class_index"] for c in item["classes"]]) for item in predictions]
        for name, depth in _TOP.items():
            if name in metrics and metrics[name].value is not None:
                hits[name] = [truth in ranking[:depth] for truth, ranking in rows if truth is not None]
    return Scored(metrics, hits)


def _score_detections(truth: Mapping[str, Any], predictions: Predictions, confidence: float) -> Scored:
    found = [
        {"image_id": item["image_id"], **{key: d[key] for key in ("category_id", "bbox", "score")}}
        for item in predictions
        for d in item["detections"]
    ]
    metrics, _, draws = coco_draws(truth, found, [item["image_id"] for item in predictions], confidence)
    by_name = {
        name: {number: draw[name] for number, draw in enumerate(draws) if name in draw}
        for name, metric in metrics.items()
        if metric.value is not None
    }
    return Scored(metrics, draws=by_name)


def change(right: Scored, wrong: Scored, name: str, confidence: float, *, alike: bool = False) -> Metric:
    """How much a metric moves from the right pipeline to the wrong one over the same images; negative is worse.

    Args:
        right, wrong: scores of both.
        name: the metric.
        confidence: level of the interval, 0 to 1.
        alike: the model was handed the same tensors, so that nothing can have moved.
    """
    before, after = right.metrics[name], wrong.metrics[name]
    n = before.samples
    if before.value is None or after.value is None:
        reason = before.reason or after.reason or "not measured"
        return Metric(None, before.unit, before.direction, "not measured", n, reason=reason)
    value = after.value - before.value
    method, interval = "difference on the same images", None
    if alike:
        method = "exact: every tensor is the same"
    elif name in right.hits and name in wrong.hits:
        interval = paired_proportions(wrong.hits[name], right.hits[name], confidence)
        method = "difference on the same images; Newcombe's interval for paired proportions"
    elif right.draws.get(name):
        drawn, others = right.draws[name], wrong.draws[name]
        both = [others[number] - drawn[number] for number in drawn if number in others]
        interval = middle(both, confidence)
        method = f"difference on the same images; paired bootstrap over images, {len(both)} draws"
    return Metric(
        value, before.unit, before.direction, method, n,
        interval=interval, confidence=None if interval is None else confidence,
    )  # fmt: skip


def paired_proportions(first: Sequence[bool], second: Sequence[bool], confidence: float) -> tuple[float, float]:
    """Newcombe's interval (method 10) of the share of `first` less that of `second`, image by image the same.

    Args:
        first, second: whether each image was right; of the same length, which is at least one.
        confidence: level, 0 to 1.
    """
    n = len(first)
    a, b = sum(first), sum(second)
    both = sum(x and y for x, y in zip(first, second))
    only_first, only_second, neither = a - both, b - both, n - a - b + both
    low_a, high_a = proportion_interval(a, n, confidence)
    low_b, high_b = proportion_interval(b, n, confidence)
    p, q = a / n, b / n
    product = float(both * neither - only_first * only_second)
    if product > 0:
        product = max(product - n / 2, 0.0)
    margins = a * (n - a) * b * (n - b)
    phi = product / math.sqrt(margins) if margins else 0.0

    def reach(one: float, other: float) -> float:
        return math.sqrt(max(0.0, one * one - 2 * phi * one * other + other * other))

    return p - q - reach(p - low_a, high_b - q), p - q + reach(high_a - p, q - low_b)


def agreement(output_type: str, right: Predictions, wrong: Predictions, confidence: float) -> Metric:
    """How far two pipelines say the same.

    For classes: the share of images with the same best class. For detections: the mean over images of F1 (van
    Rijsbergen 1979, ch. 7) of the wrong pipeline's detections against the right one's. Only detections with a score
    of 0.3 and more count; from the highest score down each takes the free detection of its class that overlaps most,
    by at least 0.5 (the matching of PASCAL VOC, Everingham et al. 2010, doi:10.1007/s11263-009-0275-4). An image in
    which neither finds anything is agreed on.

    Args:
        output_type: `classification` or `detections`; of others nothing is known.
        right, wrong: predictions for the same images.
        confidence: level of the interval, 0 to 1.
    """
    n = len(right)
    if output_type == "classification":
        same = sum(_best(a) == _best(b) for a, b in zip(right, wrong))
        interval = proportion_interval(same, n, confidence)
        return Metric(
            same / n, "", "higher", "share of images with the same best class; Wilson score interval", n,
            interval=interval, confidence=confidence,
        )  # fmt: skip
    if output_type == "detections":
        shares = [f1(a["detections"], b["detections"]) for a, b in zip(right, wrong)]
        method = f"mean over images of F1 at IoU {IOU:g}, scores from {SCORE:g}"
        if n < FEWEST:
            return Metric(sum(shares) / n, "", "higher", method, n)
        places = np.random.default_rng(0).integers(0, n, (_DRAWS, n))
        means = np.asarray(shares)[places].mean(axis=1)
        return Metric(
            sum(shares) / n, "", "higher", f"{method}; bootstrap over images, {_DRAWS} draws", n,
            interval=middle(means.tolist(), confidence), confidence=confidence,
        )  # fmt: skip
    return Metric(None, "", "higher", "not measured", n, reason=f"no agreement is defined for {output_type}")


def _best(item: Mapping[str, Any]) -> Any:
    return item["classes"][0]["class_index"] if item["classes"] else None


def f1(right: Sequence[Mapping[str, Any]], wrong: Sequence[Mapping[str, Any]]) -> float:
    """F1 of the detections of one image against those that count as right; see `agreement`."""
    wanted = [d for d in right if d["score"] >= SCORE]
    found = sorted((d for d in wrong if d["score"] >= SCORE), key=lambda d: -d["score"])
    if not wanted and not found:
        return 1.0
    if not wanted or not found:
        return 0.0
    boxes, classes = _corners(wanted), np.array([d["category_id"] for d in wanted])
    free = np.ones(len(wanted), dtype=bool)
    matched = 0
    for detection in found:
        iou = overlaps(_corners([detection])[0], boxes)
        iou[~free | (classes != detection["category_id"])] = -1
        best = int(iou.argmax())
        if iou[best] >= IOU:
            free[best] = False
            matched += 1
    return 2 * matched / (len(wanted) + len(found))


def _corners(detections: Sequence[Mapping[str, Any]]) -> Any:
    boxes = np.array([d["bbox"] for d in detections], dtype=np.float64)
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)
