# SPDX-License-Identifier: Apache-2.0
"""Tables for people."""

from __future__ import annotations

import click
from codereef.cli.plain import table


def test_a_coloured_cell_takes_the_place_that_is_seen_and_not_that_of_its_colour() -> None:
    rows = [[click.style("met", fg="green"), click.style("1", fg="red"), "a"], ["not checkable", "10", "b"]]
    lines = [click.unstyle(line) for line in table(rows, ["verdict", "n", "why"], right=[1]).splitlines()]
    assert lines == ["verdict         n  why", "met             1  a", "not checkable  10  b"]
