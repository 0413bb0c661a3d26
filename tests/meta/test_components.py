# SPDX-License-Identifier: Apache-2.0
"""A component's digest, its versions, its conditions and variants."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from codereef.errors import MetadataError
from codereef.meta.component import component_digest, component_files, read_meta
from codereef.meta.selection import assignments, configuration_id, expand, holds, select
from hypothesis import given
from hypothesis import strategies as st


def folder(root: Path, **files: str) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    (root / "cr.json").write_text("{}")
    for name, text in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_the_digest_does_not_depend_on_the_place_or_the_times(tmp_path: Path) -> None:
    one = folder(tmp_path / "one", a="1", sub__b="2")
    two = tmp_path / "deep" / "two"
    shutil.copytree(one, two)
    os.utime(two / "a", (1, 1))
    assert component_digest(one) == component_digest(two)


@pytest.mark.parametrize("change", ["content", "name", "more", "less", "deep", "meta"])
def test_the_digest_changes_with_every_file(tmp_path: Path, change: str) -> None:
    root = folder(tmp_path / "c", a="1", sub__b="2")
    before = component_digest(root)
    if change == "content":
        (root / "a").write_text("3")
    elif change == "name":
        (root / "a").rename(root / "A")
    elif change == "more":
        (root / "empty").write_text("")
    elif change == "less":
        (root / "a").unlink()
    elif change == "deep":
        (root / "sub" / "b").write_text("3")
    else:
        (root / "cr.json").write_text("{} ")
    assert component_digest(root) != before


def test_caches_of_tools_and_other_components_do_not_belong(tmp_path: Path) -> None:
    root = folder(tmp_path / "c", a="1")
    before = component_digest(root)
    for cache in ("__pycache__", ".git", ".mypy_cache", ".ruff_cache", ".pytest_cache"):
        folder(root / cache, x="1")
    (root / "old.pyc").write_text("x")
    folder(root / "2.0.0", b="other version")
    assert component_digest(root) == before
    assert [p.name for p in component_files(root)] == ["a", "cr.json"]


def test_two_files_cannot_be_told_as_one(tmp_path: Path) -> None:
    one, two = folder(tmp_path / "1", ab="", c=""), folder(tmp_path / "2", a="", bc="")
    assert component_digest(one) != component_digest(two)


@pytest.mark.parametrize("target", ["..", "/etc", "/etc/passwd", "a", "nowhere"])
def test_a_symbolic_link_is_refused_and_never_followed(tmp_path: Path, target: str) -> None:
    root = folder(tmp_path / "c", a="1")
    (root / "link").symlink_to(target)
    with pytest.raises(MetadataError, match="link is a symbolic link"):
        component_digest(root)


PROGRAM: dict[str, Any] = {
    "kind": "program",
    "name": "p",
    "version": "1.0.0",
    "summary": "A program",
    "license": "MIT",
    "task": "object-detection",
    "run": {"python": "main.py"},
    "metrics": {},
}
RECIPE: dict[str, Any] = {
    "kind": "package",
    "name": "p",
    "version": "1.0.0",
    "summary": "A recipe",
    "license": "MIT",
    "provides": {"capability": "lib.a", "versions": ["1.0"]},
    "install": {"using": "pip", "requirements": ["a=={version}"]},
}


def write(tmp_path: Path, document: Any) -> Path:
    path = tmp_path / "cr.json"
    path.write_text(json.dumps(document))
    return path


@pytest.mark.parametrize("kind", [None, 3, "modle", "lock", "common", ["program"]])
def test_a_document_of_no_known_kind_is_refused(tmp_path: Path, kind: object) -> None:
    with pytest.raises(MetadataError, match=r"cr\.json: \$\.kind: found .*expected one of soft, package"):
        read_meta(write(tmp_path, {**PROGRAM, "kind": kind}))


@pytest.mark.parametrize("document", [[], 3, None, "x"])
def test_a_document_that_is_no_object_is_refused(tmp_path: Path, document: object) -> None:
    with pytest.raises(MetadataError):
        read_meta(write(tmp_path, document))


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ({**PROGRAM, "version": "1..2"}, "$.version"),
        ({**RECIPE, "provides": {"capability": "lib.a", "versions": ["1.0", "1-x-y"]}}, "$.provides.versions[1]"),
        ({**PROGRAM, "deps": {"a": {"needs": "lib.a", "version": "newest"}}}, "$.deps.a.version"),
        ({**PROGRAM, "deps": {"a": {"needs": "lib.a", "when": {"version": ["1.x", "=>2"]}}}}, "$.deps.a.when.version"),
        ({**PROGRAM, "conflicts": [{"with": "lib.a", "version": "^x"}]}, "$.conflicts[0].version"),
    ],
)
def test_a_version_that_cannot_be_read_is_named_by_its_path(tmp_path: Path, document: Any, path: str) -> None:
    with pytest.raises(MetadataError) as caught:
        read_meta(write(tmp_path, document))
    found = caught.value.context["problems"]
    assert isinstance(found, list)
    assert [p["path"] for p in found] == [path]
    assert f"  {path}: `" in caught.value.message


FACTS = {"precision": "fp32", "version": "1.5", "target.arch": "aarch64"}


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        (None, True),
        ({}, True),
        ({"precision": "fp32"}, True),
        ({"precision": "int8"}, False),
        ({"precision": ["int8", "fp32"]}, True),
        ({"precision": ["int8", "int4"]}, False),
        ({"version": ">=1.4,<2"}, True),
        ({"version": "^2"}, False),
        ({"version": ["1.0", "1.5"]}, True),
        ({"target.arch": "aarch64"}, True),
        ({"target.arch": ["x86_64", "armv7"]}, False),
        ({"target.os": "linux"}, False),
        ({"precision": "fp32", "version": "<1"}, False),
        ({"precision": "fp32", "target.arch": "aarch64"}, True),
    ],
)
def test_a_condition_holds_when_every_key_does(when: Any, expected: bool) -> None:
    assert holds(when, FACTS) is expected


def test_selecting_keeps_order_and_takes_the_condition_away() -> None:
    items = [{"n": 1, "when": {"precision": "fp32"}}, {"n": 2, "when": {"precision": "int8"}}, {"n": 3}]
    assert select(items, FACTS) == [{"n": 1}, {"n": 3}]
    assert items[0]["when"], "the metadata itself is untouched"


def test_assignments_begin_with_the_defaults_and_then_differ_in_few_values() -> None:
    variants = {"a": {"values": ["1", "2", "3"], "default": "2"}, "b": {"values": ["x", "y"], "default": "y"}}
    assert [tuple(v.values()) for v in assignments(variants, "c")] == [
        ("2", "y"),
        ("2", "x"),
        ("1", "y"),
        ("3", "y"),
        ("1", "x"),
        ("3", "x"),
    ]


@given(st.dictionaries(st.sampled_from("abc"), st.lists(st.sampled_from("wxyz"), min_size=1, unique=True), max_size=3))
def test_assignments_are_complete_and_each_stands_once(values: dict[str, list[str]]) -> None:
    variants = {name: {"values": options, "default": options[-1]} for name, options in values.items()}
    found = [tuple(sorted(a.items())) for a in assignments(variants, "c")]
    expected = 1
    for options in values.values():
        expected *= len(options)
    assert len(set(found)) == len(found) == expected
    assert dict(found[0]) == {name: options[-1] for name, options in values.items()}


def test_a_configuration_is_named_by_its_sorted_values() -> None:
    assert configuration_id({"b": "2", "a": "1"}) == "a=1,b=2"
    assert configuration_id({}) == "default"


def test_a_template_takes_the_values_of_variants() -> None:
    assert expand("x-{my-size}-{b}-{b}", {"my-size": "s", "b": "2"}, "c") == "x-s-2-2"
    assert expand("plain", {}, "c") == "plain"


@pytest.mark.parametrize("template", ["{c}", "{a.__class__}", "{a[0]}", "{a!r}", "{a:>9}", "{}", "{0}"])
def test_a_template_reaches_nothing_but_variants(template: str) -> None:
    with pytest.raises(MetadataError, match="names a variant that the component does not have"):
        expand(template, {"a": "1"}, "c")
