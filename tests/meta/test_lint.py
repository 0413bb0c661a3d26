# SPDX-License-Identifier: Apache-2.0
"""`cr lint`: each thing it finds, and that the components of this repository have none of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from codereef.embedded import data_root
from codereef.errors import NotFoundError, UsageError
from codereef.repo.index import Index, Repository, load_index
from codereef.repo.lint import lint

NOTHING = Index(())
DATA = b"three"


def base() -> dict[str, dict[str, Any]]:
    """A small, faultless tree: a target, a detector, a recipe, a dataset with a file and a script, a program, a solution."""

    def meta(kind: str, name: str, **more: Any) -> dict[str, Any]:
        return {"kind": kind, "name": name, "version": "1.0.0", "summary": "A component", "license": "MIT", **more}

    file = {"name": "a.txt", "path": "a.txt", "sha256": hashlib.sha256(DATA).hexdigest(), "size": len(DATA)}
    return {
        "board": meta(
            "target", "board", triple="linux-aarch64-gnu", os="linux", arch="aarch64", abi="gnu", runner="local"
        ),
        "gcc": meta("soft", "gcc", detects="compiler.c", find={"executables": ["gcc"]}),
        "recipe": meta(
            "package",
            "recipe",
            provides={"capability": "lib.a", "versions": ["1.0"]},
            install={"using": "pip", "requirements": ["a=={version}"]},
        ),
        "data": meta(
            "dataset",
            "data",
            task="object-detection",
            files=[file],
            install={"using": "generate", "script": "make.py", "digests": [{"tree": "sha256:" + "0" * 64}]},
            annotations={"format": "none", "images": "i"},
            variants={"size": {"values": ["s", "l"], "default": "s"}},
        ),
        "runner": meta("program", "runner", task="object-detection", run={"python": "main.py"}, metrics={}),
        "board-results": meta(
            "dashboard", "board-results", task="object-detection", x="a", y="b", metrics={}, columns=[]
        ),
        "demo": meta(
            "solution",
            "demo",
            program={"needs": "program:runner"},
            deps={"data": {"needs": "dataset:data"}, "a": {"needs": "lib.a"}},
            actions={"run": {}},
            dashboard="dashboard:board-results",
            targets=["linux-aarch64-gnu"],
        ),
    }


def tree(root: Path, documents: dict[str, dict[str, Any]]) -> Path:
    for name, document in documents.items():
        (root / name).mkdir(parents=True, exist_ok=True)
        (root / name / "cr.json").write_text(json.dumps(document))
    (root / "data" / "a.txt").write_bytes(DATA)
    (root / "data" / "make.py").write_text("print()\n")
    (root / "runner" / "main.py").write_text("print()\n")
    return root


def findings(root: Path) -> list[tuple[str, str, str]]:
    return [(f.path, f.message, f.hint) for f in lint([root], NOTHING).findings]


def test_a_faultless_tree_has_no_findings(tmp_path: Path) -> None:
    report = lint([tree(tmp_path, base())], NOTHING)
    assert report.findings == ()
    assert len(report.folders) == 7


Change = Callable[[dict[str, dict[str, Any]]], None]


def setting(name: str, *path: str | int, to: Any) -> Change:
    def change(documents: dict[str, dict[str, Any]]) -> None:
        target: Any = documents[name]
        for part in path[:-1]:
            target = target[part]
        target[path[-1]] = to

    return change


@pytest.mark.parametrize(
    ("change", "path", "message", "hint"),
    [
        (
            setting("data", "files", 0, "sha256", to="0" * 64),
            "$.files[0].sha256",
            "found 0000000000000000…, but `a.txt` has " + hashlib.sha256(DATA).hexdigest(),
            "",
        ),
        (setting("data", "files", 0, "size", to=6), "$.files[0].size", "found 6, but `a.txt` has 5 bytes", ""),
        (setting("data", "files", 0, "path", to="b.txt"), "$.files[0].path", "no file `b.txt`", ""),
        (setting("data", "install", "script", to="mak.py"), "$.install.script", "no script `mak.py`", ""),
        (setting("runner", "run", "python", to="mian.py"), "$.run.python", "no script `mian.py`", ""),
        (
            setting("demo", "deps", "data", "needs", to="dataset:dta"),
            "$.deps.data.needs",
            "no component `dataset:dta`",
            "Did you mean `dataset:data`?",
        ),
        (
            setting("demo", "deps", "a", "needs", to="lib.aa"),
            "$.deps.a.needs",
            "nobody detects or provides `lib.aa`",
            "Did you mean `lib.a`?",
        ),
        (
            setting("demo", "program", "needs", to="program:runer"),
            "$.program.needs",
            "no component `program:runer`",
            "Did you mean `program:runner`?",
        ),
        (
            setting("demo", "program", "needs", to="dataset:data"),
            "$.program.needs",
            "`dataset:data` is no program",
            "Write program:NAME.",
        ),
        (setting("demo", "dashboard", to="dashboard:none"), "$.dashboard", "no component `dashboard:none`", ""),
        (setting("demo", "dashboard", to="program:runner"), "$.dashboard", "is no dashboard", "Write dashboard:NAME."),
        (
            setting("demo", "conflicts", to=[{"with": "lib.b"}]),
            "$.conflicts[0].with",
            "nobody detects or provides `lib.b`",
            "Did you mean `lib.a`?",
        ),
        (
            setting("demo", "targets", to=["linux-aarch64-gnux"]),
            "$.targets[0]",
            "no target `linux-aarch64-gnux`",
            "Did you mean `linux-aarch64-gnu`?",
        ),
        (
            setting("recipe", "license", to="Apache 2.0"),
            "$.license",
            "`Apache 2.0` is not an SPDX licence expression",
            "Write for example",
        ),
        (
            setting("recipe", "license", to="Apache2"),
            "$.license",
            "is not an SPDX licence expression",
            "Write for example",
        ),
        (
            setting("recipe", "license", to="apache-2.0"),
            "$.license",
            "is not an SPDX licence expression",
            "Did you mean `Apache-2.0`?",
        ),
        (
            setting("data", "files", 0, "license", to="free"),
            "$.files[0].license",
            "is not an SPDX licence expression",
            "Write for example",
        ),
        (
            setting("data", "files", 0, "when", to={"szie": "s"}),
            "$.files[0].when.szie",
            "neither a variant of the component nor a fact",
            "Did you mean `size`?",
        ),
        (
            setting("data", "files", 0, "when", to={"size": ["s", "m"]}),
            "$.files[0].when.size",
            "`m` is not a value of the variant, which can be s, l",
            "",
        ),
        (
            setting("data", "files", 0, "when", to={"target.arch": "arm64"}),
            "$.files[0].when['target.arch']",
            "no target has the arch `arm64`",
            "Did you mean `aarch64`?",
        ),
        (
            setting("data", "install", "digests", 0, "when", to={"color": "s"}),
            "$.install.digests[0].when.color",
            "neither a variant",
            "Known are size, version, target.triple",
        ),
        (
            setting("data", "variants", "size", "default", to="m"),
            "$.variants.size.default",
            "`m` is not one of s, l",
            "",
        ),
        (
            setting("demo", "deps", "data", "variants", to={"size": "{sise}"}),
            "$.deps.data.variants.size",
            "`{sise}` names `sise`, which is no variant",
            "Its variants are none.",
        ),
        (
            setting("demo", "deps", "a", "version", to="newest"),
            "$.deps.a.version",
            "`newest` is not a version constraint",
            "Examples",
        ),
        (
            setting("recipe", "provides", "versions", to=["1.0.x-y"]),
            "$.provides.versions[0]",
            "is not a version",
            "Versions follow PEP 440",
        ),
        (
            setting("recipe", "name", to="other"),
            "$.name",
            "called `other` but lies in a folder `recipe`",
            "Give both the same name.",
        ),
        (setting("runner", "sumary", to="x"), "$", "unknown key `sumary`", "Did you mean `summary`?"),
        (
            setting("runner", "kind", to="programme"),
            "$.kind",
            "found 'programme', expected one of",
            "Did you mean `program`?",
        ),
        (
            setting("runner", "variants", to={"version": {"values": ["1"], "default": "1"}}),
            "$.variants.version",
            "cannot be called `version`",
            "another name",
        ),
    ],
)
def test_a_fault_is_found_and_named(tmp_path: Path, change: Change, path: str, message: str, hint: str) -> None:
    documents = base()
    change(documents)
    found = findings(tree(tmp_path, documents))
    fitting = [f for f in found if f[0] == path]
    assert len(fitting) == 1, found
    assert message in fitting[0][1]
    assert hint in fitting[0][2]
    assert bool(hint) == bool(fitting[0][2])


def test_a_file_named_twice_for_one_condition_is_found(tmp_path: Path) -> None:
    documents = base()
    documents["data"]["files"] *= 2
    assert [(f[0], f[1]) for f in findings(tree(tmp_path, documents))] == [
        ("$.files[1].name", "`a.txt` stands twice for the same condition.")
    ]


@pytest.mark.parametrize("text", ["def x(:\n", "print('a'", "\0"])
def test_a_script_that_cannot_be_compiled_is_found(tmp_path: Path, text: str) -> None:
    root = tree(tmp_path, base())
    (root / "runner" / "main.py").write_text(text)
    found = lint([root], NOTHING).findings
    assert [f.file.name for f in found] == ["main.py"]
    assert "cannot be compiled" in found[0].message


def test_broken_json_is_one_finding_and_the_rest_is_still_checked(tmp_path: Path) -> None:
    root = tree(tmp_path, base())
    (root / "gcc" / "cr.json").write_text("{,}")
    (root / "recipe" / "cr.json").write_bytes(b"\xff")
    found = findings(root)
    assert len(found) == 3
    assert "is not JSON" in found[0][1] or "is not JSON" in found[1][1]
    assert [f[0] for f in found if f[0]] == ["$.deps.a.needs"], "what only the broken recipe provides is missing"


def test_a_link_in_a_component_is_found(tmp_path: Path) -> None:
    root = tree(tmp_path, base())
    (root / "gcc" / "all").symlink_to("/")
    found = lint([root], NOTHING).findings
    assert [(f.file.name, "symbolic link" in f.message) for f in found] == [("all", True)]


def test_versions_lie_in_folders_of_their_own_inside_the_component(tmp_path: Path) -> None:
    documents = base()
    first, second = dict(documents["recipe"]), {**documents.pop("recipe"), "version": "2.0.0"}
    root = tree(tmp_path, {**documents, "recipe/1.0.0": first, "recipe/2.0.0": second})
    assert findings(root) == []
    (root / "recipe").rename(root / "recpe")
    assert [f[0] for f in findings(root)] == ["$.name", "$.name"]


def test_one_version_in_two_folders_is_found(tmp_path: Path) -> None:
    documents = base()
    root = tree(tmp_path, {**documents, "more/recipe": documents["recipe"]})
    found = findings(root)
    assert [f[0] for f in found] == ["$.version"]
    assert "package:recipe@1.0.0 stands in" in found[0][1]


def test_one_component_can_be_checked_against_those_that_are_known(tmp_path: Path) -> None:
    root = tree(tmp_path / "all", base())
    known = load_index([Repository("r", root, "folder")], None)
    for name in (root / "demo", root / "demo" / "cr.json"):
        report = lint([name], known)
        assert report.folders == (root / "demo",)
        assert report.findings == ()
    assert lint([root / "demo"], NOTHING).findings != ()


def test_a_path_named_twice_is_checked_once(tmp_path: Path) -> None:
    root = tree(tmp_path, base())
    assert len(lint([root, root / "demo", root / "demo" / "cr.json"], NOTHING).folders) == 7


def test_a_path_that_is_no_component_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file.txt").write_text("")
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotFoundError, match="does not exist"):
        lint([tmp_path / "none"], NOTHING)
    with pytest.raises(NotFoundError, match="holds no component"):
        lint([tmp_path / "empty"], NOTHING)
    with pytest.raises(UsageError, match="is not a component"):
        lint([tmp_path / "file.txt"], NOTHING)


def test_the_components_of_this_repository_have_no_findings() -> None:
    report = lint([data_root()], NOTHING)
    assert [str(f) for f in report.findings] == []
    assert len(report.folders) > 40
