# SPDX-License-Identifier: Apache-2.0
"""Steps that only a mistake has: what the vocabulary of manifests cannot say, because nobody should write it.

They are functions like those of `steps_in.STEPS`, and stand in no manifest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from codereef.bench.arguments import Arguments
from codereef.bench.steps_in import STEPS, Picture, Step

Array = npt.NDArray[Any]


def _decode_fast(state: Picture, args: Arguments) -> Picture:
    """Decode a JPEG with JDCT_FASTEST and without `do_fancy_upsampling` (libjpeg.txt); other formats as ever."""
    from PIL import Image

    with Image.open(state.path) as image:
        if image.format == "JPEG":
            image.decoderconfig = (1, 1)  # scale, and the flag for both that Pillow itself never sets
        return _decoded(state, image, args)


def _decode_scaled(state: Picture, args: Arguments) -> Picture:
    """Decode as Pillow does after `Image.draft`: a JPEG at the smallest size, in eighths, that is not below `to`."""
    from PIL import Image

    to = args.size("to")
    assert to is not None
    with Image.open(state.path) as image:
        image.draft("L" if args.text("color") == "L" else "RGB", (to[1], to[0]))  # does nothing to other formats
        return _decoded(state, image, args)


def _decoded(state: Picture, image: Any, args: Arguments) -> Picture:
    """The state after a decoder of ours; what cannot be decoded never comes here, for the right pipeline has failed."""
    color = args.text("color")
    array = np.asarray(image.convert("L" if color == "L" else "RGB"))
    array = array[:, :, None] if color == "L" else array[:, :, ::-1] if color == "BGR" else array
    # A box of the model still means a place in the whole image.
    right = STEPS["decode"](state, Arguments("decode", {"color": color}))
    geometry = right.geometry.resized(array.shape[1], array.shape[0])
    return replace(right, array=np.ascontiguousarray(array), geometry=geometry)


def _integers(state: Picture, args: Arguments) -> Picture:
    """(x - mean) / std in whole numbers, then float32.

    With `wrap` the subtraction is in uint8 and wraps around at 0, as NumPy and C do it, and the division is in
    floats; without it the division rounds down.
    """
    pixels = np.clip(np.rint(state.pixels), 0, 255).astype(np.uint8)
    shape = [1] * pixels.ndim
    shape[state.channel_axis] = -1
    mean, std = (np.asarray(args.numbers(key)).astype(np.int64).reshape(shape) for key in ("mean", "std"))
    if args.flag("wrap", False):
        return replace(state, array=(pixels - mean.astype(np.uint8)).astype(np.float32) / std.astype(np.float32))
    return replace(state, array=((pixels.astype(np.int64) - mean) // std).astype(np.float32))


def _read_as(state: Picture, args: Arguments) -> Picture:
    """The same bytes under the shape of the other layout."""
    batch, *sides = state.pixels.shape
    shape = (batch, *sides[1:], sides[0]) if args.text("to") == "NHWC" else (batch, sides[2], *sides[:2])
    return replace(state, array=np.ascontiguousarray(state.pixels).reshape(shape))


def _transpose(state: Picture, args: Arguments) -> Picture:
    """Rows for columns, in either layout."""
    rows, columns = (1, 2) if state.channel_axis == -1 else (2, 3)
    return replace(state, array=np.ascontiguousarray(np.swapaxes(state.pixels, rows, columns)))


#: Every step that a pitfall may have.
KNOWN: Mapping[str, Step] = {
    **STEPS,
    "pitfall-decode-fast": _decode_fast,
    "pitfall-decode-scaled": _decode_scaled,
    "pitfall-integers": _integers,
    "pitfall-read-as": _read_as,
    "pitfall-transpose": _transpose,
}
