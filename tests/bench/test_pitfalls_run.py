# SPDX-License-Identifier: Apache-2.0
"""The action `pitfalls` on real models, against runtimes run by hand on arrays made by hand."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.bench.program_requests import make_request, run, start
from tests.bench.test_programs_on_real_models import by_hand_ssd_tflite, reference_coco

pytestmark = pytest.mark.slow
SSD, V2 = "ssd-mobilenet-v1-coco", "mobilenet-v2-classification"
MEAN, STD = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)


def measured(
    tmp: Path, mirror: Any, model: str, data: str, program: str, **more: Any
) -> tuple[dict[str, Any], dict[str, Any], list[dict[str, Any]]]:
    """Run the program; what it found, its mistakes by name, and its progress."""
    request = make_request(tmp, mirror, model, data, action="pitfalls", **more)
    status, response, lines = run(tmp, program, request)
    assert (status, response["status"]) == (0, "ok"), response
    found = json.loads((tmp / "output" / "pitfalls.json").read_text())
    return found, {row["name"]: row for row in found["pitfalls"]}, lines


@pytest.fixture(scope="module")
def ssd(tmp_path_factory: pytest.TempPathFactory, mirror: Any) -> Any:
    mirror.path("ssd_mobilenet_v1.tflite")
    tmp = tmp_path_factory.mktemp("ssd")
    return tmp, measured(tmp, mirror, SSD, "coco-val2017-subset", "object-detection", variants={"format": "tflite"}, options={"accuracy_limit": 20})  # fmt: skip


def coco_by_hand(folder: Path, wrong: Any) -> float:
    """mAP of the SSD with pixels, boxes and classes as `wrong` makes them: (pixels, boxes, classes) of each image."""
    truth = json.loads((folder / "data" / "instances.json").read_text())
    detections = []
    for image in truth["images"]:
        with Image.open(folder / "data" / "images" / image["file_name"]) as opened:
            pixels = np.asarray(opened.convert("RGB").resize((300, 300), Image.Resampling.BILINEAR))
        pixels = wrong("pixels", pixels)
        model = next((folder / "model").glob("*.tflite"))
        boxes, classes, scores, count = by_hand_ssd_tflite(model, np.ascontiguousarray(pixels)[None])
        boxes, classes = wrong("boxes", boxes), wrong("classes", classes)
        for k in range(int(count)):
            top, left, bottom, right = (float(side) for side in boxes[k])
            width, height = image["width"], image["height"]
            box = [left * width, top * height, (right - left) * width, (bottom - top) * height]
            detections.append(
                {"image_id": image["id"], "category_id": int(classes[k]) + 1, "score": float(scores[k]), "bbox": box}
            )
    return reference_coco(folder / "data" / "instances.json", detections)[0]


@pytest.mark.parametrize(
    ("name", "part", "made"),
    [
        ("bgr-for-rgb", "pixels", lambda a: a[:, :, ::-1]),
        ("nchw-for-nhwc", "pixels", lambda a: a.transpose(2, 0, 1).copy().reshape(a.shape)),
        ("rows-for-columns", "pixels", lambda a: a.transpose(1, 0, 2)),
        ("box-order", "boxes", lambda b: b[:, [1, 0, 3, 2]]),
        ("label-offset", "classes", lambda c: c - 1),
    ],
)
def test_a_mistake_made_by_hand_costs_what_is_said(ssd: Any, name: str, part: str, made: Any) -> None:
    tmp, (_, rows, _) = ssd
    by_hand = coco_by_hand(tmp, lambda what, array: made(array) if what == part else array)
    assert rows[name]["metrics"]["mAP"]["value"] == pytest.approx(by_hand, abs=1e-6)


def test_the_right_pipeline_is_what_validate_measures(ssd: Any, mirror: Any, tmp_path: Path) -> None:
    _, (found, rows, lines) = ssd
    request = make_request(tmp_path, mirror, SSD, "coco-val2017-subset", variants={"format": "tflite"})
    _, response, _ = run(tmp_path, "object-detection", request)
    for name in ("mAP", "AP50", "AP75"):
        assert found["metrics"][name] == response["metrics"][name]
        for row in rows.values():
            value = row["metrics"][name]["value"] - found["metrics"][name]["value"]
            assert row["change"][name]["value"] == pytest.approx(value, abs=1e-12)
    assert found["metric"] == "mAP" and (found["images"], found["of"]) == (20, 20)
    assert {"load", "pitfalls", "scoring"} <= {line["phase"] for line in lines}


def test_the_worst_comes_first_and_says_how_far_it_is_off(ssd: Any) -> None:
    _, (found, rows, _) = ssd
    moved = [row["change"]["mAP"]["value"] for row in found["pitfalls"]]
    assert moved == sorted(moved) and moved[0] < -0.2
    # Agreement shows what accuracy on twenty images cannot.
    assert rows["nchw-for-nhwc"]["agreement"]["value"] < 0.1 < 0.5 < rows["resize-nearest"]["agreement"]["value"] < 0.95
    assert rows["resize-bicubic"]["tensors"]["value"] < 0.1 < rows["bgr-for-rgb"]["tensors"]["value"]
    assert rows["box-order"]["tensors"] is None and rows["box-order"]["side"] == "output"
    assert rows["scaled-decoder"]["same_tensors"] == 19, "one image alone is twice as large as the input"


def onnx_classes(model: Path, tensor: np.ndarray) -> int:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    scores = session.run(None, {session.get_inputs()[0].name: tensor.astype(np.float32)[None]})[0]
    return int(np.argmax(scores)) + 1  # 1,000 classes; truth counts background


def wrong_tensors(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB").resize((224, 224), Image.Resampling.BILINEAR)).astype(np.float32)
    right = ((pixels / 255 - MEAN) / STD).transpose(2, 0, 1)
    yield "", right
    yield "bgr-for-rgb", ((pixels[:, :, ::-1] / 255 - MEAN) / STD).transpose(2, 0, 1)
    yield "range-0-255", pixels.transpose(2, 0, 1)
    yield "range-0-1", (pixels / 255).transpose(2, 0, 1)
    yield "range-minus-1-1", (pixels / 127.5 - 1).transpose(2, 0, 1)
    yield "nhwc-for-nchw", right.transpose(1, 2, 0).copy().reshape(right.shape)


def test_a_wrong_normalisation_takes_an_orange_for_something_else(mirror: Any, tmp_path: Path) -> None:
    found, rows, _ = measured(
        tmp_path, mirror, V2, "classification-images", "image-classification", variants={"format": "onnx"}
    )
    assert found["metrics"]["top1"]["value"] == 1.0
    labels = (tmp_path / "model" / "labels.txt").read_text().splitlines()
    model = next((tmp_path / "model").glob("*.onnx"))
    said: dict[str, list[int]] = {}
    for path in sorted((tmp_path / "data" / "images").iterdir()):
        for name, tensor in wrong_tensors(path):
            said.setdefault(name, []).append(onnx_classes(model, tensor))
            if path.name == "orange.png" and name in ("", "range-0-1"):
                assert labels[said[name][-1]] == ("lemon" if name else "orange")
    truths = said.pop("")
    for name, classes in said.items():
        share = sum(a == b for a, b in zip(classes, truths, strict=True)) / 3
        assert rows[name]["metrics"]["top1"]["value"] == pytest.approx(share), name
        assert rows[name]["agreement"]["value"] == pytest.approx(share), name
    assert rows["scaled-decoder"]["change"]["top1"]["interval"] is None, "a PNG and small JPEGs have no such decoder"


def test_images_are_as_many_as_asked_for(mirror: Any, tmp_path: Path) -> None:
    found, _, _ = measured(
        tmp_path, mirror, V2, "classification-images", "image-classification",
        variants={"format": "tflite"}, options={"accuracy_limit": 2},
    )  # fmt: skip
    assert (found["images"], found["of"]) == (2, 3)


def test_a_mistake_that_cannot_be_made_is_named_and_the_others_go_on(mirror: Any, tmp_path: Path) -> None:
    request = make_request(
        tmp_path, mirror, V2, "classification-images", action="pitfalls", variants={"format": "tflite"}
    )
    # Resized on floats, for which Pillow's box filter is none of our steps' business.
    request["model"]["manifest"]["inputs"][0]["steps"].insert(1, {"cast": {"dtype": "int16"}})
    request["model"]["manifest"]["inputs"][0]["steps"][2] = {"resize": {"to": [224, 224], "method": "bilinear"}}
    request["model"]["manifest"]["inputs"][0]["steps"].insert(3, {"cast": {"dtype": "uint8"}})
    status, _, _ = run(tmp_path, "image-classification", request)
    assert status == 0
    rows = json.loads((tmp_path / "output" / "pitfalls.json").read_text())["pitfalls"]
    failed = {row["name"]: row["error"] for row in rows if "error" in row}
    assert {"resize-bilinear-antialias", "resize-bicubic-antialias"} <= set(failed)
    assert "int16" in failed["resize-bilinear-antialias"]
    assert "error" not in rows[0] and "error" in rows[-1], "what failed comes last"


def test_an_interrupted_program_says_so_and_leaves_no_pitfalls(mirror: Any, tmp_path: Path) -> None:
    request = make_request(
        tmp_path, mirror, SSD, "coco-val2017-subset", action="pitfalls", variants={"format": "tflite"}
    )
    process = start(tmp_path, "object-detection", request)
    assert process.stdout is not None
    while '"pitfalls"' not in process.stdout.readline():
        pass
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert not (tmp_path / "output" / "pitfalls.json").exists()
