# SPDX-License-Identifier: Apache-2.0
"""Reads what MLPerf LoadGen writes: the summary for people and the detail log for programs.

The summary has `key : value` lines whose spacing differs from key to key, in sections between lines of `=`. The
detail log has one JSON object a line behind `:::MLLOG`; submissions are judged by that one. Both are read from
MLPerf Inference v0.5 (2019) on.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from codereef.interchange.external import metric
from codereef.interchange.source import Content, Source, bad, is_number, number

SUMMARY = "mlperf_log_summary.txt"
DETAIL = "mlperf_log_detail.txt"
MARK = ":::MLLOG"
REPORTER = "MLPerf LoadGen"
ACCURACY = "AccuracyOnly"

_STATISTIC = re.compile(r"^(Min|Max|Mean) latency \(ns\)$")
_PERCENTILE = re.compile(r"^(\d+(?:\.\d+)?) percentile latency \(ns\)$")
_RATES = {
    "QPS w/ loadgen overhead": "throughput",
    "QPS w/o loadgen overhead": "throughput_without_overhead",
    "Samples per second": "throughput",
    "Completed samples per second": "throughput",
    "Scheduled samples per second": "throughput_scheduled",
    "Tokens per second": "throughput_tokens",
    "Completed tokens per second": "throughput_tokens",
}
_DETAIL_RATES = {
    "result_qps_with_loadgen_overhead": "throughput",
    "result_qps_without_loadgen_overhead": "throughput_without_overhead",
    "result_samples_per_second": "throughput",
    "result_completed_samples_per_sec": "throughput",
    "result_scheduled_samples_per_sec": "throughput_scheduled",
    "result_tokens_per_second": "throughput_tokens",
    "result_completed_tokens_per_second": "throughput_tokens",
}
_DETAIL_LATENCY = re.compile(r"^result_(min|max|mean|\d+\.\d+_percentile)(_per_query|_query)?_latency_ns$")
_EARLY = {
    "early_stopping_latency_ss": "latency_p90_early_stopping",
    "early_stopping_latency_ms": "latency_p99_early_stopping",
}
#: Long and of no use for a result: which source files LoadGen was built from, which inputs were loaded.
_LEFT_OUT = ("loadgen_file_sha1", "loaded_qsl_set")


@dataclass
class Log:
    """What a log says.

    Attributes:
        sut: name of the system under test.
        scenario: as written, such as `SingleStream`; in summaries of v0.5 `Single Stream`.
        mode: as written, such as `PerformanceOnly`.
        valid: LoadGen's verdict; None where there is none, as in accuracy mode.
        reasons: what it rests on.
        metrics: in SI units.
        parameters: settings in force.
        reported: what is written, by LoadGen's own keys.
        version: of LoadGen; only the detail log has it.
        recorded_at: when it began, as written; only the detail log has it.
    """

    sut: str = ""
    scenario: str = ""
    mode: str = ""
    valid: bool | None = None
    reasons: list[str] = field(default_factory=list)
    metrics: dict[str, dict[str, Any]] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=dict)
    reported: dict[str, str] = field(default_factory=dict)
    version: str = ""
    recorded_at: str = ""

    @property
    def samples(self) -> int:
        """How many queries were completed, 0 where the log does not say."""
        text = self.reported.get("result_query_count", "0")
        return int(text) if re.fullmatch("[0-9]{1,15}", text) else 0


def percentile_name(text: str) -> str:
    """Return the name of a latency percentile: `50.00` gives `latency_p50`, `99.90` gives `latency_p99_9`."""
    short = text.rstrip("0").rstrip(".") if "." in text else text
    return f"latency_p{short.replace('.', '_')}"


def looks_like_summary(head: bytes) -> bool:
    """Tell whether a file begins like a summary."""
    return b"MLPerf Results Summary" in head[:200]


def looks_like_detail(head: bytes) -> bool:
    """Tell whether a file begins like a detail log."""
    return head.startswith(MARK.encode()) and b'"namespace"' in head


def _sections(text: str) -> Iterator[tuple[int, str, str]]:
    """Yield line number, section and line; a section's title stands between two lines of `=`."""
    section, banner = "", False
    for line_number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if stripped and not stripped.strip("="):
            banner = not banner
        elif banner:
            section = stripped
        else:
            yield line_number, section, line


def read_summary(content: Content) -> Log:
    """Read a summary.

    Raises:
        MetadataError: a number is none, or the log ends before its verdict; file and line are named.
    """
    log, source = Log(), content.source
    text = content.text()
    per_query, last, advice = "", 0, False
    for last, section, line in _sections(text):
        advice = section == "MLPerf Results Summary" and (advice or line.strip() in _ADVICE)
        key, colon, value = (part.strip() for part in line.partition(":"))
        if advice or not colon or not key or key.startswith("="):
            if advice and line.strip() and line.strip() not in _ADVICE:
                log.reasons.append(line.strip(" *"))
            continue
        if key in ("Per-query latency", "Per-sample latency"):
            per_query = "query_" if key == "Per-query latency" else ""
            continue
        log.reported[f"{'Per-query ' if per_query else ''}{key}"] = value
        if section == "MLPerf Results Summary":
            _head(log, source, key, value, last)
        elif section == "Test Parameters Used":
            log.parameters[key] = _plain(value)
        statistic, percentile = _STATISTIC.match(key), _PERCENTILE.match(key)
        if statistic or percentile:
            name = f"latency_{statistic[1].lower()}" if statistic else percentile_name(percentile[1])  # type: ignore[index]
            nanoseconds = number(source, value, f"`{key}`", last)
            log.metrics[f"{per_query}{name}"] = metric(nanoseconds / 1e9, "s", "lower", REPORTER)
        elif key in _RATES:
            rate = number(source, value, f"`{key}`", last)
            log.metrics[_RATES[key]] = metric(rate, "1/s", "higher", REPORTER)
    if log.valid is None and not log.reported and " encountered" in text:
        log.mode = ACCURACY  # Its summary counts warnings and errors, and that is all.
    elif log.valid is None:
        raise bad(source, "the log ends before `Result is`; it is cut off or of another kind", line=max(1, last))
    return log


