# SPDX-License-Identifier: Apache-2.0
"""From a solution and one choice of its variants to one graph, or an explanation for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from codereef.meta.component import Component
from codereef.solve.candidates import Asked, Candidate, Scope
from codereef.solve.circles import edges, node_id, walk
from codereef.solve.search import MAX_STEPS, Found, Impossible, best
from codereef.solve.universe import Universe

__all__ = ["MAX_STEPS", "Graph", "Node", "resolve"]


@dataclass(frozen=True)
class Node:
    """A chosen candidate in its place.

    Attributes:
        id: how it is called in the lock: `lib.onnxruntime@1.31.1`, `model:x@1.0.0[format=onnx]`. Two copies of
            the same choice with different dependencies are told apart by `#2`.
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
        optimal: whether it is proven that no graph is better in the documented order.
    """

    variants: Mapping[str, str]
    target: str
    root: str
    nodes: tuple[Node, ...]
    asked: Mapping[str, tuple[Asked, ...]]
    optimal: bool = True


def resolve(universe: Universe, solution: Component, variants: Mapping[str, str]) -> Graph:
    """Find the best graph of a solution, in the order that docs/design/0021 states.

    Args:
        universe: everything there is, for one target.
        solution: what the user named.
        variants: a value for each of its variants.

    Raises:
        ResolutionError: there is no graph; the message explains why, and the hint what would change that.
        StepLimitError: there was neither a graph nor a proof within the bound on the effort.
    """
    found = best(universe, lambda current: current.root(solution, variants))
    if isinstance(found, Impossible):
        from codereef.solve.explain import explain

        raise explain(found, solution, variants)
    return _graph(found, variants)


def _graph(found: Found, variants: Mapping[str, str]) -> Graph:
    universe, selected = found.universe, found.solution.selected
    order, _ = walk(edges(universe, selected), found.roots[0].variable)
    software = [number for number in order if number not in universe.choices]
    ids: dict[int, str] = {}
    for number in software:
        text, copy = node_id(universe, number, selected[number]), 2
        name = text
        while name in ids.values():
            name, copy = f"{text}#{copy}", copy + 1
        ids[number] = name
    asked: dict[str, list[Asked]] = {}
    nodes = []
    for number in software:
        deps: dict[str, str] = {}
        for role, dependency in universe.roles(number, selected[number]):
            if not dependency.required:
                continue
            reason, target = dependency.reason, dependency.variable
            if target in universe.choices:
                inner = universe.choices[target][selected[target]].dependency
                if inner is None:
                    continue
                reason, target = inner.reason, inner.variable
            deps[role] = ids[target]
            if isinstance(reason, Asked):
                asked.setdefault(ids[target], []).append(reason)
        needs, scope = universe.keys[number]
        nodes.append(Node(ids[number], needs, scope, universe.candidates[number][selected[number]], deps))
    return Graph(
        dict(variants),
        universe.target.triple,
        ids[found.roots[0].variable],
        tuple(nodes),
        {key: tuple(value) for key, value in asked.items()},
        found.solution.optimal,
    )
