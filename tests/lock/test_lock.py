# SPDX-License-Identifier: Apache-2.0
"""The lock: its file, its stability, its honesty about damage, and binding it to a machine."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from codereef.detect import Detected
from codereef.errors import LockError, MetadataError
from codereef.lock.bind import bind_detected, check_components, refuse
from codereef.lock.build import build_lock
from codereef.lock.model import (
    FORMAT,
    Lock,
    LockedDistribution,
    environment_key,
    from_document,
    read_lock,
    to_document,
    write_lock,
)
from codereef.meta.component import Component
from codereef.meta.schemas import check, problems
from codereef.repo.index import Index
from codereef.solve.candidates import Request

from tests.solve.worlds import BOARD, SHA, dataset, found, model, package, program, soft, solution, solved

PYTHON = found("compiler.python", "3.11.2", "python", path="/usr/bin/python3.11")
NUMPY = found("python.numpy", "1.26.4", "numpy", path="/usr/lib/site", python="/usr/bin/python3.11")
FORMATS = {"format": {"values": ["onnx", "tflite"], "default": "onnx"}}


def world(*, ort: Sequence[str] = ("1.20.0",), **deps: Any) -> list[Component]:
    runtimes = [
        {"format": "onnx", "needs": "lib.onnxruntime", "when": {"format": "onnx"}},
        {"format": "tflite", "needs": "lib.tflite", "when": {"format": "tflite"}},
    ]
    return [
        solution(
            deps={
                "model": {"needs": "model:net", "variants": {"format": "{format}"}},
                "data": {"needs": "dataset:pictures"},
                "python": {"needs": "compiler.python"},
                "numpy": {"needs": "python.numpy"},
                **deps,
            },
            variants=FORMATS,
        ),
        program(),
        model(runtimes=runtimes, variants=FORMATS),
        dataset(),
        package("ort-wheel", "lib.onnxruntime", ort, requirements=["onnxruntime=={version}"]),
        package("litert-wheel", "lib.tflite", ["1.2.0"], requirements=["ai-edge-litert=={version}", "numpy<3"]),
        package("numpy-wheel", "python.numpy", ["2.1.0"], requirements=["numpy=={version}"]),
        soft("python", "compiler.python"),
        soft("numpy", "python.numpy"),
    ]


def made(
    components: Sequence[Component] | None = None,
    detected: Sequence[Detected] = (PYTHON,),
    formats: Sequence[str] = ("onnx", "tflite"),
    old: Lock | None = None,
    request: Request | None = None,
    target: str = "linux-x86_64-gnu",
) -> Lock:
    chosen = world() if components is None else list(components)
    graphs = [solved(chosen, detected, variants={"format": f}, request=request, target=target) for f in formats]
    return build_lock(chosen[0], graphs, request or Request(), old)


def complete(lock: Lock) -> Lock:
    """Give every environment its exact distributions, as installing does."""
    environments = {}
    for name, environment in lock.environments.items():
        exact = replace(
            environment,
            distributions=tuple(
                LockedDistribution(r.split("=")[0].split("<")[0], "1", (SHA,)) for r in environment.requirements
            ),
        )
        environments[name] = replace(exact, install_key=environment_key(exact))
    return replace(lock, environments=environments)


def test_a_lock_survives_writing_and_reading(tmp_path: Path) -> None:
    lock = complete(
        made(
            detected=[PYTHON, NUMPY],
            request=Request(pins={"lib.onnxruntime": "1.20.0"}, forbid=("soft:numpy",), install=("*",)),
        )
    )
    write_lock(lock, tmp_path / "cr.lock")
    assert read_lock(tmp_path / "cr.lock") == lock
    assert from_document(to_document(lock)) == lock
    assert lock.digest == read_lock(tmp_path / "cr.lock").digest


def test_a_lock_follows_its_schema() -> None:
    document = to_document(complete(made(detected=[PYTHON, NUMPY])))
    assert problems(json.loads(json.dumps(document)), "lock") == []


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_lock(complete(made()), tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_a_lock_holds_no_path_of_the_machine() -> None:
    text = json.dumps(to_document(complete(made(detected=[PYTHON, NUMPY]))))
    assert "/usr" not in text


def test_a_lock_that_says_the_same_is_not_written_again(tmp_path: Path) -> None:
    path = tmp_path / "cr.lock"
    write_lock(complete(made()), path)
    before = path.stat()
    write_lock(complete(made()), path)
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_one_changed_node_is_a_small_difference() -> None:
    def lines(lock: Lock) -> list[str]:
        return json.dumps(to_document(lock), indent=2, sort_keys=True).splitlines()

    before, after = (
        lines(complete(made(formats=["onnx"]))),
        lines(complete(made(world(ort=["1.20.0", "1.21.0"]), formats=["onnx"]))),
    )
    changed = [
        line
        for line in difflib.unified_diff(before, after, n=0, lineterm="")
        if line[0] in "+-" and not line.startswith(("+++", "---"))
    ]
    assert any('"1.21.0"' in line for line in changed)
    assert not any(
        "pictures" in line or "compiler.python" in line
        for line in changed
        if "deps" not in line and "nodes" not in line
    )
    assert len(changed) < len(before) / 4


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"format": "codereef-lock/1"}', '{"format": "codereef-lock/1", "format": 2}', "\0"]
)
def test_a_damaged_lock_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "cr.lock").write_text(text)
    with pytest.raises((LockError, MetadataError), match=r"cr\.lock") as caught:
        read_lock(tmp_path / "cr.lock")
    assert caught.value.hint


@pytest.mark.parametrize("verify", [True, False])
@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        (("configurations", 0, "root"), "solution:other@1", "solution:other@1"),
        (("configurations", 0, "nodes", 0), "lib.gone@1", "lib.gone@1"),
        (("configurations", 0, "environment"), "python-gone", "python-gone"),
        (("nodes", "solution:demo@1.0.0[format=onnx]", "deps", "data"), "dataset:gone@1", "dataset:gone@1"),
        (("environments", 0, "python"), "compiler.gone@1", "compiler.gone@1"),
        (("environments", 0, "reused"), ["python.gone@1"], "python.gone@1"),
    ],
)
def test_a_lock_that_names_what_it_does_not_hold_is_refused(
    tmp_path: Path, path: tuple[str | int, ...], value: object, named: str, verify: bool
) -> None:
    document = to_document(complete(made()))
    target: Any = document
    for part in path[:-1]:
        target = list(target.values())[part] if isinstance(part, int) and isinstance(target, dict) else target[part]
    target[path[-1]] = value
    (tmp_path / "cr.lock").write_text(json.dumps(document))
    with pytest.raises(LockError, match="is damaged: .* which it does not hold") as caught:
        read_lock(tmp_path / "cr.lock", verify=verify)
    assert named in caught.value.message
    assert "cr init" in caught.value.hint


def test_a_lock_without_a_key_is_refused_with_and_without_the_schema(tmp_path: Path) -> None:
    document = to_document(complete(made()))
    del document["nodes"]["compiler.python@3.11.2"]["version"]
    (tmp_path / "cr.lock").write_text(json.dumps(document))
    with pytest.raises(MetadataError, match=r"missing key `version`"):
        read_lock(tmp_path / "cr.lock")
    with pytest.raises(LockError, match="is damaged"):
        read_lock(tmp_path / "cr.lock", verify=False)


def test_a_newer_format_is_refused_with_the_way_to_read_it(tmp_path: Path) -> None:
    document = {**to_document(complete(made())), "format": "codereef-lock/3"}
    (tmp_path / "cr.lock").write_text(json.dumps(document))
    wanted = f"has the format 'codereef-lock/3'; this client reads codereef-lock/1 and {FORMAT}"
    with pytest.raises(LockError, match=wanted) as caught:
        read_lock(tmp_path / "cr.lock")
    assert "upgrade codereef here" in caught.value.hint


def test_no_lock_at_all_is_told_with_the_command_that_makes_one(tmp_path: Path) -> None:
    with pytest.raises(LockError, match="There is no lock at") as caught:
        read_lock(tmp_path / "cr.lock")
    assert "cr init" in caught.value.hint


def test_nodes_that_are_the_same_are_shared_by_configurations() -> None:
    lock = made()
    onnx, tflite = lock.configurations
    assert [c.id for c in lock.configurations] == ["format=onnx", "format=tflite"]
    shared = set(onnx.nodes) & set(tflite.nodes)
    assert {"dataset:pictures@1.0.0", "compiler.python@3.11.2", "python.numpy@2.1.0", "program:runner@1.0.0"} == shared
    assert lock.nodes["dataset:pictures@1.0.0"].install_key.startswith("pictures-1.0.0-")


def test_one_choice_with_other_dependencies_is_another_node() -> None:
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
    lock = made(components)
    first, second = (lock.nodes[lock.nodes[c.root].deps["top"]] for c in lock.configurations)
    assert first.deps == {"a": "lib.a@1.0"}
    assert second.deps == {"a": "lib.a@2.0"}
    names = [lock.nodes[c.root].deps["top"] for c in lock.configurations]
    assert all(re.fullmatch(r"lib\.top@1\.0~[0-9a-f]{6}", name) for name in names)
    assert len(set(names)) == 2


def test_every_configuration_can_stand_alone() -> None:
    lock = complete(made())
    for configuration in lock.configurations:
        alone = lock.restricted(configuration)
        check(json.loads(json.dumps(to_document(alone))), "lock", "alone")
        assert set(alone.nodes) == set(configuration.nodes)
        assert list(alone.environments) == [configuration.environment]


def test_a_lock_with_other_distributions_than_its_environment_names_is_refused(tmp_path: Path) -> None:
    document = to_document(complete(made()))
    next(iter(document["environments"].values()))["distributions"] = []
    (tmp_path / "cr.lock").write_text(json.dumps(document))
    with pytest.raises(LockError, match="not the one its install_key names"):
        read_lock(tmp_path / "cr.lock")


def test_a_lock_with_one_configuration_twice_is_refused(tmp_path: Path) -> None:
    document = to_document(complete(made()))
    document["configurations"].append(document["configurations"][0])
    (tmp_path / "cr.lock").write_text(json.dumps(document))
    with pytest.raises(LockError, match="stands twice"):
        read_lock(tmp_path / "cr.lock")


def test_an_environment_says_what_the_graph_asks_for() -> None:
    lock = made(detected=[PYTHON, NUMPY])
    onnx, tflite = (lock.environments[c.environment] for c in lock.configurations)
    assert onnx.requirements == ("onnxruntime==1.20.0",)
    assert tflite.requirements == ("ai-edge-litert==1.2.0", "numpy<3")
    assert onnx.reused == ("python.numpy@1.26.4",)
    assert onnx.python_version == "3.11.2"


def test_exact_distributions_are_kept_while_the_requirements_are_the_same() -> None:
    old = complete(made())
    again = made(old=old)
    assert again.environments == old.environments
    other = made(world(ort=["1.20.0", "1.21.0"]), old=old)
    onnx, tflite = (other.environments[c.environment] for c in other.configurations)
    assert onnx.distributions == () and onnx.install_key == ""
    assert tflite == next(e for e in old.environments.values() if e.requirements == tflite.requirements)
    newer = found("compiler.python", "3.12.0", "python", path="/usr/bin/python3.12")
    assert all(e.distributions == () for e in made(detected=[newer], old=old).environments.values())


def test_a_cross_graph_builds_its_environment_for_the_machine_that_runs() -> None:
    components = world(builder={"needs": "tool.builder", "for": "build"})
    components += [
        package("builder", "tool.builder", ["1.0"], deps={"python": {"needs": "compiler.python"}}),
        package("board-python", "compiler.python", ["3.12.0"], targets=[BOARD]),
    ]
    lock = made(components, formats=["onnx"], target=BOARD)
    environment = lock.environments[lock.configurations[0].environment]
    assert environment.python == "compiler.python@3.12.0"
    assert not any("builder" in r for r in environment.requirements)


def test_a_folder_in_the_store_is_named_by_what_decides_its_content() -> None:
    before = made().nodes["dataset:pictures@1.0.0"].install_key
    components = world()
    components[3] = dataset(files=[{"name": "a.png", "sha256": "1" * 64, "size": 3, "origin": "made for a test"}])
    assert made(components).nodes["dataset:pictures@1.0.0"].install_key != before
    assert made(world(ort=["9.0"])).nodes["dataset:pictures@1.0.0"].install_key == before


# -- binding ----------------------------------------------------------------------------------------------


def test_the_same_machine_binds() -> None:
    lock = made(detected=[PYTHON, NUMPY])
    bound, differences = bind_detected(lock, [PYTHON, NUMPY])
    assert differences == []
    assert bound == {"compiler.python@3.11.2": PYTHON, "python.numpy@1.26.4": NUMPY}


def test_the_same_software_at_another_place_binds() -> None:
    elsewhere = replace(PYTHON, path="/opt/python")
    bound, differences = bind_detected(made(), [elsewhere])
    assert (bound["compiler.python@3.11.2"].path, differences) == ("/opt/python", [])


@pytest.mark.parametrize(
    ("here", "text"),
    [
        ([found("compiler.python", "3.11.2", "python", salt="other build")], "this machine has 3.11.2 ("),
        ([found("compiler.python", "3.11.9", "python")], "this machine has 3.11.9 ("),
        ([found("compiler.c", "12", "gcc")], "this machine has no compiler.python"),
        ([], "this machine has no compiler.python"),
        ([replace(PYTHON, facts={"tool": True})], "this machine has 3.11.2 ("),
    ],
)
def test_other_software_is_a_difference(here: list[Detected], text: str) -> None:
    lock = made()
    bound, differences = bind_detected(lock, here)
    assert bound == {}
    assert [d.node for d in differences] == ["compiler.python@3.11.2"]
    assert text in str(differences[0])
    assert str(differences[0]).startswith(
        f"compiler.python@3.11.2: the lock has compiler.python 3.11.2 ({PYTHON.digest[7:19]}); "
    )


def test_a_distribution_is_bound_in_the_interpreter_that_is_meant() -> None:
    # Two interpreters of one build, such as two virtual environments; only the second has the distribution.
    lock = made(detected=[PYTHON, NUMPY])
    twin = replace(PYTHON, path="/first/python")
    other = replace(NUMPY, path="/third/site", paths={"python": "/third/python"})
    bound, differences = bind_detected(lock, [twin, other, PYTHON, NUMPY])
    assert differences == []
    assert bound["compiler.python@3.11.2"] == PYTHON
    assert bound["python.numpy@1.26.4"] == NUMPY


def test_a_distribution_of_another_interpreter_is_a_difference() -> None:
    lock = made(detected=[PYTHON, NUMPY])
    bound, differences = bind_detected(lock, [PYTHON, replace(NUMPY, paths={"python": "/third/python"})])
    assert list(bound) == ["compiler.python@3.11.2"]
    assert [d.node for d in differences] == ["python.numpy@1.26.4"]


def test_components_are_compared_with_those_at_hand() -> None:
    components = world()
    lock = made(components)
    assert check_components(lock, Index(tuple(components))) == []
    changed = replace(components[3], digest="sha256:" + "9" * 64)
    without = [c for c in components if c.name not in ("pictures", "runner")]
    texts = [str(d) for d in check_components(lock, Index((*without, changed)))]
    assert sorted(texts) == sorted(
        [
            "program:runner@1.0.0: the lock has program:runner@1.0.0; no repository has it",
            f"dataset:pictures@1.0.0: the lock has dataset:pictures@1.0.0 with {components[3].digest[7:19]}; the repository has it with {'9' * 12}",
        ]
    )


def test_a_refusal_names_what_differs_and_the_command_that_helps() -> None:
    lock = made()
    _, differences = bind_detected(lock, [])
    error = refuse(lock, differences, "demo is locked:")
    assert (
        error.message
        == f"demo is locked:\n  · compiler.python@3.11.2: the lock has compiler.python 3.11.2 ({PYTHON.digest[7:19]}); this machine has no compiler.python"
    )
    assert error.hint == "`cr init demo` resolves again and writes a new lock."
    assert error.context["differences"] == [
        {
            "node": "compiler.python@3.11.2",
            "locked": differences[0].locked,
            "here": "this machine has no compiler.python",
        }
    ]
