# SPDX-License-Identifier: Apache-2.0
"""Node ids: the same whatever was solved first, and kept, so that adding something only adds lines."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Sequence
from dataclasses import replace

import pytest
from codereef.canonical import pretty_json
from codereef.lock.build import Kept, build_lock
from codereef.lock.model import Lock, from_document, to_document
from codereef.meta.component import Component
from codereef.meta.schemas import problems
from codereef.solve.candidates import Request

from tests.lock.test_lock import FORMATS, PYTHON, complete, world
from tests.solve.worlds import BOARD, HOST, SHA, component, found, package, soft, solution, solved


def twice() -> list[Component]:
    """A world where lib.top is chosen alike in both configurations, with other dependencies."""
    components = world()
    components[0] = solution(
        variants=FORMATS,
        deps={
            "python": {"needs": "compiler.python"},
            "top": {"needs": "lib.top"},
            "a": {"needs": "lib.a", "version": "<2", "when": {"format": "onnx"}},
        },
    )
    components += [
        package("top-wheel", "lib.top", ["1.0"], deps={"a": {"needs": "lib.a"}}),
        package("a-wheel", "lib.a", ["1.0", "2.0"]),
    ]
    return components


def locked(
    components: Sequence[Component],
    pairs: Sequence[tuple[str, str]],
    old: Lock | None = None,
    order: Sequence[tuple[str, str]] | None = None,
) -> Lock:
    """Lock (target, format) pairs; what `old` has is not solved again."""
    held = [c for c in old.configurations if (c.target, c.variants["format"]) in pairs] if old else []
    have = {(c.target, c.variants["format"]) for c in held}
    graphs = [
        solved(components, [PYTHON], variants={"format": f}, target=target)
        for target, f in pairs
        if (target, f) not in have
    ]
    places = [(target, f"format={f}") for target, f in order or pairs]
    return build_lock(components[0], graphs, Request(), old, host=HOST, kept=Kept(held, {}, places))


def lines(lock: Lock) -> list[str]:
    return pretty_json(to_document(lock)).splitlines()


def removed(before: Lock, after: Lock) -> list[str]:
    diff = difflib.unified_diff(lines(before), lines(after), n=0, lineterm="")
    return [line[1:].strip() for line in diff if line.startswith("-") and not line.startswith("---")]


PAIRS = [(HOST, "onnx"), (HOST, "tflite"), (BOARD, "onnx"), (BOARD, "tflite")]


@pytest.mark.parametrize("components", [world(), twice()], ids=["world", "twice"])
def test_the_order_of_solving_changes_no_byte(components: list[Component]) -> None:
    one = locked(components, PAIRS)
    other = locked(components, PAIRS[::-1], order=PAIRS)
    assert pretty_json(to_document(one)) == pretty_json(to_document(other))


@pytest.mark.parametrize("components", [world(), twice()], ids=["world", "twice"])
def test_adding_a_configuration_and_a_target_only_adds_lines(components: list[Component]) -> None:
    small = locked(components, PAIRS[:1])
    both = locked(components, PAIRS[:2], small)
    everything = locked(components, PAIRS, both)
    # A closing brace gets a comma; nothing else of what was there changes.
    assert {line.rstrip(",") for line in removed(small, both)} <= {"}", "]"}
    assert {line.rstrip(",") for line in removed(both, everything)} <= {"}", "]"}
    assert len(everything.configurations) == 4


def test_adding_a_target_from_scratch_leaves_the_ids_of_this_machine() -> None:
    alone = locked(world(), PAIRS[:2])
    with_board = locked(world(), PAIRS)
    assert {k: n for k, n in with_board.nodes.items() if k in alone.nodes} == dict(alone.nodes)


def test_targets_share_what_is_the_same_and_name_what_is_not() -> None:
    lock = locked(world(), [PAIRS[0], PAIRS[2]])
    here, board = lock.for_target(HOST), lock.for_target(BOARD)
    assert {"dataset:pictures@1.0.0", "program:runner@1.0.0"} <= here.nodes.keys() & board.nodes.keys()
    python = board.nodes[f"compiler.python@3.11.2 ({BOARD})"]
    assert (python.source, python.version, python.binary, dict(python.facts)) == ("expected", "3.11.2", "", {})
    assert "lib.onnxruntime@1.20.0" in here.nodes.keys() & board.nodes.keys()
    assert lock.targets == (HOST, BOARD)
    assert [e.target for e in board.environments.values()] == [BOARD]
    assert problems(json.loads(json.dumps(to_document(complete(lock)))), "lock") == []


def test_what_is_expected_without_a_version_has_a_readable_id() -> None:
    components = [*world(builder={"needs": "tool.builder"}), soft("builder", "tool.builder")]
    lock = locked(components, [PAIRS[2]])
    node = lock.nodes[f"tool.builder@unknown ({BOARD})"]
    assert (node.source, node.version) == ("expected", "")
    document = json.loads(json.dumps(to_document(complete(lock))))
    assert problems(document, "lock") == []
    assert from_document(document).nodes == complete(lock).nodes


def test_the_keys_of_others_are_kept_when_a_lock_is_written_again() -> None:
    old = complete(locked(world(), PAIRS[:2]))
    document = json.loads(json.dumps(to_document(old)))
    document["x-team"] = {"ticket": 7}
    document["configurations"][0]["x-why"] = "the board runs it"
    document["nodes"]["compiler.python@3.11.2"]["x-scanned"] = ["2026-01-01"]
    next(iter(document["environments"].values()))["x-size"] = 12
    assert problems(document, "lock") == []
    marked = from_document(document)
    assert to_document(marked) == document
    assert '"x-' not in json.dumps(to_document(marked.restricted(marked.configurations[0])))
    assert marked.restricted(marked.configurations[0]).digest == old.restricted(old.configurations[0]).digest
    graphs = [solved(world(), [PYTHON], variants={"format": f}) for f in ("onnx", "tflite")]
    again = to_document(build_lock(world()[0], graphs, Request(), marked, host=HOST))
    assert again["x-team"] == {"ticket": 7}
    assert again["configurations"][0]["x-why"] == "the board runs it"
    assert again["nodes"]["compiler.python@3.11.2"]["x-scanned"] == ["2026-01-01"]
    assert [e.get("x-size") for e in again["environments"].values()].count(12) == 1


def test_a_key_of_nobody_is_refused() -> None:
    document = json.loads(json.dumps(to_document(complete(locked(world(), PAIRS[:1])))))
    document["nodes"]["compiler.python@3.11.2"]["scanned"] = True
    assert [p.path for p in problems(document, "lock")] == ["$.nodes['compiler.python@3.11.2']"]


def test_a_build_names_its_toolchain() -> None:
    components = world(native={"needs": "lib.native"})
    components.append(
        component(
            "package",
            "native",
            provides={"capability": "lib.native", "versions": ["1.0"]},
            files=[{"name": "CMakeLists.txt", "sha256": SHA, "size": 3, "origin": "made for a test"}],
            install={"using": "cmake", "produces": ["lib/native.a"]},
            deps={"cc": {"needs": "compiler.c"}, "cmake": {"needs": "tool.cmake"}},
        )
    )
    components += [soft("gcc", "compiler.c"), soft("cmake", "tool.cmake")]
    gcc = found("compiler.c", "12.2.0", "gcc", facts={"triple": "x86_64-linux-gnu"})
    cmake = found("tool.cmake", "3.28.1", "cmake")
    graph = solved(components, [PYTHON, gcc, cmake], variants={"format": "onnx"})
    lock = build_lock(components[0], [graph], Request(), host=HOST)
    assert dict(lock.configurations[0].toolchain) == {
        "compiler.c": "compiler.c@12.2.0",
        "tool.cmake": "tool.cmake@3.28.1",
    }
    assert lock.nodes["compiler.c@12.2.0"].facts["triple"] == "x86_64-linux-gnu"
    assert lock.nodes["lib.native@1.0"].install_key.startswith("native-1.0-")


def test_copies_in_one_graph_are_told_apart_by_content_not_by_number() -> None:
    def top(name: str, version: str) -> Component:
        needs = {"util": {"needs": "lib.util", "version": f"=={version}"}}
        return package(f"{name}-wheel", f"lib.{name}", ["1.0"], deps=needs)

    components = world(x={"needs": "lib.x"}, y={"needs": "lib.y"})
    util = package("util-wheel", "lib.util", ["1.0", "2.0"])
    util.meta["provides"]["duplicable"] = True
    components += [top("x", "1.0"), top("y", "2.0"), util]
    graph = solved(components, [PYTHON], variants={"format": "onnx"})
    first = next(n for n in graph.nodes if n.id == "lib.util@1.0")
    # The same choice twice with other dependencies: the resolver numbers the second, in the order of its walk.
    python = next(n.id for n in graph.nodes if n.needs == "compiler.python")
    renamed = {"lib.util@2.0": "lib.util@1.0#2"}
    nodes = [
        replace(first, id="lib.util@1.0#2", deps={"python": python})
        if n.id in renamed
        else replace(n, deps={role: renamed.get(key, key) for role, key in n.deps.items()})
        for n in graph.nodes
    ]
    nodes.sort(key=lambda n: n.needs != "compiler.python")
    lock = build_lock(components[0], [replace(graph, nodes=tuple(nodes))], Request(), host=HOST)
    names = {key for key in lock.nodes if key.startswith("lib.util")}
    assert len(names) == 2 and all(re.fullmatch(r"lib\.util@1\.0~[0-9a-f]{6}", name) for name in names)
