# SPDX-License-Identifier: Apache-2.0
"""Progress on a terminal: one line that is rewritten; nothing at all elsewhere."""

from __future__ import annotations

import sys
import threading
import time

from codereef.cli.edge import human_bytes, note, quiet

INTERVAL = 0.1


class TerminalProgress:
    """Shows what a long operation is doing, on one line of standard error.

    Without a terminal each task is named once, when it begins, so that a log tells what happened.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tasks: dict[str, tuple[str, int | None, int]] = {}
        self._total = 0
        self._done = 0
        self._last = 0.0
        self._shown = 0
        self._terminal = sys.stderr.isatty()

    def start(self, task: str, total_bytes: int | None, label: str) -> None:
        """Begin a task of `total_bytes` (None where nobody knows)."""
        with self._lock:
            self._tasks[task] = (label, total_bytes, 0)
            self._total += total_bytes or 0
            if not self._terminal and not quiet():
                note(f"  {label}" + (f" ({human_bytes(total_bytes)})" if total_bytes else ""))
            self._draw(force=True)

    def advance(self, task: str, n: int) -> None:
        """Count `n` bytes more."""
        with self._lock:
            label, total, done = self._tasks.get(task, (task, None, 0))
            self._tasks[task] = (label, total, done + n)
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
            note(f"  {text}")

    def status(self, text: str) -> None:
        """Show `text` on the line that is rewritten."""
        with self._lock:
            self._write(text)

    def close(self) -> None:
        """Leave the terminal as it was."""
        with self._lock:
            self._erase()

    def _draw(self, *, force: bool = False) -> None:
        if not self._tasks:
            self._erase()
            return
        label = next(reversed(self._tasks.values()))[0]
        amount = f" {human_bytes(self._done)} of {human_bytes(self._total)}" if self._total else ""
        others = f" and {len(self._tasks) - 1} more" if len(self._tasks) > 1 else ""
        self._write(f"{label}{others}{amount}", force=force)

    def _write(self, text: str, *, force: bool = False) -> None:
        now = time.monotonic()
        if not self._terminal or quiet() or (not force and now - self._last < INTERVAL):
            return
        import shutil

        width = shutil.get_terminal_size().columns - 3
        self._last = now
        line = "  " + text[:width]
        sys.stderr.write("\r" + line + " " * max(0, self._shown - len(line)))
        sys.stderr.flush()
        self._shown = len(line)

    def _erase(self) -> None:
        if self._shown:
            sys.stderr.write("\r" + " " * self._shown + "\r")
            sys.stderr.flush()
            self._shown = 0
