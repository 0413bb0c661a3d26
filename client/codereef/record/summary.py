# SPDX-License-Identifier: Apache-2.0
"""Rows of results for tables, CSV and plots."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from codereef.record.history import Result

ACCURACY = ("mAP", "top1", "AP50", "top5", "mIoU", "AUC", "R2")
CSV_METRICS = (
    "latency_p50",
    "latency_p90",
    "latency_p99",
    "throughput",
    "mAP",
    "top1",
    "peak_rss",
    "load_time",
    "model_size",
)


@dataclass(frozen=True)
class Row:
    """What a table shows of a result.

    Attributes:
        result: the result.
        runtime: name and version of the runtime.
        precision: numeric precision.
        accuracy_metric: name of the accuracy metric it has, or "".
    """

    result: Result
    runtime: str
    precision: str
    accuracy_metric: str

    @property
    def label(self) -> str:
        return f"{self.runtime} {self.precision}".strip()


def row(result: Result) -> Row:
    """Return the row of a result."""
    document = result.document
    runtime = document["runtime"]
    accuracy = next((name for name in ACCURACY if result.metric(name) is not None), "")
    return Row(result, f"{runtime['name']} {runtime['version']}".strip(), str(document.get("precision", "")), accuracy)


def to_csv(results: Iterable[Result]) -> str:
    """Return results as CSV, one a line, in SI base units; an interval takes two columns (_lo, _hi)."""
    head = [
        "id",
        "started_at",
        "status",
        "solution",
        "configuration",
        "target",
        "model",
        "precision",
        "dataset",
        "runtime",
        "runtime_version",
        "scenario",
        "cpu",
        "comparability",
    ]
    columns = [name for metric in CSV_METRICS for name in (metric, f"{metric}_lo", f"{metric}_hi")]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*head, *columns])
    for result in results:
        d = result.document
        cells: list[object] = [
            result.id,
            d["started_at"],
            d["status"],
            d["solution"]["component"],
            d["configuration"]["id"],
            d["configuration"]["target"],
            d["model"],
            d.get("precision", ""),
            d["dataset"],
            d["runtime"]["name"],
            d["runtime"]["version"],
            d["scenario"],
            cpu_name(result),
            d["comparability"],
        ]
        for metric in CSV_METRICS:
            bounds = result.interval(metric)
            value = result.metric(metric)
            cells += ["" if value is None else value, *(bounds if bounds else ("", ""))]
        writer.writerow([_safe_cell(cell) for cell in cells])
    return out.getvalue()


def cpu_name(result: Result) -> str:
    """Return the processor's name as the fingerprint has it, or the target's triple."""
    cpu = result.document["machine"]["class"].get("cpu") or {}
    return str(cpu.get("model") or result.document["configuration"]["target"])


def _safe_cell(cell: object) -> object:
    if not isinstance(cell, str):
        return cell
    # Spreadsheets run cells that begin like a formula; readers take a lone carriage return for the end of a row.
    return ("'" if cell[:1] in ("=", "+", "-", "@", "\t", "\r") else "") + cell.replace("\r", " ")


def data_of(result: Result) -> tuple[str, ...]:
    """Return the dataset of a result and its choice of variants, as `name=value`."""
    d = result.document
    nodes = d["lock"]["nodes"].values()
    choice: dict[str, str] = next((n["variants"] for n in nodes if n["component"] == d["dataset"]), {})
    return (d["dataset"], *(f"{name}={value}" for name, value in sorted(choice.items())))


def same_question(result: Result) -> tuple[str, ...]:
    """Return what two results must share to stand in one plot: data and its choice, load, threads and machine class.

    Unlike the comparability key it leaves the model out: a frontier compares models.
    """
    d = result.document
    return (
        *data_of(result),
        d["scenario"],
        str(d["options"].get("threads", "")),
        d["machine"]["class_digest"],
    )


def newest_comparable(results: Sequence[Result]) -> list[Result]:
    """Return, of the benchmarks that answer the same question as the newest one, the newest of each configuration."""
    complete = [
        r
        for r in results
        if r.document["status"] == "ok" and r.metric("latency_p50") is not None and row(r).accuracy_metric
    ]
    if not complete:
        return []
    question = same_question(complete[-1])
    newest: dict[tuple[str, str, str], Result] = {}
    for result in complete:
        d = result.document
        if same_question(result) == question:
            newest[(d["solution"]["component"], d["configuration"]["id"], d["runtime"]["version"])] = result
    return list(newest.values())
