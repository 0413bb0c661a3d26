# SPDX-License-Identifier: Apache-2.0
"""Resolving worlds of components: what is preferred, what is refused, and that the answer is right."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from codereef.errors import NotFoundError, ResolutionError, UsageError
from codereef.meta.component import Component
from codereef.meta.versions import satisfies
from codereef.solve.candidates import Request
from codereef.solve.resolve import Graph, resolve
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from tests.solve.worlds import (
    BOARD,
    HOST,
    chosen,
    component,
    dataset,
    found,
    model,
    package,
    program,
    soft,
    solution,
    solved,
    universe,
)

PYTHON = [soft("python", "compiler.python")]
PY311 = found("compiler.python", "3.11.2", "python", path="/usr/bin/python3.11")


def needs(capability: str, **more: Any) -> dict[str, Any]:
    return {"needs": capability, **more}


def world(deps: dict[str, Any], *components: Component, **meta: Any) -> list[Component]:
    return [solution(deps=deps, **meta), program(), *components]


LIB = package("lib-wheel", "lib.a", ["1.0", "1.1", "2.0"])


def test_the_newest_version_is_installed() -> None:
    assert chosen(solved(world({"a": needs("lib.a")}, LIB)))["lib.a"] == "lib-wheel 2.0"


def test_a_constraint_takes_the_newest_that_fits() -> None:
    assert chosen(solved(world({"a": needs("lib.a", version="^1.0")}, LIB)))["lib.a"] == "lib-wheel 1.1"


def test_detected_software_is_reused_before_a_newer_one_is_installed() -> None:
    components = world({"a": needs("lib.a")}, LIB, soft("liba", "lib.a"))
    assert chosen(solved(components, [found("lib.a", "1.0", "liba")]))["lib.a"] == "liba 1.0 (detected)"


def test_detected_software_of_a_wrong_version_is_not_reused() -> None:
    components = world({"a": needs("lib.a", version=">=1.1")}, LIB, soft("liba", "lib.a"))
    assert chosen(solved(components, [found("lib.a", "1.0", "liba")]))["lib.a"] == "lib-wheel 2.0"


def test_detected_software_without_its_detector_is_not_used() -> None:
    assert (
        chosen(solved(world({"a": needs("lib.a")}, LIB), [found("lib.a", "1.0", "liba")]))["lib.a"] == "lib-wheel 2.0"
    )


def test_detected_candidates_keep_the_order_of_detection() -> None:
    components = world({"a": needs("lib.a")}, soft("liba", "lib.a"))
    detected = [found("lib.a", "1.0", "liba", path="/opt/a"), found("lib.a", "3.0", "liba", path="/opt/b")]
    assert chosen(solved(components, detected))["lib.a"] == "liba 1.0 (detected)"


def test_a_preferred_provider_wins_over_a_newer_version_of_another() -> None:
    components = world({"a": needs("lib.a")}, LIB, package("other-wheel", "lib.a", ["0.9"], preference=5))
    assert chosen(solved(components))["lib.a"] == "other-wheel 0.9"


def test_a_pre_release_comes_after_every_stable_version() -> None:
    components = world({"a": needs("lib.a")}, package("pre", "lib.a", ["3.0rc1", "2.0", "1.0"]))
    assert chosen(solved(components))["lib.a"] == "pre 2.0"


def test_a_pre_release_is_taken_when_nothing_else_fits() -> None:
    components = world({"a": needs("lib.a", version=">=3.0rc1")}, package("pre", "lib.a", ["3.0rc1", "2.0"]))
    assert chosen(solved(components))["lib.a"] == "pre 3.0rc1"


def test_a_pre_release_of_a_component_comes_after_its_stable_version() -> None:
    components = world({"d": needs("dataset:pictures")}, dataset(version="2.0.0rc1"), dataset(version="1.0.0"))
    assert chosen(solved(components))["dataset:pictures"] == "pictures 1.0.0"


@pytest.mark.parametrize(
    ("pins", "expected"),
    [
        ({"lib.a": "<2"}, "lib-wheel 1.1"),
        ({"lib.a": "1.0"}, "lib-wheel 1.0"),
        ({"package:lib-wheel": "~1.0"}, "lib-wheel 1.0"),
        ({"lib.a": "package:other-wheel"}, "other-wheel 0.9"),
        ({"lib.a": "package:lib-wheel@1.x"}, "lib-wheel 1.1"),
    ],
)
def test_a_pin_decides(pins: dict[str, str], expected: str) -> None:
    components = world({"a": needs("lib.a")}, LIB, package("other-wheel", "lib.a", ["0.9"]))
    assert chosen(solved(components, request=Request(pins=pins)))["lib.a"] == expected


@pytest.mark.parametrize(
    "request_",
    [
        Request(pins={"lib.aa": "1"}),
        Request(pins={"lib.a": "package:lib-weel"}),
        Request(forbid=("package:lib-weel",)),
        Request(install=("lib.aa",)),
    ],
)
def test_a_wish_about_something_unknown_is_refused_with_the_nearest_name(request_: Request) -> None:
    with pytest.raises(NotFoundError) as caught:
        solved(world({"a": needs("lib.a")}, LIB), request=request_)
    assert "Did you mean `lib.a`" in caught.value.hint or "`package:lib-wheel`" in caught.value.hint


def test_a_pin_that_is_no_constraint_is_refused() -> None:
    with pytest.raises(UsageError, match="not a version constraint"):
        solved(world({"a": needs("lib.a")}, LIB), request=Request(pins={"lib.a": "newest"}))


def test_a_forbidden_provider_is_not_used() -> None:
    components = world({"a": needs("lib.a")}, LIB, package("other-wheel", "lib.a", ["0.9"]))
    assert chosen(solved(components, request=Request(forbid=("package:lib-wheel",))))["lib.a"] == "other-wheel 0.9"


def test_a_forbidden_detector_leads_to_an_install() -> None:
    components = world({"a": needs("lib.a")}, LIB, soft("liba", "lib.a"))
    assert (
        chosen(solved(components, [found("lib.a", "1.0", "liba")], request=Request(forbid=("soft:liba",))))["lib.a"]
        == "lib-wheel 2.0"
    )


@pytest.mark.parametrize("install", [("lib.a",), ("*",)])
def test_a_forced_install_passes_over_what_is_detected(install: tuple[str, ...]) -> None:
    components = world(
        {"a": needs("lib.a"), "c": needs("compiler.c")}, LIB, soft("liba", "lib.a"), soft("gcc", "compiler.c")
    )
    detected = [found("lib.a", "1.0", "liba"), found("compiler.c", "12.2", "gcc")]
    graph = chosen(solved(components, detected, request=Request(install=install)))
    assert graph["lib.a"] == "lib-wheel 2.0"
    assert graph["compiler.c"] == "gcc 12.2 (detected)", "what nothing can install is still reused"


VARIANTS = {"precision": {"values": ["fp32", "int8"], "default": "fp32"}}


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_variants_are_handed_on_through_templates(precision: str) -> None:
    components = world(
        {"m": needs("dataset:pictures", variants={"precision": "{precision}"})},
        dataset(variants=VARIANTS),
        variants=VARIANTS,
    )
    assert (
        chosen(solved(components, variants={"precision": precision}))["dataset:pictures"]
        == f"pictures 1.0.0 (precision={precision})"
    )


def test_a_template_that_names_no_variant_is_an_error() -> None:
    components = world(
        {"m": needs("dataset:pictures", variants={"precision": "{presicion}"})}, dataset(variants=VARIANTS)
    )
    with pytest.raises(Exception, match="names a variant that the component does not have"):
        solved(components)


def test_defaults_are_taken_where_nobody_asks() -> None:
    assert (
        chosen(solved(world({"m": needs("dataset:pictures")}, dataset(variants=VARIANTS))))["dataset:pictures"]
        == "pictures 1.0.0 (precision=fp32)"
    )


def test_another_value_than_the_default_is_taken_when_only_that_works() -> None:
    recipe = package(
        "lib-wheel",
        "lib.a",
        ["1.0"],
        variants={"device": {"values": ["cuda", "cpu"], "default": "cuda"}},
        deps={"gpu": needs("lib.gpu", when={"device": "cuda"})},
    )
    assert chosen(solved(world({"a": needs("lib.a")}, recipe)))["lib.a"] == "lib-wheel 1.0 (device=cpu)"


@pytest.mark.parametrize(("precision", "there"), [("fp32", False), ("int8", True)])
def test_a_condition_on_a_variant(precision: str, there: bool) -> None:
    components = world({"a": needs("lib.a", when={"precision": "int8"})}, LIB, variants=VARIANTS)
    assert ("lib.a" in chosen(solved(components, variants={"precision": precision}))) is there


@pytest.mark.parametrize(("version", "there"), [("1.0", True), ("2.0", False)])
def test_a_condition_on_the_version_provided(version: str, there: bool) -> None:
    recipe = package("top", "lib.top", ["1.0", "2.0"], deps={"a": needs("lib.a", when={"version": "<2"})})
    graph = chosen(solved(world({"t": needs("lib.top", version=version)}, recipe, LIB)))
    assert ("lib.a" in graph) is there


@pytest.mark.parametrize(("target", "there"), [(HOST, False), (BOARD, True)])
def test_a_condition_on_the_target(target: str, there: bool) -> None:
    components = world({"a": needs("lib.a", when={"target.arch": ["aarch64", "armv7"]})}, LIB)
    assert ("lib.a" in chosen(solved(components, target=target))) is there


def test_build_and_run_are_two_machines_when_cross_compiling() -> None:
    tool = package("tool", "tool.gen", ["1.0"], deps={"a": needs("lib.a", version="<2")})
    components = world({"t": needs("tool.gen", **{"for": "build"}), "a": needs("lib.a", version=">=2")}, tool, LIB)
    graph = chosen(solved(components, target=BOARD))
    assert graph["tool.gen for build"] == "tool 1.0"
    assert graph["lib.a for build"] == "lib-wheel 1.1"
    assert graph["lib.a"] == "lib-wheel 2.0"


def test_build_and_run_are_one_machine_on_a_native_target() -> None:
    components = world({"t": needs("lib.a", **{"for": "build"}), "a": needs("lib.a", version="<2")}, LIB)
    assert chosen(solved(components))["lib.a"] == "lib-wheel 1.1"
    assert len([key for key in chosen(solved(components)) if key.startswith("lib.a")]) == 1


def test_detected_software_serves_the_building_machine_only_when_cross_compiling() -> None:
    components = world({"t": needs("lib.a", **{"for": "build"}), "a": needs("lib.a")}, LIB, soft("liba", "lib.a"))
    graph = chosen(solved(components, [found("lib.a", "1.0", "liba")], target=BOARD))
    assert graph["lib.a for build"] == "liba 1.0 (detected)"
    assert graph["lib.a"] == "lib-wheel 2.0"


def test_a_recipe_for_other_targets_is_passed_over() -> None:
    components = world({"a": needs("lib.a")}, package("board", "lib.a", ["9.0"], targets=[BOARD]), LIB)
    assert chosen(solved(components))["lib.a"] == "lib-wheel 2.0"
    assert chosen(solved(components, target=BOARD))["lib.a"] == "board 9.0"


def test_a_conflict_takes_another_version() -> None:
    recipe = package("top", "lib.top", ["1.0"], conflicts=[{"with": "lib.a", "version": ">=2", "reason": "crashes"}])
    graph = chosen(solved(world({"t": needs("lib.top"), "a": needs("lib.a")}, recipe, LIB)))
    assert graph["lib.a"] == "lib-wheel 1.1"


def test_a_conflict_with_something_absent_does_no_harm() -> None:
    recipe = package("top", "lib.top", ["1.0"], conflicts=[{"with": "lib.a"}])
    assert "lib.a" not in chosen(solved(world({"t": needs("lib.top")}, recipe, LIB)))


def test_an_optional_dependency_is_taken_when_it_can_be_had() -> None:
    assert "lib.a" in chosen(solved(world({"a": needs("lib.a", optional=True)}, LIB)))


def test_an_optional_dependency_that_nobody_has_is_left_out() -> None:
    graph = solved(world({"a": needs("lib.none", optional=True), "b": needs("lib.a", optional=True)}, LIB))
    assert "lib.none" not in chosen(graph)
    assert "lib.a" in chosen(graph), "only what stands in the way is left out"
    assert set(graph.nodes[-1].deps) == {"program", "b"}


def test_only_the_optional_dependency_that_stands_in_the_way_is_left_out() -> None:
    # Both of them are about lib.a, but it is `low` that cannot be had together with the requirement.
    low = package("low", "lib.low", ["1"], deps={"a": needs("lib.a", version="<1.1")})
    high = package("high", "lib.high", ["1"], deps={"a": needs("lib.a", version=">=1.1")})
    deps = {
        "h": needs("lib.high", optional=True),
        "l": needs("lib.low", optional=True),
        "a": needs("lib.a", version=">=2"),
    }
    assert "lib.high" in chosen(solved(world(deps, low, high, LIB)))


def test_a_role_that_is_optional_in_one_version_is_not_dropped_from_another() -> None:
    old = dataset(version="1.0.0", deps={"x": needs("lib.none", optional=True)})
    new = dataset(version="2.0.0", deps={"x": needs("lib.none")})
    assert chosen(solved(world({"d": needs("dataset:pictures")}, old, new)))["dataset:pictures"] == "pictures 1.0.0"


def test_what_one_configuration_leaves_out_another_still_gets() -> None:
    components = world(
        {"a": needs("lib.a", optional=True), "b": needs("lib.b")},
        LIB,
        package("b", "lib.b", ["1"], variants={"mode": {"values": ["x"], "default": "x"}}),
        variants=VARIANTS,
    )
    components.append(package("never", "lib.never", ["1"], conflicts=[{"with": "lib.a"}]))
    components[0] = solution(
        deps={"a": needs("lib.a", optional=True), "n": needs("lib.never", when={"precision": "int8"})},
        variants=VARIANTS,
    )
    one = universe(components)
    assert "lib.a" not in chosen(resolve(one, components[0], {"precision": "int8"}))
    assert "lib.a" in chosen(resolve(one, components[0], {"precision": "fp32"}))


def python_world(*more: Component) -> list[Component]:
    return world(
        {"python": needs("compiler.python"), "np": needs("python.numpy")},
        *PYTHON,
        soft("numpy", "python.numpy"),
        package("numpy", "python.numpy", ["2.0"]),
        *more,
    )


def test_a_distribution_is_reused_from_the_preferred_interpreter_only() -> None:
    other = found("compiler.python", "3.12.1", "python", path="/opt/python3.12")
    numpy = found("python.numpy", "1.26", "numpy", path="/opt/site", python="/opt/python3.12")
    assert chosen(solved(python_world(), [PY311, other, numpy]))["python.numpy"] == "numpy 2.0"
    preferred = chosen(solved(python_world(), [PY311, other, numpy], python="/opt/python3.12"))
    assert preferred["python.numpy"] == "numpy 1.26 (detected)"
    assert preferred["compiler.python"] == "python 3.12.1 (detected)"


def test_the_interpreter_that_runs_the_tool_is_never_used() -> None:
    own = found("compiler.python", "3.13.0", "python", path="/venv/bin/python", tool=True)
    assert chosen(solved(python_world(), [own, PY311]))["compiler.python"] == "python 3.11.2 (detected)"
    with pytest.raises(ResolutionError, match="runs cr itself"):
        solved(python_world(), [own])


def test_a_distribution_of_the_tools_own_interpreter_is_not_offered() -> None:
    own = found("compiler.python", "3.13.0", "python", path="/venv/bin/python", tool=True)
    numpy = found("python.numpy", "1.26", "numpy", path="/venv/site", python="/venv/bin/python")
    components = [c for c in python_world() if c.kind != "package"]
    with pytest.raises(ResolutionError, match="it belongs to the interpreter that runs cr itself") as caught:
        solved(components, [own, PY311, numpy])
    assert "--python" not in caught.value.hint


def test_a_reused_distribution_ties_the_graph_to_its_interpreter() -> None:
    numpy = found("python.numpy", "1.26", "numpy", path="/site", python=PY311.path)
    graph = solved(python_world(), [PY311, numpy])
    node = next(n for n in graph.nodes if n.needs == "python.numpy")
    assert node.deps == {"python": "compiler.python@3.11.2"}


def test_nodes_stand_after_what_they_need() -> None:
    recipe = package("top", "lib.top", ["1.0"], deps={"a": needs("lib.a")})
    graph = solved(world({"a": needs("lib.a"), "t": needs("lib.top")}, recipe, LIB))
    seen: set[str] = set()
    for node in graph.nodes:
        assert set(node.deps.values()) <= seen
        seen.add(node.id)
    assert graph.nodes[-1].id == graph.root


def test_the_graph_tells_who_asks_for_what() -> None:
    recipe = package("top", "lib.top", ["1.0"], deps={"a": needs("lib.a", version="<2")})
    graph = solved(world({"a": needs("lib.a"), "t": needs("lib.top")}, recipe, LIB))
    assert {(asked.by, asked.constraint) for asked in graph.asked["lib.a@1.1"]} == {
        ("solution:demo@1.0.0", ""),
        ("top 1.0", "<2"),
    }


def test_a_circle_is_named() -> None:
    components = world(
        {"a": needs("lib.x")},
        package("x", "lib.x", ["1"], deps={"y": needs("lib.y")}),
        package("y", "lib.y", ["1"], deps={"x": needs("lib.x")}),
    )
    with pytest.raises(ResolutionError) as caught:
        solved(components)
    assert "lib.x@1 → lib.y@1 → lib.x@1" in caught.value.message
    assert caught.value.context["cycle"] == ["lib.x@1", "lib.y@1", "lib.x@1"]


def test_a_way_around_a_circle_is_found() -> None:
    components = world(
        {"a": needs("lib.x")},
        package("x", "lib.x", ["1"], deps={"y": needs("lib.y")}),
        package("y", "lib.y", ["2"], deps={"x": needs("lib.x")}),
        package("plain-y", "lib.y", ["1"]),
    )
    assert chosen(solved(components))["lib.y"] == "plain-y 1"


def test_an_optional_dependency_that_closes_a_circle_is_left_out() -> None:
    components = world(
        {"a": needs("lib.x")},
        package("x", "lib.x", ["1"], deps={"y": needs("lib.y")}),
        package("y", "lib.y", ["2"], deps={"x": needs("lib.x", optional=True)}),
    )
    assert chosen(solved(components))["lib.y"] == "y 2"


def test_a_model_brings_the_runtime_of_its_format() -> None:
    runtimes = [
        {"format": "onnx", "needs": "lib.onnxruntime", "when": {"format": "onnx"}},
        {"format": "tflite", "needs": "lib.tflite", "when": {"format": "tflite"}},
    ]
    formats = {"format": {"values": ["onnx", "tflite"], "default": "onnx"}}
    components = world(
        {"model": needs("model:net", variants={"format": "{format}"})},
        model(variants=formats, runtimes=runtimes),
        package("ort", "lib.onnxruntime", ["1.20"]),
        package("litert", "lib.tflite", ["1.2"]),
        variants=formats,
    )
    assert "lib.tflite" not in chosen(solved(components))
    graph = solved(components, variants={"format": "tflite"})
    assert "lib.onnxruntime" not in chosen(graph)
    assert next(n for n in graph.nodes if n.needs == "model:net").deps == {"runtime": "lib.tflite@1.2"}


def test_the_answer_does_not_depend_on_the_order_of_the_components() -> None:
    recipe = package("top", "lib.top", ["1.0", "2.0"], deps={"a": needs("lib.a", version="<2")})
    components = world({"a": needs("lib.a"), "t": needs("lib.top")}, recipe, LIB, package("other", "lib.a", ["1.5"]))
    answers = {
        str(sorted(chosen(solved([components[0], *order])).items())) for order in itertools.permutations(components[1:])
    }
    assert len(answers) == 1


# -- random worlds against a search through everything ------------------------------------------------------

NAMES = ["lib.a", "lib.b", "lib.c", "lib.d"]
CONSTRAINTS = ["", "", "==1", "==2", ">=2", "<2", ">=3"]


@st.composite
def worlds(draw: st.DrawFn) -> list[Component]:
    def dependencies(limit: int) -> dict[str, Any]:
        result = {}
        for i in range(draw(st.integers(0, limit))):
            entry: dict[str, Any] = needs(draw(st.sampled_from(NAMES)))
            if constraint := draw(st.sampled_from(CONSTRAINTS)):
                entry["version"] = constraint
            if draw(st.integers(0, 4)) == 0:
                entry["when"] = {"version": draw(st.sampled_from(["1", ">=2"]))}
            result[f"r{i}"] = entry
        return result

    components = [solution(deps=dependencies(3)), program()]
    for i in range(draw(st.integers(1, 6))):
        name = draw(st.sampled_from(NAMES))
        versions = draw(st.lists(st.sampled_from(["1", "2", "3"]), min_size=1, max_size=2, unique=True))
        conflicts = (
            [{"with": draw(st.sampled_from(NAMES)), "version": draw(st.sampled_from(["==1", ">=2"]))}]
            if draw(st.integers(0, 3)) == 0
            else []
        )
        components.append(package(f"p{i}", name, versions, deps=dependencies(2), conflicts=conflicts))
    return components


Choice = tuple[Component, str]


def wants(component_: Component, version: str) -> list[tuple[str, str]]:
    """What a choice asks for, read from its metadata by other means than the resolver's."""
    return [
        (entry["needs"], entry.get("version", ""))
        for entry in component_.meta["deps"].values()
        if "when" not in entry or satisfies(version, entry["when"]["version"])
    ]


