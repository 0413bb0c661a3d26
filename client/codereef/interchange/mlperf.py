# SPDX-License-Identifier: Apache-2.0
"""MLPerf Inference results: single logs, and submissions with accuracy, systems and measurements around them.

A submission is `DIVISION/SUBMITTER/results/SYSTEM/BENCHMARK/SCENARIO/performance/run_N/`, with
`accuracy/accuracy.txt` beside it and `DIVISION/SUBMITTER/systems/SYSTEM.json` above. Each performance run becomes one
external result.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from codereef.interchange.external import external, metric
from codereef.interchange.mlperf_logs import (
    ACCURACY,
    DETAIL,
    REPORTER,
    SUMMARY,
    Log,
    looks_like_detail,
    looks_like_summary,
    read_detail,
    read_summary,
)
from codereef.interchange.source import Content, Source, Unit, load_json, mapping, read

NAME = "mlperf-inference"
VERSION = 1
DIVISIONS = ("closed", "open", "network")
_ACCURACY = "accuracy.txt"
_ROUND = re.compile(r"inference_results_(v\d+(?:\.\d+)+)")
_TESTS = re.compile(r"^TEST\d+$")
_LOGS = (SUMMARY, DETAIL)
_BESIDE = (*_LOGS, "mlperf_log_accuracy.json", "mlperf_log_trace.json")

#: How accuracy is written, which metric that is, and whether it is in percent. The submission checker reads these lines.
_PATTERNS: tuple[tuple[re.Pattern[str], str, bool], ...] = (
    (re.compile(r"Word Error Rate:.*, accuracy=([\d.]+)%"), "accuracy", True),
    (re.compile(r"^accuracy=([\d.]+)%"), "accuracy", True),
    (re.compile(r".*mAP=([\d.]+)%"), "mAP", True),
    (re.compile(r"^AUC=([\d.]+)%"), "AUC", True),
    (re.compile(r"^Accuracy: mean = ([\d.]+)"), "dice", False),
    (re.compile(r"""^\{["']exact_match["']: [\d.]+, ["']f1["']: ([\d.]+)\}"""), "F1", True),
    (re.compile(r"^BLEU: ([\d.]+)"), "bleu", False),
)
_TOTAL = re.compile(r"\btotal=([0-9]{1,15})\b")


@dataclass(frozen=True)
class Place:
    """Where in a submission a file lies.

    Attributes:
        root: folder that holds the divisions.
        division, submitter: parts of the path.
        rest: parts below the submitter's folder.
    """

    root: Path
    division: str
    submitter: str
    rest: tuple[str, ...]

    @property
    def run(self) -> tuple[str, str, str] | None:
        """System, benchmark and scenario of a file below `results`, else None."""
        return (self.rest[1], self.rest[2], self.rest[3]) if self.rest[0] == "results" and len(self.rest) > 4 else None

    @property
    def folder(self) -> Path:
        """The submitter's folder."""
        return self.root / self.division / self.submitter

    def name(self, path: Path) -> str:
        """Return a file's name from the division on, which is the same wherever the submission lies."""
        return path.absolute().relative_to(self.root).as_posix()


def place_of(path: Path) -> Place | None:
    """Return where in a submission a file lies, or None where it is in none."""
    parts = path.absolute().parts
    for at in range(len(parts) - 4, 0, -1):
        if parts[at] in DIVISIONS and parts[at + 2] in ("results", "systems", "measurements", "compliance"):
            return Place(Path(*parts[:at]), parts[at], parts[at + 1], parts[at + 2 :])
    return None


def find(sources: Sequence[Source]) -> Iterator[Unit]:
    """Yield a unit for each performance run among the files, with all files that belong to it."""
    logs: dict[Path, dict[str, Source]] = {}
    systems: dict[Path, list[Source]] = {}
    scenarios: dict[Path, list[Source]] = {}
    for source in sources:
        place = place_of(source.path)
        kind = _kind(source, place)
        if kind in _LOGS:
            # The two logs of a run lie together; a log of another name stands for itself.
            path = source.path.absolute()
            logs.setdefault(path.parent if path.name in _LOGS else path, {})[kind] = source
        elif place and place.rest[0] == "systems" and source.path.suffix == ".json":
            systems.setdefault(source.path.absolute(), []).append(source)
        elif place and (_is_measurement(place) or (place.run and source.path.name == _ACCURACY)):
            scenarios.setdefault(_scenario_folder(place), []).append(source)
    for found in logs.values():
        place = place_of(next(iter(found.values())).path)
        chosen = list(found.values())
        if place and place.run:
            if _is_check(place):
                continue
            around = scenarios.get(_scenario_folder(place), [])
            system = systems.get(place.folder / "systems" / f"{place.run[0]}.json", [])
            chosen += [*around, *system]
            label = " ".join((place.submitter, *place.run))
        else:
            label = next(iter(found.values())).label
        yield Unit(NAME, label, tuple(chosen), partial(_make, place, found, chosen[len(found) :]))


