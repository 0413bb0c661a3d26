# SPDX-License-Identifier: Apache-2.0
"""MLPerf LoadGen as the driver: the same plan and the same answers, sent and judged by MLCommons' own program.

It is the distribution `mlcommons-loadgen` (module `mlperf_loadgen`), which a solution's environment may have or not.
LoadGen has stop rules of its own, so the rules `count`, `duration` and `early-stopping` alone can be asked for.
Its figures are taken from its detail log. The samples kept are the times of the calls as the system under test sees
them; LoadGen's own, with its overhead and from the scheduled arrival, are in its figures only.
"""

from __future__ import annotations

import json
import time
from array import array
from collections.abc import Callable, Sequence
from importlib import metadata, util
from pathlib import Path
from typing import Any, Optional

import numpy as np

from codereef.bench.load.core import Measurement, Samples
from codereef.bench.load.driver import Driven, Invoke
from codereef.bench.load.early_stopping import fewest_queries
from codereef.bench.load.plan import MULTI, OFFLINE, SERVER, SINGLE, Plan
from codereef.bench.load.queries import Feeds, join, split
from codereef.bench.load.verdict import Verdict
from codereef.errors import OptionError, RunError

NAME = "mlperf-loadgen"
DISTRIBUTION = "mlcommons-loadgen"
DETAIL_LOG = "mlperf_log_detail.txt"
STOPS = ("count", "duration", "early-stopping")
_SCENARIOS = {SINGLE: "SingleStream", MULTI: "MultiStream", SERVER: "Server", OFFLINE: "Offline"}
_PERCENTILES = {"latency_p50": "50.00", "latency_p90": "90.00", "latency_p99": "99.00"}


def load_module() -> tuple[Any, str]:
    """The module and its version.

    Raises:
        OptionError: it is not in this environment.
    """
    try:
        import mlperf_loadgen

        return mlperf_loadgen, metadata.version(DISTRIBUTION)
    except (ImportError, metadata.PackageNotFoundError) as error:
        raise _missing(str(error)) from error


def _missing(why: str) -> OptionError:
    return OptionError(
        f"the driver {NAME} needs {DISTRIBUTION}, which this environment does not have: {why}",
        hint="choose a solution that depends on python.mlperf-loadgen, or -o driver=codereef",
    )


def check(plan: Plan) -> None:
    """Refuse a plan that LoadGen cannot carry out; LoadGen itself is not loaded.

    Raises:
        OptionError: it is not in this environment, or its rules cannot do what the plan asks.
    """
    if util.find_spec("mlperf_loadgen") is None:
        raise _missing("there is no module mlperf_loadgen")
    if plan.options.stop not in STOPS:
        raise OptionError(
            f"the driver {NAME} has stop rules of its own; {plan.options.stop} is not among them",
            hint=f"add -o stop=count or another of {', '.join(STOPS)}",
        )
    if plan.scenario == SINGLE and plan.batch != 1:
        raise OptionError(f"the driver {NAME} sends one sample a query in the scenario {SINGLE}; batch must be 1")


def _settings(module: Any, plan: Plan, expected_s: float) -> Any:
    options, settings = plan.options, module.TestSettings()
    settings.scenario = getattr(module.TestScenario, _SCENARIOS[plan.scenario])
    settings.mode = module.TestMode.PerformanceOnly
    settings.min_duration_ms = round(options.min_seconds * 1000)
    settings.max_duration_ms = round(options.max_seconds * 1000)
    least = {
        "count": options.max_samples,
        "duration": plan.min_samples,
        "early-stopping": fewest_queries(0 if plan.scenario == SERVER else 1, plan.percentile or 0.9),
    }[options.stop]
    settings.min_query_count = least
    settings.max_query_count = max(options.max_samples, least)
    for name in ("qsl_rng_seed", "sample_index_rng_seed", "schedule_rng_seed"):
        setattr(settings, name, options.seed)
    # LoadGen makes its queries beforehand, twice as many as it expects to need; here four times more, for a system
    # that turns out faster than it was in the warm-up would run out of them.
    expected_ns = max(1, round(expected_s * 1e9 / 4))
    if plan.scenario == SINGLE:
        settings.single_stream_expected_latency_ns = expected_ns
        settings.single_stream_target_latency_percentile = plan.percentile
    elif plan.scenario == MULTI:
        settings.multi_stream_expected_latency_ns = expected_ns
        settings.multi_stream_target_latency_percentile = plan.percentile
        settings.multi_stream_samples_per_query = plan.samples_per_query
    elif plan.scenario == SERVER:
        settings.server_target_qps = plan.target_qps
        settings.server_target_latency_ns = round((plan.target_latency or 0) * 1e9)
        settings.server_target_latency_percentile = plan.percentile
    else:
        settings.offline_expected_qps = plan.samples_per_query / expected_s
    return settings


