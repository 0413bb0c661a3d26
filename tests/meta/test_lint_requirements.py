# SPDX-License-Identifier: Apache-2.0
"""`cr lint` about requirements: what nobody meets, what nobody can choose, and what a program does not know."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from codereef.meta.component import Component
from codereef.repo.index import Index
from codereef.repo.lint import lint

from tests.meta.test_lint import Change, base, findings, setting, tree

QUERY = {"kind": "dataset", "tags": ["street"]}
MODES = {"mode": {"values": ["x", "y"], "default": "x"}, "size": {"values": ["s", "l"], "default": "s"}}


def both(*changes: Change) -> Change:
    def change(documents: dict[str, dict[str, Any]]) -> None:
        for one in changes:
            one(documents)

    return change


def another(name: str, like: str, **more: Any) -> Change:
    return lambda documents: documents.update({name: {**documents[like], "name": name, **more}})


@pytest.mark.parametrize(
    ("change", "path", "message", "hint"),
    [
        (
            setting("demo", "deps", "a", to={"needs": "lib.a", "version": ">=2"}),
            "$.deps.a.version",
            "no known version of lib.a meets `>=2`; there is 1.0.",
            "",
        ),
        (
            setting("demo", "deps", "data", to={"needs": "dataset:data", "version": "^3"}),
            "$.deps.data.version",
            "no known version of dataset:data meets `^3`; there is 1.0.0.",
            "",
        ),
        (
            setting("demo", "program", "version", to="<1"),
            "$.program.version",
            "no known version of program:runner meets `<1`",
            "",
        ),
        (
            setting("demo", "deps", "a", "needs", to="package:recipe"),
            "$.deps.a.needs",
            "`package:recipe` is a recipe, which is not used as it is.",
            "Ask for what it installs, `lib.a`; a pin chooses who provides it.",
        ),
        (
            setting("demo", "deps", "a", "needs", to="soft:gcc"),
            "$.deps.a.needs",
            "`soft:gcc` is a detector, which is not used as it is.",
            "Ask for what it finds, `compiler.c`; a pin chooses who provides it.",
        ),
        (
            both(setting("data", "tags", to=["streets"]), setting("demo", "deps", "data", "needs", to=QUERY)),
            "$.deps.data.needs",
            "there is no dataset with the tag street.",
            "Did you mean the tag `streets`?",
        ),
        (
            setting("data", "excludes", to=[{"when": {"size": "s"}, "reason": "too few"}]),
            "$.excludes",
            "the defaults are excluded.",
            "Give the variants defaults that go together.",
        ),
        (
            setting("data", "excludes", to=[{"when": {"size": "l"}}, {"when": {"colour": "red"}}]),
            "$.excludes[1].when.colour",
            "`colour` is neither a variant of the component nor a fact.",
            "",
        ),
        (
            setting("recipe", "provides", "duplicable", to=True),
            "$.provides.duplicable",
            "a Python environment holds one version of a distribution",
            "Leave `duplicable` out.",
        ),
        (
            setting("demo", "deps", "a", to={"needs": "lib.a", "when": {"detected.compiler.cc": "*"}}),
            "$.deps.a.when['detected.compiler.cc']",
            "no detector looks for `compiler.cc`.",
            "Did you mean `detected.compiler.c`?",
        ),
        (
            setting("demo", "deps", "a", to={"needs": "lib.a", "when": {"detected.compiler.c": "new"}}),
            "$.deps.a.when['detected.compiler.c']",
            "`new` is not a version constraint",
            "",
        ),
        (
            setting("data", "files", 0, "when", to={"machine.cpu.features": "avx2"}),
            "$.files[0].when['machine.cpu.features']",
            "is asked while the graph is made",
            "Make it a condition of a dependency, or a variant.",
        ),
        (
            both(
                setting("runner", "options", to={"threads": {"type": "integer", "default": 1, "summary": "Threads"}}),
                setting("demo", "actions", "run", to={"options": {"thread": 2}}),
            ),
            "$.actions.run.options.thread",
            "program:runner has no option `thread`.",
            "Did you mean `threads`?",
        ),
        (
            both(
                setting("runner", "metrics", to={"latency_p50": {"unit": "s", "direction": "lower"}}),
                setting("demo", "actions", to={"benchmark": {"metrics": ["latency_p50", "latency_50"]}}),
            ),
            "$.actions.benchmark.metrics[1]",
            "program:runner has no metric `latency_50`.",
            "Did you mean `latency_p50`?",
        ),
        (
            setting("data", "variants", to={f"v{i}": {"values": ["a", "b"], "default": "a"} for i in range(10)}),
            "$.variants",
            "there are 1024 combinations of variants",
            "Split the component",
        ),
    ],
)
def test_what_is_wrong_with_a_requirement_is_found(
    change: Change, path: str, message: str, hint: str, tmp_path: Path
) -> None:
    documents = base()
    change(documents)
    found = findings(tree(tmp_path, documents))
    same = [item for item in found if message in item[1]]
    assert same, found
    assert same[0][0] == path
    assert hint in same[0][2]


@pytest.mark.parametrize("any_", [True, False])
def test_tags_that_several_have_are_found_unless_any_will_do(any_: bool, tmp_path: Path) -> None:
    documents = base()
    documents["data"]["tags"] = ["street"]
    another("city", "data")(documents)
    documents["demo"]["deps"]["data"]["needs"] = {**QUERY, **({"any": True} if any_ else {})}
    root = tree(tmp_path, documents)
    for name in ("a.txt", "make.py"):
        (root / "city" / name).write_bytes((root / "data" / name).read_bytes())
    found = [item for item in findings(root) if item[0] == "$.deps.data.needs"]
    assert bool(found) is not any_
    if found:
        assert "several fit: dataset:city, dataset:data" in found[0][1]
        assert '"any": true' in found[0][2]


@pytest.mark.parametrize(
    "change",
    [
        setting("demo", "deps", "c", to={"needs": "compiler.c", "version": ">=99"}),  # a machine may have it
        setting("demo", "deps", "a", to={"needs": "lib.a", "version": "<2 || >=3"}),
        setting("demo", "deps", "a", to={"needs": "lib.a", "when": {"detected.compiler.c": ">=12"}}),
        setting("demo", "deps", "a", to={"needs": "lib.a", "when": {"machine.cpu.features": "avx2"}}),
        setting("demo", "actions", "run", to={"metrics": ["anything"], "options": {"o": 1}}),  # the program lists none
        both(setting("data", "tags", to=["street"]), setting("demo", "deps", "data", "needs", to=QUERY)),
        both(
            setting("data", "variants", to=MODES),
            setting("data", "excludes", to=[{"when": {"mode": "y", "size": "l"}}]),
        ),
    ],
)
def test_what_can_be_met_is_fine(change: Change, tmp_path: Path) -> None:
    documents = base()
    change(documents)
    assert findings(tree(tmp_path, documents)) == []


def test_versions_of_known_repositories_count_and_the_linted_ones_win(tmp_path: Path) -> None:
    documents = base()
    older = {**documents["recipe"], "version": "0.9.0", "provides": {"capability": "lib.a", "versions": ["0.5"]}}
    index = Index((Component(older, tmp_path / "elsewhere", "sha256:0", "other"),))
    documents["demo"]["deps"]["a"] = {"needs": "lib.a", "version": "<1"}
    root = tree(tmp_path / "mine", documents)
    assert lint([root], index).findings == ()
    assert [f.path for f in lint([root], Index(())).findings] == ["$.deps.a.version"]
