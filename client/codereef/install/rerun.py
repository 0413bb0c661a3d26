# SPDX-License-Identifier: Apache-2.0
"""Runs the command of a failed step again, with its inputs, in its folder, with its environment."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codereef.disk import remove_tree, storing
from codereef.errors import InstallError
from codereef.store import Store

from .failures import Record
from .indexes import uv_environment
from .process import Finished, run_logged, shown
from .redact import MASK


@dataclass(frozen=True)
class Rerun:
    """What came of running a step again.

    Attributes:
        command: the command, for people.
        cwd: where it ran.
        done: how it ended.
    """

    command: str
    cwd: Path
    done: Finished


def can_run(record: Record) -> bool:
    """Whether the record has a command that can be run again by itself."""
    return record.data["command"] is not None and record.data["step"] != "git"


def rerun(record: Record, store: Store) -> Rerun:
    """Run the failed command of a record again, after those before it that have to be repeated.

    A build runs in its kept working folder. Nothing is registered: what it installs goes away again, and the next
    `cr init` goes on from the working folder.

    Args:
        record: with a command (`can_run`).
        store: the store; its lock of what is made is held meanwhile.

    Raises:
        InstallError: the working folder is gone, or a secret is needed that the environment does not have.
    """
    entry = record.data["command"]
    key = str(record.data["details"].get("install_key", ""))
    with contextlib.ExitStack() as stack:
        if key:
            stack.enter_context(store.lock(f"prefix.{key}"[:200]))
            stack.enter_context(_prefix(store, key))
        kept = key and Path(entry["cwd"]).is_relative_to(store.tmp)
        if kept and not Path(entry["cwd"]).is_dir():
            raise InstallError(
                f"The working folder of this build is gone: {entry['cwd']}.",
                hint="`cr init` begins the build anew; folders are kept for two weeks, and until a build succeeds.",
                context={"failure": record.id, "cwd": entry["cwd"]},
            )
        if not kept:
            stack.enter_context(_folder(Path(entry["cwd"])))
        stack.enter_context(_inputs(entry["inputs"]))
        for before in record.data["before"]:
            _run(before, store)
        return Rerun(shown(entry["command"]), Path(entry["cwd"]), _run(entry, store))


def _run(entry: Mapping[str, Any], store: Store) -> Finished:
    words: Sequence[str] = entry["command"]
    if any(MASK in word for word in words):
        raise InstallError(
            f"{shown(words)} holds a secret, which is not kept; it cannot be run again by itself.",
            hint="Run the `cr` command again that failed.",
        )
    return run_logged(
        words,
        log_dir=store.logs,
        name="rerun",
        env=environment_of(entry["environment"], os.environ),
        cwd=Path(entry["cwd"]),
        timeout=entry["timeout"],
        wrap=entry["wrap"],
    )


def environment_of(difference: Mapping[str, Any], user: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a step from what was kept of it and the user's environment as it is now.

    Secrets are not kept: those of package indexes are worked out again from the user's settings.

    Raises:
        InstallError: one cannot be had again.
    """
    env = {name: user[name] for name in difference["inherited"] if name in user}
    for name, value in {**difference["added"], **difference["changed"]}.items():
        if MASK in value:
            again = uv_environment(user).get(name) or user.get(name)
            if again is None:
                raise InstallError(
                    f"The step was given a secret in {name}, which is not kept and not in your environment now.",
                    hint=f"Set {name}, then try again.",
                    context={"variable": name},
                )
            value = again
        env[name] = value
    return env


@contextlib.contextmanager
def _prefix(store: Store, key: str) -> Iterator[None]:
    """Give the folder that the step installs into, where it is not installed; it goes away afterwards."""
    folder = store.prefixes / key
    if store.prefix(key) is not None:
        raise InstallError(
            f"{key} has been installed meanwhile; there is nothing to run again.",
            hint="`cr init` uses what is installed.",
        )
    with storing(f"the folder {key}", store.prefixes):
        folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        remove_tree(folder)


@contextlib.contextmanager
def _folder(folder: Path) -> Iterator[None]:
    """Give a folder, which goes away afterwards where it was not there."""
    if folder.is_dir():
        yield
        return
    with storing("the folder of the step", folder.parent):
        folder.mkdir(parents=True)
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _inputs(inputs: Mapping[str, str]) -> Iterator[None]:
    """Write the text files that the command reads, and remove those afterwards that were not there."""
    made = []
    try:
        for name, text in inputs.items():
            path = Path(name)
            if not path.exists():
                with storing("an input of the step", path.parent):
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_text(text, encoding="utf-8")
                made.append(path)
        yield
    finally:
        for path in made:
            path.unlink(missing_ok=True)
