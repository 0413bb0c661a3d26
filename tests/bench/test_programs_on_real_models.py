# SPDX-License-Identifier: Apache-2.0
"""The programs, run as the client runs them, against computations written out here by hand."""

from __future__ import annotations

import contextlib
import io
import json
import signal
import time
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from PIL import Image
from referencing import Registry, Resource

from tests.bench.program_requests import ROOT, component, make_request, run, start

pytestmark = pytest.mark.slow

SUBSET, IMAGES = "coco-val2017-subset", "classification-images"
SSD = "ssd-mobilenet-v1-coco"


def by_hand_ssd_tflite(model: Path, pixels: np.ndarray) -> list[np.ndarray]:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(model), num_threads=1)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], pixels)
    interpreter.invoke()
    return [interpreter.get_tensor(o["index"])[0] for o in interpreter.get_output_details()]


def by_hand_ssd_onnx(model: Path, pixels: np.ndarray) -> list[np.ndarray]:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    return [output[0] for output in session.run(None, {session.get_inputs()[0].name: pixels})]


def reference_coco(truth: Path, detections: list[dict[str, Any]]) -> list[float]:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        reference = COCO(str(truth))
        evaluation = COCOeval(reference, reference.loadRes(detections), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return [float(v) for v in evaluation.stats[:3]]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variant", "file", "by_hand", "published"),
    [
        ("tflite", "coco_ssd_mobilenet_v1_1.0_quant_2018_06_29.tflite", by_hand_ssd_tflite, "ssd_mobilenet_v1.tflite (LiteRT)"),
        ("onnx", "ssd_mobilenet_v1_coco_from_tflite_qdq.onnx", by_hand_ssd_onnx, "ssd qdq onnx (ORT)"),
    ],
)  # fmt: skip
def test_ssd_mobilenet_boxes_and_map_equal_an_independent_computation(
    tmp_path: Path, mirror: Any, variant: str, file: str, by_hand: Any, published: str
) -> None:
    request = make_request(tmp_path, mirror, SSD, SUBSET, variants={"format": variant})
    status, response, _ = run(tmp_path, "object-detection", request)
    assert (status, response["status"]) == (0, "ok")

    truth_file = mirror.path("dev_val2017_ccby_instances.json")
    truth = json.loads(truth_file.read_text(encoding="utf-8"))
    predicted = json.loads((tmp_path / "output" / "predictions.json").read_text(encoding="utf-8"))
    ours = {item["image_id"]: item["detections"] for item in predicted["items"]}
    detections = []
    for entry in truth["images"]:
        image = Image.open(mirror.path(entry["file_name"])).convert("RGB")
        width, height = image.size
        pixels = np.asarray(image.resize((300, 300), Image.Resampling.BILINEAR))[None]
        boxes, classes, scores, count = by_hand(mirror.path(file), pixels)
        expected = []
        for i in range(int(count)):
            top, left, bottom, right = (float(v) for v in boxes[i])
            box = [left * width, top * height, (right - left) * width, (bottom - top) * height]
            expected.append((int(classes[i]) + 1, box, float(scores[i])))
            detections.append(
                {
                    "image_id": entry["id"],
                    "category_id": expected[-1][0],
                    "bbox": box,
                    "score": expected[-1][2],
                }
            )
        found = ours[entry["id"]]
        assert [d["category_id"] for d in found] == [c for c, _, _ in expected]
        np.testing.assert_allclose([d["score"] for d in found], [s for _, _, s in expected], atol=1e-6)
        np.testing.assert_allclose([d["bbox"] for d in found], [b for _, b, _ in expected], atol=1e-3)

    values = [response["metrics"][name]["value"] for name in ("mAP", "AP50", "AP75")]
    np.testing.assert_allclose(values, reference_coco(truth_file, detections), atol=1e-9)
    # The mirror's own numbers, computed elsewhere with Pillow's bilinear resize.
    numbers = json.loads(mirror.path("dev_reference_metrics.json").read_text(encoding="utf-8"))["metrics"][published]
    np.testing.assert_allclose(values, [numbers[k] for k in ("AP", "AP50", "AP75")], atol=1e-6)


def naive_nms(rows: list[tuple[float, int, tuple[float, ...]]], limit: float, most: int) -> list[int]:
    def iou(a: tuple[float, ...], b: tuple[float, ...]) -> float:
        w = min(a[2], b[2]) - max(a[0], b[0])
        h = min(a[3], b[3]) - max(a[1], b[1])
        inner = max(w, 0.0) * max(h, 0.0)
        union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inner
        return inner / union if union > 0 else 0.0

    kept: list[int] = []
    for i in sorted(range(len(rows)), key=lambda k: -rows[k][0]):
        if all(rows[k][1] != rows[i][1] or iou(rows[k][2], rows[i][2]) <= limit for k in kept):
            kept.append(i)
    return kept[:most]


