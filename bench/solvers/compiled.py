# SPDX-License-Identifier: Apache-2.0
"""Solvers with a compiled core: resolvo, clingo, CaDiCaL and a MaxSAT solver."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from . import Prepared
from .graphs import CANDIDATES, Graph


def _requirements(graph: Graph) -> Any:
    """Yield (variable, candidate, dependency) of the whole graph."""
    for variable in range(graph.size):
        for candidate in range(CANDIDATES):
            for item in graph.look(variable, candidate):
                yield variable, candidate, item


def rattler(graph: Graph) -> Prepared:
    """Resolvo as conda's packages use it; the graph is written as repodata first."""
    import asyncio

    from rattler import Channel, SparseRepoData, solve_with_sparse_repodata
    from rattler.exceptions import SolverError

    def spec(item: Any) -> str:
        numbers = [CANDIDATES - place for place in range(CANDIDATES) if item.allowed >> place & 1]
        return f"p{item.variable} >={min(numbers)},<={max(numbers)}"

    packages = {}
    for variable in range(graph.size):
        for candidate in range(CANDIDATES):
            number, items = CANDIDATES - candidate, graph.look(variable, candidate)
            packages[f"p{variable}-{number}-0.tar.bz2"] = {
                "name": f"p{variable}", "version": str(number), "build": "0", "build_number": 0,
                "subdir": "noarch", "depends": [spec(item) for item in items if item.required],
                "constrains": [spec(item) for item in items if not item.required],
                "md5": "0" * 32, "sha256": "0" * 64, "size": 1,
            }  # fmt: skip
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    path = folder / "repodata.json"
    path.write_text(json.dumps({"info": {"subdir": "noarch"}, "packages": packages, "packages.conda": {}}))
    data = SparseRepoData(Channel("https://example.org/bench"), "noarch", path)

    def solve() -> Mapping[int, int] | None:
        async def work() -> Any:
            return await solve_with_sparse_repodata([spec(item) for item in graph.roots], [data])

        try:
            records = asyncio.run(work())
        except SolverError:
            return None
        return {int(r.name.normalized[1:]): CANDIDATES - int(str(r.version)) for r in records}

    return Prepared(solve, True, version("py-rattler"))


def clingo(graph: Graph) -> Prepared:
    """Answer set programming, told to prefer newer candidates when it decides; grounding counts as encoding."""
    import clingo

    windows: dict[tuple[int, int], int] = {}
    lines = [f"candidate(0..{CANDIDATES - 1})."]

    def window(item: Any) -> int:
        key = (item.variable, item.allowed)
        if key not in windows:
            windows[key] = number = len(windows)
            lines.append(f"of({number},{item.variable}).")
            lines.extend(f"in({number},{place})." for place in range(CANDIDATES) if item.allowed >> place & 1)
        return windows[key]

    lines.extend(f"root({window(item)})." for item in graph.roots)
    for variable, candidate, item in _requirements(graph):
        lines.append(f"{'needs' if item.required else 'limits'}({variable},{candidate},{window(item)}).")
    lines.append("""
        required(W) :- root(W).
        required(W) :- needs(V,C,W), chosen(V,C).
        binding(W) :- limits(V,C,W), chosen(V,C).
        wanted(X) :- required(W), of(W,X).
        1 { chosen(X,C) : candidate(C) } 1 :- wanted(X).
        :- required(W), of(W,X), chosen(X,C), not in(W,C).
        :- binding(W), of(W,X), chosen(X,C), not in(W,C).
        #heuristic chosen(X,C) : wanted(X), candidate(C). [20-C, true]
        #show chosen/2.
    """)
    control = clingo.Control(["--heuristic=Domain", "1"])
    control.add("base", [], "\n".join(lines))
    control.ground([("base", [])])

    def solve() -> Mapping[int, int] | None:
        found: dict[int, int] = {}

        def keep(model: Any) -> None:
            for symbol in model.symbols(shown=True):
                found[symbol.arguments[0].number] = symbol.arguments[1].number

        return found if control.solve(on_model=keep).satisfiable else None

    return Prepared(solve, True, clingo.__version__)


def _clauses(graph: Graph) -> list[list[int]]:
    """Return the graph in conjunctive form; a literal is `variable * (CANDIDATES + 1) + candidate + 1`.

    The last literal of each variable says that it is selected.
    """
    step = CANDIDATES + 1
    clauses: list[list[int]] = []
    for variable in range(graph.size):
        first = variable * step + 1
        own = range(first, first + CANDIDATES)
        clauses.append([-(first + CANDIDATES), *own])
        clauses.extend([-one, first + CANDIDATES] for one in own)
        clauses.extend([-one, -other] for one in own for other in range(one + 1, first + CANDIDATES))
    aids: dict[tuple[int, int, bool], int] = {}
    last = graph.size * step

    def met(item: Any) -> int:
        nonlocal last
        key = (item.variable, item.allowed, item.required)
        if key not in aids:
            last += 1
            aids[key] = last
            first = item.variable * step + 1
            if item.required:
                clauses.append([-last, first + CANDIDATES])
            clauses.extend([-last, -(first + p)] for p in range(CANDIDATES) if not item.allowed >> p & 1)
        return aids[key]

    clauses.extend([met(item)] for item in graph.roots)
    for variable, candidate, item in _requirements(graph):
        clauses.append([-(variable * step + candidate + 1), met(item)])
    return clauses


def _selected(model: Any, size: int) -> dict[int, int]:
    step = CANDIDATES + 1
    true = [literal - 1 for literal in model if 0 < literal <= size * step]
    return {literal // step: literal % step for literal in true if literal % step != CANDIDATES}


def cadical(graph: Graph) -> Prepared:
    """A SAT solver without an objective: any answer."""
    from pysat.solvers import Cadical195

    solver = Cadical195(bootstrap_with=_clauses(graph))

    def solve() -> Mapping[int, int] | None:
        return _selected(solver.get_model(), graph.size) if solver.solve() else None

    return Prepared(solve, True, version("python-sat"))


def maxsat(graph: Graph) -> Prepared:
    """A SAT solver with an objective: the least sum of candidate numbers (another optimum than ours)."""
    from pysat.examples.rc2 import RC2
    from pysat.formula import WCNF

    formula = WCNF()
    formula.extend(_clauses(graph))
    for literal in range(graph.size * (CANDIDATES + 1)):
        candidate = literal % (CANDIDATES + 1)
        if 0 < candidate < CANDIDATES:
            formula.append([-(literal + 1)], weight=candidate)
    solver = RC2(formula, solver="g4")

    def solve() -> Mapping[int, int] | None:
        model = solver.compute()
        return None if model is None else _selected(model, graph.size)

    return Prepared(solve, True, version("python-sat"))
