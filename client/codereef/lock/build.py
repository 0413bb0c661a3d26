# SPDX-License-Identifier: Apache-2.0
"""From solved graphs to a lock.

`codereef.lock.keys` names the folders of the nodes, `codereef.lock.names` the nodes. A Python environment is
named by its interpreter's version, its requirements and its target.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from codereef import __version__
from codereef.canonical import digest_of
from codereef.lock.keys import BUILDS, Keyed, install_method, keyed, node_facts
from codereef.lock.names import Draft, named
from codereef.lock.types import Lock, LockedConfiguration, LockedEnvironment, LockedNode
from codereef.meta.component import Component
from codereef.meta.reference import is_capability, parse_reference
from codereef.meta.selection import configuration_id
from codereef.meta.versions import satisfies
from codereef.solve.candidates import POLICY, Request
from codereef.solve.resolve import Graph, Node
from codereef.solve.universe import PYTHON

__all__ = ["Kept", "build_lock", "install_method", "node_facts"]

_TOOLCHAIN = ("compiler.", "tool.")


@dataclass(frozen=True)
class Kept:
    """What a new lock takes over from the one before, besides ids and distributions.

    Attributes:
        configurations: those that are not solved again.
        without: reason by configuration by target, where there is no graph.
        order: (target, configuration) in the order they are to stand; others come last.
        moving: Python distributions that may move; None means all of them.
    """

    configurations: Sequence[LockedConfiguration] = ()
    without: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    order: Sequence[tuple[str, str]] = ()
    moving: Collection[str] | None = ()


def _locked_node(node: Node, target: str, deps: Mapping[str, LockedNode]) -> LockedNode:
    candidate = node.candidate
    component = candidate.component
    made = Keyed()
    if candidate.source == "install":
        made = keyed(component, candidate.version, candidate.variants, target, deps)
    found = candidate.detected if candidate.source == "detected" else None
    return LockedNode(
        component=str(component.reference),
        digest=component.digest,
        version=candidate.version,
        variants=dict(candidate.variants),
        source=candidate.source,
        scope=node.scope,
        deps=dict(node.deps),
        capability=node.needs if is_capability(node.needs) else "",
        # `tool` tells which environment runs cr, not what the software is.
        facts={key: value for key, value in found.facts.items() if key != "tool"} if found else {},
        binary=found.digest if found else "",
        files=made.files,
        tree=made.tree,
        install_key=made.key,
    )


def _remembered(graph: Graph, node: Node, locked: LockedNode, old: Lock | None) -> LockedNode:
    """Return what another machine was seen to have when the lock was made there, instead of what is expected of it."""
    if locked.source != "expected" or old is None:
        return locked
    asked = [entry.constraint for entry in graph.asked.get(node.id, ())]
    for seen in old.for_target(graph.target).nodes.values():
        same = (seen.source, seen.capability, seen.scope) == ("detected", locked.capability, locked.scope)
        fits = locked.version in ("", seen.version) and all(satisfies(seen.version, c) for c in asked)
        if same and fits and _detector(seen) == _detector(locked):
            return replace(locked, version=seen.version, source="detected", facts=seen.facts, binary=seen.binary)
    return locked


def _detector(node: LockedNode) -> str:
    return parse_reference(node.component).unversioned


def _draft(graph: Graph, host: str, old: Lock | None) -> Draft:
    nodes: dict[str, LockedNode] = {}
    foreign: set[str] = set()
    for node in graph.nodes:
        locked = _locked_node(node, graph.target, {role: nodes[key] for role, key in node.deps.items()})
        nodes[node.id] = _remembered(graph, node, locked, old)
        built = nodes[node.id].source == "install" and install_method(node.candidate.component) in BUILDS
        # On one machine nothing is "for the machine that builds": such a dependency tells of another target.
        crossing = any(nodes[key].scope == "build" for key in node.deps.values())
        elsewhere = bool(host) and graph.target != host and node.scope == "run" and (built or crossing)
        if elsewhere or nodes[node.id].source == "expected" or any(key in foreign for key in node.deps.values()):
            foreign.add(node.id)
    return Draft(graph.target, nodes, foreign)


def _environment(graph: Graph) -> LockedEnvironment | None:
    # The environment is that of the machine that runs; the one that builds may have an interpreter too.
    python = next((n for n in graph.nodes if n.needs == PYTHON and n.scope == "run"), None)
    if python is None:
        return None
    requirements: set[str] = set()
    reused: list[str] = []
    for node in graph.nodes:
        candidate = node.candidate
        if node.scope != python.scope:
            continue
        if candidate.source == "install" and install_method(candidate.component) == "pip":
            requirements.update(
                r.replace("{version}", candidate.version) for r in candidate.component.meta["install"]["requirements"]
            )
        elif _is_distribution(node):
            reused.append(node.id)
    return LockedEnvironment(
        python.id, python.candidate.version, graph.target, tuple(sorted(requirements)), tuple(sorted(reused))
    )


def _is_distribution(node: Node) -> bool:
    """Tell whether a node is a Python distribution found, or expected, in the interpreter of the graph."""
    candidate = node.candidate
    if candidate.source == "expected":
        return "python_distribution" in candidate.component.meta.get("find", {})
    return candidate.detected is not None and "python" in candidate.detected.paths and node.needs != PYTHON


def _toolchain(nodes: Mapping[str, LockedNode], keys: Sequence[str], graph: Graph) -> dict[str, str]:
    """Return the compilers and tools that the builds of a graph are made with, by capability."""
    found: dict[str, str] = {}
    for key, node in zip(keys, graph.nodes):
        if nodes[key].source != "install" or install_method(node.candidate.component) not in BUILDS:
            continue
        for dep in sorted(nodes[key].deps.values()):
            capability = nodes[dep].capability
            if capability.startswith(_TOOLCHAIN) and found.setdefault(capability, dep) != dep:
                found[f"{capability}@{nodes[dep].version}"] = dep
    return found


def build_lock(
    solution: Component,
    graphs: Sequence[Graph],
    request: Request,
    old: Lock | None = None,
    *,
    host: str = "",
    kept: Kept | None = None,
) -> Lock:
    """Return the lock of several solved configurations, for one target or several.

    Environments whose requirements and interpreter are those of `old` keep its exact distributions; the
    others have none yet. What `old` has keeps its ids and the keys of others (`x-…`).

    Args:
        solution: the component.
        graphs: solved configurations.
        request: what the user asked for.
        old: the lock there was before.
        host: triple of the machine that solved.
        kept: what of `old` is not solved again.
    """
    kept = kept or Kept()
    held = {key for c in kept.configurations for key in c.nodes}
    drafts = [_draft(graph, host, old) for graph in graphs]
    nodes, renames = named(drafts, old.nodes if old else {}, held)
    environments = {
        c.environment: old.environments[c.environment] for c in kept.configurations if old and c.environment
    }
    before = {(c.id, c.target): c for c in old.configurations} if old else {}
    configurations: list[LockedConfiguration] = list(kept.configurations)
    for graph, renamed in zip(graphs, renames):
        keys = tuple(renamed[n.id] for n in graph.nodes)
        environment = _environment(graph)
        name = ""
        if environment is not None:
            environment = replace(
                environment,
                python=renamed[environment.python],
                python_version=nodes[renamed[environment.python]].version,
                reused=tuple(renamed[r] for r in environment.reused),
            )
            name = environment_id(environment)
            environments[name] = _known(name, environment, old, kept.moving)
        identifier = configuration_id(graph.variants)
        known = before.get((identifier, graph.target))
        configurations.append(
            LockedConfiguration(
                identifier,
                graph.target,
                dict(graph.variants),
                renamed[graph.root],
                keys,
                name,
                _toolchain(nodes, keys, graph),
                known.extra if known else {},
            )
        )
    places = {pair: place for place, pair in enumerate(kept.order)}
    configurations.sort(key=lambda c: places.get((c.target, c.id), len(places)))
    return Lock(
        __version__,
        POLICY,
        str(solution.reference),
        solution.digest,
        request.as_document(),
        tuple(configurations),
        nodes,
        environments,
        {target: dict(reasons) for target, reasons in kept.without.items() if reasons},
        old.extra if old else {},
    )


def environment_id(environment: LockedEnvironment) -> str:
    """Return the name of an environment in its lock."""
    content = [environment.requirements, environment.reused, environment.target]
    return f"python-{environment.python_version or 'any'}-{digest_of(content)[7:15]}"


def _known(
    name: str, environment: LockedEnvironment, old: Lock | None, moving: Collection[str] | None
) -> LockedEnvironment:
    for other_name, other in old.environments.items() if old else ():
        if other_name == name:
            environment = replace(environment, extra=other.extra)
        same = (other.python_version, other.target, other.requirements, other.reused) == (
            environment.python_version,
            environment.target,
            environment.requirements,
            environment.reused,
        )
        stays = moving is not None and all(d.name not in moving for d in other.distributions)
        if same and other.install_key and stays:
            return replace(
                environment, distributions=other.distributions, install_key=other.install_key, extra=other.extra
            )
    return environment
