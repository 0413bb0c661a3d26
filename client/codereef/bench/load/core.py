# SPDX-License-Identifier: Apache-2.0
"""The measuring core: one loop that sends a query when the one before is answered, and one that keeps a schedule.

The clock is `time.perf_counter_ns`. Between two queries a loop stores one integer and compares two numbers; stop
rules, progress and saving run only when they are due, between queries, never inside one. The garbage collector is
off meanwhile. Samples are kept in the order taken.

Where several processes are measured against each other they take turns (`Turns`): short ones, so that whatever
else the machine does meets all of them alike. While others run, the clock of this process stands still.

The scenarios are those of MLPerf LoadGen (Reddi et al. 2020, arXiv:1911.02549). Queries go through the inputs in
order, again and again, rather than at random, so that two runs see the same ones.
"""

from __future__ import annotations

import gc
import time
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle
from typing import Any, Optional, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.int64]
Feed = TypeVar("Feed")
NEVER = 1 << 62
# A sleep ends up to about this much late on a machine at rest; so long before its time the loop stays awake.
_AWAKE_NS = 200_000
_FIRST_ROOM = 4096
# So long, and once at least, a model runs unrecorded at the beginning of a turn: others had the caches meanwhile.
_AGAIN_NS = 5_000_000


class StopRule(Protocol):
    """Decides when enough has been measured."""

    def due(self, count: int, elapsed_ns: int) -> tuple[int, int]:
        """When to be asked next: at this sample count, or this many ns after the start, whichever comes first."""

    def reason(self, samples: Samples, elapsed_ns: int) -> str:
        """Why to stop now, or an empty string to go on."""


class Schedule(Protocol):
    """Times at which queries arrive."""

    def block(self) -> Sequence[int]:
        """The next arrivals, in ns since the start, in order; never empty."""


class Turns(Protocol):
    """Processes that measure in turns, of which one runs at a time.

    Attributes:
        seconds: length of a turn; the query under way is finished.
    """

    seconds: float

    def over(self) -> None:
        """Let the others run, and return when it is this process's turn again."""


@dataclass(frozen=True)
class Measurement:
    """What was measured.

    Attributes:
        samples_ns: latency of each query in ns, in the order taken.
        elapsed_ns: time from before the first query to after the last, with all that lies between but turns of
            other processes.
        stopped: why it ended.
        paused_ns: the part of the elapsed time in which we looked, saved and reported, and no query ran.
        last_ns: when the last query was sent, in ns since the start; in a schedule, when it was to arrive.
        waiting: queries of the schedule that had arrived and were not answered when it ended.
        kept: answers that were asked for, by the number of the query, from 0.
        unrecorded: queries at the beginning of turns, which are in no sample.
    """

    samples_ns: Samples
    elapsed_ns: int
    stopped: str
    paused_ns: int = 0
    last_ns: int = 0
    waiting: int = 0
    kept: tuple[tuple[int, Any], ...] = ()
    unrecorded: int = 0


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


class _Watch:
    """What happens between queries when it is due: rules, ticks, room for samples, answers to keep, turns."""

    def __init__(
        self,
        rules: Sequence[StopRule],
        on_tick: Callable[[Samples], None],
        tick_s: float,
        keep: Sequence[int],
        turns: Optional[Turns],
    ) -> None:
        self.store = array("q", bytes(8 * _FIRST_ROOM))
        self.kept: list[tuple[int, Any]] = []
        self.unrecorded = 0
        self._turns, self._turn_ends = turns, NEVER
        self._rules, self._on_tick, self._tick_ns = rules, on_tick, int(tick_s * 1e9)
        self._keep = sorted(keep, reverse=True)
        self._next_tick = self._tick_ns
        self._due = [(0, 0)] * len(rules)
        self._ask(range(len(rules)), 0, 0)

    def _ask(self, rules: Sequence[int], count: int, elapsed_ns: int) -> None:
        for number in rules:
            self._due[number] = self._rules[number].due(count, elapsed_ns)

    def next(self) -> tuple[int, int]:
        """At which count, and at how many ns since the start, `look` is due."""
        counts = [len(self.store), *(count for count, _ in self._due)]
        if self._keep:
            counts.append(self._keep[-1] + 1)
        return min(counts), min([self._next_tick, self._turn_ends, *(ns for _, ns in self._due)])

    def look(self, count: int, elapsed_ns: int, answer: Any) -> str:
        """Do what is due after `count` samples and return why to stop, or an empty string."""
        if self._keep and count > self._keep[-1]:
            self.kept.append((self._keep.pop(), answer))
        if count == len(self.store):
            self.store.extend(array("q", bytes(8 * count)))
        asked = [i for i, (at, ns) in enumerate(self._due) if count >= at or elapsed_ns >= ns]
        ticking = elapsed_ns >= self._next_tick
        if not asked and not ticking:
            return ""
        samples = self.samples(count)
        for number in asked:
            reason = self._rules[number].reason(samples, elapsed_ns)
            if reason:
                return reason
        self._ask(asked, count, elapsed_ns)
        if ticking:
            self._on_tick(samples)
            self._next_tick = elapsed_ns + self._tick_ns
        return ""

    def pass_on(self, elapsed_ns: int, invoke: Callable[[Feed], Any], feed: Feed) -> int:
        """Let other processes run where the turn is over, and get warm again.

        Returns:
            For how many ns the clock of the measurement stands still.
        """
        return self.begin_turn(elapsed_ns, invoke, feed) if elapsed_ns >= self._turn_ends else 0

    def begin_turn(self, elapsed_ns: int, invoke: Callable[[Feed], Any], feed: Feed) -> int:
        """Wait for the next turn where there are any; see `pass_on`."""
        if self._turns is None:
            return 0
        clock = time.perf_counter_ns
        begin = clock()
        self._turns.over()
        again = clock() + _AGAIN_NS
        while True:
            invoke(feed)
            self.unrecorded += 1
            if clock() >= again:
                break
        self._turn_ends = elapsed_ns + int(self._turns.seconds * 1e9)
        return clock() - begin

    def samples(self, count: int) -> Samples:
        """The samples so far, as an array of its own."""
        taken: Samples = np.frombuffer(self.store, dtype=np.int64, count=count).copy()
        return taken


