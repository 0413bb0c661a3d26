# SPDX-License-Identifier: Apache-2.0
"""What sending queries costs: the core beside MLPerf LoadGen's Python binding, a bare loop and the runtimes' own tools.

    python bench/load.py [cost] [server] [tools] [answer] [--rounds 5]

cost    CPU time of a query in single-stream with a model that does nothing
server  latency that is added to queries which arrive by a Poisson process, with the same model
tools   p50 of a real model beside litert-benchmark, and beside the loop of onnxruntime_perf_test by hand
answer  wall time of a whole quiet benchmark: a process is started, measures nothing's latency, and summarises it

What is compared is run in turn, `--rounds` times; the medians of the rounds are shown. Exit status 1 when a goal is
missed. LoadGen's part is left out where `mlperf_loadgen` is not installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "client"), str(ROOT / "bench")]

import numpy as np  # noqa: E402
from codereef.bench import runtimes  # noqa: E402
from codereef.bench.load import driver, mlperf  # noqa: E402
from codereef.bench.load.plan import make_plan  # noqa: E402
from codereef.bench.options import Options  # noqa: E402
from overhead import default_models  # noqa: E402
from timing import Command, run_once  # noqa: E402

QUERIES = 100_000
MOST_US, MOST_ADDED_MS, MOST_SECONDS = 3.0, 1.0, 1.0
OFFERED = (1_000, 10_000, 30_000, 50_000, 100_000)
FEEDS: list[dict[str, Any]] = [{} for _ in range(64)]
ANSWER: dict[str, Any] = {}
HAS_LOADGEN = importlib.util.find_spec("mlperf_loadgen") is not None


def nothing(feeds: dict[str, Any]) -> dict[str, Any]:
    """A model that does nothing."""
    return ANSWER


def bare(queries: int) -> list[int]:
    """The plainest loop there is."""
    clock, values = time.perf_counter_ns, []
    for _ in range(queries):
        before = clock()
        nothing(ANSWER)
        values.append(clock() - before)
    return values


def ours(scenario: str, options: Options) -> driver.Driven:
    """A plan carried out by the core."""
    return driver.drive(make_plan(scenario, options), nothing, FEEDS)


def loadgens(scenario: str, options: Options) -> driver.Driven:
    """The same plan carried out by LoadGen."""
    with tempfile.TemporaryDirectory() as folder:
        return mlperf.drive(make_plan(scenario, options), nothing, FEEDS, Path(folder), 1e-5)


def goal(name: str, value: float, most: float) -> bool:
    """Print whether a goal is met and return it."""
    print(f"  goal: {name} at most {most:g}: {'met' if value <= most else 'MISSED'} ({value:.3g})", flush=True)
    return value <= most


def cost(rounds: int) -> bool:
    """CPU time of a query, all threads of the process together."""
    counted = Options(stop="count", min_samples=QUERIES, max_samples=QUERIES, max_seconds=600)
    # No interval is so narrow: the rule looks as often as it can, until the most samples.
    looking = Options(min_samples=1000, max_samples=QUERIES, max_seconds=600, relative_width=-1.0)
    ways: dict[str, Callable[[], int]] = {
        "bare loop": lambda: len(bare(QUERIES)),
        "codereef, stop=count": lambda: ours("single-stream", counted).samples,
        "codereef, stop=interval": lambda: ours("single-stream", looking).samples,
    }
    if HAS_LOADGEN:
        ways["MLPerf LoadGen, Python"] = lambda: loadgens("single-stream", counted).samples
    found: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds):
        for name in list(ways) if turn % 2 else reversed(list(ways)):
            begin = time.process_time_ns()
            queries = ways[name]()
            found[name].append((time.process_time_ns() - begin) / queries / 1e3)
    medians = {name: statistics.median(values) for name, values in found.items()}
    for name, value in medians.items():
        print(f"{name:28} {value:8.2f} us of CPU a query {value / medians['bare loop']:8.2f} x bare loop")
    return goal("us of CPU a query, codereef, the dearer rule", max(list(medians.values())[1:3]), MOST_US)


def server(rounds: int) -> bool:
    """Latency that is added at rising rates; what is delivered must be what is offered."""
    drivers = {"codereef": ours, **({"LoadGen": loadgens} if HAS_LOADGEN else {})}
    print(f"{'offered 1/s':>12} " + " ".join(f"{name + ' 1/s':>14} {'p50 us':>9} {'p99 us':>9}" for name in drivers))
    added = {}
    for rate in OFFERED:
        count = max(2000, rate)
        options = Options(
            stop="count", min_samples=count, max_samples=count, max_seconds=600, target_qps=rate, target_latency=0.001
        )
        cells = []
        for name, drive in drivers.items():
            rows = []
            for _ in range(rounds):
                driven = drive("server", options)
                seconds = (driven.measured.elapsed_ns - driven.measured.paused_ns) / 1e9
                p50, p99 = (float(np.quantile(driven.measured.samples_ns, q)) / 1e3 for q in (0.5, 0.99))
                figures = driven.figures
                rows.append(
                    (figures["throughput"], figures["latency_p50"] * 1e6, figures["latency_p99"] * 1e6)
                    if figures
                    else (count / seconds, p50, p99)
                )
            rates, medians, tails = (statistics.median(column) for column in zip(*rows))
            added[name, rate] = medians / 1e3
            cells.append(f"{rates:14.0f} {medians:9.1f} {tails:9.1f}")
        print(f"{rate:12d} " + " ".join(cells), flush=True)
    return all(
        goal(f"ms added to p50 at {rate} a second", added["codereef", rate], MOST_ADDED_MS) for rate in OFFERED[1:3]
    )


def _feed(session: Any) -> dict[str, Any]:
    random = np.random.default_rng(1)
    shapes = [(t, tuple(max(side, 1) for side in t.shape)) for t in session.inputs]
    return {t.name: (random.random(shape) * 200).astype(t.dtype) for t, shape in shapes}


def _core_p50(session: Any, feed: dict[str, Any], queries: int) -> float:
    options = Options(stop="count", min_samples=queries, max_samples=queries, max_seconds=600)
    driven = driver.drive(make_plan("single-stream", options), session.invoke, [feed])
    return float(np.median(driven.measured.samples_ns)) / 1e6


def _alone_p50(session: Any, queries: int) -> float:
    """The interpreter's call alone, on the input that it still holds."""
    interpreter: Any = session._interpreter
    options = Options(stop="count", min_samples=queries, max_samples=queries, max_seconds=600)
    driven = driver.drive(make_plan("single-stream", options), lambda feeds: interpreter.invoke(), FEEDS)
    return float(np.median(driven.measured.samples_ns)) / 1e6


