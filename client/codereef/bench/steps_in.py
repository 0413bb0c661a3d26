# SPDX-License-Identifier: Apache-2.0
"""Pre-processing: the input steps of a model's manifest, in the order written.

`Preprocessor` is built once from the steps and then turns image or tensor files into input tensors. Each step is a
function of the state and its arguments; the vocabulary is `$defs/input_step` in schemas/common.json.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Optional

import numpy as np
import numpy.typing as npt

from codereef.bench import resample
from codereef.bench.arguments import Arguments, only_step
from codereef.bench.geometry import Geometry
from codereef.bench.request import TensorFormat
from codereef.bench.stages import Trace
from codereef.bench.tensors import read_tensor
from codereef.errors import MetadataError, RunError

Array = npt.NDArray[Any]
_NOWHERE = Geometry(0, 0)  # before `decode`


@dataclass(frozen=True)
class Picture:
    """An image or a tensor on its way to the model.

    Attributes:
        path: the file it comes from.
        array: [H, W, C] until `layout`, with a batch axis afterwards; a tensor has any shape; None before `decode`
            or `load`.
        geometry: how its pixels lie in the original image.
        channel_axis: axis of the channels, counted from the end.
        tensor: how the file is kept, where it is no image.
        row: the tensor itself, where it is a row of a table.
    """

    path: Path
    array: Optional[Array] = None
    geometry: Geometry = _NOWHERE
    channel_axis: int = -1
    tensor: Optional[TensorFormat] = None
    row: Optional[Array] = None

    @property
    def pixels(self) -> Array:
        """The array; raises MetadataError when no `decode` or `load` step came before."""
        if self.array is None:
            raise MetadataError(
                "a pre-processing step comes before decode",
                hint="let `decode` be the first step, or `load` where the input is no image",
            )
        return self.array

    @property
    def image(self) -> Array:
        """The array, which must still be [H, W, C]."""
        if self.pixels.ndim != 3:
            raise MetadataError(
                "crop, resize and letterbox come before layout",
                hint="move `layout` behind every step that changes the size of the image",
            )
        return self.pixels


Step = Callable[[Picture, Arguments], Picture]


def _decode(state: Picture, args: Arguments) -> Picture:
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError as error:
        raise RunError(
            f"cannot import Pillow: {error}", hint="the program must depend on `python.pillow` where models take images"
        ) from error

    color = args.text("color")
    try:
        with Image.open(state.path) as image:
            array = np.asarray(image.convert("L" if color == "L" else "RGB"))
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError, ValueError) as error:
        raise RunError(
            f"cannot decode the image {state.path.name}: {error}",
            hint="the dataset's files may be damaged; `cr init` checks and repairs them",
        ) from error
    array = array[:, :, None] if color == "L" else array[:, :, ::-1] if color == "BGR" else array
    height, width = array.shape[:2]
    geometry = Geometry(width, height, original=(width, height))
    return replace(state, array=np.ascontiguousarray(array), geometry=geometry, channel_axis=-1)


def _load(state: Picture, args: Arguments) -> Picture:
    array = read_tensor(state.path, state.tensor) if state.row is None else state.row
    return replace(state, array=array, channel_axis=-1)


def _reshape(state: Picture, args: Arguments) -> Picture:
    to = args.maybe_integers("to")
    if to is None:
        raise args.error("needs `to`")
    try:
        return replace(state, array=state.pixels.reshape(to), channel_axis=-1)
    except ValueError as error:
        raise args.error(f"shape {list(state.pixels.shape)} cannot become {to}") from error


def _crop(state: Picture, args: Arguments) -> Picture:
    height, width = state.image.shape[:2]
    to, fraction = args.size("to"), args.maybe_number("fraction")
    if (to is None) == (fraction is None):
        raise args.error("needs either `to` or `fraction`")
    if to is None:
        assert fraction is not None
        to = (max(1, math.floor(height * fraction)), max(1, math.floor(width * fraction)))
    if to[0] > height or to[1] > width:
        raise RunError(
            f"cannot crop {state.path.name} to {to[0]}x{to[1]}: it has {height}x{width} pixels there",
            hint="put a resize or letterbox before the crop",
        )
    top, left = (height - to[0]) // 2, (width - to[1]) // 2
    array = np.ascontiguousarray(state.image[top : top + to[0], left : left + to[1]])
    return replace(state, array=array, geometry=state.geometry.moved(left, top, to[1], to[0]))


def _resampled(image: Array, height: int, width: int, args: Arguments) -> Array:
    try:
        return resample.resize(image, height, width, args.text("method"))
    except ValueError as error:
        raise args.error(str(error)) from error


def _nearest_integer(value: float) -> int:
    return max(1, math.floor(value + 0.5))


def _resize(state: Picture, args: Arguments) -> Picture:
    height, width = state.image.shape[:2]
    to, shorter = args.size("to"), args.maybe_number("shorter")
    if (to is None) == (shorter is None):
        raise args.error("needs either `to` or `shorter`")
    if to is None:
        assert shorter is not None
        scale = shorter / min(height, width)
        to = (_nearest_integer(height * scale), _nearest_integer(width * scale))
    array = _resampled(state.image, to[0], to[1], args)
    return replace(state, array=array, geometry=state.geometry.resized(to[1], to[0]))


def _letterbox(state: Picture, args: Arguments) -> Picture:
    height, width = state.image.shape[:2]
    to = args.size("to")
    if to is None:
        raise args.error("needs `to`")
    scale = min(to[0] / height, to[1] / width)
    inner = (min(to[0], _nearest_integer(height * scale)), min(to[1], _nearest_integer(width * scale)))
    top, left = (to[0] - inner[0]) // 2, (to[1] - inner[1]) // 2  # an odd pixel goes to the far side
    array = np.full((to[0], to[1], state.image.shape[2]), args.integer("fill"), dtype=state.image.dtype)
    array[top : top + inner[0], left : left + inner[1]] = _resampled(state.image, inner[0], inner[1], args)
    geometry = state.geometry.resized(inner[1], inner[0]).moved(-left, -top, to[1], to[0])
    return replace(state, array=array, geometry=geometry)


def _cast(state: Picture, args: Arguments) -> Picture:
    dtype = np.dtype(args.text("dtype"))
    array = state.pixels
    if np.issubdtype(dtype, np.integer) and array.size:
        limits = np.iinfo(dtype)
        least, most = array.min(), array.max()
        if not (limits.min <= least and most <= limits.max):
            raise args.error(f"{dtype} cannot hold the values {least} to {most}")
    return replace(state, array=array.astype(dtype))


def _scale(state: Picture, args: Arguments) -> Picture:
    by, offset = np.float32(args.number("by")), np.float32(args.maybe_number("offset") or 0.0)
    return replace(state, array=state.pixels.astype(np.float32) * by + offset)


def _by_channel(state: Picture, args: Arguments, key: str) -> Array:
    values = np.asarray(args.numbers(key), dtype=np.float32)
    channels = state.pixels.shape[state.channel_axis]
    if values.size not in (1, channels):
        raise args.error(f"`{key}` has {values.size} values for {channels} channels")
    shape = [1] * state.pixels.ndim
    shape[state.channel_axis] = values.size
    return values.reshape(shape)


def _normalize(state: Picture, args: Arguments) -> Picture:
    mean, std = _by_channel(state, args, "mean"), _by_channel(state, args, "std")
    if not np.all(std):
        raise args.error("`std` must not be zero")
    return replace(state, array=(state.pixels.astype(np.float32) - mean) / std)


def _quantize(state: Picture, args: Arguments) -> Picture:
    dtype = np.dtype(args.text("dtype"))
    if not np.issubdtype(dtype, np.integer):
        raise args.error(f"`dtype` must be an integer type, found {dtype}")
    limits = np.iinfo(dtype)
    steps = np.rint(state.pixels.astype(np.float64) / args.number("scale")) + args.integer("zero_point")
    return replace(state, array=np.clip(steps, limits.min, limits.max).astype(dtype))


def _layout(state: Picture, args: Arguments) -> Picture:
    if args.text("to") == "NHWC":
        return replace(state, array=np.ascontiguousarray(state.image[None]), channel_axis=-1)
    return replace(state, array=np.ascontiguousarray(state.image.transpose(2, 0, 1)[None]), channel_axis=-3)


STEPS: Mapping[str, Step] = {
    "decode": _decode,
    "load": _load,
    "crop": _crop,
    "resize": _resize,
    "letterbox": _letterbox,
    "cast": _cast,
    "scale": _scale,
    "normalize": _normalize,
    "quantize": _quantize,
    "layout": _layout,
    "reshape": _reshape,
}


class Preprocessor:
    """The pre-processing of one input.

    Args:
        steps: the manifest's steps, each an object with one key.
        known: what carries out each step.

    Raises:
        MetadataError: a step is unknown, or its arguments are wrong.
    """

    def __init__(self, steps: Sequence[Mapping[str, Any]], known: Mapping[str, Step] = STEPS) -> None:
        self._steps = [only_step(step, known, "input") for step in steps]

    def __call__(
        self,
        path: Path,
        *,
        tensor: Optional[TensorFormat] = None,
        row: Optional[Array] = None,
        trace: Optional[Trace] = None,
    ) -> tuple[Array, Geometry]:
        """Turn an item into the input tensor, with the way back to its pixels.

        Args:
            path: its file, or the table that it is a row of.
            tensor: how the file is kept, where it is no image; None goes by its suffix.
            row: the tensor itself, where it is a row of a table.
            trace: is told after each step.

        Raises:
            RunError: the file cannot be decoded, or is too small for a crop.
            MetadataError: the steps do not fit each other.
        """
        state = Picture(path, tensor=tensor, row=row)
        for function, args in self._steps:
            state = function(state, args)
            if trace is not None:
                trace.step(state.pixels)
        return np.ascontiguousarray(state.pixels), state.geometry

    def described(self) -> list[tuple[str, Mapping[str, Any]]]:
        """Name and arguments of each step, in order."""
        return [(args.step, args.values) for _, args in self._steps]

    def implementations(self) -> dict[str, dict[str, str]]:
        """Name and version of what carries out each step."""
        facts: dict[str, dict[str, str]] = {}
        for _, args in self._steps:
            method = args.maybe_text("method")
            if args.step == "decode" or method in resample.PILLOW_METHODS:
                import PIL  # only where it is used: a program of tensors has no need of it

                facts[args.step] = {"implementation": "Pillow", "version": PIL.__version__}
            else:
                facts[args.step] = {"implementation": "codereef.bench (numpy)", "version": np.__version__}
            if method is not None:
                facts[args.step]["method"] = method
        return facts
