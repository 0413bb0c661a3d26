# SPDX-License-Identifier: Apache-2.0
"""What the measuring core adds to the median latency, against a bare loop over the same session.

    python bench/overhead.py [--rounds 15] [--seconds 0.4] [--limit 1.01] [MODEL ...]

Both loops run the same session on the same input, in turn, so that drift of the machine hits both alike; which
one goes first alternates. The number is the median over the rounds of the ratio of the two medians, with its
bootstrap interval. Without arguments the models of the shared test material are used, or, where that is
absent, the demo's own. Exit status 1 when the whole interval of a ratio lies over the limit.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "client"))

import numpy as np  # noqa: E402
from codereef.bench import runtimes, statistics  # noqa: E402
from codereef.bench.load.core import StopRule, closed_loop  # noqa: E402
from codereef.bench.load.rules import Budget, MaxCount, NarrowInterval  # noqa: E402

NAMES = ("mobilenet_v2_1.0_224_quant.tflite", "ssd_mobilenet_v1_coco_from_tflite_qdq.onnx", "FastestDet.onnx",
         "mobilenet_v1_0.25_224_quant.tflite", "mnist.onnx")  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One model: median latency of the bare loop in us, and the ratio of the core's to it with its interval."""

    name: str
    bare_us: float
    ratio: float
    interval: tuple[float, float]


def bare(invoke: Callable[[Any], Any], feed: Any, queries: int) -> float:
    """Median in ns of the plainest loop there is."""
    values = []
    for _ in range(queries):
        before = time.perf_counter_ns()
        invoke(feed)
        values.append(time.perf_counter_ns() - before)
    return float(np.median(np.array(values)))


def through_core(invoke: Callable[[Any], Any], feed: Any, queries: int) -> float:
    """Median in ns by the measuring core with the rules of a benchmark."""
    rules: list[StopRule] = [
        MaxCount(queries),
        Budget(3600),
        NarrowInterval(0.0, 0.95, queries // 2),
    ]
    return float(np.median(closed_loop(invoke, [feed], rules).samples_ns.astype(np.float64)))


def measure(path: Path, name: str, rounds: int, seconds: float) -> Row:
    """Interleave both loops over one session and summarise their ratio."""
    session = runtimes.load("onnx" if name.endswith(".onnx") else "tflite", path, 1, {})
    shapes = [(t, tuple(max(side, 1) for side in t.shape)) for t in session.inputs]
    feed = {t.name: np.ones(shape, dtype=t.dtype) for t, shape in shapes}
    warm = bare(session.invoke, feed, 20)
    queries = int(min(max(seconds * 1e9 / warm, 20), 5000))
    plain, ratios = [], []
    for turn in range(rounds):
        loops = [bare, through_core] if turn % 2 else [through_core, bare]
        took = {loop: loop(session.invoke, feed, queries) for loop in loops}
        plain.append(took[bare])
        ratios.append(took[through_core] / took[bare])
    (medians,), _ = statistics.bootstrap(ratios, (0.5,), seed=1)
    interval = statistics.middle(medians, 0.95)
    return Row(name, float(np.median(plain)) / 1e3, float(np.median(ratios)), interval)


def default_models() -> list[tuple[Path, str]]:
    """The test material's models, or the demo's where the material is absent."""
    mirror = Path(os.environ.get("CODEREEF_SHARED") or ROOT.parent / "shared") / "mirror"
    found = []
    if (mirror / "index.json").is_file():
        entries = json.loads((mirror / "index.json").read_text(encoding="utf-8"))
        by_name = {entry["name"]: mirror / "sha256" / entry["sha256"] for entry in entries}
        found = [(by_name[name], name) for name in NAMES if name in by_name and by_name[name].is_file()]
    if found:
        return found
    folder = ROOT / "components" / "model" / "shapes-ssd"
    return [(p, p.name) for p in sorted(folder.iterdir()) if p.suffix in (".onnx", ".tflite")]


def main() -> int:
    """Print the table; 1 when an interval lies over the limit."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", nargs="*", type=Path)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=0.4, help="length of one loop")
    parser.add_argument("--limit", type=float, default=1.01)
    arguments = parser.parse_args()
    models = [(path, path.name) for path in arguments.models] or default_models()
    if not models:
        print("no model to measure: neither the test material nor the demo's models are there", file=sys.stderr)
        return 2
    print(f"{'model':46} {'bare p50':>11} {'ratio':>8}  95 % interval")
    worst = 0.0
    for path, name in models:
        row = measure(path, name, arguments.rounds, arguments.seconds)
        low, high = row.interval
        print(f"{row.name:46} {row.bare_us:8.1f} us {row.ratio:8.4f}  {low:.4f} .. {high:.4f}", flush=True)
        worst = max(worst, low)
    good = worst <= arguments.limit
    print(f"limit {arguments.limit:.4f}: {'held' if good else 'EXCEEDED, beyond what chance explains'}")
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
