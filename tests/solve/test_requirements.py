# SPDX-License-Identifier: Apache-2.0
"""What a dependency can ask for: tags, variants that exclude or hand on, conditions on the machine, withdrawn versions, copies."""

from __future__ import annotations

from typing import Any

import pytest
from codereef.errors import NotFoundError, ResolutionError, UsageError
from codereef.meta.component import Component
from codereef.solve.candidates import Request
from codereef.solve.resolve import resolve

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


def needs(capability: Any, **more: Any) -> dict[str, Any]:
    return {"needs": capability, **more}


def tags(*names: str, kind: str = "dataset", **more: Any) -> dict[str, Any]:
    query: dict[str, Any] = {"kind": kind, "tags": list(names)}
    if more.pop("any_", False):
        query["any"] = True
    return {"needs": query, **more}


def world(deps: dict[str, Any], *components: Component, **meta: Any) -> list[Component]:
    return [solution(deps=deps, **meta), program(), *components]


def source(name: str, capability: str, versions: list[str], *, duplicable: bool = False, **meta: Any) -> Component:
    """A recipe whose versions lie in folders of their own."""
    provides: dict[str, Any] = {"capability": capability, "versions": versions}
    if duplicable:
        provides["duplicable"] = True
    return component("package", name, provides=provides, install={"using": "download"}, files=[], **meta)


def roles(graph: Any) -> dict[str, str]:
    """The solution's own dependencies: node id by role."""
    return dict(graph.nodes[-1].deps)


LIB = package("lib-wheel", "lib.a", ["1.0", "1.1", "2.0"])
CITY = dataset("city", tags=["street", "large"])
COUNTRY = dataset("country", tags=["street", "small"])
FRUIT = dataset("fruit", tags=["kitchen"])
PICTURES = [CITY, COUNTRY, FRUIT]


# -- tags ---------------------------------------------------------------------------------------------------


def test_tags_that_one_component_has_name_it() -> None:
    graph = solved(world({"data": tags("street", "-large")}, *PICTURES))
    assert roles(graph)["data"] == "dataset:country@1.0.0"
    assert [node.needs for node in graph.nodes] == ["program:runner", "dataset:country", "solution:demo"]


def test_tags_that_several_have_are_an_error_that_lists_them() -> None:
    with pytest.raises(ResolutionError) as caught:
        solved(world({"data": tags("street")}, *PICTURES))
    assert "dataset:city and dataset:country fit" in caught.value.message
    assert "--pin 'dataset?street=dataset:city'" in caught.value.hint


def test_an_ambiguous_query_is_an_error_even_where_it_is_optional() -> None:
    with pytest.raises(ResolutionError, match="nothing says which one is meant"):
        solved(world({"data": tags("street", optional=True)}, *PICTURES))


def test_an_optional_query_that_nothing_fits_is_left_out() -> None:
    assert "data" not in roles(solved(world({"data": tags("ocean", optional=True)}, *PICTURES)))


@pytest.mark.parametrize("key", ["dataset?street", "dataset:country"])
def test_a_pin_chooses_among_several(key: str) -> None:
    pin = "dataset:country" if "?" in key else "*"
    graph = solved(world({"data": tags("street")}, *PICTURES), request=Request(pins={key: pin}))
    assert roles(graph)["data"] == "dataset:country@1.0.0"


def test_the_order_of_the_tags_in_a_pin_does_not_matter() -> None:
    request = Request(pins={"dataset?-kitchen,street": "dataset:country"})
    graph = solved(world({"data": tags("street", "-kitchen")}, *PICTURES), request=request)
    assert roles(graph)["data"] == "dataset:country@1.0.0"


def test_a_ban_leaves_the_other() -> None:
    graph = solved(world({"data": tags("street")}, *PICTURES), request=Request(forbid=("dataset:city",)))
    assert roles(graph)["data"] == "dataset:country@1.0.0"


def test_a_pin_of_tags_to_something_without_them_is_refused() -> None:
    with pytest.raises(NotFoundError, match="`dataset:fruit` is no dataset with the tag street"):
        universe(PICTURES, request=Request(pins={"dataset?street": "dataset:fruit"}))


