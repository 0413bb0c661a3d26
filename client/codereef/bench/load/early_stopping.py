# SPDX-License-Identifier: Apache-2.0
"""MLPerf's early stopping: how many queries are enough to say, with confidence, that a percentile is under a bound.

Each query is over the bound or not, and a system whose share of queries over the bound is 1 - p shows at most t of
them in n with the probability of the binomial distribution. When that probability is under 1 - c, seeing t of n
says with confidence c that the share is lower, and so that percentile p is under the bound (MLCommons,
inference_rules.adoc, appendix "Early Stopping Criterion"; LoadGen's early_stopping.cc and results.cc have
c = 0.99 and no tolerance). For the scenarios without a bound it gives an estimate that lies above the percentile
as measured: the t-th largest latency, where t is the most that n permits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Optional

CONFIDENCE = 0.99
# Terms of the distribution that lie further below its mean than this many standard deviations do not count.
_REACH = 40.0


def _first_term(n: int, over: float) -> int:
    mean = n * over
    return max(0, math.floor(mean - _REACH * math.sqrt(mean * (1 - over)) - 1))


def _log_term(k: int, n: int, over: float) -> float:
    ways = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    return ways + k * math.log(over) + (n - k) * math.log1p(-over)


def probability(t: int, n: int, percentile: float) -> float:
    """Probability that at most `t` of `n` queries lie over their own percentile (0 to 1, both excluded)."""
    if t >= n:
        return 1.0
    over = 1 - percentile
    return math.fsum(math.exp(_log_term(k, n, over)) for k in range(_first_term(n, over), t + 1))


def most_over(n: int, percentile: float, confidence: float = CONFIDENCE) -> Optional[int]:
    """The most of `n` queries that may be over a bound; None when `n` is too few even for none."""
    over = 1 - percentile
    total, k = 0.0, _first_term(n, over)
    while k < n:
        total += math.exp(_log_term(k, n, over))
        if total >= 1 - confidence:
            break
        k += 1
    return k - 1 if k else None


@lru_cache(maxsize=64)
def fewest_queries(t: int, percentile: float, confidence: float = CONFIDENCE) -> int:
    """The fewest queries of which `t` may be over a bound."""
    low = high = t + 1
    while probability(t, high, percentile) >= 1 - confidence:
        low, high = high + 1, high * 2
    while low < high:
        centre = (low + high) // 2
        if probability(t, centre, percentile) < 1 - confidence:
            high = centre
        else:
            low = centre + 1
    return low


def estimate(ordered: Sequence[float], percentile: float, confidence: float = CONFIDENCE) -> Optional[float]:
    """MLPerf's estimate of a percentile of sorted latencies; None with fewer than `fewest_queries(1)` of them."""
    t = most_over(len(ordered), percentile, confidence)
    return ordered[len(ordered) - t] if t else None
