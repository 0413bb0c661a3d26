# SPDX-License-Identifier: Apache-2.0
"""From solved graphs to a lock.

A folder in the store is named by what determines its content. For data that is checked by digest (files,
generated folders) that is the component and its choice of files: the software that fetched or generated it
does not count, so several configurations and environments share it. For a Python environment it is the
interpreter and the exact distributions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from codereef import __version__
from codereef.canonical import digest_of
from codereef.errors import MetadataError
from codereef.lock.model import Lock, LockedConfiguration, LockedEnvironment, LockedFile, LockedNode
from codereef.meta.component import Component
from codereef.meta.selection import configuration_id, select
from codereef.solve.candidates import POLICY, Request, TargetFacts
from codereef.solve.resolve import Graph, Node
from codereef.solve.universe import PYTHON


def node_facts(version: str, variants: Mapping[str, str], target: str) -> dict[str, str]:
    """Return the facts that `when` conditions of a node's metadata can ask for."""
    return {**variants, "version": version, **TargetFacts.from_triple(target).facts()}


def install_method(component: Component) -> str:
    """Return how a component is installed: `pip`, `download`, `generate`, or "" for one used as it is."""
    method = component.meta.get("install", {}).get("using", "")
    return str(method) or ("download" if component.kind == "model" else "")


def _locked_node(node: Node, target: str) -> LockedNode:
    candidate = node.candidate
    component = candidate.component
    facts = node_facts(candidate.version, candidate.variants, target)
    method = install_method(component) if candidate.source == "install" else ""
    files: tuple[LockedFile, ...] = ()
    tree = key = ""
    if method in ("download", "generate"):
        files = tuple(
            LockedFile(f["name"], f["sha256"], f["size"]) for f in select(component.meta.get("files", ()), facts)
        )
        if method == "generate":
            matching = select(component.meta["install"]["digests"], facts)
            if not matching:
                raise MetadataError(
                    f"{component.reference} declares no digest for {dict(candidate.variants)}.",
                    hint="Add it to `install.digests` in its cr.json; what is generated must be checked.",
                )
            tree = matching[0]["tree"]
        content: dict[str, Any] = {
            "component": component.digest,
            "version": candidate.version,
            "variants": dict(candidate.variants),
            "files": [f.sha256 for f in files],
            "tree": tree,
        }
        key = f"{component.name}-{candidate.version}-{digest_of(content)[7:23]}"
    found = candidate.detected
    return LockedNode(
        component=str(component.reference),
        digest=component.digest,
        version=candidate.version,
        variants=dict(candidate.variants),
        source=candidate.source,
        scope=node.scope,
        deps=dict(node.deps),
        capability="" if ":" in node.needs else node.needs,
        # `tool` tells which environment runs cr, not what the software is.
        facts={key: value for key, value in found.facts.items() if key != "tool"} if found else {},
        binary=found.digest if found else "",
        files=files,
        tree=tree,
        install_key=key,
    )


def _environment(graph: Graph) -> LockedEnvironment | None:
    # The environment is that of the machine that runs; the one that builds may have an interpreter too.
    python = next((n for n in sorted(graph.nodes, key=lambda n: n.scope != "run") if n.needs == PYTHON), None)
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
        elif candidate.detected is not None and "python" in candidate.detected.paths and node.needs != PYTHON:
            reused.append(node.id)
    return LockedEnvironment(
        python.id, python.candidate.version, graph.target, tuple(sorted(requirements)), tuple(sorted(reused))
    )


def build_lock(solution: Component, graphs: Sequence[Graph], request: Request, old: Lock | None = None) -> Lock:
    """Return the lock of several solved configurations.

    Environments whose requirements and interpreter are those of `old` keep its exact distributions; the
    others have none yet (`with_distributions`).
    """
    nodes: dict[str, LockedNode] = {}
    environments: dict[str, LockedEnvironment] = {}
    configurations: list[LockedConfiguration] = []
    for graph in graphs:
        renamed: dict[str, str] = {}
        for node in graph.nodes:
            locked = _locked_node(node, graph.target)
            locked = replace(locked, deps={role: renamed[key] for role, key in locked.deps.items()})
            identifier, copy = node.id, 2
            # The same choice with other dependencies is another node.
            while identifier in nodes and nodes[identifier] != locked:
                identifier, copy = f"{node.id}#{copy}", copy + 1
            nodes[identifier] = locked
            renamed[node.id] = identifier
        environment = _environment(graph)
        name = ""
        if environment is not None:
            environment = replace(
                environment, python=renamed[environment.python], reused=tuple(renamed[r] for r in environment.reused)
            )
            name = f"python-{environment.python_version}-{digest_of([environment.requirements, environment.reused, environment.target])[7:15]}"
            environments[name] = _known(environment, old)
        configurations.append(
            LockedConfiguration(
                configuration_id(graph.variants),
                graph.target,
                dict(graph.variants),
                renamed[graph.root],
                tuple(renamed[n.id] for n in graph.nodes),
                name,
            )
        )
    return Lock(
        __version__,
        POLICY,
        str(solution.reference),
        solution.digest,
        request.as_document(),
        tuple(configurations),
        nodes,
        environments,
    )


def _known(environment: LockedEnvironment, old: Lock | None) -> LockedEnvironment:
    for other in old.environments.values() if old else ():
        same = (other.python_version, other.target, other.requirements, other.reused) == (
            environment.python_version,
            environment.target,
            environment.requirements,
            environment.reused,
        )
        if same and other.install_key:
            return replace(environment, distributions=other.distributions, install_key=other.install_key)
    return environment
