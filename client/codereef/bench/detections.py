# SPDX-License-Identifier: Apache-2.0
"""Boxes with classes and scores: overlap and greedy non-maximum suppression."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Detections:
    """What was found in one image.

    Attributes:
        boxes: [N, 4] x1, y1, x2, y2 in pixels of the original image, float64.
        classes: [N] class index, or category id once that step has run, int64.
        scores: [N], float64.
    """

    boxes: Array
    classes: Array
    scores: Array

    def take(self, index: Array) -> Detections:
        """The detections at these indices (or where this mask is true), in that order."""
        return Detections(self.boxes[index], self.classes[index], self.scores[index])


def overlaps(box: Array, others: Array) -> Array:
    """Intersection over union of one box [4] and others [N, 4], all x1, y1, x2, y2; 0 for empty unions."""
    width = np.minimum(box[2], others[:, 2]) - np.maximum(box[0], others[:, 0])
    height = np.minimum(box[3], others[:, 3]) - np.maximum(box[1], others[:, 1])
    inner = np.maximum(width, 0) * np.maximum(height, 0)
    area = np.maximum(others[:, 2] - others[:, 0], 0) * np.maximum(others[:, 3] - others[:, 1], 0)
    union = max(box[2] - box[0], 0) * max(box[3] - box[1], 0) + area - inner
    result: Array = np.divide(inner, union, out=np.zeros_like(inner), where=union > 0)
    return result


def suppress(found: Detections, iou: float, limit: int, per_class: bool = True) -> Detections:
    """Greedy non-maximum suppression.

    From the highest score down (equal scores in the order given), a box is kept unless it overlaps a kept one
    by more than `iou`; with `per_class`, only boxes of the same class suppress each other.

    Args:
        found: candidates.
        iou: intersection over union above which the lower score is dropped, 0 to 1.
        limit: most detections kept, over all classes.
        per_class: suppress within a class only.

    Returns:
        The kept detections by falling score.
    """
    order = np.argsort(-found.scores, kind="stable")
    boxes = found.boxes[order]
    groups = found.classes[order] if per_class else np.zeros(order.size, dtype=np.int64)
    # Ranks that are still in the race, by group; those before the current one are cut off as it moves on.
    racing = {int(group): np.nonzero(groups == group)[0] for group in np.unique(groups)}
    alive = np.ones(order.size, dtype=bool)
    kept: list[int] = []
    for rank, group in enumerate(groups.tolist()):
        if not alive[rank]:
            continue
        kept.append(rank)
        if len(kept) == limit:
            break
        rivals = racing[group]
        rivals = rivals[np.searchsorted(rivals, rank, side="right") :]
        beaten = overlaps(boxes[rank], boxes[rivals]) > iou
        alive[rivals[beaten]] = False
        racing[group] = rivals[~beaten]
    return found.take(order[np.array(kept, dtype=np.intp)])
