# SPDX-License-Identifier: Apache-2.0
"""The file of a lock: written whole or not at all, and read with doubt."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from codereef.canonical import pretty_json
from codereef.disk import write_atomic
from codereef.errors import LockError
from codereef.lock.document import from_document, to_document
from codereef.lock.types import FORMAT, READABLE, Lock, environment_key


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
    from codereef.meta.schemas import parse_json

    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise LockError(
            f"There is no lock at {path}.", hint="`cr init SOLUTION` writes it.", context={"path": str(path)}
        ) from None
    except OSError as error:
        raise LockError(f"The lock at {path} cannot be read: {error.strerror}.", context={"path": str(path)}) from None
    return lock_from(parse_json(data, path), path, verify=verify)


def lock_from(document: Any, path: Path, *, verify: bool = True) -> Lock:
    """Return the lock that JSON data holds, wherever it comes from.

    Args:
        document: parsed JSON.
        path: where it comes from, for messages.
        verify: check it against the schema.

    Raises:
        LockError: it is no lock, of a newer format, or contradicts itself.
        MetadataError: it does not follow the schema.
    """
    from codereef.meta.schemas import check

    found = document.get("format") if isinstance(document, dict) else None
    if found is None:
        raise LockError(
            f"{path} is not a lock: it names no format.",
            hint="Delete it and run `cr init` again.",
            context={"path": str(path)},
        )
    if found not in READABLE:
        raise LockError(
            f"The lock at {path} has the format {found!r}; this client reads {' and '.join(READABLE)}.",
            hint="A newer client wrote it: upgrade codereef here, or delete the lock and run `cr init` again.",
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
        # An environment of another machine may be open: that machine resolves its distributions.
        if lock.format == FORMAT and not environment.install_key and not environment.distributions:
            continue
        if environment.install_key != environment_key(environment):
            yield f"the environment {name} is not the one its install_key names"


def _named(lock: Lock) -> Iterator[tuple[str, tuple[str, ...], Collection[str]]]:
    """Yield what the parts of a lock name, and where the names must be found."""
    for configuration in lock.configurations:
        yield configuration.id, (*configuration.nodes, configuration.root), lock.nodes
        if configuration.environment:
            yield configuration.id, (configuration.environment,), lock.environments
        yield f"the toolchain of {configuration.id}", tuple(configuration.toolchain.values()), configuration.nodes
        for key in configuration.nodes:
            if key in lock.nodes:
                yield key, tuple(lock.nodes[key].deps.values()), configuration.nodes
    for name, environment in lock.environments.items():
        yield name, (environment.python, *environment.reused), lock.nodes
