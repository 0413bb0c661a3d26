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

from codereef.bench.redraws import DRAWS, drawn_again, interval_over
from codereef.bench.response import Metric
from codereef.bench.statistics import proportion_interval
from codereef.errors import RunError

_COCO_STATS = {"mAP": 0, "AP50": 1, "AP75": 2}


def coco_metrics(
    truth: Mapping[str, Any],
    detections: Sequence[Mapping[str, Any]],
    image_ids: Sequence[int],
    confidence: float = 0.95,
    seed: int = 0,
) -> tuple[dict[str, Metric], str]:
    """Metrics of detections, and the version of pycocotools; see `coco_draws`."""
    metrics, version, _ = coco_draws(truth, detections, image_ids, confidence, seed)
    return metrics, version


def coco_draws(
    truth: Mapping[str, Any],
    detections: Sequence[Mapping[str, Any]],
    image_ids: Sequence[int],
    confidence: float = 0.95,
    seed: int = 0,
) -> tuple[dict[str, Metric], str, list[dict[str, float]]]:
    """mAP, AP50 and AP75 of detections, with their values in each draw of the bootstrap.

    Args:
        truth: a COCO instances file, decoded.
        detections: objects with image_id, category_id, bbox [x, y, width, height] in pixels and score.
        image_ids: the images that were evaluated; others of `truth` do not count.
        confidence: level of the intervals, 0 to 1.
        seed: of the bootstrap.

    The value is exact for these images. The interval says how far it might be off for other images of the
    same sort (`codereef.bench.redraws`).

    Returns:
        The metrics, the version of pycocotools, and their values in each draw of images. The same seed and number
        of images give the same draws, so that those of two sets of detections are paired; there are none under
        ten images.

    Raises:
        RunError: pycocotools is absent.
    """
    from importlib import metadata

    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError as error:
        raise RunError(f"cannot import pycocotools: {error}", hint="run `cr init` again for this solution") from error
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
        values = {name: float(evaluation.stats[place]) for name, place in _COCO_STATS.items()}
        shares = _Shares(evaluation)
        draws = [shares.metrics(again) for again in drawn_again(len(chosen), seed)]
    method = f"pycocotools {version} COCOeval bbox"
    metrics = {}
    for name, value in values.items():
        absent = value < 0  # pycocotools says -1 when there is no truth to find
        interval = None if absent else interval_over([draw.get(name) for draw in draws], confidence)
        metrics[name] = Metric(
            None if absent else value,
            "",
            "higher",
            method + (f"; bootstrap over images, {DRAWS} draws" if interval else ""),
            len(chosen),
            interval=interval,
            confidence=confidence if interval else None,
            reason="the evaluated images have no annotated objects" if absent else None,
        )
    return metrics, version, draws


class _Shares:
    """What each image contributes to average precision, so that a draw of images costs milliseconds.

    The same sums as `COCOeval.accumulate` for all areas and the largest number of detections, which a test
    holds against it; pycocotools' own loop takes 15 times as long.
    """

    def __init__(self, evaluation: Any) -> None:

        parameters = evaluation.params
        images, areas = len(parameters.imgIds), len(parameters.areaRng)
        self._images, self._recalls = images, parameters.recThrs
        self._categories: list[tuple[Any, Any, Any, Any]] = []
        for category in range(len(parameters.catIds)):
            entries = evaluation.evalImgs[category * areas * images :][:images]
            self._categories.append(_sorted_once(entries))

    def precision(self, chosen: Sequence[int]) -> Any:
        """Precision by category, IoU threshold and recall threshold, for images by position; NaN without truth.

        An image that is drawn several times counts so many times. Its detections lie side by side in the order of
        scores, and only the last copy of each matters: before it, a true one has a lower precision than after it,
        and a false one adds no recall.
        """
        import numpy as np

        times = np.bincount(np.asarray(chosen, dtype=np.intp), minlength=self._images)
        found = np.full((len(self._categories), 10, len(self._recalls)), np.nan)
        for number, (image, matched, missed, wanted) in enumerate(self._categories):
            total = int(wanted @ times)
            if total == 0:
                continue
            weight = times[image]
            true = np.cumsum(matched * weight, axis=1)
            false = np.cumsum(missed * weight, axis=1)
            # The envelope: precision at a recall is the best at that recall or a higher one.
            ratio = true / np.maximum(true + false, np.finfo(float).eps)
            envelope = np.maximum.accumulate(ratio[:, ::-1], axis=1)[:, ::-1]
            for threshold in range(10):
                places = np.searchsorted(true[threshold] / total, self._recalls, side="left")
                inside = places < envelope.shape[1]
                found[number, threshold] = 0.0
                found[number, threshold, inside] = envelope[threshold, places[inside]]
        return found

    def metrics(self, chosen: Sequence[int]) -> dict[str, float]:
        """mAP, AP50 and AP75 of images by position; nothing where there is no truth."""
        import numpy as np

        precision = self.precision(chosen)
        if np.isnan(precision).all():
            return {}
        parts = {"mAP": precision, "AP50": precision[:, 0], "AP75": precision[:, 5]}
        return {name: float(np.nanmean(part)) for name, part in parts.items()}


def _sorted_once(entries: Sequence[Any]) -> tuple[Any, Any, Any, Any]:
    """The detections of one category over all images, from the highest score down.

    Returns:
        The image of each by position, whether it is true and whether it is false at each IoU threshold [10, N], and
        the number of objects in each image.
    """
    import numpy as np

    scores, image = [np.zeros(0)], [np.zeros(0, np.intp)]
    matched, missed = [np.zeros((10, 0), bool)], [np.zeros((10, 0), bool)]
    wanted = np.zeros(len(entries), np.intp)
    for position, entry in enumerate(entries):
        if entry is None:
            continue
        hit, ignored = np.asarray(entry["dtMatches"]) > 0, np.asarray(entry["dtIgnore"]) > 0
        wanted[position] = np.sum(np.asarray(entry["gtIgnore"]) == 0)
        scores.append(np.asarray(entry["dtScores"], dtype=float))
        image.append(np.full(scores[-1].size, position))
        matched.append((hit & ~ignored).reshape(10, -1))
        missed.append((~hit & ~ignored).reshape(10, -1))
    order = np.argsort(-np.concatenate(scores), kind="mergesort")
    image_of, true, false = np.concatenate(image), np.concatenate(matched, axis=1), np.concatenate(missed, axis=1)
    return image_of[order], true[:, order], false[:, order], wanted


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
