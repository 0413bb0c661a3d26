# SPDX-License-Identifier: Apache-2.0
"""A lock in the formats of other tools: each is read back by an independent reader of that format."""

from __future__ import annotations

import json
import re
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from codereef import __version__
from codereef.errors import LockError, UsageError
from codereef.export.conda import environment_yml
from codereef.export.dockerfile import dockerfile
from codereef.export.parts import Part, part_of
from codereef.export.requirements import requirements
from codereef.export.sbom import sbom
from codereef.lock.bind import bind_detected
from codereef.lock.build import build_lock
from codereef.lock.model import Lock, LockedNode, environment_key, from_document
from codereef.meta.component import Component
from codereef.meta.schemas import problems
from codereef.solve.candidates import Request

from tests.lock.test_lock import NUMPY, PYTHON, complete, world
from tests.solve.worlds import BOARD, HOST, found, soft, solved

HASHES = ("a" * 64, "b" * 64)
GCC = found("compiler.c", "12.2.0", "gcc")
CMAKE = found("tool.cmake", "3.28.1", "cmake")


def a_lock(formats: tuple[str, ...] = ("onnx",), **deps: Any) -> tuple[list[Component], Lock]:
    components = [*world(**deps), soft("gcc", "compiler.c"), soft("cmake", "tool.cmake"), soft("odd", "lib.odd")]
    detected = [PYTHON, NUMPY, GCC, CMAKE, found("lib.odd", "1.0", "odd")]
    graphs = [
        solved(components, detected, variants={"format": f}, target=target) for target in (HOST, BOARD) for f in formats
    ]
    lock = complete(build_lock(components[0], graphs, Request(), host=HOST))
    environments = {}
    for name, environment in lock.environments.items():
        exact = replace(environment, distributions=tuple(replace(d, sha256=HASHES) for d in environment.distributions))
        environments[name] = replace(exact, install_key=environment_key(exact))
    return components, replace(lock, environments=environments)


def here(formats: tuple[str, ...] = ("onnx",), **deps: Any) -> Part:
    return part_of(a_lock(formats, **deps)[1], HOST)


# -- CycloneDX --------------------------------------------------------------------------------------------


def bill(part: Part, components: list[Component], **licences: str) -> dict[str, Any]:
    by_reference = {str(c.reference): c for c in components}

    def find(node: LockedNode) -> Component | None:
        return by_reference.get(node.component)

    known = {"onnxruntime==1": licences["onnxruntime"]} if licences else {}
    text = sbom(part, find, known)
    document: dict[str, Any] = json.loads(text)
    return document


@pytest.mark.slow
def test_the_bill_of_materials_follows_the_schema_of_cyclonedx_strictly() -> None:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    components, lock = a_lock(("onnx", "tflite"))
    for target in (HOST, BOARD):
        document = bill(part_of(lock, target), components, onnxruntime="MIT License")
        assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(document)) is None
        assert document["specVersion"] == "1.6"
    wrong = json.dumps({**document, "components": [{"name": "no type"}]})
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(wrong) is not None


def test_the_bill_names_digests_licences_and_what_the_machine_had() -> None:
    components, lock = a_lock()
    document = bill(part_of(lock, HOST), components, onnxruntime="MIT")
    by_ref = {c["bom-ref"]: c for c in document["components"]}
    model = by_ref["model:net@1.0.0[format=onnx]"]
    assert (model["type"], model["purl"]) == ("machine-learning-model", "pkg:generic/codereef/model/net@1.0.0")
    assert model["licenses"] == [{"license": {"id": "MIT"}}]
    (file,) = model["components"]
    assert (file["type"], file["name"], file["hashes"]) == (
        "file",
        "net.onnx",
        [{"alg": "SHA-256", "content": "0" * 64}],
    )
    python = by_ref["compiler.python@3.11.2"]
    assert python["hashes"] == [{"alg": "SHA-256", "content": PYTHON.digest[7:]}]
    assert {"name": "codereef:source", "value": "detected"} in python["properties"]
    # The detector's licence is not that of what it found.
    assert "licenses" not in python
    wheel = by_ref["pkg:pypi/onnxruntime@1"]
    (reference,) = wheel["externalReferences"]
    assert [h["content"] for h in reference["hashes"]] == list(HASHES)
    assert wheel["licenses"] == [{"license": {"id": "MIT"}}]
    expected = bill(part_of(lock, BOARD), components)
    sources = {p["value"] for c in expected["components"] for p in c["properties"] if p["name"] == "codereef:source"}
    assert "expected" in sources and "detected" not in sources


