# SPDX-License-Identifier: Apache-2.0
"""Files of other tools as tests write them, and an import in one line."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, NoReturn

import pytest
from codereef.interchange.external import ExternalResults
from codereef.interchange.importing import Imported, import_results

SUMMARY = """\
================================================
MLPerf Results Summary
================================================
SUT name : board
Scenario : Single Stream
Mode     : Performance
90th percentile latency (ns) : 2000000
Result is : VALID
  Min duration satisfied : Yes
  Min queries satisfied : Yes

================================================
Additional Stats
================================================
QPS w/ loadgen overhead         : 612.5
QPS w/o loadgen overhead        : 625.0

Min latency (ns)                : 1000000
Max latency (ns)                : 9000000
Mean latency (ns)               : 1600000
50.00 percentile latency (ns)   : 1500000
90.00 percentile latency (ns)   : 2000000
99.90 percentile latency (ns)   : 8000000

================================================
Test Parameters Used
================================================
samples_per_query : 1
target_latency (ns): 0
qsl_rng_seed : 3133965575612453542
print_timestamps : false

No warnings encountered during test.

No errors encountered during test.
"""


def entry(key: str, value: Any, *, is_error: bool = False) -> str:
    """Return a line of a detail log."""
    metadata = {"is_error": is_error, "is_warning": False, "file": "x.cc", "line_no": 1, "pid": 1, "tid": 1}
    data = {"key": key, "value": value, "time_ms": 0.1, "namespace": "mlperf::logging", "event_type": "POINT_IN_TIME"}
    return f":::MLLOG {json.dumps({**data, 'metadata': metadata})}\n"


def write(path: Path, text: str) -> Path:
    """Write a file and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def submission(root: Path, summary: str = SUMMARY, accuracy: str = "accuracy=65.750%, good=32875, total=50000") -> Path:
    """Write a submission of one run; returns the folder of its scenario."""
    lab = root / "open" / "lab"
    scenario = lab / "results" / "board" / "net" / "singlestream"
    write(scenario / "performance" / "run_1" / "mlperf_log_summary.txt", summary)
    write(scenario / "accuracy" / "accuracy.txt", accuracy)
    write(lab / "systems" / "board.json", json.dumps({"status": "available", "framework": "Engine 1"}))
    return scenario


def lacking(what: str) -> NoReturn:
    """Skip a test for which something is not installed, or fail it with CI=true."""
    reason = f"{what} is not installed; scripts/system-packages installs it"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def store(folder: Path) -> ExternalResults:
    return ExternalResults(folder / "external")


def import_into(folder: Path, *paths: Path, **options: Any) -> Imported:
    """Import into a folder's external results; fails where something could not be read."""
    imported = import_results(paths, store(folder), **options)
    assert imported.failures == ()
    return imported
