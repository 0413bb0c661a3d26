# SPDX-License-Identifier: Apache-2.0
"""External results on the command line: finding, listing and showing them, and why they are not compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from codereef.cli.edge import print_json, table
from codereef.disk import human
from codereef.home import Home

if TYPE_CHECKING:
    from codereef.interchange.external import ExternalResults
    from codereef.record.history import History, Result

#: Which figures a list shows of a result: the first that it has of each column.
_SPEED = (
    "query_latency_p99",
    "latency_p90",
    "latency_p50",
    "time_median",
    "time_mean",
    "real_time_median",
    "real_time_mean",
    "real_time",
    "time",
    "prediction_time_avg_s_mean",
    "execution_time_mean",
    "memory",
    "value",
)
_ACCURACY = ("accuracy", "mAP", "AUC", "F1", "accuracy_top1_mean", "dice", "bleu")
#: Scenarios whose figure is how many samples are done, not how long one takes.
_RATED = ("Offline", "Server")
_WIDTH = 36
_TIMES = (("s", 1), ("ms", 1e3), ("µs", 1e6), ("ns", 1e9))


def external_results() -> ExternalResults:
    """Return the external results of this user."""
    from codereef.interchange.external import ExternalResults

    return ExternalResults(Home.default().external)


def find_external(history: History, text: str) -> Result | None:
    """Return the external result that a user named, or None where he named one of the history, or nothing known.

    Raises:
        UsageError: several begin so.
    """
    from codereef.interchange.external import FORMAT
    from codereef.meta.schemas import check, parse_json
    from codereef.record.history import Result, result_id

    if text.endswith(".json") and Path(text).is_file():
        document = parse_json(Path(text).read_bytes(), text)
        if not isinstance(document, dict) or document.get("format") != FORMAT:
            return None
        check(document, "external", text)
        return Result(result_id(document), document)
    prefix = text.lower()
    results = external_results()
    if text == "latest" or history.known(prefix) or not results.known(prefix):
        return None
    return results.find(prefix)


def refuse_external(history: History, *texts: str) -> None:
    """Raise where one of the results to compare is external.

    Raises:
        UsageError: saying why there is no verdict.
    """
    from codereef.errors import UsageError

    for text in texts:
        found = find_external(history, text)
        if found is not None:
            source = found.document["source"]
            tool = source.get("tool", source["format"])
            mlperf = source["format"].startswith("mlperf")
            raise UsageError(
                f"Result {found.short} is external, as reported by {tool}, so `cr compare` gives no verdict: "
                "how it was measured, on what, and how far such runs lie apart is not known here."
                + (" MLPerf results may be compared with MLPerf results only." if mlperf else ""),
                hint=f"`cr show {found.short}` has what was reported. To compare, measure both with `cr benchmark`.",
                context={"result": found.id, "tool": tool},
            )


def _figure(metric: Mapping[str, Any], name: str) -> str:
    value, unit = metric["value"], metric["unit"]
    if unit == "s":
        shown, factor = next(((u, f) for u, f in _TIMES if abs(value) * f >= 1), _TIMES[-1])
        return f"{name} {value * factor:.4g} {shown}"
    if unit == "B":
        return f"{name} {human(value)}"
    return f"{name} {value:.4g}" + (f" {unit}" if unit not in ("", "not given") else "")


def _first(document: Mapping[str, Any], names: Sequence[str]) -> str:
    metrics = document["metrics"]
    return next((_figure(metrics[name], name) for name in names if name in metrics), "–")


def _speed(document: Mapping[str, Any]) -> str:
    rated = document.get("scenario") in _RATED
    return _first(document, ("throughput", *_SPEED) if rated else (*_SPEED, "throughput"))


def _title(document: Mapping[str, Any]) -> str:
    """Return what was measured, with its parameters where the entry in the file has them."""
    entry, benchmark = document["source"].get("entry", ""), str(document["benchmark"])
    return str(entry) if entry.startswith(benchmark) else benchmark


def _short(text: str) -> str:
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 1]}…"


def external_table(results: Sequence[Result]) -> str:
    """Return external results as a table; `invalid` marks those that their own source calls so."""
    rows = []
    for result in results:
        d = result.document
        source = d["source"]
        origin = " ".join(filter(None, (source["format"], source.get("round"), source.get("organisation"))))
        rows.append(
            [
                result.short,
                origin + (f" {source['division']}" if "division" in source else ""),
                _short(d["system"]["name"]),
                _short(_title(d)),
                d.get("scenario", ""),
                _speed(d),
                _first(d, _ACCURACY),
                "invalid" if d["valid"] is False else "",
            ]
        )
    head = ["result", "reported by", "system", "benchmark", "scenario", "speed", "accuracy", ""]
    # A column that says nothing is left out.
    kept = [n for n in range(len(head)) if n < 4 or any(row[n] not in ("", "–") for row in rows)]
    return table([[row[n] for n in kept] for row in rows], [head[n] for n in kept])


def list_external(text: str | None, limit: int | None, plot: Path | None, as_json: bool) -> None:
    """Print the external results, all or those whose benchmark or system has `text` in its name.

    Raises:
        UsageError: a plot is asked for.
    """
    from codereef.errors import UsageError

    if plot is not None:
        raise UsageError(
            "External results are not plotted: a frontier would rank them among results measured here.",
            hint="`cr results --external --json` has their figures.",
        )
    results = external_results()
    found = list(results.all())
    if text:
        wanted = text.lower()
        found = [
            r
            for r in found
            if wanted in r.document["benchmark"].lower() or wanted in r.document["system"]["name"].lower()
        ]
    found = found[-limit:] if limit else found
    if as_json:
        print_json({"external": [{"id": r.id, **r.document} for r in found]})
    elif found:
        click.echo(external_table(found))
    else:
        click.echo(
            f"There is no external result with `{text}` in its benchmark or system."
            if text
            else "There is no external result yet. `cr import FILE` reads results of other tools."
        )


def external_data(result: Result, write: Callable[[Mapping[str, Any]], str]) -> dict[str, Any]:
    """Return what `cr show` shows of an external result; `write` makes text of a metric."""
    d = result.document
    source = dict(d["source"])
    files = source.pop("files")
    return {
        "external result": result.id,
        "note": "reported by others, not measured by cr; never compared with or ranked among results of this machine",
        "benchmark": d["benchmark"],
        "scenario": d.get("scenario"),
        "source": source,
        "files": {file["name"]: f"{human(file['size'])} sha256 {file['sha256'][:16]}…" for file in files},
        "valid": d["valid"],
        "reasons": d["reasons"],
        "metrics": {
            name: f"{write(metric).removesuffix(' (n=0)')}, {metric['method']}" for name, metric in d["metrics"].items()
        },
        "samples": {name: f"{len(s['values'])} in {s['unit']}" for name, s in d["samples"].items()},
        "system": {"name": d["system"]["name"], **d["system"]["facts"]},
        "parameters": d["parameters"],
    }
