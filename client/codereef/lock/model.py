# SPDX-License-Identifier: Apache-2.0
"""The lock as data, to and from its file. `schemas/lock.json` is the law; docs/formats/lock.md explains it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from codereef.canonical import digest_of, pretty_json
from codereef.disk import write_atomic
from codereef.errors import LockError

FORMAT = "codereef-lock/1"
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
        version: version of what it provides.
        variants: its variant values.
        source: `component`, `install` or `detected`.
        scope: `run` or `build`.
        deps: node id by role.
        capability: what it provides, or "".
        facts: facts of detected software; no paths.
        binary: digest of the detected file, or "".
        files: files it consists of.
        tree: expected digest of a generated folder, or "".
        install_key: name of its folder in the store, or "".
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
        install_key: name of its folder in the store, without the interpreter's place.
    """

    python: str
    python_version: str
    target: str
    requirements: tuple[str, ...]
    reused: tuple[str, ...] = ()
    distributions: tuple[LockedDistribution, ...] = ()
    install_key: str = ""


@dataclass(frozen=True)
class LockedConfiguration:
    """One solved choice of variants for one target."""

    id: str
    target: str
    variants: Mapping[str, str]
    root: str
    nodes: tuple[str, ...]
    environment: str = ""


@dataclass(frozen=True)
class Lock:
    """A whole lock."""

    client: str
    policy: str
    solution: str
    solution_digest: str
    request: Mapping[str, Any]
    configurations: tuple[LockedConfiguration, ...]
    nodes: Mapping[str, LockedNode]
    environments: Mapping[str, LockedEnvironment]

    @property
    def digest(self) -> str:
        """`sha256:` of the lock's canonical JSON."""
        return digest_of(to_document(self))

    def restricted(self, configuration: LockedConfiguration) -> Lock:
        """Return the lock of one of its configurations alone, as a result carries it."""
        environments = {k: v for k, v in self.environments.items() if k == configuration.environment}
        return replace(
            self,
            configurations=(configuration,),
            nodes={key: self.nodes[key] for key in configuration.nodes},
            environments=environments,
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


def _without_empty(document: dict[str, Any]) -> dict[str, Any]:
    return {
        key: value
        for key, value in document.items()
        if value not in ("", (), [], {}) or key in ("variants", "deps", "distributions", "requirements")
    }


def to_document(lock: Lock) -> dict[str, Any]:
    """Return the lock as JSON data."""
    return {
        "format": FORMAT,
        "resolver": {"codereef": lock.client, "policy": lock.policy},
        "solution": {"component": lock.solution, "digest": lock.solution_digest},
        "request": dict(lock.request),
        "configurations": [
            _without_empty(
                {
                    "id": c.id,
                    "target": c.target,
                    "variants": dict(c.variants),
                    "root": c.root,
                    "nodes": list(c.nodes),
                    "environment": c.environment,
                }
            )
            for c in lock.configurations
        ],
        "nodes": {
            key: _without_empty(
                {
                    "component": n.component,
                    "digest": n.digest,
                    "version": n.version,
                    "variants": dict(n.variants),
                    "source": n.source,
                    "for": n.scope,
                    "deps": dict(n.deps),
                    "capability": n.capability,
                    "facts": dict(n.facts),
                    "binary": n.binary,
                    "files": [{"name": f.name, "sha256": f.sha256, "size": f.size} for f in n.files],
                    "tree": n.tree,
                    "install_key": n.install_key,
                }
            )
            for key, n in lock.nodes.items()
        },
        "environments": {
            key: _without_empty(
                {
                    "python": e.python,
                    "python_version": e.python_version,
                    "target": e.target,
                    "requirements": list(e.requirements),
                    "reused": list(e.reused),
                    "distributions": [
                        {"name": d.name, "version": d.version, "sha256": list(d.sha256)} for d in e.distributions
                    ],
                    "install_key": e.install_key,
                }
            )
            for key, e in lock.environments.items()
        },
    }


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
            files=tuple(LockedFile(**f) for f in n.get("files", ())),
            tree=n.get("tree", ""),
            install_key=n.get("install_key", ""),
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
            install_key=e["install_key"],
        )
        for key, e in document["environments"].items()
    }
    configurations = tuple(
        LockedConfiguration(c["id"], c["target"], c["variants"], c["root"], tuple(c["nodes"]), c.get("environment", ""))
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
    )


