# SPDX-License-Identifier: Apache-2.0
"""From a solution and one choice of its variants to one graph, or an explanation for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from codereef.errors import ResolutionError
from codereef.meta.component import Component
from codereef.meta.selection import configuration_id
from codereef.solve.candidates import Asked, Candidate, Scope
from codereef.solve.engine import Dependency, NoSolution, Solution, external_causes, solve
from codereef.solve.explain import explain
from codereef.solve.universe import Universe

MAX_STEPS = 2_000_000
#: How many ways around circles are tried; circles are rare and short.
MAX_DETOURS = 100


@dataclass(frozen=True)
class Node:
    """A chosen candidate in its place.

    Attributes:
        id: how it is called in the lock: `lib.onnxruntime@1.31.1`, `model:x@1.0.0[format=onnx]`.
        needs: what it was chosen for.
        scope: the machine it is for.
        candidate: what was chosen.
        deps: node id by role.
    """

    id: str
    needs: str
    scope: Scope
    candidate: Candidate
    deps: Mapping[str, str]


@dataclass(frozen=True)
class Graph:
    """One solved configuration.

    Attributes:
        variants: the solution's variant values.
        target: triple.
        root: id of the solution's node.
        nodes: dependencies before what needs them.
        asked: for each node id, who asks for it and how.
    """

    variants: Mapping[str, str]
    target: str
    root: str
    nodes: tuple[Node, ...]
    asked: Mapping[str, tuple[Asked, ...]]


def _node_id(needs: str, scope: Scope, candidate: Candidate) -> str:
    text = f"{needs}@{candidate.version}"
    if candidate.variants:
        text += f"[{configuration_id(candidate.variants)}]"
    return text + (" (build)" if scope == "build" else "")


def resolve(universe: Universe, solution: Component, variants: Mapping[str, str]) -> Graph:
    """Find the graph of a solution.

    Optional dependencies are tried first and left out, one by one, when they are what stands in the way.

    Args:
        universe: everything there is, for one target.
        solution: what the user named.
        variants: a value for each of its variants.

    Raises:
        ResolutionError: there is no graph; the message explains why, or names the cycle.
    """
    universe.dropped.clear()
    answer = _without_hindrances(universe, solution, variants, [universe.root(solution, variants)])
    # A dependency may have been left out before the one that really stood in the way was found.
    for left_out in sorted(universe.dropped):
        universe.dropped.discard(left_out)
        try:
            answer = _acyclic(universe, solution, [universe.root(solution, variants)], [MAX_DETOURS])
        except _Hindered:
            universe.dropped.add(left_out)
    return _graph(universe, solution, variants, answer)


class _Hindered(Exception):
    """There is no graph as things stand.

    Attributes:
        proof: the engine's, or None.
        cycle: what needs each other in a circle, or nothing.
    """

    def __init__(self, proof: NoSolution | None, cycle: Sequence[tuple[int, int]] = ()) -> None:
        super().__init__()
        self.proof = proof
        self.cycle = cycle


def _without_hindrances(
    universe: Universe, solution: Component, variants: Mapping[str, str], roots: Sequence[Dependency]
) -> Solution:
    """Solve, leaving out optional dependencies as long as some stand in the way."""
    while True:
        try:
            return _acyclic(universe, solution, roots, [MAX_DETOURS])
        except _Hindered as hindered:
            proof = hindered.proof
            optional = _optional_causes(universe, proof) if proof else _optional_in_cycle(universe, hindered.cycle)
            if not optional:
                raise (
                    explain(universe, solution, variants, proof, roots)
                    if proof
                    else _cycle_error(universe, hindered.cycle)
                ) from None
            universe.dropped.add(optional)


def _acyclic(universe: Universe, solution: Component, roots: Sequence[Dependency], detours: list[int]) -> Solution:
    """Solve without circles: where a choice closes one, each of its members is ruled out in turn.

    Raises:
        _Hindered: with the proof, or with the first circle where every way around it is barred too.
    """
    answer = solve(universe, roots, max_steps=MAX_STEPS)
    if not isinstance(answer, Solution):
        raise _Hindered(answer)
    cycle = _cycle(universe, answer, universe.variable(solution.reference.unversioned))
    if not cycle:
        return answer
    for number, position in cycle:
        if detours[0] <= 0:
            break
        detours[0] -= 1
        try:
            return _acyclic(
                universe, solution, [*roots, Dependency(number, ~(1 << position), False, "circle")], detours
            )
        except _Hindered:
            continue
    raise _Hindered(None, cycle)


def _optional_in_cycle(universe: Universe, cycle: Sequence[tuple[int, int]]) -> tuple[str, str] | None:
    for index, (number, position) in enumerate(cycle):
        candidate = universe.candidates[number][position]
        following = cycle[(index + 1) % len(cycle)][0]
        for _, dependency in universe.roles(candidate, universe.keys[number][1]):
            asked = dependency.reason
            if (
                dependency.required
                and dependency.variable == following
                and isinstance(asked, Asked)
                and universe.is_optional(candidate, asked)
            ):
                return (asked.by, asked.role)
    return None


def _cycle_error(universe: Universe, cycle: Sequence[tuple[int, int]]) -> ResolutionError:
    ids = [
        _node_id(*universe.keys[number], universe.candidates[number][position])
        for number, position in [*cycle, cycle[0]]
    ]
    return ResolutionError(
        "These components need each other in a circle and could never be installed: " + " → ".join(ids) + ".",
        hint="One of them must do without the other; their cr.json says who needs whom (`deps`).",
        context={"cycle": ids},
    )


def _optional_causes(universe: Universe, answer: NoSolution) -> tuple[str, str] | None:
    for cause in external_causes(answer.derivation):
        asked = cause.dependency.reason
        if cause.variable is None or not isinstance(asked, Asked):
            continue
        for position, candidate in enumerate(universe.candidates[cause.variable]):
            if cause.dependers >> position & 1 and universe.is_optional(candidate, asked):
                return (asked.by, asked.role)
    return None


def _graph(universe: Universe, solution: Component, variants: Mapping[str, str], answer: Solution) -> Graph:
    ids: dict[int, str] = {}
    for number, position in answer.selected.items():
        needs, scope = universe.keys[number]
        ids[number] = _node_id(needs, scope, universe.candidates[number][position])
    deps: dict[int, dict[str, str]] = {}
    asked: dict[str, list[Asked]] = {}
    for number, position in answer.selected.items():
        _, scope = universe.keys[number]
        deps[number] = {}
        for role, dependency in universe.roles(universe.candidates[number][position], scope):
            if dependency.required:
                deps[number][role] = ids[dependency.variable]
                if isinstance(dependency.reason, Asked):
                    asked.setdefault(ids[dependency.variable], []).append(dependency.reason)
    root = universe.variable(solution.reference.unversioned)
    nodes = []
    for number in _walk(_edges(universe, answer), root)[0]:
        needs, scope = universe.keys[number]
        nodes.append(
            Node(ids[number], needs, scope, universe.candidates[number][answer.selected[number]], deps[number])
        )
    return Graph(
        dict(variants),
        universe.target.triple,
        ids[root],
        tuple(nodes),
        {key: tuple(value) for key, value in asked.items()},
    )


def _edges(universe: Universe, answer: Solution) -> dict[int, list[int]]:
    return {
        number: [
            d.variable
            for _, d in universe.roles(universe.candidates[number][position], universe.keys[number][1])
            if d.required
        ]
        for number, position in answer.selected.items()
    }


def _cycle(universe: Universe, answer: Solution, root: int) -> list[tuple[int, int]]:
    """Return a circle of (variable, candidate) in an answer, or nothing."""
    return [(number, answer.selected[number]) for number in _walk(_edges(universe, answer), root)[1]]


def _walk(edges: Mapping[int, list[int]], root: int) -> tuple[list[int], list[int]]:
    """Return the variables, dependencies first, and the first circle met (empty when there is none)."""
    done: list[int] = []
    state: dict[int, int] = {}
    path: list[int] = []
    stack: list[tuple[int, int]] = [(root, 0)]
    while stack:
        number, position = stack.pop()
        if position == 0:
            state[number] = 1
            path.append(number)
        following = edges[number]
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
