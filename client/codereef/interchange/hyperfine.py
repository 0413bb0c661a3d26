# SPDX-License-Identifier: Apache-2.0
"""hyperfine: what `hyperfine --export-json` writes, one external result a command. All its times are in seconds."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from codereef.interchange.external import external, metric
from codereef.interchange.source import Content, Source, Unit, bad, is_number, listing, load_json, mapping, read

NAME = "hyperfine"
VERSION = 1
_BEGINNING = re.compile(rb'^\s*\{\s*"results"\s*:\s*\[\s*(\{\s*"command"|\])')
_TIMES = {
    "mean": "time_mean",
    "median": "time_median",
    "stddev": "time_stddev",
    "min": "time_min",
    "max": "time_max",
    "user": "cpu_time_user",
    "system": "cpu_time_system",
}


def find(sources: Sequence[Source]) -> Iterator[Unit]:
    """Yield a unit for each export among the files, told by how it begins."""
    for source in sources:
        if _BEGINNING.match(source.head()):
            yield Unit(NAME, source.label, (source,), partial(_make, source))


def _make(source: Source) -> list[dict[str, Any]]:
    content = read(source)
    document = mapping(source, load_json(content), "the export")
    entries = listing(source, document.get("results"), "`results`")
    return [_entry(content, mapping(source, entry, f"result {n}"), n) for n, entry in enumerate(entries, 1)]


def _entry(content: Content, entry: Mapping[str, Any], count: int) -> dict[str, Any]:
    source = content.source
    if not isinstance(entry.get("command"), str):
        raise bad(source, f"result {count} has no `command`")
    times = _numbers(source, entry, "times", count)
    memory = _numbers(source, entry, "memory_usage_byte", count)
    metrics = {}
    for key, name in _TIMES.items():
        value = entry.get(key)
        # The deviation of a single run is null.
        if value is not None:
            if not is_number(value):
                raise bad(source, f"`{key}` of result {count} is {value!r:.40}, which is no number")
            metrics[name] = metric(value, "s", "none" if key == "stddev" else "lower", NAME, samples=len(times))
    samples: dict[str, tuple[str, Sequence[float]]] = {}
    if times:
        samples["time"] = ("s", times)
    if memory:
        samples["peak_rss"] = ("B", memory)
    codes = [code for code in listing(source, entry.get("exit_codes", []), "`exit_codes`") if code != 0]
    return external(
        NAME,
        VERSION,
        files=[content.entry(source.path.name)],
        entry=f"result {count}",
        benchmark=entry["command"],
        system="",
        metrics=metrics,
        about={"tool": NAME},
        parameters=mapping(source, entry.get("parameters") or {}, "`parameters`"),
        samples=samples,
        reasons=[f"{len(codes)} of {len(times)} runs ended with another exit code than 0"] if codes else [],
    )


def _numbers(source: Source, entry: Mapping[str, Any], key: str, count: int) -> list[float]:
    values = listing(source, entry.get(key) or [], f"`{key}` of result {count}")
    if not all(is_number(value) for value in values):
        raise bad(source, f"`{key}` of result {count} has something that is no number")
    return [float(value) for value in values]
