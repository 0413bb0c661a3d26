# SPDX-License-Identifier: Apache-2.0
"""The arithmetic of a pre-processing as one number times the pixel plus another, for each channel.

`scale` and `normalize` are such maps, and so are any number of them one after another.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from codereef.bench.request import InputSpec

Step = Mapping[str, Any]
_ARITHMETIC = ("scale", "normalize")
_SPATIAL = ("decode", "crop", "resize", "letterbox", "layout", "cast", "quantize")


@dataclass(frozen=True)
class Affine:
    """value = pixel * factor + offset, by channel; pixels run from 0 to 255.

    Attributes:
        factors, offsets: one number a channel.
    """

    factors: tuple[float, ...]
    offsets: tuple[float, ...]

    @property
    def channels(self) -> int:
        """How many channels there are."""
        return len(self.factors)

    def near(self, other: Affine) -> bool:
        """Whether both give the same values but for rounding."""
        pairs = zip(self.factors + self.offsets, other.factors + other.offsets)
        return self.channels == other.channels and all(math.isclose(a, b, abs_tol=1e-6) for a, b in pairs)

    def mean_and_std(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """The same map as (pixel - mean) / std, in units of pixels."""
        std = tuple(1 / factor for factor in self.factors)
        return tuple(-offset * side for offset, side in zip(self.offsets, std)), std

    def range_text(self) -> str:
        """Lowest and highest value over all channels, for people."""
        ends = [o + f * x for f, o in zip(self.factors, self.offsets) for x in (0, 255)]
        return f"{min(ends):.3g}..{max(ends):.3g}"


def affine_of(steps: Sequence[Step]) -> Optional[Affine]:
    """The map from pixel to what is handed to the model, or to `quantize` where that is a step.

    Returns:
        None where a step is none of those known to be such a map or to keep values as they are, or the map forgets
        the pixel.
    """
    color = next((step["decode"]["color"] for step in steps if "decode" in step), "RGB")
    factors, offsets = [1.0] * (1 if color == "L" else 3), [0.0] * (1 if color == "L" else 3)
    for step in steps:
        name, values = next(iter(step.items()))
        if name == "scale":
            offset = values.get("offset", 0.0)
            factors = [factor * values["by"] for factor in factors]
            offsets = [old * values["by"] + offset for old in offsets]
        elif name == "normalize":
            mean, std = (_by_channel(values[key], len(factors)) for key in ("mean", "std"))
            if mean is None or std is None or 0 in std:
                return None
            factors = [factor / side for factor, side in zip(factors, std)]
            offsets = [(old - m) / side for old, m, side in zip(offsets, mean, std)]
        elif name not in _SPATIAL:
            return None
    return None if 0 in factors else Affine(tuple(factors), tuple(offsets))


def _by_channel(value: Any, channels: int) -> Optional[list[float]]:
    listed = value if isinstance(value, list) else [value]
    if len(listed) not in (1, channels):
        return None
    return [float(side) for side in listed * (channels // len(listed))]


def with_arithmetic(spec: InputSpec, new: Sequence[Step]) -> tuple[Step, ...]:
    """The steps of an input with `new` in place of all its arithmetic, so that the tensor keeps its type.

    Args:
        spec: the input as declared.
        new: steps that end in float32, or in the input's own type.
    """
    steps = [step for step in spec.steps if next(iter(step)) not in _ARITHMETIC]
    before = [next(iter(step)) for step in spec.steps]
    first = next((i for i, name in enumerate(before) if name in _ARITHMETIC), None)
    if first is None:
        first = next((i for i, name in enumerate(before) if name in ("quantize", "layout")), len(before))
    ends = next(iter(new[-1].items()))
    typed = "quantize" in before or (ends[0] == "cast" and ends[1]["dtype"] == spec.dtype) or spec.dtype == "float32"
    cast: tuple[Step, ...] = () if typed or "cast" in before[first:] else ({"cast": {"dtype": spec.dtype}},)
    return (*steps[:first], *new, *cast, *steps[first:])
