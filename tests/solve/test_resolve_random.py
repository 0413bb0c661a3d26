# SPDX-License-Identifier: Apache-2.0
"""Random small worlds: the graph is the one that trying everything finds to be the best in the documented order.

The enumeration below is written from docs/design/0021, not from the resolver: it builds every graph there is,
role by role, and compares them by a tuple.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from codereef.detect import Detected
from codereef.errors import ResolutionError
from codereef.meta.component import Component
from codereef.meta.versions import satisfies
from codereef.solve.resolve import Graph
from hypothesis import HealthCheck, event, given, reject, settings
from hypothesis import strategies as st

from tests.solve.worlds import component, dataset, found, program, soft, solution, solved

CAPABILITIES = ["lib.a", "lib.b", "lib.c", "lib.d"]
CONSTRAINTS = ["", "", "==1", "==2", ">=2", "<2"]
MODES = {"mode": {"values": ["x", "y"], "default": "x"}}
Dependencies = dict[str, dict[str, Any]]


# -- worlds ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class World:
    """Components and what the machine has."""

    components: list[Component]
    detected: list[Detected]

    @property
    def solution(self) -> Component:
        return self.components[0]


@st.composite
def worlds(draw: st.DrawFn, *, copies: bool = False) -> World:
    """Return a world; with `copies` one in which nearly everything may be there twice, and often has to."""
    tags = not copies and draw(st.booleans())
    modes = not copies and draw(st.booleans())
    capabilities = CAPABILITIES[:3] if copies else CAPABILITIES
    constraints = ["", "==1", "==2"] if copies else CONSTRAINTS

    def dependencies(least: int, most: int) -> Dependencies:
        result: Dependencies = {}
        for i in range(draw(st.integers(least, most))):
            if tags and draw(st.integers(0, 3)) == 0:
                query: dict[str, Any] = {"kind": "dataset", "tags": [draw(st.sampled_from(["t", "-u", "u"]))]}
                if draw(st.booleans()):
                    query["any"] = True
                result[f"r{i}"] = {"needs": query}
            else:
                entry: dict[str, Any] = {"needs": draw(st.sampled_from(capabilities))}
                if constraint := draw(st.sampled_from(constraints)):
                    entry["version"] = constraint
                if modes and draw(st.integers(0, 4)) == 0:
                    entry["when"] = {"version": ">=2"}
                result[f"r{i}"] = entry
            if draw(st.integers(0, 3)) == 0:
                result[f"r{i}"]["optional"] = True
        return result

    handed = {"mode": {**MODES["mode"], "propagate": True}}
    components = [
        solution(deps=dependencies(2, 4), variants=handed if modes and draw(st.booleans()) else {}),
        program(),
    ]
    # Each capability has a recipe in nearly every world.
    order = draw(st.permutations(capabilities))
    for i in range(draw(st.integers(len(order) - 1, len(order) + 2))):
        provides: dict[str, Any] = {
            "capability": order[i] if i < len(order) else draw(st.sampled_from(capabilities)),
            "versions": draw(st.lists(st.sampled_from(["1", "2", "3"]), min_size=1 + copies, max_size=3, unique=True)),
        }
        if draw(st.integers(0, 5)) == 0:
            provides["preference"] = 1
        if draw(st.integers(0, 2)) == 0 or (copies and draw(st.integers(0, 3))):
            provides["duplicable"] = True
        more: dict[str, Any] = {"deps": dependencies(0, 2)}
        if draw(st.integers(0, 5)) == 0:
            version = draw(st.sampled_from(["==1", ">=2"]))
            more["conflicts"] = [{"with": draw(st.sampled_from(CAPABILITIES)), "version": version}]
        if modes and draw(st.integers(0, 2)) == 0:
            more["variants"] = MODES
            if draw(st.integers(0, 2)) == 0:
                more["excludes"] = [{"when": {"mode": draw(st.sampled_from(["x", "y"]))}}]
        components.append(
            component("package", f"p{i}", provides=provides, install={"using": "download"}, files=[], **more)
        )
    if tags:
        for i in range(draw(st.integers(0, 2))):
            own = draw(st.lists(st.sampled_from(["t", "u"]), unique=True, max_size=2))
            components.append(dataset(f"d{i}", tags=own, deps=dependencies(0, 1)))
    detected = []
    for capability in draw(st.lists(st.sampled_from(CAPABILITIES), unique=True, max_size=2)):
        name = f"soft-{capability[-1]}"
        components.append(soft(name, capability))
        detected.append(found(capability, draw(st.sampled_from(["1", "2"])), name))
    return World(components, detected)


# -- trying everything ----------------------------------------------------------------------------------------

#: How much trying everything may cost; worlds that cost more are passed over.
MOST_EFFORT = 30_000
#: How many versions more than one of each are tried.
MOST_MORE = 2


class TooMuchError(Exception):
    """A world has too many graphs."""


Slot = tuple[str, int]  # what is asked for, and which copy of it
Edge = tuple[Slot, str]  # who asks, and its role


@dataclass(frozen=True)
class Option:
    """Something that can be chosen."""

    label: str
    component: Component
    version: str
    variants: Mapping[str, str]
    rank: int
    there: bool
    installed: bool


def options_of(world: World, needs: str, copies: int) -> list[Option]:
    """What there is for a capability or component, the preferred first."""
    if ":" in needs:
        fitting = [c for c in world.components if c.reference.unversioned == needs]
        variants = dict.fromkeys(fitting[0].variants, "x") if fitting else {}
        return [Option(f"{c.name} {c.version}", c, c.version, variants, 0, False, c.kind == "dataset") for c in fitting]
    rows: list[tuple[tuple[int, int, int], Option]] = []
    for place, item in enumerate(world.detected):
        if item.capability == needs:
            own = next(c for c in world.components if c.kind == "soft" and c.meta["detects"] == needs)
            rows.append(
                ((-2, place, 0), Option(f"{own.name} {item.version} (detected)", own, item.version, {}, 0, True, False))
            )
    for c in sorted(world.components, key=lambda c: c.name):
        if c.kind != "package" or c.meta["provides"]["capability"] != needs:
            continue
        for version in c.meta["provides"]["versions"]:
            for i, mode in enumerate(["x", "y"] if c.variants else [""]):
                if any(entry["when"]["mode"] == mode for entry in c.meta.get("excludes", ())):
                    continue
                label = f"{c.name} {version}" + (f" (mode={mode})" if mode else "")
                key = (-c.meta["provides"].get("preference", 0), -int(version), i)
                rows.append((key, Option(label, c, version, {"mode": mode} if mode else {}, 0, False, True)))
    rows.sort(key=lambda row: row[0])
    if copies > 1:
        rows = [row for row in rows if row[1].component.meta.get("provides", {}).get("duplicable")]
    ranks: dict[tuple[int, int, int], int] = {}
    return [
        Option(o.label, o.component, o.version, o.variants, ranks.setdefault(key, len(ranks)), o.there, o.installed)
        for key, o in rows
    ]


@dataclass(frozen=True)
class Complete:
    """A graph: an option for each slot, and for each edge where it leads; None where it is left out."""

    slots: Mapping[Slot, int]
    edges: Mapping[Edge, Slot | None]


class Everything:
    """Every graph of a world in which some capabilities have several copies."""

    def __init__(self, world: World, copies: Mapping[str, int]) -> None:
        self.world = world
        self.copies = copies
        self.known: dict[str, list[Option]] = {}
        self.root: Slot = ("solution:demo", 0)
        self.effort = 0

    def options(self, needs: str) -> list[Option]:
        if needs not in self.known:
            self.known[needs] = options_of(self.world, needs, self.copies.get(needs, 1))
        return self.known[needs]

    def roles(self, slot: Slot, number: int) -> list[tuple[str, dict[str, Any]]]:
        option = self.options(slot[0])[number]
        if option.there:
            return []
        meta = option.component.meta
        own = [("program", meta["program"])] if "program" in meta else []
        own += list(meta.get("deps", {}).items())
        return [(role, e) for role, e in own if "when" not in e or satisfies(option.version, e["when"]["version"])]

    def targets(self, entry: dict[str, Any]) -> tuple[list[tuple[Slot, list[int]]], bool, bool]:
        """Where an edge can lead, whether it may be left out, and whether that is a choice."""
        needs, optional = entry["needs"], entry.get("optional", False)
        if isinstance(needs, str):
            places = [(needs, copy) for copy in range(self.copies.get(needs, 1))]
            fitting = [i for i, o in enumerate(self.options(needs)) if satisfies(o.version, entry.get("version", ""))]
            return [(place, fitting) for place in places], optional, optional or len(places) > 1
        (tag,) = needs["tags"]
        names = sorted(
            c.reference.unversioned
            for c in self.world.components
            if c.kind == "dataset" and (tag.lstrip("-") in c.meta["tags"]) != tag.startswith("-")
        )
        if len(names) > 1 and not needs.get("any"):
            return [], False, True
        return [((name, 0), [0]) for name in names], optional, True

    def graphs(self) -> Iterator[Complete]:
        def grow(
            slots: dict[Slot, int], edges: dict[Edge, Slot | None], todo: list[tuple[Edge, dict[str, Any]]]
        ) -> Iterator[Complete]:
            self.effort += 1
            if self.effort > MOST_EFFORT:
                raise TooMuchError
            if not todo:
                yield Complete(dict(slots), dict(edges))
                return
            (edge, entry), *rest = todo
            targets, optional, _ = self.targets(entry)
            for slot, fitting in targets:
                if self.leads(edges, slot, edge[0]):
                    continue
                have = slots.get(slot)
                for number in fitting if have is None else [have] if have in fitting else []:
                    more = [] if have is not None else [((slot, role), e) for role, e in self.roles(slot, number)]
                    yield from grow({**slots, slot: number}, {**edges, edge: slot}, [*rest, *more])
            if optional:
                yield from grow(slots, {**edges, edge: None}, rest)

        start = {self.root: 0}
        yield from grow(start, {}, [((self.root, role), e) for role, e in self.roles(self.root, 0)])

    def valid(self, graph: Complete) -> bool:
        for needs, copies in self.copies.items():
            # Copies differ in version, and the preferred one is the first: it is taken where both would do.
            numbers = [n for (other, _), n in sorted(graph.slots.items()) if other == needs]
            versions = {self.options(needs)[n].version for n in numbers}
            if not len(numbers) == len(versions) == copies or numbers != sorted(numbers):
                return False
        handed = bool(self.world.solution.variants)
        for (needs, _), number in graph.slots.items():
            option = self.options(needs)[number]
            if handed and option.variants.get("mode", "x") != "x":
                return False
            for entry in [] if option.there else option.component.meta.get("conflicts", ()):
                for (other, _), chosen in graph.slots.items():
                    if other == entry["with"] and satisfies(self.options(other)[chosen].version, entry["version"]):
                        return False
        return True

    def leads(self, edges: Mapping[Edge, Slot | None], start: Slot, end: Slot) -> bool:
        """Whether `end` is needed by `start`, directly or not."""
        waiting, seen = [start], {start}
        while waiting:
            at = waiting.pop()
            if at == end:
                return True
            below = {to for (who, _), to in edges.items() if who == at and to is not None} - seen
            seen |= below
            waiting += below
        return False

    def cost(self, graph: Complete) -> tuple[Any, ...]:
        """What graphs are compared by, once it is settled which capabilities stand there several times."""
        left = sum(1 for to in graph.edges.values() if to is None)
        fresh = installs = 0
        ranks: list[int] = []
        places: list[int] = []
        waiting: list[Slot | Edge] = [self.root]
        seen: set[Any] = set()
        while waiting:
            at = waiting.pop(0)
            if at in seen:
                continue
            seen.add(at)
            if isinstance(at[0], tuple):
                entry = dict(self.roles(at[0], graph.slots[at[0]]))[str(at[1])]
                targets, _, _ = self.targets(entry)
                to = graph.edges[at]  # type: ignore[index]
                ranks.append(1 if to is None and targets else 0)
                places.append(len(targets) if to is None else [slot for slot, _ in targets].index(to))
                waiting += [to] if to is not None else []
                continue
            slot = (str(at[0]), int(at[1]))
            option = self.options(slot[0])[graph.slots[slot]]
            fresh += not option.there and any(o.there for o in self.options(slot[0]))
            installs += option.installed
            ranks.append(option.rank)
            places.append(graph.slots[slot])
            for role, entry in self.roles(slot, graph.slots[slot]):
                target = graph.edges[slot, role]
                choice = self.targets(entry)[2]
                if choice:
                    waiting.append((slot, role))
                elif target is not None:
                    waiting.append(target)
        return left, fresh, ranks, installs, places

    def tree(self, graph: Complete, slot: Slot) -> tuple[str, tuple[Any, ...]]:
        option = self.options(slot[0])[graph.slots[slot]]
        below = {role: to for (who, role), to in graph.edges.items() if who == slot and to is not None}
        return option.label, tuple((role, self.tree(graph, to)) for role, to in sorted(below.items()))


def best_of_all(world: World) -> tuple[str, tuple[Any, ...]] | None:
    """The best graph as a tree, or None; fewest versions first, those duplicated first by name."""
    versions = {c: len({o.version for o in options_of(world, c, 2)}) for c in CAPABILITIES}
    several = [capability for capability in CAPABILITIES if versions[capability] > 1]
    for size in range(MOST_MORE + 1 if several else 1):
        for extra in itertools.combinations_with_replacement(several, size):
            if any(1 + extra.count(c) > versions[c] for c in extra):
                continue
            all_ = Everything(world, {c: 1 + extra.count(c) for c in extra})
            graphs = [graph for graph in all_.graphs() if all_.valid(graph)]
            if graphs:
                return all_.tree(min(graphs, key=all_.cost), all_.root)
    return None


def tree_of(graph: Graph) -> tuple[str, tuple[Any, ...]]:
    by_id = {node.id: node for node in graph.nodes}

    def tree(name: str) -> tuple[str, tuple[Any, ...]]:
        node = by_id[name]
        label = (
            node.candidate.label if node.candidate.component.kind != "solution" else f"demo {node.candidate.version}"
        )
        return label, tuple((role, tree(to)) for role, to in sorted(node.deps.items()))

    return tree(graph.root)


def check(world: World) -> None:
    try:
        expected = best_of_all(world)
    except TooMuchError:
        reject()
    try:
        graph = solved(world.components, world.detected)
    except ResolutionError as error:
        event("impossible")
        assert expected is None
        assert len(error.message.splitlines()) + len(error.hint.splitlines()) <= 15
        assert error.hint
        return
    copies = len(graph.nodes) - len({node.needs for node in graph.nodes})
    event(f"possible, {copies} more versions, {len(graph.nodes)} nodes")
    if copies > MOST_MORE:
        assert expected is None
        return
    assert graph.optimal
    assert expected == tree_of(graph)


QUIET = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]


@settings(max_examples=15, deadline=None, suppress_health_check=QUIET)
@given(worlds())
def test_the_graph_is_the_best_of_all_graphs(world: World) -> None:
    check(world)


@settings(max_examples=3, deadline=None, suppress_health_check=QUIET)
@given(worlds(copies=True))
def test_the_graph_with_copies_is_the_best_of_all_graphs(world: World) -> None:
    check(world)


@pytest.mark.slow
@settings(max_examples=1200, deadline=None, suppress_health_check=QUIET)
@given(worlds())
def test_the_graph_is_the_best_of_all_graphs_in_many_worlds(world: World) -> None:
    check(world)


@pytest.mark.slow
@settings(max_examples=250, deadline=None, suppress_health_check=QUIET)
@given(worlds(copies=True))
def test_the_graph_with_copies_is_the_best_of_all_graphs_in_many_worlds(world: World) -> None:
    check(world)
