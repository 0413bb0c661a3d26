# SPDX-License-Identifier: Apache-2.0
"""The repositories a user has: the embedded one, added folders, and clones of git repositories.

The list stands in `<home>/repos/repos.json`; a repository that comes earlier wins over a later one, and the
embedded one comes last, so that a user can override a component.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar
from urllib.parse import urlsplit, urlunsplit

from codereef.canonical import pretty_json
from codereef.disk import write_atomic
from codereef.embedded import data_root
from codereef.errors import MetadataError, NetworkError, NotFoundError, UsageError
from codereef.home import Home
from codereef.meta.reference import nearest
from codereef.repo.index import Repository, component_folders

EMBEDDED = "default"
Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")
_NAME = re.compile(r"^[a-z0-9][a-z0-9._-]*$")


@dataclass(frozen=True)
class Source:
    """An entry of the user's list.

    Attributes:
        name: how the user calls it.
        origin: folder or git address.
        git: whether it is cloned.
        revision: branch or tag asked for, or "".
        trusted: whether code of its components may run.
    """

    name: str
    origin: str
    git: bool
    revision: str = ""
    trusted: bool = False


def _list_path(home: Home) -> Path:
    return home.repos / "repos.json"


def sources(home: Home) -> list[Source]:
    """Return the repositories the user has added, in order.

    Raises:
        MetadataError: the list on disk cannot be read.
    """
    path = _list_path(home)
    try:
        document = json.loads(path.read_bytes())
        return [Source(**entry) for entry in document["repositories"]]
    except FileNotFoundError:
        return []
    except (ValueError, KeyError, TypeError) as error:
        raise MetadataError(
            f"The list of repositories at {path} cannot be read: {error}.",
            hint="Mend it, or delete it and add the repositories again.",
        ) from None


def _alone(function: Callable[Concatenate[Home, Arguments], Answer]) -> Callable[Concatenate[Home, Arguments], Answer]:
    """Let one process at a time read the list, change it and write it."""

    @wraps(function)
    def inner(home: Home, /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Answer:
        from codereef.store.locks import locked

        with locked(home.root / "repos.lock"):
            return function(home, *args, **kwargs)

    return inner


def _save(home: Home, entries: list[Source]) -> None:
    write_atomic(
        _list_path(home),
        pretty_json({"format": "codereef-repositories/1", "repositories": [asdict(e) for e in entries]}),
        what="the list of repositories",
    )


def repositories(home: Home) -> list[Repository]:
    """Return every repository: the user's, in order, then the embedded one."""
    listed = [
        Repository(s.name, home.repos / s.name if s.git else Path(s.origin), without_credentials(s.origin), s.trusted)
        for s in sources(home)
    ]
    return [*listed, Repository(EMBEDDED, data_root(), "embedded", True)]


