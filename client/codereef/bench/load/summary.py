# SPDX-License-Identifier: Apache-2.0
"""Metrics of a load: what its samples say, by the scenario, or what its driver reports itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from codereef.bench.load.driver import Driven
from codereef.bench.load.early_stopping import CONFIDENCE, estimate, fewest_queries
from codereef.bench.load.plan import OFFLINE, SERVER, Plan
from codereef.bench.processes import summarise_processes
from codereef.bench.response import Metric

# The share of queries that may wait at the end without a word: at any moment a busy queue holds some.
_WAITING = 0.05
EARLY = "latency_early_stopping"


@dataclass(frozen=True)
class Summary:
    """Metrics of a load and what a reader must be warned of."""

    metrics: dict[str, Metric]
    warnings: tuple[str, ...]


def series_name(plan: Plan) -> str:
    """What the samples are called: times of queries, or in Offline, which is one query, of inferences."""
    return "inference" if plan.scenario == OFFLINE else "latency"


def headline(plan: Plan) -> str:
    """The metric that the rule `interval` is about."""
    return "throughput" if plan.quantile is None else f"latency_p{plan.quantile * 100:g}"


def summarise(plan: Plan, driven: Driven, seconds: Sequence[float]) -> Summary:
    """Metrics of a load and what a reader must be warned of.

    Args:
        plan: what was asked for.
        driven: what came of it.
        seconds: the samples, in seconds.
    """
    options = plan.options
    metrics = summarise_processes([seconds], confidence=options.confidence, seed=options.seed).metrics
    warnings = []
    metrics["throughput"] = _throughput(plan, driven, metrics["throughput"])
    if plan.scenario == OFFLINE:
        metrics = {"throughput": metrics["throughput"]}
    elif plan.percentile is not None and plan.scenario != SERVER:
        metrics[EARLY] = _early(plan.percentile, seconds)
    if driven.figures:
        metrics = {name: _reported(name, metric, driven) for name, metric in metrics.items()}
    waiting = driven.measured.waiting
    if waiting > _WAITING * len(seconds):
        warnings.append(
            f"the system does not keep up: {waiting} queries had arrived and were not answered when measuring ended, "
            f"{len(seconds)} were; the latencies are of those, and grow with the length of the run"
        )
    return Summary(metrics, tuple(warnings))


def _throughput(plan: Plan, driven: Driven, each: Metric) -> Metric:
    size, measured = plan.samples_per_query, driven.measured
    if plan.scenario == SERVER:
        queries, seconds = measured.samples_ns.size, (measured.elapsed_ns - measured.paused_ns) / 1e9
        return replace(
            each,
            value=(queries - 1) / seconds if queries > 1 else None,
            method="queries answered but the first / time until the last was answered; a single measurement",
            interval=None,
            confidence=None,
            reason=None if queries > 1 else "there was one query",
        )
    if each.value is None:
        return each
    interval = None if each.interval is None else (each.interval[0] * size, each.interval[1] * size)
    if plan.scenario == OFFLINE:
        value = measured.samples_ns.size * size * 1e9 / (measured.elapsed_ns - measured.paused_ns)
        method = each.method.replace("queries / time in queries, single stream", "samples / time of the whole query")
        return replace(each, value=value, interval=interval, method=method)
    if size == 1:
        return each
    method = each.method.replace("queries / time in queries, single stream", "samples / time in queries")
    return replace(each, value=each.value * size, interval=interval, method=method)


def _early(percentile: float, seconds: Sequence[float]) -> Metric:
    found = estimate(sorted(seconds), percentile)
    name = f"p{percentile * 100:g}"
    return Metric(
        found, "s", "lower", f"MLPerf's early-stopping estimate of {name}, exact, confidence {CONFIDENCE:g}",
        len(seconds),
        reason=None if found is not None else f"it needs {fewest_queries(1, percentile)} queries, there are {len(seconds)}",
    )  # fmt: skip


def _reported(name: str, metric: Metric, driven: Driven) -> Metric:
    """A metric as the driver reports it; one that has too few samples stays without a value."""
    if name not in driven.figures or metric.value is None:
        return metric
    method = f"by {driven.driver} {driven.version}, a single measurement"
    return replace(metric, value=driven.figures[name], interval=None, confidence=None, method=method)
