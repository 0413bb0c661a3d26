# SPDX-License-Identifier: Apache-2.0
"""The repositories a user has: the embedded one, added folders, clones of git repositories, and registries.

One that comes earlier in the user's list wins over a later one, and the embedded one comes last, so that a user
can override a component.
"""

from __future__ import annotations

import functools
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

from codereef.embedded import data_root
from codereef.errors import NotFoundError, UsageError
from codereef.home import Home
from codereef.repo.git import bring_up_to_date, check_revision, clone, without_credentials
from codereef.repo.index import Repository, component_folders
from codereef.repo.listing import LIST_FORMAT, Source, alone, change, named, put, save, sources

__all__ = [
    "EMBEDDED",
    "LIST_FORMAT",
    "Source",
    "add",
    "change",
    "may_run",
    "needs_network",
    "put",
    "remove",
    "repositories",
    "repository_of",
    "set_trusted",
    "sources",
    "trust_publishers",
    "update",
    "without_credentials",
]

EMBEDDED = "default"
_NAME = re.compile(r"^[a-z0-9][a-z0-9._-]*$")


def repository_of(home: Home, source: Source) -> Repository:
    """Return the repository of an entry of the list."""
    place = home.repos / source.name if source.fetched else Path(source.origin)
    origin = without_credentials(source.origin)
    return Repository(source.name, place, origin, source.trusted, source.kind, frozenset(source.publishers))


def repositories(home: Home) -> list[Repository]:
    """Return every repository: the user's, in order, then the embedded one."""
    listed = [repository_of(home, source) for source in sources(home)]
    return [*listed, Repository(EMBEDDED, data_root(), "embedded", True)]


def may_run(repository: Repository, key: str | None) -> bool:
    """Tell whether code of a component may run.

    Args:
        repository: where the component comes from.
        key: identity of the key that signed it; "" where it is not signed, None where it is not known yet.
    """
    if not repository.trusted:
        return False
    return key is None or not repository.publishers or key in repository.publishers


