# SPDX-License-Identifier: Apache-2.0
"""Every detector of the repository against its own `detect.test.json`, run as real scripts."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from codereef.detect import Detected, detect_report

from tests.detect.detect_mocks import ROOT, SOFTS, all_softs, build, environment, filled, load_soft

NAMES = sorted(path.parent.name for path in SOFTS.glob("*/cr.json"))
CASES = [
    pytest.param(name, case, id=f"{name}: {case['name']}")
    for name in NAMES
    for case in json.loads((SOFTS / name / "detect.test.json").read_text())["cases"]
]


def _validator(kind: str) -> Any:
    from jsonschema import Draft202012Validator
    from referencing import Registry, Resource

    documents = [json.loads(path.read_text()) for path in sorted((ROOT / "schemas").glob("*.json"))]
    registry = Registry().with_resources((d["$id"], Resource.from_contents(d)) for d in documents)
    return Draft202012Validator({"$ref": f"urn:codereef:schema:{kind}:1"}, registry=registry)


@pytest.mark.parametrize("name", NAMES)
def test_a_detector_follows_the_schema_and_has_cases_that_find_and_refuse(name: str) -> None:
    soft = load_soft(name)
    assert [error.message for error in _validator("soft").iter_errors(soft)] == []
    assert soft["name"] == name
    cases = json.loads((SOFTS / name / "detect.test.json").read_text())["cases"]
    assert any(case["expect"] for case in cases)
    assert any(case.get("rejected") for case in cases)


def test_the_repository_has_the_detectors_that_the_road_needs() -> None:
    found = {soft["detects"] for soft in all_softs()}
    assert found >= {
        "compiler.python", "compiler.c", "compiler.cxx", "tool.cmake", "tool.make", "tool.git", "tool.ninja",
        "tool.qemu-user", "tool.adb", "tool.ssh", "tool.uv", "python.numpy", "python.pillow",
        "python.pycocotools", "python.mlperf-loadgen", "lib.onnxruntime", "lib.tflite",
    }  # fmt: skip


@pytest.mark.parametrize(
    "path", sorted((ROOT / "components" / "target").glob("*/cr.json")), ids=lambda p: p.parent.name
)
def test_a_target_follows_the_schema_and_its_triple_is_its_parts(path: Path) -> None:
    target = json.loads(path.read_text())
    assert [error.message for error in _validator("target").iter_errors(target)] == []
    parts = [target["os"], target["arch"]] + ([] if target["os"] == "android" else [target["abi"]])
    assert target["name"] == target["triple"] == path.parent.name == "-".join(parts)


def _check(found: Detected, expected: dict[str, Any], root: Path) -> None:
    assert found.version == expected["version"]
    assert found.path == str(root / expected["path"])
    assert found.capability == expected.get("capability", found.capability)
    wanted_facts = expected.get("facts", {})
    assert {name: found.facts.get(name) for name in wanted_facts} == wanted_facts
    wanted_paths = filled(expected.get("paths", {}), root)
    assert {name: found.paths.get(name) for name in wanted_paths} == wanted_paths
    evidence = root / expected["digest_of"] if "digest_of" in expected else Path(found.path)
    assert found.digest == f"sha256:{hashlib.sha256(evidence.read_bytes()).hexdigest()}"


@pytest.mark.parametrize(("name", "case"), CASES)
def test_a_detector_finds_what_its_case_describes(name: str, case: dict[str, Any], tmp_path: Path) -> None:
    root = tmp_path.resolve()
    build(root, case["files"])
    softs = [load_soft(other) for other in [name, *case.get("with", [])]]
    # Patterns of absolute paths would find this machine's own programs.
    for soft in softs:
        soft["find"].pop("paths", None)
    report = detect_report(softs, environ=environment(root, case), cache_dir=None)
    own = [item for item in report.found if item.soft == f"soft:{name}@1.0.0"]
    assert [(item.version, item.path) for item in own] == [
        (expected["version"], str(root / expected["path"])) for expected in case["expect"]
    ]
    for item, expected in zip(own, case["expect"], strict=True):
        _check(item, expected, root)
        assert not any(str(root) in str(value) for value in item.facts.values()), "a path among the facts"
    for expected in case.get("rejected", []):
        reasons = [r.reason for r in report.rejected if r.path == str(root / expected["path"])]
        assert len(reasons) == 1 and expected["reason"] in reasons[0]


def test_the_page_on_detection_names_every_detector_and_its_examples_hold(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "detection.md").read_text()
    for soft in all_softs():
        assert f"`{soft['name']}`" in page and f"`{soft['detects']}`" in page, soft["name"]
    soft, tests = (json.loads(part.partition("```")[0]) for part in page.split("```json\n")[1:3])
    assert [error.message for error in _validator("soft").iter_errors(soft)] == []
    for number, case in enumerate(tests["cases"]):
        root = tmp_path.resolve() / str(number)
        build(root, case["files"])
        report = detect_report([soft], environ=environment(root, case), cache_dir=None)
        assert [item.version for item in report.found] == [expected["version"] for expected in case["expect"]]
        assert len(report.rejected) == len(case.get("rejected", []))