def test_only_what_fits_the_target_the_version_and_the_variants_counts() -> None:
    sizes = {"size": {"values": ["s", "l"], "default": "s"}}
    components = world(
        {"data": tags("street", version=">=2", variants={"size": "l"})},
        dataset("old", tags=["street"], variants=sizes),
        dataset("plain", tags=["street"], version="2.0.0"),
        dataset("board", tags=["street"], version="2.0.0", variants=sizes, targets=[BOARD]),
        dataset("right", tags=["street"], version="2.0.0", variants=sizes),
    )
    assert roles(solved(components))["data"] == "dataset:right@2.0.0[size=l]"


def test_where_any_is_permitted_the_resolver_takes_one_that_can_be_had() -> None:
    broken = dataset("city", tags=["street"], deps={"a": needs("lib.none")})
    graph = solved(world({"data": tags("street", any_=True)}, broken, COUNTRY))
    assert roles(graph)["data"] == "dataset:country@1.0.0"


def test_where_any_is_permitted_and_all_can_be_had_the_first_by_name_is_taken() -> None:
    components = world({"data": tags("street", any_=True)}, COUNTRY, CITY)
    assert roles(solved(components))["data"] == "dataset:city@1.0.0"


def test_only_versions_with_the_tags_are_meant() -> None:
    components = world(
        {"data": tags("street")}, dataset("city", version="1.0.0", tags=["street"]), dataset("city", version="2.0.0")
    )
    assert roles(solved(components))["data"] == "dataset:city@1.0.0"


def test_a_component_asked_for_by_tags_and_by_name_is_one() -> None:
    new = dataset("city", version="2.0.0", tags=["street"])
    components = world({"a": tags("street"), "b": needs("dataset:city", version="<2")}, CITY, new)
    graph = solved(components)
    assert roles(graph)["a"] == roles(graph)["b"] == "dataset:city@1.0.0"


def test_a_program_can_be_asked_for_by_tags() -> None:
    other = component("program", "other", task="x", run={"python": "main.py"}, metrics={}, tags=["fast"])
    components = [solution(program=tags("fast", kind="program")), program(), other]
    assert roles(solved(components))["program"] == "program:other@1.0.0"


# -- variants ------------------------------------------------------------------------------------------------

DEVICES = {
    "device": {"values": ["cuda", "cpu"], "default": "cuda"},
    "precision": {"values": ["int8", "fp32"], "default": "int8"},
}


def test_an_excluded_combination_is_passed_over() -> None:
    recipe = package(
        "lib-wheel", "lib.a", ["1.0"], variants=DEVICES, excludes=[{"when": {"device": "cuda", "precision": "int8"}}]
    )
    # Of the permitted ones, that in which the fewest values and the last differ from the defaults.
    assert chosen(solved(world({"a": needs("lib.a")}, recipe)))["lib.a"] == "lib-wheel 1.0 (device=cuda,precision=fp32)"


def test_an_exclusion_may_hold_for_some_targets_and_versions_only() -> None:
    excludes = [
        {"when": {"device": "cuda", "target.arch": "aarch64"}},
        {"when": {"precision": "int8", "version": "<2"}},
    ]
    recipe = package("lib-wheel", "lib.a", ["1.0", "2.0"], variants=DEVICES, excludes=excludes)
    deps = {"a": needs("lib.a", version="<2")}
    assert chosen(solved(world(deps, recipe)))["lib.a"] == "lib-wheel 1.0 (device=cuda,precision=fp32)"
    assert chosen(solved(world(deps, recipe), target=BOARD))["lib.a"] == "lib-wheel 1.0 (device=cpu,precision=fp32)"
    assert (
        chosen(solved(world({"a": needs("lib.a")}, recipe), target=BOARD))["lib.a"]
        == "lib-wheel 2.0 (device=cpu,precision=int8)"
    )


PRECISION = {"precision": {"values": ["fp32", "int8"], "default": "fp32"}}
HANDED = {"precision": {"values": ["fp32", "int8"], "default": "fp32", "propagate": True}}


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_variant_that_propagates_holds_for_everything_below(precision: str) -> None:
    components = world(
        {"data": needs("dataset:pictures"), "lib": needs("lib.a")},
        dataset("pictures", deps={"labels": needs("dataset:labels")}),  # has no such variant, and hands it on
        dataset("labels", variants=PRECISION),
        package("lib-wheel", "lib.a", ["1.0"], variants=PRECISION),
        variants=HANDED,
    )
    graph = chosen(solved(components, variants={"precision": precision}))
    assert graph["dataset:labels"] == f"labels 1.0.0 (precision={precision})"
    assert graph["lib.a"] == f"lib-wheel 1.0 (precision={precision})"
    assert graph["dataset:pictures"] == "pictures 1.0.0"


