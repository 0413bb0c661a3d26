# SPDX-License-Identifier: Apache-2.0
"""Output steps for the heads of detectors: raw grids with and without anchors, and what puts them together.

`decode-grid` follows the equations of YOLOv3 (Redmon and Farhadi 2018, arXiv:1804.02767, section 2.1) and of
YOLOv5 and v7; `decode-points` those of FCOS (Tian et al. 2019, arXiv:1904.01355, section 3.1), with the
distributions of Generalized Focal Loss (Li et al. 2020, arXiv:2006.04388, equation 5) where `bins` is given.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from codereef.bench.arguments import Arguments
from codereef.bench.detections import Detections
from codereef.bench.outputs import State

Array = npt.NDArray[Any]


def logistic(x: Array) -> Array:
    """1 / (1 + exp(-x)) in float64, also far out."""
    x = x.astype(np.float64)
    small = np.exp(-np.abs(x))  # never overflows
    return np.where(x >= 0, 1 / (1 + small), small / (1 + small))


def _transpose(state: State, args: Arguments) -> None:
    array, axes = state.tensor(args), args.maybe_integers("axes")
    if axes is None or sorted(axes) != list(range(array.ndim)):
        raise args.error(f"`axes` must be an order of the {array.ndim} axes of {list(array.shape)}, found {axes}")
    state.tensors[args.text("tensor")] = array.transpose(axes)


def _reshape(state: State, args: Arguments) -> None:
    array, to = state.tensor(args), args.maybe_integers("to") or []
    try:
        state.tensors[args.text("tensor")] = array.reshape(to)
    except ValueError as error:
        raise args.error(f"shape {list(array.shape)} cannot become {to}") from error


def _concat(state: State, args: Arguments) -> None:
    names = args.texts("tensors")
    parts = [state.named(name, args) for name in names]
    try:
        state.tensors[args.text("to")] = np.concatenate(parts, axis=args.integer("axis"))
    except ValueError as error:
        shapes = ", ".join(str(list(part.shape)) for part in parts)
        raise args.error(f"shapes {shapes} cannot be joined on axis {args.integer('axis')}") from error


def _power(state: State, args: Arguments) -> None:
    base = state.tensor(args).astype(np.float64)
    if np.any(base < 0):
        raise args.error(f"tensor {args.text('tensor')} has values below zero")
    state.tensors[args.text("tensor")] = base ** args.number("exponent")


def _clip(state: State, args: Arguments) -> None:
    """Clip to the original image; boxes come before pairs, so both places are looked at."""
    width, height = state.geometry.original
    if not width or not height:
        raise args.error("the size of the original image is not known")
    limits = np.array([width, height, width, height], dtype=np.float64)
    if state.found is not None:
        found = state.found
        state.found = Detections(np.clip(found.boxes, 0.0, limits), found.classes, found.scores)
    elif state.boxes is not None:
        state.boxes = np.clip(state.boxes, 0.0, limits)
    else:
        raise args.error("comes before `boxes`")


def _pairs_of(args: Arguments, key: str) -> Array:
    values = args.values.get(key)
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        array = np.zeros(0)
    if array.ndim != 2 or array.shape[1] != 2 or not np.all(array > 0):
        raise args.error(f"`{key}` must be a list of width and height in pixels, found {values!r}")
    return array


def _decode_grid(state: State, args: Arguments) -> None:
    """A raw head with anchors, [1, A*(5+C), H, W], [1, A, H, W, 5+C] or [1, H, W, A*(5+C)], to [A*H*W, 5+C]."""
    anchors, form, layout = _pairs_of(args, "anchors"), args.text("form"), args.text("layout")
    raw, count = state.tensor(args), len(anchors)
    if raw.ndim != (5 if layout == "NAHWC" else 4) or raw.shape[0] != 1:
        raise args.error(f"a tensor of shape {list(raw.shape)} has not the layout {layout} with a batch of one")
    raw = raw[0]
    if layout == "NHWC":
        raw = raw.transpose(2, 0, 1)
    if layout == "NAHWC":
        grid = raw
    elif raw.shape[0] % count == 0:
        grid = raw.reshape(count, raw.shape[0] // count, *raw.shape[1:]).transpose(0, 2, 3, 1)
    else:
        raise args.error(f"{raw.shape[0]} channels do not divide among {count} anchors")
    if grid.shape[0] != count or grid.shape[3] < 5:
        raise args.error(f"{count} anchors do not fit a head of shape {list(grid.shape)}")
    height, width = grid.shape[1:3]
    cells = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1).astype(np.float64)
    squashed = logistic(grid)
    if form == "v3":
        centres = squashed[..., :2] + cells
        sizes = np.exp(grid[..., 2:4].astype(np.float64)) * anchors[:, None, None]
    else:
        centres = squashed[..., :2] * 2 - 0.5 + cells
        sizes = (squashed[..., 2:4] * 2) ** 2 * anchors[:, None, None]
    rows = np.concatenate([centres * args.number("stride"), sizes, squashed[..., 4:]], axis=-1)
    state.tensors[args.text("to")] = rows.reshape(-1, rows.shape[-1])


def points(height: int, width: int, strides: list[float], offset: float) -> tuple[Array, Array]:
    """Points [N, 2] as x, y in input pixels and the stride of each [N], finest stride first as given, row by row."""
    centres, steps = [], []
    for stride in strides:
        rows, columns = int(np.ceil(height / stride)), int(np.ceil(width / stride))
        grid = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), axis=-1).reshape(-1, 2)
        centres.append((grid + offset) * stride)
        steps.append(np.full(len(grid), stride, dtype=np.float64))
    return np.concatenate(centres), np.concatenate(steps)


def _decode_points(state: State, args: Arguments) -> None:
    """Distances left, top, right, bottom from points of grids, [N, 4] or [N, 4*bins], to x1, y1, x2, y2."""
    bins = args.maybe_integer("bins")
    distances = state.rows(args, "tensor", 4 if bins is None else 4 * bins).astype(np.float64)
    if bins is not None:
        logits = distances.reshape(-1, 4, bins)
        powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
        distances = (powers / powers.sum(axis=-1, keepdims=True)) @ np.arange(bins, dtype=np.float64)
    centres, steps = points(
        state.geometry.height, state.geometry.width, args.numbers("strides"), args.number_or("offset", 0.5)
    )
    if len(centres) != len(distances):
        raise args.error(
            f"{len(distances)} rows do not fit the {len(centres)} points of an input of "
            f"{state.geometry.height}x{state.geometry.width} pixels"
        )
    if args.text("units") == "strides":
        distances = distances * steps[:, None]
    corners = np.concatenate([centres - distances[:, :2], centres + distances[:, 2:]], axis=1)
    state.tensors[args.text("tensor")] = corners


HEAD_STEPS: Mapping[str, Callable[[State, Arguments], None]] = {
    "transpose": _transpose,
    "reshape": _reshape,
    "concat": _concat,
    "power": _power,
    "clip": _clip,
    "decode-grid": _decode_grid,
    "decode-points": _decode_points,
}
