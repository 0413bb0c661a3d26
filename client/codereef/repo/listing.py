# SPDX-License-Identifier: Apache-2.0
"""The user's list of repositories in `<home>/repos/repos.json`; one that comes earlier wins over a later one."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from codereef.canonical import pretty_json
from codereef.disk import write_atomic
from codereef.errors import MetadataError, NotFoundError
from codereef.home import Home
from codereef.meta.reference import nearest
from codereef.witness import looked

LIST_FORMAT = "codereef-repositories/2"
Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Source:
    """An entry of the user's list.

    Attributes:
        name: how the user calls it.
        origin: folder or address.
        kind: `folder`, `git`, `registry` or `pack`.
        revision: branch or tag asked for of a git repository, or "".
        trusted: whether code of its components may run.
        keys: identities of the keys that may sign a registry; empty for one without signature.
        publishers: identities of the keys whose components may run, of a registry that has keys.
        updated: when it was last brought up to date, ISO 8601 in UTC; "" for a folder.
    """

    name: str
    origin: str
    kind: str
    revision: str = ""
    trusted: bool = False
    keys: tuple[str, ...] = ()
    publishers: tuple[str, ...] = ()
    updated: str = ""

    @property
    def git(self) -> bool:
        """Whether it is a clone."""
        return self.kind == "git"

    @property
    def fetched(self) -> bool:
        """Whether what it has was fetched, and lies in the client's own folder."""
        return self.kind in ("git", "registry", "pack")


def _list_path(home: Home) -> Path:
    return home.repos / "repos.json"


def _entry(data: dict[str, Any]) -> Source:
    """Read an entry of the list, also one of format 1, which had `git` instead of `kind`."""
    known = {key: value for key, value in data.items() if not key.startswith("x-")}
    if "kind" not in known:
        known["kind"] = "git" if known.pop("git") else "folder"
    for key in ("keys", "publishers"):
        known[key] = tuple(known.get(key, ()))
    return Source(**known)


def sources(home: Home) -> list[Source]:
    """Return the repositories the user has added, in order.

    Raises:
        MetadataError: the list on disk cannot be read.
    """
    path = _list_path(home)
    looked(str(path))
    try:
        document = json.loads(path.read_bytes())
        if document["format"] not in (LIST_FORMAT, "codereef-repositories/1"):
            raise ValueError(f"it has the format {document['format']}, and this client reads {LIST_FORMAT}")
        return [_entry(entry) for entry in document["repositories"]]
    except FileNotFoundError:
        return []
    except (ValueError, KeyError, TypeError) as error:
        raise MetadataError(
            f"The list of repositories at {path} cannot be read: {error}.",
            hint="Mend it, or delete it and add the repositories again.",
        ) from None


def alone(function: Callable[Concatenate[Home, Arguments], Answer]) -> Callable[Concatenate[Home, Arguments], Answer]:
    """Let one process at a time read the list, change it and write it."""

    @wraps(function)
    def inner(home: Home, /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Answer:
        from codereef.store.locks import locked

        with locked(home.root / "repos.lock"):
            return function(home, *args, **kwargs)

    return inner


def save(home: Home, entries: list[Source]) -> None:
    """Write the list; only under `alone`."""
    write_atomic(
        _list_path(home),
        pretty_json({"format": LIST_FORMAT, "repositories": [asdict(e) for e in entries]}),
        what="the list of repositories",
    )


def named(entries: list[Source], name: str) -> Source:
    """Return the entry of that name.

    Raises:
        NotFoundError: there is none.
    """
    for entry in entries:
        if entry.name == name:
            return entry
    near = nearest(name, [entry.name for entry in entries])
    raise NotFoundError(
        f"There is no repository called `{name}`.",
        hint=f"Did you mean `{near[0]}`?" if near else "`cr repo list` shows those you have added.",
    )


@alone
def put(home: Home, entry: Source) -> None:
    """Put an entry at the end of the list, in place of one of its name; what lies in its folder is the caller's."""
    save(home, [*(other for other in sources(home) if other.name != entry.name), entry])


@alone
def change(home: Home, name: str, how: Callable[[Source], Source]) -> Source:
    """Change an entry of the list.

    Raises:
        NotFoundError: there is none of that name.
    """
    entries = sources(home)
    new = how(named(entries, name))
    save(home, [new if entry.name == name else entry for entry in entries])
    return new
