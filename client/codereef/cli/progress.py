# SPDX-License-Identifier: Apache-2.0
"""Progress: some lines at the end of a terminal that are rewritten, one line for each task elsewhere."""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from collections import deque
from dataclasses import dataclass, field

from codereef.cli.edge import note, quiet
from codereef.disk import human

INTERVAL = 0.1  # seconds between two drawings
TICK = 0.5  # seconds after which a clock goes on, though nothing happened
SHOWN = 4  # tasks that have a line of their own
WINDOW = 5.0  # seconds over which a rate is taken
_CLEAR = "\x1b[K"
_UP = "\x1b[A"


class Rate:
    """Bytes a second over the last few seconds.

    Args:
        now: seconds on a steady clock.
    """

    def __init__(self, now: float) -> None:
        self._points: deque[tuple[float, int]] = deque([(now, 0)])
        self._total = 0

    def add(self, n: int, now: float) -> None:
        """Count `n` bytes more; negative where a transfer starts over."""
        self._total += n
        last, _ = self._points[-1]
        if now - last < INTERVAL and len(self._points) > 1:
            self._points[-1] = (last, self._total)
        else:
            self._points.append((now, self._total))
        while len(self._points) > 2 and now - self._points[1][0] > WINDOW:
            self._points.popleft()

    def at(self, now: float) -> float | None:
        """Return bytes a second, or None where it is too early to tell."""
        begun, before = self._points[0]
        passed = now - begun
        return (self._total - before) / passed if passed >= 2 * INTERVAL and self._total > before else None


