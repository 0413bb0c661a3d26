# SPDX-License-Identifier: Apache-2.0
"""One measurement: start the program of a configuration, wait for it, and make a result of what it wrote.

A crash, a time-out or a lack of memory is a result too, with a status and with the samples taken before.
"""

from __future__ import annotations

import json
import os
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
from codereef.install.execute import Installed
from codereef.lock.model import Lock, LockedConfiguration, to_document
from codereef.meta.schemas import parse_json
from codereef.record.privacy import scrub
from codereef.repo.index import Index
from codereef.run.options import merge_options
from codereef.run.request import Parts, build_request, parts_of
from codereef.target.local import Outcome, clean_environment, run

DEFAULT_TIMEOUT = 3600.0

#: Options that change what is measured, and with that whether two results can be compared.
COMPARABLE_OPTIONS = ("threads", "batch", "accuracy_limit")


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


def comparability(parts: Parts, scenario: str, options: Mapping[str, Any]) -> str:
    """Return the key that results must share to stand on one ranking: same model, data, load and harness."""
    return digest_of(
        {
            "model": parts.model.digest,
            "dataset": parts.dataset.digest,
            "dataset_variants": dict(parts.dataset_variants),
            "program": parts.program.digest,
            "scenario": scenario,
            "options": {name: options[name] for name in COMPARABLE_OPTIONS if name in options},
            "harness": __version__,
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
        action: `run`, `benchmark` or `validate`.
        given: program options from the user, as text.
        timeout: seconds; the program's own limit by default.
        memory_limit: bytes of address space; None for no limit.
        on_update: is told how far the run has come, from another thread.

    Raises:
        UsageError: the solution has no such action, or an option is wrong.
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
        request = work / "request.json"
        request.write_text(
            pretty_json(build_request(lock, configuration, parts, installed, action, options, output)), encoding="utf-8"
        )
        script = installed.folders[parts.program_id] / parts.program.meta["run"]["python"]
        limit = timeout if timeout is not None else float(parts.program.meta.get("timeout", DEFAULT_TIMEOUT))
        outcome = run(
            [str(python), "-I", str(script), str(request)],
            cwd=work,
            environ=clean_environment(os.environ),
            timeout=limit,
            memory_limit=memory_limit,
            on_line=lambda line: _report(line, on_update),
        )
        response = _read_object(output / "response.json")
        partial = _read_object(output / "samples.partial.json")
        predictions = _read_json(output / "predictions.json") or None
    after = machine_state()
    document = _document(
        lock,
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
        comparability=comparability(parts, scenario, options),
        environment={"before": before, "after": after},
        started_at=started,
        ended_at=_now(),
    )
    document["warnings"] = list(dict.fromkeys([*document["warnings"], *state_warnings(before, after, machine)]))
    return Measured(document, predictions, outcome.tail)


def _report(line: str, on_update: Callable[[Update], None]) -> None:
    try:
        data = json.loads(line)
        update = Update(str(data["phase"]), int(data.get("done") or 0), data.get("total"), data.get("progress"))
    except (ValueError, KeyError, TypeError):
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


def _document(
    lock: Lock,
    configuration: LockedConfiguration,
    parts: Parts,
    machine: Mapping[str, Any],
    class_name: str,
    instance: str,
    outcome: Outcome,
    response: Mapping[str, Any],
    partial: Mapping[str, Any],
) -> dict[str, Any]:
    graph = lock.restricted(configuration.id)
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
        "runtime": _runtime(lock, parts, response),
        "machine": {"class": dict(machine), "class_digest": class_name, "instance": instance},
        "metrics": _scrubbed(response.get("metrics", {})),
        # A program that was ended answers without the series it was in; what it saved on the way has that one.
        "samples": {**(partial.get("samples") or {}), **(response.get("samples") or {})},
        "processing": _scrubbed(response.get("processing", {})),
        "warnings": [scrub(str(text)) for text in response.get("warnings", ())],
        "client": {"version": __version__},
    }
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


def _runtime(lock: Lock, parts: Parts, response: Mapping[str, Any]) -> dict[str, str]:
    said = response.get("runtime") or {}
    if said.get("name"):
        return {"name": str(said["name"]), "version": str(said.get("version", ""))}
    node = lock.nodes[lock.nodes[parts.model_id].deps["runtime"]]
    return {"name": node.component.split(":")[1].split("@")[0], "version": node.version}
