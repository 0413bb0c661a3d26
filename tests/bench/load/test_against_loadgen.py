# SPDX-License-Identifier: Apache-2.0
"""Our core beside MLPerf LoadGen on the same system under test: the same counts, percentiles and verdicts."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from codereef.bench.load import driver, mlperf
from codereef.bench.load.driver import Driven
from codereef.bench.load.early_stopping import estimate, most_over
from codereef.bench.load.plan import make_plan
from codereef.bench.load.summary import summarise
from codereef.bench.options import Options
from codereef.errors import OptionError, RunError

pytestmark = pytest.mark.slow

pytest.importorskip("mlperf_loadgen")

FEEDS = [{"x": np.full((1, 4), float(i))} for i in range(10)]
SCENARIOS: dict[str, dict[str, Any]] = {
    "single-stream": {"max_samples": 150},
    "multi-stream": {"max_samples": 700, "samples_per_query": 2},
    "server": {"max_samples": 700, "target_qps": 120.0, "target_latency": 0.5},
    "offline": {"max_samples": 300, "batch": 2},
}


def asleep(feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """An inference that waits 2 ms: what it takes depends little on how busy this machine is."""
    time.sleep(0.002)
    return {"y": feeds["x"].sum(axis=1)}


def both(
    tmp_path: Path, scenario: str, given: dict[str, Any], invoke: Any = asleep, expected: float = 0.002
) -> tuple[Driven, Driven]:
    """The same plan by both drivers, one after the other."""
    options = Options(**{"stop": "count", "min_samples": given.get("max_samples", 10), "max_seconds": 60.0, **given})
    plan = make_plan(scenario, options)
    return driver.drive(plan, invoke, FEEDS), mlperf.drive(plan, invoke, FEEDS, tmp_path, expected)


@pytest.mark.slow
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_counts_percentiles_and_verdict_agree(tmp_path: Path, scenario: str) -> None:
    for attempt in range(3):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        ours, theirs = both(folder, scenario, SCENARIOS[scenario])
        assert ours.samples == theirs.samples
        assert ours.measured.samples_ns.size == theirs.measured.samples_ns.size
        assert (ours.verdict.valid, theirs.verdict.valid) == (True, True), (ours.verdict, theirs.verdict)
        plan = make_plan(scenario, Options(**{"stop": "count", "max_seconds": 60.0, **SCENARIOS[scenario]}))
        mine = {
            name: metric.value
            for name, metric in summarise(plan, ours, (ours.measured.samples_ns / 1e9).tolist()).metrics.items()
        }
        compared = {name: theirs.figures[name] / mine[name] for name in ("latency_p50", "throughput") if mine.get(name)}
        assert "throughput" in compared
        # Other work on the machine may disturb one of the two; not three times.
        if all(0.8 < ratio < 1.25 for ratio in compared.values()):
            return
    raise AssertionError(f"{scenario}: LoadGen / ours {compared}")


class Uneven:
    """An inference that takes 1 ms, 3 ms for one in ten and 8 ms for four in a hundred, in an order that is not theirs."""

    def __init__(self) -> None:
        rng = np.random.default_rng(5)
        self._waits = rng.permuted(np.repeat([0.001, 0.003, 0.008], [860, 100, 40])).tolist()
        self._count = 0

    def __call__(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        time.sleep(self._waits[self._count % 1000])
        self._count += 1
        return {"y": feeds["x"].sum(axis=1)}


@pytest.mark.parametrize(
    ("scenario", "given"),
    [
        ("single-stream", {"max_samples": 1000}),
        ("server", {"max_samples": 1000, "target_qps": 60.0, "target_latency": 0.5}),
    ],
)
def test_high_percentiles_agree(tmp_path: Path, scenario: str, given: dict[str, Any]) -> None:
    names = ("latency_p50", "latency_p90", "latency_p99")
    plan = make_plan(scenario, Options(**{"stop": "count", "max_seconds": 60.0, **given}))
    for attempt in range(3):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        ours = driver.drive(plan, Uneven(), FEEDS)
        theirs = mlperf.drive(plan, Uneven(), FEEDS, folder, 0.002)
        mine = summarise(plan, ours, (ours.measured.samples_ns / 1e9).tolist()).metrics
        found = {name: (mine[name].value, theirs.figures[name]) for name in names}
        assert all(value is not None for value, _ in found.values())
        # Other work on the machine may disturb one of the two; not three times.
        if all(0.8 < value / reported < 1.25 for value, reported in found.values() if value):
            assert scenario == "server" or mine["latency_p99"].value >= 0.008
            return
    raise AssertionError(f"{scenario}: ours and LoadGen's {found}")


@pytest.mark.parametrize(
    ("scenario", "given", "valid"),
    [
        ("single-stream", {"max_samples": 63}, False),
        ("single-stream", {"max_samples": 64}, True),
        ("multi-stream", {"max_samples": 200, "samples_per_query": 1}, False),
        ("server", {"max_samples": 300, "target_qps": 2000.0, "target_latency": 1.0}, False),
        ("server", {"max_samples": 500, "target_qps": 2000.0, "target_latency": 1e-9}, False),
        ("server", {"max_samples": 500, "target_qps": 2000.0, "target_latency": 2.0}, True),
        ("single-stream", {"stop": "duration", "min_seconds": 0.3, "min_samples": 64, "max_samples": 10**7}, True),
        ("single-stream", {"stop": "early-stopping", "min_samples": 1, "max_samples": 10**6}, True),
        ("offline", {"max_samples": 40}, True),
    ],
)
def test_verdicts_agree_at_the_edges_of_the_rules(
    tmp_path: Path, scenario: str, given: dict[str, Any], valid: bool
) -> None:
    def quick(feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {"y": feeds["x"]}

    ours, theirs = both(tmp_path, scenario, given, quick, 2e-6)
    assert (ours.verdict.valid, theirs.verdict.valid) == (valid, valid), (ours.verdict, theirs.verdict)
    assert valid or (ours.verdict.reasons and theirs.verdict.reasons)


def test_a_minimum_duration_ends_both_alike(tmp_path: Path) -> None:
    given = {"stop": "duration", "min_seconds": 0.5, "min_samples": 10, "max_samples": 10**7}
    ours, theirs = both(tmp_path, "single-stream", given)
    assert ours.verdict.valid and theirs.verdict.valid
    for driven in (ours, theirs):
        assert driven.measured.elapsed_ns >= 0.5e9
        assert 64 <= driven.samples <= 251


def test_the_early_stopping_estimate_is_loadgens_own(tmp_path: Path) -> None:
    """On LoadGen's samples, which with its overhead of microseconds are those of the call within a few per cent."""
    # Other work on the machine may come between the two readings of the clock; not each time.
    for _ in range(5):
        _, theirs = both(tmp_path, "single-stream", {"max_samples": 400})
        found = estimate(np.sort(theirs.measured.samples_ns / 1e9).tolist(), 0.9)
        if theirs.figures["latency_early_stopping"] == pytest.approx(found, rel=0.05):
            break
    else:
        raise AssertionError((theirs.figures["latency_early_stopping"], found))
    facts = mlperf.read_detail((tmp_path / mlperf.DETAIL_LOG).read_text(encoding="utf-8"))
    allowed = most_over(400, 0.9)
    assert allowed is not None
    assert f"Would discard {allowed - 1} highest" in facts["early_stopping_result"]