def test_a_variant_that_does_not_propagate_leaves_the_defaults() -> None:
    components = world({"d": needs("dataset:pictures")}, dataset(variants=PRECISION), variants=PRECISION)
    graph = chosen(solved(components, variants={"precision": "int8"}))
    assert graph["dataset:pictures"] == "pictures 1.0.0 (precision=fp32)"


@pytest.mark.parametrize("more", [{"propagate": False}, {"variants": {"precision": "fp32"}}])
def test_a_dependency_can_refuse_what_is_handed_on(more: dict[str, Any]) -> None:
    components = world(
        {"data": needs("dataset:pictures", **more), "other": needs("dataset:labels")},
        dataset(variants=PRECISION),
        dataset("labels", variants=PRECISION),
        variants=HANDED,
    )
    graph = chosen(solved(components, variants={"precision": "int8"}))
    assert graph["dataset:pictures"] == "pictures 1.0.0 (precision=fp32)"
    assert graph["dataset:labels"] == "labels 1.0.0 (precision=int8)"


def test_what_is_handed_on_does_not_reach_the_machine_that_builds() -> None:
    tool = package("tool-wheel", "tool.gen", ["1.0"], variants=PRECISION)
    components = world({"t": needs("tool.gen", **{"for": "build"})}, tool, variants=HANDED)
    graph = chosen(solved(components, variants={"precision": "int8"}, target=BOARD))
    assert graph["tool.gen for build"] == "tool-wheel 1.0 (precision=fp32)"


def test_a_value_that_is_handed_on_reaches_what_tags_choose() -> None:
    components = world({"d": tags("street")}, dataset("city", tags=["street"], variants=PRECISION), variants=HANDED)
    graph = chosen(solved(components, variants={"precision": "int8"}))
    assert graph["dataset:city"] == "city 1.0.0 (precision=int8)"


# -- conditions ----------------------------------------------------------------------------------------------

GCC = soft("gcc", "compiler.c")


@pytest.mark.parametrize(
    ("when", "there"),
    [
        ({"detected.compiler.c": ">=12"}, True),
        ({"detected.compiler.c": ">=13"}, False),
        ({"detected.compiler.c": ["<3", "12.x"]}, True),
        ({"detected.compiler.c": "*"}, True),
        ({"detected.compiler.rust": "*"}, False),
        ({"detected.compiler.c#triple": "x86_64-linux-gnu"}, True),
        ({"detected.compiler.c#triple": "aarch64-linux-gnu"}, False),
        ({"detected.compiler.c#colour": "red"}, False),
        ({"machine.cpu.features": "avx2"}, True),
        ({"machine.cpu.features": ["sve", "avx2"]}, True),
        ({"machine.cpu.features": "sve"}, False),
        ({"machine.memory_mib": "8192"}, True),
        ({"machine.cpu.nonsense.deeper": "x"}, False),
        ({"target.abi": "gnu", "target.os": "linux", "target.triple": HOST, "target.arch": "x86_64"}, True),
        ({"target.abi": "musl"}, False),
    ],
)
def test_conditions_ask_what_this_machine_is_and_has(when: dict[str, Any], there: bool) -> None:
    gcc = found("compiler.c", "12.2", "gcc", facts={"triple": "x86_64-linux-gnu"})
    components = world({"a": needs("lib.a", when=when)}, LIB, GCC)
    machine = {"cpu": {"features": ["avx", "avx2"]}, "memory_mib": 8192}
    one = universe(components, [gcc], machine=lambda: machine)
    assert ("a" in roles(resolve(one, components[0], {}))) is there


