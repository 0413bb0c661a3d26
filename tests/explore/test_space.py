# SPDX-License-Identifier: Apache-2.0
"""What `--vary` means: values, ranges, names, and what a lock lacks."""

from __future__ import annotations

from typing import Any

import pytest
from codereef.errors import LockError, UsageError
from codereef.explore.space import Space, make_space
from codereef.explore.values import expand, split_dimension
from hypothesis import given
from hypothesis import strategies as st

from tests.explore.parts import VARIANTS, measurables


def space(*vary: str, **more: Any) -> Space:
    arguments = {"only": {}, "fixed": {}, "lock_variants": VARIANTS, **more}
    chosen = arguments.pop("measurables", measurables())
    return make_space(vary, chosen, solution="demo", **arguments)


def names(found: Space) -> list[str]:
    return [found[i].name for i in range(len(found))]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("1,2,4", ["1", "2", "4"]),
        ("1..4", ["1", "2", "3", "4"]),
        ("1..9+2", ["1", "3", "5", "7", "9"]),
        ("1..10+4", ["1", "5", "9"]),
        ("1..64*2", ["1", "2", "4", "8", "16", "32", "64"]),
        ("3..20*2", ["3", "6", "12"]),
        ("0.1..0.3+0.1", ["0.1", "0.2", "0.3"]),
        ("-1..1", ["-1", "0", "1"]),
        ("1..2,8,3..4", ["1", "2", "8", "3", "4"]),
        ("10,100", ["10", "100"]),
        ("100..300+100", ["100", "200", "300"]),
    ],
)
def test_values_and_ranges_are_expanded_in_order(text: str, values: list[str]) -> None:
    assert expand("threads", text, numeric=True) == values


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("8..1", "ends before it begins"),
        ("0..8*2", "never comes to its end"),
        ("1..8*1", "never comes to its end"),
        ("1..8+0", "never comes to its end"),
        ("1..8+-1", "never comes to its end"),
        ("a..b", "no range of numbers"),
        ("1..inf", "no range of numbers"),
        ("..8", "is no range"),
        ("1..", "is no range"),
        ("1..100000000", "more than 10,000 values"),
    ],
)
def test_a_range_that_goes_nowhere_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        expand("threads", text, numeric=True)
    assert caught.value.hint


@given(st.integers(-50, 50), st.integers(0, 60), st.integers(1, 9))
def test_a_range_is_that_of_python(low: int, length: int, step: int) -> None:
    found = expand("n", f"{low}..{low + length}+{step}", numeric=True)
    assert found == [str(value) for value in range(low, low + length + 1, step)]


@pytest.mark.parametrize("text", ["threads", "=1", "threads=", "threads=,", ""])
def test_a_dimension_without_name_or_values_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="expected NAME=VALUE"):
        split_dimension(text)


def test_options_and_variants_are_told_apart_by_name() -> None:
    found = space("threads=1,2", "precision=fp32,int8")
    assert len(found) == 8
    assert names(found)[:3] == [
        "format=onnx,precision=fp32,threads=1",
        "format=onnx,precision=fp32,threads=2",
        "format=onnx,precision=int8,threads=1",
    ]
    assert len(set(names(found))) == 8
    assert found[0].configuration == "format=onnx,precision=fp32,size=50"
    assert dict(found[0].options) == {"threads": "1"}


def test_variants_that_are_not_varied_are_those_of_the_lock_unless_they_are_chosen() -> None:
    assert names(space("precision=int8")) == ["format=onnx,precision=int8", "format=tflite,precision=int8"]
    assert names(space("precision=int8", only={"format": ["onnx"]})) == ["precision=int8"]
    assert names(space("threads=2", only={"format": ["onnx"], "precision": ["fp32"]})) == ["threads=2"]


def test_fixed_options_go_into_every_point_and_not_into_its_name() -> None:
    found = space("threads=1,2", only={"format": ["onnx"], "precision": ["fp32"]}, fixed={"ratio": "0.1"})
    assert [dict(found[i].options) for i in range(2)] == [
        {"ratio": "0.1", "threads": "1"},
        {"ratio": "0.1", "threads": "2"},
    ]
    assert names(found) == ["threads=1", "threads=2"]


