# SPDX-License-Identifier: Apache-2.0
"""Results in the layout of a submission to MLPerf Inference (v6.0 on), as an unofficial folder.

What a result does not know is written as `not recorded`, never guessed; the README says what the folder is not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codereef.canonical import pretty_json
from codereef.disk import write_atomic
from codereef.errors import NotFoundError, UsageError
from codereef.interchange.mlperf_logs import DETAIL, MARK, SUMMARY, read_detail
from codereef.interchange.source import Content, Source
from codereef.interchange.to_mlperf_logs import (
    LOADGEN,
    SCENARIOS,
    accuracy_entries,
    detail_text,
    own_log,
    performance_entries,
    summary_text,
)
from codereef.record.history import Result

DIVISIONS = ("open", "closed")
UNKNOWN = "not recorded"
#: Task -> benchmark of MLPerf that the submission checker takes the rules of; a submitter may name any in the open division.
_MODELS = {"image-classification": "resnet", "object-detection": "yolo-95"}
_ACCURACY = ("top1", "mAP", "auc", "AUC")
_TEXT_FIELDS = (
    "host_storage_capacity",
    "host_storage_type",
    "host_networking",
    "host_networking_topology",
    "host_network_card_count",
    "host_memory_configuration",
    "host_processor_frequency",
    "host_processor_interconnect",
    "accelerator_memory_capacity",
    "accelerator_frequency",
    "accelerator_host_interconnect",
    "accelerator_interconnect",
    "accelerator_interconnect_topology",
    "accelerator_memory_configuration",
    "accelerator_on-chip_memories",
    "cooling",
)
NOTICE = """\
# UNOFFICIAL results in the layout of MLPerf Inference

**These are not MLPerf results.** They were measured with `cr benchmark`, are laid out like a submission so that tools
for submissions can read them, and were neither submitted to MLCommons nor reviewed by it.

By MLCommons' messaging guidelines, whoever shows figures of such a folder must

- write *unverified* next to each of them, with the footnote "Result not verified by MLCommons Association.";
- compare them with MLPerf results only where benchmark, scenario and rules of the version are the same, and say which
  side is verified; a workload that is no MLPerf benchmark may not be set beside MLPerf results at all;
- not call them official, and not use the MLPerf name or logo, which are trademarks of MLCommons Association, for a
  product that they are about.
