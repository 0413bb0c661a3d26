# SPDX-License-Identifier: Apache-2.0
"""Claims: met, not met, or not checkable, each with the numbers and the reason."""

from __future__ import annotations

from typing import Any

import pytest
from codereef.run.claims import check_claims, not_met

DATASET = {
    "name": "d",
    "version": "1.2.0",
    "count": [{"value": 50, "when": {"size": "50"}}, {"value": 500, "when": {"size": "500"}}],
}


def check(
    claim: dict[str, Any], value: float | None = 0.79, *, size: str = "500", status: str = "ok", **metric: Any
) -> dict[str, Any]:
    whole = {"dataset": "dataset:d", "metric": "mAP", "source": "a paper", **claim}
    measured = {"mAP": {"value": value, "direction": "higher", "samples": 500, **metric}}
    variants = {"size": size}
    [checked] = check_claims({"claims": [whole]}, {"precision": "int8"}, DATASET, variants, variants, status, measured)
    return checked


@pytest.mark.parametrize(
    ("claimed", "tolerance", "verdict"),
    [
        (0.79, 0.0, "met"),
        (0.795, 0.005, "met"),
        (0.7951, 0.005, "not met"),
        (0.5, 0.0, "met"),  # better is no breach
        (0.9, 0.2, "met"),
    ],
)
def test_a_claim_is_met_where_the_value_is_not_worse_than_allowed(
    claimed: float, tolerance: float, verdict: str
) -> None:
    checked = check({"value": claimed, "tolerance": tolerance})
    assert (checked["verdict"], checked["measured"], checked["claimed"]) == (verdict, 0.79, claimed)
    assert "0.79 measured" in checked["reason"] and checked["source"] == "a paper"


def test_lower_is_better_where_the_metric_says_so() -> None:
    assert check({"value": 0.7, "tolerance": 0}, direction="lower")["verdict"] == "not met"
    assert check({"value": 0.8, "tolerance": 0}, direction="lower")["verdict"] == "met"
    assert check({"value": 0.8, "tolerance": 0}, direction="none")["verdict"] == "not met"


@pytest.mark.parametrize(
    ("claimed", "value", "verdict"),
    [(0.24, 0.2351, "met"), (0.24, 0.2349, "not met"), (0.2402, 0.24016, "met"), (0.2402, 0.2401, "not met"), (3, 2.9, "not met")],
)  # fmt: skip
def test_without_a_tolerance_a_claim_is_held_to_its_digits(claimed: float, value: float, verdict: str) -> None:
    assert check({"value": claimed}, value)["verdict"] == verdict


@pytest.mark.parametrize(
    ("claim", "given", "reason"),
    [
        ({"dataset": "dataset:e"}, {}, "the claim is about dataset:e, the data here is dataset:d@1.2.0"),
        ({"dataset": "dataset:d@1.0.0"}, {}, "the claim is about dataset:d@1.0.0, the data here is dataset:d@1.2.0"),
        ({"variants": {"size": "500"}}, {"size": "50"}, "the claim is about size=500, the data here is size=50"),
        ({}, {"samples": 20}, "20 of 500 items were evaluated"),
        ({}, {"value": None, "reason": "no truth"}, "mAP was not computed: no truth"),
        ({"metric": "top1"}, {}, "top1 was not computed"),
        ({}, {"status": "crashed"}, "the measurement ended with the status crashed"),
    ],
)
def test_what_cannot_be_checked_here_says_why_and_has_no_value(
    claim: dict[str, Any], given: dict[str, Any], reason: str
) -> None:
    checked = check({"value": 0.99, **claim}, **given)
    assert (checked["verdict"], checked["reason"], checked["measured"]) == ("not checkable", reason, None)


def test_claims_of_other_variants_are_left_out() -> None:
    claims = [
        {"dataset": "dataset:d", "metric": "mAP", "value": v, "source": "s", "when": {"precision": p}}
        for v, p in ((0.9, "fp32"), (0.8, "int8"))
    ]
    measured = {"mAP": {"value": 0.7, "direction": "higher", "samples": 500}}
    checked = check_claims({"claims": claims}, {"precision": "int8"}, DATASET, {}, {"size": "500"}, "ok", measured)
    assert [c["claimed"] for c in checked] == [0.8]
    assert not_met(checked) == checked
    assert check_claims({}, {}, DATASET, {}, {}, "ok", measured) == []


def test_the_dataset_is_named_with_the_choice_that_is_claimed() -> None:
    assert check({"value": 0.79, "variants": {"size": "500"}})["dataset"] == "dataset:d[size=500]"
