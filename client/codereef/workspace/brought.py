# SPDX-License-Identifier: Apache-2.0
"""Data that users bring, in a lock: found and checked as the machine's own software is, and bound like it.

The resolver chooses such a dataset as one to install. Where its folder is here and is what the component expects,
the node becomes a detected one: the lock keeps what was checked, never the place.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from codereef import config
from codereef.detect import Detected
from codereef.errors import CrError, LockError, NeedsYouError, UsageError
from codereef.install.execute import Installed, component_of
from codereef.install.manual import Brought, examine, place_of
from codereef.lock.keys import install_method, node_facts
from codereef.lock.model import Lock, LockedNode
from codereef.meta.component import Component
from codereef.meta.reference import nearest, parse_reference
from codereef.witness import doubt
from codereef.workspace.session import Session

_KINDS = ("dataset",)


@dataclass(frozen=True)
class Data:
    """What is known of the data that the user of a lock has to bring.

    Attributes:
        lock: the lock, with what was checked.
        bindings: where the data lies, by node id.
        missing: what is not here or not as expected, by node id.
    """

    lock: Lock
    bindings: Mapping[str, Detected]
    missing: Mapping[str, NeedsYouError]


def _may_be_brought(node: LockedNode) -> bool:
    return node.source in ("install", "detected") and parse_reference(node.component).kind in _KINDS


def kept_places(session: Session) -> dict[str, str]:
    """Return the folders that the setting `data` names, by dataset.

    Raises:
        UsageError: an entry is not NAME=FOLDER.
    """
    places = {}
    for entry in config.value(session.home, "data"):
        name, sign, folder = entry.partition("=")
        if not sign or not name or not folder:
            raise UsageError(
                f"The setting `data` has the entry `{entry}`; NAME=FOLDER was expected.",
                hint="For example `cr config set data imagenet-2012-val=/data/imagenet/val`.",
            )
        places[name] = folder
    return places


def _brought(session: Session, component: Component, node: LockedNode) -> Brought:
    doubt()  # What the user brings may lie anywhere, and is read file by file.
    place = place_of(component, session.data, os.environ, kept_places(session))
    return examine(component, node_facts(node.version, node.variants, session.host), place, session.home.cache)


def _found(node: LockedNode, data: Brought) -> Detected:
    return Detected(node.capability, node.version, str(data.folder), node.component, data.digest, data.facts())


def look(session: Session, lock: Lock) -> Data:
    """Look for the data of a lock that was just resolved.

    Returns:
        The lock with nodes whose data is here turned into detected ones; the others stay as they are.

    Raises:
        UsageError: a folder is named for a dataset that the lock does not have.
    """
    _check_names(session.data, lock)
    nodes = dict(lock.nodes)
    bindings: dict[str, Detected] = {}
    missing: dict[str, NeedsYouError] = {}
    for key, node in lock.nodes.items():
        if node.source != "install" or not _may_be_brought(node):
            continue
        component = component_of(node, session.usable)
        if install_method(component) != "manual":
            continue
        try:
            data = _brought(session, component, node)
        except NeedsYouError as error:
            missing[key] = error
            continue
        found = _found(node, data)
        nodes[key] = replace(node, source="detected", facts=data.facts(), binary=data.digest)
        bindings[key] = found
    return Data(replace(lock, nodes=nodes), bindings, missing)


def _check_names(given: Mapping[str, str], lock: Lock) -> None:
    known = sorted({parse_reference(node.component).name for node in lock.nodes.values() if _may_be_brought(node)})
    for name in given:
        if name not in known:
            near = nearest(name, known)
            raise UsageError(
                f"--data {name}: there is no such dataset in the graph.",
                hint=f"Did you mean {' or '.join(f'`{n}`' for n in near)}?" if near else "`cr plan` shows its data.",
            )


def again(session: Session, lock: Lock) -> tuple[Detected, ...]:
    """Return the data that a lock has as detected and that is still here, for `bind_detected`.

    What is absent or has changed is left out or comes with its digest of now, and is told as a difference.
    """
    found = []
    for node in lock.nodes.values():
        if node.source != "detected" or not _may_be_brought(node):
            continue
        try:
            component = component_of(node, session.usable)
            if install_method(component) == "manual":
                found.append(_found(node, _brought(session, component, node)))
        except (NeedsYouError, LockError):
            continue
    return tuple(found)


def with_folders(installed: Installed, lock: Lock, bindings: Mapping[str, Detected]) -> Installed:
    """Return where everything is, the data that the user brought included."""
    folders = {
        key: Path(bindings[key].path)
        for key, node in lock.nodes.items()
        if node.source == "detected" and _may_be_brought(node) and key in bindings
    }
    return replace(installed, folders={**installed.folders, **folders}) if folders else installed


def keep_places(session: Session) -> None:
    """Keep the folders that were named by options in the setting `data`, so that later commands find them."""
    if session.data:
        places = {**kept_places(session), **session.data}
        entries = [f"{name}={Path(folder).expanduser().absolute()}" for name, folder in places.items()]
        wrong = next((entry for entry in entries if "," in entry), None)
        if wrong is not None:
            raise UsageError(f"`{wrong}` cannot be kept: a comma separates entries.", hint="Rename or link the folder.")
        config.store_value(session.home, "data", ",".join(entries))


def require(missing: Mapping[str, CrError]) -> None:
    """Raise the first of what is missing.

    Raises:
        NeedsYouError: data that the user has to bring is not here; the message has the instructions.
    """
    for error in missing.values():
        raise error
