# SPDX-License-Identifier: Apache-2.0
"""Collective Knowledge experiments: an entry's folder with its points, one external result a point.

An entry has `.cm/meta.json` and `.cm/info.json`; a point has `ckp-UID.flat.json`, where CK put the statistics of
its repetitions under flat keys: `##characteristics#run#execution_time#all`, `#mean`, `#min` and `#max`. Values inside
lists (such as times of single layers, keys with `@`) are left out. CK writes no units; they are taken from its own names
(`_ms`, `_bytes`, `execution_time`), and where a name has none the unit is `not given`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from codereef.interchange.external import external, flat, metric
from codereef.interchange.source import Source, Unit, bad, is_number, load_json, mapping, read

NAME = "ck-experiment"
VERSION = 1
_POINT = re.compile(r"^(ckp-[0-9a-f]{16})\.flat\.json$")
_SIDE = re.compile(r"^ckp-[0-9a-f]{16}\.(\d{4}|features|features_flat)\.json$")
_REPORTER = "Collective Knowledge"
_SECTION = "##characteristics#"
_STATISTICS = ("mean", "min", "max")
_SUFFIXES = (
    ("_mbytes", "B", 1e6),
    ("_kbytes", "B", 1e3),
    ("_bytes", "B", 1.0),
    ("_ms", "s", 1e-3),
    ("_us", "s", 1e-6),
    ("_ns", "s", 1e-9),
    ("_s", "s", 1.0),
    ("_mb", "B", 1e6),
)
_SECONDS = re.compile(r"(^|_)(execution_time|compilation_time)(_|$)")
_FRACTIONS = re.compile(r"^accuracy_top\d+$")
#: CK's facts of the platform that say what it is; others name one machine, such as its serial number.
_FACTS = (
    "cpu#name",
    "cpu#sub_name",
    "cpu#num_proc",
    "gpu#name",
    "os#name",
    "os#name_long",
    "platform#name",
    "platform#model",
)


def find(sources: Sequence[Source]) -> Iterator[Unit]:
    """Yield a unit for each point among the files, with the entry's metadata."""
    by_path = {source.path.absolute(): source for source in sources}
    for path, source in by_path.items():
        if _POINT.match(path.name):
            beside = (path.parent / ".cm" / "meta.json", path.parent / ".cm" / "info.json")
            around = tuple(by_path[place] for place in beside if place in by_path)
            yield Unit(NAME, source.label, (source, *around), partial(_make, source, around))


def belongs(source: Source) -> bool:
    """Tell whether a file is one of CK's beside a point: a repetition as it was, features, an entry's metadata."""
    path = source.path
    return (
        bool(_SIDE.match(path.name))
        or path.parent.name == ".cm"
        or path.name in (".ckr.json", "pipeline.json", "desc.json")
    )


def _make(source: Source, around: Sequence[Source]) -> list[dict[str, Any]]:
    content = read(source)
    document = mapping(source, load_json(content, infinities=True), "the point")
    contents = {other.path.name: read(other) for other in around}
    parsed = {name: mapping(c.source, load_json(c, infinities=True), "the metadata") for name, c in contents.items()}
    info = parsed.get("info.json", {})
    control = info.get("control") if isinstance(info.get("control"), dict) else {}
    meta = parsed.get("meta.json", {}).get("meta")
    metrics, samples = _characteristics(source, document)
    features = _section(document, "##features#platform#")
    failed = _first(document, "##pipeline_state#fail_bool") is True
    entry = source.path.absolute().parent
    name = str(info.get("data_name") or entry.name)
    label = _POINT.match(source.path.name)
    assert label is not None
    files = [c.entry(_relative(c.source.path, entry)) for c in (content, *contents.values())]
    described = {
        k: v for k, v in flat(meta if isinstance(meta, dict) else {}).items() if not k.startswith("deps_summary.")
    }
    return [
        external(
            NAME,
            VERSION,
            files=sorted(files, key=lambda file: str(file["name"])),
            entry=label[1],
            benchmark=name,
            system=str(
                described.get("platform_name") or features.get("platform#name") or features.get("cpu#name") or ""
            ),
            metrics=metrics,
            about={
                "tool": _REPORTER,
                "tool_version": _version(control),
                "recorded_at": str((control or {}).get("iso_datetime", "")),
                "licence": str((control or {}).get("license", "")),
            },
            facts={key.replace("#", "."): features[key] for key in _FACTS if key in features},
            parameters={
                **described,
                **{
                    f"choices.{key.replace('#', '.')}": value for key, value in _section(document, "##choices#").items()
                },
            },
            samples=samples,
            valid=False if failed else None,
            reasons=[f"failed: {_first(document, '##pipeline_state#fail_reason') or 'no reason given'}"]
            if failed
            else [],
        )
    ]


def _relative(path: Path, entry: Path) -> str:
    return path.absolute().relative_to(entry.parent).as_posix()


def _version(control: Any) -> str:
    parts = control.get("version") if isinstance(control, dict) else None
    return ".".join(str(part) for part in parts) if isinstance(parts, list) else ""


def _first(document: Mapping[str, Any], key: str) -> Any:
    """Return the first value of a key over the repetitions, or None."""
    values = document.get(f"{key}#all")
    return values[0] if isinstance(values, list) and values else None


def _section(document: Mapping[str, Any], section: str) -> dict[str, Any]:
    """Return what a section says of each key, where all repetitions said the same and it is no list."""
    found = {}
    for key, values in document.items():
        wanted = key.startswith(section) and key.endswith("#all_unique") and "@" not in key
        if wanted and isinstance(values, list) and len(values) == 1 and values[0] not in ("", None):
            found[key[len(section) : -len("#all_unique")]] = values[0]
    return found


def _characteristics(
    source: Source, document: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, tuple[str, Sequence[float]]]]:
    metrics: dict[str, Any] = {}
    samples: dict[str, tuple[str, Sequence[float]]] = {}
    for key, values in document.items():
        if not key.startswith(_SECTION) or not key.endswith("#all") or "@" in key:
            continue
        base = key[: -len("#all")]
        if not isinstance(values, list):
            raise bad(source, f"`{key}` is no list")
        if not values or not all(is_number(value) for value in values):
            continue
        stage, _, name = base[len(_SECTION) :].partition("#")
        label = name.replace("#", ".") if stage == "run" else f"{stage}.{name.replace('#', '.')}"
        unit, factor = unit_of(name)
        samples[label] = (unit, [value * factor for value in values])
        for statistic in _STATISTICS:
            value = document.get(f"{base}#{statistic}")
            if value is None:
                continue
            if not is_number(value):
                raise bad(source, f"`{base}#{statistic}` is {value!r:.40}, which is no number")
            direction = "lower" if unit == "s" else "higher" if _FRACTIONS.match(name) else "none"
            metrics[f"{label}_{statistic}"] = metric(value * factor, unit, direction, _REPORTER, samples=len(values))
    return metrics, samples


def unit_of(name: str) -> tuple[str, float]:
    """Return the SI unit of a characteristic by CK's way of naming, and the factor to it."""
    for suffix, unit, factor in _SUFFIXES:
        if name.endswith(suffix):
            return unit, factor
    if _FRACTIONS.match(name):
        return "", 1.0
    return ("s", 1.0) if _SECONDS.search(name) else ("not given", 1.0)
