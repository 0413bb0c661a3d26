# SPDX-License-Identifier: Apache-2.0
"""airspeed velocity: `results/MACHINE/COMMIT-ENVIRONMENT.json` of format 2, one external result a parameter choice.

A benchmark that failed as a whole is one external result, without choices: none of them was measured.

Columns are named in the file; `result` and the statistics are lists over the product of the parameters, the last
parameter fastest. Units and parameter names stand in `benchmarks.json`, one folder up; without it they follow from the
names that asv gives meaning to (`time_`, `mem_`, `peakmem_`, `track_`).
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from functools import partial
from typing import Any

from codereef.interchange.external import external, metric
from codereef.interchange.source import Content, Source, Unit, bad, is_number, listing, load_json, mapping, read

NAME = "asv"
VERSION = 1
_MARKS = (b'"commit_hash"', b'"env_name"')
_UNITS = {"seconds": "s", "bytes": "B"}
_PREFIXES = (("peakmem_", "B"), ("mem_", "B"), ("time_", "s"), ("timeraw_", "s"))
_MOST = 1_000_000  # choices of parameters of one benchmark
_NAMES = {"s": "time", "B": "memory"}


def find(sources: Sequence[Source]) -> Iterator[Unit]:
    """Yield a unit for each file of results, with the `benchmarks.json` and `machine.json` that go with it."""
    by_path = {source.path.absolute(): source for source in sources if source.path.suffix == ".json"}
    for path, source in by_path.items():
        if all(mark in source.head() for mark in _MARKS):
            beside = (path.parent / "machine.json", path.parent.parent / "benchmarks.json")
            around = tuple(by_path[place] for place in beside if place in by_path)
            yield Unit(NAME, source.label, (source, *around), partial(_make, source, around))


def belongs(source: Source) -> bool:
    """Tell whether a file is one of asv's beside its results."""
    return source.path.name in ("machine.json", "benchmarks.json")


def _make(source: Source, around: Sequence[Source]) -> list[dict[str, Any]]:
    content = read(source)
    document = mapping(source, load_json(content, infinities=True), "the file")
    if document.get("version") != 2:
        raise bad(
            source,
            f"it is of version {document.get('version')!r:.20}, and version 2 is read",
            hint="`asv update` of a newer asv rewrites older results.",
        )
    columns = [str(column) for column in listing(source, document.get("result_columns"), "`result_columns`")]
    known: Mapping[str, Any] = {}
    facts: Mapping[str, Any] = {}
    contents = [content]
    for other in around:
        contents.append(read(other))
        parsed = mapping(other, load_json(contents[-1]), "the file")
        if other.path.name == "machine.json":
            facts = parsed
        else:
            known = parsed
    files = [c.entry(_name(c.source, source)) for c in contents]
    common = {"files": sorted(files, key=lambda file: str(file["name"])), "facts": facts}
    made: list[dict[str, Any]] = []
    for name, row in mapping(source, document.get("results"), "`results`").items():
        cells = dict(zip(columns, listing(source, row, f"the row of {name}")))
        made += _benchmark(content, document, name, cells, known.get(name), common)
    return made


def _name(source: Source, of: Source) -> str:
    """Return a file's name from the folder of all results on."""
    base = of.path.absolute().parent.parent
    return source.path.absolute().relative_to(base).as_posix()


def _benchmark(
    content: Content,
    document: Mapping[str, Any],
    name: str,
    cells: Mapping[str, Any],
    known: Any,
    common: Mapping[str, Any],
) -> Iterator[dict[str, Any]]:
    source = content.source
    about = known if isinstance(known, dict) else {}
    axes = [
        listing(source, axis, f"`params` of {name}")
        for axis in listing(source, cells.get("params") or [], f"`params` of {name}")
    ]
    count = math.prod(map(len, axes))
    if count > _MOST:
        raise bad(source, f"{name} has {count} choices of parameters, more than {_MOST}")
    values = cells.get("result")
    # Null instead of a list says that the benchmark failed as a whole; asv then has no value for any choice.
    whole = values is None
    results = [None] if whole else listing(source, values, f"`result` of {name}")
    if not whole and len(results) != count:
        raise bad(source, f"{name} has {len(results)} results for {count} choices of parameters")
    names = about.get("param_names")
    labels = (
        [str(n) for n in names]
        if isinstance(names, list) and len(names) == len(axes)
        else [f"param{n}" for n in range(1, len(axes) + 1)]
    )
    unit = _unit(name, about)
    kind = _NAMES.get(unit, "value")
    failed = "failed or skipped: asv gives no value"
    if whole and axes:
        failed += f" for any of the {count} choices of parameters"
    for place, choice in enumerate([()] if whole else itertools.product(*axes)):
        column = partial(_cell, {} if whole else cells, place, count)
        value = results[place]
        metrics: dict[str, Any] = {}
        samples: dict[str, tuple[str, Sequence[float]]] = {}
        taken = column("samples")
        if isinstance(taken, list) and all(is_number(v) for v in taken):
            samples[kind] = (unit, taken)
        if is_number(value):
            low, high = column("stats_ci_99_a"), column("stats_ci_99_b")
            interval = (float(low), float(high)) if is_number(low) and is_number(high) else None
            direction = "lower" if unit in ("s", "B") else "none"
            number = len(taken) if isinstance(taken, list) else 1
            metrics[kind] = metric(
                float(value), unit, direction, NAME, samples=number, interval=interval, confidence=0.99
            )
            for quartile in ("25", "75"):
                if is_number(quarter := column(f"stats_q_{quartile}")):
                    metrics[f"{kind}_q{quartile}"] = metric(float(quarter), unit, direction, NAME, samples=number)
        elif value is not None:
            raise bad(source, f"a result of {name} is {value!r:.40}, which is no number")
        yield external(
            NAME,
            VERSION,
            benchmark=name,
            system=str(_params(document).get("machine", "")),
            entry=", ".join([name, *(f"{label}={text}" for label, text in zip(labels, choice))]),
            metrics=metrics,
            about={"tool": NAME, "recorded_at": _date(document.get("date"))},
            parameters={
                "commit": str(document.get("commit_hash", "")),
                "environment": str(document.get("env_name", "")),
                "requirements": document.get("requirements"),
                **{f"param.{label}": str(text) for label, text in zip(labels, choice)},
                "number": column("stats_number"),
                "repeat": column("stats_repeat"),
            },
            samples=samples,
            valid=False if value is None else None,
            reasons=[failed] if value is None else [],
            **common,
        )


def _params(document: Mapping[str, Any]) -> Mapping[str, Any]:
    params = document.get("params")
    return params if isinstance(params, dict) else {}


def _cell(cells: Mapping[str, Any], place: int, count: int, column: str) -> Any:
    """Return a column's value for one choice of parameters, or None."""
    values = cells.get(column)
    return values[place] if isinstance(values, list) and len(values) == count else None


def _unit(name: str, about: Mapping[str, Any]) -> str:
    if isinstance(about.get("unit"), str):
        return _UNITS.get(str(about["unit"]), str(about["unit"]))
    last = re.split(r"[.]", name)[-1]
    return next((unit for prefix, unit in _PREFIXES if last.startswith(prefix)), "not given")


def _date(value: Any) -> str:
    """Return the commit's date, which asv has in milliseconds since 1970."""
    if not is_number(value) or not 0 <= value < 4e12:
        return ""
    return datetime.fromtimestamp(value / 1000, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
