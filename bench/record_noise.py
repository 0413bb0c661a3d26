# SPDX-License-Identifier: Apache-2.0
"""Records real noise: one model measured in many processes, one after the other or two and two in turns.

    python bench/record_noise.py MODEL OUT.json [--processes 120] [--seconds 1.43] [--keep 100] [--turns]

Each process loads the model, warms up and measures with the measuring core, as long and as often as one of seven
processes of `cr benchmark` does by default. With `--turns` two of them are measured
as `cr benchmark --interleave` measures two configurations: by the same code, in turns of the same length and on one
processor.

Of the samples some are kept, which keeps the file small: evenly from the whole, in their order, of processes that
follow each other; evenly from the sorted ones of those in turns, where nothing is made of the order and the median
is to stay as exact as it was. `tests/bench/data` holds what `bench/compare_aa.py` judges the verdicts of `cr compare` by. Nothing of the machine is
recorded but times and its load before and after.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "client"))

from codereef.run.measure import TURN_SECONDS  # noqa: E402
from codereef.target.local import Child, clean_environment  # noqa: E402

#: Most samples of a process: its share of the 10,000 that `cr benchmark` takes by default.
MOST = 1429


def child(path: Path, seconds: float, warm: float, turns: bool) -> None:
    """Measure in this process and print the samples in ns, in the order taken."""
    import numpy as np
    from codereef.bench import runtimes
    from codereef.bench.affinity import pin, processor_of_turns
    from codereef.bench.load.core import closed_loop
    from codereef.bench.load.rules import Budget, MaxCount
    from codereef.bench.turns import ClientTurns

    pin(processor_of_turns() if turns else "")
    session = runtimes.load("onnx" if path.suffix == ".onnx" else "tflite", path, 1, {})
    feed = {t.name: np.ones(tuple(max(side, 1) for side in t.shape), dtype=t.dtype) for t in session.inputs}
    closed_loop(session.invoke, [feed], [Budget(warm)])
    given = ClientTurns(TURN_SECONDS, sys.stdout, sys.stdin) if turns else None
    measured = closed_loop(session.invoke, [feed], [Budget(seconds), MaxCount(MOST)], turns=given)
    print(json.dumps({"samples": measured.samples_ns.tolist()}))


class _Process:
    """One process that measures; `samples` are its own once it has ended."""

    def __init__(self, options: Sequence[str], turns: bool) -> None:
        self.samples: list[int] = []
        self.child = Child(
            [sys.executable, __file__, "--child", *options, *(["--turns"] if turns else [])],
            cwd=ROOT,
            environ=clean_environment(os.environ),
            timeout=600,
            on_line=self._read,
            turns=turns,
        )

    def _read(self, line: str) -> None:
        said = json.loads(line)
        if said.get("turn") == "over":
            self.child.turn_over()
        else:
            self.samples = said["samples"]


def measured(options: Sequence[str], count: int) -> list[list[int]]:
    """Run so many processes, in turns where there are several, and return the samples of each."""
    processes = [_Process(options, count > 1) for _ in range(count)]
    waiting = deque(processes)
    while waiting:
        process = waiting.popleft()
        if process.child.proceed():
            waiting.append(process)
        elif process.child.outcome().status != "ok":
            sys.exit("\n".join(process.child.outcome().tail))
    return [process.samples for process in processes]


def some(samples: Sequence[int], most: int, ordered: bool) -> list[int]:
    """Keep at most so many samples: evenly in the order taken, or evenly in their size, the middle one among them."""
    if not ordered or len(samples) <= most:
        count = min(most, len(samples))
        return [samples[i * len(samples) // count] for i in range(count)]
    count = most - 1 + most % 2
    return [sorted(samples)[round(i * (len(samples) - 1) / (count - 1))] for i in range(count)]


def main() -> int:
    """Record and write; nothing is kept of an interrupted recording."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path, nargs="?")
    parser.add_argument("--processes", type=int, default=120)
    parser.add_argument("--seconds", type=float, default=1.43, help="length of the measurement in each process")
    parser.add_argument("--keep", type=int, default=100, help="samples kept of each process")
    parser.add_argument("--warm", type=float, default=0.3, help="seconds of warm-up in each process")
    parser.add_argument("--turns", action="store_true", help="let two processes at a time take turns")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments.model, arguments.seconds, arguments.warm, arguments.turns)
        return 0
    if arguments.out is None:
        parser.error("OUT.json is needed")
    at_once = 2 if arguments.turns else 1
    options = [str(arguments.model.resolve()), f"--seconds={arguments.seconds}", f"--warm={arguments.warm}"]
    series: list[list[int]] = []
    begin, load = time.monotonic(), [os.getloadavg()[0]]
    while len(series) < arguments.processes:
        for taken in measured(options, at_once):
            # Four digits are finer than any clock's noise and keep the file small.
            series.append([int(float(f"{ns:.4g}")) for ns in some(taken, arguments.keep, arguments.turns)])
        print(f"\r{len(series)} of {arguments.processes}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    load.append(os.getloadavg()[0])
    took = round(time.monotonic() - begin)
    data: dict[str, Any] = {
        "unit": "ns",
        "seconds": took,
        "load": [round(value, 1) for value in load],
        "processes": series,
    }
    if arguments.turns:
        data["turns"] = TURN_SECONDS
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(data, separators=(",", ":")) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
