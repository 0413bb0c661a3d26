# SPDX-License-Identifier: Apache-2.0
"""The numbered graph: which candidates a requirement has, in which order, and why others are left out."""

from __future__ import annotations

import pytest
from codereef.errors import MetadataError
from codereef.meta.component import Component
from codereef.solve.candidates import Request, TargetFacts

from tests.solve.worlds import BOARD, HOST, component, dataset, found, package, program, soft, solution, universe


def labels(components: list[Component], needs: str, **more: object) -> list[str]:
    one = universe(components, **more)  # type: ignore[arg-type]
    return [candidate.label for candidate in one.candidates[one.variable(needs)]]


def test_candidates_stand_in_the_order_of_the_policy() -> None:
    components = [
        package(
            "plain",
            "lib.a",
            ["1.0", "3.0rc1", "2.0"],
            variants={"device": {"values": ["cuda", "cpu"], "default": "cpu"}},
        ),
        package("liked", "lib.a", ["0.5"], preference=1),
        soft("liba", "lib.a"),
    ]
    assert labels(components, "lib.a", detected=[found("lib.a", "0.1", "liba")]) == [
        "liba 0.1 (detected)",
        "liked 0.5",
        "plain 2.0 (device=cpu)",
        "plain 2.0 (device=cuda)",
        "plain 1.0 (device=cpu)",
        "plain 1.0 (device=cuda)",
        "plain 3.0rc1 (device=cpu)",
        "plain 3.0rc1 (device=cuda)",
    ]


def test_of_two_recipes_for_one_version_the_newer_recipe_comes_first() -> None:
    components = [package("r", "lib.a", ["1.0"], version="1.9.0"), package("r", "lib.a", ["1.0"], version="1.10.0")]
    one = universe(components)
    assert [c.component.version for c in one.candidates[one.variable("lib.a")]] == ["1.10.0", "1.9.0"]


def test_a_variable_is_one_for_both_machines_when_they_are_the_same() -> None:
    one = universe([package("a", "lib.a", ["1"])])
    assert one.variable("lib.a", "build") == one.variable("lib.a", "run")
    two = universe([package("a", "lib.a", ["1"])], target=BOARD)
    assert two.variable("lib.a", "build") != two.variable("lib.a", "run")


@pytest.mark.parametrize(
    ("request_", "reason", "remedy"),
    [
        (Request(pins={"lib.a": ">=2"}), "outside your pin lib.a >=2", "leave out --pin lib.a"),
        (Request(pins={"package:r": ">=2"}), "outside your pin package:r >=2", "leave out --pin package:r"),
        (Request(forbid=("package:r",)), "forbidden by you", "leave out --forbid package:r"),
        (Request(forbid=("package:r@1.0.0",)), "forbidden by you", "leave out --forbid package:r@1.0.0"),
    ],
)
def test_what_is_left_out_is_kept_with_the_reason(request_: Request, reason: str, remedy: str) -> None:
    one = universe([package("r", "lib.a", ["1.0"])], request=request_)
    number = one.variable("lib.a")
    assert one.candidates[number] == []
    assert [(e.label, e.reason, e.remedy) for e in one.excluded[number]] == [("r 1.0", reason, remedy)]


def test_a_ban_of_one_version_of_a_recipe_leaves_the_others() -> None:
    components = [package("r", "lib.a", ["1.0"], version="1.0.0"), package("r", "lib.a", ["1.0"], version="2.0.0")]
    one = universe(components, request=Request(forbid=("package:r@2.0.0",)))
    assert [c.component.version for c in one.candidates[one.variable("lib.a")]] == ["1.0.0"]


def test_a_forced_install_of_what_nothing_installs_changes_nothing() -> None:
    detected = [found("compiler.c", "12", "gcc")]
    assert labels(
        [soft("gcc", "compiler.c")], "compiler.c", detected=detected, request=Request(install=("compiler.c",))
    ) == ["gcc 12 (detected)"]


def test_data_is_installed_and_a_program_is_used_as_it_is() -> None:
    one = universe([dataset(), program()])
    assert [c.source for c in one.candidates[one.variable("dataset:pictures")]] == ["install"]
    assert [c.source for c in one.candidates[one.variable("program:runner")]] == ["component"]


def test_the_root_is_the_version_and_the_variants_that_were_named() -> None:
    variants = {"size": {"values": ["s", "l"], "default": "s"}}
    old, new = solution(version="1.0.0", variants=variants), solution(version="2.0.0", variants=variants)
    one = universe([old, new])
    root = one.root(old, {"size": "l"})
    fitting = [c.label for i, c in enumerate(one.candidates[root.variable]) if root.allowed >> i & 1]
    assert fitting == ["demo 1.0.0 (size=l)"]


def test_too_many_combinations_of_variants_are_an_error() -> None:
    many = {f"v{i}": {"values": ["a", "b"], "default": "a"} for i in range(10)}
    with pytest.raises(MetadataError, match="1024 combinations of variants"):
        universe([dataset(variants=many)]).variable("dataset:pictures")


@pytest.mark.parametrize(
    ("triple", "facts"),
    [
        (HOST, ("linux", "x86_64", "gnu")),
        ("android-aarch64", ("android", "aarch64", "")),
        ("linux-armv7-gnueabihf", ("linux", "armv7", "gnueabihf")),
    ],
)
def test_the_parts_of_a_triple_are_facts(triple: str, facts: tuple[str, str, str]) -> None:
    found_ = TargetFacts.from_triple(triple).facts()
    assert (found_["target.os"], found_["target.arch"], found_["target.abi"]) == facts
    assert found_["target.triple"] == triple


def test_capabilities_are_those_detected_and_those_provided() -> None:
    assert universe(
        [
            soft("gcc", "compiler.c"),
            package("a", "lib.a", ["1"]),
            component("target", "t", triple=HOST, os="linux", arch="x86_64", abi="gnu", runner="local"),
        ]
    ).capabilities() == {"compiler.c", "lib.a"}
