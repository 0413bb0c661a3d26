# SPDX-License-Identifier: Apache-2.0
"""From what the processes of a run left behind to a result document."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from codereef import __version__
from codereef.bench.signs import Course
from codereef.install.execute import component_of
from codereef.lock.model import Lock, LockedConfiguration, to_document
from codereef.meta.schemas import problems
from codereef.record.privacy import scrub
from codereef.repo.index import Index
from codereef.run.forks import as_said, join, sound
from codereef.run.process import Answer
from codereef.run.request import Parts


@dataclass(frozen=True)
class Machine:
    """The machine as a result knows it: facts of its class, their digest, and the salted instance."""

    facts: Mapping[str, Any]
    digest: str
    instance: str


def scrubbed(value: Any) -> Any:
    """Return JSON data with every text scrubbed; keys stay."""
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, Mapping):
        return {key: scrubbed(child) for key, child in value.items()}
    return [scrubbed(child) for child in value] if isinstance(value, list) else value


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value] if value else []


def result_document(
    lock: Lock,
    index: Index,
    configuration: LockedConfiguration,
    parts: Parts,
    machine: Machine,
    answers: Sequence[Answer],
    options: Mapping[str, Any],
    courses: Sequence[Course] = (),
) -> dict[str, Any]:
    """Return the result of a run, but for what only the caller knows: action, scenario, options, times, state.

    Args:
        lock: the graph.
        index: the components.
        configuration: the one that ran.
        parts: its components.
        machine: where it ran.
        answers: of its processes, in the order they ran; the last one may have failed.
        options: options in force.
        courses: of each process, readings of the clock and of the temperature while it was measured, where known.
    """
    graph = lock.restricted(configuration)
    last = answers[-1]
    wrong = next((answer for answer in answers if not sound(answer)), None)
    first = wrong or answers[0]
    joined = join(answers, options, courses) if wrong is None else as_said(first)
    document: dict[str, Any] = {
        "format": "codereef-result/1",
        "status": last.status,
        "solution": {"component": lock.solution, "digest": lock.solution_digest},
        "configuration": {
            "id": configuration.id,
            "target": configuration.target,
            "variants": dict(configuration.variants),
        },
        "lock_digest": graph.digest,
        "lock": to_document(graph),
        "components": {node.component: node.digest for node in graph.nodes.values()},
        "task": parts.model.meta["task"],
        "model": str(parts.model.reference),
        "precision": parts.precision,
        "dataset": str(parts.dataset.reference),
        "runtime": _runtime(lock, index, parts, first.response),
        "machine": {"class": dict(machine.facts), "class_digest": machine.digest, "instance": machine.instance},
        "metrics": scrubbed(joined.metrics),
        "samples": dict(joined.samples),
        "processing": scrubbed(first.response.get("processing", {})),
        "warnings": [scrub(str(text)) for text in _listed(joined.warnings)],
        "client": {"version": __version__},
    }
    if joined.processes:
        document["processes"] = scrubbed(list(joined.processes))
    if joined.signs:
        document["signs"] = dict(joined.signs)
    if joined.load:
        document["load"] = scrubbed(joined.load)
    if "stages" in first.response:
        document["stages"] = scrubbed(first.response["stages"])
    if last.status != "ok":
        which = f" (process {len(answers)})" if len(answers) > 1 else ""
        document["error"] = scrub(_failure(parts, last, which))
    _check_measured(document)
    return document


def _failure(parts: Parts, answer: Answer, which: str) -> str:
    """Say what went wrong: the program's own words where it failed, ours where it was ended."""
    outcome, response, status = answer.outcome, answer.response, answer.status
    name = f"{parts.program.reference}{which}"
    if outcome.status == "ok" and not response:
        return f"{name}: it ended well but wrote no response that can be read"
    if status == "failed" and response.get("error"):
        return str(response["error"])
    last = (
        next((line for line in reversed(outcome.tail) if line.strip()), "") if status in ("failed", "crashed") else ""
    )
    return f"{name}: {outcome.sentence}" + (f"; it last said: {last}" if last else "")


def _runtime(lock: Lock, index: Index, parts: Parts, response: Mapping[str, Any]) -> dict[str, Any]:
    """Return name and version of the distribution that ran the model; from the graph where the program did not say."""
    said = response.get("runtime")
    if isinstance(said, Mapping) and said.get("name"):
        runtime: dict[str, Any] = {"name": scrub(str(said["name"])), "version": scrub(str(said.get("version", "")))}
        if said.get("providers"):
            runtime["providers"] = [scrub(str(provider)) for provider in _listed(said["providers"])]
        return runtime
    node = lock.nodes[lock.nodes[parts.model_id].deps["runtime"]]
    if node.source == "detected":
        return {"name": str(node.facts.get("name", node.capability)), "version": node.version}
    component = component_of(node, index)
    requirements = component.meta["install"].get("requirements", [component.name])
    return {"name": re.split(r"[^A-Za-z0-9._-]", requirements[0])[0], "version": node.version}


def _check_measured(document: dict[str, Any]) -> None:
    """Make a failure of a result whose program wrote what no result can hold; what is sound of it stays."""
    found = problems(document, "result")
    for part in ("metrics", "samples", "processing", "warnings", "runtime", "load", "stages"):
        wrong = [problem for problem in found if problem.path.startswith(f"$.{part}")]
        if not wrong:
            continue
        if part in ("load", "stages"):
            del document[part]
        else:
            document[part] = (
                {"name": "unknown", "version": ""} if part == "runtime" else [] if part == "warnings" else {}
            )
        if document["status"] == "ok":
            document["status"] = "failed"
            document["error"] = scrub(f"the program's response does not follow the result schema: {wrong[0]}")
