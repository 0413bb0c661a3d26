# SPDX-License-Identifier: Apache-2.0
"""Resizing of images: our own point sampling, and Pillow's filters that widen when shrinking.

The methods `nearest`, `bilinear` and `bicubic` sample at half-pixel centres without a low-pass filter: output
pixel i is read at (i + 0.5) * n_in / n_out - 0.5, neighbours outside the image repeat its border. Bicubic is
the convolution of Keys 1981 (doi:10.1109/TASSP.1981.1163711) with a = -0.5. Arithmetic is in float64; integer
images are rounded half to even and saturated. `area` is the mean over the area that an output pixel covers,
pixels covered in part counted in part, in float32 along rows first; where a side grows it takes two neighbours an
axis: what OpenCV 4 calls INTER_AREA, but for shrinking both sides by whole numbers, where it rounds otherwise. The `-antialias` methods are Pillow's own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
POINT_METHODS = ("nearest", "bilinear", "bicubic", "area")
_SLIVER = 1e-3
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


def _covering(size: int, to: int) -> list[tuple[npt.NDArray[np.intp], npt.NDArray[np.float32]]]:
    """Source index and share of the area of each output position along one axis, one pair a tap, padded with zeros."""
    scale = size / to
    rows: list[list[tuple[int, float]]] = []
    for place in range(to):
        low, high = place * scale, min((place + 1) * scale, float(size))
        # What is under a thousandth of a pixel is an error of the division, and no part of the area.
        inner = range(int(np.ceil(low - _SLIVER)), int(np.floor(high + _SLIVER)))
        taps = [(source, 1.0) for source in inner]
        if not inner and int(low) == int(high - _SLIVER):
            taps = [(int(low), high - low)]
        else:
            if np.ceil(low - _SLIVER) - low > _SLIVER:
                taps.insert(0, (int(low), float(np.ceil(low) - low)))
            if high - np.floor(high + _SLIVER) > _SLIVER:
                taps.append((int(high), float(high - np.floor(high))))
        rows.append([(source, covered / min(scale, size - low)) for source, covered in taps])
    most = max(map(len, rows))
    padded = [row + [(row[-1][0], 0.0)] * (most - len(row)) for row in rows]
    return [
        (np.array([row[k][0] for row in padded]), np.array([row[k][1] for row in padded], dtype=np.float32))
        for k in range(most)
    ]


def _covered(image: npt.NDArray[np.float32], axis: int, to: int) -> npt.NDArray[np.float32]:
    """Means over equal parts of one axis, added up in float32 from the first source pixel to the last."""
    shape = [1, 1, 1]
    shape[axis] = to
    total = np.zeros(image.shape[:axis] + (to,) + image.shape[axis + 1 :], dtype=np.float32)
    for index, weight in _covering(image.shape[axis], to):
        total += np.take(image, index, axis=axis) * weight.reshape(shape)
    return total


def _growing(size: int, to: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], npt.NDArray[np.int64]]:
    """Both neighbours of each output position, and the upper one's weight in 1/2048, as OpenCV has them."""
    places = np.arange(to)
    low = np.floor(places * (1 / (to / size))).astype(np.intp)
    part = ((places + 1) - (low + 1) * (to / size)).astype(np.float32)
    part = np.where(part <= 0, np.float32(0), part - np.floor(part))
    return low, np.minimum(low + 1, size - 1), np.rint(part * np.float32(2048)).astype(np.int64)


def _grown(image: Array, height: int, width: int) -> Array:
    """INTER_AREA where a side grows: two neighbours an axis, whose weights make equal areas of whole numbers.

    8-bit images in OpenCV's fixed point, to the bit; others in float64.
    """
    left, right, across = _growing(image.shape[1], width)
    up, down, along = _growing(image.shape[0], height)
    x, y = across[:, None], along[:, None, None]
    if image.dtype == np.uint8:
        wide = image[:, left].astype(np.int64) * (2048 - x) + image[:, right].astype(np.int64) * x
        high = (((2048 - y) * (wide[up] >> 4)) >> 16) + ((y * (wide[down] >> 4)) >> 16)
        return ((high + 2) >> 2).astype(np.uint8)
    floats = image.astype(np.float64)
    smooth = floats[:, left] * (1 - x / 2048) + floats[:, right] * (x / 2048)
    return smooth[up] * (1 - y / 2048) + smooth[down] * (y / 2048)


def _area(image: Array, height: int, width: int) -> Array:
    if height > image.shape[0] or width > image.shape[1]:
        return _grown(image, height, width)
    # Ties are frequent here (shares are multiples of a small fraction), and the last bit of float32 decides them;
    # order and type are OpenCV's, so that its images come out to the bit.
    return _covered(_covered(image.astype(np.float32), 1, width), 0, height)


def _point(image: Array, height: int, width: int, method: str) -> Array:
    if method == "nearest":
        rows = _taps(image.shape[0], height, method)[0][0]
        columns = _taps(image.shape[1], width, method)[0][0]
        return np.ascontiguousarray(image[rows][:, columns])
    if method == "area":
        means = _area(image, height, width)
        if np.issubdtype(image.dtype, np.integer):
            limits = np.iinfo(image.dtype)
            means = np.clip(np.rint(means), limits.min, limits.max)
        return means.astype(image.dtype)
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
