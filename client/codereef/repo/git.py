# SPDX-License-Identifier: Apache-2.0
"""The few things that are asked of git, through the system's own `git` command.

No text from outside can become an option: what begins with a dash is refused, and addresses stand behind `--`.
How git is called is in `gitcall`; no message keeps a password.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from codereef.errors import NetworkError, NotFoundError, UsageError
from codereef.gitcall import SLOWEST, git_environment

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"<>]+")
_HELPER = re.compile(r"^[A-Za-z0-9][A-Za-z0-9+.-]*::")


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


def check_revision(revision: str) -> None:
    """Raise UsageError when a branch, tag or commit would be read as an option of git."""
    if revision.startswith("-"):
        raise UsageError(f"`{revision}` is not a branch or tag.", hint="Give the name of one with --revision.")


def _check_address(address: str) -> None:
    if address.startswith("-") or _HELPER.match(address):
        raise UsageError(
            f"`{without_credentials(address)}` is not an address that cr takes a git repository from.",
            hint="Addresses begin with https://, ssh://, git:// or file://, or have the form user@host:path.",
        )


def _run(verb: str, origin: str, arguments: list[str], folder: Path | None = None) -> str:
    """Run git and return what it wrote; an error names what was tried (`verb`) on which address (`origin`)."""
    import subprocess

    place = ["-C", str(folder)] if folder is not None else []
    try:
        done = subprocess.run(
            ["git", *SLOWEST, *place, *arguments],
            env=git_environment(os.environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
        )
    except OSError as error:
        raise NotFoundError(
            "git could not be started, and a git repository cannot be read without it.",
            hint="Install git from your system's packages.",
            context={"said": error.strerror or str(error)},
        ) from None
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        last = lines[-1] if lines else "git said nothing"
        raise NetworkError(
            f"Could not {verb} {without_credentials(origin)}: {_ADDRESS.sub(lambda m: without_credentials(m[0]), last)}",
            hint="Check the address, the branch or tag, your access and the network; then run the same command again.",
        )
    return done.stdout.strip()


def clone(origin: str, into: Path, revision: str = "") -> None:
    """Clone the newest state of a repository, without its history.

    Args:
        origin: an address or a folder.
        into: folder that is made; it is not there afterwards when cloning fails.
        revision: branch or tag; the repository's own choice when empty.

    Raises:
        UsageError: `origin` or `revision` would be an option of git, or the address names a helper.
        NetworkError: git could not clone it.
        NotFoundError: git is not installed.
    """
    _check_address(origin)
    check_revision(revision)
    branch = [f"--branch={revision}"] if revision else []
    try:
        _run("clone", origin, ["clone", "--quiet", "--depth=1", *branch, "--", origin, str(into)])
    except BaseException:
        shutil.rmtree(into, ignore_errors=True)
        raise


def head(folder: Path, origin: str) -> str:
    """Return the commit that a clone stands at; `origin` is its address for the message of an error."""
    return _run("read the clone of", origin, ["rev-parse", "--verify", "HEAD^{commit}"], folder)


def bring_up_to_date(folder: Path, origin: str, revision: str = "") -> bool:
    """Bring a clone to the newest state of its origin, whatever became of the history.

    Args:
        folder: the clone.
        origin: its address, for messages; git keeps its own.
        revision: branch or tag; what the origin stands at when empty.

    Returns:
        Whether the commit changed.

    Raises:
        UsageError: `revision` would be an option of git.
        NetworkError: git could not fetch, or the folder is no clone; what was there stays.
        NotFoundError: git is not installed.
    """
    check_revision(revision)
    # Without a repository of its own git would take one that a folder above happens to be in.
    if not (folder / ".git").exists():
        raise NetworkError(
            f"Could not update {without_credentials(origin)}: its clone at {folder} is gone or damaged.",
            hint="`cr repo remove` it and add it again.",
        )
    before = head(folder, origin)
    _run("update", origin, ["fetch", "--quiet", "--depth=1", "--", "origin", revision or "HEAD"], folder)
    _run("update", origin, ["reset", "--quiet", "--hard", "FETCH_HEAD"], folder)
    return head(folder, origin) != before