@pytest.mark.slow
def test_fastestdet_equals_an_independent_computation(tmp_path: Path, mirror: Any) -> None:
    import cv2
    import onnxruntime

    request = make_request(tmp_path, mirror, "fastestdet-coco", SUBSET)
    status, response, _ = run(tmp_path, "object-detection", request)
    assert (status, response["status"]) == (0, "ok"), response.get("error")

    truth_file = mirror.path("dev_val2017_ccby_instances.json")
    truth = json.loads(truth_file.read_text(encoding="utf-8"))
    categories = [c["id"] for c in json.loads(mirror.path("dev_val2017_ccby_instances.json").read_text())["categories"]]
    session = onnxruntime.InferenceSession(str(mirror.path("FastestDet.onnx")), providers=["CPUExecutionProvider"])
    detections = []
    for entry in truth["images"]:
        rgb = np.asarray(Image.open(mirror.path(entry["file_name"])).convert("RGB"))
        height, width = rgb.shape[:2]
        small = cv2.resize(rgb, (352, 352), interpolation=cv2.INTER_AREA)
        tensor = (small[:, :, ::-1].astype(np.float32) * np.float32(1 / 255)).transpose(2, 0, 1)[None]
        raw = session.run(None, {"input": np.ascontiguousarray(tensor)})[0][0]
        rows: list[tuple[float, int, tuple[float, ...]]] = []
        for line in raw:
            cx, cy, w, h, objectness = (float(v) for v in line[:5])
            for k, score in enumerate((line[5:] * line[4]).tolist()):
                if score >= 0.01:
                    box = ((cx - w / 2) * width / 352, (cy - h / 2) * height / 352)
                    rows.append((score, k, (*box, box[0] + w * width / 352, box[1] + h * height / 352)))
            assert 0 <= objectness <= 1.001
        for i in naive_nms(rows, 0.45, 100):
            score, k, (x1, y1, x2, y2) = rows[i]
            detections.append(
                {
                    "image_id": entry["id"],
                    "category_id": categories[k],
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "score": score,
                }
            )
    values = [response["metrics"][name]["value"] for name in ("mAP", "AP50", "AP75")]
    np.testing.assert_allclose(values, reference_coco(truth_file, detections), atol=1e-6)
    # The mirror's own numbers, computed elsewhere with OpenCV's INTER_AREA.
    published = json.loads(mirror.path("dev_reference_metrics.json").read_text(encoding="utf-8"))["metrics"]
    np.testing.assert_allclose(values, [published["FastestDet(ort-ext)"][k] for k in ("AP", "AP50", "AP75")], atol=1e-6)


def test_detections_carry_label_names_and_the_known_cats_and_dogs(tmp_path: Path, mirror: Any) -> None:
    request = make_request(tmp_path, mirror, SSD, SUBSET, action="run", variants={"format": "tflite"})
    folder = tmp_path / "data" / "animals"
    folder.mkdir()
    (folder / "cats_and_dogs.jpg").symlink_to(mirror.path("cats_and_dogs.jpg"))
    truth = json.loads((tmp_path / "data" / "instances.json").read_text(encoding="utf-8"))
    truth.update(images=[{"id": 1, "file_name": "cats_and_dogs.jpg"}], annotations=[])
    (tmp_path / "data" / "animals.json").write_text(json.dumps(truth), encoding="utf-8")
    request["dataset"]["annotations"] = {"format": "coco", "file": "animals.json", "images": "animals"}
    status, response, _ = run(tmp_path, "object-detection", request)
    assert status == 0, response.get("error")
    items = json.loads((tmp_path / "output" / response["predictions"]).read_text(encoding="utf-8"))["items"]
    best = [(d["label"], d["score"]) for d in items[0]["detections"][:5]]
    assert [label for label, _ in best] == ["cat", "cat", "cat", "dog", "dog"]
    # The published scores come from another resize, so they agree to a few hundredths.
    np.testing.assert_allclose([score for _, score in best], [0.668, 0.621, 0.539, 0.488, 0.477], atol=0.08)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "variants"),
    [
        ("mobilenet-v1-classification", {"precision": "int8"}),
        ("mobilenet-v1-classification", {"precision": "fp32"}),
        ("mobilenet-v2-classification", {"format": "tflite"}),
        ("mobilenet-v2-classification", {"format": "onnx"}),
        ("mobilenet-v1-128-classification", {}),
    ],
)
def test_mobilenets_recognise_what_they_are_known_to(
    tmp_path: Path, mirror: Any, model: str, variants: dict[str, str]
) -> None:
    request = make_request(tmp_path, mirror, model, IMAGES, variants=variants)
    status, response, _ = run(tmp_path, "image-classification", request)
    assert status == 0, response.get("error")
    items = json.loads((tmp_path / "output" / "predictions.json").read_text(encoding="utf-8"))["items"]
    best = {item["image"]: item["classes"][0] for item in items}
    known = {
        "mobilenet-v1-classification": ("burger.jpg", "cheeseburger"),
        "mobilenet-v2-classification": ("orange.png", "orange"),
        "mobilenet-v1-128-classification": ("cat.bmp", "Egyptian cat"),
    }
    image, label = known[model]
    assert best[image]["label"] == label
    if model == "mobilenet-v1-classification":
        assert best[image]["score"] == pytest.approx(0.969 if variants["precision"] == "int8" else 0.988, abs=0.02)
    hits = sum(item["classes"][0]["class_index"] == item["truth"] for item in items)
    assert response["metrics"]["top1"]["value"] == pytest.approx(hits / 3)


