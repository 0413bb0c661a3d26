# SPDX-License-Identifier: Apache-2.0
"""Label maps, errors, scores and values, against OpenCV, plain loops and values worked out by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from codereef.bench.geometry import Geometry
from codereef.bench.outputs import LabelMap
from codereef.bench.request import OutputSpec
from codereef.bench.steps_out import Postprocessor
from codereef.errors import MetadataError


def labels(tensor: np.ndarray, geometry: Geometry, *more: dict[str, Any], **args: str) -> np.ndarray:
    spec = OutputSpec("segmentation", {"t": "0"}, ({"label-map": {"tensor": "t", **args}}, *more))
    result = Postprocessor(spec, Path(), ("t",))({"t": tensor}, geometry)
    assert isinstance(result, LabelMap)
    return result.labels


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("size", [(90, 120), (31, 47), (65, 65)])
def test_interpolated_scores_equal_opencv(layout: str, size: tuple[int, int]) -> None:
    """A stretched image: each class resized to the image, then the best class."""
    import cv2

    height, width = size
    scores = np.random.default_rng(6).normal(size=(33, 33, 5)).astype(np.float32)
    geometry = Geometry(width, height, original=(width, height)).resized(65, 65)
    found = labels(
        scores[None] if layout == "NHWC" else scores.transpose(2, 0, 1)[None], geometry, layout=layout, resize="scores"
    )
    planes = np.stack([cv2.resize(scores[:, :, c], (width, height), interpolation=cv2.INTER_LINEAR) for c in range(5)])
    best = np.sort(planes, axis=0)
    clear = best[-1] - best[-2] > 1e-4  # OpenCV interpolates in float32
    assert clear.mean() > 0.99
    np.testing.assert_array_equal(found[clear], planes.argmax(axis=0)[clear])


def test_nearest_labels_undo_a_letterbox() -> None:
    """An image of 8x4 in an input of 8x8: two rows above and below are border."""
    geometry = Geometry(8, 4, original=(8, 4)).moved(0, -2, 8, 8)
    inside = np.arange(32).reshape(4, 8)
    grid = np.full((8, 8), 99)
    grid[2:6] = inside
    np.testing.assert_array_equal(labels(grid[None], geometry, layout="NHW", resize="labels"), inside)
    np.testing.assert_array_equal(labels(grid[None, ..., None], geometry, layout="NHW", resize="labels"), inside)


def test_what_a_crop_left_out_has_no_class() -> None:
    geometry = Geometry(8, 4, original=(8, 4)).moved(2, 1, 4, 2)
    found = labels(np.ones((1, 2, 4), dtype=np.int64), geometry, layout="NHW", resize="labels")
    expected = np.full((4, 8), -1)
    expected[1:3, 2:6] = 1
    np.testing.assert_array_equal(found, expected)


def test_best_class_first_differs_from_scores_first() -> None:
    scores = np.zeros((1, 1, 2, 3))
    scores[0, 0, 0] = [1.0, 0.0, 0.9]
    scores[0, 0, 1] = [0.0, 1.0, 0.9]
    geometry = Geometry(4, 1, original=(4, 1))
    assert labels(scores, geometry, layout="NHWC", resize="labels").tolist() == [[0, 0, 1, 1]]
    assert labels(scores, geometry, layout="NHWC", resize="scores").tolist() == [[0, 2, 2, 1]]


def test_categories_of_a_label_map_are_mapped_and_unseen_pixels_stay() -> None:
    geometry = Geometry(2, 1, original=(2, 1)).moved(0, 0, 1, 1)
    found = labels(np.array([[[1]]]), geometry, {"category": {"map": [7, 11]}}, layout="NHW", resize="labels")
    assert found.tolist() == [[11, -1]]


def run(type_: str, steps: list[dict[str, Any]], tensors: dict[str, Any], feeds: dict[str, Any] | None = None) -> Any:
    spec = OutputSpec(type_, {name: name for name in tensors}, tuple(steps))
    return Postprocessor(spec, Path(), tuple(tensors))(tensors, Geometry(0, 0), feeds)


@pytest.mark.parametrize("metric", ["mse", "mae"])
@pytest.mark.parametrize("name", ["input", "input:x"])
def test_reconstruction_error_equals_scikit_learn(metric: str, name: str) -> None:
    from sklearn import metrics

    generator = np.random.default_rng(7)
    given, made = generator.normal(size=(1, 640)), generator.normal(size=(1, 640)).astype(np.float32)
    steps = [
        {"error": {"tensor": "y", "with": name, "metric": metric, "to": "e"}},
        {"score": {"tensor": "e"}},
    ]
    found = run("score", steps, {"y": made}, {"x": given})
    expected = {"mse": metrics.mean_squared_error, "mae": metrics.mean_absolute_error}[metric](given[0], made[0])
    assert found.value == pytest.approx(expected, rel=1e-12)


def test_quantised_inputs_are_compared_in_real_numbers() -> None:
    steps: list[dict[str, Any]] = [
        {"dequantize": {"tensor": "input", "scale": 0.5, "zero_point": -3}},
        {"error": {"tensor": "y", "with": "input", "metric": "mae", "to": "e"}},
        {"score": {"tensor": "e"}},
    ]
    assert run("score", steps, {"y": np.array([[1.0, 2.0]])}, {"x": np.array([[-1, 3]], dtype=np.int8)}).value == 0.5


def test_what_is_missing_or_too_much_is_named() -> None:
    with pytest.raises(MetadataError, match="has 2 values, not one"):
        run("score", [{"score": {"tensor": "y"}}], {"y": np.zeros(2)})
    with pytest.raises(MetadataError, match="a segmentation output ends without a `label-map` step"):
        run("segmentation", [], {"y": np.zeros(2)})
    with pytest.raises(MetadataError, match="a tensor output ends without a `values` step"):
        run("tensor", [], {"y": np.zeros(2)})
    with pytest.raises(MetadataError, match="the size of the original image is not known"):
        run(
            "segmentation",
            [{"label-map": {"tensor": "y", "layout": "NHW", "resize": "labels"}}],
            {"y": np.zeros((1, 2, 2))},
        )
