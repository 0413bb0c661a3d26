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
from codereef.repo.index import Index
from codereef.solve.candidates import Request
from codereef.solve.elsewhere import Elsewhere
from codereef.solve.resolve import resolve

from tests.solve.worlds import (
    BOARD,
    HOST,
    component,
    dataset,
    found,
    package,
    program,
    soft,
    solution,
    solved,
    universe,
)

FOLDER = Path(__file__).parent / "explanations"
LIB = package("lib-wheel", "lib.a", ["1.0", "1.1", "2.0"])
LIB_OF_BOARD = package("board-wheel", "lib.a", ["2.0"], targets=[BOARD])
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


def detected_but_cross() -> object:
    # What can be installed on the board is not expected to be there already.
    recipe = package("openblas-wheel", "lib.blas", ["0.2"], targets=[BOARD])
    components = world({"blas": needs("lib.blas", version=">=0.3")}, soft("openblas", "lib.blas"), recipe)
    return solved(components, [found("lib.blas", "0.3", "openblas")], target=BOARD)


def tags(*names: str, kind: str = "dataset", **more: Any) -> dict[str, Any]:
    return {"needs": {"kind": kind, "tags": list(names)}, **more}


PICTURES = [
    dataset("city", tags=["street", "large"]),
    dataset("country", tags=["street", "small"]),
    dataset("fruit", tags=["kitchen"]),
]


def untrusted_repository() -> object:
    components = world({"cc": needs("compiler.fortran")})
    theirs = Index((soft("gfortran", "compiler.fortran"),))
    place = Elsewhere(
        "the repository `boards`, which you have not trusted",
        "`cr repo trust boards`, once you have looked at it",
        theirs,
    )
    return resolve(universe(components, look=lambda: [place]), components[0], {})


def excluded_variants() -> object:
    variants = {
        "device": {"values": ["cpu", "cuda"], "default": "cpu"},
        "precision": {"values": ["fp32", "int8"], "default": "fp32"},
    }
    excludes = [{"when": {"device": "cuda", "precision": "int8"}, "reason": "there are no int8 kernels for cuda"}]
    return solved(world({}, variants=variants, excludes=excludes), variants={"device": "cuda", "precision": "int8"})


def propagation_refused() -> object:
    only_fp32 = dataset("calibration", variants={"precision": {"values": ["fp32"], "default": "fp32"}})
    middle = dataset("pictures", deps={"calibration": needs("dataset:calibration")})
    return solved(
        world(
            {"data": needs("dataset:pictures")},
            middle,
            only_fp32,
            variants={"precision": {"values": ["fp32", "int8"], "default": "fp32", "propagate": True}},
        ),
        variants={"precision": "int8"},
    )


def optional_circle() -> object:
    # The optional way is barred too: what it would bring closes a circle as well.
    x = package("x-recipe", "lib.x", ["1.0"], deps={"y": needs("lib.y"), "z": needs("lib.z", optional=True)})
    y = package("y-recipe", "lib.y", ["2.0"], deps={"x": needs("lib.x")})
    z = package("z-recipe", "lib.z", ["3.0"], deps={"x": needs("lib.x")})
    return solved(world({"x": needs("lib.x")}, x, y, z))


def source(name: str, capability: str, versions: list[str], **meta: Any) -> Component:
    """A recipe whose versions lie in folders of their own."""
    provides = {"capability": capability, "versions": versions, **meta.pop("provides", {})}
    return component("package", name, provides=provides, install={"using": "download"}, files=[], **meta)


def duplicate_not_permitted() -> object:
    maths = source("maths-source", "lib.maths", ["1.4", "2.1"])
    old = source("solver-source", "lib.solver", ["0.9"], deps={"maths": needs("lib.maths", version="<2")})
    return solved(world({"solver": needs("lib.solver"), "maths": needs("lib.maths", version=">=2")}, maths, old))


def build_tool_missing() -> object:
    recipe = source(
        "codec-source", "lib.codec", ["1.0"], deps={"cmake": needs("tool.cmake", version=">=3.20", **{"for": "build"})}
    )
    return solved(world({"codec": needs("lib.codec")}, recipe, soft("cmake", "tool.cmake")), target=BOARD)


def two_changes() -> object:
    deps = {"a": needs("lib.a"), "b": needs("lib.b")}
    components = world(deps, LIB, package("b-wheel", "lib.b", ["1.0"]))
    return solved(components, request=Request(pins={"lib.a": ">=5"}, forbid=("package:b-wheel",)))


def three_changes() -> object:
    bans = ("package:a-wheel", "package:b-wheel", "package:c-wheel")
    packages = [package(f"{x}-wheel", f"lib.{x}", ["1.0"]) for x in "abc"]
    return solved(world({x: needs(f"lib.{x}") for x in "abc"}, *packages), request=Request(forbid=bans))


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
    "detected-but-cross": detected_but_cross,
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
    "tags-ambiguous": lambda: solved(world({"data": tags("street")}, *PICTURES)),
    "tags-unknown": lambda: solved(world({"data": tags("streets")}, *PICTURES)),
    "tags-and-version": lambda: solved(world({"data": tags("street", "-large", version=">=2")}, *PICTURES)),
    "yanked": lambda: solved(world({"data": needs("dataset:pictures")}, dataset(yanked="two of the labels are wrong"))),
    "yanked-recipe": lambda: solved(
        world(
            {"a": needs("lib.a", version=">=2")},
            package("lib-wheel", "lib.a", ["1.0"], version="1.0.0"),
            package("lib-wheel", "lib.a", ["2.0", "1.0"], version="1.1.0", yanked="2.0 crashes on start"),
        )
    ),
    "other-target-has-it": lambda: solved(
        world({"a": needs("lib.a", version=">=2")}, LIB_OF_BOARD, package("lib-wheel", "lib.a", ["1.0"])),
    ),
    "untrusted-repository": untrusted_repository,
    "excluded-variants": excluded_variants,
    "propagation-refused": propagation_refused,
    "optional-circle": optional_circle,
    "duplicate-not-permitted": duplicate_not_permitted,
    "build-tool-missing": build_tool_missing,
    "foreign-target": lambda: solved(
        world({"a": needs("lib.a")}, package("lib-wheel", "lib.a", ["1.0"], targets=[HOST])), target=BOARD
    ),
    "two-changes": two_changes,
    "three-changes": three_changes,
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
