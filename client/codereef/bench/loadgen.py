# SPDX-License-Identifier: Apache-2.0
"""The measuring core: the single-stream scenario, where each query is sent when the one before is answered.

Timed is the call alone, with the monotonic clock `time.perf_counter_ns`. Between two queries the loop stores
one integer and compares two numbers; stop rules, progress and saving run only when they are due, between
queries, never inside one. The garbage collector is off meanwhile. Samples are kept in the order taken.

The scenario is MLPerf LoadGen's SingleStream (Reddi et al. 2020, arXiv:1911.02549); queries go through the
inputs in order, again and again, rather than at random, so that two runs see the same ones.
"""

from __future__ import annotations

import gc
import time
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from codereef.bench.statistics import bootstrap, median_interval, middle

Samples = npt.NDArray[np.int64]
Feed = TypeVar("Feed")
_NEVER = 1 << 62
_DRAWS = 300


class StopRule(Protocol):
    """Decides when enough has been measured."""

    def due(self, count: int) -> tuple[int, int]:
        """When to be asked next: at this sample count, or after this many ns, whichever comes first."""

    def reason(self, samples: Samples, elapsed_ns: int) -> str:
        """Why to stop now, or an empty string to go on."""


@dataclass(frozen=True)
class Budget:
    """Stops when `seconds` have passed since the start; the query under way is finished."""

    seconds: float

    def due(self, count: int) -> tuple[int, int]:
        """See `StopRule.due`."""
        return _NEVER, int(self.seconds * 1e9)

    def reason(self, samples: Samples, elapsed_ns: int) -> str:
        """See `StopRule.reason`."""
        return f"the budget of {self.seconds:g} s ended" if elapsed_ns >= self.seconds * 1e9 else ""


@dataclass(frozen=True)
class MaxCount:
    """Stops after `count` samples."""

    count: int

    def due(self, count: int) -> tuple[int, int]:
        """See `StopRule.due`."""
        return self.count, _NEVER

    def reason(self, samples: Samples, elapsed_ns: int) -> str:
        """See `StopRule.reason`."""
        return f"{self.count} samples were taken" if samples.size >= self.count else ""


@dataclass(frozen=True)
class NarrowInterval:
    """Stops when the confidence interval of the median is narrow, once there are `min_samples`.

    It looks when the count has grown by a quarter, so seldom that looking hardly disturbs: first at the cheap
    interval from order statistics, and when that is narrow at the block bootstrap's, which is the one that is
    reported (with more draws). Looking more than once makes the true confidence somewhat lower than the
    nominal one.

    Attributes:
        relative_width: width of the interval as a fraction of the median.
        confidence: level of the interval, 0 to 1.
        min_samples: fewest samples.
    """

    relative_width: float
    confidence: float
    min_samples: int

    def due(self, count: int) -> tuple[int, int]:
        """See `StopRule.due`."""
        return max(self.min_samples, count + max(16, count // 4)), _NEVER

    def reason(self, samples: Samples, elapsed_ns: int) -> str:
        """See `StopRule.reason`."""
        if samples.size < self.min_samples:
            return ""
        quick = median_interval(np.sort(samples).tolist(), self.confidence)
        allowed = self.relative_width * float(np.median(samples))
        if quick is None or quick[1] - quick[0] > allowed:
            return ""
        (medians,), _ = bootstrap(samples.tolist(), (0.5,), seed=0, draws=_DRAWS)
        low, high = middle(medians, self.confidence)
        if high - low > allowed:
            return ""
        return f"the {self.confidence:.0%} interval of the median is narrow enough"


@dataclass(frozen=True)
class Measurement:
    """What was measured.

    Attributes:
        samples_ns: latency of each query in ns, in the order taken.
        elapsed_ns: time from before the first query to after the last, with all that lies between.
        stopped: why it ended.
    """

    samples_ns: Samples
    elapsed_ns: int
    stopped: str


def single_stream(
    invoke: Callable[[Feed], Any],
    inputs: Sequence[Feed],
    rules: Sequence[StopRule],
    *,
    on_tick: Callable[[Samples], None] = lambda samples: None,
    tick_s: float = 1.0,
) -> Measurement:
    """Send one query after another until a rule says stop.

    Args:
        invoke: the call that is timed.
        inputs: its arguments, taken in order and again from the start.
        rules: stop rules; the first with a reason ends the run. At least one must be sure to end it.
        on_tick: called about every `tick_s` seconds between two queries with the samples so far, for
            progress and saving. The time it takes is in no sample.
        tick_s: seconds between two ticks.

    Returns:
        The measurement, of at least one query.
    """
    clock = time.perf_counter_ns
    store = array("q", bytes(8 * 4096))
    count, position, stopped = 0, 0, ""
    last_input = len(inputs) - 1
    tick_ns = int(tick_s * 1e9)
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        start = clock()
        next_tick = start + tick_ns
        next_count = min([len(store)] + [rule.due(0)[0] for rule in rules])
        next_time = min([next_tick] + [start + rule.due(0)[1] for rule in rules])
        while True:
            feed = inputs[position]
            position = position + 1 if position < last_input else 0
            before = clock()
            invoke(feed)
            after = clock()
            store[count] = after - before
            count += 1
            if after < next_time and count < next_count:
                continue
            samples = np.array(store[:count], dtype=np.int64)
            for rule in rules:
                stopped = rule.reason(samples, after - start)
                if stopped:
                    break
            if stopped:
                break
            if count == len(store):
                store.extend(array("q", bytes(8 * count)))
            if after >= next_tick:
                on_tick(samples)
                next_tick = clock() + tick_ns
            next_count = min([len(store)] + [rule.due(count)[0] for rule in rules])
            next_time = min([next_tick] + [start + rule.due(count)[1] for rule in rules])
    finally:
        if was_enabled:
            gc.enable()
    return Measurement(samples, after - start, stopped)
