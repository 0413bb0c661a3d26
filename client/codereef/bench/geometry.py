# SPDX-License-Identifier: Apache-2.0
"""Where a pixel of the model's input lies in the original image.

Every resize, crop and letterbox is an affine map along each axis. `Geometry` keeps the composition, in
continuous coordinates (pixel i covers i to i + 1), so that boxes go back to pixels of the original image.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Geometry:
    """The map original = input * scale + offset of each axis, all in pixels.

    Attributes:
        width, height: size of the image at this point of the pre-processing.
        scale_x, offset_x, scale_y, offset_y: the map back to the original image.
        original: width and height of the original image; zeros where there is none.
    """

    width: int
    height: int
    scale_x: float = 1.0
    offset_x: float = 0.0
    scale_y: float = 1.0
    offset_y: float = 0.0
    original: tuple[int, int] = (0, 0)

    def resized(self, width: int, height: int) -> Geometry:
        """After a resize to `width` by `height`."""
        return replace(
            self,
            width=width,
            height=height,
            scale_x=self.scale_x * self.width / width,
            scale_y=self.scale_y * self.height / height,
        )

    def moved(self, left: int, top: int, width: int, height: int) -> Geometry:
        """After taking the window that starts at (left, top); negative values are a border added."""
        return replace(
            self,
            width=width,
            height=height,
            offset_x=self.offset_x + left * self.scale_x,
            offset_y=self.offset_y + top * self.scale_y,
        )

    def to_original(self, boxes: Floats) -> Floats:
        """Boxes [N, 4] as x1, y1, x2, y2 in input pixels, to the same in original pixels."""
        scale = np.array([self.scale_x, self.scale_y] * 2, dtype=np.float64)
        offset = np.array([self.offset_x, self.offset_y] * 2, dtype=np.float64)
        return boxes.astype(np.float64) * scale + offset
