# SPDX-License-Identifier: Apache-2.0
"""The shapes-ssd model files: their digests, their signatures, and that they detect what they claim."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

np = pytest.importorskip("numpy")

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "components" / "model" / "shapes-ssd"
GENERATOR = ROOT / "components" / "dataset" / "coloured-shapes" / "generate.py"
LARGEST = 1_500_000
SHA256 = {
    "shapes-ssd-fp32.onnx": "ee8b2f472d0be17e238f536340eeb2f29c85c7befe7327e8f79d5678e485771b",
    "shapes-ssd-int8.onnx": "9f1eaa52d38cc76f062988979ee30eb854177831ee97f6b2e0039acf412d5155",
    "shapes-ssd-fp32.tflite": "92b4a3b7b359ab051416d099095ee8364f658c8751a11d150c257660beb4d405",
    "shapes-ssd-int8.tflite": "5bf5ccff8c9c6b498d78b16d9a92a7f80ef7e813093459a41988076c52ec4c38",
    "anchors.json": "e4de9ddf8ba8508c4c650f71b8f8ec0955ea58f3dc4797ffd3c46c3dda221da2",
}
MODELS = tuple(name for name in SHA256 if name.startswith("shapes-ssd-"))


@pytest.mark.parametrize("name", SHA256)
def test_file_is_the_published_one_and_small(name: str) -> None:
    data = (MODEL / name).read_bytes()
    assert hashlib.sha256(data).hexdigest() == SHA256[name]
    assert len(data) < LARGEST


def test_anchors_follow_the_documented_rule() -> None:
    anchors = json.loads((MODEL / "anchors.json").read_text(encoding="utf-8"))
    expected = []
    for grid, sides in ((16, (12, 18)), (8, (26, 37)), (4, (50, 66))):
        for cell in range(grid * grid):
            for side in sides:
                expected.append([(cell % grid + 0.5) / grid, (cell // grid + 0.5) / grid, side / 128, side / 128])
    assert np.allclose(anchors, expected, rtol=0, atol=1e-7)
    assert len(anchors) == 672


def test_labels_of_model_and_dataset_agree() -> None:
    lines = [
        line
        for line in (MODEL / "network.py").read_text(encoding="utf-8").splitlines()
        if line.startswith("CLASSES = ")
    ]
    dataset = [line for line in GENERATOR.read_text(encoding="utf-8").splitlines() if line.startswith("LABELS = ")]
    assert len(lines) == len(dataset) == 1
    assert lines[0].removeprefix("CLASSES") == dataset[0].removeprefix("LABELS")


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_onnx_signature_is_the_declared_one(precision: str) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(
        str(MODEL / f"shapes-ssd-{precision}.onnx"), providers=["CPUExecutionProvider"]
    )
    assert [(i.name, i.type, i.shape) for i in session.get_inputs()] == [("image", "tensor(float)", [1, 3, 128, 128])]
    assert [(o.name, o.type, o.shape) for o in session.get_outputs()] == [
        ("boxes", "tensor(float)", [1, 672, 4]),
        ("scores", "tensor(float)", [1, 672, 5]),
    ]


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_tflite_signature_is_the_declared_one(precision: str) -> None:
    litert = pytest.importorskip("ai_edge_litert.interpreter")
    interpreter = litert.Interpreter(model_path=str(MODEL / f"shapes-ssd-{precision}.tflite"))

    def described(details: list[dict[str, Any]]) -> list[tuple[str, list[int], Any]]:
        return [(d["name"], [int(n) for n in d["shape"]], d["dtype"]) for d in details]

    assert described(interpreter.get_input_details()) == [("image", [1, 128, 128, 3], np.float32)]
    assert described(interpreter.get_output_details()) == [
        ("boxes", [1, 672, 4], np.float32),
        ("scores", [1, 672, 5], np.float32),
    ]


def test_onnx_and_tflite_fp32_give_the_same_tensors() -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    litert = pytest.importorskip("ai_edge_litert.interpreter")
    session = onnxruntime.InferenceSession(str(MODEL / "shapes-ssd-fp32.onnx"), providers=["CPUExecutionProvider"])
    interpreter = litert.Interpreter(model_path=str(MODEL / "shapes-ssd-fp32.tflite"))
    interpreter.allocate_tensors()
    image = np.random.RandomState(1).uniform(-1, 1, (1, 128, 128, 3)).astype(np.float32)
    expected = session.run(["boxes", "scores"], {"image": np.ascontiguousarray(image.transpose(0, 3, 1, 2))})
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
    interpreter.invoke()
    for detail, wanted in zip(interpreter.get_output_details(), expected):
        assert np.allclose(interpreter.get_tensor(detail["index"]), wanted, rtol=0, atol=1e-3)
        assert float(np.std(wanted)) > 0.1  # a dead network would agree as well


@pytest.mark.slow
def test_all_four_files_detect_and_agree(tmp_path: Path) -> None:
    for module in ("onnxruntime", "ai_edge_litert", "pycocotools", "PIL"):
        pytest.importorskip(module)
    output = tmp_path / "data"
    output.mkdir()
    request = tmp_path / "request.json"
    request.write_text(json.dumps({"output": str(output), "variants": {"size": "50"}, "options": {}}), encoding="utf-8")
    subprocess.run([sys.executable, str(GENERATOR), str(request)], check=True, capture_output=True)
    done = subprocess.run(
        [sys.executable, "-B", "evaluate.py", str(output), *MODELS],
        cwd=MODEL,
        check=True,
        capture_output=True,
        text=True,
    )
    measured = {line["model"]: line["mAP"] for line in map(json.loads, done.stdout.splitlines())}
    assert set(measured) == set(MODELS)
    assert measured["shapes-ssd-fp32.onnx"] >= 0.50
    assert abs(measured["shapes-ssd-fp32.onnx"] - measured["shapes-ssd-fp32.tflite"]) <= 0.005
    for form in ("onnx", "tflite"):
        assert measured[f"shapes-ssd-int8.{form}"] >= measured[f"shapes-ssd-fp32.{form}"] - 0.05