def valid(selected: dict[str, Choice], root: Component) -> bool:
    """Tell whether a choice of providers meets everything that is reached from the root, without a circle."""
    order: list[str] = []

    def reach(component_: Component, version: str, path: tuple[str, ...]) -> bool:
        for name, constraint in wants(component_, version):
            if name not in selected or name in path or not satisfies(selected[name][1], constraint):
                return False
            order.append(name)
            if not reach(*selected[name], (*path, name)):
                return False
        return True

    if not reach(root, root.version, ()):
        return False
    used = set(order)
    return not any(
        entry["with"] in used and satisfies(selected[entry["with"]][1], entry["version"])
        for name in used
        for entry in selected[name][0].meta.get("conflicts", ())
    )


def possible(components: list[Component]) -> bool:
    options: list[list[tuple[str, Choice | None]]] = []
    for name in NAMES:
        providers = [
            (c, v)
            for c in components
            if c.kind == "package" and c.meta["provides"]["capability"] == name
            for v in c.meta["provides"]["versions"]
        ]
        options.append([(name, None), *((name, provider) for provider in providers)])
    return any(
        valid({name: choice for name, choice in row if choice}, components[0]) for row in itertools.product(*options)
    )


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(worlds())
def test_random_worlds_are_answered_as_a_search_through_everything_does(components: list[Component]) -> None:
    graph: Graph | None
    try:
        graph = solved(components)
    except ResolutionError as error:
        graph = None
        assert len(error.message.splitlines()) <= 15
        assert error.hint
    event("possible" if graph else "impossible")
    if graph is None:
        assert not possible(components)
        return
    selected = {n.needs: (n.candidate.component, n.candidate.version) for n in graph.nodes if n.needs in NAMES}
    assert valid(selected, components[0])
    assert chosen(solved(components)) == chosen(graph)


def test_a_component_in_a_world_of_this_file_is_checked_by_its_schema() -> None:
    with pytest.raises(AssertionError):
        component("dataset", "x", nonsense=1)
