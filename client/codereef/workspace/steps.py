# SPDX-License-Identifier: Apache-2.0
"""The lines of a plan: what is reused, fetched, built and brought, from where, and how large."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from codereef.detect import Detected
from codereef.errors import NeedsYouError
from codereef.install.download import RemoteFile
from codereef.install.execute import component_of, local_environment_key, missing_files, sound, sound_environment
from codereef.lock.keys import BUILDS, install_method
from codereef.lock.types import Lock, LockedNode
from codereef.workspace.session import Session


@dataclass(frozen=True)
class Step:
    """One line of a plan.

    Attributes:
        action: `reuse` (detected), `use` (a component as it is), `have` (installed), `copy` (from the
            component), `download`, `generate`, `build`, `system` (the system's package manager), `environment`, or `bring` (data that the user has to bring).
        what: version and name for people.
        size: bytes to fetch, or None where nobody knows.
        origin: where from: a path on this machine, a repository, a host.
        configurations: the configurations that need it.
    """

    action: str
    what: str
    size: int | None
    origin: str
    configurations: tuple[str, ...]


def steps_of(
    session: Session, lock: Lock, bindings: Mapping[str, Detected], missing: Mapping[str, NeedsYouError]
) -> tuple[Step, ...]:
    steps: list[Step] = []
    fetched = {f.sha256: f for f in missing_files(lock, session.usable, session.store, lock.nodes)}
    for key, node in lock.nodes.items():
        users = tuple(c.id for c in lock.configurations if key in c.nodes)
        if node.source == "detected":
            what = f"{node.capability} {node.version}" if node.capability else key
            steps.append(Step("reuse", what, 0, bindings[key].path, users))
        elif key in missing:
            steps.append(Step("bring", key, 0, "you", users))
        elif node.source == "component":
            steps.append(Step("use", key, 0, component_of(node, session.usable).repository, users))
        elif node.install_key:
            have = sound(session.store, node.install_key) is not None
            size = sum(f.size for f in node.files if f.sha256 in fetched)
            steps.append(
                Step(
                    "have" if have else _verb(install_method(component_of(node, session.usable)), size),
                    key,
                    0 if have else size,
                    _origin(session, node, fetched),
                    users,
                )
            )
        elif install_method(component_of(node, session.usable)) == "system":
            steps.append(Step("system", key, 0, "the system's package manager", users))
    for name, environment in lock.environments.items():
        users = tuple(c.id for c in lock.configurations if c.environment == name)
        local = local_environment_key(environment, bindings[environment.python].path)
        have = bool(environment.install_key) and sound_environment(session.store, local, environment) is not None
        what = f"Python {environment.python_version} with {', '.join(environment.requirements) or 'nothing else'}"
        steps.append(
            Step(
                "have" if have else "environment",
                what,
                0 if have else None,
                ("a pack" if session.settings.no_index else "the Python package index")
                if environment.requirements
                else "",
                users,
            )
        )
    return tuple(steps)


def _verb(method: str, size: int) -> str:
    """Return what has to be done for a node that is not installed yet."""
    if method in BUILDS:
        return "build"
    return "generate" if method == "generate" else "download" if size else "copy"


def _origin(session: Session, node: LockedNode, fetched: Mapping[str, RemoteFile]) -> str:
    """Return where the files of a node come from: hosts, a mirror, the store or the component itself."""
    places: list[str] = []
    for entry in component_of(node, session.usable).meta.get("files", ()):
        if entry["sha256"] not in {f.sha256 for f in node.files}:
            continue
        remote = fetched.get(entry["sha256"])
        if remote is None:
            places.append("its component" if "path" in entry else "the store")
        else:
            places.append(urlsplit(remote.urls[0]).hostname or "a file" if remote.urls else "a mirror")
    return ", ".join(dict.fromkeys(places)) or "its component"
