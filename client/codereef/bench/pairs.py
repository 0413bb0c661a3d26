# SPDX-License-Identifier: Apache-2.0
"""Two results whose processes took turns: each process of one has its partner in the other, measured meanwhile.

What the machine did meets both partners, so it is gone from the ratio of their medians; what is left is their layouts
and chance. The ratios of the pairs are tested by Student's t on their logarithms. Where nothing parts the two
results, partners can be exchanged and the logarithms lie symmetrically about 0: for symmetric distributions with
heavy tails the test is wrong less often than it says (Efron 1969, doi:10.1080/01621459.1969.10501056), with light
ones somewhat more often: of seven pairs, in up to 1.15 % of cases at p < 0.01 and 0.93 % at p < 0.008.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean, variance
from typing import Optional

from codereef.bench.distributions import t_quantile, t_two_sided

#: Fewest pairs of which a verdict is given.
FEWEST = 5


@dataclass(frozen=True)
class Pairs:
    """What pairs of processes say of b against a.

    Attributes:
        count: number of pairs.
        ratio: geometric mean of the ratios b / a.
        p_value: two-sided, of Student's t on the logarithms of the ratios; None with a single pair.
        error: standard error of the mean logarithm; None with a single pair.
    """

    count: int
    ratio: float
    p_value: Optional[float]
    error: Optional[float]

    def interval(self, confidence: float) -> Optional[tuple[float, float]]:
        """Student's t interval of the ratio; None with a single pair."""
        if self.error is None:
            return None
        reach = t_quantile(confidence, self.count - 1) * self.error
        return self.ratio * math.exp(-reach), self.ratio * math.exp(reach)

    def detectable(self, alpha: float, floor: float, power: float = 0.95) -> Optional[float]:
        """Relative difference that is found with probability `power`; None with a single pair.

        It is the larger of what exceeds the floor and of what the test finds, whose noncentral t is taken as normal
        (Abramowitz & Stegun 1964, 26.7.10).

        Args:
            alpha: p-value under which a difference is one.
            floor: least relative difference that is called one.
            power: probability, 0 to 1.
        """
        if self.error is None:
            return None
        freedom, z = self.count - 1, NormalDist().inv_cdf(power)
        least = t_quantile(1 - alpha, freedom)
        tested = least * (1 - 1 / (4 * freedom)) + z * math.sqrt(1 + least**2 / (2 * freedom))
        return math.exp(max(math.log1p(floor) + z * self.error, tested * self.error)) - 1


def pair_up(a: Sequence[float], b: Sequence[float]) -> Pairs:
    """Compare positive numbers pair by pair: the first of `a` with the first of `b`, and so on; at least one pair.

    Args:
        a, b: medians of processes in the order they ran; what has no partner is left out.
    """
    logs = [math.log(y / x) for x, y in zip(a, b)]
    count, mean = len(logs), fmean(logs)
    if count == 1:
        return Pairs(count, math.exp(mean), None, None)
    error = math.sqrt(variance(logs) / count)
    t = mean / error if error else math.copysign(math.inf, mean) if mean else 0.0
    return Pairs(count, math.exp(mean), t_two_sided(t, count - 1), error)
