# SPDX-License-Identifier: Apache-2.0
"""Do two results differ in their latencies, by how much, and with what certainty.

What is tested are the medians of processes, for samples of one process are not independent of each other:
thousands of them say nothing of what the next process will be like. The verdict is `faster` or `slower` when
the test gives p < 0.01 (or less, see below) and the ratio of the medians is off 1 by at least the noise floor. Which
test, and what floor, depends on how the two were measured:

- Processes of the two took turns: each has a partner that was measured meanwhile, and the ratios of the pairs are
  tested (`pairs`) at p < 0.008. The floor is 1 %.
- The two followed each other: Mann-Whitney U, two-sided, of the medians of the processes. The floor is 1 %, or what
  is known from elsewhere, or how far the processes of either lie apart, the largest of these: processes
  that follow each other share the state of the machine, which the next result finds changed.
- One of the two has a single process: there is nothing but samples. These are tested by Mann-Whitney U at
  p < 0.002, and what processes differ by is only known as far as the floor that is handed in knows it.

Else it is `no measurable difference`. Where even processes without any overlap could not reach that p (4 against
4), it is `too few repetitions to say`. docs/design/0024 has what was weighed, bench/compare_aa.py the figures.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean, median, variance
from typing import Optional

from codereef.bench.distributions import t_quantile
from codereef.bench.pairs import FEWEST, pair_up
from codereef.bench.ranks import mann_whitney, superiority
from codereef.bench.statistics import bootstrap, middle

#: p-values under which a difference is called one: of the medians of processes, of pairs of them, and of samples.
#: Student's t is wrong somewhat more often than it says where tails are light; 0.008 leaves room for that.
ALPHA, PAIRS_ALPHA, SAMPLES_ALPHA = 0.01, 0.008, 0.002
NOISE_FLOOR = 0.01
#: How many processes a result should have, so that many of them can be compared (docs/design/0024).
PROCESSES = 7
FASTER, SLOWER, ALIKE = "faster", "slower", "no measurable difference"
TOO_FEW = "too few repetitions to say"
_POWER = 0.95


@dataclass(frozen=True)
class Comparison:
    """How b stands to a.

    Attributes:
        verdict: `faster`, `slower`, `no measurable difference` or `too few repetitions to say`; b against a.
        ratio: median of b / median of a, over all samples, or the mean ratio of pairs of processes that took
            turns; None when there are too few samples.
        interval: confidence interval of the ratio; None as above, and where none was asked for.
        confidence: level of the interval that was asked for.
        p_value: of the test, two-sided; None when there are no samples.
        superiority: probability that a sample of b is larger than one of a; None as above.
        samples: sizes of a and b.
        processes: how many processes they are from.
        floor: least relative difference that is called one here.
        detectable: relative difference that would be called one in 95 % of cases; None where only one process
            is known, for then nobody can tell.
        method: how it was computed.
        paired: whether processes that took turns were compared in pairs.
    """

    verdict: str
    ratio: Optional[float]
    interval: Optional[tuple[float, float]]
    confidence: Optional[float]
    p_value: Optional[float]
    superiority: Optional[float]
    samples: tuple[int, int]
    processes: tuple[int, int]
    floor: float
    detectable: Optional[float]
    method: str
    paired: bool = False

    def verdict_at(self, p_value: float) -> str:
        """The verdict with another p-value, such as one that is corrected for many comparisons.

        `too few repetitions to say` where the difference is large enough to be called one, the p-value is not,
        and no smaller one could have come from so few processes.
        """
        if self.ratio is None or self.p_value is None:
            return self.verdict
        alpha = PAIRS_ALPHA if self.paired else SAMPLES_ALPHA if min(self.processes) == 1 else ALPHA
        if abs(self.ratio - 1) < self.floor:
            return ALIKE
        if p_value < alpha:
            return FASTER if self.ratio < 1 else SLOWER
        if self.paired:
            return ALIKE
        n, m = self.samples if min(self.processes) == 1 else self.processes
        return TOO_FEW if self.p_value <= least_p(n, m) * (1 + 1e-9) else ALIKE


def least_p(n: int, m: int) -> float:
    """The smallest two-sided p-value that a Mann-Whitney test of n and m values can give."""
    return 2 / math.comb(n + m, n)


def ratio_interval(
    a: Sequence[Sequence[float]], b: Sequence[Sequence[float]], confidence: float, seed: int
) -> tuple[float, float]:
    """Interval of median of b / median of a, the two resampled independently.

    It is the smallest that holds the block bootstrap interval over all samples and, where both have
    several processes, Welch's t interval of the difference of the logarithms of the processes' medians (Welch
    1947, doi:10.1093/biomet/34.1-2.28): the bootstrap does not know what lies between processes.

    Args:
        a, b: positive samples, one series a process.
        confidence: level of the interval, 0 to 1.
        seed: of the bootstrap.
    """
    one, two = ([value for values in series for value in values] for series in (a, b))
    (first,), _ = bootstrap(one, (0.5,), seed)
    (second,), _ = bootstrap(two, (0.5,), seed + 1)
    bounds = [median(two) / median(one), *middle([y / x for x, y in zip(first, second)], confidence)]
    if min(len(a), len(b)) > 1:
        logs = [[math.log(median(values)) for values in series] for series in (a, b)]
        parts = [variance(values) / len(values) for values in logs]
        if sum(parts) > 0:
            # Welch & Satterthwaite's degrees of freedom.
            freedom = sum(parts) ** 2 / sum(part**2 / (len(values) - 1) for part, values in zip(parts, logs))
            reach = t_quantile(confidence, freedom) * math.sqrt(sum(parts))
            centre = fmean(logs[1]) - fmean(logs[0])
            bounds += [math.exp(centre - reach), math.exp(centre + reach)]
    return min(bounds), max(bounds)


def spread(medians: Sequence[float]) -> float:
    """How far medians of processes lie apart: largest / smallest - 1; 0 for one, and where that is no number."""
    return max(medians) / min(medians) - 1 if min(medians) > 0 else 0.0


def compare(
    a: Sequence[Sequence[float]],
    b: Sequence[Sequence[float]],
    *,
    seed: int = 0,
    confidence: Optional[float] = 0.95,
    noise_floor: float = NOISE_FLOOR,
    interleaved: bool = False,
) -> Comparison:
    """Compare positive numbers of which lower is better, such as latencies; b is judged against a.

    Args:
        a, b: raw samples in one unit, in the order taken, one series a process; empty ones are left out.
        seed: of the bootstrap; take it from the two results' identities to make the answer repeatable.
        confidence: level of the ratio's interval; None leaves it out, and with it most of the work.
        noise_floor: least relative difference of the medians that is called one; 1 % is the least allowed.
        interleaved: whether the processes of a and b took turns, the first with the first, and so on.
    """
    a, b = ([values for values in series if len(values)] for series in (a, b))
    if interleaved and min(len(a), len(b)) > 1:
        return _compare_pairs(a, b, confidence)
    one, two = ([value for values in series for value in values] for series in (a, b))
    sizes, processes = (len(one), len(two)), (len(a), len(b))
    by_process = min(processes) > 1
    alpha = ALPHA if by_process else SAMPLES_ALPHA
    medians = [[float(median(values)) for values in series] for series in (a, b)]
    floor = max([NOISE_FLOOR, noise_floor, *(spread(values) for values in medians if values)])
    method = (
        f"Mann-Whitney U two-sided of {'medians of processes' if by_process else 'samples'} p < {alpha:g} and "
        f"|ratio of medians - 1| >= {floor:.3g}; ratio: circular block bootstrap"
        + (" or Welch's t over processes, the wider" if by_process else "")
    )
    if not one or not two:
        return Comparison(TOO_FEW, None, None, confidence, None, None, sizes, processes, floor, None, method)
    tested = medians if by_process else [one, two]
    p_value, larger = mann_whitney(*tested)[1], superiority(one, two)
    if not by_process and least_p(*sizes) >= alpha:
        return Comparison(TOO_FEW, None, None, confidence, p_value, larger, sizes, processes, floor, None, method)
    ratio = median(two) / median(one)
    interval = None if confidence is None else ratio_interval(a, b, confidence, seed)
    verdict = ALIKE
    if least_p(len(tested[0]), len(tested[1])) >= alpha:
        verdict = TOO_FEW
    elif p_value < alpha and abs(ratio - 1) >= floor:
        verdict = FASTER if ratio < 1 else SLOWER
    detectable = _detectable(medians, floor) if by_process else None
    return Comparison(
        verdict, ratio, interval, confidence, p_value, larger, sizes, processes, floor, detectable, method
    )  # fmt: skip


def _compare_pairs(
    a: Sequence[Sequence[float]], b: Sequence[Sequence[float]], confidence: Optional[float]
) -> Comparison:
    """Compare two results whose processes took turns; see `compare`."""
    one, two = ([value for values in series for value in values] for series in (a, b))
    pairs = pair_up(*([float(median(values)) for values in series] for series in (a, b)))
    verdict = TOO_FEW
    if pairs.count >= FEWEST and pairs.p_value is not None:
        found = pairs.p_value < PAIRS_ALPHA and abs(pairs.ratio - 1) >= NOISE_FLOOR
        verdict = ALIKE if not found else FASTER if pairs.ratio < 1 else SLOWER
    return Comparison(
        verdict,
        pairs.ratio,
        None if confidence is None else pairs.interval(confidence),
        confidence,
        pairs.p_value,
        superiority(one, two),
        (len(one), len(two)),
        (len(a), len(b)),
        NOISE_FLOOR,
        pairs.detectable(PAIRS_ALPHA, NOISE_FLOOR),
        f"Student's t two-sided on the logarithms of the ratios of {pairs.count} pairs of processes that took turns "
        f"p < {PAIRS_ALPHA:g} and |ratio - 1| >= {NOISE_FLOOR:g}; ratio: their geometric mean over both orders, its interval by the same t",
        paired=True,
    )


def _detectable(medians: Sequence[Sequence[float]], floor: float) -> float:
    """The difference that exceeds the floor in 95 % of cases, by the standard error of the medians of processes."""
    error = math.sqrt(sum(variance([math.log(v) for v in values]) / len(values) for values in medians))
    return (1 + floor) * math.exp(NormalDist().inv_cdf(_POWER) * error) - 1
