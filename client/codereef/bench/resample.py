# SPDX-License-Identifier: Apache-2.0
"""Resizing of images: our own point sampling, and Pillow's filters that widen when shrinking.

The methods `nearest`, `bilinear` and `bicubic` sample at half-pixel centres without a low-pass filter: output
pixel i is read at (i + 0.5) * n_in / n_out - 0.5, neighbours outside the image repeat its border. Bicubic is
the convolution of Keys 1981 (doi:10.1109/TASSP.1981.1163711) with a = -0.5. Arithmetic is in float64; integer
images are rounded half to even and saturated. The `-antialias` methods are Pillow's own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
POINT_METHODS = ("nearest", "bilinear", "bicubic")
PILLOW_METHODS = ("bilinear-antialias", "bicubic-antialias")


def _cubic(distance: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    a = -0.5
    x = np.abs(distance)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))


def _taps(size: int, to: int, method: str) -> list[tuple[npt.NDArray[np.intp], npt.NDArray[np.float64]]]:
    """Source index and weight of each output position along one axis, one pair a tap."""
    centre = (np.arange(to) + 0.5) * (size / to) - 0.5
    if method == "nearest":
        # Written with integers, for 0.5 * n_in / n_out need not be exact in binary.
        index = ((2 * np.arange(to) + 1) * size) // (2 * to)
        return [(index.astype(np.intp), np.ones(to))]
    low = np.floor(centre).astype(np.intp)
    reach = range(2) if method == "bilinear" else range(-1, 3)
    taps = []
    for step in reach:
        distance = centre - (low + step)
        weight = 1 - np.abs(distance) if method == "bilinear" else _cubic(distance)
        taps.append((np.clip(low + step, 0, size - 1), weight))
    return taps


def _along(image: npt.NDArray[np.float64], axis: int, to: int, method: str) -> npt.NDArray[np.float64]:
    shape = [1, 1, 1]
    shape[axis] = to
    total = np.zeros(image.shape[:axis] + (to,) + image.shape[axis + 1 :])
    for index, weight in _taps(image.shape[axis], to, method):
        total += np.take(image, index, axis=axis) * weight.reshape(shape)
    return total


def _point(image: Array, height: int, width: int, method: str) -> Array:
    if method == "nearest":
        rows = _taps(image.shape[0], height, method)[0][0]
        columns = _taps(image.shape[1], width, method)[0][0]
        return np.ascontiguousarray(image[rows][:, columns])
    result = _along(_along(image.astype(np.float64), 0, height, method), 1, width, method)
    if np.issubdtype(image.dtype, np.integer):
        limits = np.iinfo(image.dtype)
        # Rational weights give exact ties often; rounding first lets every machine see them as ties.
        result = np.clip(np.rint(np.round(result, 6)), limits.min, limits.max)
    return result.astype(image.dtype)


def _pillow(image: Array, height: int, width: int, method: str) -> Array:
    from PIL import Image

    filters = {"bilinear-antialias": Image.Resampling.BILINEAR, "bicubic-antialias": Image.Resampling.BICUBIC}
    size, chosen = (width, height), filters[method]
    if image.dtype == np.uint8 and image.shape[2] == 3:
        return np.asarray(Image.fromarray(image).resize(size, chosen))
    if image.dtype not in (np.uint8, np.float32):
        raise ValueError(f"{method} works on uint8 and float32 images, not on {image.dtype}")
    planes = [
        np.asarray(Image.fromarray(np.ascontiguousarray(image[:, :, channel])).resize(size, chosen))
        for channel in range(image.shape[2])
    ]
    return np.stack(planes, axis=2)


def resize(image: Array, height: int, width: int, method: str) -> Array:
    """Resize an image.

    Args:
        image: [H, W, C], of any real type for the point methods, uint8 or float32 for Pillow's.
        height, width: size of the result in pixels.
        method: one of `POINT_METHODS` and `PILLOW_METHODS`.

    Returns:
        [height, width, C] of the same type.

    Raises:
        ValueError: the method is unknown or cannot take this type.
    """
    if method in POINT_METHODS:
        return _point(image, height, width, method)
    if method in PILLOW_METHODS:
        return _pillow(image, height, width, method)
    known = ", ".join(POINT_METHODS + PILLOW_METHODS)
    raise ValueError(f"unknown resize method {method}; known: {known}")
