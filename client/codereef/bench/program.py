# SPDX-License-Identifier: Apache-2.0
"""The measuring programs: from a request file to a response file.

Phases of `benchmark`: load, first inference, warm-up, measurement over tensors prepared beforehand, then the
accuracy pass over the dataset (or the score of a part of the measured answers, or neither: option `accuracy`).
`validate` leaves the measurement out; `run` handles a few images; `pitfalls` measures classic mistakes in place of
both.

The phases are rooms of their own: `measuring` and `scoring`.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Optional, TextIO

from codereef.bench.affinity import affinity, pin, processor_of_turns, unpin
from codereef.bench.collect.sizes import runtime_size
from codereef.bench.datasets import open_dataset
from codereef.bench.load import mlperf
from codereef.bench.load.plan import make_plan
from codereef.bench.measuring import PARTIAL, measure, record_memory
from codereef.bench.options import parse_options
from codereef.bench.pipeline import Pipeline, Prepared
from codereef.bench.pitfalls_run import measure_pitfalls
from codereef.bench.request import Request, read_request
from codereef.bench.response import Metric, Progress, Response, write_json
from codereef.bench.sampled import score_answers
from codereef.bench.scoring import score
from codereef.bench.tasks import Task, task_for
from codereef.bench.turns import ClientTurns
from codereef.errors import CrError, OptionError

_INTERRUPTED = "interrupted; samples.partial.json holds what was measured up to shortly before"


class Program:
    """One execution of a measuring program.

    Args:
        task: one that `tasks.task_for` knows, such as `object-detection`.
        request: what to do.
        progress: where progress is said.
        response: filled in as far as it goes, so that a failure keeps what was measured before.
        turns: those of this process, where it is measured in turns with others.
    """

    def __init__(
        self,
        task: str,
        request: Request,
        progress: Progress,
        response: Response,
        turns: Optional[ClientTurns] = None,
    ) -> None:
        self._task_name, self._request = task, request
        self._progress, self._response, self._turns = progress, response, turns
        self._asked, self._runtime_options = parse_options(request.options, request.runtime)
        self._options = self._asked.shared_by(*request.process)
        alone = self._options.threads == 1 and not (self._options.provider or self._options.delegate)
        if turns is not None and alone and not self._options.cpus:
            self._options = replace(self._options, cpus=processor_of_turns())

    def execute(self) -> None:
        """Do what the request asks; the response holds the outcome.

        Raises:
            OptionError: an option or the scenario cannot be had, here or with this model.
            CrError: the request, the model, the dataset or the runtime is at fault.
        """
        before = affinity()
        pin(self._options.cpus)
        if self._request.action == "benchmark":
            # What cannot be done is said before anything is loaded, in the numbers of the user and not of a share.
            plan = make_plan(self._request.scenario, self._asked)
            if self._asked.driver == mlperf.NAME:
                mlperf.check(plan)
        dataset = open_dataset(self._request.dataset)
        task = task_for(self._task_name, dataset)
        pipeline = self._load(task)
        first = pipeline.prepare(dataset.items[0])
        self._first_inference(pipeline, first)
        if self._request.action == "pitfalls":
            measure_pitfalls(
                self._task_name, self._request, self._options, pipeline, dataset, self._progress, self._response
            )
            return
        if self._request.action == "benchmark":
            answers = measure(
                pipeline,
                dataset,
                self._options,
                self._progress,
                self._response,
                self._request.output,
                self._request.scenario,
                self._request.process[1] == 1,
                self._turns,
            )
            if self._options.cpus != self._asked.cpus:
                unpin(before)  # it was for the turns alone
            if self._request.process[0] > 0:
                return  # The first process scores; another would only do the same again.
            if self._options.accuracy == "sampled":
                score_answers(answers, self._options, pipeline, task, self._progress, self._response)
            if self._options.accuracy != "separate":
                return
        else:
            record_memory(self._response)
        score(
            self._task_name,
            self._request,
            self._options,
            pipeline,
            dataset,
            task,
            self._progress,
            self._response,
        )

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
        self._response.metrics.update(runtime_size(info.name))
        return pipeline

    def _once(self, name: str, elapsed_ns: int, method: str) -> None:
        self._response.metrics[name] = Metric(elapsed_ns / 1e9, "s", "lower", method, 1)

    def _first_inference(self, pipeline: Pipeline, prepared: Prepared) -> None:
        begin = time.perf_counter_ns()
        pipeline.invoke(prepared.feeds)
        self._once("first_inference", time.perf_counter_ns() - begin, "one measurement, right after loading")


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


def execute(task: str, request: Request, progress: Progress, turns: Optional[ClientTurns] = None) -> Response:
    """Carry out a request and return the response, also when it fails in a way that is understood."""
    response = Response()
    try:
        Program(task, request, progress, response, turns).execute()
    except OptionError as error:
        response.status, response.error, response.hint = "refused", error.message, error.hint or None
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
        0 when the response says ok, 1 when it says failed or refused, 2 when the request cannot be read, 130 when it
        was interrupted (SIGINT or SIGTERM).
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
    said, turns = _own_stdout(), None
    if request.turn_seconds is not None and said is not None:
        turns = ClientTurns(request.turn_seconds, said, sys.stdin)
    response = execute(task, request, Progress(said), turns)
    if response.error is not None:
        print(response.error + (f" ({response.hint})" if response.hint else ""), file=sys.stderr)
    write_json(request.output / "response.json", response.as_dict())
    if response.status == "ok":
        (request.output / PARTIAL).unlink(missing_ok=True)  # all of it is in the response
        return 0
    return 130 if response.error == _INTERRUPTED else 1