def without_credentials(address: str) -> str:
    """Return a git address without password, and without user name unless it is one of ssh."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return address
    user, at, host = parts.netloc.rpartition("@")
    if parts.scheme and at:
        # With ssh the name alone is part of the address; elsewhere it may be a token.
        name = user.split(":")[0] + "@" if parts.scheme == "ssh" else ""
        return urlunsplit((parts.scheme, name + host, parts.path, parts.query, ""))
    return address


def _is_git_address(origin: str) -> bool:
    return (
        origin.endswith(".git")
        or re.match(r"^(https?|ssh|git|file)://", origin) is not None
        or re.match(r"^[\w.-]+@[\w.-]+:", origin) is not None
    )


def _git() -> Any:
    """Return GitPython, which refuses to be imported where git is not installed."""
    try:
        import git
    except ImportError as error:
        raise NotFoundError(
            "git could not be started, and a git repository cannot be read without it.",
            hint="Install git from your system's packages.",
            context={"said": str(error)},
        ) from None
    return git


def _clone(origin: str, revision: str, into: Path) -> None:
    git = _git()
    options = ["--depth=1", *([f"--branch={revision}"] if revision else [])]
    try:
        git.Repo.clone_from(
            origin, into, multi_options=options, env={"GIT_TERMINAL_PROMPT": "0"}, allow_unsafe_protocols=False
        )
    except (git.GitCommandError, git.UnsafeProtocolError, OSError) as error:
        shutil.rmtree(into, ignore_errors=True)
        raise _git_error("clone", origin, error) from None


def _git_error(verb: str, origin: str, error: Exception) -> NetworkError:
    said = getattr(error, "stderr", "") or str(error)
    lines = [line.strip() for line in str(said).replace("stderr:", "").strip().strip("'").splitlines() if line.strip()]
    last = without_credentials(lines[-1]) if lines else "git said nothing"
    return NetworkError(
        f"Could not {verb} {without_credentials(origin)}: {last}",
        hint="Check the address, the branch or tag, your access and the network; then run the same command again.",
    )


def needs_network(origin: str) -> bool:
    """Tell whether adding `origin` clones it, and not from a folder of this machine."""
    return _is_git_address(origin) and not origin.startswith("file://") and not Path(origin).expanduser().is_dir()


@_alone
def add(home: Home, origin: str, *, name: str | None = None, revision: str = "", trusted: bool = False) -> Source:
    """Add a folder or a git repository.

    Args:
        home: the client's home.
        origin: a folder, or an address git understands.
        name: how to call it; the last part of the origin by default.
        revision: branch or tag of a git repository.
        trusted: whether code of its components may run without asking.

    Raises:
        UsageError: the name is taken or not allowed, or the folder holds no component.
        NetworkError: git could not clone it.
    """
    entries = sources(home)
    folder = Path(origin).expanduser()
    place = str(folder.resolve()) if folder.is_dir() else origin
    chosen = name or re.sub(r"\.git$", "", place.rstrip("/").replace(":", "/").rsplit("/", 1)[-1]).lower()
    if revision.startswith("-"):
        raise UsageError(f"`{revision}` is not a branch or tag.", hint="Give the name of one with --revision.")
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
    is_git = _is_git_address(origin) or bool(revision)
    if is_git:
        target = home.repos / chosen
        staging = home.repos / f".{chosen}.new"
        shutil.rmtree(staging, ignore_errors=True)
        home.repos.mkdir(parents=True, exist_ok=True)
        _clone(origin if _is_git_address(origin) else str(folder.absolute()), revision, staging)
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
    entry = Source(chosen, kept, is_git, revision, trusted)
    _save(home, [*entries, entry])
    return entry


def _named(entries: list[Source], name: str) -> Source:
    for entry in entries:
        if entry.name == name:
            return entry
    near = nearest(name, [entry.name for entry in entries])
    raise NotFoundError(
        f"There is no repository called `{name}`.",
        hint=f"Did you mean `{near[0]}`?" if near else "`cr repo list` shows those you have added.",
    )


@_alone
def remove(home: Home, name: str) -> Source:
    """Take a repository off the list and delete its clone, if it was cloned.

    Raises:
        NotFoundError: there is none of that name.
    """
    entries = sources(home)
    entry = _named(entries, name)
    _save(home, [other for other in entries if other.name != name])
    if entry.git:
        shutil.rmtree(home.repos / name, ignore_errors=True)
    return entry


def update(home: Home, name: str | None = None) -> list[tuple[Source, bool]]:
    """Bring git repositories to their newest state.

    Args:
        home: the client's home.
        name: only this one; all of them by default.

    Returns:
        Each repository that was looked at, with whether anything changed. Folders are always up to date.

    Raises:
        NotFoundError: there is none of that name.
        NetworkError: git could not fetch; the clone stays as it was.
    """
    entries = sources(home)
    chosen = [_named(entries, name)] if name else [entry for entry in entries if entry.git]
    done: list[tuple[Source, bool]] = []
    if not any(entry.git for entry in chosen):
        return [(entry, False) for entry in chosen]
    git = _git()
    for entry in chosen:
        try:
            repository = git.Repo(home.repos / entry.name)
            before = repository.head.commit.hexsha
            with repository.git.custom_environment(GIT_TERMINAL_PROMPT="0"):
                repository.git.fetch("--depth=1", "origin", entry.revision or "HEAD")
                repository.git.reset("--hard", "FETCH_HEAD")
            done.append((entry, repository.head.commit.hexsha != before))
        except (git.GitCommandError, git.InvalidGitRepositoryError, git.NoSuchPathError, ValueError, OSError) as error:
            raise _git_error("update", entry.origin, error) from None
    return done


@_alone
def set_trusted(home: Home, name: str, trusted: bool) -> Source:
    """Remember whether code of a repository's components may run."""
    entries = sources(home)
    old = _named(entries, name)
    new = Source(old.name, old.origin, old.git, old.revision, trusted)
    _save(home, [new if entry.name == name else entry for entry in entries])
    return new
