# SPDX-License-Identifier: Apache-2.0
"""Evaluate a shapes-ssd file on a generated coloured-shapes folder: COCO mAP and latency.

    python evaluate.py DATASET MODEL [MODEL ...]

A reference pipeline of numpy, Pillow, the runtime and pycocotools that shares nothing with CodeReef's
own, so that the two can be held against each other. Prints one JSON line a model.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import data
import network
import numpy as np
import numpy.typing as npt
from PIL import Image

Floats = npt.NDArray[np.float32]
Infer = Callable[[Floats], tuple[Floats, Floats]]


def onnx_inference(path: Path, threads: int) -> Infer:
    """A function from a ``[1, 128, 128, 3]`` image to boxes ``[N, 4]`` and scores ``[N, C]``."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def infer(image: Floats) -> tuple[Floats, Floats]:
        channels_first = np.ascontiguousarray(image.transpose(0, 3, 1, 2))
        boxes, scores = session.run(["boxes", "scores"], {"image": channels_first})
        return boxes[0], scores[0]

    return infer


def tflite_inference(path: Path, threads: int) -> Infer:
    """The same for TFLite. Outputs are told apart by their last axis: 4 offsets, or one score a class."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path), num_threads=threads)
    interpreter.allocate_tensors()
    image_index = interpreter.get_input_details()[0]["index"]
    index_of = {int(detail["shape"][-1]): detail["index"] for detail in interpreter.get_output_details()}
    boxes_index, scores_index = index_of[4], index_of[len(network.CLASSES)]

    def infer(image: Floats) -> tuple[Floats, Floats]:
        interpreter.set_tensor(image_index, image)
        interpreter.invoke()
        return interpreter.get_tensor(boxes_index)[0], interpreter.get_tensor(scores_index)[0]

    return infer


def load(path: Path, threads: int = 1) -> Infer:
    """Open a model file by its ending."""
    return (onnx_inference if path.suffix == ".onnx" else tflite_inference)(path, threads)


def detections(boxes: Floats, scores: Floats, anchors: Floats) -> list[tuple[int, float, Floats]]:
    """Decode, threshold and suppress: ``(class index, score, [x1, y1, x2, y2])``, best first, boxes in 0..1.

    Centre ``a + offset * 0.1 * anchor size``, size ``anchor size * exp(offset * 0.2)``; corners are cut at
    the image's edge; a sigmoid a class; greedy suppression within each class.
    """
    centre_variance, size_variance = network.VARIANCES
    centre = anchors[:, :2] + boxes[:, :2] * centre_variance * anchors[:, 2:]
    size = anchors[:, 2:] * np.exp(boxes[:, 2:] * size_variance)
    corners = np.clip(np.concatenate([centre - size / 2, centre + size / 2], 1), 0, 1)
    probabilities = 1 / (1 + np.exp(-scores.astype(np.float64)))
    found: list[tuple[int, float, Floats]] = []
    for index in range(scores.shape[1]):
        column = probabilities[:, index]
        rows = [int(r) for r in np.argsort(-column, kind="stable") if column[r] >= network.SCORE_THRESHOLD]
        while rows:
            best, rest = rows[0], rows[1:]
            found.append((index, float(column[best]), corners[best]))
            if not rest:
                break
            overlap = _iou(corners[best], corners[rest])
            rows = [row for row, value in zip(rest, overlap) if value <= network.NMS_IOU]
    found.sort(key=lambda item: -item[1])
    return found[: network.MAX_DETECTIONS]


def _iou(one: Floats, many: Floats) -> Floats:
    width = np.minimum(one[2], many[:, 2]) - np.maximum(one[0], many[:, 0])
    height = np.minimum(one[3], many[:, 3]) - np.maximum(one[1], many[:, 1])
    inner = np.clip(width, 0, None) * np.clip(height, 0, None)
    area = (one[2] - one[0]) * (one[3] - one[1])
    areas = (many[:, 2] - many[:, 0]) * (many[:, 3] - many[:, 1])
    return np.asarray(inner / (area + areas - inner))


def evaluate(dataset: Path, model: Path, threads: int = 1) -> dict[str, Any]:
    """COCO metrics of ``model`` on ``dataset`` (a generated folder) and the median latency in ms."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    infer, anchors = load(model, threads), network.anchors()
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(dataset / "instances.json"))
    results: list[dict[str, Any]] = []
    times: list[float] = []
    for image_id in sorted(truth.imgs):
        entry = truth.imgs[image_id]
        with Image.open(dataset / "images" / entry["file_name"]) as image:
            pixels = data.normalise(data.resize(image, network.INPUT_SIZE))[None]
        started = time.perf_counter()
        boxes, scores = infer(pixels)
        times.append(time.perf_counter() - started)
        for index, score, corner in detections(boxes, scores, anchors):
            x1, y1, x2, y2 = (float(v) for v in corner)
            results.append(
                {
                    "image_id": image_id,
                    "category_id": index + 1,
                    "score": score,
                    "bbox": [
                        x1 * entry["width"],
                        y1 * entry["height"],
                        (x2 - x1) * entry["width"],
                        (y2 - y1) * entry["height"],
                    ],
                }
            )
    with contextlib.redirect_stdout(io.StringIO()):
        measured = COCOeval(truth, truth.loadRes(results), "bbox")
        measured.evaluate()
        measured.accumulate()
        measured.summarize()
    return {
        "model": model.name,
        "images": len(truth.imgs),
        "mAP": float(measured.stats[0]),
        "mAP@.50": float(measured.stats[1]),
        "mAP@.75": float(measured.stats[2]),
        "p50_ms": 1000 * float(np.median(times)),
    }


def main() -> None:
    """Parse the command line, evaluate and print."""
    parser = argparse.ArgumentParser(description="Evaluate shapes-ssd files.")
    parser.add_argument("dataset", type=Path)
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    for model in options.models:
        print(json.dumps(evaluate(options.dataset, model, options.threads)), flush=True)


if __name__ == "__main__":
    main()
