# SPDX-License-Identifier: Apache-2.0
"""The action `pitfalls`: the right pipeline and every mistake over the same images, in one process.

Each image goes through all pipelines before the next one is begun. So all have seen the same images whenever it
ends: after the images asked for, or after a time.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

import numpy as np
import numpy.typing as npt

from codereef.bench.datasets import Dataset, Item
from codereef.bench.options import Options
from codereef.bench.pipeline import Pipeline, Prepared
from codereef.bench.pitfall_steps import KNOWN
from codereef.bench.pitfalls import Pitfall, derive
from codereef.bench.pitfalls_score import Scored, agreement, change, score_of
from codereef.bench.request import Request
from codereef.bench.response import Metric, Progress, Response, write_json
from codereef.bench.steps_in import Preprocessor
from codereef.bench.steps_out import Postprocessor
from codereef.bench.tasks import Task, task_for
from codereef.errors import CrError, MetadataError

Array = npt.NDArray[Any]
FILE = "pitfalls.json"
#: Seconds for images and scoring where no number of images is asked for; starting and loading come on top.
BUDGET = 50.0
_PRICED = 10  # images after which scoring is first tried out, to know what it will take


@dataclass
class _Spread:
    """Running sums over all elements of the right tensors, for their standard deviation."""

    count: int = 0
    total: float = 0.0
    squares: float = 0.0

    def add(self, array: Array) -> None:
        values = array.astype(np.float64)
        self.count += values.size
        self.total += float(values.sum())
        self.squares += float((values * values).sum())

    @property
    def deviation(self) -> float:
        mean = self.total / self.count if self.count else 0.0
        return float(np.sqrt(max(0.0, self.squares / self.count - mean * mean))) if self.count else 0.0


@dataclass
class _Contender:
    """One mistake and what became of it so far."""

    pitfall: Pitfall
    task: Task
    before: Mapping[str, Preprocessor]
    after: Optional[Postprocessor]
    off: float = 0.0
    spread: _Spread = field(default_factory=_Spread)
    same: int = 0
    failure: str = ""

    def take(self, item: Item, pipeline: Pipeline, right: Prepared, outputs: Mapping[str, Array]) -> None:
        """Handle one image, given what the right pipeline made of it."""
        feeds, geometry = dict(right.feeds), right.geometry
        for name, steps in self.before.items():
            feeds[name], here = steps(item.path)
            if name == next(iter(right.feeds)):  # outputs are about the first image
                geometry = here
        changed = False
        for name in self.before:
            ours, theirs = feeds[name], right.feeds[name]
            if ours.shape != theirs.shape or ours.dtype != theirs.dtype:
                raise MetadataError(
                    f"gives {ours.dtype}{list(ours.shape)} where the model takes {theirs.dtype}{list(theirs.shape)}"
                )
            self.off += float(np.abs(ours.astype(np.float64) - theirs.astype(np.float64)).sum())
            self.spread.add(theirs)
            changed = changed or not np.array_equal(ours, theirs)
        if self.before and not changed:
            self.same += 1
        # What the model is handed is the same: so is what it answers.
        answered = pipeline.invoke(feeds) if changed else outputs
        finish = self.after or pipeline.finish
        self.task.add(item, finish(answered, geometry, feeds))

    def distance(self) -> Optional[Metric]:
        """How far the tensors are off: None for a mistake of the outputs."""
        if not self.before:
            return None
        deviation = self.spread.deviation
        return Metric(
            self.off / self.spread.count / deviation if deviation else None, "", "lower",
            "mean absolute difference of elements / standard deviation of the right elements, over all images",
            self.spread.count, reason=None if deviation else "the right tensors are constant",
        )  # fmt: skip


def measure_pitfalls(
    task_name: str,
    request: Request,
    options: Options,
    pipeline: Pipeline,
    dataset: Dataset,
    progress: Progress,
    response: Response,
) -> None:
    """Measure every mistake and write `pitfalls.json` into the output folder.

    Args:
        task_name: of the program.
        request: model and output folder.
        options: `accuracy_limit` is the number of images; 0 is as many as the time allows.
        pipeline: the right one, loaded.
        dataset: items and their truth.
        progress: is told how far it is.
        response: gets metrics of the right pipeline and warnings.

    Raises:
        CrError: the right pipeline fails; a mistake that fails is noted and left out.
    """
    contenders = [
        _contender(pitfall, request, pipeline, task_for(task_name, dataset))
        for pitfall in derive(request.model.inputs, request.model.outputs)
    ]
    task = task_for(task_name, dataset)
    items = dataset.items[: options.accuracy_limit or len(dataset.items)]
    clock = _Clock(dataset, options.confidence, len(contenders) + 1) if options.accuracy_limit == 0 else None
    done = _over_images(items, clock, contenders, task, pipeline, progress)
    progress.say("scoring", 0, len(contenders) + 1)
    predictions = task.predictions()
    right = score_of(task, dataset, predictions, options.confidence)
    metric = next((name for name, m in right.metrics.items() if m.value is not None and m.direction == "higher"), "")
    rows = []
    for number, contender in enumerate(contenders, 1):
        progress.say("scoring", number, len(contenders) + 1)
        rows.append(_row(contender, request, dataset, right, predictions, options))
    response.metrics.update(right.metrics)
    if done < len(items):
        response.warnings.append(f"the first {done} of {len(items)} images, as many as {BUDGET:.0f} s allowed")
    elif done < len(dataset.items):
        response.warnings.append(f"the first {done} of {len(dataset.items)} images")
    write_json(
        request.output / FILE,
        {
            "images": done,
            "of": len(dataset.items),
            "metric": metric,
            "metrics": {name: m.as_dict() for name, m in right.metrics.items()},
            "pitfalls": sorted(rows, key=lambda row: damage(row, metric)),
        },
    )


def _contender(pitfall: Pitfall, request: Request, pipeline: Pipeline, task: Task) -> _Contender:
    before = {
        spec.name or pipeline.session.inputs[0].name: Preprocessor(spec.steps, KNOWN)
        for spec, declared in zip(pitfall.inputs, request.model.inputs)
        if spec is not declared
    }
    names = tuple(tensor.name for tensor in pipeline.session.outputs)
    after = next(
        (
            Postprocessor(spec, request.model.dir, names)
            for spec, declared in zip(pitfall.outputs, request.model.outputs)
            if spec is not declared and spec.type == task.output_type
        ),
        None,
    )
    return _Contender(pitfall, task, before, after)


class _Clock:
    """Tells whether there is time for one image more, and for scoring all pipelines afterwards.

    Args:
        dataset: the truth.
        confidence: level of the intervals.
        pipelines: how many are to be scored.
    """

    def __init__(self, dataset: Dataset, confidence: float, pipelines: int) -> None:
        self._dataset, self._confidence, self._pipelines = dataset, confidence, pipelines
        self._begin = time.monotonic()
        self._priced, self._price = 0, 0.0

    def share(self, done: int, task: Task) -> float:
        """The part of the time that is spent once another image is done; over 1 there is none left for it."""
        if done >= max(_PRICED, 2 * self._priced):
            before = time.monotonic()
            score_of(task, self._dataset, task.predictions(), self._confidence)
            self._priced, self._price = done, time.monotonic() - before
        scoring = self._price * self._pipelines * done / self._priced if self._priced else 0.0
        images = (time.monotonic() - self._begin) * (done + 1) / done if done else 0.0
        return (images + scoring) / BUDGET


def _over_images(
    items: Sequence[Item],
    clock: Optional[_Clock],
    contenders: Sequence[_Contender],
    task: Task,
    pipeline: Pipeline,
    progress: Progress,
) -> int:
    """Take images through every pipeline; returns how many, which are fewer than all where the time ends."""
    for done, item in enumerate(items):
        share = done / len(items)
        if clock is not None:
            spent = clock.share(done, task)
            if done and spent > 1:
                return done
            share = max(share, spent)
        progress.say("pitfalls", done, len(items), min(share, 1.0))
        right = pipeline.prepare(item)
        outputs = pipeline.invoke(right.feeds)
        task.add(item, pipeline.finish(outputs, right.geometry, right.feeds))
        for contender in contenders:
            if contender.failure:
                continue
            try:
                contender.take(item, pipeline, right, outputs)
            except (CrError, ValueError) as error:
                contender.failure = f"{item.name}: {error.message if isinstance(error, CrError) else error}"
    progress.say("pitfalls", len(items), len(items))
    return len(items)


def _row(
    contender: _Contender,
    request: Request,
    dataset: Dataset,
    right: Scored,
    predictions: Sequence[Mapping[str, Any]],
    options: Options,
) -> dict[str, Any]:
    """What is said of one mistake."""
    pitfall = contender.pitfall
    row: dict[str, Any] = {"name": pitfall.name, "summary": pitfall.summary, "stage": pitfall.stage}
    model = request.model
    changed = [new.steps for new, kept in zip(pitfall.inputs, model.inputs) if new is not kept]
    changed += [new.steps for new, kept in zip(pitfall.outputs, model.outputs) if new is not kept]
    row.update(
        side="input" if contender.before else "output", steps=[[dict(step) for step in steps] for steps in changed]
    )
    if contender.failure:
        return {**row, "error": contender.failure}
    ours = contender.task.predictions()
    alike = contender.same == len(predictions)
    scored = right if alike else score_of(contender.task, dataset, ours, options.confidence)
    moved = {name: change(right, scored, name, options.confidence, alike=alike) for name in right.metrics}
    distance = contender.distance()
    row.update(
        metrics={name: m.as_dict() for name, m in scored.metrics.items()},
        change={name: m.as_dict() for name, m in moved.items()},
        agreement=agreement(contender.task.output_type, predictions, ours, options.confidence).as_dict(),
        tensors=None if distance is None else distance.as_dict(),
        same_tensors=contender.same,
    )
    return row


def damage(row: Mapping[str, Any], metric: str) -> tuple[float, float, str]:
    """Key that puts the worst mistake first: by accuracy lost, then by agreement; those that failed come last."""
    if "error" in row:
        return (float("inf"), 0.0, row["name"])
    moved, said = row["change"].get(metric, {}).get("value"), row["agreement"]["value"]
    return (moved or 0.0, 0.0 if said is None else said, row["name"])