def left(seconds: float) -> str:
    """Return a time that is left, for people: `8 s left`, `2 min left`."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s left"
    return f"{round(seconds / 60)} min left" if seconds < 5400 else f"{seconds / 3600:.1f} h left"


@dataclass
class _Task:
    label: str
    total: int | None
    begun: float
    rate: Rate
    done: int = 0


@dataclass
class Board:
    """What is going on, as lines of text; knows no terminal.

    Attributes:
        tasks: those that go on, in the order they began.
        text: what is shown where there is no task.
        done: bytes done of all tasks since nothing was going on.
        total: bytes of all tasks that began since then, and of those that are still to begin.
        coming: tasks that were announced and have not begun.
        ended: tasks that have ended since then.
    """

    tasks: dict[str, _Task] = field(default_factory=dict)
    text: str = ""
    done: int = 0
    total: int = 0
    coming: int = 0
    coming_bytes: int = 0
    ended: int = 0
    begun: float = 0.0
    rate: Rate = field(default_factory=lambda: Rate(0.0))

    def expect(self, count: int, size: int) -> None:
        """Count tasks that will begin."""
        self.coming += count
        self.coming_bytes += size
        self.total += size

    def start(self, task: str, total: int | None, label: str, now: float) -> None:
        """Begin a task."""
        if not self.tasks and not self.ended:
            self.begun, self.rate = now, Rate(now)
        if total is not None and self.coming and total <= self.coming_bytes:
            self.coming -= 1
            self.coming_bytes -= total
        else:
            self.total += total or 0
        self.tasks[task] = _Task(label, total, now, Rate(now))

    def advance(self, task: str, n: int, now: float) -> None:
        """Count bytes of a task."""
        self.done += n
        self.rate.add(n, now)
        if task in self.tasks:
            self.tasks[task].done += n
            self.tasks[task].rate.add(n, now)

    def finish(self, task: str, now: float) -> None:
        """End a task; when it was the last, the next one counts from the beginning."""
        if self.tasks.pop(task, None) is not None:
            self.ended += 1
        if not self.tasks and not self.coming:
            self.done = self.total = self.ended = 0
            self.rate = Rate(now)

    def lines(self, width: int, now: float) -> list[str]:
        """Return what to show, no line longer than `width`."""
        if not self.tasks:
            return [_fit(self.text, _clock(now - self.begun), width)] if self.text else []
        shown = list(self.tasks.values())
        if len(shown) == 1 and not self.coming and not self.ended:
            return [_fit(*self._one(shown[0], now), width)]
        rows = [_fit("  " + first, second, width) for first, second in (self._one(t, now) for t in shown[:SHOWN])]
        more = f"  and {len(shown) - SHOWN} more" if len(shown) > SHOWN else ""
        count = len(shown) + self.coming + self.ended
        head = f"{self.ended} of {count} done"
        return [
            _fit(head, self._amount(self.done, self.total, self.rate, self.begun, now), width),
            *rows,
            *filter(None, [more]),
        ]

    def _one(self, task: _Task, now: float) -> tuple[str, str]:
        return task.label, self._amount(task.done, task.total or 0, task.rate, task.begun, now)

    @staticmethod
    def _amount(done: int, total: int, rate: Rate, begun: float, now: float) -> str:
        if not total:
            return _clock(now - begun)
        parts = [f"{human(done)} of {human(total)}"]
        speed = rate.at(now)
        if speed:
            parts.append(f"{human(speed)}/s")
            if total > done:
                parts.append(left((total - done) / speed))
        return "  ".join(parts)


def _clock(seconds: float) -> str:
    return f"({seconds:.0f} s)" if seconds >= 1 else ""


def _fit(name: str, amount: str, width: int) -> str:
    """Return `name  amount` in `width` characters: amounts are cut from their end first, then the name."""
    parts = amount.split("  ") if amount else []
    while len(parts) > 1 and min(len(name), width // 3) + 2 + len("  ".join(parts)) > width:
        parts.pop()
    tail = "  ".join(parts)
    room = width - len(tail) - 2 if tail else width
    if len(name) > room:
        name = name[: max(0, room - 1)] + "…" if room > 1 else ""
    return f"{name}  {tail}".rstrip()[:width] if tail else name


class TerminalProgress:
    """Shows what a long operation is doing, on standard error.

    On a terminal: a line for each of a few tasks and, with several, one for all of them, with bytes, rate and
    the time left. Tasks whose size nobody knows show how long they have been going on. Without a terminal each
    task is named once, when it begins, so that a log tells what happened. Nothing where the user is a program
    (`silent`).

    Args:
        silent: show nothing at all, as with `--json`.
    """

    def __init__(self, *, silent: bool = False) -> None:
        self._lock = threading.Lock()
        # Asked for here: the other threads that report know nothing of the command's options.
        self._quiet = quiet() or silent
        dumb = os.environ.get("TERM", "") in ("", "dumb")
        self._terminal = sys.stderr is not None and sys.stderr.isatty() and not self._quiet and not dumb
        self._board = Board(begun=time.monotonic())
        self._last = 0.0
        self._drawn = 0
        self._closed = threading.Event()
        if self._terminal:
            threading.Thread(target=self._tick, daemon=True).start()

    def expect(self, count: int, total_bytes: int) -> None:
        """Learn of `count` tasks of `total_bytes` together that are going to begin."""
        with self._lock:
            self._board.expect(count, total_bytes)
            if not self._terminal and not self._quiet and count > 1:
                note(f"  {count} files, {human(total_bytes)}")

    def start(self, task: str, total_bytes: int | None, label: str) -> None:
        """Begin a task of `total_bytes` (None where nobody knows)."""
        with self._lock:
            self._board.start(task, total_bytes, label, time.monotonic())
            if not self._terminal and not self._quiet:
                note(f"  {label}" + (f" ({human(total_bytes)})" if total_bytes else ""))
            self._draw(force=True)

    def advance(self, task: str, n: int) -> None:
        """Count `n` bytes more."""
        with self._lock:
            self._board.advance(task, n, time.monotonic())
            self._draw()

    def finish(self, task: str) -> None:
        """End a task."""
        with self._lock:
            self._board.finish(task, time.monotonic())
            self._draw(force=True)

    def note(self, text: str) -> None:
        """Print a line for people."""
        with self._lock:
            self._erase()
            if not self._quiet:
                note(f"  {text}")
            self._draw(force=True)

    def status(self, text: str) -> None:
        """Show `text` on the line that is rewritten."""
        with self._lock:
            self._board.text = text
            self._draw()

    def pause(self) -> None:
        """Leave the terminal to others until the next status."""
        with self._lock:
            self._board.text = ""
            self._erase()

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._closed.set()
        with self._lock:
            self._erase()

    def _tick(self) -> None:
        while not self._closed.wait(TICK):
            with self._lock:
                self._draw()

    def _draw(self, *, force: bool = False) -> None:
        now = time.monotonic()
        if not self._terminal or self._closed.is_set() or (not force and now - self._last < INTERVAL):
            return
        self._last = now
        size = shutil.get_terminal_size()
        lines = self._board.lines(max(10, size.columns - 3), now)[: max(1, size.lines - 1)]
        if not lines and not self._drawn:
            return  # The line may be somebody else's, such as a question.
        # One write: a terminal that shows half of it flickers.
        text = "\r" + _UP * max(0, self._drawn - 1)
        text += "\n".join("  " + line + _CLEAR for line in lines) if lines else _CLEAR
        surplus = max(0, self._drawn - max(1, len(lines)))
        text += ("\n" + _CLEAR) * surplus + _UP * surplus
        sys.stderr.write(text if lines else text + "\r")
        sys.stderr.flush()
        self._drawn = len(lines)

    def _erase(self) -> None:
        if self._drawn:
            rows = self._drawn
            sys.stderr.write("\r" + _UP * (rows - 1) + ("\n").join([_CLEAR] * rows) + _UP * (rows - 1) + "\r")
            sys.stderr.flush()
            self._drawn = 0
