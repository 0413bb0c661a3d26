# SPDX-License-Identifier: Apache-2.0
"""Every post-processing step against scipy, plain loops or values worked out by hand."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from codereef.bench.detections import Detections, overlaps, suppress
from codereef.bench.geometry import Geometry
from codereef.bench.request import OutputSpec
from codereef.bench.steps_out import STEPS, Postprocessor, Ranking, corners
from codereef.errors import MetadataError
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.bench.program_requests import ROOT

PLAIN = Geometry(100, 50)


def detect(
    steps: list[dict[str, Any]], tensors: dict[str, Any], geometry: Geometry = PLAIN, folder: Path = Path()
) -> Detections:
    arrays = {name: np.asarray(value) for name, value in tensors.items()}
    spec = OutputSpec("detections", {name: name for name in tensors}, tuple(steps))
    result = Postprocessor(spec, folder, tuple(tensors))(arrays, geometry)
    assert isinstance(result, Detections)
    return result


def rank(steps: list[dict[str, Any]], tensor: Any) -> Ranking:
    spec = OutputSpec("classification", {"x": "0"}, tuple(steps))
    result = Postprocessor(spec, Path(), ("logits",))({"logits": np.asarray(tensor)}, PLAIN)
    assert isinstance(result, Ranking)
    return result


def through(step: dict[str, Any], tensor: Any) -> np.ndarray:
    """What a step makes of one tensor, read back through top-k in the tensor's own order."""
    flat = rank([step, {"top-k": {"tensor": "x", "k": 10**6}}], tensor)
    values = np.empty(flat.scores.size)
    values[flat.classes] = flat.scores
    return values


BOXES = {"boxes": {"tensor": "b", "format": "xyxy", "units": "input-pixels"}}
SCORES = {"scores": {"tensor": "s"}}


def test_vocabulary_is_that_of_the_schema() -> None:
    common = json.loads((ROOT / "schemas" / "common.json").read_text(encoding="utf-8"))
    named = {name for step in common["$defs"]["output_step"]["oneOf"] for name in step["properties"]}
    assert set(STEPS) == named


@pytest.mark.parametrize(("dtype", "values"), [("uint8", [0, 3, 128, 255]), ("int8", [-128, -1, 0, 127])])
def test_dequantize(dtype: str, values: list[int]) -> None:
    step = {"dequantize": {"tensor": "x", "scale": 0.0625, "zero_point": 3}}
    expected = [(v - 3) * 0.0625 for v in values]
    np.testing.assert_allclose(through(step, np.array([values], dtype=dtype)), expected, atol=1e-7)


def test_sigmoid_equals_scipy_also_far_out() -> None:
    from scipy.special import expit

    x = np.array([[-1000, -30, -1.5, 0, 0.25, 30, 1000]], dtype=np.float32)
    np.testing.assert_allclose(through({"sigmoid": {"tensor": "x"}}, x), expit(x[0]), rtol=1e-5, atol=1e-30)


@pytest.mark.parametrize("axis", [None, 0, 1])
def test_softmax_equals_scipy(axis: int | None) -> None:
    from scipy.special import softmax

    x = np.random.default_rng(1).normal(0, 200, (3, 7))
    args: dict[str, Any] = {"tensor": "x"} if axis is None else {"tensor": "x", "axis": axis}
    expected = softmax(x, axis=-1 if axis is None else axis).reshape(-1)
    np.testing.assert_allclose(through({"softmax": args}, x), expected, atol=1e-12)


def test_slice_takes_a_part_under_a_new_name_and_keeps_the_old() -> None:
    x = np.arange(24.0).reshape(2, 3, 4)
    for args, expected in (
        ({"axis": 2, "start": 1, "stop": 3}, x[:, :, 1:3]),
        ({"axis": -1, "start": 3}, x[:, :, 3:]),
        ({"axis": 0, "stop": 1}, x[:1]),
    ):
        step = {"slice": {"tensor": "x", "to": "y", **args}}
        got = rank([step, {"top-k": {"tensor": "y", "k": 99}}], x)
        assert sorted(got.scores.tolist()) == sorted(expected.reshape(-1).tolist())
        assert rank([step, {"top-k": {"tensor": "x", "k": 99}}], x).scores.size == 24


