# SPDX-License-Identifier: Apache-2.0
"""The lock as JSON data and back. `schemas/lock.json` is the law; docs/formats/lock.md explains it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from codereef.lock.types import (
    FORMAT,
    Lock,
    LockedConfiguration,
    LockedDistribution,
    LockedEnvironment,
    LockedFile,
    LockedNode,
)

#: What is written although it is empty.
_ALWAYS = ("variants", "deps", "distributions", "requirements")


def _without_empty(document: dict[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in document.items() if value not in ("", (), [], {}) or key in _ALWAYS}
    return {**kept, **extra}


def _extra(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys that others may add: they begin with `x-`, mean nothing here and are kept."""
    return {key: value for key, value in document.items() if key.startswith("x-")}


def to_document(lock: Lock) -> dict[str, Any]:
    """Return the lock as JSON data."""
    document = {
        "format": lock.format,
        "resolver": {"codereef": lock.client, "policy": lock.policy},
        "solution": {"component": lock.solution, "digest": lock.solution_digest},
        "request": dict(lock.request),
        "configurations": [_configuration(c) for c in lock.configurations],
        "nodes": {key: node_document(node) for key, node in lock.nodes.items()},
        "environments": {key: _environment(environment) for key, environment in lock.environments.items()},
    }
    if lock.without:
        document["without"] = {target: dict(reasons) for target, reasons in lock.without.items()}
    return {**document, **lock.extra}


def _configuration(configuration: LockedConfiguration) -> dict[str, Any]:
    return _without_empty(
        {
            "id": configuration.id,
            "target": configuration.target,
            "variants": dict(configuration.variants),
            "root": configuration.root,
            "nodes": list(configuration.nodes),
            "environment": configuration.environment,
            "toolchain": dict(configuration.toolchain),
        },
        configuration.extra,
    )


def node_document(node: LockedNode) -> dict[str, Any]:
    """Return one node as JSON data."""
    return _without_empty(
        {
            "component": node.component,
            "digest": node.digest,
            "variants": dict(node.variants),
            "source": node.source,
            "for": node.scope,
            "deps": dict(node.deps),
            "capability": node.capability,
            "facts": dict(node.facts),
            "binary": node.binary,
            "files": [{"name": f.name, "sha256": f.sha256, "size": f.size} for f in node.files],
            "tree": node.tree,
            "install_key": node.install_key,
        },
        {"version": node.version, **node.extra},
    )


def _environment(environment: LockedEnvironment) -> dict[str, Any]:
    return _without_empty(
        {
            "python": environment.python,
            "target": environment.target,
            "requirements": list(environment.requirements),
            "reused": list(environment.reused),
            "distributions": [
                {"name": d.name, "version": d.version, "sha256": list(d.sha256)} for d in environment.distributions
            ],
            "install_key": environment.install_key,
        },
        {"python_version": environment.python_version, **environment.extra},
    )


def from_document(document: Mapping[str, Any]) -> Lock:
    """Return the lock that validated JSON data holds."""
    nodes = {
        key: LockedNode(
            component=n["component"],
            digest=n["digest"],
            version=n["version"],
            variants=n["variants"],
            source=n["source"],
            scope=n["for"],
            deps=n["deps"],
            capability=n.get("capability", ""),
            facts=n.get("facts", {}),
            binary=n.get("binary", ""),
            files=tuple(LockedFile(f["name"], f["sha256"], f["size"]) for f in n.get("files", ())),
            tree=n.get("tree", ""),
            install_key=n.get("install_key", ""),
            extra=_extra(n),
        )
        for key, n in document["nodes"].items()
    }
    environments = {
        key: LockedEnvironment(
            python=e["python"],
            python_version=e["python_version"],
            target=e.get("target", ""),
            requirements=tuple(e["requirements"]),
            reused=tuple(e.get("reused", ())),
            distributions=tuple(
                LockedDistribution(d["name"], d["version"], tuple(d["sha256"])) for d in e["distributions"]
            ),
            install_key=e.get("install_key", ""),
            extra=_extra(e),
        )
        for key, e in document["environments"].items()
    }
    configurations = tuple(
        LockedConfiguration(
            c["id"],
            c["target"],
            c["variants"],
            c["root"],
            tuple(c["nodes"]),
            c.get("environment", ""),
            c.get("toolchain", {}),
            _extra(c),
        )
        for c in document["configurations"]
    )
    return Lock(
        document["resolver"]["codereef"],
        document["resolver"].get("policy", ""),
        document["solution"]["component"],
        document["solution"]["digest"],
        document.get("request", {}),
        configurations,
        nodes,
        environments,
        document.get("without", {}),
        _extra(document),
        document.get("format", FORMAT),
    )
