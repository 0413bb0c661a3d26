# SPDX-License-Identifier: Apache-2.0
"""Progress on a terminal: one line that is rewritten; nothing but the name of each task elsewhere."""

from __future__ import annotations

import shutil
import sys
import threading
import time

from codereef.cli.edge import note, quiet
from codereef.disk import human

INTERVAL = 0.1
TICK = 0.5


class TerminalProgress:
    """Shows what a long operation is doing, on one line of standard error.

    Tasks whose size nobody knows show how long they have been going on. Without a terminal each task is
    named once, when it begins, so that a log tells what happened.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tasks: dict[str, str] = {}
        self._total = 0
        self._done = 0
        self._last = 0.0
        self._shown = 0
        # Asked for here: the other threads that report know nothing of the command's options.
        self._quiet = quiet()
        self._terminal = sys.stderr is not None and sys.stderr.isatty() and not self._quiet
        self._begun = time.monotonic()
        self._closed = threading.Event()
        self._text = ""
        if self._terminal:
            threading.Thread(target=self._tick, daemon=True).start()

    def start(self, task: str, total_bytes: int | None, label: str) -> None:
        """Begin a task of `total_bytes` (None where nobody knows)."""
        with self._lock:
            if not self._tasks:
                self._begun = time.monotonic()
            self._tasks[task] = label
            self._total += total_bytes or 0
            if not self._terminal and not self._quiet:
                note(f"  {label}" + (f" ({human(total_bytes)})" if total_bytes else ""))
            self._draw(force=True)

    def advance(self, task: str, n: int) -> None:
        """Count `n` bytes more."""
        with self._lock:
            self._done += n
            self._draw()

    def finish(self, task: str) -> None:
        """End a task."""
        with self._lock:
            self._tasks.pop(task, None)
            self._draw(force=True)

    def note(self, text: str) -> None:
        """Print a line for people."""
        with self._lock:
            self._erase()
            if not self._quiet:
                note(f"  {text}")

    def status(self, text: str) -> None:
        """Show `text` on the line that is rewritten."""
        with self._lock:
            self._text = text
            self._write(text)

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._closed.set()
        with self._lock:
            self._erase()

    def _tick(self) -> None:
        while not self._closed.wait(TICK):
            with self._lock:
                if self._tasks:
                    self._draw()
                elif self._text:
                    self._write(self._text)

    def _draw(self, *, force: bool = False) -> None:
        if not self._tasks:
            self._erase()
            return
        others = f" and {len(self._tasks) - 1} more" if len(self._tasks) > 1 else ""
        amount = f" {human(self._done)} of {human(self._total)}" if self._total else ""
        self._write(f"{next(reversed(self._tasks.values()))}{others}{amount}", force=force)

    def _write(self, text: str, *, force: bool = False) -> None:
        now = time.monotonic()
        if not self._terminal or self._closed.is_set() or (not force and now - self._last < INTERVAL):
            return
        elapsed = now - self._begun
        clock = f" ({elapsed:.0f} s)" if elapsed >= 1 else ""
        width = shutil.get_terminal_size().columns - 3
        self._last = now
        line = "  " + text[: width - len(clock)] + clock
        sys.stderr.write("\r" + line + " " * max(0, self._shown - len(line)))
        sys.stderr.flush()
        self._shown = len(line)

    def _erase(self) -> None:
        if self._shown:
            sys.stderr.write("\r" + " " * self._shown + "\r")
            sys.stderr.flush()
            self._shown = 0
