# SPDX-License-Identifier: Apache-2.0
"""The accuracy phase: every chosen item through pre-processing, inference and post-processing, then the score.

Pre-processing (file to tensor) and post-processing (arrays to the answer) are timed here, as series of their own,
and so is every step; the arrays that steps give for the first items are digested.

Items are prepared by several threads ahead of the model. Wall time of an item would then include its waiting for
the others, so with more than one worker the times are CPU time of the item's thread, and the method says so.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from codereef.bench.ahead import prepared_ahead, workers_for
from codereef.bench.datasets import Dataset, Item
from codereef.bench.measuring import seconds_of
from codereef.bench.options import Options
from codereef.bench.outputs import Output
from codereef.bench.pipeline import Pipeline, Prepared
from codereef.bench.processes import summarise_processes
from codereef.bench.request import Request
from codereef.bench.response import Progress, Response, write_json
from codereef.bench.stages import DIGESTED, Stages, Trace
from codereef.bench.tasks import Task


def _chosen(request: Request, options: Options, dataset: Dataset) -> Sequence[Item]:
    if request.action == "run":
        return dataset.items[: options.limit]
    return dataset.items[: options.accuracy_limit or len(dataset.items)]


@dataclass(frozen=True)
class _Ready:
    """An item on its way: its tensors, its trace so far, and how long it took, in nanoseconds."""

    prepared: Prepared
    trace: Trace
    took_ns: int


class _Line:
    """The way of each item through the pipeline, with its times.

    Args:
        pipeline: the model.
        workers: how many items are prepared at once.
    """

    def __init__(self, pipeline: Pipeline, workers: int) -> None:
        self._pipeline, self.workers = pipeline, workers
        self._clock = time.perf_counter_ns if workers == 1 else time.thread_time_ns
        self.before_ns: list[int] = []
        self.after_ns: list[int] = []
        # Beside threads that prepare, the time of an inference is not its own; `latency` is measured without them.
        self.stages = Stages(pipeline.stages(), untimed=() if workers == 1 else ("model",))

    @property
    def method(self) -> str:
        """What the times are, for the methods of metrics; nothing where they are plain wall time."""
        return "" if self.workers == 1 else f"; CPU time of the thread, {self.workers} items prepared at once"

    def prepare(self, place: int, item: Item) -> _Ready:
        """Pre-process an item; the first ones are digested, which is not in their time."""
        trace = Trace(self._clock, digesting=place < DIGESTED)
        if trace.digesting:
            prepared = self._pipeline.prepare(item, trace)
            return _Ready(prepared, trace, sum(trace.times))
        begin = self._clock()
        prepared = self._pipeline.prepare(item, trace)
        return _Ready(prepared, trace, self._clock() - begin)

    def finish(self, ready: _Ready) -> Output:
        """Inference and post-processing of a prepared item."""
        trace, feeds = ready.trace, ready.prepared.feeds
        self.before_ns.append(ready.took_ns)
        trace.begin()
        outputs = self._pipeline.invoke(feeds)
        trace.step(*outputs.values())
        done = len(trace.times)
        begin = self._clock()
        output = self._pipeline.finish(outputs, ready.prepared.geometry, feeds, trace)
        self.after_ns.append(sum(trace.times[done:]) if trace.digesting else self._clock() - begin)
        self.stages.add(trace)
        return output


def score(
    task_name: str,
    request: Request,
    options: Options,
    pipeline: Pipeline,
    dataset: Dataset,
    task: Task,
    progress: Progress,
    response: Response,
) -> None:
    """Predict every chosen item, write the predictions, and (but for the action `run`) score them.

    Args:
        task_name: what the predictions are of.
        request: action, model and output folder.
        options: how many items.
        pipeline: the model.
        dataset: items and their truth.
        task: gathers and scores.
        progress: is told how far it is.
        response: gets samples, metrics and warnings.
    """
    chosen = _chosen(request, options, dataset)
    phase = "run" if request.action == "run" else "accuracy"
    line = _Line(pipeline, min(workers_for(options.workers), len(chosen)))
    for done, (item, ready) in enumerate(prepared_ahead(line.prepare, chosen, line.workers)):
        progress.say(phase, done, len(chosen))
        task.add(item, line.finish(ready))
    progress.say(phase, len(chosen), len(chosen))
    predictions = {
        "format": "codereef-predictions/1",
        "task": task_name,
        "dataset": dataset.ref,
        "model": request.model.ref,
        "items": task.predictions(),
    }
    write_json(request.output / "predictions.json", predictions)
    response.predictions = "predictions.json"
    if request.action == "run":
        return
    response.stages.extend(line.stages.as_list())
    metrics, processing = task.score(options.confidence)
    response.metrics.update(metrics)
    response.processing.update(processing)
    for name, samples_ns in (("preprocess", line.before_ns), ("postprocess", line.after_ns)):
        seconds = seconds_of(samples_ns)
        response.samples[name] = ("s", seconds)
        median = f"{name}_p50"
        found = summarise_processes([seconds], name, (0.5,), options.confidence, options.seed).metrics[median]
        response.metrics[median] = replace(found, method=found.method + line.method)
    if len(chosen) < len(dataset.items):
        response.warnings.append(
            f"accuracy is of the first {len(chosen)} of {len(dataset.items)} items (accuracy_limit)"
        )
