# SPDX-License-Identifier: Apache-2.0
"""The accuracy phase: every chosen item through pre-processing, inference and post-processing, then the score.

Pre-processing (image file to tensor) and post-processing (arrays to detections or classes) are timed here, as
series of their own.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from codereef.bench import statistics
from codereef.bench.datasets import Dataset, Item
from codereef.bench.measuring import seconds_of
from codereef.bench.options import Options
from codereef.bench.pipeline import Pipeline
from codereef.bench.request import Request
from codereef.bench.response import Progress, Response, write_json
from codereef.bench.tasks import Task


def _chosen(request: Request, options: Options, dataset: Dataset) -> Sequence[Item]:
    if request.action == "run":
        return dataset.items[: options.limit]
    return dataset.items[: options.accuracy_limit or len(dataset.items)]


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
    before_ns, after_ns = [], []
    for done, item in enumerate(chosen):
        progress.say(phase, done, len(chosen))
        begin = time.perf_counter_ns()
        prepared = pipeline.prepare(item)
        before_ns.append(time.perf_counter_ns() - begin)
        outputs = pipeline.invoke(prepared.feeds)
        begin = time.perf_counter_ns()
        output = pipeline.finish(outputs, prepared.geometry)
        after_ns.append(time.perf_counter_ns() - begin)
        task.add(item, output)
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
    metrics, processing = task.score(options.confidence)
    response.metrics.update(metrics)
    response.processing.update(processing)
    for name, samples_ns in (("preprocess", before_ns), ("postprocess", after_ns)):
        seconds = seconds_of(samples_ns)
        response.samples[name] = ("s", seconds)
        response.metrics.update(statistics.percentile_metrics(seconds, name, (0.5,), options.confidence, options.seed))
    if len(chosen) < len(dataset.items):
        response.warnings.append(
            f"accuracy is of the first {len(chosen)} of {len(dataset.items)} images (accuracy_limit)"
        )