def closed_loop(
    invoke: Callable[[Feed], Any],
    inputs: Sequence[Feed],
    rules: Sequence[StopRule],
    *,
    on_tick: Callable[[Samples], None] = lambda samples: None,
    tick_s: float = 1.0,
    keep: Sequence[int] = (),
    turns: Optional[Turns] = None,
) -> Measurement:
    """Send one query after another until a rule says stop.

    Args:
        invoke: the call that is timed.
        inputs: its arguments, taken in order and again from the start.
        rules: stop rules; the first with a reason ends the run. At least one must be sure to end it.
        on_tick: called about every `tick_s` seconds between two queries with the samples so far, for
            progress and saving. The time it takes is in no sample.
        tick_s: seconds between two ticks.
        keep: numbers of the queries, from 0, whose answers are wanted.
        turns: the turns of this process, where others are measured with it.

    Returns:
        The measurement, of at least one query.
    """
    clock = time.perf_counter_ns
    with _no_garbage_collection():
        watch = _Watch(rules, on_tick, tick_s, keep, turns)
        store, count, paused, stopped = watch.store, 0, 0, ""
        watch.begin_turn(0, invoke, inputs[0])
        next_count, next_ns = watch.next()
        start = clock()
        next_time = start + next_ns
        before = after = start
        for feed in cycle(inputs):
            before = clock()
            answer = invoke(feed)
            after = clock()
            store[count] = after - before
            count += 1
            if after < next_time and count < next_count:
                continue
            # Rules and ticks go by the time since the start with the pauses in it, as a person's watch does.
            stopped = watch.look(count, after - start, answer)
            if stopped:
                break
            away = watch.pass_on(after - start, invoke, feed)
            start += away
            next_count, next_ns = watch.next()
            next_time = start + next_ns
            paused += clock() - after - away
    return Measurement(
        watch.samples(count), after - start, stopped, paused, before - start,
        kept=tuple(watch.kept), unrecorded=watch.unrecorded,
    )  # fmt: skip


def open_loop(
    invoke: Callable[[Feed], Any],
    inputs: Sequence[Feed],
    schedule: Schedule,
    rules: Sequence[StopRule],
    *,
    on_tick: Callable[[Samples], None] = lambda samples: None,
    tick_s: float = 1.0,
    keep: Sequence[int] = (),
    turns: Optional[Turns] = None,
) -> Measurement:
    """Answer queries that arrive by a schedule, one at a time, in the order of their arrival, until a rule says stop.

    A sample is the time from a query's *scheduled arrival* to its answer: one that arrives while another is
    answered has waited, whether or not the loop was free to see it arrive. So a stall of the system under test
    is in the samples of all queries that it kept waiting (no coordinated omission).

    Sending and answering share one thread, which loses nothing while the system under test answers one call at a
    time: a queue with one server is first come, first served. Before an arrival the loop sleeps, and for the last
    0.2 ms it stays awake, for sleeping costs tens of microseconds that would look like latency.

    While rules and ticks run, the clock of the schedule stands still: no query runs then, and none arrives.

    Args:
        invoke: the call that answers.
        inputs: its arguments, taken in order and again from the start.
        schedule: when queries arrive.
        rules, on_tick, tick_s, keep, turns: as for `closed_loop`.

    Returns:
        The measurement, of at least one query.
    """
    clock, sleep = time.perf_counter_ns, time.sleep
    with _no_garbage_collection():
        watch = _Watch(rules, on_tick, tick_s, keep, turns)
        store, count, paused, stopped = watch.store, 0, 0, ""
        feeds = cycle(inputs)
        arrivals: Sequence[int] = ()
        watch.begin_turn(0, invoke, inputs[0])
        next_count, next_ns = watch.next()
        begin = start = clock()
        next_time = start + next_ns
        arrival = 0
        after = start
        while not stopped:
            drawn = clock()
            arrivals = schedule.block()
            taken = clock() - drawn
            start, next_time, paused = start + taken, next_time + taken, paused + taken
            first = count
            for arrival, feed in zip(arrivals, feeds):
                due = start + arrival
                early = due - clock()
                if early > 0:
                    if early > _AWAKE_NS:
                        sleep((early - _AWAKE_NS) / 1e9)
                    while clock() < due:
                        pass
                answer = invoke(feed)
                after = clock()
                store[count] = after - due
                count += 1
                if after < next_time and count < next_count:
                    continue
                stopped = watch.look(count, after - start, answer)
                if stopped:
                    break
                away = watch.pass_on(after - start, invoke, feed)
                next_count, next_ns = watch.next()
                taken = clock() - after
                start, begin, paused = start + taken, begin + away, paused + taken - away
                next_time = start + next_ns
    now = after - start
    waiting = bisect_right(arrivals, now) - (count - first)
    while arrivals[-1] <= now:
        arrivals = schedule.block()
        waiting += bisect_right(arrivals, now)
    return Measurement(
        watch.samples(count), after - begin, stopped, paused, arrival, waiting, tuple(watch.kept), watch.unrecorded
    )
