# SPDX-License-Identifier: Apache-2.0
"""Real models on real images, against a computation that shares nothing with ours.

The files come from the mirror beside the repository (see tests/conftest.py); no other network is used for
them. Expected figures: the mirror's own reference metrics, and an interpreter run by hand in this file.
"""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.conftest import Mirror
from tests.e2e.conftest import Cr

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def classic(tmp_path_factory: pytest.TempPathFactory, mirror: Mirror) -> Cr:
    """A client with both classic solutions initialised from the mirror."""
    mirror.path("ssd_mobilenet_v1.tflite")
    base = tmp_path_factory.mktemp("classic")
    (base / "work").mkdir()
    client = Cr(base / "home", base / "work", {"CR_MIRROR": str(mirror.folder)})
    client("init", "ssd-mobilenet-coco", "--all-variants")
    client("init", "mobilenet-classification", "--all-variants")
    return client


def coco_files(mirror: Mirror) -> tuple[Path, dict[int, tuple[Path, int, int]]]:
    annotations = mirror.path("dev_val2017_ccby_instances.json")
    document = json.loads(annotations.read_text())
    return annotations, {i["id"]: (mirror.path(i["file_name"]), i["width"], i["height"]) for i in document["images"]}


def detect_by_hand(mirror: Mirror) -> list[dict[str, Any]]:
    """Run the TFLite interpreter directly: Pillow's bilinear resize, class + 1, boxes times the image's size."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(mirror.path("ssd_mobilenet_v1.tflite")), num_threads=1)
    interpreter.allocate_tensors()
    source = interpreter.get_input_details()[0]["index"]
    outputs = [d["index"] for d in interpreter.get_output_details()]
    found = []
    for image_id, (path, width, height) in coco_files(mirror)[1].items():
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB").resize((300, 300), Image.Resampling.BILINEAR))
        interpreter.set_tensor(source, pixels[None])
        interpreter.invoke()
        boxes, classes, scores, count = (interpreter.get_tensor(i) for i in outputs)
        for k in range(int(count[0])):
            top, left, bottom, right = boxes[0][k].tolist()
            found.append(
                {
                    "image_id": image_id,
                    "category_id": int(classes[0][k]) + 1,
                    "score": float(scores[0][k]),
                    "bbox": [left * width, top * height, (right - left) * width, (bottom - top) * height],
                }
            )
    return found


def evaluate(annotations: Path, detections: list[dict[str, Any]]) -> float:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(annotations))
        evaluator = COCOeval(truth, truth.loadRes(detections), "bbox")
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return float(evaluator.stats[0])


def test_ssd_mobilenet_has_the_reference_accuracy_on_both_runtimes(
    classic: Cr, mirror: Mirror, no_network: tuple[str, ...]
) -> None:
    done = classic("validate", "ssd-mobilenet-coco", "--json", prefix=no_network)
    found = {r["configuration"]["id"]: r["metrics"]["mAP"]["value"] for r in json.loads(done.stdout)["results"]}
    reference = json.loads(mirror.path("dev_reference_metrics.json").read_text())["metrics"]
    assert found["format=tflite"] == pytest.approx(reference["ssd_mobilenet_v1.tflite (LiteRT)"]["AP"], abs=1e-3)
    assert found["format=onnx"] == pytest.approx(reference["ssd qdq onnx (ORT)"]["AP"], abs=1e-3)
    by_hand = evaluate(coco_files(mirror)[0], detect_by_hand(mirror))
    assert found["format=tflite"] == pytest.approx(by_hand, abs=1e-6)


def test_ssd_mobilenet_gives_the_boxes_of_the_interpreter_run_by_hand(classic: Cr, mirror: Mirror) -> None:
    shown = classic.json("run", "ssd-mobilenet-coco", "-v", "format=tflite", "-o", "limit=20")["configurations"][0]
    expected: dict[int, list[dict[str, Any]]] = {}
    for detection in detect_by_hand(mirror):
        expected.setdefault(detection["image_id"], []).append(detection)
    items = shown["predictions"]["items"]
    assert len(items) == 20
    compared = 0
    for item in items:
        wanted = sorted((d["score"], d["category_id"], d["bbox"]) for d in expected[item["image_id"]])
        found = sorted((d["score"], d["category_id"], d["bbox"]) for d in item["detections"])
        # `run` may leave out what no person would look at, never anything else.
        wanted = wanted[len(wanted) - len(found) :]
        for (score, category, box), (other_score, other_category, other_box) in zip(found, wanted, strict=True):
            assert (category, pytest.approx(score, abs=1e-6)) == (other_category, other_score)
            assert box == pytest.approx(other_box, abs=1e-3)
            compared += 1
    assert compared >= 20


def test_mobilenet_names_what_is_in_the_pictures(classic: Cr, no_network: tuple[str, ...]) -> None:
    results = json.loads(classic("validate", "mobilenet-classification", "--json", prefix=no_network).stdout)["results"]
    assert {r["runtime"]["name"] for r in results} == {"onnxruntime", "ai-edge-litert"}
    assert all(r["metrics"]["top1"]["value"] == 1.0 for r in results)
    shown = classic("run", "mobilenet-classification", "-v", "format=onnx").stdout
    assert "orange.png: orange" in shown


def test_ssd_mobilenet_benchmarks_without_network(classic: Cr, no_network: tuple[str, ...]) -> None:
    done = classic("benchmark", "ssd-mobilenet-coco", "-o", "max_seconds=1", "--json", prefix=no_network)
    for result in json.loads(done.stdout)["results"]:
        assert result["status"] == "ok"
        assert result["metrics"]["latency_p50"]["value"] > 0 and result["metrics"]["mAP"]["value"] > 0.2


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory, mirror: Mirror) -> Cr:
    """A client with the small solutions of tensors initialised from the mirror."""
    mirror.path("kws01.tar.gz")
    base = tmp_path_factory.mktemp("tiny")
    (base / "work").mkdir()
    client = Cr(base / "home", base / "work", {"CR_MIRROR": str(mirror.folder)})
    for solution in ("mlperf-tiny-kws", "hello-world-sine", "mlperf-tiny-vww"):
        client("init", solution, "--all-variants")
    return client


def test_keyword_spotting_meets_its_claims(tiny: Cr, no_network: tuple[str, ...]) -> None:
    [result] = json.loads(tiny("validate", "mlperf-tiny-kws", "--json", prefix=no_network).stdout)["results"]
    assert result["metrics"]["top1"]["value"] == 0.902 and result["metrics"]["top1"]["samples"] == 1000
    assert [(c["claimed"], c["verdict"]) for c in result["claims"]] == [(0.902, "met"), (0.9, "met")]
    assert [s["step"] for s in result["stages"]] == ["load", "reshape", "inference", "dequantize", "top-k"]
    shown = tiny("show", "latest").stdout
    assert "top1 0.902 on dataset:speech-commands-kws01" in shown and "1 input load" in shown
    assert "tst_000000_Stop_7.bin: stop" in tiny("run", "mlperf-tiny-kws").stdout


def test_claims_of_more_data_than_evaluated_are_not_checkable(tiny: Cr) -> None:
    done = tiny("validate", "mlperf-tiny-kws", "-o", "accuracy_limit=100", "--json")
    [result] = json.loads(done.stdout)["results"]
    assert {c["verdict"] for c in result["claims"]} == {"not checkable"}
    assert result["claims"][0]["reason"] == "100 of 1,000 items were evaluated"


def test_a_claim_that_is_not_met_ends_with_13(tiny: Cr, mirror: Mirror, tmp_path: Path) -> None:
    folder = tmp_path / "components" / "model" / "boastful-sine"
    folder.mkdir(parents=True)
    source = Path(__file__).resolve().parents[2] / "components" / "model" / "hello-world-sine" / "cr.json"
    model = json.loads(source.read_text())
    model.update(name="boastful-sine")
    model["claims"][0].update(value=0.01)
    (folder / "cr.json").write_text(json.dumps(model))
    solution = json.loads((source.parents[3] / "solutions" / "hello-world-sine" / "cr.json").read_text())
    solution.update(name="boastful-sine")
    solution["deps"]["model"]["needs"] = "model:boastful-sine"
    (tmp_path / "solutions" / "boastful-sine").mkdir(parents=True)
    (tmp_path / "solutions" / "boastful-sine" / "cr.json").write_text(json.dumps(solution))
    tiny("repo", "add", str(tmp_path), "--name", "boast", "--trust")
    tiny("init", "boastful-sine")
    done = tiny("validate", "boastful-sine", check=False)
    assert done.returncode == 13, done.stderr
    assert "not met" in done.stdout and "1 of 1 claims is not met" in done.stderr
    benchmark = tiny("benchmark", "boastful-sine", "-o", "max_seconds=0.2", "-o", "warmup_seconds=0", "--json")
    [result] = json.loads(benchmark.stdout)["results"]
    assert result["claims"][0]["verdict"] == "not met"  # recorded, and no reason for a benchmark to fail


def test_a_sine_and_wake_words_are_measured_without_network(tiny: Cr, no_network: tuple[str, ...]) -> None:
    done = tiny("validate", "hello-world-sine", "--json", prefix=no_network)
    worst = {r["precision"]: r["metrics"]["max_error"]["value"] for r in json.loads(done.stdout)["results"]}
    assert worst == {"fp32": pytest.approx(0.0386, abs=1e-4), "int8": pytest.approx(0.1007, abs=1e-4)}
    [result] = json.loads(tiny("validate", "mlperf-tiny-vww", "--json", prefix=no_network).stdout)["results"]
    assert result["metrics"]["top1"]["value"] == 1.0