def test_the_detail_log_stays_in_the_folder_and_goes_with_the_result(tmp_path: Path) -> None:
    _, theirs = both(tmp_path, "single-stream", {"max_samples": 64})
    text = (tmp_path / "mlperf_log_detail.txt").read_text(encoding="utf-8")
    assert theirs.log == text
    facts = mlperf.read_detail(text)
    assert facts["effective_scenario"] == "SingleStream"
    assert (facts["result_query_count"], facts["result_validity"]) == (64, "VALID")


@pytest.mark.parametrize("stop", ["interval", "relative-deviation"])
def test_rules_that_loadgen_does_not_have_are_refused(tmp_path: Path, stop: str) -> None:
    plan = make_plan("single-stream", Options(stop=stop))
    with pytest.raises(OptionError, match=f"{stop} is not among them") as caught:
        mlperf.drive(plan, asleep, FEEDS, tmp_path, 0.002)
    assert "stop=count" in (caught.value.hint or "")


def test_a_failure_of_the_system_under_test_comes_through_loadgen(tmp_path: Path) -> None:
    calls: list[int] = []

    def fails(feeds: Any) -> Any:
        calls.append(1)
        if len(calls) == 5:
            raise RunError("the runtime gave up")
        return {}

    plan = make_plan("single-stream", Options(stop="count", max_samples=50))
    with pytest.raises(RunError, match="the runtime gave up"):
        mlperf.drive(plan, fails, FEEDS, tmp_path, 0.002)
    assert len(calls) == 5


def test_without_loadgen_the_driver_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "mlperf_loadgen", None)
    # Also where its stop rules would be the next thing to change.
    for stop in ("count", "interval"):
        with pytest.raises(OptionError, match="needs mlcommons-loadgen") as caught:
            mlperf.drive(make_plan("single-stream", Options(stop=stop)), asleep, FEEDS, tmp_path, 0.002)
        assert "driver=codereef" in (caught.value.hint or "")


def test_a_loadgen_that_cannot_be_imported_is_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import sys

    (tmp_path / "mlperf_loadgen.py").write_text("raise ImportError('libstdc++.so.6: no such file')", encoding="utf-8")
    monkeypatch.delitem(sys.modules, "mlperf_loadgen", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(OptionError, match=r"does not have: libstdc\+\+"):
        mlperf.load_module()
