# SPDX-License-Identifier: Apache-2.0
"""Machines that are simulated by what is detected on them; everything else is the real client.

A world's components stand in memory (`tests.solve.worlds`); the lock is a real file, Python distributions come
from a real folder of wheels through the real uv.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from codereef.detect import Detected
from codereef.home import Home
from codereef.install.progress import NullProgress
from codereef.lock.model import Lock, read_lock
from codereef.meta.component import Component
from codereef.repo.index import Index
from codereef.workspace.locking import Written, write
from codereef.workspace.session import Session
from codereef.workspace.wish import Wish


@dataclass
class Machine(Session):
    """A session on a machine that has what it is said to have."""

    triple: str = "linux-x86_64-gnu"
    world: Sequence[Component] = ()
    has: Sequence[Detected] = field(default_factory=tuple)

    def __post_init__(self) -> None:
        index = Index(tuple(self.world))
        self.__dict__.update(host=self.triple, index=index, usable=index)

    def detected(self, capabilities: Collection[str] | None = None) -> tuple[Detected, ...]:
        return tuple(d for d in self.has if capabilities is None or d.capability in capabilities)


def machine(
    home: Path, world: Sequence[Component], has: Sequence[Detected], triple: str = "linux-x86_64-gnu"
) -> Machine:
    return Machine(Home(home), triple=triple, world=world, has=has)


def lock(session: Session, folder: Path, **wish: object) -> Written:
    """Write the lock of the world's solution into `folder/demo`, as `cr lock demo` does."""
    return write(session, Wish("demo", wish.pop("variants", {}), **wish), folder, NullProgress())  # type: ignore[arg-type]


def held(folder: Path) -> Lock:
    return read_lock(folder / "demo" / "cr.lock")
