# SPDX-License-Identifier: Apache-2.0
"""Metrics with a column of their own, their base units and how people read them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# Factor from a unit as written in a result to the base unit of its column.
_FACTORS = {
    "s": 1.0,
    "ms": 1e-3,
    "us": 1e-6,
    "µs": 1e-6,
    "ns": 1e-9,
    "1/s": 1.0,
    "1/min": 1 / 60,
    "B": 1.0,
    "byte": 1.0,
    "bytes": 1.0,
    "kB": 1e3,
    "KB": 1e3,
    "MB": 1e6,
    "GB": 1e9,
    "KiB": 1024.0,
    "MiB": 1024.0**2,
    "GiB": 1024.0**3,
    "": 1.0,
    "1": 1.0,
    "ratio": 1.0,
    "%": 1e-2,
}


@dataclass(frozen=True)
class Metric:
    """A metric as a column and as people read it.

    Attributes:
        name: name in results and addresses.
        label: words for it.
        direction: which way is better.
        base: unit of the stored value.
        shown: unit on pages.
        factor: stored value times this is the shown value.
    """

    name: str
    label: str
    direction: str
    base: str
    shown: str
    factor: float


SHARED = {
    metric.name: metric
    for metric in (
        Metric("latency_p50", "Latency p50", "lower", "s", "ms", 1e3),
        Metric("latency_p90", "Latency p90", "lower", "s", "ms", 1e3),
        Metric("latency_p99", "Latency p99", "lower", "s", "ms", 1e3),
        Metric("throughput", "Throughput", "higher", "1/s", "1/s", 1.0),
        Metric("accuracy", "Accuracy", "higher", "", "", 1.0),
        Metric("peak_rss", "Peak memory", "lower", "B", "MB", 1e-6),
        Metric("load_time", "Load time", "lower", "s", "ms", 1e3),
        Metric("model_size", "Model size", "lower", "B", "MB", 1e-6),
    )
}
# The accuracy metric of a result is the first of these that it has.
ACCURACY_NAMES = ("mAP", "top1", "top-1", "accuracy", "mIoU", "miou", "AUC", "R2", "f1")
_BASES = {
    **dict.fromkeys(("s", "ms", "us", "µs", "ns"), "s"),
    **dict.fromkeys(("1/s", "1/min"), "1/s"),
    **dict.fromkeys(("B", "byte", "bytes", "kB", "KB", "MB", "GB", "KiB", "MiB", "GiB"), "B"),
    **dict.fromkeys(("", "1", "ratio", "%"), ""),
}


def describe(name: str, declared: Mapping[str, Any] | None = None) -> Metric:
    """Return a metric by name: a shared one, an accuracy, or one that a board or result declares."""
    if name in SHARED and name != "accuracy":
        return SHARED[name]
    if name in ACCURACY_NAMES:
        return Metric(name, name, "higher", "", "", 1.0)
    declared = declared or {}
    unit = str(declared.get("unit", ""))
    base = _BASES.get(unit, unit)
    shown, factor = {"s": ("ms", 1e3), "B": ("MB", 1e-6)}.get(base, (base, 1.0))
    return Metric(name, name.replace("_", " "), str(declared.get("direction", "none")), base, shown, factor)


def to_base(value: float, unit: str, base: str) -> float | None:
    """Convert a value to a base unit; None where the unit is of another sort or the value is not finite."""
    if _BASES.get(unit, unit) != base:
        return None
    converted = float(value) * _FACTORS.get(unit, 1.0)
    return converted if math.isfinite(converted) else None


def significant(value: float | None, digits: int = 3) -> str:
    """Write a number with that many significant digits, without an exponent where people would not write
    one."""
    if value is None or not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    magnitude = math.floor(math.log10(abs(value)))
    if magnitude >= 7 or magnitude < -5:
        return f"{value:.{digits - 1}e}"
    rounded = round(value, digits - 1 - magnitude)
    magnitude = math.floor(math.log10(abs(rounded)))
    return f"{rounded:,.{max(0, digits - 1 - magnitude)}f}"
