# SPDX-License-Identifier: Apache-2.0
"""Items drawn again with replacement, which says how far a value might be off for other items of the same sort.

It is the percentile bootstrap over items (Efron and Tibshirani, 1993, ch. 13).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Optional

from codereef.bench.statistics import middle

DRAWS = 200
FEWEST = 10  # below it, drawing items again says nothing


def drawn_again(count: int, seed: int) -> list[Any]:
    """The positions of the items in each draw, as arrays; no draws of under ten items.

    The same seed and number of items give the same draws, so that values of two pipelines are paired.
    """
    import numpy as np

    generator = np.random.default_rng(seed)
    return [generator.integers(0, count, count) for _ in range(DRAWS)] if count >= FEWEST else []


def interval_over(values: Sequence[Optional[float]], confidence: float) -> Optional[tuple[float, float]]:
    """Interval of a value from its values in all draws; None without draws, or where one of them has no value."""
    known = [value for value in values if value is not None]
    return middle(known, confidence) if known and len(known) == len(values) else None
