# SPDX-License-Identifier: Apache-2.0
"""What a lock has in the store: said to the store before it is used, so that `cr store gc` leaves it."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from codereef.errors import IntegrityError
from codereef.install.execute import Installed, local_environment_key, located
from codereef.store import Roots

if TYPE_CHECKING:
    from codereef.detect import Detected
    from codereef.lock.model import Lock
    from codereef.store import Store
    from codereef.workspace.session import Session


def names_of(lock: Lock, bindings: Mapping[str, Detected]) -> tuple[frozenset[str], frozenset[str]]:
    """Return the keys of folders and the SHA-256 of files that a lock has in the store of this machine.

    Args:
        lock: the graph; environments without exact distributions have no key yet.
        bindings: detected software by node id; environments whose interpreter is not among it are left out.
    """
    keys = {node.install_key for node in lock.nodes.values() if node.install_key}
    keys.update(
        local_environment_key(environment, bindings[environment.python].path)
        for environment in lock.environments.values()
        if environment.install_key and environment.python in bindings
    )
    return frozenset(keys), frozenset(file.sha256 for node in lock.nodes.values() for file in node.files)


@contextlib.contextmanager
def installing(store: Store, path: Path, lock: Lock, bindings: Mapping[str, Detected]) -> Iterator[None]:
    """Keep what a lock names while it is installed and its file written at the end of the block.

    Until then what the old lock at `path` names is held too; a kill in between loses nothing of either.

    Raises:
        StorageError: the disk is full or failing.
    """
    keys, blobs = names_of(lock, bindings)
    with store.using(keys, blobs):
        Roots(store).hold(path, keys, blobs, adding=True)
        yield
        Roots(store).hold(path, keys, blobs)


def use(session: Session, path: Path, lock: Lock, bindings: Mapping[str, Detected]) -> None:
    """Keep what an installed lock names as long as the session lives, and register the lock where it now lies.

    Call it before looking whether everything is there.

    Raises:
        StorageError: the disk is full or failing.
    """
    keys, blobs = names_of(lock, bindings)
    session.in_use.enter_context(session.store.using(keys, blobs))
    Roots(session.store).hold(path, keys, blobs)


def sound_location(session: Session, lock: Lock, bindings: Mapping[str, Detected], *, thorough: bool) -> Installed:
    """Return where everything of an installed lock is, after looking whether it is what was installed.

    Args:
        session: the command's view.
        lock: the graph.
        bindings: detected software by node id.
        thorough: read models, datasets and packages even where nobody has touched them since they were read. The
            files of Python environments are read where somebody has.

    Raises:
        LockError: something is not installed, or no longer what was installed.
        IntegrityError: a file of a Python environment is damaged.
    """
    store = session.store
    with store.reading_all() if thorough else contextlib.nullcontext():
        installed = located(lock, session.usable, bindings, store)
    for folder in dict.fromkeys(python.parent.parent for python in installed.pythons.values()):
        problems = store.verify_prefix(folder.name)
        if problems:
            raise IntegrityError(
                f"The Python environment {folder.name} is no longer what was installed: {'; '.join(problems[:3])}"
                + (f"; and {len(problems) - 3} more." if len(problems) > 3 else "."),
                hint="`cr store repair` mends what it can and removes the rest; `cr init` then makes it again.",
                context={"folder": str(folder), "problems": problems},
            )
    return installed


def clean_cache(distributions: Sequence[str]) -> bool:
    """Let uv drop distributions from its cache, whose damaged files it would only link again; return whether it did.

    Args:
        distributions: their names; nothing else is dropped.
    """
    from codereef.install.pip import find_uv

    uv = find_uv()
    if uv is None or not distributions:
        return False
    try:
        done = subprocess.run(
            [str(uv), "cache", "clean", *distributions], stdin=subprocess.DEVNULL, capture_output=True, timeout=120
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
