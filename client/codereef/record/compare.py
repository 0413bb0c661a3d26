# SPDX-License-Identifier: Apache-2.0
"""Results held against each other: whether they differ, by how much, with what certainty, and what else differed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from codereef.bench.compare import ALIKE, NOISE_FLOOR, TOO_FEW, Comparison, compare
from codereef.bench.ranks import holm
from codereef.bench.statistics import percentile
from codereef.errors import UsageError
from codereef.record.differences import Difference, differences, unlike
from codereef.record.history import Result
from codereef.record.stages import parting
from codereef.record.summary import ACCURACY

_NEWEST_RUNS = 10
_LONGEST = 1e9  # seconds that a query may have taken; larger numbers have no sum


@dataclass(frozen=True)
class ResultComparison:
    """What comparing two results gives.

    Attributes:
        a, b: identities.
        verdict: of B against A: `faster`, `slower`, `no measurable difference` or `too few repetitions to say`.
        ratio: median latency of B divided by that of A, or None.
        interval: its confidence interval, or None.
        p_value: of the test, or None.
        superiority: probability that a query of B takes longer than one of A, or None.
        samples: numbers of samples.
        processes: numbers of processes they are from.
        floor: least relative difference that is called one here.
        detectable: relative difference that would be seen in 95 % of cases, or None where that is not known.
        method: how it was computed.
        unlike: reasons why the two are not on one ranking.
        accuracy: one sentence a metric.
        parting: where what the steps make of the same items parts, or None where that is not known.
        differences: what differs in graph, options, load, steps and machine.
        noise_floor: how far repeated runs are known to lie apart; at least 1 %.
        runs: how many runs of one thing that is known from; 1 when it is not.
        paired: whether their processes took turns and were compared in pairs.
        notes: what the results themselves warn of.
    """

    a: str
    b: str
    verdict: str
    ratio: float | None
    interval: tuple[float, float] | None
    p_value: float | None
    superiority: float | None
    samples: tuple[int, int]
    processes: tuple[int, int]
    floor: float
    detectable: float | None
    method: str
    unlike: tuple[str, ...]
    accuracy: tuple[str, ...]
    parting: str | None
    differences: tuple[Difference, ...]
    noise_floor: float
    runs: int
    paired: bool
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON data."""
        return asdict(self)

    @property
    def counts(self) -> str:
        """How many samples of B and A there are, and of how many processes."""
        samples = f"{self.samples[1]} and {self.samples[0]} samples"
        return samples + (
            f" of {self.processes[1]} and {self.processes[0]} processes{' that took turns' if self.paired else ''}"
            if max(self.processes) > 1
            else ""
        )

    @property
    def sentence(self) -> str:
        """The verdict for people."""
        names = f"{self.b[:12]} against {self.a[:12]}"
        if self.ratio is None or self.interval is None:
            return f"{names}: {self.verdict} ({self.counts})."
        return (
            f"{names}: {self.verdict}. Median latency is {self.ratio:.3f} times A's, "
            f"95 % interval {self.interval[0]:.3f} to {self.interval[1]:.3f} ({p_text(self.p_value)}; {self.counts})."
        )

    @property
    def reach(self) -> str:
        """A sentence on what a verdict of this comparison could have seen; empty where there is nothing to say."""
        said = []
        if self.superiority is not None:
            said.append(f"A query of B takes longer than one of A with probability {self.superiority:.2f}.")
        if self.verdict == ALIKE and self.detectable is not None:
            said.append(f"A difference of {self.detectable * 100:.1f} % would be found in 19 of 20 such comparisons.")
        if self.verdict == TOO_FEW and max(self.processes) > 1:
            said.append("With 5 processes of each there would be a verdict.")
        elif self.verdict == ALIKE and not self.paired:
            said.append("Configurations that take turns (`cr benchmark --interleave`) show smaller differences.")
        return " ".join(said)


