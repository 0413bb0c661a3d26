# SPDX-License-Identifier: Apache-2.0
"""Accuracy: COCO average precision by pycocotools, and top-1 / top-5.

mAP is COCO's primary metric, AP averaged over IoU .50 to .95 in steps of .05, all areas, at most 100
detections an image. Only the images that were evaluated count.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from typing import Any

from codereef.bench.response import Metric
from codereef.bench.statistics import proportion_interval
from codereef.errors import RunError

_COCO_STATS = {"mAP": 0, "AP50": 1, "AP75": 2}


def coco_metrics(
    truth: Mapping[str, Any], detections: Sequence[Mapping[str, Any]], image_ids: Sequence[int]
) -> tuple[dict[str, Metric], str]:
    """mAP, AP50 and AP75 of detections.

    Args:
        truth: a COCO instances file, decoded.
        detections: objects with image_id, category_id, bbox [x, y, width, height] in pixels and score.
        image_ids: the images that were evaluated; others of `truth` do not count.

    Returns:
        The metrics, and the version of pycocotools.

    Raises:
        RunError: pycocotools is absent.
    """
    from importlib import metadata

    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError as error:
        raise RunError(
            f"cannot import pycocotools: {error}", hint="run `cr init` again for this solution"
        ) from error
    version = metadata.version("pycocotools")
    chosen = set(image_ids)
    with contextlib.redirect_stdout(io.StringIO()):  # it prints a table
        reference = COCO()
        reference.dataset = {
            **truth,
            "images": [image for image in truth["images"] if image["id"] in chosen],
            "annotations": [dict(a) for a in truth["annotations"] if a["image_id"] in chosen],
        }
        reference.createIndex()
        results = COCO()
        # Not loadRes: it cannot take an empty list, and fills in segmentations that nobody reads.
        results.dataset = {
            "images": reference.dataset["images"],
            "categories": reference.dataset["categories"],
            "annotations": [
                {**d, "id": i + 1, "area": d["bbox"][2] * d["bbox"][3], "iscrowd": 0}
                for i, d in enumerate(detections)
                if d["image_id"] in chosen
            ],
        }
        results.createIndex()
        evaluation = COCOeval(reference, results, "bbox")
        evaluation.params.imgIds = sorted(chosen)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    metrics = {}
    for name, place in _COCO_STATS.items():
        value = float(evaluation.stats[place])
        absent = value < 0  # pycocotools says -1 when there is no truth to find
        metrics[name] = Metric(
            None if absent else value, "", "higher", f"pycocotools {version} COCOeval bbox", len(chosen),
            reason="the evaluated images have no annotated objects" if absent else None,
        )  # fmt: skip
    return metrics, version


def top_metrics(
    truths: Sequence[int], rankings: Sequence[Sequence[int]], depth: int, confidence: float
) -> dict[str, Metric]:
    """top1 and top5 of a classifier: how often the true class is among the best one and five.

    Args:
        truths: true class of each image.
        rankings: predicted classes of each image, best first.
        depth: how many classes each ranking was asked for; top5 has no value when it is under five.
        confidence: level of the interval over images, 0 to 1.
    """
    n = len(truths)
    metrics = {}
    for name, k in (("top1", 1), ("top5", 5)):
        reason = None
        if n == 0:
            reason = "no image was evaluated"
        elif depth < k:
            reason = f"the model's top-k step keeps {depth} classes only"
        if reason is not None:
            metrics[name] = Metric(None, "", "higher", "share of images", n, reason=reason)
            continue
        hits = sum(truth in list(ranking)[:k] for truth, ranking in zip(truths, rankings))
        metrics[name] = Metric(
            hits / n, "", "higher", "share of images; Wilson score interval", n,
            interval=proportion_interval(hits, n, confidence), confidence=confidence,
        )  # fmt: skip
    return metrics