def test_a_wrong_normalisation_calls_the_orange_a_lemon(tmp_path: Path, mirror: Any) -> None:
    request = make_request(tmp_path, mirror, "mobilenet-v2-classification", IMAGES, variants={"format": "onnx"})
    steps = request["model"]["manifest"]["inputs"][0]["steps"]
    request["model"]["manifest"]["inputs"][0]["steps"] = [s for s in steps if "normalize" not in s]
    status, _, _ = run(tmp_path, "image-classification", request)
    items = json.loads((tmp_path / "output" / "predictions.json").read_text(encoding="utf-8"))["items"]
    assert (status, items[0]["classes"][0]["label"]) == (0, "lemon")


@pytest.fixture(scope="module")
def benchmark(
    tmp_path_factory: pytest.TempPathFactory, mirror: Any
) -> tuple[dict[str, Any], list[dict[str, Any]], Path]:
    tmp = tmp_path_factory.mktemp("benchmark")
    options = {"max_seconds": 3, "warmup_seconds": 0.2, "min_samples": 150, "max_samples": 400}
    request = make_request(
        tmp,
        mirror,
        "mobilenet-v2-classification",
        IMAGES,
        action="benchmark",
        variants={"format": "tflite"},
        options=options,
    )
    status, response, lines = run(tmp, "image-classification", request)
    assert status == 0, response.get("error")
    return response, lines, tmp


def test_benchmark_response_metrics_follow_the_result_schema(benchmark: Any) -> None:
    response = benchmark[0]
    schemas = [json.loads(p.read_text(encoding="utf-8")) for p in (ROOT / "schemas").glob("*.json")]
    registry: Any = Registry().with_resources([(s["$id"], Resource.from_contents(s)) for s in schemas])
    properties = next(s for s in schemas if s["title"] == "result")["properties"]
    for part in ("metrics", "samples", "processing", "warnings"):
        jsonschema.Draft202012Validator(properties[part], registry=registry).validate(response[part])
    declared = component("components/program/image-classification")["metrics"]
    # A meter of the whole machine is read from outside, by the client.
    assert set(response["metrics"]) == set(declared) - {"energy_machine", "power_machine"}
    for name, metric in response["metrics"].items():
        assert (metric["unit"], metric["direction"]) == (declared[name]["unit"], declared[name]["direction"])


def test_benchmark_statistics_come_from_the_raw_samples(benchmark: Any) -> None:
    response = benchmark[0]
    values = np.array(response["samples"]["latency"]["values"])
    metrics = response["metrics"]
    assert 150 <= values.size <= 400
    assert metrics["latency_p50"]["value"] == pytest.approx(np.percentile(values, 50), rel=1e-12)
    assert metrics["latency_p90"]["value"] == pytest.approx(np.percentile(values, 90), rel=1e-12)
    assert metrics["throughput"]["value"] == pytest.approx(values.size / values.sum(), rel=1e-12)
    low, high = metrics["latency_p50"]["interval"]
    assert low <= metrics["latency_p50"]["value"] <= high
    assert metrics["latency_p99"]["value"] is None
    assert "1000" in metrics["latency_p99"]["reason"]
    assert response["samples"]["warmup"]["values"]
    assert not (benchmark[2] / "output" / "samples.partial.json").exists()
    assert metrics["peak_rss"]["value"] > 20e6
    assert metrics["model_size"]["value"] == 3577760
    assert response["runtime"]["name"] == "ai-edge-litert"
    assert response["processing"]["decode"]["implementation"] == "Pillow"


def test_benchmark_records_what_the_phase_took(benchmark: Any) -> None:
    response = benchmark[0]
    values, metrics = np.array(response["samples"]["latency"]["values"]), response["metrics"]
    assert metrics["runtime_size"]["value"] > 5e6
    # On one thread, all queries together cannot have taken more processor time than the phase was long.
    phase = response["phase"]
    assert phase["queries"] == values.size
    assert metrics["cpu_time"]["value"] * values.size <= 1.05 * (phase["end"] - phase["begin"])
    assert 0 < metrics["harness_cost"]["value"] < np.median(values)
    for name, metric in metrics.items():
        assert metric["value"] is not None or metric["reason"], name


