# SPDX-License-Identifier: Apache-2.0
"""Time the resolver engine on generated graphs, beside resolvelib where that is importable.

    python bench/resolve.py [--seeds 3] [--limit 20] [--only easy,unsat] [--sizes 500,2000]

Every variable has 20 candidates with about two dependencies each. All kinds but `unsat` have a planted
answer. CPU seconds, median (and worst) over the seeds. Every answer is checked against the graph; every proof
is checked step by step, and its facts against the graph. `K`: stopped at the limit of CPU seconds.
"""

from __future__ import annotations

import argparse
import itertools
import random
import resource
import signal
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "client"))

from codereef.solve.engine import (
    Dependency,
    Derived,
    External,
    NoSolution,
    Solution,
    nodes_bottom_up,
    solve,
)

CANDIDATES = 20
ALL = (1 << CANDIDATES) - 1
KINDS = ("easy", "medium", "hard", "nasty", "unsat")


class Graph:
    """A generated problem; `asked` counts the look-ups."""

    def __init__(self, kind: str, size: int, seed: int) -> None:
        rng = random.Random(f"{kind}/{size}/{seed}")
        self.size = size
        self.asked = 0
        self._table: list[list[list[Dependency]]] = []
        planted = [min(int(rng.expovariate(0.5)), CANDIDATES - 1) for _ in range(size)]
        for variable in range(size):
            neighbours = [rng.randrange(size) for _ in range(rng.choice((1, 2, 2, 3)))]
            # A dependency stays the same over a run of versions, as in real packages.
            candidates: list[list[Dependency]] = [[] for _ in range(CANDIDATES)]
            for target in neighbours:
                start = 0
                while start < CANDIDATES:
                    stop = CANDIDATES if kind == "easy" else min(CANDIDATES, start + rng.randint(1, 6))
                    run = range(start, stop)
                    here = planted[target] if planted[variable] in run else None
                    dependency = Dependency(target, _window(kind, rng, here), rng.random() < 0.85, None)
                    for candidate in run:
                        candidates[candidate].append(dependency)
                    start = stop
            self._table.append(candidates)
        wanted = rng.sample(range(size), 8)
        self.roots = [Dependency(variable, ALL, True, "root") for variable in wanted]
        if kind == "unsat":
            self._break(rng, wanted)

    def _break(self, rng: random.Random, wanted: Sequence[int]) -> None:
        """Make two wanted variables disagree about a third, four steps away and whatever is chosen."""
        shared = rng.randrange(self.size)
        for end, allowed in ((wanted[0], 0b1111), (wanted[1], 0b11110000)):
            chain = [end, *rng.sample([item for item in range(self.size) if item not in wanted], 3), shared]
            for variable, target in itertools.pairwise(chain):
                for candidate in range(CANDIDATES):
                    mask = allowed if target == shared else _window("medium", rng, None)
                    self._table[variable][candidate].append(Dependency(target, mask, True, None))

    def count(self, variable: int) -> int:
        return CANDIDATES

    def dependencies(self, variable: int, candidate: int) -> Sequence[Dependency]:
        self.asked += 1
        return self._table[variable][candidate]

    def look(self, variable: int, candidate: int) -> Sequence[Dependency]:
        """The same without counting."""
        return self._table[variable][candidate]


def _window(kind: str, rng: random.Random, include: int | None) -> int:
    """Return an interval of candidates, holding `include` if that is given."""
    width = {
        "easy": rng.randint(12, 20),
        "medium": rng.randint(11, 18),
        "unsat": rng.randint(11, 18),
        "hard": rng.randint(8, 16),
        "nasty": rng.randint(5, 12),
    }[kind]
    first = 0 if kind == "easy" else rng.randint(0, CANDIDATES - width)
    if include is not None:
        first = min(max(first, include - width + 1), include)
    return (1 << width) - 1 << first & ALL


class OutOfTime(BaseException):
    """The limit of CPU seconds was reached."""


def timed(limit: float, work: Callable[[], object]) -> tuple[float, object]:
    """Return CPU seconds and the result; the result is None when the limit was reached."""

    def stop(signal_number: int, frame: FrameType | None) -> None:
        raise OutOfTime

    signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, limit)
    before = time.process_time()
    try:
        result: object = work()
    except OutOfTime:
        result = None
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    return time.process_time() - before, result


def check_answer(graph: Graph, selected: Mapping[int, int]) -> None:
    """Raise if `selected` breaks a dependency or selects something that nothing needs."""
    needed = set()
    stack = [graph.roots] + [graph.look(variable, candidate) for variable, candidate in selected.items()]
    for dependencies in stack:
        for item in dependencies:
            if item.variable in selected:
                if not item.allowed >> selected[item.variable] & 1:
                    raise AssertionError(f"{item} is broken")
            elif item.required:
                raise AssertionError(f"{item} is not selected")
            if item.required:
                needed.add(item.variable)
    if needed != set(selected):
        raise AssertionError(f"not needed: {set(selected) - needed}")