def p_text(p: float | None) -> str:
    """Return a p-value for people."""
    return "p –" if p is None else "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def noise_floor(a: Result, b: Result, others: Iterable[Result]) -> tuple[float, int]:
    """Return how far runs of the same thing lie apart on this machine, and from how many runs that is known.

    What differs from run to run (neighbours, temperature, clock) is in no single result. Where A or B was measured
    several times, with the same lock, options and machine, the largest relative difference between the medians of
    the ten newest such runs is the least difference that means anything.

    Args:
        a, b: the results compared.
        others: further results, such as the whole history.

    Returns:
        The floor, at least 1 %, and the largest number of runs behind it (1: it is not known).
    """
    floor, runs = NOISE_FLOOR, 1
    if _took_turns(a, b):
        return floor, runs  # What differs from run to run met both.
    known = {result.id: result for result in (*others, a, b)}
    for one, other in ((a, b), (b, a)):
        # The two that are compared are no evidence about each other.
        alike = sorted(
            (result for result in known.values() if result.id != other.id and _same_thing(result, one)),
            key=lambda result: result.document["started_at"],
        )
        found = [result.metric("latency_p50") for result in alike]
        medians = [value for value in found if value is not None and value > 0][-_NEWEST_RUNS:]
        if len(medians) > 1:
            floor = max(floor, max(medians) / min(medians) - 1)
            runs = max(runs, len(medians))
    return floor, runs


def _same_thing(a: Result, b: Result) -> bool:
    keys = ("status", "action", "lock_digest", "comparability", "options")
    return all(a.document[key] == b.document[key] for key in keys) and (
        a.document["machine"]["instance"] == b.document["machine"]["instance"]
    )


def series_by_process(result: Result, name: str = "latency") -> list[list[float]]:
    """Return the raw samples of a series, one list a process; a single list where the result names no processes.

    Raises:
        UsageError: there are no such samples, or they are no times, as in a file that somebody made.
    """
    samples = result.document["samples"].get(name, {}).get("values")
    if not samples:
        raise UsageError(
            f"Result {result.short} has no {name} samples ({result.document['action']}, {result.document['status']}).",
            hint="Compare results of `cr benchmark`.",
        )
    if not all(0 < value < _LONGEST for value in samples):
        raise UsageError(
            f"Result {result.short} has {name} samples that are no times: these are above 0 s and finite.",
            hint="Compare results of `cr benchmark`.",
        )
    values = [float(value) for value in samples]
    counts = [int(process["counts"].get(name, 0)) for process in result.document.get("processes") or ()]
    if sum(counts) != len(values):
        return [values]
    ends = [sum(counts[: i + 1]) for i in range(len(counts))]
    return [values[end - count : end] for end, count in zip(ends, counts, strict=True) if count]


def _took_turns(a: Result, b: Result) -> bool:
    """Return whether the processes of two results took turns (`cr benchmark --interleave`)."""
    return a.id != b.id and "turns" in a.document and a.document["turns"] == b.document.get("turns")


