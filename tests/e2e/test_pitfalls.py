# SPDX-License-Identifier: Apache-2.0
"""`cr pitfalls` as a user has it: the table, the plot, the file, and what it says when it cannot."""

from __future__ import annotations

import json
import os
import signal
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from codereef.meta.schemas import problems

from tests.e2e.conftest import Cr

pytestmark = pytest.mark.slow
DEMO = "demo-object-detection"


@pytest.mark.parametrize("form", ["onnx", "tflite"])
def test_the_right_pipeline_is_that_of_validate_and_the_worst_mistake_comes_first(ready: Cr, form: str) -> None:
    done = ready(
        "pitfalls", "shapes-ssd", "-v", f"format={form}", "-v", "precision=fp32", "--images", "25",
        "--plot", f"{form}.svg", "--output", f"{form}.json",
    )  # fmt: skip
    written = json.loads((ready.cwd / f"{form}.json").read_text())["configurations"]
    assert len(written) == 1 and problems(written[0], "pitfalls") == []
    document = written[0]
    validated = ready.json("validate", DEMO, "-v", f"format={form}", "-v", "precision=fp32", "-o", "accuracy_limit=25")[
        "results"
    ][0]
    for name in ("mAP", "AP50", "AP75"):
        assert document["metrics"][name] == validated["metrics"][name]
    assert (document["images"], document["of"], document["metric"]) == (25, 50, "mAP")
    assert document["lock_digest"] == validated["lock_digest"]

    other = "nhwc-for-nchw" if form == "onnx" else "nchw-for-nhwc"
    rows = {row["name"]: row for row in document["pitfalls"]}
    assert document["pitfalls"][0]["name"] == other and rows[other]["metrics"]["mAP"]["value"] < 0.05
    assert {"bgr-for-rgb", "range-0-1", "box-order", "label-offset", "resize-nearest", "letterboxed"} <= set(rows)
    assert not any("error" in row for row in rows.values())
    assert rows["fast-decoder"]["same_tensors"] == 25, "the images are PNG"

    lines = done.stdout.splitlines()
    assert lines[0].startswith("model:shapes-ssd@1.0.0 on 25 of 50 images of dataset:coloured-shapes@1.0.0")
    assert lines[1].split() == [
        "mistake",
        "mAP",
        "change",
        "[95",
        "%]",
        "agreement",
        "tensors",
        "off",
        "what",
        "it",
        "is",
    ]
    assert lines[2].startswith("right pipeline") and f"{validated['metrics']['mAP']['value']:.3f} [" in lines[2]
    assert [line.split()[0] for line in lines[3:]] == [row["name"] for row in document["pitfalls"]]
    assert "same tensors" in next(line for line in lines if line.startswith("fast-decoder"))
    svg = ET.fromstring((ready.cwd / f"{form}.svg").read_text())
    shown = {text.text for text in svg.iter("{http://www.w3.org/2000/svg}text")}
    assert set(rows) <= shown


def test_nothing_goes_into_the_history(ready: Cr) -> None:
    before = len(ready.json("results")["results"])
    found = ready.json("pitfalls", DEMO, "--images", "10", "-v", "format=onnx", "-v", "precision=fp32,int8")
    assert [c["configuration"]["variants"]["precision"] for c in found["configurations"]] == ["fp32", "int8"]
    assert len(ready.json("results")["results"]) == before


def test_a_model_that_no_solution_here_uses_says_what_to_do(ready: Cr) -> None:
    done = ready("pitfalls", "ssd-mobilenet-v1-coco", check=False)
    assert done.returncode == 6 and "cr init ssd-mobilenet-coco" in done.stderr
    done = ready("pitfalls", "fastestdet-coco", check=False)
    assert done.returncode == 6 and "cr pitfalls MODEL SOLUTION" in done.stderr
    done = ready("pitfalls", "fastestdet-coco", DEMO, "--images", "10", check=False)
    assert done.returncode == 6 and "model:shapes-ssd" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["shapes-sd"], 4, "model:shapes-ssd"),
        (["dataset:coloured-shapes"], 2, "a model or a solution is meant"),
        ([DEMO, DEMO], 2, "Name one solution"),
        ([DEMO, "--images", "0"], 2, "--images"),
        ([DEMO, "-o", "accuracy_limit=3"], 2, "--images N"),
        ([DEMO, "-v", "format=onnx,tflite", "--plot", "x.svg"], 2, "--plot shows one configuration"),
        ([DEMO, "-o", "colour=red", "--images", "10"], 2, "colour"),
    ],
)
def test_what_cannot_be_is_refused_at_once(ready: Cr, arguments: list[str], status: int, said: str) -> None:
    done = ready("pitfalls", *arguments, check=False)
    assert done.returncode == status and said in done.stderr and "Traceback" not in done.stderr


def test_an_interrupt_ends_it_and_leaves_nothing_behind(ready: Cr, tmp_path: Path) -> None:
    client = Cr(ready.home, ready.cwd, {"TMPDIR": str(tmp_path)})
    process = client.start("pitfalls", DEMO, "-v", "format=onnx", "-v", "precision=fp32")
    until = time.monotonic() + 60
    while not list(tmp_path.glob("codereef-run-*/request.json")) and time.monotonic() < until:
        time.sleep(0.05)
    time.sleep(1.5)
    os.killpg(os.getpgid(process.pid), signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130 and "Interrupted" in said and "Traceback" not in said
    assert list(tmp_path.glob("codereef-*")) == []
