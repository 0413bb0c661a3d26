# SPDX-License-Identifier: Apache-2.0
"""Two results: whether they differ, by how much, with what certainty, and what differed in graph and machine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from codereef.errors import UsageError
from codereef.record.history import Result
from codereef.record.stages import parting
from codereef.record.summary import ACCURACY


@dataclass(frozen=True)
class Difference:
    """Something that is not the same in A and B."""

    what: str
    a: str
    b: str


@dataclass(frozen=True)
class ResultComparison:
    """What comparing two results gives.

    Attributes:
        a, b: identities.
        verdict: of B against A: `faster`, `slower`, `no measurable difference` or `too few repetitions to say`.
        ratio: median latency of B divided by that of A, or None.
        interval: its bootstrap interval, or None.
        p_value: of the Mann-Whitney test, or None.
        samples: numbers of samples.
        method: how it was computed.
        unlike: reasons why the two are not on one ranking.
        accuracy: one sentence a metric.
        differences: what differs in graph, options and machine.
        noise_floor: least relative difference that is called one.
        runs: how many runs of one thing the noise floor is known from; 1 when it is not.
        notes: what the results themselves warn of.
    """

    a: str
    b: str
    verdict: str
    ratio: float | None
    interval: tuple[float, float] | None
    p_value: float | None
    samples: tuple[int, int]
    method: str
    unlike: tuple[str, ...]
    accuracy: tuple[str, ...]
    differences: tuple[Difference, ...]
    noise_floor: float
    runs: int
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON data."""
        return asdict(self)

    @property
    def sentence(self) -> str:
        """The verdict for people."""
        names = f"{self.b[:12]} against {self.a[:12]}"
        if self.ratio is None or self.interval is None:
            return f"{names}: {self.verdict} ({self.samples[1]} and {self.samples[0]} samples)."
        p = (
            "p < 0.001"
            if self.p_value is not None and self.p_value < 0.001
            else f"p = {self.p_value:.3f}"
            if self.p_value is not None
            else ""
        )
        return f"{names}: {self.verdict}. Median latency is {self.ratio:.3f} times A's, 95 % interval {self.interval[0]:.3f} to {self.interval[1]:.3f} ({p}; {self.samples[1]} and {self.samples[0]} samples)."


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key in sorted(value):
            yield from _flat(value[key], f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(value, (list, tuple)):
        yield prefix, ", ".join(map(str, value))
    else:
        yield prefix, str(value)


def _changes(prefix: str, a: Any, b: Any) -> Iterator[Difference]:
    left, right = dict(_flat(a)), dict(_flat(b))
    for key in sorted(set(left) | set(right)):
        if left.get(key) != right.get(key):
            yield Difference(f"{prefix} {key}".strip(), left.get(key, "–"), right.get(key, "–"))


def _graph(document: Mapping[str, Any]) -> dict[str, str]:
    lock = document["lock"]
    nodes = {
        node.get("capability") or node["component"].split("@")[0]: _node_text(node) for node in lock["nodes"].values()
    }
    for environment in lock["environments"].values():
        nodes.update({f"distribution {d['name']}": d["version"] for d in environment["distributions"]})
    return nodes


def _node_text(node: Mapping[str, Any]) -> str:
    variants = ",".join(f"{k}={v}" for k, v in sorted(node["variants"].items()))
    return (
        f"{node['version']}{f' ({variants})' if variants else ''}"
        + (" detected" if node["source"] == "detected" else "")
        + f" {node['digest'][7:15]}"
    )


#: Options that change what is measured, and with that whether two results can be compared.
COMPARABLE_OPTIONS = ("threads", "batch", "accuracy_limit")


def noise_floor(a: Result, b: Result, others: Iterable[Result]) -> tuple[float, int]:
    """Return how far runs of the same thing lie apart on this machine, and from how many runs that is known.

    Samples of one process say nothing of what differs from process to process (memory layout, neighbours,
    clock). Where A or B was measured several times, with the same lock, options and machine, the largest
    relative difference between the medians of such runs is the least difference that means anything.

    Args:
        a, b: the results compared.
        others: further results, such as the whole history.

    Returns:
        The floor, at least 1 %, and the largest number of runs behind it (1: it is not known).
    """
    from codereef.bench.compare import NOISE_FLOOR

    floor, runs = NOISE_FLOOR, 1
    known = {result.id: result for result in (*others, a, b)}
    for one, other in ((a, b), (b, a)):
        # The two that are compared are no evidence about each other.
        medians = [
            value
            for result in known.values()
            if result.id != other.id
            and _same_thing(result, one)
            and (value := result.metric("latency_p50")) is not None
        ]
        if len(medians) > 1:
            floor = max(floor, max(medians) / min(medians) - 1)
            runs = max(runs, len(medians))
    return floor, runs


def _same_thing(a: Result, b: Result) -> bool:
    keys = ("status", "action", "lock_digest", "comparability", "options")
    return all(a.document[key] == b.document[key] for key in keys) and (
        a.document["machine"]["instance"] == b.document["machine"]["instance"]
    )


def compare_results(a: Result, b: Result, others: Iterable[Result] = ()) -> ResultComparison:
    """Compare two results by their raw latency samples.

    The test and the verdict are those of `codereef.bench.compare.compare`, with the noise floor that repeated
    runs in `others` show.

    Raises:
        UsageError: one of them has no latency samples.
    """
    from codereef.bench.compare import compare

    series: list[list[float]] = []
    for result in (a, b):
        samples = result.document["samples"].get("latency", {}).get("values")
        if not samples:
            raise UsageError(
                f"Result {result.short} has no latency samples ({result.document['action']}, {result.document['status']}).",
                hint="Compare two results of `cr benchmark`.",
            )
        series.append([float(value) for value in samples])
    floor, runs = noise_floor(a, b, others)
    # The seed depends on the two results only, so that the same comparison always gives the same interval.
    outcome = compare(series[0], series[1], seed=int(a.id[:8], 16) ^ int(b.id[:8], 16), noise_floor=floor)
    left, right = a.document, b.document
    unlike = []
    if left["comparability"] != right["comparability"]:
        for key in ("model", "dataset", "scenario"):
            if left[key] != right[key]:
                unlike.append(f"{key} is {left[key]} in A and {right[key]} in B")
        unlike += [
            f"option {d.what} is {d.a} in A and {d.b} in B"
            for d in _changes("", left["options"], right["options"])
            if d.what in COMPARABLE_OPTIONS
        ]
        unlike = unlike or ["the components, the dataset's choice or the harness version differ"]
    accuracy = []
    for metric in ACCURACY:
        x, y = a.metric(metric), b.metric(metric)
        if x is not None and y is not None:
            accuracy.append(f"{metric}: {x:.4f} in A, {y:.4f} in B ({y - x:+.4f}).")
    accuracy += parting(left, right)
    differences = [
        *_changes(
            "",
            {"configuration": left["configuration"]["id"], "runtime": left["runtime"]},
            {"configuration": right["configuration"]["id"], "runtime": right["runtime"]},
        ),
        *_changes("graph", _graph(left), _graph(right)),
        *_changes("option", left["options"], right["options"]),
        *_changes("machine", left["machine"]["class"], right["machine"]["class"]),
    ]
    return ResultComparison(
        a.id,
        b.id,
        outcome.verdict,
        outcome.ratio,
        outcome.interval,
        outcome.p_value,
        outcome.samples,
        outcome.method,
        tuple(unlike),
        tuple(accuracy),
        tuple(differences),
        floor,
        runs,
        tuple(f"{name}: {note}" for name, d in (("A", left), ("B", right)) for note in d["warnings"]),
    )
