# SPDX-License-Identifier: Apache-2.0
"""Intervals of mAP: the fast sums are pycocotools' own, and the intervals behave as intervals should."""

from __future__ import annotations

import contextlib
import io
import random
from typing import Any

import numpy as np
import pytest
from codereef.bench.accuracy import _Shares, coco_metrics
from codereef.bench.redraws import DRAWS, drawn_again, interval_over
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval


def scene(images: int, seed: int, *, crowd: bool = False) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Truth and imperfect detections of some images: misses, shifts, false alarms, several classes."""
    chance = random.Random(seed)
    annotations, detections = [], []
    for image in range(1, images + 1):
        for _ in range(chance.randint(0, 4)):
            box = [chance.uniform(0, 60), chance.uniform(0, 60), chance.uniform(8, 40), chance.uniform(8, 40)]
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image,
                    "category_id": chance.randint(1, 3),
                    "bbox": box,
                    "area": box[2] * box[3],
                    "iscrowd": int(crowd and chance.random() < 0.1),
                }
            )
            if chance.random() < 0.8:
                moved = [v + chance.gauss(0, 2) for v in box[:2]] + [max(1.0, v + chance.gauss(0, 2)) for v in box[2:]]
                detections.append(
                    {
                        "image_id": image,
                        "category_id": annotations[-1]["category_id"],
                        "bbox": moved,
                        "score": chance.random(),
                    }
                )
        if chance.random() < 0.5:
            detections.append(
                {
                    "image_id": image,
                    "category_id": chance.randint(1, 3),
                    "bbox": [1, 1, 20, 20],
                    "score": chance.random(),
                }
            )
    truth = {
        "images": [{"id": i, "width": 100, "height": 100} for i in range(1, images + 1)],
        "annotations": annotations,
        "categories": [{"id": c, "name": str(c)} for c in (1, 2, 3, 4)],
    }
    return truth, detections


@pytest.mark.parametrize("seed", range(6))
def test_a_draw_of_every_image_once_is_what_pycocotools_says(seed: int) -> None:
    truth, detections = scene(25, seed, crowd=seed % 2 == 1)
    with contextlib.redirect_stdout(io.StringIO()):
        reference, results = COCO(), COCO()
        reference.dataset = truth
        reference.createIndex()
        results.dataset = {
            **truth,
            "annotations": [
                {**d, "id": i + 1, "area": d["bbox"][2] * d["bbox"][3], "iscrowd": 0} for i, d in enumerate(detections)
            ],
        }
        results.createIndex()
        evaluation = COCOeval(reference, results, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    found = _Shares(evaluation).metrics(range(25))
    for name, place in (("mAP", 0), ("AP50", 1), ("AP75", 2)):
        assert found[name] == pytest.approx(float(evaluation.stats[place]), abs=1e-12)


def test_more_images_give_a_narrower_interval_around_the_value() -> None:
    widths = []
    for images in (20, 200):
        metric = coco_metrics(*scene(images, 3), list(range(1, images + 1)))[0]["mAP"]
        assert metric.interval is not None and metric.value is not None
        low, high = metric.interval
        assert low < metric.value < high
        widths.append(high - low)
    assert widths[1] < widths[0]


def test_the_same_input_gives_the_same_interval() -> None:
    truth, detections = scene(30, 4)
    first, second = (coco_metrics(truth, detections, list(range(1, 31)))[0]["mAP"].interval for _ in range(2))
    assert first == second


def test_few_images_give_no_interval() -> None:
    assert coco_metrics(*scene(9, 5), list(range(1, 10)))[0]["mAP"].interval is None


def test_items_are_drawn_again_alike_for_the_same_seed_and_not_at_all_for_under_ten() -> None:
    first, again, other = (drawn_again(12, seed) for seed in (1, 1, 2))
    assert len(first) == DRAWS and all(len(draw) == 12 and set(draw) <= set(range(12)) for draw in first)
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    assert drawn_again(9, 1) == []


def test_an_interval_over_draws_needs_a_value_of_each() -> None:
    values = np.random.default_rng(3).random(DRAWS).tolist()
    assert interval_over(values, 0.9) == pytest.approx(tuple(np.quantile(values, [0.05, 0.95])), rel=1e-12)
    assert interval_over([*values[1:], None], 0.9) is None
    assert interval_over([], 0.9) is None
