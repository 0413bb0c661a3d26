# SPDX-License-Identifier: Apache-2.0
"""Whether a second measurement reproduces a first one, and why not where it does not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from codereef.record.compare import compare_results
from codereef.record.history import Result
from codereef.record.summary import ACCURACY

#: What another machine's arithmetic may change of an accuracy whose result has no interval.
TOLERANCE = 0.005


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        what: its name.
        held: whether it is as it was; None where that cannot be judged here.
        why: the reason, for people.
    """

    what: str
    held: bool | None
    why: str


@dataclass(frozen=True)
class Reproduction:
    """What measuring a result again has shown.

    Attributes:
        original: identity of the result that was to be reproduced.
        again: identity of the new result; empty where it could not be made.
        reproduced: whether everything that can be judged here held, and there was something to judge.
        checks: what was looked at.
    """

    original: str
    again: str
    reproduced: bool
    checks: tuple[Check, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON data."""
        return asdict(self)


def judge(original: Result, again: Result, others: Iterable[Result] = ()) -> Reproduction:
    """Judge a result by one that was measured again with the same lock and options.

    Accuracy has to be the same: exactly so on the same sort of machine, within the interval of the original (or
    `TOLERANCE` where it has none) on another. Latency is judged on the same sort of machine only: there the
    comparison must find no measurable difference.

    Args:
        original: the result that is to be reproduced.
        again: the new one.
        others: further results, for the spread of repeated runs.
    """
    checks = tuple(_checks(original, again, others))
    judged = [check.held for check in checks if check.held is not None]
    return Reproduction(original.id, again.id, bool(judged) and all(judged), checks)


def _checks(original: Result, again: Result, others: Iterable[Result]) -> Iterator[Check]:
    left, right = original.document, again.document
    if right["status"] != "ok":
        yield Check("run", False, f"it ended as {right['status']}: {right.get('error', 'nothing is known of why')}")
        return
    if left["comparability"] != right["comparability"]:
        yield Check("way of measuring", False, "this client measures something else than the one of the original did")
    alike = left["machine"]["class_digest"] == right["machine"]["class_digest"]
    for metric in ACCURACY:
        x, y = original.metric(metric), again.metric(metric)
        if x is not None:
            yield _accuracy(original, metric, x, y, alike)
    if not left["samples"].get("latency", {}).get("values"):
        return
    if not alike:
        yield Check("latency", None, "this is another sort of machine, whose speed says nothing about the original")
        return
    compared = compare_results(original, again, others)
    held = {"no measurable difference": True, "faster": False, "slower": False}.get(compared.verdict)
    yield Check("latency", held, compared.sentence)


def _accuracy(original: Result, metric: str, x: float, y: float | None, alike: bool) -> Check:
    if y is None:
        return Check(metric, False, f"it was {x:.4f} and could not be measured again")
    if x == y:
        return Check(metric, True, f"{y:.4f}, exactly as it was")
    said = f"{y:.4f} where it was {x:.4f}"
    if alike:
        return Check(metric, False, f"{said}, on the same sort of machine")
    low, high = original.interval(metric) or (x - TOLERANCE, x + TOLERANCE)
    inside = low <= y <= high
    return Check(metric, inside, f"{said}, {'within' if inside else 'outside'} {low:.4f} to {high:.4f}")
