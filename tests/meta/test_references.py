# SPDX-License-Identifier: Apache-2.0
"""References to components, and version constraints in every spelling."""

from __future__ import annotations

import difflib
import itertools

import pytest
from codereef.errors import UsageError
from codereef.meta.reference import KINDS, Reference, is_capability, nearest, parse_query, parse_reference
from codereef.meta.versions import parse_constraint, parse_version, preference, satisfies
from hypothesis import given
from hypothesis import strategies as st
from packaging.specifiers import SpecifierSet


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("name", "version"), [("x", None), ("a-b.c_9", "1.0rc1"), ("9", "1!2.0+local")])
def test_a_reference_survives_writing_and_reading(kind: str, name: str, version: str | None) -> None:
    reference = Reference(kind, name, version)
    assert parse_reference(str(reference)) == reference
    assert reference.unversioned == f"{kind}:{name}"


def test_a_bare_name_takes_the_kind_that_is_meant() -> None:
    assert parse_reference(" demo@1.0 ", default_kind="solution") == Reference("solution", "demo", "1.0")
    assert parse_reference("model:demo", default_kind="solution") == Reference("model", "demo")


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "model:",
        "Model:x",
        "model:X",
        "model:x@",
        "a b",
        "model:x y",
        "model:x@1 2",
        "demo",
        "../x",
        "model:-x",
    ],
)
def test_what_is_no_reference_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="not a"):
        parse_reference(text)


@pytest.mark.parametrize("text", ["demo/", "./demo", "/work/demo", "a/b/demo/"])
def test_the_folder_of_a_solution_is_answered_with_its_name(text: str) -> None:
    with pytest.raises(UsageError, match="not a component reference") as caught:
        parse_reference(text, default_kind="solution")
    assert caught.value.hint == "It is a path, and components are found by name: write demo."


def test_an_unknown_kind_gets_the_nearest() -> None:
    with pytest.raises(UsageError) as caught:
        parse_reference("modle:x")
    assert caught.value.hint == "Did you mean `model`?"


def test_capabilities_and_components_are_told_apart() -> None:
    assert is_capability("lib.onnxruntime")
    assert not is_capability("model:lib.onnxruntime")


@pytest.mark.parametrize(
    ("word", "known", "expected"),
    [
        ("compiler.pyhton", ["compiler.python", "compiler.c"], "compiler.python"),
        ("onnx", ["onnxruntime-wheel", "numpy-wheel"], "onnxruntime-wheel"),
        ("shapes", ["zebra", "coloured-shapes"], "coloured-shapes"),
    ],
)
def test_the_nearest_name_is_found(word: str, known: list[str], expected: str) -> None:
    assert nearest(word, known)[0] == expected


def test_nothing_is_near_what_is_far() -> None:
    assert nearest("qqqqq", ["alpha", "beta"]) == []
    assert len(nearest("aaaa", [f"aaa{i}" for i in range(9)], count=2)) == 2


@pytest.mark.parametrize(
    ("spelling", "pep440"),
    [
        ("^1.2", ">=1.2,<2"),
        ("^1.2.3", ">=1.2.3,<2"),
        ("^0.3.1", ">=0.3.1,<0.4"),
        ("^0.0.3", ">=0.0.3,<0.0.4"),
        ("^0.0", ">=0.0,<0.1"),
        ("^0", ">=0,<1"),
        ("^1", ">=1,<2"),
        ("~1.4", ">=1.4,<1.5"),
        ("~1.4.2", ">=1.4.2,<1.5"),
        ("~1", ">=1,<2"),
        ("~0.2.3", ">=0.2.3,<0.3"),
        ("1.x", "==1.*"),
        ("1.2.*", "==1.2.*"),
        ("1.X", "==1.*"),
        ("1.x.x", "==1.*"),
        ("=1.x", "==1.*"),
        ("!=1.x", "!=1.*"),
        (">=1.10 <=1.13", ">=1.10,<=1.13"),
        (">= 1.10, <= 1.13", ">=1.10,<=1.13"),
        (">=1.10<=1.13", ">=1.10,<=1.13"),
        ("1.2.3", "==1.2.3"),
        ("=1.2.3", "==1.2.3"),
        ("*", ""),
        ("x", ""),
        ("", ""),
        ("~=1.4", "~=1.4"),
        ("===1.0", "===1.0"),
        ("!=1.5,>1", "!=1.5,>1"),
        ("^1.2rc1", ">=1.2rc1,<2"),
        (">=1!2", ">=1!2"),
        ("==1.2+cu118", "==1.2+cu118"),
        ("1.2.post1", "==1.2.post1"),
    ],
)
def test_a_spelling_means_its_pep440_form(spelling: str, pep440: str) -> None:
    assert parse_constraint(spelling).alternatives == (SpecifierSet(pep440),)


@pytest.mark.parametrize(
    ("spelling", "alternatives"),
    [
        ("<2 || >=3", ("<2", ">=3")),
        ("1.x||^3.1||==5", ("==1.*", ">=3.1,<4", "==5")),
        ("1.2 - 1.4", (">=1.2,<1.5",)),
        ("1 - 2", (">=1,<3",)),
        ("1.2 - 1.4.2", (">=1.2,<=1.4.2",)),
        ("1.0rc1 - 2.0rc1", (">=1.0rc1,<=2.0rc1",)),
        ("1.2 - 1.4 || 2.0 - 2.1.5 !=2.1.3", (">=1.2,<1.5", ">=2.0,<=2.1.5,!=2.1.3")),
    ],
)
def test_alternatives_and_ranges(spelling: str, alternatives: tuple[str, ...]) -> None:
    assert parse_constraint(spelling).alternatives == tuple(SpecifierSet(text) for text in alternatives)


