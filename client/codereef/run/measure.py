# SPDX-License-Identifier: Apache-2.0
"""One measurement: start the program of a configuration, as often as asked, and make a result of what it wrote.

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
from codereef.repo.index import Index
from codereef.run.claims import check_claims
from codereef.run.document import Machine, result_document, scrubbed
from codereef.run.options import measured_options, merge_options, scenario_of
from codereef.run.process import Answer, Update, answer_of
from codereef.run.request import Parts, build_request, parts_of

if TYPE_CHECKING:
    from codereef.detect.meter import Source

DEFAULT_TIMEOUT = 3600.0

#: Way of measuring; changes whenever numbers of before and after are no longer alike.
METHOD = "codereef-measuring/2"


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
            "options": {name: settings[name] for name in measured_options(parts.program.meta) if name in settings},
            "method": METHOD,
        }
    )


def measure(
    lock: Lock,
    configuration: LockedConfiguration,
    index: Index,
    installed: Installed,
    home: Home,
    *,
    action: str,
    given: Mapping[str, str],
    scenario: str | None = None,
    timeout: float | None = None,
    memory_limit: int | None = None,
    processes: int | None = None,
    meter: Source | None = None,
    on_update: Callable[[Update], None] = lambda _: None,
) -> Measured:
    """Run one action of one configuration.

    Args:
        lock: the graph, installed.
        configuration: the one to run.
        index: the components.
        installed: where everything is.
        home: the client's home.
        action: `run`, `benchmark`, `validate` or `pitfalls`; its settings are those of `benchmark` where the
            solution has none.
        given: program options from the user, as text.
        scenario: load pattern from the user; that of the solution's action when None.
        timeout: seconds that each process may take; the program's own limit by default.
        memory_limit: bytes of address space; None for no limit.
        processes: how many a benchmark starts, one after the other; what the program declares by default.
        meter: power meter; None takes what the setting `meter` names, else a battery in use.
        on_update: is told how far the run has come, from another thread.

    Raises:
        UsageError: an option or the setting `meter` is wrong.
        RunError: the program could not be started.
    """
    from codereef.config import value
    from codereef.detect.instance import instance_id
    from codereef.detect.machine import class_digest, machine_class
    from codereef.detect.meter import parse_meter
    from codereef.detect.observe import Observation
    from codereef.detect.state import machine_state, state_warnings

    parts = parts_of(lock, configuration, index)
    actions = parts.solution.meta["actions"]
    settings = actions.get(action) or actions.get("benchmark") or {}
    options = merge_options(parts.program.meta, settings, given)
    scenario = scenario_of(parts.program.meta, settings, scenario)
    python = installed.pythons.get(configuration.environment)
    if python is None:
        raise RunError(
            f"{configuration.id} has no Python environment.", hint="The program needs a dependency on compiler.python."
        )
    facts = machine_class(home.cache)
    machine = Machine(facts, class_digest(facts), instance_id(home.root / "instance.salt"))
    count = _processes(parts.program.meta, action, processes)
    load = scenario
    started, before = _now(), machine_state()
    answers: list[Answer] = []
    # The block that watches the machine meanwhile; every process of one result belongs into it.
    with Observation(meter or parse_meter(value(home, "meter"))) as observation:
        for number in range(count):

            def request(output: Path, number: int = number) -> Mapping[str, Any]:
                share = (number, count) if count > 1 else None
                return build_request(lock, configuration, parts, installed, action, options, output, load, share)

            def update(said: Update, number: int = number) -> None:
                phase = f"{said.phase} ({number + 1} of {count})" if count > 1 else said.phase
                on_update(replace(said, phase=phase))

            answers.append(
                answer_of(
                    python,
                    installed.folders[parts.program_id] / parts.program.meta["run"]["python"],
                    request,
                    timeout=timeout
                    if timeout is not None
                    else float(parts.program.meta.get("timeout", DEFAULT_TIMEOUT)),
                    memory_limit=memory_limit,
                    on_update=update,
                )
            )
            if answers[-1].status != "ok":
                break  # What the earlier ones measured is kept.
    after = machine_state()
    phases = [phase for answer in answers if isinstance(phase := answer.response.get("phase"), dict)]
    during = scrubbed(observation.during(phases))
    courses = [observation.course(answer.response.get("phase")) for answer in answers]
    document = result_document(lock, index, configuration, parts, machine, answers, options, courses)
    said = document.get("load", {}).get("settings", {}).get("scenario")
    if isinstance(said, str) and "scenarios" not in parts.program.meta:
        scenario = said  # A program that decides its own scenario says which.
    document.update(
        action=action,
        scenario=scenario,
        options=scrubbed(options),
        comparability=comparability(
            parts,
            lock.nodes[parts.model_id],
            lock.nodes[parts.dataset_id],
            configuration.target,
            {**options, "scenario": scenario},
        ),
        environment={"before": before, "after": after, "during": during},
        started_at=started,
        ended_at=_now(),
    )
    document["metrics"].update(scrubbed(observation.metrics(phases)))
    if action != "run":
        document.update(_claims(lock, configuration, parts, document))
    document["warnings"] = list(dict.fromkeys([*document["warnings"], *state_warnings(before, after, facts, during)]))
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


def _processes(program: Mapping[str, Any], action: str, asked: int | None) -> int:
    """Return how many processes an action takes: for benchmarks what the user or the program says, else one."""
    if action != "benchmark":
        return 1
    return asked if asked is not None else int(program.get("processes", 1))
