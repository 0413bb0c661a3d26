# SPDX-License-Identifier: Apache-2.0
"""What only a complete answer shows: circles, and how many optional dependencies it leaves out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from codereef.solve.candidates import Circle
from codereef.solve.optimise import Lazy
from codereef.solve.terms import Clause
from codereef.solve.universe import Universe

#: Candidates of a variable up to which all are asked whether they are part of a circle alike.
MAX_GENERALISED = 64
#: How many circles of one answer are ruled out before the next one is looked for.
MAX_AT_ONCE = 16


def node_id(universe: Universe, variable: int, position: int) -> str:
    """Return how a choice is called in the lock, where nothing else has that name."""
    from codereef.meta.selection import configuration_id

    needs, scope = universe.keys[variable]
    candidate = universe.candidates[variable][position]
    text = f"{needs}@{candidate.version or 'unknown'}"
    if candidate.variants:
        text += f"[{configuration_id(candidate.variants)}]"
    return text + (" (build)" if scope == "build" else "")


def edges(universe: Universe, selected: Mapping[int, int]) -> dict[int, list[int]]:
    """Return, by variable, the variables that its choice requires, in declared order."""
    return {
        variable: [item.variable for item in universe.dependencies(variable, position) if item.required]
        for variable, position in selected.items()
    }


def walk(graph: Mapping[int, Sequence[int]], root: int) -> tuple[list[int], list[int]]:
    """Return the variables below `root`, dependencies first, and the first circle met (empty when there is none)."""
    done: list[int] = []
    state: dict[int, int] = {}
    path: list[int] = []
    stack: list[tuple[int, int]] = [(root, 0)]
    while stack:
        number, position = stack.pop()
        if position == 0:
            state[number] = 1
            path.append(number)
        following = graph[number]
        if position < len(following):
            stack.append((number, position + 1))
            other = following[position]
            if state.get(other) == 1:
                return done, path[path.index(other) :]
            if other not in state:
                stack.append((other, 0))
            continue
        state[number] = 2
        path.pop()
        done.append(number)
    return done, []


def broken(universe: Universe, root: int, selected: Mapping[int, int], most_left_out: int | None) -> list[Clause]:
    """Return the clauses that an answer breaks: a circle, or more optional dependencies left out than may be.

    Args:
        universe: what is solved.
        root: the solution's variable.
        selected: the answer.
        most_left_out: how many optional dependencies may be left out; None for any number.
    """
    graph = edges(universe, selected)
    found: list[Clause] = []
    while len(found) < MAX_AT_ONCE:
        _, circle = walk(graph, root)
        if not circle:
            break
        found.append(_clause(universe, circle, selected))
        # Without its last step, the next circle shows.
        graph[circle[-1]] = [number for number in graph[circle[-1]] if number != circle[0]]
    if found:
        return found
    if most_left_out is None:
        return []
    left = [number for number, position in selected.items() if universe.left_out(number) >> position & 1]
    if len(left) <= most_left_out:
        return []
    return [Clause(tuple((n, universe.left_out(n)) for n in left[: most_left_out + 1]), "left out")]


def _clause(universe: Universe, circle: Sequence[int], selected: Mapping[int, int]) -> Clause:
    terms = []
    for place, number in enumerate(circle):
        following = circle[(place + 1) % len(circle)]
        mask = 1 << selected[number]
        if universe.count(number) <= MAX_GENERALISED:
            # Every candidate that requires the next one closes the same circle.
            for position in range(universe.count(number)):
                needed = universe.dependencies(number, position)
                if any(item.required and item.variable == following for item in needed):
                    mask |= 1 << position
        terms.append((number, mask))
    software = [number for number in circle if number not in universe.choices]
    names = [node_id(universe, number, selected[number]) for number in [*software, software[0]]]
    return Clause(tuple(terms), Circle(tuple(names)))


def lazy(universe: Universe, root: int, most_left_out: int | None = None) -> Lazy:
    """Return what the optimiser asks about complete answers; the arguments are those of `broken`."""
    return lambda selected: broken(universe, root, selected, most_left_out)
