# SPDX-License-Identifier: Apache-2.0
"""Student's t and Fisher's F distribution in the standard library alone.

Both follow from the regularised incomplete beta function (NIST Digital Library of Mathematical Functions,
8.17): its continued fraction 8.17.22 is evaluated by the method of Lentz as modified by Thompson & Barnett
(1986, doi:10.1016/0021-9991(86)90046-X).
"""

from __future__ import annotations

import math

_TINY = 1e-300
_STEPS = 1000


def beta_share(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function I_x(a, b); a, b > 0 and 0 <= x <= 1."""
    if x <= 0 or x >= 1:
        return 0.0 if x <= 0 else 1.0
    if x > (a + 1) / (a + b + 2):
        return 1 - beta_share(1 - x, b, a)
    front = math.exp(
        a * math.log(x) + b * math.log1p(-x) + math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) - math.log(a)
    )
    d = 1 / _kept(1 - (a + b) * x / (a + 1))
    c, total = 1.0, d
    for m in range(1, _STEPS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d = 1 / _kept(1 + term * d)
            c = _kept(1 + term / c)
            total *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return min(1.0, front * total)


def _kept(value: float) -> float:
    """The value, or a tiny one in the place of zero, by which nothing can be divided."""
    return value if abs(value) > _TINY else _TINY


def t_two_sided(t: float, freedom: float) -> float:
    """Probability that Student's t with `freedom` > 0 degrees of freedom lies at least |t| from 0."""
    if math.isinf(t):
        return 0.0
    return beta_share(freedom / (freedom + t * t), freedom / 2, 0.5)


def t_quantile(confidence: float, freedom: float) -> float:
    """How far from 0 Student's t stays with probability `confidence`, 0 <= confidence < 1."""
    low, high = 0.0, 1.0
    while t_two_sided(high, freedom) > 1 - confidence:
        high *= 2
    while (middle := (low + high) / 2) not in (low, high):
        low, high = (middle, high) if t_two_sided(middle, freedom) > 1 - confidence else (low, middle)
    return high


def f_tail(f: float, between: float, within: float) -> float:
    """Probability that Fisher's F with these degrees of freedom is at least f >= 0."""
    if math.isinf(f):
        return 0.0
    return beta_share(within / (within + between * f), within / 2, between / 2)
