# SPDX-License-Identifier: Apache-2.0
"""Results as runs in MLflow's file store: a folder `mlruns` that `mlflow ui --backend-store-uri` opens.

The layout is MLflow's own (`mlflow/store/tracking/file_store.py`): a folder an experiment with `meta.yaml`, in it
one a run with `meta.yaml`, and a file each for metrics (`TIMESTAMP VALUE STEP`), parameters and tags. JSON texts are YAML
too, so that no YAML library is needed. A solution becomes an experiment, a result a run of it; writing one again changes nothing.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from codereef.canonical import pretty_json
from codereef.disk import write_atomic
from codereef.record.history import Result

_LOCAL = 4  # SourceType.LOCAL
_FINISHED, _FAILED, _KILLED = 3, 4, 5  # RunStatus
_STATUS = {"ok": _FINISHED, "interrupted": _KILLED}
_NAME = re.compile(r"[^A-Za-z0-9_\-. /]")
_LONGEST = 6000  # characters that MLflow takes of a parameter


def write_runs(results: Sequence[Result], folder: Path) -> tuple[str, ...]:
    """Write results as runs below `folder`, which is MLflow's store (often called `mlruns`).

    Returns:
        The identifiers of the runs: the first 32 digits of the results'.

    Raises:
        StorageError: it cannot be written.
    """
    # Others may have written here; the folder for what MLflow deleted marks a store.
    (folder / ".trash").mkdir(parents=True, exist_ok=True)
    made = []
    for result in results:
        name = result.document["solution"]["component"]
        experiment = _number(name)
        place = folder / experiment
        started = _milliseconds(result.document["started_at"])
        if not (place / "meta.yaml").exists():
            write_atomic(
                place / "meta.yaml",
                _yaml(
                    {
                        "artifact_location": place.absolute().as_uri(),
                        "creation_time": started,
                        "experiment_id": experiment,
                        "last_update_time": started,
                        "lifecycle_stage": "active",
                        "name": name,
                    }
                ),
            )
        made.append(_write_run(result, place, experiment))
    return tuple(made)


def _number(name: str) -> str:
    """Return a number of 18 digits for a name, as MLflow numbers its experiments."""
    digits = int(hashlib.sha256(name.encode()).hexdigest(), 16) % (9 * 10**17)
    return str(10**17 + digits)


def _write_run(result: Result, experiment_folder: Path, experiment: str) -> str:
    d = result.document
    run = result.id[:32]
    place = experiment_folder / run
    started, ended = _milliseconds(d["started_at"]), _milliseconds(d["ended_at"])
    label = f"{d['configuration']['id']} {result.short}"
    for name, value in _metrics(result):
        write_atomic(place / "metrics" / name, f"{ended} {value!r} 0\n")
    for name, text in _params(d):
        write_atomic(place / "params" / name, text)
    tags = {
        "mlflow.runName": label,
        "mlflow.source.name": d["solution"]["component"],
        "mlflow.source.type": "LOCAL",
        "mlflow.user": "",
        "codereef.result": result.id,
        "codereef.comparability": d["comparability"],
        "codereef.machine_class": d["machine"]["class_digest"],
        "codereef.status": d["status"],
    }
    for name, text in tags.items():
        write_atomic(place / "tags" / name, text)
    write_atomic(place / "artifacts" / "result.json", pretty_json({"id": result.id, "document": d}))
    # Last: a run whose meta.yaml is there is complete.
    write_atomic(
        place / "meta.yaml",
        _yaml(
            {
                "artifact_uri": (place / "artifacts").absolute().as_uri(),
                "end_time": ended,
                "entry_point_name": "",
                "experiment_id": experiment,
                "lifecycle_stage": "active",
                "run_id": run,
                "run_name": label,
                "run_uuid": run,
                "source_name": "",
                "source_type": _LOCAL,
                "source_version": "",
                "start_time": started,
                "status": _STATUS.get(d["status"], _FAILED),
                "tags": [],
                "user_id": "",
            }
        ),
    )
    return run


def _metrics(result: Result) -> Iterator[tuple[str, float]]:
    """Yield each metric that has a value; an interval becomes two of them (_lo, _hi)."""
    for name in result.document["metrics"]:
        value, bounds = result.metric(name), result.interval(name)
        if value is not None:
            yield _safe(name), value
            if bounds is not None:
                yield f"{_safe(name)}_lo", bounds[0]
                yield f"{_safe(name)}_hi", bounds[1]


def _params(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    facts: Iterable[tuple[str, Any]] = (
        ("model", document["model"]),
        ("dataset", document["dataset"]),
        ("precision", document.get("precision", "")),
        ("runtime", document["runtime"]["name"]),
        ("runtime_version", document["runtime"]["version"]),
        ("scenario", document["scenario"]),
        ("target", document["configuration"]["target"]),
        *((f"variant.{name}", value) for name, value in document["configuration"]["variants"].items()),
        *((f"option.{name}", value) for name, value in document["options"].items()),
    )
    for name, value in facts:
        text = value if isinstance(value, str) else json.dumps(value)
        if text:
            yield _safe(name), text[:_LONGEST].replace("\n", " ")


def _safe(name: str) -> str:
    """Return a name that MLflow takes for a file's: no slash, and no dot before it."""
    return _NAME.sub("_", name).replace("/", "_").lstrip(".") or "_"


def _milliseconds(time: str) -> int:
    return int(datetime.fromisoformat(time.replace("Z", "+00:00")).timestamp() * 1000)


def _yaml(values: Mapping[str, Any]) -> str:
    return "".join(f"{key}: {json.dumps(value, ensure_ascii=True)}\n" for key, value in values.items())
