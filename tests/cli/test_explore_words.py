# SPDX-License-Identifier: Apache-2.0
"""What stands after `--vary`: every NAME=VALUES that follows, and nothing else."""

from __future__ import annotations

import click
import pytest
from codereef.cli.commands.exploring import explore


@pytest.mark.parametrize(
    ("words", "vary", "options"),
    [
        (["demo", "--vary", "a=1,2", "b=3", "c=x,y", "--repeat", "5"], ("a=1,2", "b=3", "c=x,y"), ()),
        (["demo", "--vary", "a=1", "--vary", "b=2"], ("a=1", "b=2"), ()),
        (["demo", "--vary=a=1", "b=2", "-q"], ("a=1", "b=2"), ()),
        (["--vary", "a=1", "b=2", "demo"], ("a=1", "b=2"), ()),
        (["demo", "-o", "x=1", "--vary", "a=1", "b=2", "-o", "y=2"], ("a=1", "b=2"), ("x=1", "y=2")),
        (["demo"], (), ()),
    ],
)
def test_every_dimension_that_follows_is_taken(
    words: list[str], vary: tuple[str, ...], options: tuple[str, ...]
) -> None:
    parameters = explore.make_context("explore", list(words)).params
    assert (parameters["solution"], parameters["vary"], parameters["options"]) == ("demo", vary, options)


@pytest.mark.parametrize(
    "words",
    [
        ["demo", "--vary", "a=1", "b"],
        ["demo", "--vary"],
        ["demo", "--vary", "a=1", "-o", "x=1", "b=2"],
        ["--vary", "a=1"],
    ],
)
def test_what_is_no_dimension_is_not_taken(words: list[str]) -> None:
    with pytest.raises(click.UsageError):
        explore.make_context("explore", list(words))


def test_resume_may_stand_without_an_id() -> None:
    assert explore.make_context("explore", ["demo", "--resume"]).params["resume"] == ""
    assert explore.make_context("explore", ["demo", "--resume", "1a2b", "-q"]).params["resume"] == "1a2b"
    assert explore.make_context("explore", ["demo"]).params["resume"] is None
