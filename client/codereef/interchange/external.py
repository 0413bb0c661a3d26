# SPDX-License-Identifier: Apache-2.0
"""External results: what other tools and people reported, as documents, and the folder that keeps them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from codereef.interchange.source import is_number
from codereef.record.history import History, Result

FORMAT = "codereef-external/1"
_TEXT = 2000  # characters of one value that are kept


class ExternalResults(History):
    """The external results of this machine, in a folder: one file each, named by its identity."""

    SCHEMA = "external"
    FORMAT = FORMAT
    WHAT = "external result"
    HINT = "`cr import FILE` reads results of other tools; `cr results --external` lists them."

    def order(self, result: Result) -> tuple[str, ...]:
        """Return what they are listed by: where they are from, then what they are of."""
        d = result.document
        source = d["source"]
        return (
            source["format"],
            source.get("round", ""),
            source.get("organisation", ""),
            d["system"]["name"],
            d["benchmark"],
            d.get("scenario", ""),
            result.id,
        )


def metric(
    value: float,
    unit: str,
    direction: str,
    reporter: str,
    *,
    samples: int = 0,
    interval: tuple[float, float] | None = None,
    confidence: float | None = None,
) -> dict[str, Any]:
    """Return a metric as a result has it.

    Args:
        value: the number, in the SI unit.
        unit: `s`, `B`, `J`, `1/s`, an empty text for a fraction, or the source's own where it is no SI unit.
        direction: `lower`, `higher` or `none`: which way is better.
        reporter: who reported it; becomes the method.
        samples: number of samples behind it, 0 where the source does not say.
        interval: confidence interval as reported.
        confidence: its level.
    """
    return {
        "value": value,
        "unit": unit,
        "direction": direction,
        "interval": list(interval) if interval else None,
        "confidence": confidence if interval else None,
        "method": f"as reported by {reporter}",
        "samples": samples,
    }


def flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Return nested data as one level of `a.b` keys, with texts, numbers, true and false alone; the rest is left out."""
    found: dict[str, Any] = {}
    if isinstance(value, Mapping):
        for key, child in value.items():
            found.update(flat(child, f"{prefix}.{key}" if prefix else str(key)))
    elif isinstance(value, str):
        if value:
            found[prefix] = value[:_TEXT]
    elif isinstance(value, bool) or is_number(value):
        found[prefix] = value
    return found


def external(
    format_: str,
    version: int,
    *,
    files: Sequence[Mapping[str, Any]],
    benchmark: str,
    system: str,
    metrics: Mapping[str, Any],
    about: Mapping[str, str] | None = None,
    entry: str = "",
    scenario: str = "",
    facts: Mapping[str, Any] | None = None,
    parameters: Mapping[str, Any] | None = None,
    samples: Mapping[str, tuple[str, Sequence[float]]] | None = None,
    valid: bool | None = None,
    reasons: Sequence[str] = (),
    reported: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return an external result.

    It says nothing of when and from where it was imported: importing the same files again gives the same document.

    Args:
        format_: the format it was read from.
        version: of the importer; raised when it reads the same file otherwise.
        files: `Content.entry` of each file.
        benchmark: what was measured, in the source's words.
        system: what it was measured on, in the source's words.
        metrics: by name.
        about: of the source, where known: `tool`, `tool_version`, `round`, `organisation`, `division`,
            `availability`, `licence`, `recorded_at`. Empty texts are left out.
        entry: which part of the file it is.
        scenario: load pattern, in the source's words.
        facts: of the system.
        parameters: how it was measured.
        samples: raw samples: unit and values by series.
        valid: the source's own verdict, None where it gives none.
        reasons: what the verdict rests on.
        reported: what the source wrote, by its own keys.
    """
    document: dict[str, Any] = {
        "format": FORMAT,
        "source": {
            "format": format_,
            "importer": version,
            "files": [dict(file) for file in files],
            **({"entry": entry} if entry else {}),
            **{key: value[:_TEXT] for key, value in (about or {}).items() if value},
        },
        "benchmark": benchmark[:_TEXT] or "not given",
        "system": {"name": system[:_TEXT] or "not given", "facts": flat(facts or {})},
        "parameters": flat(parameters or {}),
        "valid": valid,
        "reasons": [reason[:_TEXT] for reason in reasons],
        "metrics": dict(metrics),
        "samples": {
            name: {"unit": unit, "values": [float(value) for value in values]}
            for name, (unit, values) in (samples or {}).items()
        },
        "reported": {key: value[:_TEXT] for key, value in (reported or {}).items()},
    }
    if scenario:
        document["scenario"] = scenario
    return document
