# SPDX-License-Identifier: Apache-2.0
"""What an exploration found: a row a point, with intervals from its repetitions, and which are on the frontier."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, median, stdev
from typing import Any

from codereef.bench.distributions import t_quantile
from codereef.explore.document import Exploration
from codereef.explore.search import failures, given_up, rungs, standing
from codereef.record.history import Result
from codereef.record.pareto import Direction, frontier
from codereef.record.plot import Point as PlotPoint
from codereef.record.summary import cpu_name, data_of, row

CONFIDENCE = 0.95
_FREE_FROM = 6


@dataclass(frozen=True)
class Estimate:
    """A median over repetitions.

    Attributes:
        value: the median.
        interval: 95 % confidence interval, or None where one repetition has none of its own.
        method: what the interval is.
    """

    value: float
    interval: tuple[float, float] | None
    method: str


@dataclass(frozen=True)
class Row:
    """What is known of a point on one class of machine and one choice of data.

    Attributes:
        name: of the point.
        configuration: id of its configuration.
        options: the options given.
        machine: digest of the machine's class.
        cpu: its processor, for people.
        data: dataset and its choice, for people; rows of other data have a frontier of their own.
        status: `ok`, or how the last repetition of a point that was given up ended.
        metrics: median by metric; accuracy is of the repetitions that measured it.
        accuracy: name of the accuracy metric, or "".
        repeats: repetitions that ended well.
        failed: repetitions that did not.
        results: identities of its results.
        rung: for `halving`, the last rung it was measured in, from 1; else 0.
        best: whether it is on the frontier.
    """

    name: str
    configuration: str
    options: Mapping[str, str]
    machine: str
    cpu: str
    data: str
    status: str
    metrics: Mapping[str, Estimate]
    accuracy: str
    repeats: int
    failed: int
    results: tuple[str, ...]
    rung: int = 0
    best: bool = False

    @property
    def group(self) -> tuple[str, str]:
        """What rows share that may stand in one table: the class of machine, and the data."""
        return self.machine, self.data


def estimate(values: Sequence[float], single: tuple[float, float] | None = None) -> Estimate:
    """Return the median of repetitions with its interval.

    Each repetition is one value: what differs between processes and times is what the interval is about. From six
    repetitions on it is that of order statistics, which needs no distribution (Conover 1999, section 3.2, with exact
    binomial probabilities). Fewer permit none at 95 %: then the logarithms are taken as normal, and Student's t gives
    the interval of their mean, which is the median of such a distribution.

    Args:
        values: one a repetition, at least one.
        single: the interval within the repetition, which is all that is known where there is only one.
    """
    middle, n = median(values), len(values)
    if n == 1:
        return Estimate(middle, single, "within the only repetition")
    if n >= _FREE_FROM:
        ordered = sorted(values)
        low = _rank(n)
        return Estimate(middle, (ordered[low], ordered[n - 1 - low]), "order statistics of the repetitions")
    if min(values) <= 0:
        return Estimate(middle, None, "too few repetitions for an interval")
    logs = [math.log(value) for value in values]
    half = t_quantile(CONFIDENCE, n - 1) * stdev(logs) / math.sqrt(n)
    centre = fmean(logs)
    bounds = (min(middle, math.exp(centre - half)), max(middle, math.exp(centre + half)))
    return Estimate(middle, bounds, "Student's t of the logarithms of the repetitions")


def _rank(n: int) -> int:
    """Return the largest rank, from 0, whose order statistic and its mirror hold the median with 95 %."""
    below, rank = 0.0, 0
    for i in range(n // 2):
        below += math.comb(n, i) / 2**n
        if 2 * below > 1 - CONFIDENCE:
            break
        rank = i
    return rank


def summarise(exploration: Exploration, results: Mapping[str, Result]) -> list[Row]:
    """Return the rows, in the order of the points; each class of machine has rows of its own.

    Args:
        exploration: as far as it has come.
        results: those of the history that it names; what is missing there is left out.
    """
    rows = [found for index in range(len(exploration.points)) for found in _rows_of(exploration, index, results)]
    rows = _with_rungs(exploration, rows)
    best = {id(rows[i]) for group in {r.group for r in rows} for i in _frontier(exploration, rows, group)}
    return [replace(found, best=id(found) in best) for found in rows]


def _rows_of(exploration: Exploration, index: int, results: Mapping[str, Result]) -> list[Row]:
    point, repetitions = exploration.points[index], exploration.measured[index]
    good = [r for r in repetitions if r.status == "ok" and r.result in results]
    status = repetitions[-1].status if given_up(repetitions) else "ok"
    machines = list(dict.fromkeys(r.machine for r in good)) or [""]
    made = []
    for machine in machines:
        own = [results[r.result] for r in good if r.machine == machine]
        accuracy = next((name for result in own if (name := row(result).accuracy_metric)), "")
        names = dict.fromkeys(["latency_p50", "throughput", exploration.search.objective, accuracy])
        metrics = {name: found for name in names if name and (found := _metric(own, name, accuracy)) is not None}
        made.append(
            Row(
                point.name,
                point.configuration,
                point.options,
                machine,
                cpu_name(own[0]) if own else "",
                " ".join(data_of(own[0])).removeprefix("dataset:") if own else "",
                status,
                metrics,
                accuracy,
                len(own),
                failures(repetitions),
                tuple(result.id for result in own),
            )
        )
    return made


def _metric(results: Sequence[Result], name: str, accuracy: str) -> Estimate | None:
    given = [(value, result.interval(name)) for result in results if (value := result.metric(name)) is not None]
    if not given:
        return None
    values = [value for value, _ in given]
    if name == accuracy:
        # Repetitions see the same images: what is unknown of the accuracy is about other images, and does not shrink.
        return Estimate(median(values), given[0][1], "of the items of the dataset, in one repetition")
    return estimate(values, given[0][1])


def _with_rungs(exploration: Exploration, rows: Sequence[Row]) -> list[Row]:
    if exploration.search.kind != "halving":
        return list(rows)
    last: dict[str, int] = {}
    for number, rung in enumerate(rungs(exploration.search, exploration.measured), 1):
        last.update((exploration.points[index].name, number) for index in rung.field)
    return [replace(found, rung=last[found.name]) for found in rows]


def _axes(exploration: Exploration, found: Row) -> tuple[float, float] | None:
    """Return objective and accuracy of a row, or None where it lacks one."""
    x, y = found.metrics.get(exploration.search.objective), found.metrics.get(found.accuracy)
    return (x.value, y.value) if x is not None and y is not None else None


def _frontier(exploration: Exploration, rows: Sequence[Row], group: tuple[str, str]) -> list[int]:
    """Return which rows of one group are on the frontier of accuracy over the objective."""
    placed = [
        (i, axes)
        for i, found in enumerate(rows)
        if found.group == group and (axes := _axes(exploration, found)) is not None
    ]
    direction: Direction = "lower" if exploration.search.direction == "lower" else "higher"
    return [placed[k][0] for k in frontier([axes for _, axes in placed], direction, "higher")]


def best_of(exploration: Exploration) -> str:
    """Return the name of the point that is best by the objective, or "" where nothing has it."""
    order = standing(exploration.search, exploration.measured)
    return exploration.points[order[0]].name if order else ""


def rivals_of(exploration: Exploration, rows: Sequence[Row], best: str) -> list[str]:
    """Return the points whose interval of the objective overlaps that of the best one, so that chance may order them."""
    objective = exploration.search.objective
    found = {row.name: row.metrics[objective].interval for row in rows if objective in row.metrics}
    own = found.get(best)
    if own is None:
        return []
    return [name for name, other in found.items() if name != best and (not other or _overlap(own, other))]


def _overlap(a: tuple[float, float], b: tuple[float, float]) -> bool:
    return a[0] <= b[1] and b[0] <= a[1]


def plot_points(exploration: Exploration, rows: Sequence[Row], factor: float) -> list[PlotPoint]:
    """Return the points of the plot.

    Args:
        exploration: whose objective is the horizontal axis.
        rows: of one group.
        factor: what values are multiplied by, such as 1000 for ms.
    """
    points = []
    for found in rows:
        axes = _axes(exploration, found)
        if axes is not None:
            bounds = found.metrics[exploration.search.objective].interval
            scaled = (bounds[0] * factor, bounds[1] * factor) if bounds else None
            points.append(PlotPoint(found.name, axes[0] * factor, scaled, axes[1]))
    return points


def row_document(found: Row) -> dict[str, Any]:
    """Return a row as JSON data."""
    return {
        "point": found.name,
        "configuration": found.configuration,
        "options": dict(found.options),
        "machine": found.machine,
        "status": found.status,
        "repeats": found.repeats,
        "failed": found.failed,
        "on_frontier": found.best,
        "accuracy_metric": found.accuracy or None,
        "metrics": {
            name: {
                "value": value.value,
                "interval": list(value.interval) if value.interval else None,
                "confidence": CONFIDENCE if value.interval else None,
                "method": value.method,
            }
            for name, value in found.metrics.items()
        },
        "results": list(found.results),
        **({"rung": found.rung} if found.rung else {}),
    }
