# SPDX-License-Identifier: Apache-2.0
"""Records real noise: one model measured in many processes, one after the other.

    python bench/record_noise.py MODEL OUT.json [--processes 120] [--seconds 1.5] [--keep 100]

Each process loads the model, warms up and measures with the measuring core; of its samples some are kept, evenly
from the whole, which leaves their distribution as it was and the file small. `tests/bench/data` holds what `bench/compare_aa.py` judges the verdicts of `cr compare` by. Nothing of the machine is recorded but times
and its load before and after.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "client"))


def child(path: Path, seconds: float, warm: float) -> None:
    """Measure in this process and print the samples in ns, in the order taken."""
    import numpy as np
    from codereef.bench import runtimes
    from codereef.bench.load.core import closed_loop
    from codereef.bench.load.rules import Budget

    session = runtimes.load("onnx" if path.suffix == ".onnx" else "tflite", path, 1, {})
    feed = {t.name: np.ones(tuple(max(side, 1) for side in t.shape), dtype=t.dtype) for t in session.inputs}
    closed_loop(session.invoke, [feed], [Budget(warm)])
    measured = closed_loop(session.invoke, [feed], [Budget(seconds)])
    print(json.dumps(measured.samples_ns.tolist()))


def main() -> int:
    """Record and write; nothing is kept of an interrupted recording."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path, nargs="?")
    parser.add_argument("--processes", type=int, default=120)
    parser.add_argument("--seconds", type=float, default=1.5, help="length of the measurement in each process")
    parser.add_argument("--keep", type=int, default=100, help="samples kept of each process")
    parser.add_argument("--warm", type=float, default=0.3, help="seconds of warm-up in each process")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments.model, arguments.seconds, arguments.warm)
        return 0
    if arguments.out is None:
        parser.error("OUT.json is needed")
    series, begin, load = [], time.monotonic(), [os.getloadavg()[0]]
    for number in range(arguments.processes):
        options = ["--child", f"--seconds={arguments.seconds}", f"--warm={arguments.warm}"]
        done = subprocess.run(
            [sys.executable, __file__, str(arguments.model), *options], capture_output=True, text=True, check=True
        )
        taken = json.loads(done.stdout.splitlines()[-1])
        count = min(arguments.keep, len(taken))
        # Four digits are finer than any clock's noise and keep the file small.
        series.append([int(float(f"{ns:.4g}")) for ns in (taken[i * len(taken) // count] for i in range(count))])
        print(f"\r{number + 1} of {arguments.processes}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    load.append(os.getloadavg()[0])
    took = round(time.monotonic() - begin)
    data = {"unit": "ns", "seconds": took, "load": [round(value, 1) for value in load], "processes": series}
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(data, separators=(",", ":")) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
