# SPDX-License-Identifier: Apache-2.0
"""The published schemas, and messages that an author can act on."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from codereef.embedded import data_root
from codereef.errors import MetadataError
from codereef.meta.component import read_meta
from codereef.meta.reference import KINDS
from codereef.meta.schemas import SCHEMA_NAMES, check, json_path, load_schema, parse_json, problems
from codereef.repo.index import component_folders

REAL = component_folders(data_root())
BY_KIND = {json.loads((folder / "cr.json").read_bytes())["kind"]: folder / "cr.json" for folder in REAL}


def real(kind: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(BY_KIND[kind].read_bytes())
    return document


def subschemas(schema: Any, path: str = "$") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every schema inside a schema, wherever the vocabulary allows one."""
    if not isinstance(schema, dict):
        return
    yield path, schema
    for word in ("properties", "patternProperties", "$defs"):
        for name, child in schema.get(word, {}).items():
            yield from subschemas(child, f"{path}.{word}.{name}")
    for word in ("items", "additionalProperties", "contains", "not", "if", "then", "else"):
        yield from subschemas(schema.get(word), f"{path}.{word}")
    for word in ("oneOf", "anyOf", "allOf", "prefixItems"):
        for i, child in enumerate(schema.get(word, ())):
            yield from subschemas(child, f"{path}.{word}[{i}]")


@pytest.mark.parametrize("name", SCHEMA_NAMES)
def test_a_schema_is_valid_itself(name: str) -> None:
    from jsonschema import Draft202012Validator

    schema = load_schema(name)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("name", SCHEMA_NAMES)
def test_every_object_says_what_keys_it_may_have(name: str) -> None:
    # An object either names its keys and forbids others, or says in words that others are ignored, or is a map
    # whose values have a schema, or says in words that its content is free.
    told = "are ignored" in load_schema(name).get("description", "")
    for path, schema in subschemas(load_schema(name)):
        if "properties" in schema:
            assert schema.get("additionalProperties") is False or told, path
        elif schema.get("type") == "object" and "maxProperties" not in schema:
            values = schema.get("additionalProperties")
            assert isinstance(values, dict) or (values is True and schema.get("description")), path


@pytest.mark.parametrize("name", SCHEMA_NAMES)
def test_every_property_of_a_kind_is_described(name: str) -> None:
    common = load_schema("common")["$defs"]
    lacking = []
    for path, schema in subschemas(load_schema(name)):
        if len(schema.get("properties", {})) == 1 and schema.get("description") and schema.get("required"):
            continue  # A processing step: the object with its one key is described as a whole.
        for key, child in schema.get("properties", {}).items():
            target = child if isinstance(child, dict) else {}
            if "$ref" in target and "description" not in target:
                target = common.get(
                    target["$ref"].rsplit("/", 1)[-1], load_schema("lock") if "lock" in target["$ref"] else {}
                )
            if not target.get("description"):
                lacking.append(f"{path}.{key}")
    assert lacking == []


@pytest.mark.parametrize("folder", REAL, ids=lambda folder: folder.name)
def test_a_real_component_follows_its_schema(folder: Path) -> None:
    assert read_meta(folder / "cr.json")["kind"] in KINDS


def test_there_is_a_real_component_of_every_kind() -> None:
    assert set(BY_KIND) == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_an_unknown_key_is_named_with_the_nearest_known_one(kind: str) -> None:
    document = real(kind)
    document["sumary"] = document.pop("summary")
    found = problems(document, kind)
    unknown = next(p for p in found if "unknown" in p.message)
    assert unknown.path == "$"
    assert "unknown key `sumary`; known keys are " in unknown.message
    assert "license" in unknown.message
    assert unknown.hint == "Did you mean `summary`?"
    assert any(p.message == "missing key `summary`." for p in found)