@pytest.mark.parametrize("when", [{"detected.compiler.c": "*"}, {"machine.cpu.features": "avx2"}])
def test_what_is_not_known_of_another_machine_does_not_hold(when: dict[str, Any]) -> None:
    components = world({"a": needs("lib.a", when=when), "b": needs("lib.b")}, LIB, GCC)
    builder = source("b-source", "lib.b", ["1.0"], deps={"t": needs("lib.t", **{"for": "build"})})
    tool = source("t-source", "lib.t", ["1.0"], deps={"a": needs("lib.a", when=when)})
    one = universe(
        [*components, builder, tool],
        [found("compiler.c", "12.2", "gcc")],
        target=BOARD,
        machine=lambda: {"cpu": {"features": ["avx2"]}},
    )
    graph = chosen(resolve(one, components[0], {}))
    assert "lib.a" not in graph, "the board is not this machine"
    assert "lib.a for build" in graph, "the machine that builds is"


def test_the_machine_is_not_asked_where_no_condition_needs_it() -> None:
    def asked() -> dict[str, object]:
        raise AssertionError

    components = world({"a": needs("lib.a", when={"target.os": "linux"})}, LIB)
    assert resolve(universe(components, machine=asked), components[0], {})


def test_the_interpreter_that_runs_the_tool_is_no_detected_fact() -> None:
    own = found("compiler.python", "3.12", "python", tool=True)
    components = world(
        {"a": needs("lib.a", when={"detected.compiler.python": "*"})}, LIB, soft("python", "compiler.python")
    )
    assert "a" not in roles(solved(components, [own]))


# -- withdrawn versions --------------------------------------------------------------------------------------

WITHDRAWN = [dataset(version="1.0.0"), dataset(version="2.0.0", yanked="labels are wrong")]


def test_a_withdrawn_version_is_passed_over() -> None:
    assert chosen(solved(world({"d": needs("dataset:pictures")}, *WITHDRAWN)))["dataset:pictures"] == "pictures 1.0.0"


@pytest.mark.parametrize("pin", ["2.0.0", "==2.0.0", "=2.0.0", "dataset:pictures@2.0.0"])
def test_a_withdrawn_version_is_used_where_it_is_pinned_exactly(pin: str) -> None:
    request = Request(pins={"dataset:pictures": pin})
    graph = solved(world({"d": needs("dataset:pictures")}, *WITHDRAWN), request=request)
    assert chosen(graph)["dataset:pictures"] == "pictures 2.0.0"


def test_a_pin_that_is_not_exact_does_not_bring_it_back() -> None:
    with pytest.raises(ResolutionError, match="withdrawn by its publisher"):
        solved(world({"d": needs("dataset:pictures")}, *WITHDRAWN), request=Request(pins={"dataset:pictures": ">=2"}))


def test_a_withdrawn_version_is_used_where_a_lock_keeps_it() -> None:
    components = world({"d": needs("dataset:pictures")}, *WITHDRAWN)
    one = universe(components, kept=("dataset:pictures@2.0.0",))
    assert chosen(resolve(one, components[0], {}))["dataset:pictures"] == "pictures 2.0.0"


def test_a_withdrawn_recipe_is_used_where_what_it_installs_is_pinned_exactly() -> None:
    old = package("lib-wheel", "lib.a", ["1.0"], version="1.0.0")
    new = package("lib-wheel", "lib.a", ["1.0", "2.0"], version="1.1.0", yanked="2.0 crashes")
    components = world({"a": needs("lib.a")}, old, new)
    assert chosen(solved(components))["lib.a"] == "lib-wheel 1.0"
    assert chosen(solved(components, request=Request(pins={"lib.a": "==2.0"})))["lib.a"] == "lib-wheel 2.0"


def test_a_withdrawn_solution_that_is_named_is_meant() -> None:
    components = world({"a": needs("lib.a")}, LIB, yanked="replaced")
    assert chosen(solved(components))["lib.a"] == "lib-wheel 2.0"


# -- optional dependencies -----------------------------------------------------------------------------------


def test_as_few_optional_dependencies_as_possible_are_left_out() -> None:
    # Whoever is greedy takes `first` and has to leave out both others.
    first = package("first", "lib.first", ["1"], conflicts=[{"with": "lib.second"}, {"with": "lib.third"}])
    deps = {
        "first": needs("lib.first", optional=True),
        "second": needs("lib.second", optional=True),
        "third": needs("lib.third", optional=True),
    }
    components = world(deps, first, package("second", "lib.second", ["1"]), package("third", "lib.third", ["1"]))
    assert set(roles(solved(components))) == {"program", "second", "third"}


