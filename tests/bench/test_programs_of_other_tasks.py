# SPDX-License-Identifier: Apache-2.0
"""Keyword spotting and regression on real models; segmentation and anomaly detection on small ones made here.

The mirror has no segmentation model and no anomaly detector, so their programs run on ONNX graphs whose right
answer can be written down.
"""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.bench.program_requests import ROOT, component, make_request, run

pytestmark = pytest.mark.slow

PROGRAMS = sorted(path.parent.name for path in (ROOT / "components" / "program").glob("*/main.py"))


def test_programs_differ_in_their_task_only() -> None:
    """The entry is written out in each folder because a program is installed alone; nothing else may differ."""
    texts = {
        name: (ROOT / "components" / "program" / name / "main.py").read_text(encoding="utf-8").replace(name, "TASK")
        for name in PROGRAMS
    }
    assert len(texts) >= 6 and len(set(texts.values())) == 1
    assert all(component(f"components/program/{name}")["task"] == name for name in PROGRAMS)


def keywords(tmp: Path, mirror: Any, **options: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    request = make_request(tmp, mirror, "mlperf-tiny-kws", "speech-commands-kws01", options=options)
    with tarfile.open(mirror.path("kws01.tar.gz")) as archive:
        for member in archive:
            target = tmp / "data" / member.name
            target.parent.mkdir(exist_ok=True)
            content = archive.extractfile(member) if member.isfile() else None
            if content is not None:
                target.write_bytes(content.read())
    status, response, _ = run(tmp, "keyword-spotting", request)
    assert status == 0, response.get("error")
    return response, json.loads((tmp / "output" / "predictions.json").read_text())["items"]


def test_keyword_spotting_gets_902_of_1000_right_and_agrees_with_the_interpreter_run_by_hand(
    tmp_path: Path, mirror: Any
) -> None:
    from ai_edge_litert.interpreter import Interpreter

    response, items = keywords(tmp_path, mirror)
    assert response["metrics"]["top1"]["value"] == pytest.approx(0.902, abs=1e-12)
    assert response["metrics"]["top1"]["samples"] == 1000
    interpreter = Interpreter(model_path=str(mirror.path("kws_ref_model.tflite")), num_threads=1)
    interpreter.allocate_tensors()
    source, target = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]
    right = 0
    for item in items:
        vector = np.frombuffer((tmp_path / "data" / "kws01" / item["image"]).read_bytes(), dtype=np.int8)
        interpreter.set_tensor(source, vector.reshape(1, 49, 10, 1))
        interpreter.invoke()
        best = int(interpreter.get_tensor(target)[0].argmax())
        assert item["classes"][0]["class_index"] == best
        right += best == int(item["image"].split("_")[-1].split(".")[0])
    assert right == 902
    assert items[0]["classes"][0]["label"] == "stop"


@pytest.mark.parametrize(("precision", "worst"), [("fp32", 0.0386), ("int8", 0.1007)])
def test_the_sine_is_learnt_as_well_as_it_is_known(tmp_path: Path, mirror: Any, precision: str, worst: float) -> None:
    request = make_request(tmp_path, mirror, "hello-world-sine", "sine-wave", variants={"precision": precision})
    status, response, _ = run(tmp_path, "regression", request)
    assert status == 0, response.get("error")
    items = json.loads((tmp_path / "output" / "predictions.json").read_text())["items"]
    errors = np.array([item["values"][0] - np.sin(number / 10) for number, item in enumerate(items)])
    metrics = {name: response["metrics"][name]["value"] for name in ("max_error", "MAE", "RMSE")}
    assert metrics["max_error"] == pytest.approx(worst, abs=1e-4)
    assert metrics["max_error"] == pytest.approx(np.abs(errors).max(), abs=1e-6)
    assert metrics["MAE"] == pytest.approx(np.abs(errors).mean(), abs=1e-6)
    assert metrics["RMSE"] == pytest.approx(np.sqrt((errors**2).mean()), abs=1e-6)


def test_visual_wake_words_sees_the_people_it_is_known_to(tmp_path: Path, mirror: Any) -> None:
    request = make_request(tmp_path, mirror, "mlperf-tiny-vww", "visual-wake-words-subset")
    status, response, _ = run(tmp_path, "image-classification", request)
    assert status == 0, response.get("error")
    lines = [line.split(",") for line in mirror.path("y_labels.csv").read_text().split()]
    rows = {file.replace(".bin", ".jpg"): int(truth) for file, _, truth in lines}
    items = json.loads((tmp_path / "output" / "predictions.json").read_text())["items"]
    assert len(items) == 18 and all(item["truth"] == rows[item["image"]] for item in items)
    assert response["metrics"]["top1"]["value"] == 1.0


