# SPDX-License-Identifier: Apache-2.0
"""Configurations, programs and synthetic measurements for the tests of explorations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from codereef.explore.search import Repetition, Search, open_rounds
from codereef.explore.space import Measurable
from codereef.lock.model import LockedConfiguration

PROGRAM: dict[str, Any] = {
    "name": "runner",
    "options": {
        "threads": {"type": "integer", "default": 1, "minimum": 1, "maximum": 64, "summary": "Threads."},
        "ratio": {"type": "number", "default": 0.5, "summary": "A share."},
        "mode": {"type": "string", "default": "a", "values": ["a", "b"], "summary": "A mode."},
        "fast": {"type": "boolean", "default": False, "summary": "Whether it is fast."},
        "size": {"type": "integer", "default": 1, "summary": "Also the name of a variant."},
    },
    "metrics": {
        "latency_p50": {"unit": "s", "direction": "lower", "summary": "Median."},
        "throughput": {"unit": "1/s", "direction": "higher", "summary": "Rate."},
    },
}
VARIANTS = {"format": ["onnx", "tflite"], "precision": ["fp32", "int8", "fp16"], "size": ["50", "500"]}


def configuration(**variants: str) -> LockedConfiguration:
    identifier = ",".join(f"{name}={value}" for name, value in variants.items())
    return LockedConfiguration(identifier, "linux-x86_64-gnu", variants, "root", ())


def measurables(*chosen: dict[str, str]) -> list[Measurable]:
    """Return configurations with one program; the four of the demo where none is chosen."""
    every = chosen or tuple(
        {"format": f, "precision": p, "size": "50"} for f in ("onnx", "tflite") for p in ("fp32", "int8")
    )
    return [Measurable(configuration(**variants), PROGRAM, {}) for variants in every]


def search(kind: str = "grid", repeat: int = 3, **more: Any) -> Search:
    return Search(
        **{"kind": kind, "repeat": repeat, "seed": 1, "objective": "latency_p50", "direction": "lower", **more}
    )


Synthetic = Callable[[int, int], Repetition]


def measure_all(
    chosen: Search, points: int, synthetic: Synthetic, *, most: int | None = None
) -> tuple[list[list[Repetition]], list[tuple[int, int]]]:
    """Carry a search out with synthetic measurements; return repetitions by point, and (round, point) in order."""
    measured: list[list[Repetition]] = [[] for _ in range(points)]
    taken: list[tuple[int, int]] = []
    while (found := open_rounds(chosen, measured)) and (most is None or len(taken) < most):
        number, point = found[0].number, found[0].points[0]
        measured[point].append(synthetic(number, point))
        taken.append((number, point))
        assert len(taken) < 100_000, "the search does not end"
    return measured, taken


def noisy(truth: Sequence[float], *, spread: float = 0.03, drift: float = 0.0, seed: int = 7) -> Synthetic:
    """Return measurements of known points: a relative noise of `spread`, each round slower by `drift`, a second each."""
    random = Random(seed)

    def measure(number: int, point: int) -> Repetition:
        value = truth[point] * (1 + drift * number) * (1 + random.gauss(0, spread))
        return Repetition(number, "ok", "0" * 64, 1.0, "m", value)

    return measure
