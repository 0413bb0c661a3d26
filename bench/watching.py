# SPDX-License-Identifier: Apache-2.0
"""What watching the machine costs the process that is measured: from outside, and from a thread inside it.

    python bench/watching.py [--rounds 11] [--seconds 1.0] [--limit 1.01]

A process sends queries of some 20 us of plain Python work, one after another, by the measuring core. It runs
unwatched, watched from this process as `cr benchmark` does, and watched by a thread of its own (what we do not do),
in turn. The numbers are ratios to unwatched: medians over the rounds with bootstrap intervals, of the median
latency, of the mean and of the 99th percentile. `alike` is unwatched against unwatched, to show the noise. Also told
are the processor time of one look, and of the block that collects around a phase. Exit status 1 when the whole
interval of the median watched from outside lies over the limit.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "client"))

from codereef.bench.collect import collected  # noqa: E402
from codereef.bench.response import Response  # noqa: E402
from codereef.bench.statistics import bootstrap, middle, percentile  # noqa: E402
from codereef.detect.observe import Observation  # noqa: E402

_MEASURED = """
import contextlib, sys
sys.path.insert(0, sys.argv[1])
from codereef.bench.load.core import closed_loop
from codereef.bench.load.rules import Budget
from codereef.detect.observe import Observation
inside = Observation() if sys.argv[3] == "inside" else contextlib.nullcontext()
with inside:
    measured = closed_loop(lambda feed: sum(feed), [range(700)], [Budget(float(sys.argv[2]))])
print(" ".join(map(str, sorted(measured.samples_ns.tolist()))))
"""
_STATISTICS = ("p50", "mean", "p99")


def run(mode: str, seconds: float) -> dict[str, float]:
    """Run the measured process once and return its statistics in ns."""
    command = [sys.executable, "-c", _MEASURED, str(ROOT / "client"), str(seconds), mode]
    if mode == "outside":
        with Observation():
            text = subprocess.check_output(command, text=True)
    else:
        text = subprocess.check_output(command, text=True)
    samples = [float(word) for word in text.split()]
    return {"p50": percentile(samples, 0.5), "mean": statistics.fmean(samples), "p99": percentile(samples, 0.99)}


def told(name: str, ratios: Mapping[str, list[float]]) -> tuple[float, float]:
    """Print the ratios of one way of watching; return the interval of the median latency's."""
    cells, first = [], (0.0, 0.0)
    for statistic in _STATISTICS:
        (medians,), _ = bootstrap(ratios[statistic], (0.5,), seed=1)
        low, high = middle(medians, 0.95)
        first = (low, high) if statistic == "p50" else first
        cells.append(f"{statistics.median(ratios[statistic]):.4f} [{low:.4f}, {high:.4f}]")
    print(f"{name:8} " + "  ".join(f"{cell:24}" for cell in cells), flush=True)
    return first


def main() -> int:
    """Print the table; 1 when watching from outside costs more than the limit."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--seconds", type=float, default=1.0, help="length of one run")
    parser.add_argument("--limit", type=float, default=1.01)
    arguments = parser.parse_args()
    modes = ["none", "outside", "inside", "alike"]
    rounds: list[dict[str, dict[str, float]]] = []
    for turn in range(arguments.rounds):
        order = modes[turn % 4 :] + modes[: turn % 4]
        rounds.append({mode: run(mode, arguments.seconds) for mode in order})
    print("watched  " + "  ".join(f"{statistic + ' / unwatched':24}" for statistic in _STATISTICS))
    intervals = {
        mode: told(mode, {s: [each[mode][s] / each["none"][s] for each in rounds] for s in _STATISTICS})
        for mode in ("alike", "outside", "inside")
    }
    with Observation(every_s=0.05) as observation:
        time.sleep(2.0)
    during = observation.during([{}])
    looks, cost = during["readings"], during["cost_cpu_seconds"]
    assert isinstance(looks, int) and isinstance(cost, float)
    begin = time.process_time()
    for _ in range(20):
        with collected(Response()) as collection:
            collection.queries = 1
    block = (time.process_time() - begin) / 20
    print(f"one look: {cost / looks * 1e3:.3f} ms of CPU, two a second; the block around a phase: {block * 1e3:.2f} ms")
    good = intervals["outside"][0] <= arguments.limit
    print(f"limit {arguments.limit:.4f}: {'held' if good else 'EXCEEDED, beyond what chance explains'}")
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
