# SPDX-License-Identifier: Apache-2.0
"""The cost of measuring itself: the measuring loop around a call that does nothing, in this very process.

`harness_cost` is what the loop takes for a query beside the query. `timer_cost` is the part of it that lies
between the two readings of the clock, and so is in each latency.
"""

from __future__ import annotations

import gc
from statistics import median

from codereef.bench.response import Metric

BATCHES, QUERIES = 9, 2000


def _nothing(feed: None) -> None:
    """The query that does nothing."""


def harness_metrics() -> dict[str, Metric]:
    """Measure the loop: nine batches of 2,000 empty queries after one that is not counted, some 10 ms in all.

    Value is the median over batches. The interval is from the smallest to the largest batch, which holds the
    median of n independent values with the probability 1 - 2 ** (1 - n).
    """
    # The one place that names the measuring core.
    from codereef.bench.load.core import closed_loop
    from codereef.bench.load.rules import MaxCount

    per_query, inside = [], []
    # Else the core's garbage collection would look at the whole process before every batch.
    gc.freeze()
    try:
        for _ in range(BATCHES + 1):
            measured = closed_loop(_nothing, [None], [MaxCount(QUERIES)])
            count = len(measured.samples_ns)
            per_query.append(measured.elapsed_ns / count / 1e9)
            inside.append(float(median(measured.samples_ns.tolist())) / 1e9)
    finally:
        gc.unfreeze()
    what = f"single-stream loop around an empty Python function, median of {BATCHES} batches of {QUERIES}"
    return {
        "harness_cost": _metric(per_query[1:], f"{what}, elapsed time / queries, two clock readings and the call included"),
        "timer_cost": _metric(inside[1:], f"{what}, between the two clock readings: it is part of each latency"),
    }  # fmt: skip


def _metric(values: list[float], method: str) -> Metric:
    confidence = 1 - 2.0 ** (1 - len(values))
    return Metric(
        median(values), "s", "lower", f"{method}; interval from the smallest to the largest batch",
        len(values), interval=(min(values), max(values)), confidence=confidence,
    )  # fmt: skip
