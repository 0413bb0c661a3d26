# SPDX-License-Identifier: Apache-2.0
"""What differs between object detection and image classification: how outputs are scored and written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, Union

from codereef.bench.accuracy import coco_metrics, top_metrics
from codereef.bench.datasets import Dataset, Item
from codereef.bench.detections import Detections
from codereef.bench.response import Metric
from codereef.bench.steps_out import Ranking
from codereef.errors import MetadataError

Output = Union[Detections, Ranking]


class Task(Protocol):
    """A task gathers the outputs of images and scores them."""

    output_type: str

    def add(self, item: Item, output: Output) -> None:
        """Take the output of one image."""

    def predictions(self) -> list[dict[str, Any]]:
        """All outputs so far as JSON data, with the names of classes."""

    def score(self, confidence: float) -> tuple[dict[str, Metric], dict[str, Mapping[str, str]]]:
        """Accuracy metrics of all outputs so far, and what computed them."""


class DetectionTask:
    """Object detection, scored by COCO average precision."""

    output_type = "detections"
    metrics = ("mAP", "AP50", "AP75")

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._outputs: list[tuple[Item, Detections]] = []

    def add(self, item: Item, output: Output) -> None:
        """See `Task.add`."""
        assert isinstance(output, Detections)
        self._outputs.append((item, output))

    def _found(self) -> list[tuple[Item, list[dict[str, Any]]]]:
        listed = []
        for item, output in self._outputs:
            rows = zip(output.boxes.tolist(), output.classes.tolist(), output.scores.tolist())
            listed.append(
                (item, [
                    {"category_id": int(c), "bbox": [x1, y1, x2 - x1, y2 - y1], "score": score}
                    for (x1, y1, x2, y2), c, score in rows
                ])
            )  # fmt: skip
        return listed

    def predictions(self) -> list[dict[str, Any]]:
        """See `Task.predictions`; boxes are [x, y, width, height] in pixels of the image."""
        labels = self._dataset.labels
        return [
            {
                "image": item.name,
                "image_id": item.image_id,
                "detections": [{"label": labels.get(d["category_id"]), **d} for d in found],
            }
            for item, found in self._found()
        ]

    def score(self, confidence: float) -> tuple[dict[str, Metric], dict[str, Mapping[str, str]]]:
        """See `Task.score`."""
        if self._dataset.coco is None:
            return _absent(self.metrics, f"{self._dataset.ref} has no COCO annotations"), {}
        detections = [{"image_id": item.image_id, **found} for item, listed in self._found() for found in listed]
        ids = [item.image_id for item, _ in self._outputs if item.image_id is not None]
        metrics, version = coco_metrics(self._dataset.coco, detections, ids, confidence)
        return metrics, {"accuracy": {"implementation": "pycocotools COCOeval bbox", "version": version}}


class ClassificationTask:
    """Image classification, scored by top-1 and top-5."""

    output_type = "classification"
    metrics = ("top1", "top5")

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._outputs: list[tuple[Item, Ranking]] = []

    def add(self, item: Item, output: Output) -> None:
        """See `Task.add`."""
        assert isinstance(output, Ranking)
        self._outputs.append((item, output))

    def predictions(self) -> list[dict[str, Any]]:
        """See `Task.predictions`; classes are best first."""
        labels = self._dataset.labels
        return [
            {
                "image": item.name,
                "truth": item.truth,
                "classes": [
                    {"label": labels.get(c), "class_index": c, "score": score}
                    for c, score in zip(output.classes.tolist(), output.scores.tolist())
                ],
            }
            for item, output in self._outputs
        ]

    def score(self, confidence: float) -> tuple[dict[str, Metric], dict[str, Mapping[str, str]]]:
        """See `Task.score`."""
        if self._dataset.format != "labels-csv":
            return _absent(self.metrics, f"{self._dataset.ref} has no class labels"), {}
        truths = [item.truth for item, _ in self._outputs if item.truth is not None]
        rankings = [output.classes.tolist() for item, output in self._outputs if item.truth is not None]
        depth = min((len(ranking) for ranking in rankings), default=0)
        return top_metrics(truths, rankings, depth, confidence), {}


def _absent(names: Sequence[str], reason: str) -> dict[str, Metric]:
    return {name: Metric(None, "", "higher", "not measured", 0, reason=reason) for name in names}


def task_for(name: str, dataset: Dataset) -> Task:
    """The task of a program: `object-detection` or `image-classification`."""
    tasks: dict[str, Callable[[Dataset], Task]] = {
        "object-detection": DetectionTask,
        "image-classification": ClassificationTask,
    }
    if name not in tasks:
        raise MetadataError(f"no task is called {name}; known: {', '.join(tasks)}")
    return tasks[name](dataset)
