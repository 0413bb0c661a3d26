# SPDX-License-Identifier: Apache-2.0
"""Accuracy from the measured run: a drawn part of its answers is scored, as MLPerf LoadGen logs them to be.

It shows that what was timed also computes what it should; the accuracy of a model is that of the whole dataset.
"""

from __future__ import annotations

from collections.abc import Sequence

from codereef.bench.measuring import Answer
from codereef.bench.options import Options
from codereef.bench.pipeline import Pipeline
from codereef.bench.response import Progress, Response
from codereef.bench.tasks import Task


def score_answers(
    answers: Sequence[Answer], options: Options, pipeline: Pipeline, task: Task, progress: Progress, response: Response
) -> None:
    """Score answers of the measured run and say of how many the accuracy is."""
    for done, answer in enumerate(answers):
        progress.say("accuracy", done, len(answers))
        task.add(answer.item, pipeline.finish(answer.outputs, answer.prepared.geometry, answer.prepared.feeds))
    progress.say("accuracy", len(answers), len(answers))
    if not answers:
        response.warnings.append("accuracy is not given: the run ended before one of the drawn queries was answered")
        return
    metrics, processing = task.score(options.confidence)
    response.metrics.update(metrics)
    response.processing.update(processing)
    response.warnings.append(f"accuracy is of {len(answers)} answers of the measured run (accuracy=sampled)")