@pytest.mark.parametrize(
    ("kind", "path", "key", "near"),
    [
        ("package", ["provides"], "versoins", "versions"),
        ("package", ["install"], "requirments", "requirements"),
        ("program", ["run"], "pythn", "python"),
        ("program", ["metrics", "mAP"], "direktion", "direction"),
        ("model", ["files", 0], "sha265", "sha256"),
        ("model", ["inputs", 0], "dtyp", "dtype"),
        ("model", ["inputs", 0, "steps", 1, "resize"], "metod", "method"),
        ("dataset", ["annotations"], "imges", "images"),
        ("dataset", ["install"], "skript", "script"),
        ("solution", ["program"], "need", "needs"),
        ("solution", ["deps", "model"], "verison", "version"),
        ("solution", ["actions", "benchmark"], "metric", "metrics"),
        ("soft", ["find"], "executable", "executables"),
    ],
)
def test_an_unknown_nested_key_is_named_with_its_path(kind: str, path: list[str | int], key: str, near: str) -> None:
    document = next(
        d
        for d in (json.loads((f / "cr.json").read_bytes()) for f in REAL)
        if d["kind"] == kind and _has(d, path) and _suits(d, kind, path)
    )
    target = document
    for part in path:
        target = target[part]  # type: ignore[index]
    target[key] = 1
    found = [p for p in problems(document, kind) if f"unknown key `{key}`" in p.message]
    assert [p.path for p in found] == [json_path(path)]
    assert found[0].hint == f"Did you mean `{near}`?"


def _has(document: Any, path: list[str | int]) -> bool:
    for part in path:
        try:
            document = document[part]
        except (KeyError, IndexError, TypeError):
            return False
    return True


def _suits(document: dict[str, Any], kind: str, path: list[str | int]) -> bool:
    return not (kind == "dataset" and path == ["install"]) or document["install"]["using"] == "generate"


def test_an_unknown_processing_step_is_named_with_the_nearest() -> None:
    document = real("model")
    document["inputs"][0]["steps"][0] = {"decod": {"color": "RGB"}}
    found = problems(document, "model")
    assert [p.path for p in found] == ["$.inputs[0].steps[0]"]
    assert "unknown step `decod`; known steps are decode, " in found[0].message
    assert found[0].hint == "Did you mean `decode`?"


def test_a_step_with_two_keys_is_refused() -> None:
    document = real("model")
    document["inputs"][0]["steps"][0] = {"decode": {"color": "RGB"}, "layout": {"to": "NCHW"}}
    assert "exactly one key, found 2: 'decode', 'layout'" in problems(document, "model")[0].message


def test_a_wrong_argument_of_a_step_is_told_apart_from_a_wrong_step() -> None:
    document = real("model")
    document["inputs"][0]["steps"][0] = {"decode": {"color": "RGb"}}
    found = problems(document, "model")
    assert found[0].path == "$.inputs[0].steps[0].decode.color"
    assert found[0].message.startswith('found "RGb", expected one of "RGB", "BGR", "L".')
    assert found[0].hint == "Did you mean `RGB`?"


@pytest.mark.parametrize(
    ("change", "path", "message"),
    [
        ({"summary": 3}, "$.summary", "found 3, expected string. (One line for lists and search)"),
        ({"summary": "x"}, "$.summary", 'found "x", expected text of at least 3 characters.'),
        ({"name": "Upper"}, "$.name", 'found "Upper", expected text matching'),
        ({"tags": "one"}, "$.tags", 'found "one", expected array.'),
        ({"tags": ["a", "a"]}, "$.tags", 'found ["a", "a"], expected no entry twice.'),
        ({"kind": "modle"}, "$.kind", 'found "modle", expected "program".'),
        ({"timeout": True}, "$.timeout", "found true, expected number."),
        ({"timeout": 0}, "$.timeout", "found 0, expected a number greater than 0."),
        ({"deps": {"Python": {"needs": "compiler.python"}}}, "$.deps", 'found "Python", expected text matching'),
        ({"deps": {"python": {"needs": "python"}}}, "$.deps.python.needs", 'found "python", expected text matching'),
    ],
)
def test_a_wrong_value_tells_what_was_found_and_what_was_expected(
    change: dict[str, Any], path: str, message: str
) -> None:
    found = problems({**real("program"), **change}, "program")
    assert [p.path for p in found] == [path]
    assert message in found[0].message


@pytest.mark.parametrize("key", ["provides", "install", "license"])
def test_a_missing_key_is_named(key: str) -> None:
    document = real("package")
    del document[key]
    assert [str(p) for p in problems(document, "package")] == [f"$: missing key `{key}`."]


def test_problems_come_in_the_order_of_the_document() -> None:
    document = real("model")
    document["files"] = [dict(document["files"][0], name="") for _ in range(12)]
    document["license"] = 1
    paths = [p.path for p in problems(document, "model")]
    assert paths == ["$.license", *(f"$.files[{i}].name" for i in range(12))]