def _now(entry: Source) -> Source:
    """Return an entry that was brought up to date now."""
    from datetime import datetime, timezone

    return replace(entry, updated=datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"))


def _is_git_address(origin: str) -> bool:
    return (
        origin.endswith(".git")
        or re.match(r"^(https?|ssh|git|file)://", origin) is not None
        or re.match(r"^[\w.-]+@[\w.-]+:", origin) is not None
    )


def needs_network(origin: str) -> bool:
    """Tell whether adding `origin` clones it, and not from a folder of this machine."""
    return _is_git_address(origin) and not origin.startswith("file://") and not Path(origin).expanduser().is_dir()


def _registry_address(origin: str, revision: str) -> str:
    """Return the address under which a registry may lie, or "" where none can."""
    place = origin.removesuffix("/registry.json").rstrip("/")
    if revision or place.endswith(".git"):
        return ""
    if place.startswith(("http://", "https://")):
        return place
    folder = Path(unquote(urlsplit(place).path)) if place.startswith("file://") else Path(place).expanduser()
    return str(folder.absolute()) if (folder / "registry.json").is_file() else ""


@alone
def add(
    home: Home,
    origin: str,
    *,
    name: str | None = None,
    revision: str = "",
    trusted: bool = False,
    key: str | None = None,
) -> Source:
    """Add a folder, a git repository or a registry.

    Args:
        home: the client's home.
        origin: a folder, an address git understands, or the address or folder of a registry.
        name: how to call it; the last part of the origin by default.
        revision: branch or tag of a git repository.
        trusted: whether code of its components may run without asking.
        key: identity of the key that must have signed the registry.

    Raises:
        UsageError: the name is taken or not allowed, or the folder holds no component.
        NetworkError: git could not clone it, or the registry could not be fetched.
        IntegrityError: the registry is not signed as it must be.
    """
    entries = sources(home)
    folder = Path(origin).expanduser()
    address = _registry_address(origin, revision)
    place = str(folder.resolve()) if folder.is_dir() else address or origin
    chosen = name or re.sub(r"\.git$", "", place.rstrip("/").replace(":", "/").rsplit("/", 1)[-1]).lower()
    check_revision(revision)
    if not _NAME.match(chosen) or chosen in (EMBEDDED, "repos.json"):
        raise UsageError(
            f"`{chosen}` cannot be the name of a repository.",
            hint="Give one with --name: lower-case letters, digits, dot, dash and underscore; not `default`.",
        )
    if any(entry.name == chosen for entry in entries):
        raise UsageError(
            f"There is a repository called `{chosen}` already.",
            hint=f"`cr repo remove {chosen}` first, or give another --name.",
        )
    if address:
        from codereef.repo.registry.joining import add_registry

        source = add_registry(home, chosen, address, key, trusted)
        if source is not None:
            save(home, [*entries, source])
            return source
    if key is not None:
        raise UsageError(
            f"{without_credentials(origin)} is no registry, so no key signs it.",
            hint="Leave out --key, or give the address of the folder that holds registry.json.",
        )
    is_git = _is_git_address(origin) or bool(revision)
    if is_git:
        target = home.repos / chosen
        staging = home.repos / f".{chosen}.new"
        shutil.rmtree(staging, ignore_errors=True)
        home.repos.mkdir(parents=True, exist_ok=True)
        clone(origin if _is_git_address(origin) else str(folder.absolute()), staging, revision)
        root = staging
    else:
        if not folder.is_dir():
            raise UsageError(
                f"`{origin}` is neither a folder nor an address of a git repository.",
                hint="A git address begins with https://, ssh:// or file://, or ends in .git.",
            )
        root = folder
    if not component_folders(root):
        if is_git:
            shutil.rmtree(staging, ignore_errors=True)
        raise UsageError(
            f"{without_credentials(origin)} holds no component: no cr.json was found.",
            hint="A component is a folder with a cr.json; docs/tutorial.md shows how to write one.",
        )
    if is_git:
        shutil.rmtree(target, ignore_errors=True)
        staging.rename(target)
    # The clone keeps what git needs to come back; our list keeps no password.
    kept = without_credentials(origin) if _is_git_address(origin) else str(folder.absolute())
    entry = Source(chosen, kept, "git" if is_git else "folder", revision, trusted)
    entry = _now(entry) if is_git else entry
    save(home, [*entries, entry])
    return entry


@alone
def remove(home: Home, name: str) -> Source:
    """Take a repository off the list and delete its clone, if it was cloned.

    Raises:
        NotFoundError: there is none of that name.
    """
    entries = sources(home)
    entry = named(entries, name)
    save(home, [other for other in entries if other.name != name])
    if entry.fetched:
        shutil.rmtree(home.repos / name, ignore_errors=True)
    return entry


def update(
    home: Home,
    name: str | None = None,
    *,
    complete: bool = False,
    moved: Callable[[str, int, int], None] = lambda name, done, of: None,
) -> list[tuple[Source, bool]]:
    """Bring git repositories and registries to their newest state.

    Args:
        home: the client's home.
        name: only this one; all of them by default.
        complete: fetch everything that registries say of their components, not only of those that were used.
        moved: told of which repository how many of how many files have come.

    Returns:
        Each repository that was looked at, with whether anything changed. Folders are always up to date.

    Raises:
        NotFoundError: there is none of that name.
        NetworkError: it could not be fetched; what is here stays as it was.
        IntegrityError: a registry is not signed as it must be, or was rolled back; what is here stays as it was.
    """
    entries = sources(home)
    chosen = [named(entries, name)] if name else [entry for entry in entries if entry.kind in ("git", "registry")]
    done: list[tuple[Source, bool]] = []
    for entry in chosen:
        if entry.git:
            changed = bring_up_to_date(home.repos / entry.name, entry.origin, entry.revision)
            done.append((change(home, entry.name, _now), changed))
        elif entry.kind == "registry":
            from codereef.repo.registry.joining import update_registry

            done.append(update_registry(home, entry, complete, functools.partial(moved, entry.name)))
        else:
            done.append((entry, False))
    return done


def set_trusted(
    home: Home, name: str, trusted: bool, *, publisher: str | None = None, key: str | None = None
) -> Source:
    """Remember whether code of a repository's components may run.

    Args:
        home: the client's home.
        name: the repository.
        trusted: whether it may.
        publisher: only those of this publisher of a registry.
        key: identity of a key that may sign the registry from now on, where its owner has lost the old one.

    Raises:
        NotFoundError: there is no such repository or publisher.
        UsageError: a publisher or key is given for something else than a registry with keys.
    """
    entry = named(sources(home), name)
    if entry.kind != "registry":
        if publisher is not None or key is not None:
            raise UsageError(f"`{name}` is no registry, so it has no publishers and keys.", hint="Leave them out.")
        return change(home, name, lambda old: replace(old, trusted=trusted))
    if key is not None:
        if not re.fullmatch(r"ed25519:[0-9a-f]{64}", key):
            raise UsageError(f"`{key}` is no identity of a key.", hint="It is `ed25519:` and 64 hexadecimal digits.")
        return change(home, name, lambda old: replace(old, keys=(key,)))
    if not trusted:
        return change(home, name, lambda old: replace(old, trusted=False, publishers=()))
    from codereef.repo.registry.joining import trusting
    from codereef.repo.registry.local import LocalRegistry

    root = LocalRegistry(home.repos / name, entry.origin).root()
    if root is None:
        raise NotFoundError(f"Nothing of `{name}` is here.", hint=f"`cr repo update {name}` fetches it.")
    return change(home, name, lambda old: trusting(old, root, publisher))


def trust_publishers(home: Home, name: str, keys: tuple[str, ...]) -> Source:
    """Remember that code of a repository's components may run: of those signed by `keys`, or of all without any."""
    return change(
        home, name, lambda old: replace(old, trusted=True, publishers=tuple(dict.fromkeys([*old.publishers, *keys])))
    )
