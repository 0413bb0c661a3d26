# SPDX-License-Identifier: Apache-2.0
"""One measurement: start the program of a configuration, wait for it, and make a result of what it wrote.

A crash, a time-out or a lack of memory is a result too, with a status and with the samples taken before.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from codereef import __version__
from codereef.canonical import digest_of, pretty_json
from codereef.errors import MetadataError, RunError
from codereef.home import Home
from codereef.install.execute import Installed, component_of
from codereef.lock.build import node_facts
from codereef.lock.model import Lock, LockedConfiguration, LockedNode, to_document
from codereef.meta.schemas import parse_json, problems
from codereef.meta.selection import select
from codereef.record.privacy import scrub
from codereef.repo.index import Index
from codereef.run.claims import check_claims
from codereef.run.options import measured_options, merge_options
from codereef.run.request import Parts, build_request, parts_of
from codereef.store.locks import inherited
from codereef.target.local import Outcome, clean_environment, run

DEFAULT_TIMEOUT = 3600.0
_HOMES = ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME")

#: Way of measuring; changes whenever numbers of before and after are no longer alike.
METHOD = "codereef-measuring/1"


@dataclass(frozen=True)
class Update:
    """How far a run has come.

    Attributes:
        phase: what it is doing.
        done: items done.
        total: items in all, or None where nobody knows.
        fraction: 0 to 1, or None.
    """

    phase: str
    done: int
    total: int | None
    fraction: float | None


@dataclass(frozen=True)
class Measured:
    """A run's result document and what it left behind.

    Attributes:
        document: the result, not yet in the history.
        predictions: what the program predicted, or None.
        tail: last lines of the program's standard error.
    """

    document: dict[str, Any]
    predictions: Any
    tail: tuple[str, ...]


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
    timeout: float | None = None,
    memory_limit: int | None = None,
    on_update: Callable[[Update], None] = lambda _: None,
) -> Measured:
    """Run one action of one configuration.

    Args:
        lock: the graph, installed.
        configuration: the one to run.
        index: the components.
        installed: where everything is.
        home: the client's home.
        action: `run`, `benchmark` or `validate`; its settings are those of `benchmark` where the solution has none.
        given: program options from the user, as text.
        timeout: seconds; the program's own limit by default.
        memory_limit: bytes of address space; None for no limit.
        on_update: is told how far the run has come, from another thread.

    Raises:
        UsageError: an option is wrong.
        RunError: the program could not be started.
    """
    from codereef.detect.instance import instance_id
    from codereef.detect.machine import class_digest, machine_class
    from codereef.detect.state import machine_state, state_warnings

    parts = parts_of(lock, configuration, index)
    actions = parts.solution.meta["actions"]
    settings = actions.get(action) or actions.get("benchmark") or {}
    options = merge_options(parts.program.meta, settings, given)
    scenario = settings.get("scenario", "single-stream")
    python = installed.pythons.get(configuration.environment)
    if python is None:
        raise RunError(
            f"{configuration.id} has no Python environment.", hint="The program needs a dependency on compiler.python."
        )
    machine = machine_class(home.cache)
    started, before = _now(), machine_state()
    with tempfile.TemporaryDirectory(prefix="codereef-run-") as folder:
        work = Path(folder)
        output = work / "output"
        output.mkdir()
        (work / "home").mkdir()
        request = work / "request.json"
        request.write_text(
            pretty_json(build_request(lock, configuration, parts, installed, action, options, output)), encoding="utf-8"
        )
        script = installed.folders[parts.program_id] / parts.program.meta["run"]["python"]
        limit = timeout if timeout is not None else float(parts.program.meta.get("timeout", DEFAULT_TIMEOUT))
        with inherited() as locks:
            outcome = run(
                [str(python), "-I", str(script), str(request)],
                cwd=work,
                # Runtimes keep caches and telemetry in the home; a measurement reads and leaves nothing there.
                environ={**clean_environment(os.environ), **dict.fromkeys(_HOMES, str(work / "home"))},
                timeout=limit,
                memory_limit=memory_limit,
                on_line=lambda line: _report(line, on_update),
                # What the program uses stays in the store as long as it runs, whatever becomes of this process.
                pass_fds=locks,
            )
        response = _read_object(output / "response.json")
        partial = _read_object(output / "samples.partial.json")
        predictions = _read_json(output / "predictions.json") or None
    after = machine_state()
    document = _document(
        lock,
        index,
        configuration,
        parts,
        machine,
        class_digest(machine),
        instance_id(home.root / "instance.salt"),
        outcome,
        response,
        partial,
    )
    document.update(
        action=action,
        scenario=scenario,
        options=_scrubbed(options),
        comparability=comparability(
            parts,
            lock.nodes[parts.model_id],
            lock.nodes[parts.dataset_id],
            configuration.target,
            {**options, "scenario": scenario},
        ),
        environment={"before": before, "after": after},
        started_at=started,
        ended_at=_now(),
    )
    _check_measured(document)
    if action != "run":
        document.update(_claims(lock, configuration, parts, document))
    document["warnings"] = list(dict.fromkeys([*document["warnings"], *state_warnings(before, after, machine)]))
    return Measured(document, predictions, outcome.tail)


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


def _check_measured(document: dict[str, Any]) -> None:
    """Make a failure of a result whose program wrote what no result can hold; what is sound of it stays."""
    for part in ("metrics", "samples", "processing", "warnings", "runtime", "load", "stages"):
        wrong = [problem for problem in problems(document, "result") if problem.path.startswith(f"$.{part}")]
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


def _report(line: str, on_update: Callable[[Update], None]) -> None:
    try:
        data = json.loads(line)
        total, fraction = data.get("total"), data.get("progress")
        update = Update(
            str(data["phase"]),
            int(data.get("done") or 0),
            None if total is None else int(total),
            None if fraction is None else min(1.0, max(0.0, float(fraction))),
        )
    except (ValueError, KeyError, TypeError, OverflowError, AttributeError):
        return  # A program may print what it likes; only progress lines concern us.
    on_update(update)


def _read_json(path: Path) -> Any:
    """Return what a program wrote, or {} where that is missing or no JSON (NaN is none)."""
    try:
        return parse_json(path.read_bytes(), path.name)
    except (OSError, MetadataError):
        return {}


def _read_object(path: Path) -> dict[str, Any]:
    document = _read_json(path)
    return document if isinstance(document, dict) else {}


def _scrubbed(value: Any) -> Any:
    """Return JSON data with every text scrubbed; keys stay."""
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, Mapping):
        return {key: _scrubbed(child) for key, child in value.items()}
    return [_scrubbed(child) for child in value] if isinstance(value, list) else value


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value] if value else []


def _document(
    lock: Lock,
    index: Index,
    configuration: LockedConfiguration,
    parts: Parts,
    machine: Mapping[str, Any],
    class_name: str,
    instance: str,
    outcome: Outcome,
    response: Mapping[str, Any],
    partial: Mapping[str, Any],
) -> dict[str, Any]:
    graph = lock.restricted(configuration)
    status = outcome.status
    error = ""
    if status == "ok" and response.get("status") != "ok":
        status = "failed"
    if status != "ok":
        error = scrub(_failure(parts, outcome, response, status))
    document: dict[str, Any] = {
        "format": "codereef-result/1",
        "status": status,
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
        "runtime": _runtime(lock, index, parts, response),
        "machine": {"class": dict(machine), "class_digest": class_name, "instance": instance},
        "metrics": _scrubbed(response.get("metrics", {})),
        # A program that was ended answers without the series it was in; what it saved on the way has that one.
        "samples": {**_mapping(partial.get("samples")), **_mapping(response.get("samples"))},
        "processing": _scrubbed(response.get("processing", {})),
        "warnings": [scrub(str(text)) for text in _listed(response.get("warnings"))],
        "client": {"version": __version__},
    }
    document.update({part: _scrubbed(response[part]) for part in ("load", "stages") if part in response})
    if error:
        document["error"] = error
    return document


def _failure(parts: Parts, outcome: Outcome, response: Mapping[str, Any], status: str) -> str:
    """Say what went wrong: the program's own words where it failed, ours where it was ended."""
    name = str(parts.program.reference)
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
