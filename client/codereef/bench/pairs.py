# SPDX-License-Identifier: Apache-2.0
"""Two results whose processes took turns: each process of one has its partner in the other, measured meanwhile.

What the machine did meets both partners, so it is gone from the ratio of their medians. What is left is chance, their
layouts, and who of the two was loaded first: that one was 1 to 2 % slower where this was recorded. So the order changes
from pair to pair, and the logarithms of the ratios are judged as those of a cross-over trial: the mean of both
orders, by Student's t with the variance within them (Hills & Armitage 1979,
doi:10.1111/j.1365-2125.1979.tb05903.x).

Where nothing parts the two results, partners can be exchanged and what is left lies symmetrically about 0: for
symmetric distributions with heavy tails Student's t is wrong less often than it says (Efron 1969,
doi:10.1080/01621459.1969.10501056), with light ones somewhat more often; docs/design/0024 has the figures.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean
from typing import Optional

from codereef.bench.distributions import t_quantile, t_two_sided

#: Fewest pairs of which a verdict is given.
FEWEST = 5


@dataclass(frozen=True)
class Pairs:
    """What pairs of processes say of b against a.

    Attributes:
        count: number of pairs.
        ratio: geometric mean of the ratios b / a, both orders alike.
        p_value: two-sided, of Student's t on the logarithms of the ratios; None with fewer than three pairs.
        error: standard error of the mean logarithm; None as above.
    """

    count: int
    ratio: float
    p_value: Optional[float]
    error: Optional[float]

    @property
    def freedom(self) -> int:
        """Degrees of freedom of `error`."""
        return self.count - 2

    def interval(self, confidence: float) -> Optional[tuple[float, float]]:
        """Student's t interval of the ratio; None with fewer than three pairs."""
        if self.error is None:
            return None
        reach = t_quantile(confidence, self.freedom) * self.error
        return self.ratio * math.exp(-reach), self.ratio * math.exp(reach)

    def detectable(self, alpha: float, floor: float, power: float = 0.95) -> Optional[float]:
        """Relative difference that is found with probability `power`; None with fewer than three pairs.

        It is the larger of what exceeds the floor and of what the test finds, whose noncentral t is taken as normal
        (Abramowitz & Stegun 1964, 26.7.10).

        Args:
            alpha: p-value under which a difference is one.
            floor: least relative difference that is called one.
            power: probability, 0 to 1.
        """
        if self.error is None:
            return None
        freedom, z = self.freedom, NormalDist().inv_cdf(power)
        least = t_quantile(1 - alpha, freedom)
        tested = least * (1 - 1 / (4 * freedom)) + z * math.sqrt(1 + least**2 / (2 * freedom))
        return math.exp(max(math.log1p(floor) + z * self.error, tested * self.error)) - 1


def pair_up(a: Sequence[float], b: Sequence[float]) -> Pairs:
    """Compare positive numbers pair by pair: the first of `a` with the first of `b`, and so on; at least one pair.

    Args:
        a, b: medians of processes in the order they ran, where who was first changed from pair to pair; what has no
            partner is left out.
    """
    logs = [math.log(y / x) for x, y in zip(a, b)]
    count = len(logs)
    orders = [each for each in (logs[::2], logs[1::2]) if each]
    means = [fmean(each) for each in orders]
    mean = fmean(means)
    if count < 3:
        return Pairs(count, math.exp(mean), None, None)
    within = sum((value - centre) ** 2 for each, centre in zip(orders, means) for value in each) / (count - 2)
    error = math.sqrt(within * sum(1 / len(each) for each in orders)) / 2
    t = mean / error if error else math.copysign(math.inf, mean) if mean else 0.0
    return Pairs(count, math.exp(mean), t_two_sided(t, count - 2), error)
