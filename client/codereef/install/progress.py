# SPDX-License-Identifier: Apache-2.0
"""How long work tells what it is doing, without printing: the command line gives the object that shows it."""

from __future__ import annotations

from typing import Protocol, runtime_checkable


class Progress(Protocol):
    """Listener to long work. Called from several threads; must not raise."""

    def start(self, task: str, total_bytes: int | None, label: str) -> None:
        """A task begins: its identity, its bytes where known, and a name for people."""

    def advance(self, task: str, n: int) -> None:
        """`n` more bytes of the task are done; negative where a transfer starts over."""

    def finish(self, task: str) -> None:
        """The task has ended, well or not."""

    def note(self, text: str) -> None:
        """Something a person may want to know, such as a wait or a second try."""


@runtime_checkable
class Expecting(Progress, Protocol):
    """A listener that also wants to know how much is coming, to tell how much is left."""

    def expect(self, count: int, total_bytes: int) -> None:
        """`count` more tasks of `total_bytes` bytes together are going to be started."""


class NullProgress:
    """Tells nobody."""

    def start(self, task: str, total_bytes: int | None, label: str) -> None:
        """Ignore it."""

    def advance(self, task: str, n: int) -> None:
        """Ignore it."""

    def finish(self, task: str) -> None:
        """Ignore it."""

    def note(self, text: str) -> None:
        """Ignore it."""
