# SPDX-License-Identifier: Apache-2.0
"""From the bytes of an upload to a checked document: identity, limits and the values that become columns."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from codereef.errors import MetadataError

from codereef_portal.problems import PortalError, ProblemItem
from codereef_portal.results.metrics import ACCURACY_NAMES, SHARED, describe, to_base

# Longest text of each column that comes straight from the document.
_LIMITS = {
    "model": 200,
    "precision": 40,
    "dataset": 200,
    "scenario": 60,
    "task": 80,
    "runtime.name": 80,
    "runtime.version": 60,
    "solution.component": 150,
    "configuration.id": 400,
    "configuration.target": 80,
    "machine.instance": 120,
    "client.version": 60,
}
_MAX_METRICS = 200
_MAX_COMPONENTS = 2000


@dataclass(frozen=True)
class Measured:
    """One metric in base units: value, confidence bounds and number of samples."""

    value: float
    lo: float | None
    hi: float | None
    samples: int


@dataclass(frozen=True)
class Document:
    """A checked result document.

    Attributes:
        uid: SHA-256 of the canonical JSON, 64 hexadecimal digits.
        canonical: the canonical JSON in UTF-8.
        data: the document.
        started_at: start, UTC.
        ended_at: end, UTC.
        metrics: shared metrics by column name, in base units.
        accuracy_metric: name of the metric in the column `accuracy`.
        other: names of the metrics without a column.
        dataset: the dataset with the variants it was taken in.
        doubts: (reason, detail) pairs that keep the result off the frontier.
    """

    uid: str
    canonical: bytes
    data: dict[str, Any]
    started_at: datetime
    ended_at: datetime
    metrics: Mapping[str, Measured]
    accuracy_metric: str | None
    other: tuple[str, ...]
    dataset: str
    doubts: tuple[tuple[str, str], ...]


def canonical_json(document: object) -> bytes:
    """Return the canonical form whose SHA-256 is a result's identity.

    Keys sorted, no spaces, UTF-8 without escapes for characters beyond ASCII.

    Raises:
        ValueError: a number that is not finite, or text that is no Unicode.
    """
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def _invalid(path: str, message: str, hint: str = "") -> PortalError:
    return PortalError(
        422,
        f"The result document is not valid: {path}: {message}",
        hint=hint,
        errors=[ProblemItem(path=path, message=message, hint=hint)],
    )


def _strings(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """Yield every key and text of a document with its JSON path, without recursion."""
    stack: list[tuple[str, Any]] = [(path, value)]
    while stack:
        here, item = stack.pop()
        if isinstance(item, str):
            yield here, item
        elif isinstance(item, dict):
            for key, child in item.items():
                yield here, key
                stack.append((f"{here}.{key}", child))
        elif isinstance(item, list) and item and not isinstance(item[0], (int, float)):
            stack.extend((f"{here}[{i}]", child) for i, child in enumerate(item))


def _moment(data: Mapping[str, Any], key: str) -> datetime:
    text = str(data[key])
    try:
        moment = datetime.fromisoformat(text[:-1] + "+00:00" if text.endswith(("Z", "z")) else text)
        if moment.tzinfo is None:
            raise ValueError("no time zone")
        return moment.astimezone(timezone.utc)
    except (ValueError, OverflowError) as error:
        raise _invalid(
            f"$.{key}", f"{text[:40]!r} is not a time ({error}).", "Write UTC as 2026-01-31T12:00:00Z."
        ) from None


def _measured(name: str, metric: Mapping[str, Any], base: str) -> Measured | None:
    if metric["value"] is None:
        return None
    value = to_base(metric["value"], metric["unit"], base)
    if value is None:
        raise _invalid(
            f"$.metrics.{name}.unit",
            f"the unit {metric['unit'][:20]!r} does not fit this metric.",
            f"Write it in {base or 'a ratio from 0 to 1'}.",
        )
    lo = hi = None
    if metric["interval"] is not None:
        lo, hi = sorted(to_base(bound, metric["unit"], base) or 0.0 for bound in metric["interval"])
    return Measured(value, lo, hi, min(int(metric["samples"]), 2**31 - 1))


def _check_numbers(value: Any) -> None:
    for name, metric in value["metrics"].items():
        for number in [metric["value"], *(metric["interval"] or [])]:
            if number is not None and not -1e300 < number < 1e300:
                raise _invalid(f"$.metrics.{name}", "a number is out of range.")
        if not 0 < len(name) <= 80 or len(metric["unit"]) > 40:
            raise _invalid(f"$.metrics.{name[:80]}", "the name or unit is longer than 80 or 40 characters.")


def _dataset(data: Mapping[str, Any]) -> str:
    """Name the dataset with the variants of its node in the lock, which tell its subsets apart."""
    wanted = data["dataset"].partition("@")[0]
    lock, configuration = data["lock"], data["configuration"]["id"]
    nodes = next(
        (entry["nodes"] for entry in lock["configurations"] if entry["id"] == configuration),
        list(lock["nodes"]),
    )
    for identity in nodes:
        node = lock["nodes"].get(identity)
        if node is not None and node["component"].partition("@")[0] == wanted:
            variants = " ".join(f"{key}={value}" for key, value in sorted(node["variants"].items()))
            return f"{data['dataset']} {variants}".strip()[:300]
    return str(data["dataset"])


def _doubts(
    data: Mapping[str, Any],
    metrics: Mapping[str, Measured],
    started: datetime,
    ended: datetime,
    now: datetime,
) -> Iterator[tuple[str, str]]:
    accuracy = metrics.get("accuracy")
    if accuracy is not None and not 0 <= accuracy.value <= 1:
        yield "impossible-accuracy", f"an accuracy of {accuracy.value:g} is outside 0 to 1"
    for name, measured in metrics.items():
        if name != "accuracy" and measured.value < 0:
            yield "negative-value", f"{name} is negative"
        if measured.lo is not None and measured.hi is not None and not measured.lo <= measured.value <= measured.hi:
            yield "value-outside-interval", f"{name} lies outside its own confidence interval"
    if ended < started:
        yield "ends-before-start", "the run ends before it starts"
    if (started - now).total_seconds() > 86_400:
        yield "future", "the run starts more than a day after it was received"


def read_document(body: bytes, now: datetime) -> Document:
    """Check an uploaded result document and read what becomes columns.

    Args:
        body: JSON in UTF-8.
        now: the moment of receipt, UTC.

    Raises:
        PortalError: 422 with the JSON path of each thing wrong.
    """
    from codereef.meta.schemas import parse_json, problems

    try:
        data = parse_json(body, "the result document")
        canonical = canonical_json(data)
    except MetadataError as error:
        raise PortalError(
            422, error.message, hint=error.hint, errors=[ProblemItem(path="$", message=error.message)]
        ) from None
    except (ValueError, RecursionError) as error:
        raise _invalid("$", f"it cannot be written as canonical JSON: {error}.") from None
    found = problems(data, "result")
    if found:
        items = [
            ProblemItem(path=problem.path, message=problem.message[:500], hint=problem.hint) for problem in found[:20]
        ]
        raise PortalError(
            422,
            f"The result document does not follow the result schema: {items[0].path}: {items[0].message}",
            hint="The schema is at /api/v1/schemas/result.",
            errors=items,
        )
    for path, text in _strings(data, "$"):
        if "\x00" in text:
            raise _invalid(path[:200], "text holds a NUL character.")
    for path, limit in _LIMITS.items():
        value: Any = data
        for part in path.split("."):
            value = value.get(part, "")
        if len(value) > limit:
            raise _invalid(f"$.{path}", f"found {len(value)} characters, at most {limit} are taken.")
    if len(data["metrics"]) > _MAX_METRICS or len(data["components"]) > _MAX_COMPONENTS:
        raise _invalid("$", f"at most {_MAX_METRICS} metrics and {_MAX_COMPONENTS} components are taken.")
    _check_numbers(data)
    for series, samples in data["samples"].items():
        if not all(math.isfinite(sample) for sample in samples["values"]):
            raise _invalid(f"$.samples.{series}", "a sample is not finite.")
    accuracy_metric = next(
        (name for name in ACCURACY_NAMES if data["metrics"].get(name, {}).get("value") is not None), None
    )
    metrics: dict[str, Measured] = {}
    for name, metric in data["metrics"].items():
        column = "accuracy" if name == accuracy_metric else name if name in SHARED and name != "accuracy" else None
        if column is not None and (measured := _measured(name, metric, describe(name).base)) is not None:
            metrics[column] = measured
    started, ended = _moment(data, "started_at"), _moment(data, "ended_at")
    return Document(
        uid=hashlib.sha256(canonical).hexdigest(),
        canonical=canonical,
        data=data,
        started_at=started,
        ended_at=ended,
        metrics=metrics,
        accuracy_metric=accuracy_metric,
        other=tuple(name for name in data["metrics"] if name not in SHARED and name != accuracy_metric),
        dataset=_dataset(data),
        doubts=tuple(_doubts(data, metrics, started, ended, now)),
    )
