# SPDX-License-Identifier: Apache-2.0
"""What a model claims of itself, held against what was measured.

A claim is checkable where the same metric was measured on all of the dataset that the claim is about. It is met
where the value measured is not worse than the one claimed by more than the tolerance; better is no breach.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from codereef.meta.selection import Fact, select

MET, NOT_MET, NOT_CHECKABLE = "met", "not met", "not checkable"


def check_claims(
    model: Mapping[str, Any],
    facts: Mapping[str, Fact],
    dataset: Mapping[str, Any],
    dataset_variants: Mapping[str, str],
    dataset_facts: Mapping[str, Fact],
    status: str,
    metrics: Mapping[str, Mapping[str, Any]],
) -> list[dict[str, Any]]:
    """Return each claim of a model with its verdict (`claims` in schemas/result.json).

    Args:
        model: the model's `cr.json`.
        facts: of the model, for the conditions of its claims.
        dataset: `cr.json` of the dataset it was measured on.
        dataset_variants: variant values of the dataset.
        dataset_facts: of the dataset, for the conditions of its `count`.
        status: how the measurement ended.
        metrics: what was measured.
    """
    counts = [int(entry["value"]) for entry in select(dataset.get("count", []), dataset_facts)]
    items = counts[0] if counts else None
    return [
        _checked(claim, dataset, dataset_variants, items, status, metrics)
        for claim in select(model.get("claims", []), facts)
    ]


def _checked(
    claim: Mapping[str, Any],
    dataset: Mapping[str, Any],
    variants: Mapping[str, str],
    items: int | None,
    status: str,
    metrics: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    metric = metrics.get(claim["metric"], {})
    value = metric.get("value")
    checked: dict[str, Any] = {
        "metric": claim["metric"],
        "dataset": claim["dataset"] + _choice(claim.get("variants", {})),
        "claimed": claim["value"],
        "tolerance": claim.get("tolerance", _last_digit(claim["value"])),
        "measured": value,
        "source": claim["source"],
    }
    reason = (
        _other_data(claim, dataset, variants)
        or (f"the measurement ended with the status {status}" if status != "ok" else "")
        or _unmeasured(claim["metric"], metric, items)
    )
    if reason or value is None:
        # A value of other data is no measurement of this claim.
        checked.update(verdict=NOT_CHECKABLE, reason=reason, measured=None)
        return checked
    verdict, reason = _verdict(value, claim["value"], checked["tolerance"], metric.get("direction", "higher"))
    checked.update(verdict=verdict, reason=reason)
    return checked


def _choice(variants: Mapping[str, str]) -> str:
    return f"[{','.join(f'{name}={value}' for name, value in sorted(variants.items()))}]" if variants else ""


def _last_digit(value: float) -> float:
    """Half a unit of the last digit that a claim is written with; whole numbers are exact."""
    exponent = Decimal(str(value)).as_tuple().exponent
    return 0.5 * 10.0**exponent if isinstance(exponent, int) and exponent < 0 else 0.0


def _other_data(claim: Mapping[str, Any], dataset: Mapping[str, Any], variants: Mapping[str, str]) -> str:
    name, _, version = claim["dataset"].partition("@")
    here = f"dataset:{dataset['name']}"
    if name != here or (version and version != dataset["version"]):
        return f"the claim is about {claim['dataset']}, the data here is {here}@{dataset['version']}"
    for key, wanted in claim.get("variants", {}).items():
        if variants.get(key) != wanted:
            return f"the claim is about {key}={wanted}, the data here is {key}={variants.get(key, 'not given')}"
    return ""


def _unmeasured(name: str, metric: Mapping[str, Any], items: int | None) -> str:
    if metric.get("value") is None:
        return f"{name} was not computed" + (f": {metric['reason']}" if metric.get("reason") else "")
    samples = metric.get("samples")
    if items is not None and isinstance(samples, int) and samples < items:
        return f"{samples:,} of {items:,} items were evaluated"
    return ""


def _verdict(value: float, claimed: float, tolerance: float, direction: str) -> tuple[str, str]:
    apart = value - claimed
    # What binary fractions add to a difference of decimals is no difference.
    slack = tolerance + 1e-12 * max(1.0, abs(claimed))
    worse = abs(apart) if direction == "none" else -apart if direction == "higher" else apart
    numbers = f"{value:.6g} measured, {claimed:.6g} claimed"
    allowed = f", {tolerance:.2g} allowed"
    if worse > slack:
        return NOT_MET, f"{numbers}: {worse:.3g} {'apart' if direction == 'none' else 'worse'}{allowed}"
    if abs(apart) <= slack:
        return MET, f"{numbers}: {abs(apart):.2g} apart{allowed}"
    return MET, f"{numbers}: {abs(apart):.3g} better"


def not_met(claims: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the claims that were not met."""
    return [claim for claim in claims if claim["verdict"] == NOT_MET]
