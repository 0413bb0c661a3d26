# SPDX-License-Identifier: Apache-2.0
"""What sends the queries of a plan: the core of this package. `mlperf` does the same through MLPerf LoadGen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Optional

import codereef
from codereef.bench.load.core import Measurement, Samples, Turns, closed_loop, open_loop
from codereef.bench.load.plan import SERVER, Plan, PoissonArrivals
from codereef.bench.load.queries import Feeds, answers_of, caller, make_queries
from codereef.bench.load.verdict import Verdict, judge

Invoke = Callable[[Feeds], dict[str, Any]]
NAME = "codereef"


@dataclass(frozen=True)
class Driven:
    """What a driver hands back.

    Attributes:
        driver: its name.
        version: its version.
        measured: what was measured.
        samples: samples that were answered.
        verdict: whether the scenario's rules were kept.
        answers: outputs that were asked for, by the number of the sample.
        figures: metrics as the driver itself reports them, in SI units, where it does.
        log: its own log, as it wrote it.
    """

    driver: str
    version: str
    measured: Measurement
    samples: int
    verdict: Verdict
    answers: Mapping[int, Feeds] = field(default_factory=dict)
    figures: Mapping[str, float] = field(default_factory=dict)
    log: Optional[str] = None


def drive(
    plan: Plan,
    invoke: Invoke,
    feeds: Sequence[Feeds],
    *,
    on_tick: Callable[[Samples], None] = lambda samples: None,
    keep: Sequence[int] = (),
    turns: Optional[Turns] = None,
) -> Driven:
    """Send the queries of a plan and judge the run.

    Args:
        plan: what is asked for.
        invoke: one inference.
        feeds: the tensors of each sample.
        on_tick: called about once a second with the latencies so far, in ns.
        keep: numbers of the samples whose outputs are wanted; of each, the answer to one query that is drawn.
        turns: the turns of this process, where others are measured with it.
    """
    queries = make_queries(feeds, plan.samples_per_query, plan.batch)
    answer, inputs = caller(invoke, queries)
    wanted = _drawn(plan, [query.samples for query in queries], keep)
    numbers = sorted(set(wanted.values()))
    rules = plan.rules(together=turns is not None)
    if plan.scenario == SERVER:
        arrivals = PoissonArrivals(plan.target_qps, plan.options.seed)
        measured = open_loop(answer, inputs, arrivals, rules, on_tick=on_tick, keep=numbers, turns=turns)
    else:
        measured = closed_loop(answer, inputs, rules, on_tick=on_tick, keep=numbers, turns=turns)
    found: dict[int, Feeds] = {}
    for number, outputs in measured.kept:
        for sample, each in answers_of(queries[number % len(queries)], outputs, plan.batch):
            if wanted.get(sample) == number:
                found[sample] = each
    samples = measured.samples_ns.size * plan.samples_per_query
    return Driven(NAME, codereef.__version__, measured, samples, judge(plan, measured), found)


def _drawn(plan: Plan, queries: Sequence[tuple[int, ...]], keep: Sequence[int]) -> dict[int, int]:
    """The number of the query whose answer is kept, for each sample; within the queries that are sure to be sent."""
    rounds = max(1, plan.min_queries // len(queries))
    random = Random(plan.options.seed)
    first = {sample: number for number, samples in enumerate(queries) for sample in samples}
    return {s: first[s] + len(queries) * random.randrange(rounds) for s in keep if s in first}