def write_lock(lock: Lock, path: Path) -> None:
    """Write a lock, atomically and only when its content changes.

    Raises:
        StorageError: it cannot be written.
    """
    text = pretty_json(to_document(lock))
    try:
        if path.read_text(encoding="utf-8") == text:
            return
    except (OSError, UnicodeDecodeError):
        pass
    write_atomic(path, text, what="the lock")


def read_lock(path: Path, *, verify: bool = True) -> Lock:
    """Read a lock.

    Args:
        path: its file.
        verify: check it against the schema; a lock this client wrote a moment ago needs no check.

    Raises:
        LockError: there is none, or it is of a newer format.
        MetadataError: it does not follow the schema.
    """
    from codereef.meta.schemas import check, parse_json

    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise LockError(
            f"There is no lock at {path}.", hint="`cr init SOLUTION` writes it.", context={"path": str(path)}
        ) from None
    except OSError as error:
        raise LockError(f"The lock at {path} cannot be read: {error.strerror}.", context={"path": str(path)}) from None
    document = parse_json(data, path)
    found = document.get("format") if isinstance(document, dict) else None
    if found is None:
        raise LockError(
            f"{path} is not a lock: it names no format.",
            hint="Delete it and run `cr init` again.",
            context={"path": str(path)},
        )
    if found != FORMAT:
        raise LockError(
            f"The lock at {path} has the format {found!r}; this client reads {FORMAT}.",
            hint="A newer client wrote it: upgrade it, or delete the lock and run `cr init` again.",
            context={"path": str(path), "format": found},
        )
    if verify:
        check(document, "lock", path)
    try:
        lock = from_document(document)
    except (KeyError, TypeError, AttributeError) as error:
        raise LockError(
            f"The lock at {path} is damaged: {error!r}.",
            hint="Delete it and run `cr init` again.",
            context={"path": str(path)},
        ) from None
    for who, names, known in _named(lock):
        missing = [name for name in names if name not in known]
        if missing:
            raise LockError(
                f"The lock at {path} is damaged: {who} names {', '.join(missing)}, which it does not hold.",
                hint="Delete it and run `cr init` again.",
                context={"path": str(path), "missing": missing},
            )
    for problem in _contradictions(lock):
        raise LockError(
            f"The lock at {path} is damaged: {problem}.",
            hint="Delete it and run `cr init` again.",
            context={"path": str(path)},
        )
    return lock


def _contradictions(lock: Lock) -> Iterator[str]:
    """Yield what cannot be true in a lock that nobody has edited or merged by hand."""
    seen: set[tuple[str, str]] = set()
    for configuration in lock.configurations:
        key = (configuration.id, configuration.target)
        if key in seen:
            yield f"the configuration {configuration.id} for {configuration.target} stands twice"
        seen.add(key)
    for name, environment in lock.environments.items():
        if environment.install_key != environment_key(environment):
            yield f"the environment {name} is not the one its install_key names"


def _named(lock: Lock) -> Iterator[tuple[str, tuple[str, ...], Collection[str]]]:
    """Yield what the parts of a lock name, and where the names must be found."""
    for configuration in lock.configurations:
        yield configuration.id, (*configuration.nodes, configuration.root), lock.nodes
        if configuration.environment:
            yield configuration.id, (configuration.environment,), lock.environments
        for key in configuration.nodes:
            if key in lock.nodes:
                yield key, tuple(lock.nodes[key].deps.values()), configuration.nodes
    for name, environment in lock.environments.items():
        yield name, (environment.python, *environment.reused), lock.nodes