"""


@dataclass(frozen=True)
class Written:
    """What was written.

    Attributes:
        results: the results that are in it.
        notes: what a reader must know: what was left out, and what is not as a submission needs it.
    """

    results: tuple[Result, ...]
    notes: tuple[str, ...]


def slug(text: str) -> str:
    """Return text as a name of a folder: lower case, digits, dots and dashes."""
    return re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-.") or "unknown"


def _benchmark(document: Mapping[str, Any]) -> str:
    name = document["model"].split(":")[1].split("@")[0]
    precision = document.get("precision", "")
    return slug(f"{name}-{precision}" if precision and precision not in name else name)


def _cpu(document: Mapping[str, Any]) -> Mapping[str, Any]:
    cpu = document["machine"]["class"].get("cpu")
    return cpu if isinstance(cpu, dict) else {}


def _system(document: Mapping[str, Any]) -> str:
    chip = _cpu(document).get("model") or document["configuration"]["target"]
    runtime = document["runtime"]
    return slug(f"{chip}-{runtime['name']}-{runtime['version']}")


def write_submission(results: Sequence[Result], folder: Path, *, submitter: str, division: str) -> Written:
    """Write results as a submission.

    Of several results of one system, benchmark and scenario the newest is taken.

    Args:
        results: oldest first; those that failed, and those of scenarios that MLPerf has not, are left out.
        folder: where to; must be absent or empty.
        submitter: name of the folder below the division.
        division: `open` or `closed`.

    Raises:
        NotFoundError: no result can be written.
        UsageError: the folder is not empty, or a name cannot be a folder's.
        StorageError: it cannot be written.
    """
    if division not in DIVISIONS:
        raise UsageError(f"There is no division {division}.", hint=f"There are {', '.join(DIVISIONS)}.")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", submitter):
        raise UsageError(f"{submitter!r} cannot be a submitter's folder.", hint="Use letters, digits, dots and dashes.")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is there already.", hint="Name a folder that is absent or empty.")
    chosen: dict[tuple[str, str, str], Result] = {}
    notes, left = [], 0
    for result in results:
        d = result.document
        if d["status"] != "ok" or d["action"] != "benchmark" or d["scenario"] not in SCENARIOS:
            left += 1
            continue
        key = (_system(d), _benchmark(d), SCENARIOS[d["scenario"]])
        if key in chosen:
            notes.append(
                f"{chosen[key].short} is left out: {result.short} is of the same system, model and scenario, and newer"
            )
        chosen[key] = result
    if left:
        notes.append(f"{left} results are left out: they failed, are no benchmarks, or MLPerf has no such scenario")
    if not chosen:
        raise NotFoundError(
            "No result can be written in MLPerf's layout.",
            hint="`cr benchmark SOLUTION` measures in one of the scenarios " + ", ".join(SCENARIOS) + ".",
        )
    home = folder / division / submitter
    lines = []
    for (system, benchmark, scenario), result in chosen.items():
        place = home / "results" / system / benchmark / scenario
        said = _write_result(result, place)
        write_atomic(home / "systems" / f"{system}.json", pretty_json(_system_fields(result, submitter, division)))
        lines.append(f"- `{system}/{benchmark}/{scenario}`: result `{result.id}`. {' '.join(said)}")
        notes += [f"{result.short}: {text}" for text in said]
    _write_source(home, chosen.values())
    mapping = {key[1]: _MODELS[r.document["task"]] for key, r in chosen.items() if r.document["task"] in _MODELS}
    if division == "open" and mapping:
        write_atomic(home / "model_mapping.json", pretty_json(mapping))
    write_atomic(folder / "README.md", "\n".join([NOTICE, "## What is in it", "", *lines, ""]))
    return Written(tuple(chosen.values()), tuple(notes))


def _write_result(result: Result, place: Path) -> list[str]:
    """Write one result's files; returns what is not as a submission needs it."""
    d, said = result.document, []
    log = own_log(result)
    if log is not None:
        text, entries = log, _parsed(log)
        count = len(d.get("processes", ()))
        of = f" of the first of {count} processes" if count > 1 else ""
        said.append(f"The detail log is LoadGen's own{of}, but for paths and names of the machine.")
    else:
        entries = performance_entries(result)
        text = detail_text(entries)
        said.append(
            "The log is made from the result and not LoadGen's, so seeds and inputs are not those of a submission."
        )
        if d.get("load", {}).get("driver") == LOADGEN:
            said.append("LoadGen measured it, but its log is not in the result.")
    run = place / "performance" / "run_1"
    write_atomic(run / DETAIL, text)
    write_atomic(run / SUMMARY, summary_text(entries))
    said += _write_accuracy(result, place / "accuracy")
    write_atomic(place / "measurements.json", pretty_json(_measurements(result)))
    options = {**d["options"], **d.get("load", {}).get("settings", {})}
    settings = "".join(f"# {name} = {json.dumps(value)}\n" for name, value in sorted(options.items()))
    write_atomic(place / "user.conf", f"# Settings of `cr benchmark`, which reads no user.conf.\n{settings}")
    write_atomic(place / "README.md", f"{NOTICE}\nResult `{result.id}`. {' '.join(said)}\n")
    return said


def _parsed(log: str) -> dict[str, Any]:
    """Return the first value of each key of a detail log that LoadGen wrote."""
    source = Source(Path(DETAIL), "the detail log in the result")
    read_detail(Content(source, log.encode("utf-8")))  # refuses one that is damaged
    entries: dict[str, Any] = {}
    for line in log.splitlines():
        if line.startswith(MARK):
            entry = json.loads(line[len(MARK) :])
            entries.setdefault(entry["key"], entry["value"])
    return {"sut_name": "", "result_validity": "INVALID", "loadgen_version": "", **entries}


