# SPDX-License-Identifier: Apache-2.0
"""Metrics of a result for people: in groups, in units that people read, with what cannot be given named last."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

GROUPS = ("latency", "accuracy", "memory", "energy", "machine", "other")
_GROUP_OF = {
    **dict.fromkeys(("throughput", "load_time", "first_inference"), "latency"),
    **dict.fromkeys(("peak_rss", "device_memory", "model_size", "runtime_size"), "memory"),
    **dict.fromkeys(
        (
            "cpu_time",
            "cpu_user",
            "cpu_system",
            "switches_voluntary",
            "switches_involuntary",
            "page_faults_minor",
            "page_faults_major",
            "machine_busy",
            "steal",
            "harness_cost",
            "timer_cost",
        ),
        "machine",
    ),
}
_LATENCY = ("latency", "preprocess", "postprocess")
_PREFIXES = ((1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "µ"), (1e-9, "n"))
_NAMES = {"1/s": "samples/s"}


@dataclass(frozen=True)
class Shown:
    """One metric as text.

    Attributes:
        names: its name; several that lack a value for the same reason share a line.
        text: value with unit and interval, or the reason.
        given: whether there is a value.
    """

    names: tuple[str, ...]
    text: str
    given: bool


def group_of(name: str, metric: Mapping[str, Any]) -> str:
    """Return which of `GROUPS` a metric belongs to, by its name and else by its unit."""
    if name in _GROUP_OF:
        return _GROUP_OF[name]
    unit = metric["unit"]
    if name.startswith(_LATENCY) or unit == "s":
        return "latency"
    if unit in ("J", "W"):
        return "energy"
    if unit == "B":
        return "memory"
    return "accuracy" if unit == "" and metric["direction"] == "higher" else "other"


def quantity(metric: Mapping[str, Any]) -> str:
    """Return the value of a metric with its unit, its interval and its number of samples."""
    value, unit, interval = metric["value"], metric["unit"], metric["interval"]
    factor, shown = _scale(max(map(abs, [value, *(interval or [])])), unit)
    bounds = f" [{interval[0] / factor:.4g}, {interval[1] / factor:.4g}]" if interval else ""
    if unit == "" and isinstance(value, (int, float)) and float(value).is_integer() and abs(value) < 1e15:
        text = f"{value:,.0f}"  # a count is exact
    else:
        text = f"{value / factor:.4g}"
    return f"{text}{bounds} {shown}".rstrip() + (f" (n={metric['samples']:,})" if metric["samples"] > 1 else "")


def _scale(largest: float, unit: str) -> tuple[float, str]:
    """Return what to divide by and the unit then; times are in ms, as in all tables, unless they are far shorter."""
    if unit == "s" and largest >= 1e-5:
        return 1e-3, "ms"
    if unit not in ("s", "B", "J", "W"):
        return 1.0, _NAMES.get(unit, unit)
    for factor, prefix in _PREFIXES:
        if largest >= factor and (factor >= 1 or unit != "B"):
            return factor, prefix + unit
    return 1.0, unit


def grouped(metrics: Mapping[str, Mapping[str, Any]]) -> dict[str, list[Shown]]:
    """Return the metrics of a result by group, in the order of `GROUPS`; empty groups are left out."""
    found: dict[str, list[Shown]] = {}
    for group in GROUPS:
        given: list[Shown] = []
        lacking: dict[str, list[str]] = {}
        for name, metric in metrics.items():
            if group_of(name, metric) != group:
                continue
            if metric["value"] is None:
                lacking.setdefault(str(metric.get("reason", "not given")), []).append(name)
            else:
                given.append(Shown((name,), quantity(metric), True))
        rows = [*given, *(Shown(tuple(names), reason, False) for reason, names in lacking.items())]
        if rows:
            found[group] = rows
    return found
