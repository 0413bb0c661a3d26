# SPDX-License-Identifier: Apache-2.0
"""Real models under each scenario, driver and way of running, by the programs' real entry point."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.bench.program_requests import ROOT, make_request, run

pytestmark = pytest.mark.slow

MODEL, IMAGES = "mobilenet-v1-128-classification", "classification-images"
QUICK = {"stop": "count", "max_samples": 70, "min_samples": 70, "max_seconds": 60, "warmup_seconds": 0.01}
LOAD: dict[str, Any] = json.loads((ROOT / "schemas" / "result.json").read_text(encoding="utf-8"))["properties"]["load"]


def benchmark(
    tmp_path: Path,
    mirror: Any,
    scenario: str,
    options: dict[str, Any],
    *,
    model: str = MODEL,
    variants: dict[str, str] | None = None,
    status: int = 0,
) -> dict[str, Any]:
    request = make_request(
        tmp_path, mirror, model, IMAGES, action="benchmark", variants=variants, options={**QUICK, **options}
    )
    code, response, _ = run(tmp_path, "image-classification", {**request, "scenario": scenario})
    assert code == status, response.get("error")
    if status == 0:
        jsonschema.validate(response["load"], LOAD)
    return response


@pytest.mark.parametrize(
    ("scenario", "options", "queries", "samples", "series"),
    [
        ("single-stream", {}, 70, 70, "latency"),
        ("multi-stream", {"samples_per_query": 3}, 70, 210, "latency"),
        ("server", {"target_qps": 200, "target_latency": 5}, 70, 70, "latency"),
        ("offline", {}, 1, 70, "inference"),
    ],
)
def test_a_real_model_in_every_scenario(
    tmp_path: Path, mirror: Any, scenario: str, options: dict[str, Any], queries: int, samples: int, series: str
) -> None:
    response = benchmark(tmp_path, mirror, scenario, options)
    load, metrics = response["load"], response["metrics"]
    assert (load["driver"], load["queries"], load["samples"]) == ("codereef", queries, samples)
    assert load["settings"]["scenario"] == scenario
    assert len(response["samples"][series]["values"]) == 70
    assert metrics["throughput"]["value"] > 0
    assert ("latency_p50" in metrics) == (scenario != "offline")
    assert metrics["top1"]["value"] is not None
    if scenario == "multi-stream":
        total = sum(response["samples"]["latency"]["values"])
        assert metrics["throughput"]["value"] == pytest.approx(samples / total)
        assert (load["valid"], load["reasons"]) == (
            False,
            ["early stopping needs 662 queries for p99, there were 70"],
        )
        assert any("not valid by the rules of multi-stream" in warning for warning in response["warnings"])
    if scenario == "single-stream":
        assert load["valid"]
        # Of 70 queries early stopping permits one over the bound: the estimate is the largest.
        assert metrics["latency_early_stopping"]["value"] == max(response["samples"]["latency"]["values"])


def test_loadgen_drives_the_same_program(tmp_path: Path, mirror: Any) -> None:
    pytest.importorskip("mlperf_loadgen")
    response = benchmark(tmp_path, mirror, "single-stream", {"driver": "mlperf-loadgen"})
    load = response["load"]
    assert (load["driver"], load["queries"], load["valid"]) == ("mlperf-loadgen", 70, True)
    assert "result_validity" in load["log"]
    assert (tmp_path / "output" / "mlperf_log_detail.txt").read_text(encoding="utf-8") == load["log"]
    assert "by mlperf-loadgen" in response["metrics"]["latency_p50"]["method"]
    median = sorted(response["samples"]["latency"]["values"])[35]
    assert response["metrics"]["latency_p50"]["value"] == pytest.approx(median, rel=0.2)


def test_accuracy_sampled_from_the_run_is_that_of_the_pass(tmp_path: Path, mirror: Any) -> None:
    found = {}
    for way in ("separate", "sampled", "off"):
        folder = tmp_path / way
        folder.mkdir()
        found[way] = benchmark(folder, mirror, "single-stream", {"accuracy": way})
    assert found["sampled"]["metrics"]["top1"]["value"] == found["separate"]["metrics"]["top1"]["value"]
    assert found["sampled"]["metrics"]["top1"]["samples"] == 3
    assert "accuracy is of 3 answers of the measured run (accuracy=sampled)" in found["sampled"]["warnings"]
    assert "top1" not in found["off"]["metrics"]
    assert "preprocess" not in found["off"]["samples"]


def test_a_model_that_can_be_resized_takes_a_batch_and_answers_the_same(tmp_path: Path, mirror: Any) -> None:
    response = benchmark(
        tmp_path,
        mirror,
        "offline",
        {"batch": 3, "max_samples": 30, "min_samples": 30, "accuracy": "sampled"},
        model="mobilenet-v1-classification",
        variants={"precision": "fp32"},
    )
    assert (response["load"]["samples"], len(response["samples"]["inference"]["values"])) == (30, 10)
    alone = tmp_path / "alone"
    alone.mkdir()
    single = benchmark(
        alone, mirror, "single-stream", {}, model="mobilenet-v1-classification", variants={"precision": "fp32"}
    )
    assert response["metrics"]["top1"]["value"] == single["metrics"]["top1"]["value"]


@pytest.mark.parametrize(
    ("model", "variants", "message"),
    [
        ("mobilenet-v2-classification", {"format": "onnx"}, "is not free"),
        ("mobilenet-v1-classification", {"precision": "int8"}, "cannot be joined"),
    ],
)
def test_a_model_of_a_fixed_batch_is_refused_with_the_way_out(
    tmp_path: Path, mirror: Any, model: str, variants: dict[str, str], message: str
) -> None:
    response = benchmark(tmp_path, mirror, "offline", {"batch": 2}, model=model, variants=variants, status=1)
    assert response["status"] == "refused"
    assert message in response["error"]
    assert "batch=1" in response["hint"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"delegate": "no-such-delegate.so"}, "cannot load the delegate no-such-delegate.so"),
        ({"provider": "CUDAExecutionProvider"}, "has no option provider"),
        ({"cpus": "99999"}, "processor 99999 is not there"),
        ({"cpus": "one"}, "is no list of processors"),
        ({"batch": 3, "samples_per_query": 8}, "must be a multiple of batch"),
        ({"min_seconds": 70.0}, r"option min_seconds (70) is more than max_seconds (60)"),
        ({"seed": -1}, "option seed must be at least 0"),
    ],
)
def test_what_cannot_be_had_is_refused_by_name(
    tmp_path: Path, mirror: Any, options: dict[str, Any], message: str
) -> None:
    response = benchmark(tmp_path, mirror, "multi-stream", options, status=1)
    assert response["status"] == "refused"
    assert message in response["error"]


def test_one_of_several_processes_refuses_in_the_numbers_of_the_user(tmp_path: Path, mirror: Any) -> None:
    request = make_request(
        tmp_path, mirror, MODEL, IMAGES, action="benchmark", options={"min_seconds": 9.0, "max_seconds": 7.0}
    )
    code, response, _ = run(tmp_path, "image-classification", {**request, "process": {"index": 0, "count": 7}})
    assert (code, response["status"]) == (1, "refused")
    assert response["error"] == "option min_seconds (9) is more than max_seconds (7)"
    assert response["hint"] == "raise max_seconds; MLPerf measures for 600 seconds"


@pytest.mark.parametrize("options", [{"thread": 1}, {"threads": "one"}])
def test_options_that_the_client_should_not_have_sent_are_a_failure_and_nobodys_choice(
    tmp_path: Path, mirror: Any, options: dict[str, Any]
) -> None:
    response = benchmark(tmp_path, mirror, "single-stream", options, status=1)
    assert response["status"] == "failed" and "hint" not in response


def test_a_model_that_is_damaged_is_a_failure_and_no_refusal(tmp_path: Path, mirror: Any) -> None:
    request = make_request(tmp_path, mirror, MODEL, IMAGES, action="benchmark", options=QUICK)
    path = Path(request["model"]["dir"], request["model"]["file"])
    path.unlink()
    path.write_bytes(b"no model at all" * 100)
    code, response, _ = run(tmp_path, "image-classification", request)
    assert (code, response["status"]) == (1, "failed")


def test_the_way_of_running_is_recorded(tmp_path: Path, mirror: Any) -> None:
    response = benchmark(tmp_path, mirror, "single-stream", {"delegate": "off", "cpus": "0", "threads": 2})
    settings = response["load"]["settings"]
    assert (settings["delegate"], settings["cpus"], settings["threads"]) == ("off", "0", 2)