_ADVICE = ("Recommendations:", "Early Stopping Result:")


def _head(log: Log, source: Source, key: str, value: str, line: int) -> None:
    """Take one line of the first section."""
    if key == "SUT name":
        log.sut = value
    elif key == "Scenario":
        log.scenario = value
    elif key == "Mode":
        log.mode = value
    elif key == "Result is":
        if value not in ("VALID", "INVALID"):
            raise bad(source, f"`Result is` says {value[:40]!r}; VALID or INVALID is expected", line=line)
        log.valid = value == "VALID"
    elif key.endswith(" satisfied"):
        log.reasons.append(f"{key}: {value}")


def _plain(text: str) -> Any:
    """Return a parameter as true, false, a number or text. Seeds have 64 bits, so whole numbers stay whole."""
    if text in ("true", "false"):
        return text == "true"
    try:
        return int(text)
    except ValueError:
        pass
    try:
        value = float(text)
    except ValueError:
        return text
    return value if is_number(value) else text


def _entries(content: Content) -> Iterator[tuple[int, Mapping[str, Any]]]:
    source = content.source
    for line_number, line in enumerate(content.text().splitlines(), 1):
        if not line.startswith(MARK):
            # LoadGen itself writes nothing else, but what a system under test prints may end up here.
            continue
        try:
            entry = json.loads(line[len(MARK) :])
        except (ValueError, RecursionError) as error:
            raise bad(source, f"it is no JSON behind {MARK}: {error}", line=line_number) from None
        if not isinstance(entry, dict) or not isinstance(entry.get("key"), str) or "value" not in entry:
            raise bad(source, "it has no `key` and `value`", line=line_number)
        yield line_number, entry


def read_detail(content: Content) -> Log:
    """Read a detail log.

    Raises:
        MetadataError: a line is no entry, a figure is no number, or it is no log of LoadGen; file and line are named.
    """
    log, source, last = Log(), content.source, 0
    for last, entry in _entries(content):
        key, value = entry["key"], entry["value"]
        metadata = entry.get("metadata")
        if isinstance(metadata, dict) and metadata.get("is_error"):
            log.reasons.append(f"error: {value}")
        if key in _LEFT_OUT:
            continue
        if isinstance(value, (str, int, float)):
            # Where a key stands twice, the first one counts, as it does for the submission checker.
            log.reported.setdefault(key, json.dumps(value) if not isinstance(value, str) else value)
        if key.startswith("effective_"):
            log.parameters.setdefault(key[len("effective_") :], value)
        latency = _DETAIL_LATENCY.match(key)
        if latency or key in _DETAIL_RATES or key in _EARLY:
            if not is_number(value):
                raise bad(source, f"`{key}` is {value!r:.40}, which is no number", line=last)
            _figure(log, key, float(value), latency)
    read = log.reported
    if "effective_scenario" not in read:
        raise bad(
            source,
            "the log has no `effective_scenario`, which every run of LoadGen writes",
            line=max(1, last),
            hint="Logs of MLPerf Training begin alike and are not read.",
        )
    log.sut, log.scenario = read.get("sut_name", ""), read["effective_scenario"]
    log.mode = read.get("effective_test_mode", "")
    log.version, log.recorded_at = read.get("loadgen_version", ""), read.get("test_datetime", "")
    if "result_validity" in read:
        log.valid = read["result_validity"] == "VALID"
    for key in ("result_invalid_reason", "early_stopping_result"):
        if read.get(key, "").strip():
            log.reasons.append(read[key].strip(" *"))
    for entry_metric in log.metrics.values():
        entry_metric["samples"] = log.samples
    return log


def _figure(log: Log, key: str, value: float, latency: re.Match[str] | None) -> None:
    if latency:
        which = latency[1]
        name = percentile_name(which.partition("_")[0]) if which[0].isdigit() else f"latency_{which}"
        name = f"query_{name}" if latency[2] else name
        log.metrics.setdefault(name, metric(value / 1e9, "s", "lower", REPORTER))
    elif key in _EARLY:
        # Nought says that there were too few queries for an estimate.
        if value > 0:
            log.metrics.setdefault(_EARLY[key], metric(value / 1e9, "s", "lower", REPORTER))
    else:
        log.metrics.setdefault(_DETAIL_RATES[key], metric(value, "1/s", "higher", REPORTER))