def graph(path: Path, nodes: list[Any], given: list[Any], made: list[Any], constants: list[Any]) -> None:
    import onnx
    from onnx import helper

    model = helper.make_model(
        helper.make_graph(nodes, "made", given, made, constants), opset_imports=[helper.make_opsetid("", 13)]
    )
    model.ir_version = 8
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def request_for(tmp: Path, inputs: Any, outputs: Any, annotations: Any) -> dict[str, Any]:
    (tmp / "output").mkdir()
    return {
        "format": "codereef-request/1",
        "action": "validate",
        "harness": str(ROOT / "client" / "codereef"),
        "model": {
            "ref": "model:made@1.0.0", "dir": str(tmp / "model"), "file": "made.onnx", "format": "onnx",
            "manifest": {"inputs": inputs, "outputs": outputs},
        },
        "dataset": {"ref": "dataset:made@1.0.0", "dir": str(tmp / "data"), "annotations": annotations},
        "runtime": {"threads": 1},
        "options": {},
        "output": str(tmp / "output"),
    }  # fmt: skip


@pytest.mark.parametrize("resize", ["scores", "labels"])
def test_segmentation_by_colour_is_scored_like_scikit_learn(tmp_path: Path, resize: str) -> None:
    """A 1x1 convolution whose three scores are red, green and blue: the class of a pixel is its strongest colour."""
    from onnx import TensorProto, helper, numpy_helper
    from sklearn.metrics import jaccard_score

    for folder in ("model", "data", "data/images", "data/masks"):
        (tmp_path / folder).mkdir()
    weight = numpy_helper.from_array(np.eye(3, dtype=np.float32)[:, :, None, None], "w")
    graph(
        tmp_path / "model" / "made.onnx",
        [helper.make_node("Conv", ["x", "w"], ["y"])],
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 64, 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3, 64, 64])],
        [weight],
    )
    generator = np.random.default_rng(12)
    truths, expected = [], []
    for number in range(12):
        blocks = generator.integers(0, 3, (4, 8))
        truth = np.kron(blocks, np.ones((24, 16), dtype=int)).astype(np.uint8)  # 96 x 128
        pixels = np.zeros((96, 128, 3), dtype=np.uint8)
        wrong = np.kron(generator.random((4, 8)) < 0.2, np.ones((24, 16), dtype=int)).astype(bool)
        shown = np.where(wrong, (truth + 1) % 3, truth)
        np.put_along_axis(pixels, shown[..., None], 255, axis=2)
        Image.fromarray(pixels).save(tmp_path / "data" / "images" / f"{number:02}.png")
        truth[:4] = 255
        Image.fromarray(truth).save(tmp_path / "data" / "masks" / f"{number:02}.png")
        truths.append(truth)
        expected.append(shown)
    steps: list[dict[str, Any]] = [
        {"decode": {"color": "RGB"}},
        {"letterbox": {"to": [64, 64], "method": "nearest", "fill": 0}},
        {"cast": {"dtype": "float32"}},
        {"layout": {"to": "NCHW"}},
    ]
    inputs = [
        {"name": "x", "type": "image", "dtype": "float32", "layout": "NCHW", "shape": [1, 3, 64, 64], "steps": steps}
    ]
    outputs = [
        {"type": "segmentation", "tensors": {"y": "y"}, "steps": [{"label-map": {"tensor": "y", "layout": "NCHW", "resize": resize}}]}
    ]  # fmt: skip
    annotations = {"format": "masks", "images": "images", "masks": "masks", "ignore": 255}
    status, response, _ = run(tmp_path, "semantic-segmentation", request_for(tmp_path, inputs, outputs, annotations))
    assert status == 0, response.get("error")
    truth, label = np.concatenate(truths).ravel(), np.concatenate(expected).ravel()
    known = truth != 255
    ious = jaccard_score(truth[known], label[known], average=None)
    # Blocks are whole pixels of the input (16 and 24 times a half), so that both ways give the same map.
    assert response["metrics"]["mIoU"]["value"] == pytest.approx(ious.mean(), abs=1e-12)
    assert [response["metrics"][f"IoU {c}"]["value"] for c in range(3)] == pytest.approx(list(ious))
    assert ious.mean() < 0.9


