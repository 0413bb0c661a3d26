# SPDX-License-Identifier: Apache-2.0
"""`cr export` of a solution's lock: what the formats need beside the lock itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from codereef.errors import CrError
from codereef.export.conda import environment_yml
from codereef.export.dockerfile import dockerfile
from codereef.export.parts import Part, part_of
from codereef.export.requirements import requirements
from codereef.export.sbom import sbom
from codereef.install.execute import component_of, local_environment_key
from codereef.lock.bind import FOUND, bind_detected
from codereef.lock.model import FILE_NAME, Lock, LockedNode, read_lock
from codereef.meta.component import Component
from codereef.meta.selection import configuration_id
from codereef.repo.sources import EMBEDDED
from codereef.solve.universe import PYTHON
from codereef.workspace.session import Session, workspace_folder
from codereef.workspace.wish import Wish, find_solution, wanted_configurations

FORMATS = ("sbom", "requirements", "conda", "dockerfile")


def export(
    session: Session,
    name: str,
    directory: Path,
    format_: str,
    *,
    target: str = "",
    variants: Mapping[str, Sequence[str]] | None = None,
) -> str:
    """Return a solution's lock in the format of another tool.

    Args:
        session: the client.
        name: the solution.
        directory: folder that holds the solution's folder.
        format_: one of `FORMATS`.
        target: triple; this machine's where the lock has it, else the lock's only one, by default.
        variants: only the configurations with these values.

    Raises:
        LockError: there is no lock, or it lacks what the format needs.
        UsageError: the format cannot hold what the lock has.
    """
    solution = find_solution(session, name)
    lock = read_lock(workspace_folder(directory, solution.name) / FILE_NAME)
    chosen: list[str] = []
    if variants:
        chosen = [configuration_id(v) for v in wanted_configurations(solution, Wish(name, variants), lock)]
    part = part_of(lock, target or _usual(lock, session.host), chosen)
    if format_ == "requirements":
        return requirements(part)
    if format_ == "conda":
        return environment_yml(part)
    if format_ == "dockerfile":
        return dockerfile(part, _foreign(session, part.lock))
    return sbom(part, lambda node: _found(session, node), _licences(session, part))


def _usual(lock: Lock, host: str) -> str:
    return host if host in lock.targets or len(lock.targets) != 1 else lock.targets[0]


def _found(session: Session, node: LockedNode) -> Component | None:
    try:
        return component_of(node, session.usable)
    except CrError:
        return None


def _foreign(session: Session, lock: Lock) -> set[str]:
    """Return the repositories besides the embedded one that components of a lock come from."""
    nodes = [node for node in lock.nodes.values() if node.source not in FOUND]
    return {component_of(node, session.usable).repository for node in nodes} - {EMBEDDED}


def _licences(session: Session, part: Part) -> dict[str, str]:
    """Return the licence by `name==version` of the distributions that are installed in the store here."""
    found: dict[str, str] = {}
    bindings, _ = bind_detected(part.lock, session.detected({PYTHON}))
    for environment in part.lock.environments.values():
        if environment.install_key and environment.python in bindings:
            prefix = session.store.prefix(local_environment_key(environment, bindings[environment.python].path))
            if prefix is not None:
                found.update(_licences_in(prefix.path))
    return found


def _licences_in(environment: Path) -> dict[str, str]:
    """Return what the distributions of an environment say of their licence; none of their code is run."""
    from importlib.metadata import distributions

    from packaging.utils import canonicalize_name

    found: dict[str, str] = {}
    for site in environment.glob("lib/python3*/site-packages"):
        for distribution in distributions(path=[str(site)]):
            meta = distribution.metadata
            said = [*(meta.get_all("License-Expression") or ()), *(meta.get_all("License") or ())]
            licence = said[0] if said else ""
            # Some put the whole text there.
            if licence and len(licence) <= 60 and "\n" not in licence and "Name" in meta:
                found[f"{canonicalize_name(meta['Name'])}=={distribution.version}"] = licence
    return found