class _System:
    """The system under test as LoadGen sees it: it answers a query before the call that hands it over returns."""

    def __init__(
        self,
        module: Any,
        plan: Plan,
        invoke: Invoke,
        feeds: Sequence[Feeds],
        on_tick: Callable[[Samples], None],
        keep: Sequence[int],
    ) -> None:
        self._module, self._plan, self._invoke, self._feeds = module, plan, invoke, feeds
        self._on_tick, self._keep, self._next_tick = on_tick, set(keep), time.perf_counter_ns() + 1_000_000_000
        self.times, self.samples = array("q"), 0
        self.answers: dict[int, Feeds] = {}
        self.failure: Optional[BaseException] = None

    def issue(self, samples: Sequence[Any]) -> None:
        """Answer one query. What goes wrong is kept: an exception must not pass through LoadGen."""
        self._guarded(lambda: self._answer([sample.index for sample in samples]))
        self._module.QuerySamplesComplete([self._module.QuerySampleResponse(sample.id, 0, 0) for sample in samples])
        # Only now: the clock of LoadGen runs until it is told that the samples are complete.
        self._guarded(self._tick)

    def _guarded(self, work: Callable[[], None]) -> None:
        if self.failure is None:
            try:
                work()
            except BaseException as error:
                self.failure = error

    def _tick(self) -> None:
        if time.perf_counter_ns() >= self._next_tick:
            self._on_tick(np.array(self.times, dtype=np.int64))
            self._next_tick = time.perf_counter_ns() + 1_000_000_000

    def _answer(self, indices: Sequence[int]) -> None:
        clock, batch, whole = time.perf_counter_ns, self._plan.batch, self._plan.scenario != OFFLINE
        begin = clock()
        for first in range(0, len(indices), batch):
            group = indices[first : first + batch]
            before = begin if whole else clock()
            # A last inference that is not full is filled up with its last sample, for a shape may be fixed.
            group = [*group, *[group[-1]] * (batch - len(group))]
            outputs = self._invoke(
                self._feeds[group[0]] if batch == 1 else join([self._feeds[index] for index in group])
            )
            if not whole:
                self.times.append(clock() - before)
                self._tick()
            if self._keep:
                self._take(group, outputs)
        if whole:
            self.times.append(clock() - begin)
        self.samples += len(indices)

    def _take(self, group: Sequence[int], outputs: Feeds) -> None:
        for index, each in zip(group, split(outputs, len(group)) if len(group) > 1 else [outputs]):
            if index in self._keep:
                self._keep.discard(index)
                self.answers[index] = each


def drive(
    plan: Plan,
    invoke: Invoke,
    feeds: Sequence[Feeds],
    output: Path,
    expected_s: float,
    *,
    on_tick: Callable[[Samples], None] = lambda samples: None,
    keep: Sequence[int] = (),
) -> Driven:
    """Send the queries of a plan by LoadGen; see `driver.drive`.

    Args:
        plan, invoke, feeds, on_tick, keep: as there. LoadGen draws the samples of its queries itself.
        output: folder that gets LoadGen's logs, `mlperf_log_detail.txt` and others.
        expected_s: how long a query takes about, in seconds; LoadGen makes its queries beforehand by it.

    Raises:
        OptionError: LoadGen is not there, or cannot carry out the plan.
        RunError: LoadGen ended without a result.
    """
    check(plan)
    module, version = load_module()
    system = _System(module, plan, invoke, feeds, on_tick, keep)
    logs = module.LogSettings()
    logs.log_output.outdir = str(output)
    logs.log_output.copy_summary_to_stdout = False
    logs.enable_trace = False
    sut = module.ConstructSUT(system.issue, lambda: None)
    qsl = module.ConstructQSL(len(feeds), len(feeds), lambda indices: None, lambda indices: None)
    begin = time.perf_counter_ns()
    try:
        # An `audit.config` in the working folder would change the settings; none has this name.
        module.StartTestWithLogSettings(
            sut, qsl, _settings(module, plan, expected_s), logs, str(output / "no-audit.config")
        )
    finally:
        module.DestroyQSL(qsl)
        module.DestroySUT(sut)
    elapsed = time.perf_counter_ns() - begin
    if system.failure is not None:
        raise system.failure
    text = (output / DETAIL_LOG).read_text(encoding="utf-8")
    facts = read_detail(text)
    if "result_validity" not in facts:
        raise RunError(f"MLPerf LoadGen {version} wrote no result: {facts.get('error_runtime', 'see its detail log')}")
    times = np.array(system.times, dtype=np.int64)
    measured = Measurement(times, elapsed, "LoadGen ended by its own rules")
    figures = {name: float(value) for name, value in _figures(plan, facts).items()}
    return Driven(NAME, version, measured, system.samples, _verdict(facts), system.answers, figures, text)


def read_detail(text: str) -> dict[str, Any]:
    """Keys and values of a detail log, the last of each key."""
    facts = {}
    for line in text.splitlines():
        if line.startswith(":::MLLOG "):
            entry = json.loads(line[len(":::MLLOG ") :])
            facts[entry["key"]] = entry["value"]
    return facts


def _figures(plan: Plan, facts: dict[str, Any]) -> dict[str, float]:
    """LoadGen's figures under the names of our metrics, in seconds and samples a second."""
    if plan.scenario == OFFLINE:
        return {"throughput": facts["result_samples_per_second"]}
    middle = "per_query_latency_ns" if plan.scenario == MULTI else "latency_ns"
    figures = {name: facts[f"result_{label}_percentile_{middle}"] / 1e9 for name, label in _PERCENTILES.items()}
    mean = facts["result_mean_query_latency_ns" if plan.scenario == MULTI else "result_mean_latency_ns"] / 1e9
    figures["latency_mean"] = mean
    figures["throughput"] = (
        facts["result_completed_samples_per_sec"] if plan.scenario == SERVER else plan.samples_per_query / mean
    )
    estimate = facts.get("early_stopping_latency_ss" if plan.scenario == SINGLE else "early_stopping_latency_ms")
    if estimate and plan.scenario != SERVER:
        figures["latency_early_stopping"] = estimate / 1e9
    return figures


def _verdict(facts: dict[str, Any]) -> Verdict:
    valid = facts["result_validity"] == "VALID"
    said = (
        facts.get("result_invalid_reason"),
        None if facts.get("early_stopping_met") else facts.get("early_stopping_result"),
    )
    reasons = [" ".join(str(text).split()).strip("* ") for text in said if text]
    return Verdict(valid, tuple(reasons) if not valid else ("LoadGen's verdict on its own log",))
