# SPDX-License-Identifier: Apache-2.0
"""Output steps that end in a class for every pixel, in one score, or in numbers as they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from codereef.bench.arguments import Arguments
from codereef.bench.geometry import Geometry
from codereef.bench.outputs import LabelMap, Score, State, Values

Array = npt.NDArray[Any]


def _places(count: int, offset: float, scale: float, input_size: int, grid: int) -> tuple[Array, Array]:
    """Where the centres of original pixels lie on the grid, in its own pixels, and which lie inside the input."""
    inside = (np.arange(count) + 0.5 - offset) / scale
    return inside * (grid / input_size), (inside >= 0) & (inside < input_size)


def _between(places: Array, grid: int) -> tuple[Array, Array, Array]:
    """Lower and upper neighbour of each place, the border repeated, and the weight of the upper one."""
    centre = places - 0.5
    low = np.floor(centre).astype(np.intp)
    return np.clip(low, 0, grid - 1), np.clip(low + 1, 0, grid - 1), centre - low


def label_map(scores: Array, geometry: Geometry, resize: str) -> Array:
    """Classes of the pixels of the original image.

    Args:
        scores: [H, W, C] scores of classes, or [H, W] classes; H and W may be those of the input or less.
        geometry: the way from the input back to the original image.
        resize: `scores` interpolates the scores of each class between half-pixel centres and then takes the best
            class (the first of equals); `labels` takes the best class first and then the nearest.

    Returns:
        [height, width] int64 of the original image; -1 where a crop left nothing to see.
    """
    width, height = geometry.original
    if scores.ndim == 3 and resize == "labels":
        scores = np.argmax(scores, axis=2)
    rows, seen_rows = _places(height, geometry.offset_y, geometry.scale_y, geometry.height, scores.shape[0])
    columns, seen_columns = _places(width, geometry.offset_x, geometry.scale_x, geometry.width, scores.shape[1])
    if scores.ndim == 2:
        down = np.clip(np.floor(rows).astype(np.intp), 0, scores.shape[0] - 1)
        across = np.clip(np.floor(columns).astype(np.intp), 0, scores.shape[1] - 1)
        labels = scores[down][:, across].astype(np.int64)
    else:
        labels = _best(scores, _between(rows, scores.shape[0]), _between(columns, scores.shape[1]))
    labels[~seen_rows] = -1
    labels[:, ~seen_columns] = -1
    return labels


def _best(scores: Array, rows: tuple[Array, Array, Array], columns: tuple[Array, Array, Array]) -> Array:
    """Best class at each place; one class at a time, so that memory is that of two images."""
    best = np.full((len(rows[0]), len(columns[0])), -np.inf)
    labels = np.zeros(best.shape, dtype=np.int64)
    for number in range(scores.shape[2]):
        plane = scores[:, :, number].astype(np.float64)
        tall = plane[rows[0]] * (1 - rows[2])[:, None] + plane[rows[1]] * rows[2][:, None]
        whole = tall[:, columns[0]] * (1 - columns[2]) + tall[:, columns[1]] * columns[2]
        better = whole > best
        best[better] = whole[better]
        labels[better] = number
    return labels


def _label_map(state: State, args: Arguments) -> None:
    array, layout = state.tensor(args), args.text("layout")
    if layout in ("NCHW", "NHWC"):
        if array.ndim != 4 or array.shape[0] != 1:
            raise args.error(f"a tensor of shape {list(array.shape)} has not the layout {layout} with a batch of one")
        array = array[0].transpose(1, 2, 0) if layout == "NCHW" else array[0]
    else:
        while array.ndim > 2 and array.shape[0] == 1:
            array = array[0]
        if array.ndim > 2 and array.shape[-1] == 1:
            array = array[..., 0]
        if array.ndim != 2:
            raise args.error(f"a tensor of shape {list(array.shape)} has not the layout {layout} with a batch of one")
    if not all(state.geometry.original):
        raise args.error("the size of the original image is not known")
    state.labels = LabelMap(label_map(array, state.geometry, args.text("resize")))


def _error(state: State, args: Arguments) -> None:
    output, given = state.tensor(args), state.tensor(args, "with")
    if output.size != given.size:
        raise args.error(f"shapes {list(output.shape)} and {list(given.shape)} do not fit each other")
    apart = output.astype(np.float64).reshape(-1) - given.astype(np.float64).reshape(-1)
    mean = np.mean(apart**2) if args.text("metric") == "mse" else np.mean(np.abs(apart))
    state.tensors[args.text("to")] = np.array([mean])


def _score(state: State, args: Arguments) -> None:
    array = state.tensor(args)
    if array.size != 1:
        raise args.error(f"tensor {args.text('tensor')} has {array.size} values, not one")
    state.score = Score(float(array.reshape(-1)[0]))


def _values(state: State, args: Arguments) -> None:
    state.values = Values(state.tensor(args).reshape(-1).astype(np.float64))


MAP_STEPS: Mapping[str, Callable[[State, Arguments], None]] = {
    "label-map": _label_map,
    "error": _error,
    "score": _score,
    "values": _values,
}