def _notes(name: str, document: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a reader must know of one of the results."""
    yield from (f"{name}: {note}" for note in document["warnings"])
    if (document.get("load") or {}).get("driver") == "mlperf-loadgen" and document["scenario"] == "server":
        yield f"{name}: LoadGen keeps no latencies from the arrival; what is compared are the times of the calls"


def _outcome(a: Result, b: Result, floor: float) -> Comparison:
    return compare(
        series_by_process(a),
        series_by_process(b),
        # The seed depends on the two results only, so that the same comparison always gives the same interval.
        seed=int(a.id[:8], 16) ^ int(b.id[:8], 16),
        noise_floor=floor,
        interleaved=_took_turns(a, b),
    )


def compare_results(
    a: Result, b: Result, others: Iterable[Result] = (), *, effort: Collection[str] = ()
) -> ResultComparison:
    """Compare two results by their raw latency samples.

    The test and the verdict are those of `codereef.bench.compare.compare`, with the noise floor that repeated
    runs in `others` show.

    Args:
        a, b: the results; B is judged against A.
        others: further results, such as the whole history.
        effort: options that only say how long and how often is measured, where the program is known.

    Raises:
        UsageError: one of them has no latency samples.
    """
    floor, runs = noise_floor(a, b, others)
    outcome = _outcome(a, b, floor)
    left, right = a.document, b.document
    accuracy = []
    for metric in ACCURACY:
        x, y = a.metric(metric), b.metric(metric)
        if x is not None and y is not None:
            accuracy.append(f"{metric}: {x:.4f} in A, {y:.4f} in B ({y - x:+.4f}).")
    return ResultComparison(
        a.id,
        b.id,
        outcome.verdict,
        outcome.ratio,
        outcome.interval,
        outcome.p_value,
        outcome.superiority,
        outcome.samples,
        outcome.processes,
        outcome.floor,
        outcome.detectable,
        outcome.method,
        unlike(left, right, effort),
        tuple(accuracy),
        parting(left, right),
        differences(left, right),
        floor,
        runs,
        outcome.paired,
        (*_notes("A", left), *_notes("B", right)),
    )


@dataclass(frozen=True)
class Entry:
    """One of several results, held against the first.

    Attributes:
        id: identity.
        label: configuration and runtime.
        median: median latency in seconds, over all samples.
        comparison: against the first; None for the first itself.
        p_value: of its test, corrected for the number of results; None for the first, and where there is none.
        verdict: with that p-value; empty for the first.
        unlike: reasons why it is not on one ranking with the first.
    """

    id: str
    label: str
    median: float
    comparison: Comparison | None
    p_value: float | None
    verdict: str
    unlike: tuple[str, ...]

    @property
    def tied(self) -> bool:
        """Whether it cannot be told from the first."""
        return self.verdict in (ALIKE, TOO_FEW)


@dataclass(frozen=True)
class Ranking:
    """Several results against the first of them, fastest first.

    Attributes:
        first: identity of the one that the others are held against.
        entries: all of them, by their median.
        method: how it was computed.
    """

    first: str
    entries: tuple[Entry, ...]
    method: str

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON data."""
        return {**asdict(self), "entries": [{**asdict(entry), "tied": entry.tied} for entry in self.entries]}


def rank_results(results: Sequence[Result], others: Iterable[Result] = (), *, effort: Collection[str] = ()) -> Ranking:
    """Hold every result against the first, and order them by median latency.

    The p-values are corrected by Holm's rule for as many comparisons, so that the chance of one false alarm among
    all of them is what it is for two results.

    Args:
        results: two or more; the first is what the others are held against.
        others, effort: see `compare_results`.

    Raises:
        UsageError: one of them has no latency samples.
    """
    first, history = results[0], list(others)
    outcomes = [_outcome(first, result, noise_floor(first, result, history)[0]) for result in results[1:]]
    corrected = holm([1.0 if outcome.p_value is None else outcome.p_value for outcome in outcomes])
    entries = [Entry(first.id, _label(first), _median(first), None, None, "", ())]
    for result, outcome, p in zip(results[1:], outcomes, corrected, strict=True):
        known = None if outcome.p_value is None else p
        verdict = outcome.verdict if outcome.verdict == TOO_FEW else outcome.verdict_at(p)
        reasons = unlike(first.document, result.document, effort)
        entries.append(Entry(result.id, _label(result), _median(result), outcome, known, verdict, reasons))
    return Ranking(
        first.id,
        tuple(sorted(entries, key=lambda entry: entry.median)),
        f"each against the first by {_test(outcomes)}; p-values by Holm's rule for {len(outcomes)} comparisons",
    )


def _test(outcomes: Sequence[Comparison]) -> str:
    names = ("Student's t on pairs of processes that took turns", "Mann-Whitney U")
    return " or ".join(names[not paired] for paired in sorted({outcome.paired for outcome in outcomes}, reverse=True))


def _median(result: Result) -> float:
    return percentile([value for values in series_by_process(result) for value in values], 0.5)


def _label(result: Result) -> str:
    d = result.document
    runtime = f"{d['runtime']['name']} {d['runtime']['version']}".strip()
    return runtime if d["configuration"]["id"] == "default" else f"{d['configuration']['id']}, {runtime}"