def test_slice_along_an_axis_that_is_not_there_is_an_error() -> None:
    with pytest.raises(MetadataError, match=r"axis 2 does not exist in a tensor of shape \[1, 4\]"):
        rank([{"slice": {"tensor": "x", "axis": 2, "to": "y"}}], np.zeros((1, 4)))


def test_multiply_broadcasts() -> None:
    steps = [{"multiply": {"tensor": "s", "with": "o"}}, BOXES, SCORES]
    found = detect(steps, {"b": [[0, 0, 1, 1], [0, 0, 2, 2]], "s": [[0.5, 1.0], [0.25, 0.5]], "o": [[0.5], [1.0]]})
    assert found.scores.tolist() == [0.25, 0.5, 0.25, 0.5]


@pytest.mark.parametrize(
    ("form", "row"),
    [
        ("xyxy", [10, 20, 30, 60]),
        ("yxyx", [20, 10, 60, 30]),
        ("cxcywh", [20, 40, 20, 40]),
        ("cycxhw", [40, 20, 40, 20]),
    ],
)
def test_all_box_formats_describe_the_same_box(form: str, row: list[float]) -> None:
    np.testing.assert_array_equal(corners(np.array([row]), form), [[10, 20, 30, 60]])


def test_boxes_return_to_pixels_of_the_original_image() -> None:
    # 400 x 100 pixels, letterboxed into 200 x 200: halved, 75 rows of border above.
    geometry = Geometry(400, 100).resized(200, 50).moved(0, -75, 200, 200)
    tensors = {"b": [[[0.25, 0.5, 0.5, 0.6]]], "s": [[[0.9]]]}
    boxes = {"boxes": {"tensor": "b", "format": "xyxy", "units": "normalized"}}
    np.testing.assert_allclose(detect([boxes, SCORES], tensors, geometry).boxes, [[100, 50, 200, 90]])
    tensors["b"] = [[[50, 100, 100, 120]]]
    np.testing.assert_allclose(detect([BOXES, SCORES], tensors, geometry).boxes, [[100, 50, 200, 90]])


