# SPDX-License-Identifier: Apache-2.0
"""Results as Parquet: one file with a row a result, one with a row a raw sample. Needs pyarrow (`codereef[parquet]`)."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from codereef.disk import write_atomic
from codereef.errors import UsageError
from codereef.record.history import Result
from codereef.record.summary import cpu_name

RESULTS, SAMPLES = "results.parquet", "samples.parquet"
_TEXTS = (
    "id",
    "started_at",
    "ended_at",
    "action",
    "status",
    "solution",
    "configuration",
    "target",
    "model",
    "precision",
    "dataset",
    "task",
    "runtime",
    "runtime_version",
    "scenario",
    "cpu",
    "machine_class",
    "comparability",
    "options",
)


def write_tables(results: Sequence[Result], folder: Path) -> None:
    """Write `results.parquet` and `samples.parquet` into a folder, which is made where absent.

    A metric has the columns `NAME`, `NAME_lo` and `NAME_hi`, in SI base units; what a result does not have is null.
    A sample has the columns `id`, `series`, `place` (from 0, in the order taken), `value` and `unit`.

    Raises:
        UsageError: pyarrow is not installed.
        StorageError: a file cannot be written.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise UsageError(
            "Parquet needs pyarrow, which is not installed.", hint="Install `codereef[parquet]`, or use `--format csv`."
        ) from None
    rows = [_row(result) for result in results]
    figures = sorted({name for row in rows for name in row if name not in _TEXTS})
    columns: dict[str, Any] = {name: pa.array([row[name] for row in rows], pa.string()) for name in _TEXTS}
    columns |= {name: pa.array([row.get(name) for row in rows], pa.float64()) for name in figures}
    _write(pq, pa.table(columns), folder / RESULTS)
    _write(pq, _samples(pa, results), folder / SAMPLES)


def _write(pq: Any, table: Any, path: Path) -> None:
    out = io.BytesIO()
    pq.write_table(table, out, compression="zstd")
    write_atomic(path, out.getvalue())


def _row(result: Result) -> dict[str, Any]:
    d = result.document
    row: dict[str, Any] = {
        "id": result.id,
        "solution": d["solution"]["component"],
        "configuration": d["configuration"]["id"],
        "target": d["configuration"]["target"],
        "precision": d.get("precision", ""),
        "runtime": d["runtime"]["name"],
        "runtime_version": d["runtime"]["version"],
        "cpu": cpu_name(result),
        "machine_class": d["machine"]["class_digest"],
        "options": json.dumps(d["options"], sort_keys=True),
    }
    row |= {name: d[name] for name in _TEXTS if name not in row}
    for name in d["metrics"]:
        bounds = result.interval(name)
        row[name] = result.metric(name)
        row[f"{name}_lo"], row[f"{name}_hi"] = bounds if bounds else (None, None)
    return row


def _samples(pa: Any, results: Sequence[Result]) -> Any:
    parts = []
    kinds = {"id": pa.string(), "series": pa.string(), "place": pa.int64(), "value": pa.float64(), "unit": pa.string()}
    schema = pa.schema(list(kinds.items()))
    for result in results:
        for series, held in result.document["samples"].items():
            count = len(held["values"])
            columns = [[result.id] * count, [series] * count, range(count), held["values"], [held["unit"]] * count]
            arrays = [pa.array(column, kind) for column, kind in zip(columns, kinds.values())]
            parts.append(pa.table(arrays, schema=schema))
    return pa.concat_tables(parts) if parts else schema.empty_table()
