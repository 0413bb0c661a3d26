# SPDX-License-Identifier: Apache-2.0
"""The measuring phase: tensors prepared beforehand, warm-up, load, and the summary of what was measured.

`latency` is that of a query, in the scenario single-stream the inference call alone: from input tensor ready to
outputs ready as arrays.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Optional

import numpy as np

from codereef.bench.collect import collected
from codereef.bench.collect.memory import peak_rss
from codereef.bench.datasets import Dataset, Item
from codereef.bench.load import driver, mlperf
from codereef.bench.load.core import Samples, closed_loop
from codereef.bench.load.plan import OFFLINE, SINGLE, Plan, make_plan
from codereef.bench.load.queries import Feeds, caller, check_batch, make_queries
from codereef.bench.load.rules import Steady
from codereef.bench.load.summary import headline, series_name, summarise
from codereef.bench.options import Options
from codereef.bench.pipeline import Pipeline, Prepared
from codereef.bench.response import FORMAT, Metric, Progress, Response, samples_as_dict, write_json
from codereef.bench.turns import ClientTurns
from codereef.errors import OptionError, RunError

PARTIAL = "samples.partial.json"
_CACHE_BYTES = 256 * 1024 * 1024
_FLUSH_SHARE = 20  # saving may take one twentieth of the time


def seconds_of(samples_ns: Any) -> list[float]:
    """Return times in nanoseconds as seconds."""
    seconds: list[float] = (np.asarray(samples_ns, dtype=np.float64) / 1e9).tolist()
    return seconds


def record_memory(response: Response) -> None:
    """Add the metric `peak_rss` of this process up to now."""
    peak, source = peak_rss()
    method = f"{source}, of the whole process until the end of the warm-up"
    response.metrics["peak_rss"] = Metric(float(peak), "B", "lower", method, 1)


class _Saver:
    """Saves raw samples between queries, so that a kill loses seconds at most."""

    def __init__(self, path: Path, response: Response) -> None:
        self._path, self._response, self._not_before = path, response, 0.0

    def __call__(self, series: str, samples_ns: Samples) -> None:
        begin = time.monotonic()
        if begin < self._not_before:
            return
        samples = {**self._response.samples, series: ("s", seconds_of(samples_ns))}
        write_json(self._path, {"format": FORMAT, "samples": samples_as_dict(samples)}, sync=False)
        now = time.monotonic()
        self._not_before = now + _FLUSH_SHARE * (now - begin)


def _prepared(pipeline: Pipeline, dataset: Dataset, limit: int, progress: Progress) -> list[Prepared]:
    """As many images as tensors as the cache may hold, and at least one."""
    cache: list[Prepared] = []
    held = 0
    for item in dataset.items[:limit]:
        prepared = pipeline.prepare(item)
        held += prepared.size
        if cache and held > _CACHE_BYTES:
            break
        cache.append(prepared)
        progress.say("prepare", len(cache), min(limit, len(dataset.items)))
    return cache


@dataclass(frozen=True)
class Answer:
    """What the model gave for one input during the measured run."""

    item: Item
    prepared: Prepared
    outputs: Feeds


def measure(
    pipeline: Pipeline,
    dataset: Dataset,
    options: Options,
    progress: Progress,
    response: Response,
    output: Path,
    scenario: str = SINGLE,
    alone: bool = True,
    turns: Optional[ClientTurns] = None,
) -> tuple[Answer, ...]:
    """Put load on a loaded model and write what was measured into the response.

    Args:
        pipeline: the model.
        dataset: where its inputs come from.
        options: how long, how often, by what.
        progress: is told how far it is.
        response: gets samples, metrics, the load and warnings.
        output: folder in which samples are saved on the way, and which gets the driver's logs.
        scenario: MLPerf's name of the load pattern.
        alone: whether no other process shares the measurement; else only all of them know how wide its interval is.
        turns: those of this process, where it is measured in turns with others; MLPerf LoadGen knows none.

    Returns:
        With the option `accuracy=sampled`, answers of the measured run, each of another input; else none.

    Raises:
        OptionError: the scenario and the options do not go together, or the model cannot take the batch.
    """
    plan = make_plan(scenario, options)
    if options.driver == mlperf.NAME:
        mlperf.check(plan)
        turns = None
    save = _Saver(output / PARTIAL, response)
    prepared = _prepared(pipeline, dataset, options.input_limit, progress)
    feeds = [each.feeds for each in prepared]
    if plan.batch > 1:
        _enlarge(pipeline, feeds, plan.batch)
    expected = _warm_up(pipeline, plan, feeds, progress, response)
    # Before samples are kept and intervals drawn: those arrays are ours and not the model's.
    record_memory(response)
    begin = time.monotonic()

    def tick(samples: Samples) -> None:
        away = 0.0 if turns is None else turns.waited
        done = min(1.0, (time.monotonic() - begin - away) / options.max_seconds)
        progress.say("measure", samples.size, None, done)
        save(series_name(plan), samples)

    keep = _chosen(options, len(feeds))
    # What the phase takes of the machine is recorded around this block; only the load may stand in it.
    with collected(response, harness=options.driver != mlperf.NAME, turns=turns is not None) as collection:
        if options.driver == mlperf.NAME:
            driven = mlperf.drive(plan, pipeline.invoke, feeds, output, expected, on_tick=tick, keep=keep)
        else:
            driven = driver.drive(plan, pipeline.invoke, feeds, on_tick=tick, keep=keep, turns=turns)
        collection.queries = driven.measured.samples_ns.size
        collection.unrecorded = driven.measured.unrecorded
    if plan.batch > 1:
        pipeline.session.resize_batch(1)
    count = driven.measured.samples_ns.size
    save(series_name(plan), driven.measured.samples_ns)
    progress.say("measure", count, count, 1.0)
    _record(plan, driven, response, alone)
    return tuple(Answer(dataset.items[i], prepared[i], outputs) for i, outputs in sorted(driven.answers.items()))


def _enlarge(pipeline: Pipeline, feeds: Sequence[Feeds], batch: int) -> None:
    """Let the model take `batch` samples at once, and see that it answers for each."""
    single = pipeline.invoke(feeds[0])
    pipeline.session.resize_batch(batch)
    query = make_queries(feeds, batch, batch)[0]
    try:
        joined = pipeline.invoke(query.parts[0])
    except RunError as error:
        raise OptionError(
            f"{batch} samples cannot be joined: {error.message}", hint="measure it with batch=1"
        ) from error
    check_batch(single, joined, batch)


def _warm_up(pipeline: Pipeline, plan: Plan, feeds: Sequence[Feeds], progress: Progress, response: Response) -> float:
    """Send queries until the model is warm; returns what one takes about, in seconds."""
    options = plan.options
    answer, inputs = caller(pipeline.invoke, make_queries(feeds, plan.samples_per_query, plan.batch))
    rule = Steady(options.warmup_seconds, options.warmup_samples if options.warmup_seconds > 0 else 1)
    if options.warmup_seconds == 0 and options.driver != mlperf.NAME:
        return 0.0
    warmed = closed_loop(
        answer, inputs, [rule], on_tick=lambda samples: progress.say("warm-up", samples.size, None)
    )  # fmt: skip
    if options.warmup_seconds > 0:
        response.samples["warmup"] = ("s", seconds_of(warmed.samples_ns))
    return float(np.median(warmed.samples_ns)) / 1e9


def _chosen(options: Options, inputs: int) -> list[int]:
    """The inputs whose answers are scored, drawn by the seed; none unless accuracy is sampled."""
    if options.accuracy != "sampled":
        return []
    most = min(options.accuracy_limit or inputs, inputs)
    return sorted(Random(options.seed).sample(range(inputs), most))


def _record(plan: Plan, driven: driver.Driven, response: Response, alone: bool) -> None:
    options, measured = plan.options, driven.measured
    seconds = seconds_of(measured.samples_ns)
    response.samples[series_name(plan)] = ("s", seconds)
    summary = summarise(plan, driven, seconds)
    response.metrics.update(summary.metrics)
    response.warnings += summary.warnings
    queries = 1 if plan.scenario == OFFLINE else measured.samples_ns.size
    load: dict[str, object] = {
        "driver": driven.driver,
        "version": driven.version,
        "settings": plan.settings(),
        "queries": queries,
        "samples": driven.samples,
        "stopped": measured.stopped,
        "valid": driven.verdict.valid,
        "reasons": list(driven.verdict.reasons),
    }
    if driven.log is not None:
        load["log"] = driven.log
    response.load = load
    if not driven.verdict.valid:
        response.warnings.append(f"not valid by the rules of {plan.scenario}: {'; '.join(driven.verdict.reasons)}")
    name = headline(plan)
    metric = summary.metrics.get(name)
    if alone and options.stop == "interval" and metric is not None and metric.value and metric.interval:
        width = (metric.interval[1] - metric.interval[0]) / metric.value
        if width > options.relative_width:
            response.warnings.append(
                f"the {options.confidence:.0%} interval of {name} is {width:.1%} wide, "
                f"{options.relative_width:.1%} was asked for ({measured.stopped})"
            )