def test_decode_boxes_follows_the_ssd_paper(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    anchors, offsets = rng.uniform(0.1, 0.9, (5, 4)), rng.normal(0, 1, (5, 4))
    np.save(tmp_path / "anchors.npy", anchors.astype(np.float32))
    anchors = anchors.astype(np.float32).astype(np.float64)
    (tmp_path / "swapped.json").write_text(json.dumps(anchors[:, [1, 0, 3, 2]].tolist()), encoding="utf-8")
    expected = []
    for (acx, acy, aw, ah), (ox, oy, ow, oh) in zip(anchors, offsets):
        cx, cy = acx + 0.1 * ox * aw, acy + 0.2 * oy * ah
        w, h = aw * math.exp(0.3 * ow), ah * math.exp(0.4 * oh)
        expected.append([(cx - w / 2) * 100, (cy - h / 2) * 50, (cx + w / 2) * 100, (cy + h / 2) * 50])
    read = {"boxes": {"tensor": "b", "format": "cxcywh", "units": "normalized"}}
    args = {"tensor": "b", "code": "ssd", "variances": [0.1, 0.2, 0.3, 0.4]}
    for anchor_file, anchor_format, order, tensor in (
        ("anchors.npy", "cxcywh", "cxcywh", offsets),
        ("swapped.json", "cycxhw", "cycxhw", offsets[:, [1, 0, 3, 2]]),
    ):
        step = {"decode-boxes": {**args, "anchors": anchor_file, "anchor_format": anchor_format, "order": order}}
        found = detect([step, read, SCORES], {"b": tensor[None], "s": np.ones((1, 5, 1))}, folder=tmp_path)
        np.testing.assert_allclose(found.boxes, expected, rtol=1e-9)


def test_decode_boxes_names_missing_and_unfit_anchors(tmp_path: Path) -> None:
    np.save(tmp_path / "two.npy", np.ones((2, 4)))
    args = {
        "tensor": "b",
        "anchor_format": "cxcywh",
        "code": "ssd",
        "order": "cxcywh",
        "variances": [1, 1, 1, 1],
    }
    for name, message in (("none.npy", "none.npy"), ("two.npy", "2 anchors do not fit 3 boxes")):
        with pytest.raises(MetadataError, match=message):
            detect([{"decode-boxes": {**args, "anchors": name}}], {"b": np.zeros((3, 4))}, folder=tmp_path)


def test_scores_make_a_candidate_of_every_box_and_class_and_drop_the_background() -> None:
    tensors = {"b": [[0, 0, 1, 1], [2, 2, 3, 3]], "s": [[0.9, 0.05, 0.05], [0.2, 0.1, 0.7]]}
    found = detect([BOXES, {"scores": {"tensor": "s", "background": 0}}], tensors)
    assert found.classes.tolist() == [0, 1, 0, 1]
    assert found.scores.tolist() == [0.05, 0.05, 0.1, 0.7]
    assert found.boxes[:, 0].tolist() == [0, 0, 2, 2]


def test_classes_take_the_first_count_boxes() -> None:
    tensors = {
        "b": [[[0, 0, 1, 1], [1, 1, 2, 2], [3, 3, 4, 4]]],
        "c": [[17.0, 0.0, 5.0]],
        "s": [[0.9, 0.8, 0.7]],
        "n": [2.0],
    }
    with_count = {"classes": {"tensor": "c", "scores": "s", "count": "n"}}
    found = detect([BOXES, with_count], tensors)
    assert (found.classes.tolist(), found.scores.tolist(), len(found.boxes)) == ([17, 0], [0.9, 0.8], 2)
    assert detect([BOXES, {"classes": {"tensor": "c", "scores": "s"}}], tensors).classes.tolist() == [
        17,
        0,
        5,
    ]


def test_threshold_keeps_scores_that_reach_it() -> None:
    tensors = {
        "b": [[0, 0, 1, 1], [2, 2, 3, 3]],
        "s": [[0.5, 0.4], [0.1, 0.6]],
        "c": [3.0, 4.0],
        "t": [0.5, 0.49],
    }
    found = detect([BOXES, SCORES, {"threshold": {"score": 0.5}}], tensors)
    assert list(zip(found.classes.tolist(), found.scores.tolist())) == [(0, 0.5), (1, 0.6)]
    chosen = detect([BOXES, {"classes": {"tensor": "c", "scores": "t"}}, {"threshold": {"score": 0.5}}], tensors)
    assert chosen.classes.tolist() == [3]


def plain_iou(a: Any, b: Any) -> float:
    w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    inner = max(w, 0) * max(h, 0)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inner
    return inner / union if union > 0 else 0.0


def plain_nms(found: Detections, iou: float, limit: int, per_class: bool) -> list[int]:
    kept: list[int] = []
    for i in sorted(range(len(found.scores)), key=lambda k: (-found.scores[k], k)):
        rivals = [k for k in kept if not per_class or found.classes[k] == found.classes[i]]
        if all(plain_iou(found.boxes[k], found.boxes[i]) <= iou for k in rivals):
            kept.append(i)
    return kept[:limit]


box = st.tuples(st.integers(0, 12), st.integers(0, 12), st.integers(0, 8), st.integers(0, 8))
candidate = st.tuples(box, st.integers(0, 2), st.integers(0, 6))


@settings(max_examples=150, deadline=None)
@given(st.lists(candidate, max_size=25), st.sampled_from([0.0, 0.3, 0.5, 1.0]), st.integers(1, 12), st.booleans())
def test_nms_equals_a_naive_implementation(rows: list[Any], iou: float, limit: int, per_class: bool) -> None:
    boxes = np.array([[x, y, x + w, y + h] for (x, y, w, h), _, _ in rows], dtype=float).reshape(-1, 4)
    found = Detections(
        boxes,
        np.array([c for _, c, _ in rows], dtype=int),
        np.array([s / 6 for _, _, s in rows], dtype=float),
    )
    expected = found.take(np.array(plain_nms(found, iou, limit, per_class), dtype=int))
    got = suppress(found, iou, limit, per_class)
    np.testing.assert_array_equal(got.boxes, expected.boxes)
    np.testing.assert_array_equal(got.classes, expected.classes)
    np.testing.assert_array_equal(got.scores, expected.scores)


def test_nms_step_suppresses_within_a_class_unless_told_otherwise() -> None:
    tensors = {"b": [[0, 0, 10, 10], [0, 0, 10, 9]], "s": [[0.9, 0.0], [0.3, 0.8]]}
    steps = [BOXES, SCORES, {"threshold": {"score": 0.1}}]
    assert detect([*steps, {"nms": {"iou": 0.5, "max": 9}}], tensors).scores.tolist() == [0.9, 0.8]
    assert detect([*steps, {"nms": {"iou": 0.5, "max": 9, "per_class": False}}], tensors).scores.tolist() == [0.9]
    assert detect([*steps, {"nms": {"iou": 0.95, "max": 9}}], tensors).scores.tolist() == [0.9, 0.8, 0.3]


def test_overlap_by_hand() -> None:
    others = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30], [3, 3, 3, 3]], dtype=float)
    np.testing.assert_allclose(overlaps(others[0], others), [1, 50 / 150, 0, 0])
    assert overlaps(others[3], others[3:]).tolist() == [0.0]


