# SPDX-License-Identifier: Apache-2.0
"""What a scenario asks for, what is refused, and the verdict by MLPerf's rules."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from codereef.bench.load.core import Measurement
from codereef.bench.load.plan import MULTI, OFFLINE, SERVER, SINGLE, make_plan
from codereef.bench.load.rules import NarrowInterval
from codereef.bench.load.verdict import judge, percentile_ns
from codereef.bench.options import Options, parse_options
from codereef.errors import OptionError, UsageError

SECOND = 1_000_000_000


def measured(values: Any, last_s: float = 10.0, **more: Any) -> Measurement:
    samples = np.array(values, dtype=np.int64)
    return Measurement(samples, int(last_s * SECOND) + int(samples[-1]), "done", last_ns=int(last_s * SECOND), **more)


def options(**given: Any) -> Options:
    return parse_options({"min_samples": 100, **given}, {})[0]


@pytest.mark.parametrize(
    ("scenario", "given", "message"),
    [
        ("triple-stream", {}, "no scenario is called triple-stream"),
        (SERVER, {}, "needs target_qps"),
        (SERVER, {"target_qps": 10, "batch": 2}, "batch must be 1"),
        (MULTI, {"batch": 3}, "must be a multiple of batch"),
        (OFFLINE, {"stop": "early-stopping"}, "offline has none"),
        (SINGLE, {"min_seconds": 20}, "min_seconds .20. is more than max_seconds"),
    ],
)
def test_what_does_not_go_together_is_refused(scenario: str, given: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        make_plan(scenario, options(**given))


@pytest.mark.parametrize(
    ("given", "message", "error"),
    [
        ({"stop": "never"}, "must be one of interval", OptionError),
        ({"batch": 0}, "at least 1", OptionError),
        ({"target_qps": 1e9}, "at most 1e", OptionError),
        # The client has checked the types by the program's cr.json.
        ({"stop": 3}, "must be text", UsageError),
        ({"accuracy": True}, "must be text", UsageError),
        ({"no_such": 1}, "unknown option", UsageError),
    ],
)
def test_wrong_options_are_refused_and_those_nobody_chose_are_told_apart(
    given: dict[str, Any], message: str, error: type[UsageError]
) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        parse_options(given, {})
    assert caught.type is error


def test_options_of_the_runtime_go_to_the_runtime_and_empty_ones_nowhere() -> None:
    given = {"provider": "CPUExecutionProvider", "delegate": "", "batch": 2}
    parsed, rest = parse_options(given, {"threads": 3})
    assert (parsed.threads, parsed.batch) == (3, 2)
    assert rest == {"provider": "CPUExecutionProvider"}


@pytest.mark.parametrize(
    ("scenario", "statistic", "quantile"),
    [(SINGLE, "p50", 0.5), (SINGLE, "scenario", 0.9), (MULTI, "scenario", 0.99), (SERVER, "p99", 0.99), (OFFLINE, "p50", None)],
)  # fmt: skip
def test_the_interval_is_of_the_statistic_that_is_reported(
    scenario: str, statistic: str, quantile: float | None
) -> None:
    plan = make_plan(scenario, options(statistic=statistic, target_qps=5))
    assert [rule.quantile for rule in plan.rules() if isinstance(rule, NarrowInterval)] == [quantile]


def test_offline_counts_samples_and_the_others_queries() -> None:
    offline = make_plan(OFFLINE, options(batch=8, max_samples=1001))
    assert (offline.samples_per_query, offline.min_queries, offline.max_queries) == (8, 13, 126)
    multi = make_plan(MULTI, options(batch=4, max_samples=1001))
    assert (multi.samples_per_query, multi.min_queries, multi.max_queries) == (8, 100, 1001)


def test_a_run_that_keeps_the_rules_is_valid_and_says_what_that_rests_on() -> None:
    verdict = judge(make_plan(SINGLE, options(min_seconds=5)), measured([1000] * 100))
    assert verdict.valid
    assert verdict.reasons == (
        "at least 5 s and 100 queries were asked for",
        "a submission to MLPerf needs 600 s",
    )


@pytest.mark.parametrize(
    ("scenario", "given", "run", "reason"),
    [
        (SINGLE, {"min_seconds": 8}, measured([1000] * 100, 7.5), "it lasted 7.5 s, at least 8 s"),
        (SINGLE, {}, measured([1000] * 99), "99 of 100 queries were answered"),
        (SINGLE, {"min_samples": 10}, measured([1000] * 63), "early stopping needs 64 queries for p90, there were 63"),
        (SINGLE, {"batch": 2}, measured([1000] * 100), "a query held 2 samples"),
        (MULTI, {"min_samples": 10}, measured([1000] * 661), "needs 662 queries for p99"),
        (SERVER, {"target_qps": 9}, measured([1000] * 500), "no bound on the latency was given"),
        (SERVER, {"target_qps": 9, "target_latency": 0.5}, measured([1000] * 980 + [SECOND] * 20), "p99 was 1 s"),
        (SERVER, {"target_qps": 9, "target_latency": 0.5}, measured([1000] * 660 + [SECOND]), "1 more within it"),
        (OFFLINE, {"batch": 4}, measured([1000] * 24), "96 of 100 samples were answered"),
    ],
)  # fmt: skip
def test_each_broken_rule_is_a_reason(scenario: str, given: dict[str, Any], run: Measurement, reason: str) -> None:
    verdict = judge(make_plan(scenario, options(**given)), run)
    assert not verdict.valid
    assert any(reason in text for text in verdict.reasons), verdict.reasons


def test_early_stopping_takes_the_place_of_a_fewest_count() -> None:
    assert judge(make_plan(SINGLE, options(stop="early-stopping")), measured([1000] * 64)).valid


def test_a_percentile_of_the_verdict_is_the_order_statistic_that_loadgen_takes() -> None:
    assert percentile_ns(np.arange(100)[::-1].astype(np.int64), 0.9) == 90


def test_the_most_samples_limit_the_fewest() -> None:
    plan = make_plan(SINGLE, options(min_samples=1000, max_samples=70))
    assert plan.min_queries == plan.max_queries == 70
    assert judge(plan, measured([1000] * 70)).valid
