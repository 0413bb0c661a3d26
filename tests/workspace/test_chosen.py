# SPDX-License-Identifier: Apache-2.0
"""Which configurations `-v` chooses, and what it is told that no configuration has."""

from __future__ import annotations

from dataclasses import replace

import pytest
from codereef.errors import LockError
from codereef.lock.model import Lock, LockedConfiguration
from codereef.workspace.chosen import chosen_configurations


def lock(*values: str) -> Lock:
    """A lock whose configurations differ in their precision."""
    configurations = [
        LockedConfiguration(f"precision={value},size=50", "here", {"precision": value, "size": "50"}, "", ())
        for value in values
    ]
    return Lock("0.1.0", "", "solution:demo@1.0.0", "", {}, tuple(configurations), {}, {})


def test_values_of_a_variant_choose_in_the_order_of_the_lock() -> None:
    both = lock("fp32", "int8")
    assert chosen_configurations(both, {}) == list(both.configurations)
    assert chosen_configurations(both, {"precision": ["int8"]}) == [both.configurations[1]]
    assert chosen_configurations(both, {"precision": ["int8", "fp32"]}) == list(both.configurations)
    assert chosen_configurations(both, {"precision": ["all"], "size": ["50"]}) == list(both.configurations)


@pytest.mark.parametrize(
    ("variants", "message", "hint"),
    [
        ({"precision": ["int8", "fp64"]}, "with precision=fp64.", "It has precision=fp32,size=50; precision=int8"),
        ({"precision": list("abcde")}, "with precision=a, precision=b, precision=c and 2 more.", "`cr init demo`"),
        ({"precison": ["int8"]}, "with precison=int8.", "Did you mean `precision`? It has"),
        ({"colour": ["all"]}, "with colour=all.", "`cr init demo`"),
    ],
)
def test_a_value_that_no_configuration_has_is_refused_although_others_fit(
    variants: dict[str, list[str]], message: str, hint: str
) -> None:
    with pytest.raises(LockError) as caught:
        chosen_configurations(lock("fp32", "int8"), variants)
    assert message in caught.value.message and hint in caught.value.hint


def test_values_that_never_stand_together_are_refused_and_long_locks_are_cut() -> None:
    many = lock(*map(str, range(9)))
    one = LockedConfiguration("precision=x,size=7", "here", {"precision": "x", "size": "7"}, "", ())
    odd = replace(many, configurations=(*many.configurations, one))
    with pytest.raises(LockError, match="no configuration with these variants") as caught:
        chosen_configurations(odd, {"precision": ["1"], "size": ["7"]})
    assert "; and 4 more. " in caught.value.hint
