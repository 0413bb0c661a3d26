# SPDX-License-Identifier: Apache-2.0
"""The verdict on a load, by the rules of MLPerf LoadGen (results.cc of version 6), from the settings in force.

Valid is a run that lasted as long as it had to, held as many queries as it had to, for which early stopping is
satisfied, and, in the scenario server, whose percentile kept the bound. A duration shorter than MLPerf asks of
submissions makes no run invalid, as in LoadGen; the verdict says so.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from codereef.bench.load.core import Measurement, Samples
from codereef.bench.load.early_stopping import CONFIDENCE, fewest_queries, most_over
from codereef.bench.load.plan import OFFLINE, SERVER, SINGLE, Plan

#: Seconds that MLPerf asks of a submission, in every scenario (mlperf.conf of LoadGen 6).
SUBMISSION_SECONDS = 600


@dataclass(frozen=True)
class Verdict:
    """Whether the rules were kept, and why not, or what that rests on."""

    valid: bool
    reasons: tuple[str, ...]


def judge(plan: Plan, measured: Measurement) -> Verdict:
    """Judge a measurement."""
    broken = [*_too_short(plan, measured), *_too_few(plan, measured), *_early(plan, measured)]
    if plan.scenario == SERVER:
        broken += _over_bound(plan, measured)
    if plan.scenario == SINGLE and plan.samples_per_query != 1:
        broken.append(f"a query held {plan.samples_per_query} samples, and one of the scenario {SINGLE} holds one")
    if broken:
        return Verdict(False, tuple(broken))
    seconds = plan.options.min_seconds
    reasons = [f"at least {seconds:g} s and {_needed(plan)} were asked for"]
    if seconds < SUBMISSION_SECONDS:
        reasons.append(f"a submission to MLPerf needs {SUBMISSION_SECONDS} s")
    return Verdict(True, tuple(reasons))


def _needed(plan: Plan) -> str:
    if plan.options.stop == "early-stopping":
        return "as many queries as early stopping needs"
    return f"{plan.min_samples} {'samples' if plan.scenario == OFFLINE else 'queries'}"


def _too_short(plan: Plan, measured: Measurement) -> list[str]:
    # Offline: all samples arrive at the start, and the last answer counts. Else: when the last query was sent.
    lasted = measured.elapsed_ns if plan.scenario == OFFLINE else measured.last_ns
    if lasted >= plan.options.min_seconds * 1e9:
        return []
    return [f"it lasted {lasted / 1e9:.3g} s, at least {plan.options.min_seconds:g} s were asked for"]


def _too_few(plan: Plan, measured: Measurement) -> list[str]:
    # Early stopping takes the place of a fewest count.
    if plan.options.stop == "early-stopping":
        return []
    found = measured.samples_ns.size * (plan.samples_per_query if plan.scenario == OFFLINE else 1)
    return [] if found >= plan.min_samples else [f"{found} of {_needed(plan)} were answered"]


def _early(plan: Plan, measured: Measurement) -> list[str]:
    if plan.percentile is None:
        return []
    n, name = measured.samples_ns.size, f"p{plan.percentile * 100:g}"
    if plan.scenario != SERVER:
        fewest = fewest_queries(1, plan.percentile)
        return [] if n >= fewest else [f"early stopping needs {fewest} queries for {name}, there were {n}"]
    if plan.target_latency is None:
        return []
    over = _over(plan.target_latency, measured)
    allowed = most_over(n, plan.percentile)
    if allowed is not None and over <= allowed:
        return []
    more = fewest_queries(over, plan.percentile) - n
    return [
        f"early stopping: {over} of {n} queries took longer than {plan.target_latency:g} s, and so it cannot be said with "
        f"{CONFIDENCE:.0%} confidence that {name} keeps the bound; {more} more within it would be needed"
    ]


def _over(bound_s: float, measured: Measurement) -> int:
    return int(np.count_nonzero(measured.samples_ns > bound_s * 1e9))


def _over_bound(plan: Plan, measured: Measurement) -> list[str]:
    if plan.target_latency is None:
        return ["no bound on the latency was given (target_latency)"]
    assert plan.percentile is not None  # the scenario server reports one
    found = percentile_ns(measured.samples_ns, plan.percentile) / 1e9
    if found <= plan.target_latency:
        return []
    return [f"p{plan.percentile * 100:g} was {found:.3g} s, the bound is {plan.target_latency:g} s"]


def percentile_ns(samples_ns: Samples, percentile: float) -> float:
    """A percentile as LoadGen takes it: the order statistic at floor(n q), counted from 0."""
    return float(np.sort(samples_ns)[int(samples_ns.size * percentile)])