def test_an_autoencoder_finds_what_it_cannot_reconstruct(tmp_path: Path) -> None:
    """A projection on the plane that normal vectors lie in: the error of odd ones is what stands out of it."""
    from onnx import TensorProto, helper, numpy_helper
    from sklearn.metrics import roc_auc_score

    for folder in ("model", "data"):
        (tmp_path / folder).mkdir()
    generator = np.random.default_rng(13)
    basis, _ = np.linalg.qr(generator.normal(size=(16, 2)))
    projection = (basis @ basis.T).astype(np.float32)
    graph(
        tmp_path / "model" / "made.onnx",
        [helper.make_node("MatMul", ["x", "p"], ["y"])],
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 16])],
        [numpy_helper.from_array(projection, "p")],
    )
    rows, scores, truths = ["file,class_index"], [], []
    for number in range(60):
        odd = number % 3 == 0
        vector = basis @ generator.normal(size=2) + generator.normal(0, 0.3 if odd else 0.2, size=16)
        vector = vector.astype(np.float32)
        np.save(tmp_path / "data" / f"{number:02}.npy", vector)
        rows.append(f"{number:02}.npy,{int(odd)}")
        scores.append(float(np.mean((vector - vector @ projection) ** 2)))
        truths.append(int(odd))
    (tmp_path / "data" / "truth.csv").write_text("\n".join(rows) + "\n")
    inputs = [
        {"name": "x", "type": "tensor", "dtype": "float32", "shape": [1, 16], "steps": [{"load": {}}, {"reshape": {"to": [1, 16]}}]}
    ]  # fmt: skip
    outputs = [
        {
            "type": "score",
            "tensors": {"y": "y"},
            "steps": [
                {"error": {"tensor": "y", "with": "input", "metric": "mse", "to": "e"}},
                {"score": {"tensor": "e"}},
            ],
        }
    ]
    annotations = {"format": "labels-csv", "file": "truth.csv", "images": "."}
    status, response, _ = run(tmp_path, "anomaly-detection", request_for(tmp_path, inputs, outputs, annotations))
    assert status == 0, response.get("error")
    assert response["metrics"]["AUC"]["value"] == pytest.approx(roc_auc_score(truths, scores))
    assert response["metrics"]["pAUC"]["value"] == pytest.approx(roc_auc_score(truths, scores, max_fpr=0.1))
    assert 0.6 < response["metrics"]["AUC"]["value"] < 1
    # Answers of the measured run, and those of the action `pitfalls`, are compared with their inputs too.
    sampled = {"accuracy": "sampled", "stop": "count", "min_samples": 60, "max_samples": 60}
    for action, options in (("benchmark", sampled), ("pitfalls", {})):
        folder = tmp_path / action
        folder.mkdir()
        for name in ("model", "data"):
            (folder / name).symlink_to(tmp_path / name)
        request = {**request_for(folder, inputs, outputs, annotations), "action": action, "options": options}
        status, again, _ = run(folder, "anomaly-detection", request)
        assert status == 0, again.get("error")
        assert again["metrics"]["AUC"]["value"] == pytest.approx(response["metrics"]["AUC"]["value"])


def test_an_input_of_one_type_is_not_given_the_first_step_of_the_other(tmp_path: Path, mirror: Any) -> None:
    request = make_request(tmp_path, mirror, "hello-world-sine", "sine-wave", variants={"precision": "fp32"})
    request["model"]["manifest"]["inputs"][0]["steps"][0] = {"decode": {"color": "L"}}
    status, response, _ = run(tmp_path, "regression", request)
    assert status == 1
    assert "is of type tensor and has the step decode" in response["error"]


def test_a_damaged_tensor_fails_with_its_name_whatever_the_workers(tmp_path: Path, mirror: Any) -> None:
    for workers in (1, 3):
        tmp = tmp_path / str(workers)
        tmp.mkdir()
        request = make_request(tmp, mirror, "mlperf-tiny-kws", "speech-commands-kws01", options={"workers": workers})
        folder = tmp / "data" / "kws01"
        folder.mkdir()
        for name in ("a", "b", "c"):
            (folder / f"{name}.bin").write_bytes(bytes(490 if name != "b" else 100))
        (folder / "y_labels.csv").write_text("a.bin,12,0\nb.bin,12,0\nc.bin,12,0\n")
        status, response, _ = run(tmp, "keyword-spotting", request)
        assert status == 1
        assert "cannot read the tensor b.bin" in response["error"]
