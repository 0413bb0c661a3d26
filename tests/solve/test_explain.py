# SPDX-License-Identifier: Apache-2.0
"""What a newcomer reads when there is no graph: each message is kept in `explanations/NAME.txt`.

`CODEREEF_WRITE_EXPLANATIONS=1 pytest tests/solve/test_explain.py` writes them anew; read the difference.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from codereef.errors import CrError, ResolutionError
from codereef.meta.component import Component
from codereef.solve.candidates import Request

from tests.solve.worlds import BOARD, dataset, found, package, program, soft, solution, solved

FOLDER = Path(__file__).parent / "explanations"
LIB = package("lib-wheel", "lib.a", ["1.0", "1.1", "2.0"])
PRECISION = {"precision": {"values": ["fp32", "int8"], "default": "fp32"}}


def needs(capability: str, **more: Any) -> dict[str, Any]:
    return {"needs": capability, **more}


def world(deps: dict[str, Any], *components: Component, **meta: Any) -> list[Component]:
    return [solution(deps=deps, **meta), program(), *components]


def python_too_new() -> object:
    wheel = package(
        "tflite-runtime-wheel",
        "lib.tflite",
        ["2.13.0", "2.14.0"],
        deps={"python": needs("compiler.python", version=">=3.9,<3.12")},
    )
    components = world(
        {"runtime": needs("lib.tflite"), "python": needs("compiler.python")}, wheel, soft("python", "compiler.python")
    )
    return solved(
        components,
        [
            found("compiler.python", "3.13.1", "python"),
            found("compiler.python", "3.12.4", "python", path="/opt/python"),
        ],
    )


def only_the_tools_python() -> object:
    components = world({"python": needs("compiler.python")}, soft("python", "compiler.python"))
    return solved(components, [found("compiler.python", "3.12.4", "python", tool=True)])


def chain_of_three() -> object:
    top = package("detector-wheel", "lib.detector", ["4.2"], deps={"runtime": needs("lib.runtime", version=">=3")})
    middle = package("runtime-wheel", "lib.runtime", ["3.0", "3.1"], deps={"maths": needs("lib.maths", version="^2.0")})
    return solved(
        world({"detector": needs("lib.detector")}, top, middle, package("maths-wheel", "lib.maths", ["1.8", "1.9"]))
    )


def requirements_disagree() -> object:
    old = package(
        "tflite-runtime-wheel", "lib.tflite", ["2.14.0"], deps={"numpy": needs("python.numpy", version=">=1.24,<2")}
    )
    components = world(
        {"runtime": needs("lib.tflite"), "numpy": needs("python.numpy", version=">=2.1")},
        old,
        package("numpy-wheel", "python.numpy", ["1.26.4", "2.0.2", "2.3.1"]),
    )
    return solved(components)


def conflict() -> object:
    recipe = package(
        "fast-wheel",
        "lib.fast",
        ["1.0"],
        conflicts=[{"with": "lib.a", "version": ">=1.1", "reason": "both load the same plug-in"}],
    )
    return solved(world({"fast": needs("lib.fast"), "a": needs("lib.a", version="^2.0")}, recipe, LIB))


def cycle() -> object:
    x = package("x-recipe", "lib.x", ["1.0"], deps={"y": needs("lib.y")})
    return solved(world({"x": needs("lib.x")}, x, package("y-recipe", "lib.y", ["2.0"], deps={"x": needs("lib.x")})))


def many_versions() -> object:
    return solved(
        world({"a": needs("lib.a", version=">=9")}, package("lib-wheel", "lib.a", [f"1.{i}" for i in range(30)]))
    )


def other_interpreter() -> object:
    components = world(
        {"python": needs("compiler.python"), "sci": needs("python.sci")},
        soft("python", "compiler.python"),
        soft("sci", "python.sci"),
    )
    detected = [
        found("compiler.python", "3.11.2", "python"),
        found("compiler.python", "3.12.4", "python", path="/opt/python"),
        found("python.sci", "1.0", "sci", path="/opt/site", python="/opt/python"),
    ]
    return solved(components, detected)


CASES: dict[str, Callable[[], object]] = {
    "version-nobody-has": lambda: solved(world({"a": needs("lib.a", version=">=3")}, LIB)),
    "many-versions": many_versions,
    "missing-compiler": lambda: solved(
        world({"cc": needs("compiler.c", version=">=11")}, soft("gcc", "compiler.c"), soft("clang", "compiler.c"))
    ),
    "old-compiler": lambda: solved(
        world({"cc": needs("compiler.c", version=">=11")}, soft("gcc", "compiler.c")),
        [found("compiler.c", "9.4", "gcc")],
    ),
    "requirements-disagree": requirements_disagree,
    "pin-excludes-all": lambda: solved(world({"a": needs("lib.a")}, LIB), request=Request(pins={"lib.a": ">=5"})),
    "pin-against-requirement": lambda: solved(
        world({"a": needs("lib.a", version=">=2")}, LIB), request=Request(pins={"lib.a": "1.0"})
    ),
    "forbidden-provider": lambda: solved(
        world({"a": needs("lib.a")}, LIB), request=Request(forbid=("package:lib-wheel",))
    ),
    "other-target-only": lambda: solved(
        world({"a": needs("lib.a")}, package("lib-wheel", "lib.a", ["1.0"], targets=[BOARD]))
    ),
    "solution-for-other-target": lambda: solved(world({}, targets=[BOARD])),
    "detected-but-cross": lambda: solved(
        world({"cc": needs("lib.blas")}, soft("openblas", "lib.blas")),
        [found("lib.blas", "0.3", "openblas")],
        target=BOARD,
    ),
    "unknown-capability": lambda: solved(
        world({"a": needs("lib.onnxruntme")}, package("ort", "lib.onnxruntime", ["1.20"]))
    ),
    "unknown-component": lambda: solved(world({"data": needs("dataset:pictres")}, dataset())),
    "conflict": conflict,
    "variant-nobody-has": lambda: solved(
        world({"data": needs("dataset:pictures", variants={"precision": "int4"})}, dataset(variants=PRECISION))
    ),
    "variant-key-nobody-has": lambda: solved(
        world({"data": needs("dataset:pictures", variants={"size": "small"})}, dataset())
    ),
    "python-too-new": python_too_new,
    "only-the-tools-python": only_the_tools_python,
    "distribution-in-another-python": other_interpreter,
    "cycle": cycle,
    "chain-of-three": chain_of_three,
}


@pytest.mark.parametrize("name", CASES)
def test_the_message_is_the_one_that_was_read_and_approved(name: str) -> None:
    with pytest.raises(ResolutionError) as caught:
        CASES[name]()
    error = caught.value
    text = f"{error.message}\n\n{error.hint}\n"
    path = FOLDER / f"{name}.txt"
    if os.environ.get("CODEREEF_WRITE_EXPLANATIONS"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")
    assert len(error.message.splitlines()) + len(error.hint.splitlines()) <= 15
    assert error.hint.strip()
    assert "/usr/bin" not in text and "/opt" not in text


def test_every_kept_message_has_a_case() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == set(CASES)


def test_the_facts_are_there_as_data() -> None:
    with pytest.raises(CrError) as caught:
        CASES["version-nobody-has"]()
    context = caught.value.context
    assert context["solution"] == "solution:demo@1.0.0"
    assert context["target"] == "linux-x86_64-gnu"
    facts = context["facts"]
    assert isinstance(facts, list) and any("lib.a >=3" in fact for fact in facts)
