# SPDX-License-Identifier: Apache-2.0
"""Which point is measured next: rounds over all points, and for successive halving a field that shrinks.

A *round* measures every point of the field once, in an order of its own that the seed decides; so a machine that
slowly grows hot or busy favours no point. Everything here is computed from what has been measured: an exploration
that was killed goes on where it was.

Successive halving is that of Jamieson and Talwalkar, "Non-stochastic best arm identification and hyperparameter
optimization" (AISTATS 2016, arXiv:1502.07943), with the better half rounded up: n points need ceil(log2 n) rungs.
A rung measures its field in twice as many rounds as the one before, so each rung costs the same. The worse half is
dropped by rank, not by a test: with the few repetitions of the first rungs no test could tell anything, so that
nothing would be dropped, and what it costs would have no bound (docs/design/0029-exploration.md).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from statistics import median

from codereef.errors import UsageError
from codereef.explore.space import MOST_POINTS, Point, Space

#: A point that failed so often is not measured again.
MOST_FAILURES = 2
#: Rounds of one rung at most, whatever the budget would allow.
MOST_ROUNDS = 1000


@dataclass(frozen=True)
class Search:
    """How points are chosen.

    Attributes:
        kind: `grid`, `random` or `halving`.
        repeat: repetitions of each point; of `halving` those of the first rung.
        seed: of the order, and of the points that `random` takes.
        objective: metric that `halving` ranks by, and the horizontal axis of the frontier.
        direction: `lower` or `higher`, whichever is better.
        samples: points that `random` takes; None for the others.
        budget: measuring seconds that `halving` may spend; None for what the repetitions take.
    """

    kind: str
    repeat: int
    seed: int
    objective: str
    direction: str
    samples: int | None = None
    budget: float | None = None


@dataclass(frozen=True)
class Repetition:
    """One measurement of a point.

    Attributes:
        round: the round it belongs to, from 0.
        status: as of a result; `lost` where the machine that measured went away.
        result: identity of the result in the history, or "".
        seconds: what it took, from start to end.
        machine: digest of the machine's class, or "".
        value: the objective, or None.
        error: what went wrong, or "".
    """

    round: int
    status: str
    result: str = ""
    seconds: float = 0.0
    machine: str = ""
    value: float | None = None
    error: str = ""


@dataclass(frozen=True)
class Round:
    """What of a round is still to be measured.

    Attributes:
        number: from 0.
        points: indices of points, in order.
    """

    number: int
    points: tuple[int, ...]


@dataclass(frozen=True)
class Rung:
    """One step of successive halving.

    Attributes:
        field: indices of the points that are still in it.
        first: number of its first round.
        rounds: how many rounds it has, as far as is known.
    """

    field: tuple[int, ...]
    first: int
    rounds: int


Measured = Sequence[Sequence[Repetition]]


def choose_points(space: Space, search: Search) -> tuple[Point, ...]:
    """Return the points that a search looks at.

    Raises:
        UsageError: there are more than anybody measures.
    """
    size = len(space)
    if search.kind == "random":
        count = min(search.samples or size, size)
        # Sampled by number: a space of millions of points is never written out.
        return tuple(space[number] for number in sorted(Random(search.seed).sample(range(size), count)))
    if size > MOST_POINTS:
        raise UsageError(
            f"The space has {size:,} points; {search.kind} takes at most {MOST_POINTS:,}.",
            hint="`--search random --samples 100` takes some of them.",
        )
    return tuple(space[number] for number in range(size))


def order(seed: int, number: int, points: Sequence[int]) -> list[int]:
    """Return points in the order in which a round measures them."""
    shuffled = sorted(points)
    Random(f"{seed}/{number}").shuffle(shuffled)
    return shuffled


def failures(repetitions: Sequence[Repetition]) -> int:
    """Return how often a point failed."""
    return sum(1 for repetition in repetitions if repetition.status != "ok")


def given_up(repetitions: Sequence[Repetition]) -> bool:
    """Tell whether a point failed so often that it is not measured again."""
    return failures(repetitions) >= MOST_FAILURES


def _left(search: Search, measured: Measured, number: int, field: Sequence[int]) -> Round:
    """Return what of a round is still to be measured; what failed in it comes last."""
    open_points = [
        point
        for point in order(search.seed, number, field)
        if not given_up(measured[point]) and not any(r.round == number and r.status == "ok" for r in measured[point])
    ]
    tried = {point for point in open_points if any(r.round == number for r in measured[point])}
    return Round(number, (*(p for p in open_points if p not in tried), *(p for p in open_points if p in tried)))


def open_rounds(search: Search, measured: Measured) -> list[Round]:
    """Return the rounds that are not complete, in order; nothing when the search has ended.

    Several may be carried out at the same time on several machines: none depends on another.

    Args:
        search: how points are chosen.
        measured: the repetitions of each point so far.
    """
    if search.kind == "halving":
        rung = rungs(search, measured)[-1]
        numbers, field = range(rung.first, rung.first + rung.rounds), rung.field
    else:
        numbers, field = range(search.repeat), tuple(range(len(measured)))
    return [found for number in numbers if (found := _left(search, measured, number, field)).points]


def rung_count(points: int) -> int:
    """Return how many rungs successive halving has."""
    return max(1, math.ceil(math.log2(points))) if points else 1


def rungs(search: Search, measured: Measured) -> list[Rung]:
    """Return the rungs of successive halving so far; the last is under way, or was the last of all."""
    found: list[Rung] = []
    field, first = tuple(range(len(measured))), 0
    while True:
        count = _rounds(search, measured, field, first, len(found))
        found.append(Rung(field, first, count))
        done = not any(_left(search, measured, first + i, field).points for i in range(count))
        if not done or len(field) <= 2:
            return found
        best = ranked(search, _until(measured, first + count), field)[: math.ceil(len(field) / 2)]
        if len(best) < 2:
            return found
        field, first = tuple(sorted(best)), first + count


def _until(measured: Measured, number: int) -> Measured:
    """Return what was known before a round: a decision that was taken does not change by what came later."""
    return [[r for r in repetitions if r.round < number] for repetitions in measured]


def _rounds(search: Search, measured: Measured, field: Sequence[int], first: int, rung: int) -> int:
    """Return how many rounds a rung has; with a budget that is known when its first round has been measured."""
    if search.budget is None:
        return min(MOST_ROUNDS, search.repeat << rung)
    if _left(search, measured, first, field).points:
        return 1
    seconds = sum(r.seconds for point in field for r in measured[point] if r.round == first)
    share = search.budget / rung_count(len(measured))
    return max(1, min(MOST_ROUNDS, int(share / max(seconds, 1e-9))))


def ranked(search: Search, measured: Measured, field: Sequence[int]) -> list[int]:
    """Return the points of a field that have a value, best first.

    A point's score is the median, over the rounds, of its value divided by the median of the field in that round:
    whatever slows a whole round down (heat, another machine) touches no rank.
    """
    values: dict[int, dict[int, float]] = {
        point: {r.round: r.value for r in measured[point] if r.status == "ok" and r.value is not None}
        for point in field
        if not given_up(measured[point])
    }
    middle = {
        number: median(found[number] for found in values.values() if number in found)
        for number in {number for found in values.values() for number in found}
    }
    scores = {
        point: median(value / middle[number] if middle[number] else value for number, value in found.items())
        for point, found in values.items()
        if found
    }
    sign = 1.0 if search.direction == "lower" else -1.0
    return sorted(scores, key=lambda point: (sign * scores[point], point))


def standing(search: Search, measured: Measured) -> list[int]:
    """Return every point that has a value, best first; of `halving` those that stayed longer come before."""
    if search.kind != "halving":
        return ranked(search, measured, range(len(measured)))
    placed: dict[int, None] = {}
    for rung in reversed(rungs(search, measured)):
        placed.update(dict.fromkeys(ranked(search, measured, rung.field)))
    return list(placed)


def repetitions_left(search: Search, measured: Measured) -> int | None:
    """Return how many repetitions are still to come where none fails; None where the budget decides."""
    under_way = sum(len(found.points) for found in open_rounds(search, measured))
    if search.kind != "halving":
        return under_way
    if search.budget is not None:
        return None
    so_far = rungs(search, measured)
    size, rung = len(so_far[-1].field), len(so_far)
    if not under_way:
        return 0
    while size > 2:
        size = math.ceil(size / 2)
        under_way += size * min(MOST_ROUNDS, search.repeat << rung)
        rung += 1
    return under_way


def seconds_left(search: Search, measured: Measured, machines: int = 1) -> float | None:
    """Return about how long it will take from here, or None while nothing has been measured.

    Args:
        search: how points are chosen.
        measured: the repetitions of each point so far.
        machines: how many measure at the same time.
    """
    taken = [r.seconds for repetitions in measured for r in repetitions]
    if not taken:
        return search.budget
    count = repetitions_left(search, measured)
    if count is None:
        return max(0.0, (search.budget or 0.0) - sum(taken)) / machines
    mean = sum(taken) / len(taken)
    if search.kind == "halving":
        return count * mean / machines
    # Points differ much (batch 1 and 64): what is known of a point counts for it.
    means = {p: sum(r.seconds for r in found) / len(found) for p, found in enumerate(measured) if found}
    left: Mapping[int, int] = _counts(open_rounds(search, measured))
    return sum(times * means.get(point, mean) for point, times in left.items()) / machines


def _counts(found: Sequence[Round]) -> dict[int, int]:
    counts: dict[int, int] = {}
    for entry in found:
        for point in entry.points:
            counts[point] = counts.get(point, 0) + 1
    return counts