def _by_litert_benchmark(path: Path, queries: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        tool = Path(sys.executable).with_name("litert-benchmark")
        arguments = ["--num_threads", "1", "--warmup_runs", "10", "--num_runs", str(queries)]
        subprocess.run(
            [str(tool), "--model", str(path), "--result_json", str(result), *arguments], check=True, capture_output=True
        )
        return float(json.loads(result.read_text(encoding="utf-8"))["latency"]["median_ms"])


def _by_perf_loop(path: Path, feed: dict[str, Any]) -> Callable[[int], float]:
    """The loop of onnxruntime_perf_test: one session, one thread, the time of each `run` call."""
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = settings.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]

    def loop(queries: int) -> float:
        values = []
        for _ in range(queries):
            before = time.perf_counter_ns()
            session.run(names, feed)
            values.append(time.perf_counter_ns() - before)
        return statistics.median(values) / 1e6

    return loop


def tools(rounds: int) -> bool:
    """p50 of real models, in turn with each runtime's own tool.

    litert-benchmark times the call that computes; ours has the copy of the input into the runtime and of the output
    out of it, which is what a user of the model waits for. The last column is our call without these copies.
    """
    print(f"{'model':46} {'tool':>18} {'its p50 ms':>11} {'codereef / tool':>16}  {'least .. most':18} without copies")
    good = True
    for path, name in default_models():
        onnx = name.endswith(".onnx")
        session = runtimes.load("onnx" if onnx else "tflite", path, 1, {})
        feed = _feed(session)
        queries = int(min(1000, max(30, 400 / _core_p50(session, feed, 20))))
        tool = _by_perf_loop(path, feed) if onnx else lambda n, path=path: _by_litert_benchmark(path, n)  # type: ignore[misc]
        ratios, alone, theirs = [], [], []
        for turn in range(rounds):
            first = tool(queries) if turn % 2 else 0.0
            mine = _core_p50(session, feed, queries)
            other = first or tool(queries)
            ratios.append(mine / other)
            theirs.append(other)
            if not onnx:
                alone.append(_alone_p50(session, queries) / other)
        ratios.sort()
        ratio = statistics.median(ratios)
        print(
            f"{name:46} {'perf loop by hand' if onnx else 'litert-benchmark':>18} {statistics.median(theirs):11.3f} "
            f"{ratio:16.4f}  {ratios[0]:.4f} .. {ratios[-1]:.4f}   {f'{statistics.median(alone):.4f}' if alone else ''}",
            flush=True,
        )
        good = good and min(alone or ratios) <= 1.02
    return good


QUIET = """
import sys, types
sys.path.insert(0, {client!r})
from pathlib import Path
from codereef.bench.measuring import measure
from codereef.bench.options import Options
from codereef.bench.response import Progress, Response, write_json
class Nothing:
    def prepare(self, item):
        return types.SimpleNamespace(feeds={{}}, size=1)
    def invoke(self, feeds):
        return feeds
response, output = Response(), Path({output!r})
measure(Nothing(), types.SimpleNamespace(items=["a"]), Options(), Progress(None), response, output)
write_json(output / "response.json", response.as_dict())
print(response.load["stopped"])
"""


def answer(rounds: int) -> bool:
    """A whole benchmark with the default options, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        code = QUIET.format(client=str(ROOT / "client"), output=folder)
        command = Command([sys.executable, "-I", "-c", code], says="narrow enough")
        empty = Command([sys.executable, "-I", "-c", "import numpy; print('ok')"], says="ok")
        rows = [(run_once(command), run_once(empty)) for _ in range(rounds)]
        samples = json.loads((Path(folder) / "response.json").read_text(encoding="utf-8"))["samples"]
    for name, column in (("benchmark of nothing", 0), ("`import numpy` alone", 1)):
        wall, cpu = (statistics.median(getattr(row[column], part) for row in rows) for part in ("wall", "cpu"))
        print(f"{name:28} {wall * 1e3:8.0f} ms wall {cpu * 1e3:8.0f} ms cpu")
    print(f"  {len(samples['warmup']['values'])} queries of warm-up, {len(samples['latency']['values'])} measured")
    return goal("seconds of wall time", statistics.median(row[0].wall for row in rows), MOST_SECONDS)


def main(arguments: Sequence[str]) -> int:
    """Run what is asked for; 1 when a goal is missed."""
    parts = {"cost": cost, "server": server, "tools": tools, "answer": answer}
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("parts", nargs="*", choices=[*parts, []], help="all by default")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args(arguments)
    if not HAS_LOADGEN:
        print("mlperf_loadgen is not installed; its part is left out", file=sys.stderr)
    good = True
    for name in given.parts or parts:
        print(f"-- {name}: {(parts[name].__doc__ or '').splitlines()[0]}")
        good = parts[name](given.rounds) and good
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