def _write_accuracy(result: Result, place: Path) -> list[str]:
    name = next((name for name in _ACCURACY if result.metric(name) is not None), "")
    if not name:
        return ["Accuracy was not measured, which a submission needs."]
    metric = result.document["metrics"][name]
    value, samples = float(metric["value"]), int(metric["samples"])
    if name == "top1":
        line = f"accuracy={value * 100:.3f}%, good={round(value * samples)}, total={samples}"
    else:
        line = f"{name.upper() if name == 'auc' else name}={value * 100:.3f}%"
    write_atomic(place / DETAIL, detail_text(accuracy_entries(result, samples)))
    write_atomic(place / SUMMARY, "\nNo warnings encountered during test.\n\nNo errors encountered during test.\n")
    write_atomic(place / "accuracy.txt", f"{line}\nhash={result.id}\n")
    write_atomic(place / "mlperf_log_accuracy.json", "[]\n")
    return [
        f"Accuracy is that of the result over {samples} items; single answers are not in it, and `hash` is the result's identity."
    ]


def _measurements(result: Result) -> dict[str, str]:
    d = result.document
    return {
        "input_data_types": UNKNOWN,
        "retraining": UNKNOWN,
        "starting_weights_filename": str(d["model"]),
        "weight_data_types": str(d.get("precision") or UNKNOWN),
        "weight_transformations": UNKNOWN,
    }


def _system_fields(result: Result, submitter: str, division: str) -> dict[str, str]:
    d = result.document
    machine, cpu = d["machine"]["class"], _cpu(d)
    accelerators = [a for a in machine.get("accelerators") or [] if isinstance(a, dict)]
    os = machine.get("os") if isinstance(machine.get("os"), dict) else {}
    caches = [c for c in cpu.get("caches") or [] if isinstance(c, dict)]
    runtime = f"{d['runtime']['name']} {d['runtime']['version']}".strip()
    memory = machine.get("memory_mib")
    return {
        **dict.fromkeys(_TEXT_FIELDS, UNKNOWN),
        "division": division,
        "submitter": submitter,
        # Research, development or internal: the one category that claims nothing of what can be bought.
        "status": "rdi",
        "system_type": "edge",
        "system_type_detail": UNKNOWN,
        "system_name": str(cpu.get("model") or d["configuration"]["target"]),
        "number_of_nodes": "1",
        "host_processor_model_name": str(cpu.get("model") or UNKNOWN),
        "host_processors_per_node": str(cpu.get("sockets") or 1),
        "host_processor_core_count": str(cpu.get("physical_cores") or UNKNOWN),
        "host_processor_caches": ", ".join(
            f"L{c.get('level')} {c.get('type')} {c.get('count')}x{c.get('size_kib')} KiB" for c in caches
        )
        or UNKNOWN,
        "host_memory_capacity": f"{memory} MiB" if memory else UNKNOWN,
        "accelerators_per_node": str(len(accelerators)),
        "accelerator_model_name": ", ".join(str(a.get("name") or a.get("model") or UNKNOWN) for a in accelerators)
        or "none",
        "framework": runtime,
        "operating_system": str((os or {}).get("name") or UNKNOWN),
        "other_software_stack": ", ".join(_stack(d)) or UNKNOWN,
        "hw_notes": f"machine class {d['machine']['class_digest']}",
        "sw_notes": f"UNOFFICIAL: measured with codereef {d['client']['version']}",
    }


def _stack(document: Mapping[str, Any]) -> list[str]:
    found = {
        f"{distribution['name']} {distribution['version']}"
        for environment in document["lock"]["environments"].values()
        for distribution in environment["distributions"]
    }
    return sorted(found)


def _write_source(home: Path, results: Any) -> None:
    """Write what it takes to measure again: the lock of each result and the command."""
    lines = ["# How it was measured", ""]
    for result in results:
        d = result.document
        options = " ".join(f"-o {name}={value}" for name, value in sorted(d["options"].items()))
        name = d["solution"]["component"].split(":")[1].split("@")[0]
        write_atomic(home / "src" / f"{result.short}.cr.lock", pretty_json(d["lock"]))
        lines.append(
            f"- Result `{result.short}`: `cr benchmark {name} {options}`, with the lock `{result.short}.cr.lock`"
        )
    write_atomic(home / "src" / "README.md", "\n".join([*lines, ""]))
