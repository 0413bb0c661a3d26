# SPDX-License-Identifier: Apache-2.0
"""Google Benchmark: what `--benchmark_out_format=json` writes, one external result a benchmark.

Times are those of one iteration, in the unit that each entry names. Repetitions become samples in their order;
aggregates that the tool computed become metrics.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from codereef.interchange.external import external, metric
from codereef.interchange.source import Content, Source, Unit, bad, is_number, listing, load_json, mapping, read

NAME = "google-benchmark"
VERSION = 1
_BEGINNING = re.compile(rb'^\s*\{\s*"context"\s*:\s*\{')
_MARK = b'"num_cpus"'
_UNITS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0}
_TIMES = ("real_time", "cpu_time")
#: Keys of an entry that are no counters of the user.
_KNOWN = {
    "name",
    "family_index",
    "per_family_instance_index",
    "run_name",
    "run_type",
    "repetitions",
    "repetition_index",
    "threads",
    "iterations",
    "time_unit",
    "label",
    "aggregate_name",
    "aggregate_unit",
    "error_occurred",
    "error_message",
    "skipped",
    "skip_message",
    "cpu_coefficient",
    "real_coefficient",
    "big_o",
    "rms",
    *_TIMES,
}
_RATES = {"bytes_per_second": "B/s", "items_per_second": "1/s"}


def find(sources: Sequence[Source]) -> Iterator[Unit]:
    """Yield a unit for each report among the files, told by how it begins."""
    for source in sources:
        head = source.head()
        if _BEGINNING.match(head) and _MARK in head:
            yield Unit(NAME, source.label, (source,), partial(_make, source))


def _make(source: Source) -> list[dict[str, Any]]:
    content = read(source)
    document = mapping(source, load_json(content, infinities=True), "the report")
    context = mapping(source, document.get("context"), "`context`")
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for count, value in enumerate(listing(source, document.get("benchmarks"), "`benchmarks`"), 1):
        entry = mapping(source, value, f"benchmark {count}")
        name = entry.get("run_name", entry.get("name"))
        if not isinstance(name, str):
            raise bad(source, f"benchmark {count} has no `name`")
        groups.setdefault(name, []).append(entry)
    return [_benchmark(content, context, name, entries) for name, entries in groups.items()]


def _benchmark(
    content: Content, context: Mapping[str, Any], name: str, entries: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    source = content.source
    runs = [e for e in entries if e.get("run_type", "iteration") == "iteration"]
    failed = [str(e.get("error_message") or e.get("skip_message") or "") for e in runs if _failed(e)]
    sound = [e for e in runs if not _failed(e)]
    metrics: dict[str, Any] = {}
    samples: dict[str, tuple[str, Sequence[float]]] = {}
    for key in _TIMES:
        values = [_seconds(source, entry, key, name) for entry in sound]
        if values:
            samples[key] = ("s", values)
        if len(values) == 1:
            metrics[key] = metric(values[0], "s", "lower", NAME, samples=1)
    if len(sound) == 1:
        metrics.update(_counters(sound[0], "", 1))
    for entry in entries:
        aggregate = entry.get("aggregate_name")
        if not isinstance(aggregate, str) or aggregate in ("BigO", "RMS"):
            continue
        fraction = entry.get("aggregate_unit") == "percentage"
        for key in _TIMES:
            value = _plain(source, entry, key, name) if fraction else _seconds(source, entry, key, name)
            metrics[f"{key}_{aggregate}"] = metric(
                value, "" if fraction else "s", "none" if aggregate in ("stddev", "cv") else "lower", NAME,
                samples=len(sound),
            )  # fmt: skip
        metrics.update(_counters(entry, f"_{aggregate}", len(sound)))
    first = runs[0] if runs else entries[0]
    return external(
        NAME,
        VERSION,
        files=[content.entry(source.path.name)],
        entry=name,
        benchmark=name,
        system=str(context.get("host_name", "")),
        metrics=metrics,
        about={
            "tool": NAME,
            "tool_version": str(context.get("library_version", "")),
            "recorded_at": str(context.get("date", "")),
        },
        facts={key: value for key, value in context.items() if key not in ("date", "host_name", "executable")},
        parameters={key: first[key] for key in ("iterations", "repetitions", "threads", "label") if key in first},
        samples=samples,
        valid=False if failed else None,
        reasons=[f"failed: {message}" if message else "failed" for message in failed],
    )


def _failed(entry: Mapping[str, Any]) -> bool:
    return bool(entry.get("error_occurred") or entry.get("skipped"))


def _plain(source: Source, entry: Mapping[str, Any], key: str, name: str) -> float:
    value = entry.get(key)
    if not isinstance(value, (int, float)) or not is_number(value):
        raise bad(source, f"`{key}` of {name} is {value!r:.40}, which is no number")
    return float(value)


def _seconds(source: Source, entry: Mapping[str, Any], key: str, name: str) -> float:
    unit = entry.get("time_unit", "ns")
    if unit not in _UNITS:
        raise bad(source, f"the unit of {name} is {unit!r:.40}, which is not known")
    return _plain(source, entry, key, name) * _UNITS[unit]


def _counters(entry: Mapping[str, Any], suffix: str, samples: int) -> dict[str, Any]:
    """Return the user's counters; their unit and direction are not written, but for two rates."""
    return {
        f"{key}{suffix}": metric(
            value, _RATES.get(key, "not given"), "higher" if key in _RATES else "none", NAME, samples=samples
        )
        for key, value in entry.items()
        if key not in _KNOWN and is_number(value)
    }