def test_category_adds_an_offset_or_looks_up_a_table() -> None:
    tensors = {"b": [[0, 0, 1, 1]] * 2, "c": [0.0, 2.0], "s": [0.9, 0.8]}
    read = [BOXES, {"classes": {"tensor": "c", "scores": "s"}}]
    assert detect([*read, {"category": {"offset": 1}}], tensors).classes.tolist() == [1, 3]
    assert detect([*read, {"category": {"map": [1, 2, 90]}}], tensors).classes.tolist() == [1, 90]
    with pytest.raises(MetadataError, match="2 entries and the model gave class 2"):
        detect([*read, {"category": {"map": [1, 2]}}], tensors)


def test_top_k_gives_the_best_first_and_the_lower_index_of_equals() -> None:
    got = rank([{"top-k": {"tensor": "x", "k": 3, "offset": -1}}], [[0.1, 0.7, 0.05, 0.7, 0.2]])
    assert got.classes.tolist() == [0, 2, 3]
    assert got.scores.tolist() == [0.7, 0.7, 0.2]


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([{"shrink": {}}], "unknown output step shrink"),
        (
            [{"boxes": {"tensor": "nope", "format": "xyxy", "units": "normalized"}}],
            "no tensor is called nope",
        ),
        ([BOXES], "no boxes or no scores"),
        (
            [{"boxes": {"tensor": "s", "format": "xyxy", "units": "normalized"}}],
            r"shape \[2, 2\], not \[N, 4\]",
        ),
        ([{"classes": {"tensor": "c", "scores": "t"}}], "comes before `boxes`"),
        ([BOXES, {"scores": {"tensor": "long"}}], "2 boxes do not fit 3 rows"),
    ],
)
def test_wrong_steps_are_named(steps: list[dict[str, Any]], message: str) -> None:
    tensors = {
        "b": np.zeros((2, 4)),
        "s": np.zeros((2, 2)),
        "c": [1.0, 2.0],
        "t": [0.1, 0.2],
        "long": np.zeros((3, 2)),
    }
    with pytest.raises(MetadataError, match=message):
        detect(steps, tensors)


def test_a_tensor_the_model_does_not_have_is_named() -> None:
    with pytest.raises(MetadataError, match="reads the output tensor scores, but the model has logits"):
        Postprocessor(OutputSpec("classification", {"x": "scores"}, ()), Path(), ("logits",))


def test_a_classification_without_top_k_is_an_error() -> None:
    with pytest.raises(MetadataError, match="top-k"):
        rank([], [[1.0]])
