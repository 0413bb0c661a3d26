# SPDX-License-Identifier: Apache-2.0
"""What a program hands back: metrics, raw samples and progress (format `codereef-response/1`).

Files are written beside their place, synced and renamed, so that a reader sees all of one or none of it.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional, TextIO

FORMAT = "codereef-response/1"


@dataclass(frozen=True)
class Metric:
    """One number with its unit, its uncertainty and how it came about (see schemas/result.json)."""

    value: Optional[float]
    unit: str
    direction: str
    method: str
    samples: int
    interval: Optional[tuple[float, float]] = None
    confidence: Optional[float] = None
    reason: Optional[str] = None

    def as_dict(self) -> dict[str, object]:
        """The metric as JSON data."""
        data: dict[str, object] = {
            "value": self.value,
            "unit": self.unit,
            "direction": self.direction,
            "interval": None if self.interval is None else list(self.interval),
            "confidence": self.confidence,
            "method": self.method,
            "samples": self.samples,
        }
        if self.reason is not None:
            data["reason"] = self.reason
        return data


@dataclass
class Response:
    """The response while it is being put together.

    Of its keys the first three say how it ended: `status` is `ok`, `failed` (the model, the dataset, the runtime or the
    program is at fault, so that this is a result) or `refused` (what was asked for cannot be had, so that there is none);
    `error` says why it is not ok, and `hint` what to do about a refusal.
    """

    status: str = "ok"
    error: Optional[str] = None
    hint: Optional[str] = None
    runtime: Mapping[str, object] = field(default_factory=dict)
    metrics: dict[str, Metric] = field(default_factory=dict)
    samples: dict[str, tuple[str, Sequence[float]]] = field(default_factory=dict)
    processing: dict[str, Mapping[str, str]] = field(default_factory=dict)
    load: Optional[Mapping[str, object]] = None
    stages: list[Mapping[str, object]] = field(default_factory=list)
    phase: Optional[Mapping[str, object]] = None
    predictions: Optional[str] = None
    warnings: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, object]:
        """The response as JSON data."""
        data: dict[str, object] = {
            "format": FORMAT,
            "status": self.status,
            "runtime": dict(self.runtime),
            "metrics": {name: metric.as_dict() for name, metric in self.metrics.items()},
            "samples": samples_as_dict(self.samples),
            "processing": {name: dict(facts) for name, facts in self.processing.items()},
            "warnings": list(self.warnings),
        }
        if self.load is not None:
            data["load"] = dict(self.load)
        if self.stages:
            data["stages"] = [dict(stage) for stage in self.stages]
        if self.phase is not None:
            data["phase"] = dict(self.phase)
        if self.error is not None:
            data["error"] = self.error
        if self.hint is not None:
            data["hint"] = self.hint
        if self.predictions is not None:
            data["predictions"] = self.predictions
        return data


def samples_as_dict(samples: Mapping[str, tuple[str, Sequence[float]]]) -> dict[str, object]:
    """Series by name, each a unit and values in the order taken, as JSON data."""
    return {name: {"unit": unit, "values": list(values)} for name, (unit, values) in samples.items()}


def write_json(path: Path, data: object, *, sync: bool = True) -> None:
    """Write JSON to `path` so that it holds either the old content or the whole new one.

    Args:
        path: where to write; its folder exists.
        data: JSON data; NaN and infinity are refused, for no reader could take them.
        sync: wait until the bytes are on the disk (off for files that are rewritten every second).
    """
    beside = path.with_name(path.name + ".new")
    with open(beside, "w", encoding="utf-8") as stream:
        stream.write(json.dumps(data, allow_nan=False))  # many times quicker than writing to the stream piece by piece
        stream.flush()
        if sync:
            os.fsync(stream.fileno())
    os.replace(beside, path)


class Progress:
    """Says at most once a second how far a phase is, as one JSON line each.

    Args:
        stream: where the lines go; None keeps silent.
        every_s: shortest time between two lines, in seconds; a change of phase is always said.
    """

    def __init__(self, stream: Optional[TextIO], every_s: float = 1.0) -> None:
        self._stream, self._every_s = stream, every_s
        self._phase, self._said_at = "", 0.0

    def say(self, phase: str, done: int, total: Optional[int], fraction: Optional[float] = None) -> None:
        """Report `done` of `total` (None: not known) in `phase`; `fraction` overrides done / total."""
        now = time.monotonic()
        early = phase == self._phase and now - self._said_at < self._every_s and done != total
        if self._stream is None or early:
            return
        self._phase, self._said_at = phase, now
        if fraction is None and total:
            fraction = done / total
        line: dict[str, Any] = {"progress": fraction, "phase": phase, "done": done, "total": total}
        try:
            self._stream.write(json.dumps(line) + "\n")
            self._stream.flush()
        except (OSError, ValueError):
            self._stream = None  # nobody listens any more; the measurement goes on