def test_the_bill_has_the_graph_and_nothing_hangs_loose() -> None:
    components, lock = a_lock()
    part = part_of(lock, HOST)
    document = bill(part, components)
    edges = {d["ref"]: set(d.get("dependsOn", ())) for d in document["dependencies"]}
    for key, node in part.lock.nodes.items():
        assert edges[key] == set(node.deps.values())
    reached: set[str] = set()
    waiting = [document["metadata"]["component"]["bom-ref"]]
    while waiting:
        reached.add(waiting[-1])
        waiting.extend(edges[waiting.pop()] - reached)
    assert reached == {c["bom-ref"] for c in document["components"]} | {document["metadata"]["component"]["bom-ref"]}


def test_the_same_lock_gives_the_same_bill(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    texts = [sbom(part_of(a_lock()[1], HOST), lambda node: None) for _ in range(2)]
    assert texts[0] == texts[1]


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "cyclonedx"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "cyclonedx", None)
    with pytest.raises(UsageError, match="not installed") as caught:
        sbom(here(), lambda node: None)
    assert "codereef[sbom]" in caught.value.hint


# -- requirements -----------------------------------------------------------------------------------------


def test_requirements_are_exact_hashed_and_say_what_the_interpreter_must_have() -> None:
    from packaging.requirements import Requirement

    text = requirements(here())
    joined = [line for line in text.replace("\\\n", " ").splitlines() if not line.startswith("#")]
    assert [str(Requirement(line.split("--hash")[0].strip())) for line in joined] == ["onnxruntime==1"]
    assert re.findall(r"--hash=sha256:([0-9a-f]{64})", joined[0]) == list(HASHES)
    assert "numpy 1.26.4" in text and "Python 3.11.2" in text


def test_several_environments_are_not_mixed() -> None:
    for write in (requirements, environment_yml):
        with pytest.raises(UsageError, match="has 2 Python environments") as caught:
            write(here(("onnx", "tflite")))
        assert "format=onnx" in caught.value.hint and "--variant" in caught.value.hint
    _, lock = a_lock(("onnx", "tflite"))
    assert "ai-edge-litert==1" in requirements(part_of(lock, HOST, ["format=tflite"]))


def test_open_distributions_are_told() -> None:
    part = here()
    (name,) = part.lock.environments
    open_ = replace(part.lock.environments[name], distributions=(), install_key="")
    with pytest.raises(LockError, match="are open in the lock"):
        requirements(replace(part, lock=replace(part.lock, environments={name: open_})))


def test_a_target_that_the_lock_lacks_is_told_with_those_it_has() -> None:
    with pytest.raises(LockError, match="for android-aarch64") as caught:
        part_of(a_lock()[1], "android-aarch64")
    assert BOARD in caught.value.hint


# -- conda ------------------------------------------------------------------------------------------------


def test_the_conda_environment_is_yaml_with_what_conda_can_have() -> None:
    text = environment_yml(here(cc={"needs": "compiler.c"}, cmake={"needs": "tool.cmake"}))
    document = yaml.safe_load(text)
    assert document["name"] == "demo" and document["channels"] == ["conda-forge"]
    plain = [entry for entry in document["dependencies"] if isinstance(entry, str)]
    assert plain == ["python=3.11.2", "pip", "c-compiler", "cmake=3.28.1"]
    (of_pip,) = [entry["pip"] for entry in document["dependencies"] if isinstance(entry, dict)]
    assert of_pip == ["numpy==1.26.4", "onnxruntime==1"]
    assert "# left out: model:net@1.0.0[format=onnx]" in text


