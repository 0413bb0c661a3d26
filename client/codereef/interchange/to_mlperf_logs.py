# SPDX-License-Identifier: Apache-2.0
"""Writes logs in the form of MLPerf LoadGen from a result.

A result that LoadGen itself measured holds its detail log (of several processes that of the first), which is written
out as it is there: without paths and names of the machine. Of any other result the log is made here, with the keys
that the submission checker reads (its `parsers/loadgen_parser.py` and `checks/`): it says by `loadgen_version` that
LoadGen did not write it, and settings that were not in force are not claimed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from codereef.interchange.mlperf_logs import MARK
from codereef.record.history import Result

#: Our scenarios -> MLPerf's names.
SCENARIOS = {"single-stream": "SingleStream", "multi-stream": "MultiStream", "server": "Server", "offline": "Offline"}
LOADGEN = "mlperf-loadgen"
EARLY_STOPPING = "latency_early_stopping"
_PERCENTILES = (50.0, 90.0, 95.0, 97.0, 99.0, 99.9)
_EARLY = {"SingleStream": "early_stopping_latency_ss", "MultiStream": "early_stopping_latency_ms"}
_RATES = {"Offline": "result_samples_per_second", "Server": "result_completed_samples_per_sec"}
_HEADLINES = {"SingleStream": 90.0, "MultiStream": 99.0}


def own_log(result: Result) -> str | None:
    """Return the detail log that LoadGen wrote of the run, or None where something else measured, or none was kept."""
    load = result.document.get("load", {})
    log = load.get("log")
    return log if load.get("driver") == LOADGEN and isinstance(log, str) and log.startswith(MARK) else None


def detail_text(entries: Mapping[str, Any]) -> str:
    """Return entries as a detail log."""
    metadata = {"is_error": False, "is_warning": False, "file": "to_mlperf_logs.py", "line_no": 0, "pid": 0, "tid": 0}
    common = {"time_ms": 0.0, "namespace": "mlperf::logging", "event_type": "POINT_IN_TIME", "metadata": metadata}
    return "".join(f"{MARK} {json.dumps({'key': key, 'value': value, **common})}\n" for key, value in entries.items())


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1e9)


def _run(result: Result) -> dict[str, Any]:
    d = result.document
    return {
        "loadgen_version": f"not LoadGen: written by codereef {d['client']['version']} from the result {result.id}",
        "test_datetime": d["started_at"],
        "sut_name": f"{d['runtime']['name']} {d['runtime']['version']}".strip(),
        "qsl_name": d["dataset"],
    }


def _settings(result: Result, scenario: str, mode: str) -> dict[str, Any]:
    """Return the settings in force; nought is what LoadGen writes for those that it does not use."""
    d = result.document
    settings = {**d["options"], **d.get("load", {}).get("settings", {})}
    offline = scenario == "Offline"
    queries = 1 if offline else _whole(settings.get("min_samples"))
    size = _whole(d.get("load", {}).get("samples")) if offline else _whole(settings.get("samples_per_query")) or 1
    return {
        "effective_scenario": scenario,
        "effective_test_mode": mode,
        "effective_samples_per_query": size,
        "effective_target_qps": _real(settings.get("target_qps")),
        "effective_target_latency_ns": _nanoseconds(_real(settings.get("target_latency"))),
        "effective_target_latency_percentile": _real(settings.get("percentile")),
        "effective_min_duration_ms": round(_real(settings.get("min_seconds")) * 1000),
        "effective_max_duration_ms": round(_real(settings.get("max_seconds")) * 1000),
        "effective_min_query_count": queries,
        "effective_max_query_count": _whole(settings.get("max_samples")),
        # Inputs are taken in order and not drawn; only the arrivals of the scenario server have a seed.
        "effective_qsl_rng_seed": 0,
        "effective_sample_index_rng_seed": 0,
        "effective_schedule_rng_seed": _whole(settings.get("seed")) if scenario == "Server" else 0,
        # How many inputs were held in memory is not in a result.
        "effective_performance_sample_count": 0,
        "effective_sample_concatenate_permutation": False,
    }


def _real(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else 0.0


def _whole(value: Any) -> int:
    return int(_real(value))


def performance_entries(result: Result) -> dict[str, Any]:
    """Return the entries of a detail log of a timed run; its scenario must be one of `SCENARIOS`."""
    d = result.document
    scenario = SCENARIOS[d["scenario"]]
    load = d.get("load", {})
    values = sorted(d["samples"].get("latency" if scenario != "Offline" else "inference", {}).get("values", []))
    early = result.metric(EARLY_STOPPING)
    entries: dict[str, Any] = {
        **_run(result),
        **_settings(result, scenario, "PerformanceOnly"),
        "result_validity": "VALID" if load.get("valid") is True else "INVALID",
        "early_stopping_met": early is not None if scenario in _EARLY else load.get("valid") is True,
        "early_stopping_result": "" if early is not None or scenario not in _EARLY else "no estimate in the result",
        "result_query_count": _whole(load.get("queries")) or len(values),
    }
    if load.get("valid") is not True:
        entries["result_invalid_reason"] = "; ".join(load.get("reasons", [])) or "the result has no verdict on its load"
    if scenario in _EARLY:
        entries[_EARLY[scenario]] = _nanoseconds(early) if early is not None else 0
    throughput = result.metric("throughput")
    if throughput is not None and scenario in _RATES:
        entries[_RATES[scenario]] = throughput
    if values:
        entries.update(_latencies(values, scenario))
    if throughput is not None and scenario == "SingleStream":
        entries["result_qps_with_loadgen_overhead"] = throughput
        entries["result_qps_without_loadgen_overhead"] = len(values) / sum(values) if values else throughput
    return {**entries, "num_errors": 0}


def _latencies(ordered: Sequence[float], scenario: str) -> dict[str, int]:
    """Return the statistics of sorted latencies as LoadGen takes them: a percentile is the value at floor(n q)."""
    infix = "_per_query" if scenario == "MultiStream" else ""
    query = "_query" if scenario == "MultiStream" else ""
    found = {
        f"result_min{query}_latency_ns": ordered[0],
        f"result_max{query}_latency_ns": ordered[-1],
        f"result_mean{query}_latency_ns": sum(ordered) / len(ordered),
    }
    for percentile in _PERCENTILES:
        place = min(len(ordered) - 1, int(len(ordered) * percentile / 100))
        found[f"result_{percentile:.2f}_percentile{infix}_latency_ns"] = ordered[place]
    return {key: _nanoseconds(value) for key, value in found.items()}


def accuracy_entries(result: Result, samples: int) -> dict[str, Any]:
    """Return the entries of a detail log of a run in accuracy mode over so many samples."""
    scenario = SCENARIOS[result.document["scenario"]]
    return {
        **_run(result),
        "qsl_reported_total_count": samples,
        **_settings(result, scenario, "AccuracyOnly"),
        "effective_accuracy_sample_count": samples,
        "num_errors": 0,
    }


def summary_text(entries: Mapping[str, Any]) -> str:
    """Return the summary for people that goes with the entries of a timed run."""
    scenario = entries["effective_scenario"]
    infix = "_per_query" if scenario == "MultiStream" else ""
    query = "_query" if scenario == "MultiStream" else ""
    bar = "=" * 48
    lines = [bar, "MLPerf Results Summary", bar]
    lines += [
        f"SUT name : {entries['sut_name']}",
        f"Scenario : {scenario}",
        f"Mode     : {entries['effective_test_mode']}",
    ]
    headline = _HEADLINES.get(scenario)
    if headline is not None:
        key = f"result_{headline:.2f}_percentile{infix}_latency_ns"
        lines += [f"{headline:.1f}th percentile latency (ns) : {entries[key]}"] if key in entries else []
    elif _RATES[scenario] in entries:
        name = "Samples per second" if scenario == "Offline" else "Completed samples per second"
        lines.append(f"{name} : {entries[_RATES[scenario]]}")
    lines.append(f"Result is : {entries['result_validity']}")
    if entries.get("result_invalid_reason"):
        lines += ["Recommendations:", f" * {entries['result_invalid_reason']}"]
    lines += ["", bar, "Additional Stats", bar]
    for label, key in (
        ("QPS w/ loadgen overhead", "result_qps_with_loadgen_overhead"),
        ("QPS w/o loadgen overhead", "result_qps_without_loadgen_overhead"),
    ):
        lines += [f"{label} : {entries[key]}"] if key in entries else []
    for label in ("Min", "Max", "Mean"):
        key = f"result_{label.lower()}{query}_latency_ns"
        lines += [f"{label} latency (ns) : {entries[key]}"] if key in entries else []
    for percentile in _PERCENTILES:
        key = f"result_{percentile:.2f}_percentile{infix}_latency_ns"
        lines += [f"{percentile:.2f} percentile latency (ns) : {entries[key]}"] if key in entries else []
    lines += ["", bar, "Test Parameters Used", bar]
    lines += [f"{key[len('effective_') :]} : {value}" for key, value in entries.items() if key.startswith("effective_")]
    return "\n".join([*lines, "", f"No warnings encountered during test.\n\nLog: {entries['loadgen_version']}", ""])
