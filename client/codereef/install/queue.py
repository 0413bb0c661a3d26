# SPDX-License-Identifier: Apache-2.0
"""The order in which files are fetched, so that no host is asked for too many and none waits without need."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .download import RemoteFile

_LOOK = 0.1  # seconds between two looks whether the work was stopped


class Queue:
    """Files that wait for a worker: the largest first, and none of a host that is as busy as it may be.

    The largest first brings the time of all closest to that of the bytes alone. A worker that waited for a place at
    a busy host would keep a file of an idle one waiting.

    Args:
        files: what is to be fetched.
        hosts: the host that is asked first for each file, by SHA-256; "" where none is.
        most: files at once from one host.
    """

    def __init__(self, files: Sequence[RemoteFile], hosts: Mapping[str, str], most: int) -> None:
        self._files = sorted(files, key=lambda file: (-file.size, file.sha256))
        self._hosts = hosts
        self._most = max(1, most)
        self._busy: Counter[str] = Counter()
        self._changed = threading.Condition()

    def take(self, stop: threading.Event) -> RemoteFile | None:
        """Return the next file, waiting until its host has a place; None where none is left or `stop` is set."""
        with self._changed:
            while self._files and not stop.is_set():
                for number, file in enumerate(self._files):
                    host = self._hosts[file.sha256]
                    if not host or self._busy[host] < self._most:
                        self._busy[host] += 1
                        return self._files.pop(number)
                self._changed.wait(_LOOK)
            return None

    def leave(self, file: RemoteFile) -> None:
        """Give back the place of a file that is done."""
        with self._changed:
            self._busy[self._hosts[file.sha256]] -= 1
            self._changed.notify_all()
