# SPDX-License-Identifier: Apache-2.0
"""Options of a program, and what makes two results comparable."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from codereef.canonical import digest_of
from codereef.errors import UsageError
from codereef.lock.model import LockedFile, LockedNode
from codereef.run.measurement import comparability
from codereef.run.options import merge_options, scenario_of
from codereef.run.request import Parts

from tests.solve.worlds import dataset, model, program, solution

DECLARED: dict[str, Any] = {
    "threads": {"type": "integer", "default": 1, "minimum": 1, "maximum": 8, "summary": "Threads of one inference."},
    "seconds": {"type": "number", "default": 10.0, "minimum": 0.5, "summary": "Longest time."},
    "mode": {"type": "string", "default": "fast", "values": ["fast", "exact"], "summary": "Which way."},
    "trace": {"type": "boolean", "default": False, "summary": "Write a trace."},
}
PROGRAM = {"name": "runner", "options": DECLARED}


def test_the_user_wins_over_the_solution_and_that_over_the_program() -> None:
    assert merge_options(PROGRAM, {}, {}) == {"threads": 1, "seconds": 10.0, "mode": "fast", "trace": False}
    assert merge_options(PROGRAM, {"options": {"threads": 2, "mode": "exact"}}, {"threads": "4"}) == {
        "threads": 4,
        "seconds": 10.0,
        "mode": "exact",
        "trace": False,
    }


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("threads", "8", 8),
        ("seconds", "0.5", 0.5),
        ("seconds", "3", 3.0),
        ("mode", "exact", "exact"),
        ("trace", "true", True),
        ("trace", "ON", True),
        ("trace", "1", True),
        ("trace", "no", False),
    ],
)
def test_a_value_gets_the_type_that_is_declared(name: str, text: str, value: object) -> None:
    merged = merge_options(PROGRAM, {}, {name: text})[name]
    assert merged == value
    assert type(merged) is type(value)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("threads", "two", "Option threads: `two` is not an integer."),
        ("threads", "1.5", "is not an integer"),
        ("threads", "", "is not an integer"),
        ("threads", "0", "0 is out of range; it must be at least 1 and at most 8."),
        ("threads", "9", "out of range"),
        ("seconds", "0.4", "0.4 is out of range; it must be at least 0.5."),
        ("seconds", "nan", "is not a number"),
        ("seconds", "inf", "is not a number"),
        ("seconds", "-inf", "is not a number"),
        ("mode", "slow", "`slow` is not one of fast, exact"),
        ("trace", "maybe", "is not a boolean"),
    ],
)
def test_a_wrong_value_is_told_with_what_the_option_does(name: str, text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        merge_options(PROGRAM, {}, {name: text})
    assert message in caught.value.message
    assert caught.value.hint == DECLARED[name]["summary"]


def test_an_unknown_option_gets_the_nearest() -> None:
    with pytest.raises(UsageError, match="runner has no option `thread`") as caught:
        merge_options(PROGRAM, {}, {"thread": "1"})
    assert caught.value.hint == "Did you mean `threads`?"
    with pytest.raises(UsageError) as caught:
        merge_options(PROGRAM, {}, {"qqq": "1"})
    assert caught.value.hint == "Its options are threads, seconds, mode, trace."


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({"threads": "2"}, "`2` is not an integer"),
        ({"threads": True}, "is not an integer"),
        ({"threads": 99}, "out of range"),
        ({"seconds": "x"}, "is not a number"),
        ({"mode": 3}, "is not a string"),
        ({"trace": 1}, "is not a boolean"),
        ({"thread": 2}, "runner has no option `thread`, which the solution sets"),
    ],
)
def test_a_wrong_option_of_the_solution_is_told_too(own: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        merge_options(PROGRAM, {"options": own}, {})
    assert message in caught.value.message


def test_a_whole_number_is_a_number() -> None:
    assert merge_options(PROGRAM, {"options": {"seconds": 3}}, {})["seconds"] == 3


MEASURED = ("threads", "batch", "accuracy_limit")


def declared(name: str) -> dict[str, Any]:
    effect = "measured" if name in MEASURED else "effort"
    return {"type": "integer", "default": 1, "summary": "An option.", "effect": effect}


def parts(**changes: Any) -> Parts:
    options = {name: declared(name) for name in (*MEASURED, "max_seconds", "min_samples", "seed", "warmup_seconds")}
    return replace(
        Parts(
            solution(),
            program(options=options),
            model(),
            dataset(),
            {"precision": "int8"},
            {"size": "s"},
            "p",
            "m",
            "d",
        ),
        **changes,
    )


BASE = {"threads": 1, "max_seconds": 10.0, "accuracy_limit": 0}


MODEL = LockedNode(
    "model:m@1.0.0", "sha256:" + "1" * 64, "1.0.0", {}, "install", "run", {}, files=(LockedFile("m", "a" * 64, 3),)
)
DATA = LockedNode("dataset:d@1.0.0", "sha256:" + "2" * 64, "1.0.0", {}, "install", "run", {}, tree="sha256:" + "b" * 64)


def key(*, model: LockedNode = MODEL, data: LockedNode = DATA, of: Parts | None = None, **settings: Any) -> str:
    return comparability(
        of or parts(), model, data, "linux-x86_64-gnu", {**BASE, "scenario": "single-stream", **settings}
    )


@pytest.mark.parametrize("option", MEASURED)
def test_options_that_change_what_is_measured_change_the_key(option: str) -> None:
    assert key(**{option: 7}) != key()


@pytest.mark.parametrize("option", ["max_seconds", "min_samples", "seed", "warmup_seconds"])
def test_options_that_only_change_how_long_is_measured_do_not(option: str) -> None:
    assert key(**{option: 7}) == key()


@pytest.mark.parametrize("option", MEASURED)
def test_a_number_given_as_it_is_by_default_keeps_the_key(option: str) -> None:
    assert key(**{option: 2}) == key(**{option: 2.0})
    assert key(**{option: 2}) != key(**{option: 2.5})


@pytest.mark.parametrize(
    "path",
    [
        "/home/anna/lib/libgpu.so",
        "/home/ben/libgpu.so",
        "/home/anna bell/my libs/libgpu.so",
        "/libgpu.so",
        "~/lib/libgpu.so",
        "../lib/libgpu.so",
        "C:\\Users\\Ben\\libgpu.so",
        "libgpu.so",
    ],
)
def test_a_file_that_an_option_names_keeps_the_key_wherever_it_lies(path: str) -> None:
    options = {**parts().program.meta["options"], "delegate": {**declared("batch"), "type": "string", "default": ""}}
    of = parts(program=program(options=options))
    assert key(of=of, delegate=path) == key(of=of, delegate="/opt/vendor/libgpu.so")
    assert key(of=of, delegate=path) != key(of=of, delegate=path.replace("libgpu", "libnpu"))
    assert key(of=of, delegate="org/name") != key(of=of, delegate="name")


def test_other_files_data_processing_or_load_change_the_key() -> None:
    other_steps = model(inputs=[{**model().meta["inputs"][0], "steps": [{"decode": {"color": "BGR"}}]}])
    keys = {
        key(),
        key(scenario="offline"),
        key(model=replace(MODEL, files=(LockedFile("m", "c" * 64, 3),))),
        key(data=replace(DATA, tree="sha256:" + "d" * 64)),
        key(of=parts(model=other_steps)),
    }
    assert len(keys) == 5


def test_a_new_edition_of_a_component_with_the_same_files_keeps_the_key() -> None:
    newer = replace(MODEL, component="model:m@1.0.1", digest="sha256:" + "9" * 64)
    assert (
        key(model=newer, of=parts(program=program(version="2.0.0", options=parts().program.meta["options"]))) == key()
    )


def test_the_precision_is_the_models_variant_or_what_it_declares() -> None:
    assert parts().precision == "int8"
    assert parts(model_variants={}).precision == ""
    assert parts(model_variants={}, model=model(precision="fp16")).precision == "fp16"


FOUR = {"name": "runner", "scenarios": ["single-stream", "server"]}


def test_the_users_scenario_wins_over_the_solutions_and_that_over_single_stream() -> None:
    assert scenario_of(FOUR, {}, None) == "single-stream"
    assert scenario_of(FOUR, {"scenario": "server"}, None) == "server"
    assert scenario_of(FOUR, {"scenario": "server"}, "single-stream") == "single-stream"


@pytest.mark.parametrize(
    ("action", "given", "message"),
    [
        ({}, "sever", "runner has no scenario `sever`."),
        ({"scenario": "offline"}, None, "runner has no scenario `offline`, which the solution names."),
    ],
)
def test_a_scenario_that_the_program_does_not_have_is_refused(
    action: dict[str, Any], given: str | None, message: str
) -> None:
    with pytest.raises(UsageError) as caught:
        scenario_of(FOUR, action, given)
    assert caught.value.message == message


def test_a_program_without_scenarios_decides_its_own() -> None:
    own = {"name": "runner"}
    assert scenario_of(own, {}, None) == "single-stream"
    assert scenario_of(own, {"scenario": "batches-of-ten"}, None) == "batches-of-ten"
    with pytest.raises(UsageError, match="decides its own scenario"):
        scenario_of(own, {}, "server")


def test_a_number_is_the_same_however_it_is_written() -> None:
    declared = {"name": "p", "options": {"rate": {"type": "number", "default": 5, "summary": "Rate."}}}
    ways = [merge_options(declared, {}, {}), merge_options(declared, {"options": {"rate": 5}}, {})]
    ways += [merge_options(declared, {}, {"rate": text}) for text in ("5", "5.0", "5e0")]
    assert len({digest_of(way) for way in ways}) == 1
