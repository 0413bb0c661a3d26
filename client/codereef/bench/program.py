# SPDX-License-Identifier: Apache-2.0
"""The measuring programs: from a request file to a response file.

Phases of `benchmark`: load, first inference, warm-up, measurement over tensors prepared beforehand, then the
accuracy pass over the dataset. `validate` leaves the measurement out; `run` handles a few images.

`latency` is the inference call alone: from input tensor ready to outputs ready as arrays. Pre-processing
(image file to tensor) and post-processing (arrays to detections or classes) are series of their own, taken in
the accuracy pass.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional, TextIO

import numpy as np

from codereef.bench import loadgen, statistics
from codereef.bench.datasets import Dataset, Item, open_dataset
from codereef.bench.memory import peak_rss
from codereef.bench.options import parse_options
from codereef.bench.pipeline import Pipeline, Prepared
from codereef.bench.request import Request, read_request
from codereef.bench.response import FORMAT, Metric, Progress, Response, samples_as_dict, write_json
from codereef.bench.tasks import Task, task_for
from codereef.errors import CrError

PARTIAL = "samples.partial.json"
_INTERRUPTED = "interrupted; samples.partial.json holds what was measured up to shortly before"
_CACHE_BYTES = 256 * 1024 * 1024
_FLUSH_SHARE = 20  # saving may take one twentieth of the time


class _Saver:
    """Saves raw samples between queries, so that a kill loses seconds at most."""

    def __init__(self, path: Path, response: Response) -> None:
        self._path, self._response, self._not_before = path, response, 0.0

    def __call__(self, series: str, samples_ns: loadgen.Samples) -> None:
        begin = time.monotonic()
        if begin < self._not_before:
            return
        samples = {**self._response.samples, series: ("s", _seconds(samples_ns))}
        write_json(self._path, {"format": FORMAT, "samples": samples_as_dict(samples)}, sync=False)
        now = time.monotonic()
        self._not_before = now + _FLUSH_SHARE * (now - begin)


def _seconds(samples_ns: Any) -> list[float]:
    seconds: list[float] = (np.asarray(samples_ns, dtype=np.float64) / 1e9).tolist()
    return seconds


class Program:
    """One execution of a measuring program.

    Args:
        task: `object-detection` or `image-classification`.
        request: what to do.
        progress: where progress is said.
        response: filled in as far as it goes, so that a failure keeps what was measured before.
    """

    def __init__(self, task: str, request: Request, progress: Progress, response: Response) -> None:
        self._task_name, self._request = task, request
        self._progress, self._response = progress, response
        self._options, self._runtime_options = parse_options(request.options, request.runtime)
        self._save = _Saver(request.output / PARTIAL, response)

    def execute(self) -> None:
        """Do what the request asks; the response holds the outcome.

        Raises:
            CrError: the request, the model, the dataset or the runtime is at fault.
        """
        dataset = open_dataset(self._request.dataset)
        task = task_for(self._task_name, dataset)
        pipeline = self._load(task)
        first = pipeline.prepare(dataset.items[0])
        self._first_inference(pipeline, first)
        if self._request.action == "benchmark":
            self._measure(pipeline, dataset)
        else:
            self._memory()
        self._accuracy(pipeline, dataset, task)

    def _load(self, task: Task) -> Pipeline:
        self._progress.say("load", 0, None)
        model = self._request.model
        pipeline = Pipeline(model, task.output_type, self._options.threads, self._runtime_options)
        info = pipeline.session.info
        self._response.runtime = {
            "name": info.name,
            "version": info.version,
            "providers": list(info.providers),
        }
        self._response.processing.update(pipeline.implementations())
        self._once("load_time", pipeline.load_ns, "one measurement, import of the runtime included")
        size = model.path.stat().st_size
        self._response.metrics["model_size"] = Metric(float(size), "B", "lower", "size of the model's file", 1)
        return pipeline

    def _once(self, name: str, elapsed_ns: int, method: str) -> None:
        self._response.metrics[name] = Metric(elapsed_ns / 1e9, "s", "lower", method, 1)

    def _first_inference(self, pipeline: Pipeline, prepared: Prepared) -> None:
        begin = time.perf_counter_ns()
        pipeline.invoke(prepared.feeds)
        self._once("first_inference", time.perf_counter_ns() - begin, "one measurement, right after loading")

    def _prepare(self, pipeline: Pipeline, dataset: Dataset) -> list[Prepared]:
        """As many images as tensors as the cache may hold, and at least one."""
        cache: list[Prepared] = []
        held = 0
        for item in dataset.items[: self._options.input_limit]:
            prepared = pipeline.prepare(item)
            held += prepared.size
            if cache and held > _CACHE_BYTES:
                break
            cache.append(prepared)
            self._progress.say("prepare", len(cache), min(self._options.input_limit, len(dataset.items)))
        return cache

    def _measure(self, pipeline: Pipeline, dataset: Dataset) -> None:
        options = self._options
        inputs = [prepared.feeds for prepared in self._prepare(pipeline, dataset)]
        invoke = pipeline.invoke
        if options.warmup_seconds > 0:
            warmup = loadgen.single_stream(
                invoke, inputs, [_WarmUp(options.warmup_seconds, options.warmup_samples)],
                on_tick=lambda samples: self._progress.say("warm-up", samples.size, None),
            )  # fmt: skip
            self._response.samples["warmup"] = ("s", _seconds(warmup.samples_ns))
        # Before samples are kept and intervals drawn: those arrays are ours and not the model's.
        self._memory()
        begin = time.monotonic()

        def tick(samples: loadgen.Samples) -> None:
            done = min(1.0, (time.monotonic() - begin) / options.max_seconds)
            self._progress.say("measure", samples.size, None, done)
            self._save("latency", samples)

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
        self._save("latency", measured.samples_ns)
        self._progress.say("measure", measured.samples_ns.size, measured.samples_ns.size, 1.0)
        self._summarise(_seconds(measured.samples_ns), measured.stopped)

    def _summarise(self, seconds: list[float], stopped: str) -> None:
        response, options = self._response, self._options
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

    def _memory(self) -> None:
        peak, source = peak_rss()
        method = f"{source}, of the whole process until the end of the warm-up"
        self._response.metrics["peak_rss"] = Metric(float(peak), "B", "lower", method, 1)

    def _chosen(self, dataset: Dataset) -> Sequence[Item]:
        if self._request.action == "run":
            return dataset.items[: self._options.limit]
        return dataset.items[: self._options.accuracy_limit or len(dataset.items)]

    def _accuracy(self, pipeline: Pipeline, dataset: Dataset, task: Task) -> None:
        chosen = self._chosen(dataset)
        phase = "run" if self._request.action == "run" else "accuracy"
        before_ns, after_ns = [], []
        for done, item in enumerate(chosen):
            self._progress.say(phase, done, len(chosen))
            begin = time.perf_counter_ns()
            prepared = pipeline.prepare(item)
            before_ns.append(time.perf_counter_ns() - begin)
            outputs = pipeline.invoke(prepared.feeds)
            begin = time.perf_counter_ns()
            output = pipeline.finish(outputs, prepared.geometry)
            after_ns.append(time.perf_counter_ns() - begin)
            task.add(item, output)
        self._progress.say(phase, len(chosen), len(chosen))
        predictions = {
            "format": "codereef-predictions/1",
            "task": self._task_name,
            "dataset": dataset.ref,
            "model": self._request.model.ref,
            "items": task.predictions(),
        }
        write_json(self._request.output / "predictions.json", predictions)
        self._response.predictions = "predictions.json"
        if self._request.action == "run":
            return
        metrics, processing = task.score(self._options.confidence)
        self._response.metrics.update(metrics)
        self._response.processing.update(processing)
        for name, samples_ns in (("preprocess", before_ns), ("postprocess", after_ns)):
            seconds = _seconds(samples_ns)
            self._response.samples[name] = ("s", seconds)
            self._response.metrics.update(
                statistics.percentile_metrics(seconds, name, (0.5,), self._options.confidence, self._options.seed)
            )
        if len(chosen) < len(dataset.items):
            self._response.warnings.append(
                f"accuracy is of the first {len(chosen)} of {len(dataset.items)} images (accuracy_limit)"
            )


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


def _own_stdout() -> Optional[TextIO]:
    """A stream on the real standard output, which from now on only we write to.

    Runtimes print there from C; their lines go to standard error instead and cannot break the progress lines.
    """
    try:
        own = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)
    except OSError:
        return None
    return own


def execute(task: str, request: Request, progress: Progress) -> Response:
    """Carry out a request and return the response, also when it fails in a way that is understood."""
    response = Response()
    try:
        Program(task, request, progress, response).execute()
    except CrError as error:
        response.status, response.error = "failed", f"{error.message}"
        if error.hint:
            response.error += f" ({error.hint})"
    except MemoryError:
        response.status, response.error = "failed", "the program ran out of memory"
    except KeyboardInterrupt:
        response.status, response.error = "failed", _INTERRUPTED
    return response


def main(task: str, arguments: Sequence[str]) -> int:
    """Entry point of a program: `main.py REQUEST.json`.

    Returns:
        0 when the response says ok, 1 when it says failed, 2 when the request cannot be read, 130 when it was
        interrupted (SIGINT or SIGTERM).
    """
    if len(arguments) != 1:
        print("usage: main.py REQUEST.json", file=sys.stderr)
        return 2
    try:
        request = read_request(Path(arguments[0]))
    except CrError as error:
        print(json.dumps(error.as_dict()), file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    response = execute(task, request, Progress(_own_stdout()))
    if response.error is not None:
        print(response.error, file=sys.stderr)
    write_json(request.output / "response.json", response.as_dict())
    if response.status == "ok":
        (request.output / PARTIAL).unlink(missing_ok=True)  # all of it is in the response
        return 0
    return 130 if response.error == _INTERRUPTED else 1
