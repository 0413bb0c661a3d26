# SPDX-License-Identifier: Apache-2.0
"""What differs between tasks: how outputs are scored and written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np

from codereef.bench.accuracy import coco_metrics, top_metrics
from codereef.bench.datasets import Dataset, Item
from codereef.bench.detections import Detections
from codereef.bench.metrics import Overlap, absent, anomaly_metrics, regression_metrics, segmentation_metrics
from codereef.bench.outputs import LabelMap, Output, Ranking, Score, Values
from codereef.bench.response import Metric
from codereef.errors import MetadataError, RunError

Scored = tuple[dict[str, Metric], dict[str, Mapping[str, str]]]


class Task(Protocol):
    """A task gathers the outputs of items and scores them."""

    output_type: str

    def add(self, item: Item, output: Output) -> None:
        """Take the output of one item."""

    def predictions(self) -> list[dict[str, Any]]:
        """All outputs so far as JSON data, with the names of classes."""

    def score(self, confidence: float) -> Scored:
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

    def score(self, confidence: float) -> Scored:
        """See `Task.score`."""
        if self._dataset.coco is None:
            return absent(self.metrics, f"{self._dataset.ref} has no COCO annotations"), {}
        detections = [{"image_id": item.image_id, **found} for item, listed in self._found() for found in listed]
        ids = [item.image_id for item, _ in self._outputs if item.image_id is not None]
        metrics, version = coco_metrics(self._dataset.coco, detections, ids, confidence)
        return metrics, {"accuracy": {"implementation": "pycocotools COCOeval bbox", "version": version}}


class ClassificationTask:
    """Classification, scored by top-1 and top-5."""

    output_type = "classification"
    metrics: tuple[str, ...] = ("top1", "top5")

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

    def score(self, confidence: float) -> Scored:
        """See `Task.score`."""
        known = [(item.truth, output.classes.tolist()) for item, output in self._outputs if item.truth is not None]
        if not known:
            return absent(self.metrics, f"{self._dataset.ref} has no class labels"), {}
        depth = min(len(ranking) for _, ranking in known)
        found = top_metrics([truth for truth, _ in known], [ranking for _, ranking in known], depth, confidence)
        return {name: found[name] for name in self.metrics}, {}


class KeywordTask(ClassificationTask):
    """Keyword spotting: classification with a dozen classes, of which the best five say nothing."""

    metrics = ("top1",)


class SegmentationTask:
    """Semantic segmentation, scored by intersection over union."""

    output_type = "segmentation"
    metrics = ("mIoU", "pixel_accuracy")

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._overlaps: list[Overlap] = []
        self._shares: list[dict[str, Any]] = []

    def add(self, item: Item, output: Output) -> None:
        """See `Task.add`; the label map itself is not kept."""
        assert isinstance(output, LabelMap)
        classes, counts = np.unique(output.labels, return_counts=True)
        self._shares.append(
            {
                "image": item.name,
                "classes": [
                    {"label": self._dataset.labels.get(c), "class_index": c, "score": n / output.labels.size}
                    for n, c in sorted(zip(counts.tolist(), classes.tolist()), reverse=True)
                    if c >= 0
                ],
            }
        )
        if item.mask is not None:
            truth = read_mask(item)
            if truth.shape != output.labels.shape:
                raise RunError(
                    f"{self._dataset.ref}: the mask of {item.name} has {list(truth.shape)} pixels, "
                    f"the image {list(output.labels.shape)}",
                    hint="a mask has the size of its image",
                )
            self._overlaps.append(Overlap(truth, output.labels, self._dataset.ignore))

    def predictions(self) -> list[dict[str, Any]]:
        """See `Task.predictions`; the score of a class is its share of the pixels."""
        return self._shares

    def score(self, confidence: float) -> Scored:
        """See `Task.score`."""
        if not self._overlaps:
            return absent(self.metrics, f"{self._dataset.ref} has no masks"), {}
        return segmentation_metrics(self._overlaps, self._dataset.labels, confidence), {}


def read_mask(item: Item) -> Any:
    """The true class of each pixel of an item's mask, [H, W]: grey values or palette indices as they are.

    Raises:
        RunError: it cannot be read, or has colours.
    """
    from PIL import Image, UnidentifiedImageError

    assert item.mask is not None
    try:
        with Image.open(item.mask) as image:
            if image.mode not in ("L", "P", "I;16", "I", "1"):
                raise ValueError(f"it has the mode {image.mode}; a mask has class indices as grey or palette values")
            return np.asarray(image).astype(np.int64)
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError, ValueError) as error:
        raise RunError(
            f"cannot read the mask {item.mask.name}: {error}",
            hint="the dataset's files may be damaged; `cr init` checks and repairs them",
        ) from error


class AnomalyTask:
    """Anomaly detection, scored by the area under the ROC curve; class 0 is normal."""

    output_type = "score"
    metrics = ("AUC", "pAUC")

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._outputs: list[tuple[Item, float]] = []

    def add(self, item: Item, output: Output) -> None:
        """See `Task.add`."""
        assert isinstance(output, Score)
        if not np.isfinite(output.value):
            raise RunError(f"the model gives {output.value} for {item.name}, which ranks nowhere")
        self._outputs.append((item, output.value))

    def predictions(self) -> list[dict[str, Any]]:
        """See `Task.predictions`."""
        return [{"item": item.name, "truth": item.truth, "score": value} for item, value in self._outputs]

    def score(self, confidence: float) -> Scored:
        """See `Task.score`."""
        known = [(item.truth, value) for item, value in self._outputs if item.truth is not None]
        if not known:
            return absent(self.metrics, f"{self._dataset.ref} does not say what is odd"), {}
        return anomaly_metrics([truth for truth, _ in known], [value for _, value in known], confidence), {}


class RegressionTask:
    """Regression, scored by absolute and square errors."""

    output_type = "tensor"
    metrics = ("MAE", "RMSE", "R2", "max_error")

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._outputs: list[tuple[Item, list[float]]] = []

    def add(self, item: Item, output: Output) -> None:
        """See `Task.add`."""
        assert isinstance(output, Values)
        if not np.all(np.isfinite(output.values)):
            raise RunError(f"the model gives what is no finite number for {item.name}")
        if item.values is not None and len(item.values) != output.values.size:
            raise MetadataError(
                f"the model gives {output.values.size} values for {item.name}, "
                f"{self._dataset.ref} has {len(item.values)}",
                hint="correct `outputs[].steps` of the model, or choose a dataset of its task",
            )
        self._outputs.append((item, output.values.tolist()))

    def predictions(self) -> list[dict[str, Any]]:
        """See `Task.predictions`."""
        return [
            {"item": item.name, "truth": None if item.values is None else list(item.values), "values": values}
            for item, values in self._outputs
        ]

    def score(self, confidence: float) -> Scored:
        """See `Task.score`."""
        known = [(item.values, values) for item, values in self._outputs if item.values is not None]
        if not known:
            lower = absent(self.metrics, f"{self._dataset.ref} has no true values", "lower")
            return {**lower, **absent(("R2",), f"{self._dataset.ref} has no true values")}, {}
        truths = np.array([truth for truth, _ in known], dtype=np.float64)
        return regression_metrics(truths, np.array([v for _, v in known], dtype=np.float64), confidence), {}


_TASKS: Mapping[str, Callable[[Dataset], Task]] = {
    "object-detection": DetectionTask,
    "image-classification": ClassificationTask,
    "semantic-segmentation": SegmentationTask,
    "keyword-spotting": KeywordTask,
    "anomaly-detection": AnomalyTask,
    "regression": RegressionTask,
}


def task_for(name: str, dataset: Dataset) -> Task:
    """The task of a program, by its name.

    Raises:
        MetadataError: nobody knows that task.
    """
    if name not in _TASKS:
        raise MetadataError(f"no task is called {name}; known: {', '.join(_TASKS)}")
    return _TASKS[name](dataset)