def test_of_equally_many_the_first_declared_is_taken() -> None:
    one = package("one", "lib.one", ["1"], conflicts=[{"with": "lib.two"}])
    deps = {"one": needs("lib.one", optional=True), "two": needs("lib.two", optional=True)}
    assert set(roles(solved(world(deps, one, package("two", "lib.two", ["1"]))))) == {"program", "one"}


def test_an_optional_dependency_goes_before_a_newer_version_of_something_else() -> None:
    extra = package("extra", "lib.extra", ["1"], deps={"a": needs("lib.a", version="<2")})
    graph = chosen(solved(world({"a": needs("lib.a"), "x": needs("lib.extra", optional=True)}, LIB, extra)))
    assert graph["lib.extra"] == "extra 1"
    assert graph["lib.a"] == "lib-wheel 1.1"


def test_an_optional_dependency_is_taken_although_something_detected_is_not_reused_then() -> None:
    extra = package("extra", "lib.extra", ["1"], deps={"a": needs("lib.a", version=">=2")})
    components = world({"a": needs("lib.a"), "x": needs("lib.extra", optional=True)}, LIB, extra, soft("liba", "lib.a"))
    graph = chosen(solved(components, [found("lib.a", "1.0", "liba")]))
    assert graph["lib.extra"] == "extra 1"
    assert graph["lib.a"] == "lib-wheel 2.0"


# -- what is preferred ---------------------------------------------------------------------------------------


def test_most_of_what_is_detected_is_reused() -> None:
    # The newest `top` would need a newer `lib.a` than the machine has.
    top = package(
        "top",
        "lib.top",
        ["2", "1"],
        deps={"a": needs("lib.a", version=">=2", when={"version": "2"}), "b": needs("lib.a")},
    )
    components = world({"t": needs("lib.top")}, top, LIB, soft("liba", "lib.a"))
    assert chosen(solved(components))["lib.top"] == "top 2"
    graph = chosen(solved(components, [found("lib.a", "1.0", "liba")]))
    assert graph["lib.top"] == "top 1"
    assert graph["lib.a"] == "liba 1.0 (detected)"


def test_what_stands_nearer_to_the_solution_is_newest_first() -> None:
    near = package("near", "lib.near", ["1", "2"], deps={"far": needs("lib.far", version="<2", when={"version": "2"})})
    far = package("far", "lib.far", ["1", "2"])
    # A greedy choice of the newest `far` first would take `near 1`.
    graph = chosen(solved(world({"near": needs("lib.near"), "far": needs("lib.far")}, near, far)))
    assert (graph["lib.near"], graph["lib.far"]) == ("near 2", "far 1")


def test_of_two_equal_recipes_the_one_that_needs_fewer_installs_is_taken() -> None:
    heavy = package("a-heavy", "lib.a", ["1.0"], deps={"b": needs("lib.b")})
    light = package("z-light", "lib.a", ["1.0"])
    components = world({"a": needs("lib.a")}, heavy, light, package("b", "lib.b", ["1"]))
    assert chosen(solved(components))["lib.a"] == "z-light 1.0"


# -- two machines --------------------------------------------------------------------------------------------


def test_a_cross_build_has_a_compiler_for_each_machine() -> None:
    """Host x86_64, target aarch64: a code generator is built and run here, the library is made for the board."""
    generator = source("generator", "tool.generator", ["1.0"], deps={"cc": needs("compiler.c", version=">=11")})
    library = source(
        "library",
        "lib.model",
        ["1.0"],
        deps={"generator": needs("tool.generator", **{"for": "build"}), "cc": needs("compiler.c", **{"for": "build"})},
    )
    deps = {"lib": needs("lib.model"), "cc": needs("compiler.c")}
    components = world(deps, generator, library, soft("gcc", "compiler.c"), soft("clang", "compiler.c"))
    detected = [found("compiler.c", "12.2", "gcc"), found("compiler.c", "9.0", "clang")]
    graph = solved(components, detected, target=BOARD)
    assert chosen(graph) == {
        "compiler.c for build": "gcc 12.2 (detected)",
        "compiler.c": "gcc 12.2 (expected)",
        "tool.generator for build": "generator 1.0",
        "lib.model": "library 1.0",
        "program:runner": "runner 1.0.0",
        "solution:demo": "demo 1.0.0",
    }
    by_id = {node.id: node for node in graph.nodes}
    assert by_id["lib.model@1.0"].deps == {
        "generator": "tool.generator@1.0 (build)",
        "cc": "compiler.c@12.2 (build)",
    }
    assert by_id["tool.generator@1.0 (build)"].deps == {"cc": "compiler.c@12.2 (build)"}
    assert roles(graph)["cc"] == "compiler.c@12.2"
    native = solved(components, detected)
    assert [node.needs for node in native.nodes].count("compiler.c") == 1


