# SPDX-License-Identifier: Apache-2.0
"""Steps for heads of detectors, against loops written from the papers' equations."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from codereef.bench.detections import Detections
from codereef.bench.geometry import Geometry
from codereef.bench.request import OutputSpec
from codereef.bench.steps_out import Postprocessor
from codereef.errors import MetadataError

SMALL = Geometry(64, 32, original=(128, 64), scale_x=2.0, scale_y=2.0)


def detect(steps: list[dict[str, Any]], tensors: dict[str, Any], geometry: Geometry = SMALL) -> Detections:
    spec = OutputSpec("detections", {name: name for name in tensors}, tuple(steps))
    result = Postprocessor(spec, Path(), tuple(tensors))(tensors, geometry)
    assert isinstance(result, Detections)
    return result


def values(steps: list[dict[str, Any]], tensors: dict[str, Any], name: str, geometry: Geometry = SMALL) -> np.ndarray:
    spec = OutputSpec("tensor", {key: key for key in tensors}, (*steps, {"values": {"tensor": name}}))
    result: Any = Postprocessor(spec, Path(), tuple(tensors))(tensors, geometry)
    return np.asarray(result.values)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def grid_by_hand(raw: np.ndarray, anchors: list[list[float]], stride: float, form: str) -> np.ndarray:
    """raw [A, H, W, 5+C], one number at a time."""
    rows = []
    for a, (width, height) in enumerate(anchors):
        for y in range(raw.shape[1]):
            for x in range(raw.shape[2]):
                tx, ty, tw, th, *rest = (float(v) for v in raw[a, y, x])
                if form == "v3":
                    box = [
                        (sigmoid(tx) + x) * stride,
                        (sigmoid(ty) + y) * stride,
                        math.exp(tw) * width,
                        math.exp(th) * height,
                    ]
                else:
                    box = [
                        (2 * sigmoid(tx) - 0.5 + x) * stride, (2 * sigmoid(ty) - 0.5 + y) * stride,
                        (2 * sigmoid(tw)) ** 2 * width, (2 * sigmoid(th)) ** 2 * height,
                    ]  # fmt: skip
                rows.append(box + [sigmoid(v) for v in rest])
    return np.array(rows)


@pytest.mark.parametrize("form", ["v3", "v5"])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC", "NAHWC"])
def test_decode_grid_equals_the_equations(form: str, layout: str) -> None:
    anchors, stride = [[10.0, 13.0], [33.0, 23.0], [5.0, 8.0]], 16.0
    raw = np.random.default_rng(3).normal(0, 1.5, (3, 2, 4, 8)).astype(np.float32)
    channels = raw.transpose(0, 3, 1, 2).reshape(24, 2, 4)
    tensor = {"NAHWC": raw[None], "NCHW": channels[None], "NHWC": channels.transpose(1, 2, 0)[None]}[layout]
    step = {
        "decode-grid": {
            "tensor": "t",
            "form": form,
            "layout": layout,
            "stride": stride,
            "anchors": anchors,
            "to": "rows",
        }
    }
    found = values([step], {"t": tensor}, "rows").reshape(-1, 8)
    np.testing.assert_allclose(found, grid_by_hand(raw, anchors, stride, form), rtol=1e-6)


def test_a_head_that_does_not_fit_its_anchors_is_named() -> None:
    step = {
        "decode-grid": {"tensor": "t", "form": "v5", "layout": "NCHW", "stride": 8, "anchors": [[1, 1]] * 2, "to": "r"}
    }
    with pytest.raises(MetadataError, match="7 channels do not divide among 2 anchors"):
        values([step], {"t": np.zeros((1, 7, 2, 2))}, "r")


@pytest.mark.parametrize("units", ["strides", "input-pixels"])
def test_decode_points_equals_the_equations_of_fcos(units: str) -> None:
    distances = np.random.default_rng(4).uniform(0, 3, (32 + 8, 4))
    step = {"decode-points": {"tensor": "d", "strides": [8, 16], "units": units}}
    found = values([step], {"d": distances[None]}, "d").reshape(-1, 4)
    expected = []
    for stride, rows, columns in ((8, 4, 8), (16, 2, 4)):
        for y in range(rows):
            for x in range(columns):
                left, top, right, bottom = distances[len(expected)] * (stride if units == "strides" else 1)
                cx, cy = (x + 0.5) * stride, (y + 0.5) * stride
                expected.append([cx - left, cy - top, cx + right, cy + bottom])
    np.testing.assert_allclose(found, expected)


def test_distributions_are_read_by_their_mean() -> None:
    from scipy.special import softmax

    logits = np.random.default_rng(5).normal(0, 2, (8, 4 * 5))
    found = values(
        [{"decode-points": {"tensor": "d", "strides": [16], "units": "strides", "bins": 5, "offset": 0}}],
        {"d": logits},
        "d",
    )
    mean = (softmax(logits.reshape(8, 4, 5), axis=2) * np.arange(5)).sum(axis=2) * 16
    centres = np.array([[x * 16.0, y * 16.0] for y in range(2) for x in range(4)])
    np.testing.assert_allclose(found.reshape(8, 4), np.hstack([centres - mean[:, :2], centres + mean[:, 2:]]))


def test_points_that_do_not_fit_the_input_are_named() -> None:
    with pytest.raises(MetadataError, match=r"7 rows do not fit the 8 points of an input of 32x64"):
        values([{"decode-points": {"tensor": "d", "strides": [16], "units": "strides"}}], {"d": np.zeros((7, 4))}, "d")


def test_a_yolov8_like_output_gives_boxes_and_classes() -> None:
    """[1, 4 + classes, boxes]: transposed, cut, and suppressed."""
    output = np.zeros((1, 6, 3), dtype=np.float32)
    output[0, :, 0] = [20, 10, 8, 4, 0.1, 0.9]
    output[0, :, 1] = [20, 10, 8, 4, 0.2, 0.6]
    output[0, :, 2] = [40, 20, 10, 10, 0.7, 0.05]
    steps: list[dict[str, Any]] = [
        {"transpose": {"tensor": "o", "axes": [0, 2, 1]}},
        {"slice": {"tensor": "o", "axis": 2, "stop": 4, "to": "b"}},
        {"slice": {"tensor": "o", "axis": 2, "start": 4, "to": "s"}},
        {"boxes": {"tensor": "b", "format": "cxcywh", "units": "input-pixels"}},
        {"scores": {"tensor": "s"}},
        {"threshold": {"score": 0.3}},
        {"nms": {"iou": 0.5, "max": 10}},
    ]
    found = detect(steps, {"o": output})
    assert found.classes.tolist() == [1, 0]
    np.testing.assert_allclose(found.boxes, [[32, 16, 48, 24], [70, 30, 90, 50]])
    np.testing.assert_allclose(found.scores, [0.9, 0.7], rtol=1e-6)


def test_boxes_are_clipped_to_the_original_image_before_and_after_pairs() -> None:
    boxes, scores = np.array([[-5.0, -5.0, 80.0, 40.0]]), np.array([[0.5]])
    steps: list[dict[str, Any]] = [
        {"boxes": {"tensor": "b", "format": "xyxy", "units": "input-pixels"}},
        {"scores": {"tensor": "s"}},
    ]
    tensors = {"b": boxes, "s": scores}
    for tail in ([{"clip": {}}, {"threshold": {"score": 0.1}}], [{"threshold": {"score": 0.1}}, {"clip": {}}]):
        assert detect([*steps, *tail], tensors).boxes.tolist() == [[0.0, 0.0, 128.0, 64.0]]
    assert detect(steps, tensors).boxes.tolist() == [[-10.0, -10.0, 160.0, 80.0]]


def test_concat_reshape_and_power() -> None:
    a, b = np.arange(4.0).reshape(2, 2), np.arange(4.0, 8.0).reshape(2, 2)
    steps: list[dict[str, Any]] = [
        {"concat": {"tensors": ["a", "b"], "axis": 0, "to": "c"}},
        {"power": {"tensor": "c", "exponent": 0.5}},
        {"reshape": {"tensor": "c", "to": [-1, 1]}},
    ]
    np.testing.assert_allclose(values(steps, {"a": a, "b": b}, "c"), [math.sqrt(v) for v in range(8)])
    with pytest.raises(MetadataError, match="values below zero"):
        values([{"power": {"tensor": "a", "exponent": 0.5}}], {"a": -a}, "a")
    with pytest.raises(MetadataError, match=r"shapes \[2, 2\], \[3, 1\] cannot be joined"):
        values([{"concat": {"tensors": ["a", "b"], "axis": 0, "to": "c"}}], {"a": a, "b": np.zeros((3, 1))}, "c")


def test_a_background_class_is_dropped_from_1001_scores() -> None:
    scores = np.zeros((1, 1001))
    scores[0, [0, 5]] = [0.9, 0.1]  # the background wins, and is no answer
    spec = OutputSpec(
        "classification",
        {"s": "0"},
        ({"slice": {"tensor": "s", "axis": 1, "start": 1, "to": "s"}}, {"top-k": {"tensor": "s", "k": 5}}),
    )
    found: Any = Postprocessor(spec, Path(), ("s",))({"s": scores}, SMALL)
    assert found.classes[0] == 4  # 0-based of 1000
