# SPDX-License-Identifier: Apache-2.0
"""`cr compare` as a user sees it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from codereef.cli.commands.results import compare
from codereef.errors import UsageError

from tests.record.test_comparing import forked, later


@pytest.fixture
def names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Four results in a home of their own; the second is 30 % slower and has another option."""
    monkeypatch.setenv("CR_HOME", str(tmp_path))
    from codereef.home import Home

    folder = Home.default().results
    made = []
    for number, factor in enumerate((1.0, 1.3, 1.0, 0.8), 1):
        odd = {"options": {"threads": 2, "max_seconds": 10.0}, "comparability": "sha256:" + "1" * 64}
        made.append(forked(folder, number, factor, **later(10 + number), **(odd if number == 2 else {})).short)
    return made


def shown(*arguments: str) -> Result:
    return CliRunner().invoke(compare, arguments, catch_exceptions=False)


def test_many_are_ordered_by_their_median_and_ties_are_named(names: list[str]) -> None:
    lines = shown(*names).output.splitlines()
    assert lines[0] == f"not like for like: option threads is 1 in the first and 2 in {names[1]}"
    rows = {line.split()[0]: line for line in lines[2:6]}
    assert [*rows][::3] == [names[3], names[1]]
    assert " faster " in rows[names[3]] and " slower " in rows[names[1]]
    assert " tied " in rows[names[2]] and " the first " in rows[names[0]]
    assert f"Tied with {names[0]}: {names[2]}." in lines[6]
    assert max(map(len, lines[1:])) <= 100


def test_two_are_told_in_sentences(names: list[str]) -> None:
    output = shown(names[0], names[1]).output
    assert output.startswith("not like for like: option threads is 1 in A and 2 in B\n")
    assert f"{names[1]} against {names[0]}: slower." in output
    assert (
        "of 7 and 7 processes" in output and "A query of B takes longer than one of A with probability 1.00." in output
    )


def test_json_has_the_corrected_p_values_and_the_ties(names: list[str]) -> None:
    data = json.loads(shown(*names, "--json").stdout)
    assert [entry["tied"] for entry in data["entries"]].count(True) == 1
    two = json.loads(shown(names[0], names[1], "--json").stdout)
    assert two["verdict"] == "slower" and two["processes"] == [7, 7]


def test_a_result_named_twice_among_many_is_refused(names: list[str]) -> None:
    with pytest.raises(UsageError, match="is named twice"):
        shown(names[0], names[1], names[1])
