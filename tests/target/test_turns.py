# SPDX-License-Identifier: Apache-2.0
"""Programs that run in turns: one at a time, each with its own time limit, and none left behind."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from codereef.target.local import Child, clean_environment
from codereef.waiting import Signal, wait_for_either

pytestmark = pytest.mark.slow

#: Says how often it was let run; `over` is a turn's end.
COUNTS = """
import sys, time
for n in range({turns}):
    print('working', n, time.monotonic(), flush=True); time.sleep({seconds}); print('done', n, time.monotonic(), flush=True)
    print('over', flush=True); sys.stdin.readline() or sys.exit(5)
"""


class Program:
    """A child whose line `over` ends its turn; `lines` are the others."""

    def __init__(
        self, tmp_path: Path, code: str, timeout: float = 20.0, read: Callable[[str], object] | None = None
    ) -> None:
        self.lines: list[str] = []
        self.child = Child(
            [sys.executable, "-I", "-c", code],
            cwd=tmp_path,
            environ=clean_environment(os.environ),
            timeout=timeout,
            on_line=read or self._read,
            turns=True,
        )

    def _read(self, line: str) -> None:
        if line == "over":
            self.child.turn_over()
        else:
            self.lines.append(line)


def test_two_programs_never_run_at_the_same_time(tmp_path: Path) -> None:
    programs = [Program(tmp_path, COUNTS.format(turns=5, seconds=0.05)) for _ in range(2)]
    going = list(programs)
    while going:
        going = [program for program in going if program.child.proceed()]
    assert [program.child.outcome().status for program in programs] == ["ok", "ok"]
    spans = sorted(
        (float(begin.split()[2]), float(end.split()[2]))
        for program in programs
        for begin, end in zip(program.lines[::2], program.lines[1::2])
    )
    assert len(spans) == 10
    assert all(end <= begin for (_, end), (begin, _) in pairwise(spans))


def test_the_time_of_others_counts_towards_no_limit(tmp_path: Path) -> None:
    program = Program(tmp_path, COUNTS.format(turns=3, seconds=0.05), timeout=1.5)
    assert program.child.proceed()
    time.sleep(1.6)
    while program.child.proceed():
        pass
    outcome = program.child.outcome()
    assert outcome.status == "ok" and 0.15 < outcome.seconds < 1.5


def test_a_program_that_keeps_its_turn_runs_into_its_limit(tmp_path: Path) -> None:
    program = Program(tmp_path, COUNTS.format(turns=1, seconds=0) + "time.sleep(60)", timeout=0.8)
    assert program.child.proceed()
    began = time.monotonic()
    assert not program.child.proceed()
    assert program.child.outcome().status == "timeout" and time.monotonic() - began < 5


def test_a_program_that_ends_while_others_run_is_found_so(tmp_path: Path) -> None:
    program = Program(tmp_path, "import os; print('over', flush=True); os.abort()")
    assert program.child.proceed() in (True, False), "the end may be seen before the line"
    time.sleep(0.5)
    assert not program.child.proceed()
    assert program.child.outcome().status == "crashed"
    assert not program.child.proceed(), "and stays so"


def test_a_program_that_waits_can_be_stopped(tmp_path: Path) -> None:
    code = "import os; print(os.getpid(), flush=True)\n" + COUNTS.format(turns=9, seconds=0)
    program = Program(tmp_path, code)
    assert program.child.proceed()
    program.child.stop()
    assert program.child.outcome().status == "interrupted"
    with pytest.raises(ProcessLookupError):
        os.kill(int(program.lines[0]), 0)


def test_trouble_with_its_lines_ends_a_program_that_takes_turns(tmp_path: Path) -> None:
    program = Program(
        tmp_path, "import time; print('first', flush=True); print('over', flush=True); time.sleep(60)", read=int
    )
    began = time.monotonic()
    assert not program.child.proceed()
    assert time.monotonic() - began < 10
    with pytest.raises(ValueError, match="first"):
        program.child.outcome()


def test_one_that_never_started_has_no_outcome_but_being_interrupted(tmp_path: Path) -> None:
    program = Program(tmp_path, "")
    assert not program.child.started
    program.child.stop()
    assert program.child.outcome().status == "interrupted" and not program.child.proceed()


def test_a_wait_ends_with_whatever_comes_first() -> None:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(0.6)"])
    signal = Signal()
    try:
        threading.Timer(0.1, signal.set).start()
        began = time.monotonic()
        assert wait_for_either(process, signal, 5) is None and time.monotonic() - began < 0.5
        with pytest.raises(subprocess.TimeoutExpired):
            wait_for_either(process, signal, 0.05)
        assert wait_for_either(process, signal, 5) == 0
    finally:
        process.wait()
        signal.close()
    signal.set()  # nobody waits any more; nothing happens


def test_a_wait_asks_where_the_kernel_does_not_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "pidfd_open", raising=False)
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(0.4)"])
    signal = Signal()
    try:
        with pytest.raises(subprocess.TimeoutExpired):
            wait_for_either(process, signal, 0.05)
        signal.set()
        assert wait_for_either(process, signal, 5) is None
        assert wait_for_either(process, signal, 5) == 0
    finally:
        process.wait()
        signal.close()
