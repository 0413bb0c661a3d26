# SPDX-License-Identifier: Apache-2.0
"""The lock as data. `codereef.lock.document` turns it into JSON and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from codereef.canonical import digest_of

FORMAT = "codereef-lock/2"
#: Formats that are read; the newest is written, and an older one stays as it is until its graph changes.
READABLE = ("codereef-lock/1", FORMAT)
FILE_NAME = "cr.lock"


@dataclass(frozen=True)
class LockedFile:
    """A file of a node, by digest."""

    name: str
    sha256: str
    size: int


@dataclass(frozen=True)
class LockedNode:
    """One node of the graph.

    Attributes:
        component: `kind:name@version` of the component, recipe or detector.
        digest: digest of that component's folder.
        version: version of what it provides; "" where only the target will tell (`expected`).
        variants: its variant values.
        source: `component`, `install`, `detected`, or `expected`: to be found on a target that was not at hand.
        scope: `run` or `build`.
        deps: node id by role.
        capability: what it provides, or "".
        facts: facts of detected software; no paths.
        binary: digest of the detected file, or "".
        files: files it consists of.
        tree: expected digest of a generated folder, or "".
        install_key: name of its folder in the store, or "".
        extra: keys beginning with `x-`, kept as they are.
    """

    component: str
    digest: str
    version: str
    variants: Mapping[str, str]
    source: str
    scope: str
    deps: Mapping[str, str]
    capability: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    binary: str = ""
    files: tuple[LockedFile, ...] = ()
    tree: str = ""
    install_key: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class LockedDistribution:
    """An exact Python distribution with the digests of the files that may be installed."""

    name: str
    version: str
    sha256: tuple[str, ...]


@dataclass(frozen=True)
class LockedEnvironment:
    """A Python environment.

    Attributes:
        python: node id of the interpreter.
        python_version: its version.
        target: triple it is for.
        requirements: what the graph asks for, sorted.
        reused: node ids of detected distributions.
        distributions: exact distributions; empty until they are resolved.
        install_key: name of its folder in the store, without the interpreter's place; "" while it is open.
        extra: keys beginning with `x-`, kept as they are.
    """

    python: str
    python_version: str
    target: str
    requirements: tuple[str, ...]
    reused: tuple[str, ...] = ()
    distributions: tuple[LockedDistribution, ...] = ()
    install_key: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class LockedConfiguration:
    """One solved choice of variants for one target.

    Attributes:
        id: its variant values as text.
        target: triple.
        variants: the solution's variant values.
        root: node id of the solution.
        nodes: node ids, dependencies first.
        environment: id of its Python environment, or "".
        toolchain: node id by capability of what its builds are made with.
        extra: keys beginning with `x-`, kept as they are.
    """

    id: str
    target: str
    variants: Mapping[str, str]
    root: str
    nodes: tuple[str, ...]
    environment: str = ""
    toolchain: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Lock:
    """A whole lock.

    Attributes:
        client: version of the client that resolved.
        policy: its order of preference.
        solution: component reference.
        solution_digest: digest of the solution's folder.
        request: pins, bans and forced installs.
        configurations: one solved graph each.
        nodes: every node by id.
        environments: every Python environment by id.
        without: reason by configuration by target, where there is no graph.
        extra: keys beginning with `x-`, kept as they are.
        format: the format it was read in, or the one that is written now.
    """

    client: str
    policy: str
    solution: str
    solution_digest: str
    request: Mapping[str, Any]
    configurations: tuple[LockedConfiguration, ...]
    nodes: Mapping[str, LockedNode]
    environments: Mapping[str, LockedEnvironment]
    without: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)
    format: str = FORMAT

    @property
    def digest(self) -> str:
        """`sha256:` of the lock's canonical JSON."""
        from codereef.lock.document import to_document

        return digest_of(to_document(self))

    @property
    def targets(self) -> tuple[str, ...]:
        """The targets that have a graph, in order."""
        return tuple(dict.fromkeys(c.target for c in self.configurations))

    def restricted(self, configuration: LockedConfiguration) -> Lock:
        """Return the lock of one of its configurations alone, as a result carries it.

        Keys of others are left out: they are no part of what was measured, and a result may be published.
        """
        alone = self.part([replace(configuration, extra={})])
        return replace(
            alone,
            nodes={key: replace(node, extra={}) for key, node in alone.nodes.items()},
            environments={key: replace(entry, extra={}) for key, entry in alone.environments.items()},
            extra={},
        )

    def for_target(self, target: str) -> Lock:
        """Return the part of the lock that is for one target; it may have no configuration."""
        return self.part([c for c in self.configurations if c.target == target])

    def part(self, configurations: Sequence[LockedConfiguration]) -> Lock:
        """Return the lock of some of its configurations, with the nodes and environments they name."""
        named = {key for c in configurations for key in c.nodes}
        environments = {c.environment for c in configurations}
        return replace(
            self,
            configurations=tuple(configurations),
            nodes={key: node for key, node in self.nodes.items() if key in named},
            environments={k: v for k, v in self.environments.items() if k in environments},
            without={},
        )


def environment_key(environment: LockedEnvironment) -> str:
    """Return the name of an environment's folder in the store."""
    content = {
        "python": environment.python_version,
        "target": environment.target,
        "distributions": [[d.name, d.version, list(d.sha256)] for d in environment.distributions],
        "reused": list(environment.reused),
    }
    return f"python-{environment.python_version}-{digest_of(content)[7:23]}"