@pytest.mark.parametrize(
    ("version", "constraint", "meets"),
    [
        ("1.9", "<2 || >=3", True),
        ("2.5", "<2 || >=3", False),
        ("3.0rc1", "<2 || >=3", False),
        ("3.0", "<2 || >=3", True),
        ("1.4.9", "1.2 - 1.4", True),
        ("1.5.0rc1", "1.2 - 1.4", False),
        ("1.5", "1.2 - 1.4", False),
        ("1.1.9", "1.2 - 1.4", False),
        ("", ">=3", True),
    ],
)
def test_a_version_meets_one_of_the_alternatives(version: str, constraint: str, meets: bool) -> None:
    assert satisfies(version, constraint) is meets


@pytest.mark.parametrize(
    ("text", "exact"),
    [("1.2", "1.2"), ("==1.2", "1.2"), ("==1.2.*", ""), (">=1.2", ""), ("1.2||1.3", ""), ("", ""), ("==1,>=1", "")],
)
def test_a_constraint_that_names_one_version_is_exact(text: str, exact: str) -> None:
    assert parse_constraint(text).exact == exact


@pytest.mark.parametrize("name", ["model?coco,ssd", "model?coco,-quantized", "dataset?-large"])
def test_a_query_survives_writing_and_reading(name: str) -> None:
    query = parse_query(name)
    assert str(query) == name
    assert parse_query(str(query)) == query


def test_a_query_reads_as_a_phrase() -> None:
    assert parse_query("model?ssd,coco,-quantized").phrase == (
        "model with the tags coco and ssd but without the tag quantized"
    )
    assert parse_query("dataset?-large").phrase == "dataset without the tag large"


@given(st.text(alphabet="abc-", min_size=1, max_size=8), st.lists(st.text(alphabet="abc-", min_size=1, max_size=9)))
def test_the_nearest_names_are_those_that_difflib_finds(word: str, known: list[str]) -> None:
    def likeness(name: str) -> float:
        return difflib.SequenceMatcher(None, name, word).ratio()

    found = nearest(word, known)
    close = sorted({name for name in known if likeness(name) >= 0.6}, key=lambda name: (-likeness(name), name))[:3]
    assert found[: len(close)] == close


@pytest.mark.parametrize(
    "text",
    [
        ">=",
        "latest",
        "1.0 || || 2.0",
        "|| 1.0",
        "1.0 - ",
        ">=1.x",
        "^1.x",
        "^x",
        ">*",
        "!=*",
        "^1!2.0",
        "~1!2",
        "<>1",
        "1.2!=1.3",
        "=>1",
        "1,,|",
        "^",
    ],
)
def test_what_is_no_constraint_is_refused_with_examples(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_constraint(text)
    assert "`" in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("text", ["", "one", "1.0-", "1..2"])
def test_what_is_no_version_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not a version"):
        parse_version(text)


def test_no_constraint_allows_pre_releases_too() -> None:
    assert satisfies("2.0rc1", None)
    assert satisfies("2.0rc1", "")
    assert satisfies("2.0rc1", ">=1")
    assert not satisfies("2.0rc1", "^1.0"), "2.0rc1 is no release of the 1 series"


def test_stable_versions_are_preferred_to_pre_releases() -> None:
    assert sorted(["2.0rc1", "1.9", "1.10", "3.0.dev1"], key=preference) == ["2.0rc1", "3.0.dev1", "1.9", "1.10"]


numbers = st.lists(st.integers(0, 4), min_size=1, max_size=3)
versions = st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 5))


def text(parts: list[int] | tuple[int, ...]) -> str:
    return ".".join(map(str, parts))


def padded(parts: list[int]) -> tuple[int, ...]:
    return tuple([*parts, 0, 0][:3])


@given(numbers, versions)
def test_a_caret_keeps_everything_up_to_the_first_number_that_is_not_zero(
    wanted: list[int], version: tuple[int, ...]
) -> None:
    """Against a model that compares tuples: no fewer than asked, and the same up to the leading number."""
    fixed = next((i for i, n in enumerate(wanted) if n), len(wanted) - 1)
    expected = version >= padded(wanted) and version[: fixed + 1] == tuple(wanted[: fixed + 1])
    assert satisfies(text(version), "^" + text(wanted)) == expected


@given(numbers, versions)
def test_a_tilde_keeps_the_second_number(wanted: list[int], version: tuple[int, ...]) -> None:
    expected = version >= padded(wanted) and version[: min(2, len(wanted))] == tuple(wanted[:2])
    assert satisfies(text(version), "~" + text(wanted)) == expected


@given(st.lists(st.integers(0, 4), min_size=1, max_size=2), versions, st.sampled_from("xX*"))
def test_an_x_range_keeps_the_numbers_before_it(wanted: list[int], version: tuple[int, ...], letter: str) -> None:
    assert satisfies(text(version), f"{text(wanted)}.{letter}") == (version[: len(wanted)] == tuple(wanted))


def test_every_combination_of_two_bounds_holds_where_both_hold() -> None:
    for low, high in itertools.product(["1.0", "1.10", "2.0"], repeat=2):
        for version in ("0.9", "1.0", "1.2", "1.10", "1.11", "2.0", "2.1"):
            assert satisfies(version, f">={low} <={high}") == (
                satisfies(version, f">={low}") and satisfies(version, f"<={high}")
            )
