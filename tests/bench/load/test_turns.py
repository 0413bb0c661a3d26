# SPDX-License-Identifier: Apache-2.0
"""Measuring in turns with other processes: what others take is in no number, and a turn begins warm."""

from __future__ import annotations

import os
import threading
import time

import numpy as np
import pytest
from codereef.bench.load.core import closed_loop, open_loop
from codereef.bench.load.plan import SINGLE, PoissonArrivals, make_plan
from codereef.bench.load.rules import Budget, MaxCount, NarrowInterval
from codereef.bench.options import Options
from codereef.bench.turns import OVER, ClientTurns
from codereef.errors import RunError

MS = 1_000_000


class Others:
    """Others that run for `away` seconds each time; notes when they began and ended."""

    def __init__(self, seconds: float, away: float) -> None:
        self.seconds, self._away = seconds, away
        self.spans: list[tuple[float, float]] = []

    def over(self) -> None:
        begin = time.perf_counter()
        time.sleep(self._away)
        self.spans.append((begin, time.perf_counter()))


@pytest.mark.slow
def test_what_others_take_is_in_no_number() -> None:
    others, begin = Others(0.05, 0.2), time.perf_counter()
    measured = closed_loop(time.sleep, [0.001], [Budget(0.3)], turns=others)
    took = time.perf_counter() - begin
    # One wait before the first turn, then one after each turn of 0.05 s but the last.
    assert 5 <= len(others.spans) <= 7
    assert took >= 0.2 * len(others.spans) + 0.3
    assert 0.3 <= measured.elapsed_ns / 1e9 < 0.4
    assert measured.paused_ns / 1e9 < 0.05
    assert measured.samples_ns.max() < 150 * MS
    assert measured.last_ns < measured.elapsed_ns


@pytest.mark.slow
def test_a_turn_lasts_as_long_as_was_said() -> None:
    others = Others(0.08, 0.02)
    closed_loop(time.sleep, [0.002], [Budget(0.5)], turns=others)
    own = [after[0] - before[1] for before, after in zip(others.spans, others.spans[1:])]
    # 5 ms of getting warm again come first.
    assert np.median(own) == pytest.approx(0.085, abs=0.015)


@pytest.mark.slow
def test_a_turn_begins_with_queries_that_are_not_recorded() -> None:
    others, calls = Others(0.02, 0.01), []
    measured = closed_loop(lambda feed: calls.append(time.sleep(0.001)), [None], [Budget(0.1)], turns=others)
    assert measured.unrecorded >= len(others.spans)
    assert len(calls) == measured.samples_ns.size + measured.unrecorded
    slow = closed_loop(time.sleep, [0.03], [MaxCount(3)], turns=Others(0.02, 0.01))
    assert (slow.samples_ns.size, slow.unrecorded) == (3, 3), "one query is enough where it takes longer"
    assert closed_loop(time.sleep, [0.001], [MaxCount(3)]).unrecorded == 0


@pytest.mark.slow
def test_no_query_of_a_schedule_waits_for_others() -> None:
    others = Others(0.05, 0.2)
    measured = open_loop(lambda feed: None, [None], PoissonArrivals(1000, 1), [Budget(0.3)], turns=others)
    assert len(others.spans) >= 5
    assert measured.samples_ns.max() < 100 * MS
    assert 0.3 <= measured.elapsed_ns / 1e9 < 0.4
    assert 200 < measured.samples_ns.size < 400
    assert measured.waiting < 20


def test_every_process_measures_for_its_whole_share() -> None:
    plan = make_plan(SINGLE, Options())
    assert any(isinstance(rule, NarrowInterval) for rule in plan.rules())
    assert not any(isinstance(rule, NarrowInterval) for rule in plan.rules(together=True))
    assert any(isinstance(rule, Budget) for rule in plan.rules(together=True))
    counted = make_plan(SINGLE, Options(stop="count", max_samples=7))
    assert counted.rules(together=True) == counted.rules()


def test_turns_are_asked_for_and_given_by_lines() -> None:
    ours, theirs = os.pipe(), os.pipe()
    with os.fdopen(ours[1], "w") as output, os.fdopen(theirs[0]) as given:
        turns = ClientTurns(0.1, output, given)
        waiting = threading.Thread(target=turns.over)
        waiting.start()
        assert os.read(ours[0], 100).decode() == OVER + "\n"
        waiting.join(0.1)
        assert waiting.is_alive(), "it waits for the answer"
        os.write(theirs[1], b"\n")
        waiting.join(5)
        assert not waiting.is_alive() and 0.05 < turns.waited < 5
        os.close(theirs[1])
        with pytest.raises(RunError, match="has gone"):
            turns.over()
        os.close(ours[0])
    # Closing the stream flushed what nobody reads.


def test_nobody_to_ask_is_an_error_and_not_a_wait() -> None:
    read, write = os.pipe()
    os.close(read)
    with open(os.devnull) as given:
        output = os.fdopen(write, "w")
        with pytest.raises(RunError, match="cannot be reached"):
            ClientTurns(0.1, output, given).over()
        with pytest.raises(BrokenPipeError):
            output.close()