def test_software_with_a_detector_and_no_recipe_is_expected_on_another_machine() -> None:
    components = world({"cc": needs("compiler.c", version=">=10")}, soft("gcc", "compiler.c"))
    assert (
        chosen(solved(components, [found("compiler.c", "12", "gcc")], target=BOARD))["compiler.c"]
        == "gcc 12 (expected)"
    )
    # Nothing was found here, or nothing that will do: which version is there shows only there.
    assert chosen(solved(components, target=BOARD))["compiler.c"] == "gcc (expected)"
    graph = solved(components, [found("compiler.c", "9", "gcc")], target=BOARD)
    assert chosen(graph)["compiler.c"] == "gcc (expected)"
    assert roles(graph)["cc"] == "compiler.c@unknown"


def test_what_a_recipe_installs_on_the_target_is_not_expected_there() -> None:
    components = world({"a": needs("lib.a")}, LIB, soft("liba", "lib.a"))
    assert chosen(solved(components, [found("lib.a", "9", "liba")], target=BOARD))["lib.a"] == "lib-wheel 2.0"


def test_a_detector_for_other_targets_expects_nothing() -> None:
    only_here = component("soft", "gcc", detects="compiler.c", find={"executables": ["gcc"]}, targets=[HOST])
    with pytest.raises(ResolutionError):
        solved(world({"cc": needs("compiler.c")}, only_here), target=BOARD)


# -- several versions of one capability ----------------------------------------------------------------------


def twice(duplicable: bool = True, versions: list[str] | None = None) -> list[Component]:
    maths = source("maths", "lib.maths", versions or ["1.4", "2.0", "2.1"], duplicable=duplicable)
    old = source("solver", "lib.solver", ["0.9"], deps={"maths": needs("lib.maths", version="<2")})
    return world({"solver": needs("lib.solver"), "maths": needs("lib.maths", version=">=2")}, maths, old)


def test_two_versions_stand_in_one_graph_where_one_cannot_serve_all() -> None:
    graph = solved(twice())
    by_id = {node.id: node for node in graph.nodes}
    assert roles(graph)["maths"] == "lib.maths@2.1"
    assert by_id["lib.solver@0.9"].deps == {"maths": "lib.maths@1.4"}
    assert sorted(id_ for id_ in by_id if "maths" in id_) == ["lib.maths@1.4", "lib.maths@2.1"]
    assert {asked.by for asked in graph.asked["lib.maths@1.4"]} == {"solver 0.9"}
    assert {asked.by for asked in graph.asked["lib.maths@2.1"]} == {"solution:demo@1.0.0"}


def test_two_versions_stand_in_one_graph_only_where_the_recipe_says_so() -> None:
    with pytest.raises(ResolutionError, match="of lib.maths there is only maths 1.4, 2.0 and 2.1"):
        solved(twice(duplicable=False))


def test_one_version_is_taken_where_it_can_serve_all_although_it_is_older() -> None:
    maths = source("maths", "lib.maths", ["1.4", "2.1"], duplicable=True)
    old = source("solver", "lib.solver", ["0.9"], deps={"maths": needs("lib.maths", version="<2")})
    components = world({"maths": needs("lib.maths"), "solver": needs("lib.solver")}, maths, old)
    graph = solved(components)
    assert [node.id for node in graph.nodes if node.needs == "lib.maths"] == ["lib.maths@1.4"]


def test_no_more_versions_than_needed() -> None:
    maths = source("maths", "lib.maths", ["1", "2", "3"], duplicable=True)
    users = [
        source(f"user-{i}", f"lib.user{i}", ["1"], deps={"maths": needs("lib.maths", version=constraint)})
        for i, constraint in enumerate(["<3", "<2", ">=2", ">=3"])
    ]
    deps = {f"u{i}": needs(f"lib.user{i}") for i in range(4)}
    graph = solved(world(deps, maths, *users))
    assert sorted(node.id for node in graph.nodes if node.needs == "lib.maths") == ["lib.maths@1", "lib.maths@3"]


