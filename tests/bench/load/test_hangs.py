# SPDX-License-Identifier: Apache-2.0
"""A model that stops answering in the middle of a measurement: the time limit ends it, and the samples stay."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from codereef.target.local import clean_environment

from tests.bench.program_requests import ROOT
from tests.target.running import run

CODE = """
import sys, time, types
sys.path.insert(0, {client!r})
from pathlib import Path
import numpy as np
from codereef.bench.measuring import measure
from codereef.bench.options import Options
from codereef.bench.response import Progress, Response

class Model:
    calls = 0
    def prepare(self, item):
        return types.SimpleNamespace(feeds={{"x": np.zeros((1, 2))}}, size=16)
    def invoke(self, feeds):
        Model.calls += 1
        time.sleep(0.005 if Model.calls < 400 else 3600)
        return feeds

options = Options(warmup_seconds=0.01, max_seconds=60.0, stop="count", **{options!r})
dataset = types.SimpleNamespace(items=["a", "b"])
measure(Model(), dataset, options, Progress(None), Response(), Path({output!r}), {scenario!r})
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scenario", "options", "series"),
    [
        ("single-stream", {}, "latency"),
        ("multi-stream", {"samples_per_query": 2}, "latency"),
        ("server", {"target_qps": 150.0}, "latency"),
        ("offline", {}, "inference"),
        ("single-stream", {"driver": "mlperf-loadgen"}, "latency"),
        ("offline", {"driver": "mlperf-loadgen"}, "inference"),
    ],
)
def test_a_hang_keeps_the_samples_of_every_scenario(
    tmp_path: Path, scenario: str, options: dict[str, object], series: str
) -> None:
    if options.get("driver"):
        pytest.importorskip("mlperf_loadgen")
    code = CODE.format(client=str(ROOT / "client"), options=options, output=str(tmp_path), scenario=scenario)
    outcome = run(
        [sys.executable, "-c", code], cwd=tmp_path, environ=clean_environment(os.environ), timeout=8, memory_limit=None
    )
    assert outcome.status == "timeout", outcome.tail
    partial = json.loads((tmp_path / "samples.partial.json").read_text(encoding="utf-8"))
    values = partial["samples"][series]["values"]
    assert 20 < len(values) < 400
    assert all(0 < value < 60 for value in values)
