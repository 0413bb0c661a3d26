# SPDX-License-Identifier: Apache-2.0
"""Requests, options, datasets, accuracy and responses: what is right passes, what is wrong is named."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from codereef.bench.accuracy import coco_metrics, top_metrics
from codereef.bench.datasets import open_dataset
from codereef.bench.options import Options, parse_options
from codereef.bench.request import Annotations, DatasetSpec, parse_request, read_request
from codereef.bench.response import Metric, Progress, Response, write_json
from codereef.errors import MetadataError, UsageError
from PIL import Image

from tests.bench.program_requests import ROOT, component


@pytest.fixture
def request_data(tmp_path: Path) -> dict[str, Any]:
    for folder in ("model", "data", "out"):
        (tmp_path / folder).mkdir()
    (tmp_path / "model" / "m.onnx").write_bytes(b"x")
    return {
        "format": "codereef-request/1",
        "action": "benchmark",
        "harness": "anywhere",
        "model": {
            "ref": "model:m@1.0.0",
            "dir": str(tmp_path / "model"),
            "file": "m.onnx",
            "format": "onnx",
            "manifest": {
                "inputs": [{"name": "", "type": "image", "dtype": "uint8", "shape": [1, -1, 4, 3], "steps": [{"layout": {"to": "NHWC"}}]}],
                "outputs": [{"type": "detections", "tensors": {"b": "0"}, "steps": []}],
            },
        },
        "dataset": {
            "ref": "dataset:d@1.0.0",
            "dir": str(tmp_path / "data"),
            "annotations": {"format": "coco", "file": "instances.json", "images": "images"},
        },
        "runtime": {"threads": 2},
        "options": {"max_seconds": 1},
        "output": str(tmp_path / "out"),
    }  # fmt: skip


def test_a_good_request_is_read(request_data: dict[str, Any], tmp_path: Path) -> None:
    request = parse_request(request_data)
    assert request.model.path == tmp_path / "model" / "m.onnx"
    assert request.model.inputs[0].shape == (1, -1, 4, 3)
    assert request.dataset.annotations == Annotations("coco", "images", "instances.json", None)


def put(data: dict[str, Any], path: str, value: Any) -> None:
    *parents, last = path.split("/")
    for part in parents:
        data = data[int(part)] if isinstance(data, list) else data[part]
    if value is KeyError:
        del data[last]
    else:
        data[int(last) if isinstance(data, list) else last] = value


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (
            "format",
            "codereef-request/2",
            r'format must be one of codereef-request/1, found "codereef-request/2"',
        ),
        ("action", "train", "action must be one of run, benchmark, validate"),
        ("colour", 1, "unknown key colour"),
        ("model/format", "torch", "model.format must be one of onnx, tflite"),
        ("model/file", "n.onnx", "n.onnx, which is not in the model's folder"),
        ("model/dir", "/nowhere/at/all", "model.dir must be an existing folder"),
        (
            "model/manifest/inputs/0/shape",
            [1, "x"],
            r"model.manifest.inputs\[0\].shape must be a list of integers",
        ),
        ("model/manifest/inputs/0/size", 3, r"unknown key model.manifest.inputs\[0\].size"),
        (
            "model/manifest/inputs/0/steps",
            [{"a": {}, "b": {}}],
            r"inputs\[0\].steps\[0\] must be an object with one key",
        ),
        ("model/manifest/outputs", [], "no inputs or no outputs"),
        ("dataset/annotations/file", KeyError, "dataset.annotations.file must be the annotation file"),
        ("dataset/annotations", 7, "dataset.annotations must be an object, found 7"),
        ("output", KeyError, "output must be text, found nothing"),
    ],
)
def test_a_wrong_request_names_the_key(request_data: dict[str, Any], path: str, value: Any, message: str) -> None:
    put(request_data, path, value)
    with pytest.raises(UsageError, match=message):
        parse_request(request_data)


def test_a_request_that_is_no_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text("{", encoding="utf-8")
    with pytest.raises(UsageError, match=r"cannot read the request r\.json"):
        read_request(tmp_path / "r.json")


@pytest.mark.parametrize("program", sorted(path.name for path in (ROOT / "components" / "program").iterdir()))
def test_options_in_the_metadata_are_those_of_the_code(program: str) -> None:
    declared = component(f"components/program/{program}")["options"]
    defaults = asdict(Options())
    assert {name: option["default"] for name, option in declared.items()} == defaults
    for name, option in declared.items():
        assert option["type"] == {int: "integer", float: "number", str: "string"}[type(defaults[name])]
        for text in option.get("values", ()):
            parse_options({name: text}, {})
        if "values" in option:
            with pytest.raises(UsageError, match=f"option {name} must be one of {', '.join(option['values'])}"):
                parse_options({name: "other"}, {})
        for bound, beyond in (("minimum", -1), ("maximum", 1)):
            if bound in option:
                parse_options({name: option[bound]}, {})
                with pytest.raises(UsageError, match=f"option {name} must be at least"):
                    parse_options({name: option[bound] + beyond}, {})


def test_the_programs_threads_win_over_the_runtimes() -> None:
    assert parse_options({}, {"threads": 3, "provider": "P"}) == (
        Options(threads=3, provider="P"),
        {"provider": "P"},
    )
    assert parse_options({"threads": 2}, {"threads": 3})[0].threads == 2


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"thread": 1}, "unknown option thread; known: threads"),
        ({"threads": 1.5}, "threads must be an integer, found 1.5"),
        ({"threads": True}, "threads must be an integer, found True"),
        ({"max_seconds": "5"}, "max_seconds must be a number"),
        ({"confidence": 1.0}, "at least 0.5 and at most 0.9999"),
    ],
)
def test_wrong_options_are_named(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_options(given, {})


def dataset(tmp_path: Path, annotations: Annotations, *images: str) -> DatasetSpec:
    (tmp_path / "images").mkdir(exist_ok=True)
    for name in images:
        Image.new("RGB", (4, 4)).save(tmp_path / "images" / name)
    return DatasetSpec("dataset:d@1.0.0", tmp_path, annotations)


def test_labels_csv_gives_truth_and_names(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("file,class_index,name\nb.png,2,two\na.png,0,\n", encoding="utf-8")
    (tmp_path / "l.txt").write_text("zero\none\nzwei\n", encoding="utf-8")
    read = open_dataset(dataset(tmp_path, Annotations("labels-csv", "images", "t.csv", "l.txt"), "a.png", "b.png"))
    assert [(item.name, item.truth) for item in read.items] == [("b.png", 2), ("a.png", 0)]
    assert read.labels == {0: "zero", 1: "one", 2: "two"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,class\na.png,1\n", "must begin with the header file,class_index"),
        ("", "found nothing"),
        ("file,class_index\na.png,one\n", "line 2: class_index must be an integer, found 'one'"),
        ("file,class_index\nz.png,1\n", "name the file z.png"),
        ("file,class_index\n", "has no items"),
    ],
)
def test_a_wrong_labels_csv_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "t.csv").write_text(text, encoding="utf-8")
    with pytest.raises(MetadataError, match=message):
        open_dataset(dataset(tmp_path, Annotations("labels-csv", "images", "t.csv", None), "a.png"))


def test_a_dataset_without_annotations_lists_its_images_by_name(tmp_path: Path) -> None:
    spec = dataset(tmp_path, Annotations("none", "images", None, None), "b.png", "a.jpg")
    (tmp_path / "images" / "readme.txt").write_text("no image", encoding="utf-8")
    assert [item.name for item in open_dataset(spec).items] == ["a.jpg", "b.png"]


def test_a_file_that_is_not_coco_is_named(tmp_path: Path) -> None:
    (tmp_path / "i.json").write_text('{"images": []}', encoding="utf-8")
    with pytest.raises(MetadataError, match=r"i\.json is not a COCO instances file: KeyError\('categories'\)"):
        open_dataset(dataset(tmp_path, Annotations("coco", "images", "i.json", None)))


def truth() -> dict[str, Any]:
    return {
        "images": [{"id": i, "file_name": f"{i}.png", "width": 100, "height": 100} for i in (1, 2)],
        "categories": [{"id": 1, "name": "one"}, {"id": 7, "name": "seven"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 10, 40, 40], "area": 1600, "iscrowd": 0},
            {"id": 2, "image_id": 2, "category_id": 7, "bbox": [0, 0, 100, 50], "area": 5000, "iscrowd": 0},
        ],
    }  # fmt: skip


def test_coco_numbers_by_hand() -> None:
    exact = [
        {"image_id": 1, "category_id": 1, "bbox": [10, 10, 40, 40], "score": 0.9},
        # IoU 40 * 100 / 5000 = .8: right at the thresholds .50 to .80, 7 of 10.
        {"image_id": 2, "category_id": 7, "bbox": [0, 0, 100, 40], "score": 0.8},
    ]
    metrics, _ = coco_metrics(truth(), exact, [1, 2])
    assert metrics["mAP"].value == pytest.approx((1 + 0.7) / 2)
    assert (metrics["AP50"].value, metrics["AP75"].value) == (pytest.approx(1), pytest.approx(1))
    only_second, _ = coco_metrics(truth(), exact, [2])
    assert only_second["mAP"].value == pytest.approx(0.7)
    assert only_second["mAP"].samples == 1


def test_coco_of_no_detections_is_zero_and_of_no_truth_is_absent() -> None:
    assert coco_metrics(truth(), [], [1, 2])[0]["mAP"].value == 0
    empty = {**truth(), "annotations": []}
    metric = coco_metrics(empty, [], [1, 2])[0]["mAP"]
    assert metric.value is None and metric.reason is not None


def test_coco_leaves_the_truth_as_it_was() -> None:
    data = truth()
    before = copy.deepcopy(data)
    coco_metrics(data, [], [1])
    assert data == before


def test_top1_and_top5_by_hand() -> None:
    rankings = [[3, 1, 2, 4, 5], [1, 3, 2, 4, 5], [9, 8, 7, 6, 3], [9, 8, 7, 6, 5]]
    metrics = top_metrics([3, 3, 3, 3], rankings, 5, 0.95)
    assert (metrics["top1"].value, metrics["top5"].value) == (0.25, 0.75)
    shallow = top_metrics([3], [[3, 1]], 2, 0.95)
    assert shallow["top1"].value == 1 and shallow["top5"].value is None
    assert top_metrics([], [], 0, 0.95)["top1"].value is None


def test_write_json_replaces_whole_files_and_leaves_the_old_one_on_failure(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    write_json(path, {"a": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"a": float("nan")})
    assert json.loads(path.read_text(encoding="utf-8")) == {"a": 1}


def test_a_response_says_its_error_only_when_there_is_one() -> None:
    response = Response(metrics={"m": Metric(None, "s", "lower", "x", 0, reason="none")})
    data = response.as_dict()
    assert "error" not in data and "predictions" not in data
    assert data["metrics"]["m"]["reason"] == "none"  # type: ignore[index]
    response.error = "broken"
    assert response.as_dict()["error"] == "broken"


def test_progress_is_said_once_a_second_but_never_misses_a_phase_or_its_end() -> None:
    import io

    stream = io.StringIO()
    progress = Progress(stream, every_s=1000)
    for phase in ("measure", "accuracy"):
        for done in range(5):
            progress.say(phase, done, 4)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(line["phase"], line["done"]) for line in lines] == [
        ("measure", 0), ("measure", 4), ("accuracy", 0), ("accuracy", 4),
    ]  # fmt: skip


def test_progress_survives_a_reader_that_went_away() -> None:
    import io

    stream = io.StringIO()
    progress = Progress(stream)
    stream.close()
    progress.say("measure", 0, None)


@pytest.mark.slow
def test_peak_memory_is_that_of_the_child_and_not_of_its_parent() -> None:
    """A child of a large parent: getrusage would start at the parent's size."""
    big = np.ones(300 * 1024 * 1024, dtype=np.uint8)
    code = (
        "import importlib.util as u,sys;"
        f"s=u.spec_from_file_location('m',{str(ROOT / 'client/codereef/bench/collect/memory.py')!r});"
        "m=u.module_from_spec(s);s.loader.exec_module(m);print(m.peak_rss()[0]);b=bytearray(120*1024*1024);print(m.peak_rss()[0])"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    before, after = (int(line) for line in done.stdout.split())
    assert before < 100e6 < big.nbytes
    assert after - before > 110e6


def test_importing_the_room_imports_nothing_else() -> None:
    code = "import sys; import codereef.bench; print(sorted(m for m in sys.modules if m.split('.')[0] in ('numpy', 'PIL', 'codereef')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT / "client")
    assert done.stdout.strip() == "['codereef', 'codereef.bench']"


def test_bad_arguments_and_requests_exit_with_2(tmp_path: Path) -> None:
    main = ROOT / "components" / "program" / "object-detection" / "main.py"
    none = subprocess.run([sys.executable, "-I", str(main)], capture_output=True, text=True)
    assert none.returncode != 0 and "usage: main.py REQUEST.json" in none.stderr
    path = tmp_path / "r.json"
    path.write_text(json.dumps({"harness": str(ROOT / "client" / "codereef"), "format": "x"}), encoding="utf-8")
    bad = subprocess.run([sys.executable, "-I", str(main), str(path)], capture_output=True, text=True)
    assert bad.returncode == 2
    assert json.loads(bad.stderr)["error"]["code"] == "usage"