# -- Dockerfile -------------------------------------------------------------------------------------------

_INSTRUCTION = re.compile(r"(FROM|RUN|ENV|WORKDIR|COPY|CMD) (.+)", re.DOTALL)


def instructions(text: str) -> list[tuple[str, str, str]]:
    """Read a Dockerfile: instruction, argument, here-document. There is no Docker where these tests run."""
    lines = iter(text.splitlines())
    read = []
    for line in lines:
        if line.startswith("#") or not line:
            continue
        while line.endswith("\\"):
            line = line[:-1] + next(lines)
        match = _INSTRUCTION.fullmatch(line)
        assert match, f"no instruction: {line!r}"
        body = []
        marker = re.match(r"<<'([A-Z-]+)' ", match[2])
        if marker:
            for inner in lines:
                if inner == marker[1]:
                    break
                body.append(inner)
            else:
                raise AssertionError(f"{marker[1]} does not end")
        read.append((match[1], match[2], "\n".join(body)))
    return read


def test_the_dockerfile_initialises_from_the_lock_that_stands_in_it() -> None:
    part = here(cc={"needs": "compiler.c"})
    read = instructions(dockerfile(part))
    assert read[0][:2] == ("FROM", "--platform=linux/amd64 python:3.11.2-slim-bookworm")
    assert [entry[0] for entry in read[-3:]] == ["COPY", "RUN", "CMD"]
    runs = [shlex.split(argument) for name, argument, _ in read if name == "RUN"]
    assert any("gcc" in words for words in runs)
    assert ["python", "-m", "pip", "install", "--no-cache-dir", "numpy==1.26.4"] in runs
    assert any(f"codereef[uv]=={__version__}" in words for words in runs)
    assert runs[-1] == ["cr", "init", "demo", "--locked", "--yes"]
    assert json.loads(read[-1][1]) == ["cr", "benchmark", "demo"]
    document = json.loads(read[-3][2])
    assert problems(document, "lock") == []
    inside = from_document(document)
    # The image has the same software with other bytes: it binds by version, and nothing else may differ.
    other = [replace(d, digest="sha256:" + "5" * 64) for d in (PYTHON, NUMPY, GCC)]
    assert bind_detected(inside, other)[1] == []
    assert len(bind_detected(part.lock, other)[1]) == 3
    assert [d.node for d in bind_detected(inside, [*other[:2], replace(GCC, version="13.0")])[1]] == [
        "compiler.c@12.2.0"
    ]
    assert inside.nodes["model:net@1.0.0[format=onnx]"] == part.lock.nodes["model:net@1.0.0[format=onnx]"]


@pytest.mark.parametrize(
    ("target", "deps", "foreign", "said"),
    [
        ("android-aarch64", {}, (), "no images for android-aarch64"),
        (HOST, {"odd": {"needs": "lib.odd"}}, (), "needs lib.odd as this machine has it"),
        (HOST, {}, ("mine",), "has components of mine"),
    ],
)
def test_what_no_image_can_have_is_refused(
    target: str, deps: dict[str, Any], foreign: tuple[str, ...], said: str
) -> None:
    part = here(**deps)
    with pytest.raises(UsageError, match=said):
        dockerfile(replace(part, target=target), foreign)


def test_no_export_holds_a_path_of_the_machine(tmp_path: Path) -> None:
    part = here(cc={"needs": "compiler.c"})
    for text in (requirements(part), environment_yml(part), dockerfile(part), sbom(part, lambda node: None)):
        assert PYTHON.path not in text and str(tmp_path) not in text
