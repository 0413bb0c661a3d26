# SPDX-License-Identifier: Apache-2.0
"""One measurement under way: the program of a configuration, process after process, and the result of what it wrote.

A crash, a time-out or a lack of memory is a result too, with a status and with the samples taken before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codereef.canonical import digest_of
from codereef.errors import RunError
from codereef.home import Home
from codereef.install.execute import Installed
from codereef.lock.build import node_facts
from codereef.lock.model import Lock, LockedConfiguration, LockedNode
from codereef.meta.selection import select
from codereef.record.privacy import placeless
from codereef.repo.index import Index
from codereef.run.claims import check_claims
from codereef.run.document import Machine, result_document, scrubbed
from codereef.run.options import measured_options, merge_options, scenario_of
from codereef.run.process import Answer, Process, Update
from codereef.run.refusals import refusal_of
from codereef.run.request import Parts, build_request, parts_of

if TYPE_CHECKING:
    from codereef.detect.observe import Observation

DEFAULT_TIMEOUT = 3600.0

#: Way of measuring; changes whenever numbers of before and after are no longer alike.
METHOD = "codereef-measuring/2"


@dataclass(frozen=True)
class Order:
    """What is asked of a measurement.

    Attributes:
        action: `run`, `benchmark`, `validate` or `pitfalls`; its settings are those of `benchmark` where the
            solution has none.
        given: program options from the user, as text.
        scenario: load pattern from the user; that of the solution's action when None.
        timeout: seconds that each process may take; the program's own limit by default.
        memory_limit: bytes of address space; None for no limit.
        processes: how many a benchmark starts; what the program declares by default.
    """

    action: str
    given: Mapping[str, str]
    scenario: str | None = None
    timeout: float | None = None
    memory_limit: int | None = None
    processes: int | None = None


@dataclass(frozen=True)
class Measured:
    """A run's result document and what it left behind.

    Attributes:
        document: the result, not yet in the history.
        predictions: what the program predicted, or None.
        tail: last lines of the program's standard error.
        pitfalls: what the action `pitfalls` found, or None.
    """

    document: dict[str, Any]
    predictions: Any
    tail: tuple[str, ...]
    pitfalls: Any = None


def _now() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def comparability(
    parts: Parts, model: LockedNode, dataset: LockedNode, target: str, settings: Mapping[str, Any]
) -> str:
    """Return the key that results must share to stand on one ranking.

    It covers what is measured and how, by content: the model's and the dataset's files, the processing, the
    load, the options that matter and the way of measuring. A new README or a new client changes nothing.

    Args:
        parts: the components.
        model, dataset: their nodes in the lock.
        target: triple.
        settings: `scenario` and the options in force.
    """
    facts = node_facts(model.version, model.variants, target)
    return digest_of(
        {
            "model": sorted([f.name, f.sha256] for f in model.files),
            "processing": [select(parts.model.meta[part], facts) for part in ("inputs", "outputs")],
            # Data that the user brought has neither files nor a tree; what was checked of it stands for them.
            "dataset": [
                sorted([f.name, f.sha256] for f in dataset.files),
                dataset.tree,
                *([dataset.binary] if dataset.binary else []),
            ],
            "annotations": parts.dataset.meta["annotations"],
            "program": parts.program.reference.unversioned,
            "scenario": settings["scenario"],
            "options": {
                name: _one_form(settings[name]) for name in measured_options(parts.program.meta) if name in settings
            },
            "method": METHOD,
        }
    )


def _one_form(value: Any) -> Any:
    """Return an option in one form: `-o NAME=0`, which is read as 0.0, is the default 0; a file is known by its name."""
    if isinstance(value, str):
        return placeless(value)
    return int(value) if isinstance(value, float) and value.is_integer() else value


class Measurement:
    """The measurement of one configuration, carried out one process at a time.

    Args:
        lock: the graph, installed.
        configuration: the one to run.
        index: the components.
        installed: where everything is.
        home: the client's home.
        order: what is asked.

    Raises:
        UsageError: an option is wrong.
        RunError: the configuration has no Python environment.
    """

    def __init__(
        self,
        lock: Lock,
        configuration: LockedConfiguration,
        index: Index,
        installed: Installed,
        home: Home,
        order: Order,
    ) -> None:
        from codereef.detect.instance import instance_id
        from codereef.detect.machine import class_digest, machine_class

        self._lock, self._configuration, self._index, self._installed = lock, configuration, index, installed
        self._order = order
        self._parts = parts_of(lock, configuration, index)
        program = self._parts.program.meta
        actions = self._parts.solution.meta["actions"]
        settings = actions.get(order.action) or actions.get("benchmark") or {}
        self._options = merge_options(program, settings, order.given)
        self._scenario = scenario_of(program, settings, order.scenario)
        python = installed.pythons.get(configuration.environment)
        if python is None:
            raise RunError(
                f"{configuration.id} has no Python environment.",
                hint="The program needs a dependency on compiler.python.",
            )
        self._python = python
        facts = machine_class(home.cache)
        self._machine = Machine(facts, class_digest(facts), instance_id(home.root / "instance.salt"))
        self._count = _processes(program, order.action, order.processes, self._options)
        self._answers: list[Answer] = []
        self._started = ""
        self._before: Mapping[str, Any] = {}

    @property
    def done(self) -> bool:
        """Whether no process is left to start; one that failed is the last."""
        return len(self._answers) == self._count or (bool(self._answers) and self._answers[-1].status != "ok")

    @property
    def begun(self) -> bool:
        """Whether a process of it has run."""
        return bool(self._answers)

    @property
    def interrupted(self) -> bool:
        """Whether the user interrupted it."""
        return bool(self._answers) and self._answers[-1].status == "interrupted"

    @property
    def takes_turns(self) -> bool:
        """Whether its program can be measured in turns with others."""
        return self._order.action == "benchmark" and bool(self._parts.program.meta.get("turns"))

    def process(self, on_update: Callable[[Update], None], turn_seconds: float | None = None) -> Process:
        """Return the next process, not yet started; its answer belongs to `add`.

        Args:
            on_update: is told how far it has come, from another thread.
            turn_seconds: length of a turn, where it runs in turns with processes of other measurements.
        """
        from codereef.detect.state import machine_state

        if not self._answers:
            self._started, self._before = _now(), machine_state()
        number, parts = len(self._answers), self._parts
        limit = self._order.timeout

        def request(output: Path) -> Mapping[str, Any]:
            return build_request(
                self._lock,
                self._configuration,
                parts,
                self._installed,
                self._order.action,
                self._options,
                output,
                self._scenario,
                (number, self._count) if self._count > 1 else None,
                turn_seconds,
            )

        def update(said: Update) -> None:
            phase = f"{said.phase} ({number + 1} of {self._count})" if self._count > 1 else said.phase
            on_update(replace(said, phase=phase))

        return Process(
            self._python,
            self._installed.folders[parts.program_id] / parts.program.meta["run"]["python"],
            request,
            timeout=limit if limit is not None else float(parts.program.meta.get("timeout", DEFAULT_TIMEOUT)),
            memory_limit=self._order.memory_limit,
            on_update=update,
            turns=turn_seconds is not None,
        )

    def add(self, answer: Answer) -> None:
        """Keep what a process left behind.

        Raises:
            OptionError: its program refuses what was asked.
        """
        # What the first process took, a later one refuses only because something else has gone wrong: it has failed.
        if not self._answers and (refusal := refusal_of(answer, self._configuration.id)):
            raise refusal
        self._answers.append(answer)

    def finish(self, observation: Observation, turns: str = "") -> Measured:
        """Make the result of the processes that have run, at least one.

        Args:
            observation: what was seen of the machine meanwhile.
            turns: what it shares with the others whose processes took turns with its own; empty for none.
        """
        from codereef.detect.state import machine_state, state_warnings

        lock, configuration, parts, answers = self._lock, self._configuration, self._parts, self._answers
        after, facts = machine_state(), self._machine.facts
        phases = [phase for answer in answers if isinstance(phase := answer.response.get("phase"), dict)]
        during = scrubbed(observation.during(phases))
        courses = [observation.course(answer.response.get("phase")) for answer in answers]
        document = result_document(
            lock, self._index, configuration, parts, self._machine, answers, self._options, courses
        )
        said = document.get("load", {}).get("settings", {}).get("scenario")
        # A program that decides its own scenario says which.
        scenario = said if isinstance(said, str) and "scenarios" not in parts.program.meta else self._scenario
        document.update(
            action=self._order.action,
            scenario=scenario,
            options=scrubbed(self._options),
            comparability=comparability(
                parts,
                lock.nodes[parts.model_id],
                lock.nodes[parts.dataset_id],
                configuration.target,
                {**self._options, "scenario": scenario},
            ),
            environment={"before": self._before, "after": after, "during": during},
            started_at=self._started,
            ended_at=_now(),
        )
        if turns:
            document["turns"] = turns
        if not self.done:
            document["status"] = "interrupted"
            document["error"] = f"it was interrupted after {len(answers)} of {self._count} processes"
        document["metrics"].update(scrubbed(observation.metrics(phases)))
        if self._order.action != "run":
            document.update(_claims(lock, configuration, parts, document))
        warnings = [*document["warnings"], *state_warnings(self._before, after, facts, during)]
        document["warnings"] = list(dict.fromkeys(warnings))
        predictions = next((answer.predictions for answer in answers if answer.predictions), None)
        return Measured(document, predictions, answers[-1].outcome.tail, answers[0].pitfalls)


def _claims(
    lock: Lock, configuration: LockedConfiguration, parts: Parts, document: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the model's claims with their verdicts, or nothing where it claims nothing."""
    model, dataset = lock.nodes[parts.model_id], lock.nodes[parts.dataset_id]
    claims = check_claims(
        parts.model.meta,
        node_facts(model.version, model.variants, configuration.target),
        parts.dataset.meta,
        dataset.variants,
        node_facts(dataset.version, dataset.variants, configuration.target),
        document["status"],
        document["metrics"],
    )
    return {"claims": claims} if claims else {}


def _processes(program: Mapping[str, Any], action: str, asked: int | None, options: Mapping[str, Any]) -> int:
    """Return how many processes an action takes: for benchmarks what the user or the program says, else one."""
    if action != "benchmark":
        return 1
    if asked is not None:
        return asked
    declared: Mapping[str, Mapping[str, Any]] = program.get("options", {})
    alone = any(options[name] in entry.get("alone", ()) for name, entry in declared.items())
    return 1 if alone else int(program.get("processes", 1))