def test_all_means_every_value_of_the_lock() -> None:
    assert names(space("precision=all", only={"format": ["onnx"]})) == ["precision=fp32", "precision=int8"]


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        ("threads=1,1", "1"),
        ("threads=1,01,2", "01"),
        ("threads=1..4,2", "2"),
        ("fast=yes,true,no", "true"),
        ("ratio=0.5,5e-1", "5e-1"),
        ("precision=fp32,int8,fp32", "fp32"),
    ],
)
def test_a_value_that_stands_twice_is_refused_however_it_is_written(entry: str, value: str) -> None:
    with pytest.raises(UsageError, match=f"has the value {value} twice") as caught:
        space(entry)
    assert "--repeat" in caught.value.hint


def test_values_are_named_as_the_program_reads_them() -> None:
    only = {"format": ["onnx"], "precision": ["fp32"]}
    assert names(space("threads=01,2", only=only)) == ["threads=1", "threads=2"]
    assert names(space("fast=yes,no", only=only)) == ["fast=true", "fast=false"]


def test_the_order_of_values_of_a_variant_does_not_change_the_space() -> None:
    assert names(space("precision=int8,fp32")) == names(space("precision=fp32,int8"))


def test_a_name_that_is_both_must_be_told_apart() -> None:
    with pytest.raises(UsageError, match="is an option of runner and a variant of demo") as caught:
        space("size=50")
    assert "option:size=" in caught.value.hint and "variant:size=" in caught.value.hint
    assert dict(space("option:size=7")[0].options) == {"size": "7"}
    assert dict(space("variant:size=50")[0].options) == {}


@pytest.mark.parametrize(
    ("vary", "more", "message", "hint"),
    [
        (("thread=1",), {}, "`thread` is neither", "Did you mean `threads`"),
        (("precison=int8",), {}, "`precison` is neither", "Did you mean `precision`"),
        (("zzzz=1",), {}, "`zzzz` is neither", "Its variants are format, precision, size, its options threads"),
        (("variant:threads=1",), {}, "`threads` is neither", ""),
        (("threads=0",), {}, "out of range", ""),
        (("threads=x",), {}, "`x` is not an integer", ""),
        (("threads=1..65",), {}, "65 is out of range", ""),
        (("mode=c",), {}, "`c` is not one of a, b", ""),
        (("precision=bf16",), {}, "cannot be `bf16`", "It can be fp32, int8, fp16"),
        (("threads=1", "threads=2"), {}, "given twice", "one threads="),
        (("threads=1",), {"fixed": {"threads": "2"}}, "both fixed by --option and varied", ""),
        (("precision=fp32",), {"only": {"precision": ["int8"]}}, "both chosen by --variant and varied", ""),
        (("threads=1",), {"only": {"color": ["red"]}}, "has no variant `color`", "Its variants are"),
        (("threads=1",), {"fixed": {"ratio": "much"}}, "`much` is not a number", ""),
        ((), {}, "Nothing is varied", "--vary threads=1,2,4"),
    ],
)
def test_a_wrong_dimension_is_refused_with_what_would_be_right(
    vary: tuple[str, ...], more: dict[str, Any], message: str, hint: str
) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        space(*vary, **more)
    assert hint in caught.value.hint


def test_a_value_that_the_lock_lacks_comes_with_the_command_that_adds_it_and_keeps_the_others() -> None:
    with pytest.raises(LockError, match="no configuration with precision=fp16") as caught:
        space("precision=fp32,fp16")
    command = "cr init demo --variant format=onnx,tflite --variant precision=fp32,int8,fp16 --variant size=50"
    assert command in caught.value.hint
    with pytest.raises(LockError, match="no configuration with precision=fp16") as caught:
        space("threads=1,2", only={"precision": ["fp32", "fp16"]})
    assert command in caught.value.hint


def test_a_combination_that_the_lock_lacks_is_named() -> None:
    some = measurables({"format": "onnx", "precision": "fp32"}, {"format": "tflite", "precision": "int8"})
    with pytest.raises(LockError, match="format=onnx,precision=int8, format=tflite,precision=fp32"):
        space("format=onnx,tflite", "precision=fp32,int8", measurables=some)
    assert len(space("precision=fp32,int8", measurables=some)) == 2
