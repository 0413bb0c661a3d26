# SPDX-License-Identifier: Apache-2.0
"""The measuring phase: tensors prepared beforehand, warm-up, load, and the summary of what was measured.

`latency` is the inference call alone: from input tensor ready to outputs ready as arrays.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from codereef.bench import loadgen, statistics
from codereef.bench.collect import collected
from codereef.bench.collect.memory import peak_rss
from codereef.bench.datasets import Dataset
from codereef.bench.options import Options
from codereef.bench.pipeline import Pipeline, Prepared
from codereef.bench.response import FORMAT, Metric, Progress, Response, samples_as_dict, write_json

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

    def __call__(self, series: str, samples_ns: loadgen.Samples) -> None:
        begin = time.monotonic()
        if begin < self._not_before:
            return
        samples = {**self._response.samples, series: ("s", seconds_of(samples_ns))}
        write_json(self._path, {"format": FORMAT, "samples": samples_as_dict(samples)}, sync=False)
        now = time.monotonic()
        self._not_before = now + _FLUSH_SHARE * (now - begin)


class _WarmUp:
    """Stops the warm-up when both its time and its count are reached."""

    def __init__(self, seconds: float, count: int) -> None:
        self._ns, self._count = int(seconds * 1e9), count

    def due(self, count: int) -> tuple[int, int]:
        """See `loadgen.StopRule.due`."""
        # Once the time is past, every query is looked at until the count is there.
        return (self._count if count < self._count else 1 << 62), self._ns

    def reason(self, samples: loadgen.Samples, elapsed_ns: int) -> str:
        """See `loadgen.StopRule.reason`."""
        return "warm" if elapsed_ns >= self._ns and samples.size >= self._count else ""


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


def measure(
    pipeline: Pipeline, dataset: Dataset, options: Options, progress: Progress, response: Response, output: Path
) -> None:
    """Put load on a loaded model and write what was measured into the response.

    Args:
        pipeline: the model.
        dataset: where its inputs come from.
        options: how long, how often.
        progress: is told how far it is.
        response: gets samples, metrics and warnings.
        output: folder in which samples are saved on the way.
    """
    save = _Saver(output / PARTIAL, response)
    inputs = [prepared.feeds for prepared in _prepared(pipeline, dataset, options.input_limit, progress)]
    invoke = pipeline.invoke
    if options.warmup_seconds > 0:
        warmup = loadgen.single_stream(
            invoke, inputs, [_WarmUp(options.warmup_seconds, options.warmup_samples)],
            on_tick=lambda samples: progress.say("warm-up", samples.size, None),
        )  # fmt: skip
        response.samples["warmup"] = ("s", seconds_of(warmup.samples_ns))
    # Before samples are kept and intervals drawn: those arrays are ours and not the model's.
    record_memory(response)
    begin = time.monotonic()

    def tick(samples: loadgen.Samples) -> None:
        done = min(1.0, (time.monotonic() - begin) / options.max_seconds)
        progress.say("measure", samples.size, None, done)
        save("latency", samples)

    # What the phase takes of the machine is recorded around this block; only the load may stand in it.
    with collected(response) as collection:
        measured = loadgen.single_stream(
            invoke,
            inputs,
            [
                loadgen.Budget(options.max_seconds),
                loadgen.MaxCount(options.max_samples),
                loadgen.NarrowInterval(options.relative_width, options.confidence, options.min_samples),
            ],
            on_tick=tick,
        )
        collection.queries = measured.samples_ns.size
    save("latency", measured.samples_ns)
    progress.say("measure", measured.samples_ns.size, measured.samples_ns.size, 1.0)
    _summarise(seconds_of(measured.samples_ns), measured.stopped, options, response)


def _summarise(seconds: list[float], stopped: str, options: Options, response: Response) -> None:
    response.samples["latency"] = ("s", seconds)
    summary = statistics.summarise_latency(seconds, options.confidence, options.seed)
    response.metrics.update(summary.metrics)
    response.warnings += summary.warnings
    median = summary.metrics["latency_p50"]
    if median.value and median.interval:
        width = (median.interval[1] - median.interval[0]) / median.value
        if width > options.relative_width:
            response.warnings.append(
                f"the {options.confidence:.0%} interval of latency_p50 is {width:.1%} wide, "
                f"{options.relative_width:.1%} was asked for ({stopped})"
            )
