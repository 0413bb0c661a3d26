# SPDX-License-Identifier: Apache-2.0
"""The block around the measuring phase that starts and stops every collector."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Optional

from codereef.bench.affinity import affinity
from codereef.bench.collect.base import Collector, Phase, not_available
from codereef.bench.collect.harness import harness_metrics
from codereef.bench.collect.nvml import Nvml
from codereef.bench.collect.rapl import Rapl
from codereef.bench.collect.ticks import Ticks
from codereef.bench.collect.usage import Usage
from codereef.bench.response import Response

#: Why numbers of the whole machine are missing.
SHARED = "other processes were measured in turns with this one"


class Collection:
    """A block around one measuring phase; see `collected`.

    Attributes:
        queries: how many queries the phase answered and recorded; to be set inside the block.
        unrecorded: how many it answered besides; to be set inside the block.
    """

    def __init__(
        self, response: Response, collectors: Sequence[Collector], *, harness: bool, others: Sequence[Collector] = ()
    ) -> None:
        self.queries = self.unrecorded = 0
        self._response, self._collectors, self._harness = response, collectors, harness
        self._others = others
        self._failed: dict[int, str] = {}
        self._begin = 0.0

    def __enter__(self) -> Collection:
        if self._harness:
            self._response.metrics.update(harness_metrics())
        for number, collector in enumerate(self._collectors):
            try:
                collector.start()
            except Exception as error:  # A source that surprises us costs its own numbers, not the measurement.
                self._failed[number] = f"{type(error).__name__}: {error}"
        # CLOCK_MONOTONIC, so that the client's process can tell which of its readings lie inside.
        self._begin = time.monotonic()
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        end = time.monotonic()
        if kind is not None:
            return
        phase = Phase(end - self._begin, self.queries + self.unrecorded)
        # The last that was started is the cheapest and closest to the queries, so it is read first.
        for number, collector in reversed(list(enumerate(self._collectors))):
            try:
                if number in self._failed:
                    raise RuntimeError(self._failed[number])
                metrics = collector.stop(phase)
            except Exception as problem:
                metrics = not_available(collector.metrics, f"reading failed ({problem})")
            self._response.metrics.update(metrics)
        for collector in self._others:
            self._response.metrics.update(not_available(collector.metrics, SHARED))
        facts = {"begin": self._begin, "end": end, "queries": self.queries, "affinity": affinity()}
        self._response.phase = {**facts, "shared": True} if self._others else facts


def collected(response: Response, *, harness: bool = True, turns: bool = False, root: Path = Path("/")) -> Collection:
    """Record what a measuring phase takes: put the load, and nothing else, into its block.

    Args:
        response: gets the metrics and the times of the phase when the block ends well.
        harness: whether the measuring core of this package sends the queries, so that its own cost is measured
            before the phase.
        turns: whether other processes are measured in turns with this one: what is counted of the whole machine
            or of a device is then not that of this process.
        root: where the machine's file system begins.
    """
    providers = response.runtime.get("providers")
    listed = [str(provider) for provider in providers] if isinstance(providers, (list, tuple)) else []
    whole: tuple[Collector, ...] = (Nvml(listed), Rapl(root), Ticks(root))
    if turns:
        return Collection(response, (Usage(),), harness=harness, others=whole)
    return Collection(response, (*whole, Usage()), harness=harness)
