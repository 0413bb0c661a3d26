# SPDX-License-Identifier: Apache-2.0
"""What differs between two locks, in the words of people."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from codereef.lock.build import build_lock
from codereef.lock.diff import Change, compare_locks
from codereef.lock.model import Lock, LockedDistribution, environment_key, read_lock, write_lock
from codereef.solve.candidates import Request

from tests.lock.test_lock import NUMPY, PYTHON, complete, made, world
from tests.lock.test_names import PAIRS, locked
from tests.solve.worlds import BOARD, HOST, found, solved


def told(a: Lock, b: Lock) -> list[tuple[str, str, str, str]]:
    return [(c.status, c.kind, c.what, c.text) for c in compare_locks(a, b)]


def test_a_lock_differs_in_nothing_from_itself(tmp_path: Path) -> None:
    lock = complete(made())
    write_lock(lock, tmp_path / "cr.lock")
    assert compare_locks(lock, read_lock(tmp_path / "cr.lock")) == []


def test_ids_client_and_format_are_no_difference() -> None:
    lock = complete(made())
    renamed = {key: f"{key}~abcdef" for key in lock.nodes}
    nodes = {
        renamed[k]: replace(n, deps={role: renamed[dep] for role, dep in n.deps.items()}) for k, n in lock.nodes.items()
    }
    configurations = tuple(
        replace(c, root=renamed[c.root], nodes=tuple(renamed[k] for k in c.nodes)) for c in lock.configurations
    )
    other = replace(lock, nodes=nodes, configurations=configurations, client="9.9", format="codereef-lock/1")
    assert compare_locks(lock, other) == []


def test_a_new_version_is_one_change_and_moves_nothing_that_depends_on_it() -> None:
    before = complete(made(formats=["onnx"]))
    after = complete(made(world(ort=["1.20.0", "1.21.0"]), formats=["onnx"]))
    rows = told(before, after)
    assert ("changed", "node", "lib.onnxruntime", rows[0][3]) == rows[0]
    assert rows[0][3].startswith("version 1.20.0 → 1.21.0; digest ")
    assert [row[:3] for row in rows[1:]] == []


def test_a_configuration_and_its_nodes_are_added_and_removed() -> None:
    one, two = complete(made(formats=["onnx"])), complete(made())
    added = told(one, two)
    assert ("added", "configuration", "format=tflite", "added") in added
    assert ("added", "node", "lib.tflite", "version – → 1.2.0") in added
    assert {row[0] for row in added} == {"added"}
    assert {row[0] for row in told(two, one)} == {"removed"}


def test_the_same_change_on_several_targets_is_told_once() -> None:
    lock = locked(world(), [PAIRS[0], PAIRS[2]])
    more = locked(world(), PAIRS, lock)
    changes = [c for c in compare_locks(lock, more) if c.what == "format=tflite"]
    assert changes == [Change("configuration", "format=tflite", "added", (BOARD, HOST))]


def test_software_found_instead_of_installed_names_its_source_and_facts() -> None:
    before, after = made(formats=["onnx"]), made(formats=["onnx"], detected=[PYTHON, NUMPY])
    row = next(row for row in told(before, after) if row[2] == "python.numpy")
    assert "version 2.1.0 → 1.26.4" in row[3] and "source install → detected" in row[3]
    gcc = [found("compiler.python", "3.11.2", "python", facts={"bits": bits}) for bits in (32, 64)]
    worlds = [made(detected=[python], formats=["onnx"]) for python in gcc]
    assert [row[3] for row in told(*worlds)] == ["bits 32 → 64"]


def test_distributions_differ_by_version_and_by_files() -> None:
    before = complete(made(formats=["onnx"]))
    name, environment = next(iter(before.environments.items()))

    def having(*distributions: LockedDistribution) -> Lock:
        other = replace(environment, distributions=distributions)
        return replace(before, environments={name: replace(other, install_key=environment_key(other))})

    a = having(LockedDistribution("one", "1.0", ("a" * 64,)), LockedDistribution("two", "1.0", ("b" * 64,)))
    b = having(LockedDistribution("one", "1.1", ("c" * 64,)), LockedDistribution("three", "1.0", ("b" * 64,)))
    assert told(a, b) == [
        ("changed", "distribution", "one", "version 1.0 → 1.1"),
        ("added", "distribution", "three", "version – → 1.0"),
        ("removed", "distribution", "two", "version 1.0 → –"),
    ]
    c = having(LockedDistribution("one", "1.0", ("d" * 64,)), LockedDistribution("two", "1.0", ("b" * 64,)))
    assert told(a, c) == [("changed", "distribution", "one", f"files {'a' * 12} → {'d' * 12}")]


def test_wishes_and_targets_without_a_graph_are_compared() -> None:
    plain = made(formats=["onnx"])
    pinned = made(formats=["onnx"], request=Request(pins={"lib.onnxruntime": "1.20.0"}))
    assert told(plain, pinned) == [("changed", "request", "pins", "pins – → lib.onnxruntime=1.20.0")]
    graph = solved(world(), [PYTHON], variants={"format": "onnx"})
    lacking = replace(build_lock(world()[0], [graph], Request()), without={BOARD: {"format=onnx": "no lib.x there"}})
    assert told(plain, lacking) == [("added", "without", "format=onnx", "reason – → no lib.x there")]