def belongs(source: Source) -> bool:
    """Tell whether a file is part of a submission that is not read: accuracy runs, compliance tests, documents."""
    return place_of(source.path) is not None or source.path.name in _BESIDE


def _kind(source: Source, place: Place | None) -> str:
    """Return which log a file is, or an empty text."""
    if place is not None:
        return source.path.name if source.path.name in _LOGS and "performance" in place.rest else ""
    if source.path.name in _LOGS:
        return source.path.name
    if source.path.suffix not in (".txt", ".log", ""):
        return ""
    head = source.head()
    return SUMMARY if looks_like_summary(head) else DETAIL if looks_like_detail(head) else ""


def _is_check(place: Place) -> bool:
    """Tell whether a run is a compliance test, whose figures are no result."""
    return place.rest[0] == "compliance" or any(_TESTS.match(part) for part in place.rest)


def _scenario_folder(place: Place) -> Path:
    return place.folder.joinpath("results", *place.rest[1:4])


def _is_measurement(place: Place) -> bool:
    if place.rest[0] == "measurements":
        return len(place.rest) == 5 and place.rest[4].endswith(".json")
    return place.rest[0] == "results" and place.rest[4:] == ("measurements.json",)


def _make(place: Place | None, logs: Mapping[str, Source], around: Iterable[Source]) -> list[dict[str, Any]]:
    contents = {name: read(source) for name, source in logs.items()}
    read_by = {DETAIL: read_detail, SUMMARY: read_summary}
    parsed: dict[str, Log] = {}
    for name in sorted(contents):
        parsed[name] = read_by[name](contents[name])
        if parsed[name].mode == ACCURACY:
            return []  # A run in accuracy mode is not timed.
    log = parsed.get(DETAIL) or parsed[SUMMARY]
    reasons = list(log.reasons)
    if len(parsed) == 2 and parsed[SUMMARY].valid != parsed[DETAIL].valid:
        reasons.append("summary and detail log do not agree on whether the run is valid; the detail log is taken")
    metrics, reported, parameters = dict(log.metrics), dict(log.reported), dict(log.parameters)
    facts: Mapping[str, Any] = {}
    files = [content.entry(_name(place, content.source)) for content in contents.values()]
    for source in around:
        content = read(source)
        files.append(content.entry(_name(place, source)))
        if source.path.name == _ACCURACY:
            accuracy, text = read_accuracy(content)
            metrics.update(accuracy)
            reported[_ACCURACY] = text
        elif source.path.parent.name == "systems":
            facts = mapping(source, load_json(content), "the system description")
        else:
            parameters["measurements"] = mapping(source, load_json(content), "the list of measurements")
    run = place.run if place else None
    about = {
        "tool": REPORTER,
        "tool_version": log.version,
        "recorded_at": log.recorded_at,
        "organisation": place.submitter if place else "",
        "division": place.division if place else "",
        "availability": str(facts.get("status", "")),
        "round": _round(place),
    }
    return [
        external(
            NAME,
            VERSION,
            files=sorted(files, key=lambda file: str(file["name"])),
            benchmark=run[1] if run else "",
            system=run[0] if run else log.sut,
            scenario=_scenario(log),
            metrics=metrics,
            about=about,
            facts=facts,
            parameters={**parameters, "mode": log.mode, "sut": log.sut},
            valid=log.valid,
            reasons=reasons,
            reported=reported,
        )
    ]


def _scenario(log: Log) -> str:
    """Return the scenario in the spelling that MLPerf has had since v0.7."""
    return log.scenario.replace(" ", "")


def _name(place: Place | None, source: Source) -> str:
    return place.name(source.path) if place else source.path.name


def _round(place: Place | None) -> str:
    found = [match[1] for part in place.root.parts if (match := _ROUND.search(part))] if place else []
    return found[-1] if found else ""


def read_accuracy(content: Content) -> tuple[dict[str, dict[str, Any]], str]:
    """Read `accuracy.txt`: metrics as fractions, and the line they are from.

    A file whose lines are of no known form gives no metric and its first line.
    """
    lines = [line.strip() for line in content.text().splitlines() if line.strip()]
    for line in lines:
        for pattern, name, percent in _PATTERNS:
            found = pattern.match(line)
            if found and found[1].count(".") < 2 and found[1] != ".":
                value = float(found[1])
                total = _TOTAL.search(line)
                samples = int(total[1]) if total else 0
                # A decimal fraction: 65.75 / 100 is 0.6575 in floating point too, where * 0.01 would not be.
                return (
                    {name: metric(value / 100 if percent else value, "", "higher", "the submitter", samples=samples)},
                    line,
                )
    return {}, lines[0] if lines else ""