def test_a_conflict_holds_for_every_copy() -> None:
    components = twice()
    components.append(source("guard", "lib.guard", ["1"], conflicts=[{"with": "lib.maths", "version": "<2"}]))
    components[0] = solution(deps={**components[0].meta["deps"], "guard": needs("lib.guard")})
    with pytest.raises(ResolutionError):
        solved(components)


def test_a_tool_that_needs_its_own_older_version_can_be_had_where_it_may_be_there_twice() -> None:
    deps = {"boot": needs("tool.cc", version="<2", when={"version": ">=2"})}
    compiler = source("cc", "tool.cc", ["1", "2"], duplicable=True, deps=deps)
    graph = solved(world({"cc": needs("tool.cc", version=">=2")}, compiler))
    by_id = {node.id: node for node in graph.nodes}
    assert by_id["tool.cc@2"].deps == {"boot": "tool.cc@1"}


def test_every_copy_must_permit_it() -> None:
    components = twice(versions=["2.0", "2.1"])
    components.append(source("old-maths", "lib.maths", ["1.4"]))
    with pytest.raises(ResolutionError):
        solved(components)


def test_copies_reach_the_lock_with_names_of_their_own() -> None:
    from codereef.lock.build import build_lock

    components = twice()
    lock = build_lock(components[0], [solved(components)], Request())
    assert {"lib.maths@1.4", "lib.maths@2.1"} <= set(lock.nodes)
    assert lock.nodes["lib.solver@0.9"].deps == {"maths": "lib.maths@1.4"}
    assert lock.nodes["lib.maths@1.4"].install_key != lock.nodes["lib.maths@2.1"].install_key


# -- what a user types ---------------------------------------------------------------------------------------


def test_a_user_names_a_component_by_its_tags() -> None:
    index = universe(PICTURES).index
    assert index.find("dataset?street,-large").name == "country"
    assert index.find("?kitchen", default_kind="dataset").name == "fruit"


def test_tags_that_several_have_are_refused_with_what_tells_them_apart() -> None:
    with pytest.raises(UsageError) as caught:
        universe(PICTURES).index.find("dataset?street")
    assert "dataset:city (large)" in caught.value.message
    assert "dataset:country (small)" in caught.value.message
    assert caught.value.context["candidates"] == ["dataset:city", "dataset:country"]


@pytest.mark.parametrize(
    ("text", "error", "expected"),
    [
        ("dataset?stret", NotFoundError, "Did you mean the tag `street`"),
        ("datset?street", UsageError, "Did you mean `dataset?street`"),
        ("dataset?", UsageError, "model?object-detection,-int8"),
        ("dataset?Street", UsageError, "model?object-detection,-int8"),
        ("dataset?qqqqqqqq", NotFoundError, "cr search --kind dataset"),
    ],
)
def test_a_query_that_says_nothing_is_refused_with_help(text: str, error: type[Exception], expected: str) -> None:
    with pytest.raises(error) as caught:
        universe(PICTURES).index.find(text)
    assert expected in caught.value.hint  # type: ignore[attr-defined]


def test_the_models_format_is_a_condition_on_the_machine_too() -> None:
    runtimes = [
        {"format": "onnx", "needs": "lib.onnxruntime", "when": {"target.arch": "x86_64"}},
        {"format": "tflite", "needs": "lib.tflite", "when": {"target.arch": "aarch64"}},
    ]
    components = world(
        {"model": needs("model:net")},
        model(runtimes=runtimes),
        package("ort", "lib.onnxruntime", ["1"]),
        package("litert", "lib.tflite", ["1"]),
    )
    assert "lib.tflite" not in chosen(solved(components))
    assert "lib.onnxruntime" not in chosen(solved(components, target=BOARD))


def test_the_task_counts_as_a_tag() -> None:
    index = universe([dataset("city", task="segmentation"), dataset("fruit")]).index
    assert index.find("dataset?segmentation").name == "city"
    assert index.find("dataset?-segmentation").name == "fruit"