def test_the_error_names_the_file_and_holds_every_problem_as_data() -> None:
    document = real("program")
    document["metrics"] = {f"m{i}": {"unit": 1, "direction": "lower"} for i in range(12)}
    with pytest.raises(MetadataError) as caught:
        check(document, "program", "here/cr.json")
    error = caught.value
    assert error.message.startswith(
        "here/cr.json does not follow the program schema:\n  $.metrics.m0.unit: found 1, expected string."
    )
    assert error.message.endswith("… and 4 more")
    assert "cr lint here/cr.json" in error.hint
    found = error.context["problems"]
    assert isinstance(found, list) and len(found) == 12
    assert found[3]["path"] == "$.metrics.m3.unit"


def test_a_file_must_come_from_somewhere() -> None:
    document = real("model")
    document["files"][0] = {"name": "x", "sha256": "0" * 64, "size": 1}
    found = problems(document, "model")
    assert len(found) == 1
    assert found[0].path == "$.files[0]"
    assert "missing key" in found[0].message


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../../b", "a\\b", "a\0b", ""])
def test_a_path_cannot_leave_its_component(path: str) -> None:
    document = real("program")
    document["run"]["python"] = path
    assert [p.path for p in problems(document, "program")] == ["$.run.python"]


def test_documents_are_not_changed_by_checking_them() -> None:
    document = real("model")
    before = copy.deepcopy(document)
    problems(document, "model")
    assert document == before


@pytest.mark.parametrize(
    ("parts", "text"),
    [(["files", 0, "sha256"], "$.files[0].sha256"), (["a-b", "c_d"], "$.a-b.c_d"), (["x.y"], "$['x.y']"), ([], "$")],
)
def test_paths_are_written_for_people(parts: list[str | int], text: str) -> None:
    assert json_path(parts) == text


def test_broken_json_is_named_with_line_and_column() -> None:
    with pytest.raises(MetadataError) as caught:
        parse_json('{\n  "a": 1,\n  "b" 2\n}', "x.json")
    assert "x.json is not JSON: expecting ':' delimiter at line 3, column 7." in caught.value.message
    assert caught.value.context == {"file": "x.json", "line": 3, "column": 7}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1, "b": {"c": 1, "c": 2}}', "the key `c` stands twice"),
        ('{"a": NaN}', "NaN is not JSON"),
        ('{"a": [-Infinity]}', "-Infinity is not JSON"),
        ('{"a": 1e999}', "the number 1e999 is too large"),
        (b'{"a": "\xff"}', "cannot be read as JSON"),
        ('{"a": "\\ud800"}', "cannot be read as JSON"),
        ("[" * 100_000, "cannot be read as JSON"),
        ("1" * 5000, "cannot be read as JSON"),
        ("", "is not JSON: nothing is there at line 1, column 1"),
    ],
)
def test_what_is_not_strict_json_is_refused(text: str | bytes, message: str) -> None:
    with pytest.raises(MetadataError, match="x.json") as caught:
        parse_json(text, "x.json")
    assert message in caught.value.message
    assert caught.value.hint


def test_a_document_that_was_cut_anywhere_is_said_to_be_cut() -> None:
    whole = json.dumps({"a": [1, -2.5e-7, True, None, False, "é\n\\ y"], "b": {"c": {}, "d": []}, "é": "ü"}, indent=1)
    for text in (whole.encode(), json.dumps(json.loads(whole), ensure_ascii=False).encode()):
        for length in range(1, len(text)):
            with pytest.raises(MetadataError) as caught:
                parse_json(text[:length], "x.json")
            assert "cut off" in caught.value.hint, text[:length]


@pytest.mark.parametrize("text", ['{"a": 1,}', "[1,]", '{"a" 1}', "{a: 1}", "[1 2]", '{"a": 1}}', '{"a": nil}', "abc."])
def test_a_document_that_is_written_wrong_is_not_said_to_be_cut(text: str) -> None:
    with pytest.raises(MetadataError) as caught:
        parse_json(text, "x.json")
    assert "comma" in caught.value.hint


def test_good_json_is_read_as_it_is() -> None:
    assert parse_json('{"ä": [1, 2.5, true, null, "\\ud83d\\ude00"]}', "x") == {"ä": [1, 2.5, True, None, "😀"]}


@pytest.mark.parametrize("name", ["sudo-", "-y", "a b", ""])
def test_a_system_package_cannot_be_an_option_or_a_wish_to_remove(name: str) -> None:
    document = json.loads((data_root() / "packages" / "gcc-system" / "cr.json").read_bytes())
    check(document, "package", Path("cr.json"))
    document["install"]["packages"]["apt"] = ["g++", "libstdc++6", name]
    with pytest.raises(MetadataError, match="apt"):
        check(document, "package", Path("cr.json"))
