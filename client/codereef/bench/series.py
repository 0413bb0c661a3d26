# SPDX-License-Identifier: Apache-2.0
"""What a series of raw samples shows besides its statistics: a warm-up, drift, several modes, outliers, throttling.

Nothing here drops a sample. Each finding is data; `codereef.bench.signs` says what a reader must know of it. Every
test is held at about one false alarm in a hundred or fewer for 300 samples and more, also where each sample
resembles the one before (correlation up to 0.8); tests/bench/test_series.py simulates that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, median
from typing import Optional

from codereef.bench.dip import Modes, find_modes
from codereef.bench.ranks import forgetting, mann_whitney, memory, trend

_BATCH = 5
_FEWEST = 20
_PARTS = 20
WARM_UP_P, WARM_UP_LEAST = 0.0005, 0.02
DRIFT_P, DRIFT_LIMIT = 0.01, 0.05
OUTLIER_REACH = 5.0
_NORMAL_MAD, _NORMAL_MEAN = 1.4826, 1.2533
THROTTLE_LATENCY, THROTTLE_CLOCK, THROTTLE_CELSIUS = 0.02, 0.05, 5.0


@dataclass(frozen=True)
class WarmUp:
    """A slow beginning.

    Attributes:
        end: index of the first sample after it; 0 when there is none.
        excess: median of the samples before / median of those after - 1.
        settled: False when the series was still settling at its middle, so that no end can be told.
    """

    end: int
    excess: float
    settled: bool


@dataclass(frozen=True)
class Drift:
    """A change in the course of a series.

    Attributes:
        change: median of the second half / median of the first - 1.
        p_value: of the Mann-Kendall test on the medians of up to 20 parts.
        steady: False when the change is no chance and over 5 %.
    """

    change: float
    p_value: float
    steady: bool


@dataclass(frozen=True)
class Outliers:
    """Samples far from the others, none of which is dropped.

    Attributes:
        count: how many.
        share: part of all samples.
        low, high: values outside of which a sample is one: 5 scaled median absolute deviations from the median.
    """

    count: int
    share: float
    low: float
    high: float


@dataclass(frozen=True)
class Throttling:
    """Latency that rose while the machine slowed down or heated up.

    Attributes:
        slower: relative rise of the latency.
        clock: relative change of the clock frequency; None when it was not readable.
        warmer: change of the temperature in degrees Celsius; None when it was not readable.
        certain: True when the clock fell; False when only the temperature rose.
    """

    slower: float
    clock: Optional[float]
    warmer: Optional[float]
    certain: bool


def warm_up(values: Sequence[float]) -> WarmUp:
    """Where a slow beginning ends.

    The cut is that of MSER-5 (White 1997, doi:10.1177/003754979706900601; White, Cobb & Spratt 2000): of the
    batches of five, as many are cut off as make the standard error of what is left least, at most half. Here a
    batch counts with its median, so that a single spike is no transient. A cut is kept only when what is before
    it is slower by 2 % and more than chance (Mann-Whitney); the rule alone cuts something off any noise.

    Args:
        values: raw samples in the order taken.
    """
    batches = [median(values[i : i + _BATCH]) for i in range(0, len(values) - _BATCH + 1, _BATCH)]
    n = len(batches)
    if n * _BATCH < _FEWEST:
        return WarmUp(0, 0.0, True)
    least, cut = math.inf, 0
    total = squares = 0.0
    centre = fmean(batches)
    # From the end, so that each step adds one batch; an equal value further to the front cuts less.
    for start in range(n - 1, -1, -1):
        total += batches[start] - centre
        squares += (batches[start] - centre) ** 2
        left = n - start
        if start <= n // 2:
            error = max(0.0, squares - total * total / left) / left**2
            if error <= least:
                least, cut = error, start
    if cut == 0:
        return WarmUp(0, 0.0, True)
    head, rest = values[: cut * _BATCH], values[cut * _BATCH :]
    after = median(rest)
    excess = median(head) / after - 1 if after > 0 else 0.0
    p = forgetting(mann_whitney(head, rest)[1], memory(_clipped(rest)))
    if excess < WARM_UP_LEAST or p >= WARM_UP_P:
        return WarmUp(0, 0.0, True)
    return WarmUp(cut * _BATCH, excess, cut < n // 2)


def _clipped(values: Sequence[float]) -> list[float]:
    """Values without their outermost twentieths, which are set to where these begin: for what spikes would hide."""
    ordered = sorted(values)
    low, high = ordered[len(ordered) // 20], ordered[-1 - len(ordered) // 20]
    return [min(max(value, low), high) for value in values]


def set_apart(values: Sequence[float]) -> tuple[Sequence[float], Sequence[float]]:
    """Split a series into its warm-up and the rest; the warm-up is empty when there is none or it never ends."""
    found = warm_up(values)
    end = found.end if found.settled else 0
    return values[:end], values[end:]


def drift(values: Sequence[float]) -> Optional[Drift]:
    """Whether a series changes from its beginning to its end; None of under 20 samples.

    The test is Mann-Kendall on the medians of up to 20 parts of equal length, corrected for what each part
    remembers of the one before beyond the change itself, be that a straight line or a step in the middle.
    """
    n = len(values)
    if n < _FEWEST:
        return None
    half = n // 2
    first = median(values[:half])
    change = median(values[half:]) / first - 1 if first > 0 else 0.0
    parts = min(_PARTS, n // 2)
    medians = [median(values[i * n // parts : (i + 1) * n // parts]) for i in range(parts)]
    p = forgetting(trend(medians), min(memory(_without_trend(medians)), memory(_without_step(medians))))
    return Drift(change, p, not (p < DRIFT_P and abs(change) > DRIFT_LIMIT))


def _without_trend(values: Sequence[float]) -> list[float]:
    """What is left of values when their straight line is taken away."""
    n = len(values)
    centre, middle = fmean(values), (n - 1) / 2
    slope = math.fsum((i - middle) * (value - centre) for i, value in enumerate(values)) / math.fsum(
        (i - middle) ** 2 for i in range(n)
    )
    return [value - centre - slope * (i - middle) for i, value in enumerate(values)]


def _without_step(values: Sequence[float]) -> list[float]:
    """What is left of values when each half is held against its own mean."""
    half = len(values) // 2
    parts = values[:half], values[half:]
    return [value - centre for part, centre in zip(parts, map(fmean, parts)) for value in part]


def outliers(values: Sequence[float]) -> Outliers:
    """Samples over 5 scaled median absolute deviations from the median (Iglewicz & Hoaglin 1993); at least one sample.

    Where over half the samples are equal that deviation is 0, and the scaled mean absolute deviation stands for it.
    """
    centre = median(values)
    distances = [abs(value - centre) for value in values]
    scale = median(distances) * _NORMAL_MAD or fmean(distances) * _NORMAL_MEAN
    reach = OUTLIER_REACH * scale
    count = sum(distance > reach for distance in distances)
    return Outliers(count, count / len(values), centre - reach, centre + reach)


def throttling(
    values: Sequence[float], frequencies: Sequence[float] = (), celsius: Sequence[float] = ()
) -> Optional[Throttling]:
    """Whether latency rose together with a fall of the clock or a rise of the temperature; None when not.

    The rise must be more than chance (Mann-Kendall, as for drift) and over 2 %; the clock must fall by over 5 %
    or the temperature rise by over 5 degrees from the first to the last reading.

    Args:
        values: latencies in the order taken.
        frequencies: readings of the clock in the course of the series, in any unit; at least the first and last.
        celsius: readings of the temperature, in the same way.
    """
    found = drift(values)
    if found is None or found.p_value >= DRIFT_P or found.change <= THROTTLE_LATENCY:
        return None
    clock = frequencies[-1] / frequencies[0] - 1 if len(frequencies) > 1 and frequencies[0] > 0 else None
    warmer = celsius[-1] - celsius[0] if len(celsius) > 1 else None
    fell = clock is not None and clock < -THROTTLE_CLOCK
    # A clock that was seen to stay as it was speaks against throttling, however warm it became.
    heated = clock is None and warmer is not None and warmer > THROTTLE_CELSIUS
    return Throttling(found.change, clock, warmer, fell) if fell or heated else None


@dataclass(frozen=True)
class Signs:
    """What a series shows.

    Attributes:
        samples: how many it has.
        memory: correlation of each sample with the next, 0 to 0.99, with spikes cut to the outermost twentieths.
        warm_up: a slow beginning.
        drift: a change over its course; None when it is too short.
        modes: two groups; None when one mode explains it.
        outliers: samples far from the others.
        throttling: a rise with falling clock or rising temperature; None when not seen.
    """

    samples: int
    memory: float
    warm_up: WarmUp
    drift: Optional[Drift]
    modes: Optional[Modes]
    outliers: Outliers
    throttling: Optional[Throttling]

    def as_dict(self) -> dict[str, object]:
        """They as JSON data."""
        return asdict(self)


def signs(values: Sequence[float], frequencies: Sequence[float] = (), celsius: Sequence[float] = ()) -> Signs:
    """Look for every sign in a series.

    Args:
        values: raw samples in seconds, in the order taken; at least one.
        frequencies, celsius: readings in its course, see `throttling`.
    """
    return Signs(
        len(values),
        memory(_clipped(values)),
        warm_up(values),
        drift(values),
        find_modes(values),
        outliers(values),
        throttling(values, frequencies, celsius),
    )
