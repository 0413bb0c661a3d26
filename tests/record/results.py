# SPDX-License-Identifier: Apache-2.0
"""Result documents for tests, following the schema."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from codereef.lock.build import build_lock
from codereef.lock.model import environment_key, to_document
from codereef.record.history import History, Result
from codereef.solve.candidates import Request

from tests.solve.worlds import dataset, found, model, package, program, soft, solution, solved

DIGEST = "sha256:" + "0" * 64


def lock_document(runtime: str = "1.20.0") -> dict[str, Any]:
    from dataclasses import replace

    components = [
        solution(
            deps={
                "model": {"needs": "model:net"},
                "data": {"needs": "dataset:pictures"},
                "python": {"needs": "compiler.python"},
            }
        ),
        program(),
        model(),
        dataset(),
        package("ort-wheel", "lib.onnxruntime", [runtime]),
        soft("python", "compiler.python"),
    ]
    lock = build_lock(components[0], [solved(components, [found("compiler.python", "3.11.2", "python")])], Request())
    environments = {name: replace(e, install_key=environment_key(e)) for name, e in lock.environments.items()}
    return json.loads(json.dumps(to_document(replace(lock, environments=environments))))  # type: ignore[no-any-return]


LOCK = lock_document()


def metric(
    value: float | None, unit: str = "s", direction: str = "lower", interval: list[float] | None = None
) -> dict[str, Any]:
    return {
        "value": value,
        "unit": unit,
        "direction": direction,
        "interval": interval,
        "confidence": 0.95 if interval else None,
        "method": "made up",
        "samples": 3,
    }


def document(latencies: Sequence[float] = (0.01, 0.011, 0.012), **changes: Any) -> dict[str, Any]:
    made = {
        "format": "codereef-result/1",
        "action": "benchmark",
        "status": "ok",
        "solution": {"component": "solution:demo@1.0.0", "digest": DIGEST},
        "configuration": {"id": "default", "target": "linux-x86_64-gnu", "variants": {}},
        "lock_digest": DIGEST,
        "lock": LOCK,
        "components": {"model:net@1.0.0": DIGEST},
        "task": "object-detection",
        "model": "model:net@1.0.0",
        "precision": "fp32",
        "dataset": "dataset:pictures@1.0.0",
        "runtime": {"name": "onnxruntime", "version": "1.20.0"},
        "scenario": "single-stream",
        "options": {"threads": 1, "max_seconds": 10.0},
        "comparability": DIGEST,
        "machine": {"class": {"cpu": {"model": "Chip 3000"}}, "class_digest": DIGEST, "instance": "a" * 32},
        "environment": {"before": {}, "after": {}},
        "metrics": {"latency_p50": metric(0.011, interval=[0.0105, 0.0115]), "mAP": metric(0.5, "", "higher")},
        "samples": {"latency": {"unit": "s", "values": list(latencies)}} if latencies else {},
        "warnings": [],
        "started_at": "2026-01-01T10:00:00Z",
        "ended_at": "2026-01-01T10:01:00Z",
        "client": {"version": "0.1.0"},
    }
    return {**made, **changes}


def result(folder: Path, *arguments: Any, **changes: Any) -> Result:
    return History(folder).add(document(*arguments, **changes))
