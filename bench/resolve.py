# SPDX-License-Identifier: Apache-2.0
"""Measure our resolver beside others on the same generated graphs, every answer checked.

    python bench/resolve.py [--all] [--sizes 500,2000] [--kinds easy,unsat] [--engines ours,rattler] [--seeds 1]

Every variable has 20 candidates with about two dependencies each. All kinds but `unsat` have a planted answer.
Each solve is a process of its own with a limit of CPU seconds (user and system). Encoding a graph for a solver
is measured apart and not compared. Our own time holds the proof that the answer is the best, and for `unsat`
the smallest explanation; our proofs are checked step by step. `K`: stopped at the limit.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "client"))

from codereef.solve.optimise import cost
from solvers import Adapter, compiled, plain
from solvers.graphs import CANDIDATES, KINDS, Graph, check_answer, reached

ENGINES: dict[str, Adapter] = {
    "ours": plain.ours,
    "resolvelib": plain.resolvelib,
    "nab": plain.nab,
    "rattler": compiled.rattler,
    "clingo": compiled.clingo,
    "cadical": compiled.cadical,
    "maxsat": compiled.maxsat,
}
#: Known, but without a wheel to install here.
UNAVAILABLE = {"pubgrub-py": "no wheel for Linux; building it needs Rust and its crates"}
SIZES = (500, 2000, 20_000)
#: Memory that a solve may take, in bytes.
MEMORY = 12 * 1024**3


def child(engine: str, kind: str, size: int, seed: int, limit: int) -> dict[str, Any]:
    """Solve one graph with one engine in this process."""
    graph = Graph(kind, size, seed)
    before = time.process_time()
    try:
        prepared = ENGINES[engine](graph)
    except ImportError as error:
        return {"missing": str(error)}
    encoded = time.process_time()
    # The limit is for the solve alone.
    resource.setrlimit(resource.RLIMIT_CPU, (int(encoded) + limit + 1, resource.RLIM_INFINITY))
    asked = graph.asked
    error = ""
    try:
        selected = prepared.solve()
    except RecursionError:
        # resolvelib walks its finished result recursively and fails on circles; the time is the search's.
        selected, error = {}, "no result"
    done = time.process_time()
    return {
        "encode": encoded - before,
        "solve": done - encoded,
        "selected": None if selected is None else list(selected.items()),
        "error": error,
        "constraints": prepared.constraints,
        "version": prepared.version,
        "asked": graph.asked - asked,
        "facts": plain.check_our_proof(graph) if engine == "ours" and selected is None else 0,
    }


@dataclass(frozen=True)
class Run:
    """One solve, checked.

    Attributes:
        seconds: CPU seconds of the solve, the limit where it was stopped.
        encode: CPU seconds of what went before.
        verdict: "ok", "unsat", "K", "missing: ..." or what is wrong.
        selected: the answer.
        constraints: whether the engine was given the constraints.
        version: of the engine.
        facts: in our explanation.
    """

    seconds: float
    encode: float = 0.0
    verdict: str = "K"
    selected: Mapping[int, int] | None = None
    constraints: bool = True
    version: str = "?"
    facts: int = 0


def run(engine: str, graph: Graph, kind: str, seed: int, limit: int) -> Run:
    """Solve in a child and check what it says."""
    command = [sys.executable, __file__, "--child", engine, kind, str(graph.size), str(seed), str(limit)]

    def limits() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        # Encoding may take as long as it takes, within reason.
        resource.setrlimit(resource.RLIMIT_CPU, (10 * limit, resource.RLIM_INFINITY))

    process = subprocess.run(command, capture_output=True, text=True, preexec_fn=limits)
    try:
        told = json.loads(process.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        # py-rattler may crash at exit, after it has answered; whoever has not answered was stopped or failed.
        if process.returncode in (-9, -24):
            return Run(float(limit))
        return Run(float(limit), verdict=f"failed: {(process.stderr.strip().splitlines() or ['?'])[-1][:60]}")
    if "missing" in told:
        return Run(0.0, verdict=f"missing: {told['missing']}")
    verdict, selected = "unsat", None
    if told["selected"] is not None:
        selected = {int(variable): int(candidate) for variable, candidate in told["selected"]}
        verdict = told["error"] or "ok"
        if verdict == "ok":
            try:
                selected = reached(graph, selected)
                check_answer(graph, selected, constraints=told["constraints"])
            except (AssertionError, KeyError) as error:
                verdict = f"WRONG: {error}"
    if verdict in ("ok", "unsat") and (verdict == "unsat") != (kind == "unsat"):
        # Without constraints the problem is easier, and `unsat` graphs are impossible without them too.
        verdict = f"WRONG: {verdict}"
    return Run(
        told["solve"], told["encode"], verdict, selected, told["constraints"], told["version"], told["facts"]
    )  # fmt: skip


def compare(graph: Graph, ours: Run, other: Run) -> str:
    """Say how an answer compares with ours in our order; "-" where there is none or it is of an easier problem."""
    if ours.selected is None or other.selected is None or other.verdict != "ok" or not other.constraints:
        return "-"
    mine, theirs = (cost(graph, item.selected or {}, graph.roots) for item in (ours, other))
    return "same" if mine == theirs else "worse" if mine < theirs else "BETTER"


def rows(kinds: Sequence[str], sizes: Sequence[int], engines: Sequence[str], seeds: int, limit: int) -> int:
    """Print the table; return the number of wrong answers."""
    wrong = 0
    layout = "{:<7} {:>6} {:<11} {:<12} {:>9} {:>9} {:>9} {:>8} {:>7} {:>6} {}"
    print(
        layout.format(
            "graph", "size", "engine", "version", "solve s", "worst", "encode s", "/ ours", "select", "index", "answer"
        )
    )
    for size in sizes:
        for kind in kinds:
            results: dict[str, list[Run]] = {}
            graphs = [Graph(kind, size, seed) for seed in range(seeds)]
            for engine in engines:
                done = results[engine] = []
                for seed, graph in enumerate(graphs):
                    done.append(run(engine, graph, kind, seed, limit))
                    if done[-1].verdict.startswith("missing"):
                        break
                wrong += sum(item.verdict.startswith("WRONG") for item in done)
                if done[0].verdict.startswith("missing"):
                    print(layout.format(kind, size, engine, *"-------", done[0].verdict), flush=True)
                    continue
                seconds = [item.seconds for item in done]
                ours = results.get("ours", [])
                base = statistics.median([item.seconds for item in ours]) if ours else 0.0
                ratio = statistics.median(seconds) / max(base, 0.001) if ours else 0.0
                answered = [item.selected for item in done if item.selected and item.verdict == "ok"]
                index = [sum(item.values()) / len(item) for item in answered]
                notes = [item.verdict for item in done if item.verdict not in ("ok", "unsat")]
                notes += [f"{max(i.facts for i in done)} facts"] * (done[0].facts > 0)
                if engine != "ours" and ours:
                    compared = [compare(g, mine, item) for g, mine, item in zip(graphs, ours, done)]
                    wrong += compared.count("BETTER")
                    notes += sorted(set(compared) - {"-"})
                if not done[-1].constraints and done[-1].verdict in ("ok", "unsat"):
                    notes.append("easier problem: no constraints")
                print(
                    layout.format(
                        kind,
                        size,
                        engine,
                        done[-1].version[:12],
                        f"{statistics.median(seconds):.3f}",
                        f"{max(seconds):.3f}",
                        f"{statistics.median([item.encode for item in done]):.2f}",
                        f"{'>' if done[-1].verdict == 'K' else ''}{ratio:.1f}" if ours else "-",
                        max((len(item) for item in answered), default=0) or "-",
                        f"{statistics.mean(index):.2f}" if index else "-",
                        ", ".join(dict.fromkeys(notes)) or ("optimal" if engine == "ours" else "checked"),
                    ),
                    flush=True,
                )
    return wrong


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Measure resolvers on generated graphs.")
    parser.add_argument("--all", action="store_true", help="every size, kind and engine, three graphs each")
    parser.add_argument("--seeds", type=int, help="graphs per line (1)")
    parser.add_argument("--limit", type=int, help="CPU seconds per solve (4, with --all 60)")
    parser.add_argument("--kinds", default=",".join(KINDS), help="comma-separated kinds of graphs")
    parser.add_argument("--sizes", help="comma-separated numbers of variables (100,500,2000)")
    parser.add_argument("--engines", help=f"comma-separated, of {', '.join(ENGINES)}")
    parser.add_argument("--child", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        engine, kind, size, seed, limit = options.child
        print(json.dumps(child(engine, kind, int(size), int(seed), int(limit))), flush=True)
        return 0
    sizes = [
        int(s) for s in (options.sizes or (",".join(map(str, SIZES)) if options.all else "100,500,2000")).split(",")
    ]
    engines = (options.engines or ",".join(ENGINES)).split(",")
    for name, reason in UNAVAILABLE.items():
        print(f"{name}: left out, {reason}")
    print(f"CPU seconds (median, worst); {CANDIDATES} candidates a variable; index 0 is the newest candidate")
    wrong = rows(
        options.kinds.split(","), sizes, engines, options.seeds or (3 if options.all else 1),
        options.limit or (60 if options.all else 4),
    )  # fmt: skip
    if wrong:
        print(f"{wrong} answers are wrong", file=sys.stderr)
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