def check_proof(graph: Graph, answer: NoSolution) -> None:
    """Raise if a fact is not in the graph or a step does not follow from its parents."""

    def states(term: tuple[int, int, bool]) -> int:
        return term[1] if term[2] else (2 << CANDIDATES) - 1 & ~term[1]

    if answer.derivation.terms:
        raise AssertionError("the proof does not end in a contradiction")
    for node in nodes_bottom_up(answer.derivation):
        if isinstance(node, External):
            if node.variable is None:
                if node.dependency not in graph.roots:
                    raise AssertionError(f"{node} is no root")
                continue
            for candidate in range(CANDIDATES):
                asked = node.dependency in graph.look(node.variable, candidate)
                if asked != bool(node.dependers >> candidate & 1):
                    raise AssertionError(f"{node} names the wrong candidates")
        elif isinstance(node, Derived):
            result = {term[0]: states(term) for term in node.first.terms}
            for term in node.second.terms:
                mine = result.get(term[0])
                if term[0] == node.pivot and mine is not None:
                    result[term[0]] = mine | states(term)
                else:
                    result[term[0]] = states(term) if mine is None else mine & states(term)
            if result.get(node.pivot) == (2 << CANDIDATES) - 1:
                del result[node.pivot]
            if result != {term[0]: states(term) for term in node.terms}:
                raise AssertionError(f"{node} does not follow")


def with_resolvelib(graph: Graph) -> Callable[[], object] | None:
    """Return a solve of `graph` by resolvelib (it gets the same masks), or None if that is not importable."""
    try:
        import resolvelib
    except ImportError:
        return None

    class Provider(resolvelib.AbstractProvider):  # type: ignore[misc]
        def identify(self, requirement_or_candidate):  # type: ignore[no-untyped-def]
            item = requirement_or_candidate
            return item[0] if isinstance(item, tuple) else item.variable

        def get_preference(self, identifier, resolutions, candidates, information, backtrack_causes):  # type: ignore[no-untyped-def]
            return sum(1 for _ in candidates[identifier])

        def find_matches(self, identifier, requirements, incompatibilities):  # type: ignore[no-untyped-def]
            mask = ALL
            for requirement in requirements[identifier]:
                mask &= requirement.allowed
            for bad in incompatibilities[identifier]:
                mask &= ~(1 << bad[1])
            return [(identifier, candidate) for candidate in range(CANDIDATES) if mask >> candidate & 1]

        def is_satisfied_by(self, requirement, candidate):  # type: ignore[no-untyped-def]
            return bool(requirement.allowed >> candidate[1] & 1)

        def get_dependencies(self, candidate):  # type: ignore[no-untyped-def]
            # resolvelib has no constraints, so it solves the easier problem without them.
            return [item for item in graph.look(*candidate) if item.required]

    def work() -> object:
        resolver = resolvelib.Resolver(Provider(), resolvelib.BaseReporter())
        try:
            return resolver.resolve(graph.roots, max_rounds=10_000_000)
        except resolvelib.ResolutionImpossible:
            return "impossible"
        except RecursionError:
            # After the search it walks its result recursively and fails on cycles; the time is the search's.
            return "failed"

    return work


def rows(kinds: Sequence[str], sizes: Sequence[int], seeds: int, limit: float) -> Iterator[tuple[str, ...]]:
    """Yield the lines of the table."""
    for size in sizes:
        for kind in kinds:
            ours, theirs, killed, unsat = [], [], 0, 0
            chosen = asked = conflicts = 0
            their_killed = 0
            for seed in range(seeds):
                graph = Graph(kind, size, seed)
                seconds, answer = timed(limit, lambda graph=graph: solve(graph, graph.roots))  # type: ignore[misc]
                ours.append(seconds)
                asked = max(asked, graph.asked)
                if isinstance(answer, Solution):
                    check_answer(graph, answer.selected)
                    chosen = max(chosen, len(answer.selected))
                    conflicts = max(conflicts, answer.statistics.conflicts)
                elif isinstance(answer, NoSolution):
                    check_proof(graph, answer)
                    conflicts = max(conflicts, answer.statistics.conflicts)
                    unsat += 1
                else:
                    killed += 1
                if (kind == "unsat") != isinstance(answer, NoSolution) and answer is not None:
                    raise AssertionError(f"{kind} {size} {seed}: wrong kind of answer")
                other = with_resolvelib(graph)
                if other is not None:
                    seconds, result = timed(limit, other)
                    theirs.append(seconds)
                    their_killed += result is None
            ratio = f"{statistics.median(theirs) / statistics.median(ours):.1f}" if theirs else "-"
            if their_killed:
                ratio = f">{ratio}"
            yield (
                kind,
                str(size),
                f"{statistics.median(ours):.3f} ({max(ours):.3f})" + f" {killed}K" * bool(killed),
                f"{statistics.median(theirs):.2f}" + f" {their_killed}K" * bool(their_killed) if theirs else "-",
                ratio,
                str(chosen or "-"),
                str(conflicts),
                str(asked),
            )


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Time the resolver engine on generated graphs.")
    parser.add_argument("--seeds", type=int, default=3, help="graphs per line")
    parser.add_argument("--limit", type=float, default=20.0, help="CPU seconds per solve")
    parser.add_argument("--only", default=",".join(KINDS), help="comma-separated kinds")
    parser.add_argument("--sizes", default="500,2000", help="comma-separated numbers of variables")
    options = parser.parse_args()
    layout = "{:<7} {:>5} {:>22} {:>14} {:>8} {:>8} {:>9} {:>7}"
    print(layout.format("graph", "size", "engine s", "resolvelib s", "ratio", "selected", "conflicts", "asked"))
    sizes = [int(size) for size in options.sizes.split(",")]
    for row in rows(options.only.split(","), sizes, options.seeds, options.limit):
        print(layout.format(*row), flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory {peak:.0f} MiB; selected, conflicts and asked are the largest over the seeds")
    return 0


if __name__ == "__main__":
    sys.exit(main())