def test_benchmark_reports_progress_as_json_lines(benchmark: Any) -> None:
    lines = benchmark[1]
    phases = [line["phase"] for line in lines]
    assert phases.index("measure") < phases.index("accuracy")
    assert all(line["progress"] is None or 0 <= line["progress"] <= 1 for line in lines)
    assert lines[-1] == {"progress": 1.0, "phase": "accuracy", "done": 3, "total": 3}


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_kill_during_measurement_leaves_the_samples_taken_so_far(
    tmp_path: Path, mirror: Any, how: signal.Signals
) -> None:
    request = make_request(
        tmp_path, mirror, "mobilenet-v2-classification", IMAGES, action="benchmark", variants={"format": "tflite"},
        options={"max_seconds": 60, "min_samples": 99999, "warmup_seconds": 0},
    )  # fmt: skip
    process = start(tmp_path, "image-classification", request)
    partial = tmp_path / "output" / "samples.partial.json"
    deadline = time.monotonic() + 60
    while not partial.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(how)
    process.communicate()
    values = json.loads(partial.read_text(encoding="utf-8"))["samples"]["latency"]["values"]
    assert len(values) > 10
    assert all(value > 0 for value in values)
    answer = tmp_path / "output" / "response.json"
    if how == signal.SIGKILL:
        assert not answer.exists()
        return
    response = json.loads(answer.read_text(encoding="utf-8"))
    assert (process.returncode, response["status"]) == (130, "failed")
    assert response["error"].startswith("interrupted")


def test_a_model_with_an_unknown_operator_fails_with_its_name(tmp_path: Path, mirror: Any) -> None:
    request = make_request(tmp_path, mirror, SSD, SUBSET, variants={"format": "tflite"})
    (tmp_path / "model" / "bad.tflite").symlink_to(mirror.path("model_invoking_error.tflite"))
    request["model"]["file"] = "bad.tflite"
    status, response, _ = run(tmp_path, "object-detection", request)
    assert (status, response["status"]) == (1, "failed")
    assert "unresolved custom op: fake-op-double" in response["error"]
    assert "bad.tflite" in response["error"]


@pytest.mark.parametrize(
    ("variant", "name"),
    [("onnx", "ssd_mobilenet_v1_coco_from_tflite_qdq.onnx"), ("tflite", "coco_ssd_mobilenet_v1_1.0_quant_2018_06_29.tflite")],
)  # fmt: skip
def test_a_truncated_model_fails_cleanly(tmp_path: Path, mirror: Any, variant: str, name: str) -> None:
    request = make_request(tmp_path, mirror, SSD, SUBSET, variants={"format": variant})
    (tmp_path / "model" / "cut").write_bytes(mirror.path(name).read_bytes()[:5000])
    request["model"]["file"] = "cut"
    status, response, _ = run(tmp_path, "object-detection", request)
    assert (status, response["status"]) == (1, "failed")
    assert "refuses cut" in response["error"]


def test_a_damaged_image_fails_with_its_name(tmp_path: Path, mirror: Any) -> None:
    request = make_request(tmp_path, mirror, SSD, SUBSET, variants={"format": "tflite"})
    victim = tmp_path / "data" / "images" / "000000006818.jpg"
    data = victim.read_bytes()[:3000]
    victim.unlink()
    victim.write_bytes(data)
    status, response, _ = run(tmp_path, "object-detection", request)
    assert (status, response["status"]) == (1, "failed")
    assert "000000006818.jpg" in response["error"]


def test_a_manifest_with_the_wrong_element_type_is_refused_before_measuring(tmp_path: Path, mirror: Any) -> None:
    request = make_request(tmp_path, mirror, SSD, SUBSET, variants={"format": "tflite"})
    request["model"]["manifest"]["inputs"][0]["dtype"] = "float32"
    status, response, _ = run(tmp_path, "object-detection", request)
    assert (status, response["status"]) == (1, "failed")
    assert "uint8 in the model and float32 in the manifest" in response["error"]


def test_the_harness_brings_no_folder_onto_the_import_path(tmp_path: Path, mirror: Any) -> None:
    """A module lying beside the harness must not shadow one of the environment."""
    harness = tmp_path / "site" / "codereef"
    harness.parent.mkdir()
    harness.symlink_to(ROOT / "client" / "codereef")
    (tmp_path / "site" / "PIL.py").write_text("raise RuntimeError('shadowed')\n", encoding="utf-8")
    request = make_request(tmp_path, mirror, "mobilenet-v1-128-classification", IMAGES)
    request["harness"] = str(harness)
    status, response, _ = run(tmp_path, "image-classification", request)
    assert status == 0, response.get("error")
