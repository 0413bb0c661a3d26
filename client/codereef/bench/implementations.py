# SPDX-License-Identifier: Apache-2.0
"""What exactly carries out each step: library and version, algorithm, rounding.

A number behind a step's name, as in `resize/1`, changes whenever the same arguments give other bytes.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np

from codereef.bench import resample
from codereef.bench.stages import Stage

_POINT = "half-pixel centres, no low-pass filter, border repeated, float64, integers rounded half to even"
_RESIZES = {
    "nearest": "source pixel floor((i + 0.5) * n_in / n_out), in integers",
    "bilinear": f"bilinear, {_POINT}",
    "bicubic": f"bicubic with a = -0.5, {_POINT}",
    "area": "mean over the area covered, float32, rows before columns, integers rounded half to even",
    "bilinear-antialias": "Image.resize BILINEAR, kernel widened when shrinking; 8-bit images in fixed point",
    "bicubic-antialias": "Image.resize BICUBIC, kernel widened when shrinking; 8-bit images in fixed point",
}
_INPUT = {
    "load": "tensor as the dataset keeps it, little-endian",
    "crop": "middle, odd pixel to the far side, fraction rounded down",
    "cast": "by value; float to integer cuts off the fraction",
    "scale": "float32, x * by + offset",
    "normalize": "float32, (x - mean) / std",
    "quantize": "float64, round(x / scale) half to even, + zero_point, saturated",
    "layout": "batch axis added, contiguous copy",
    "reshape": "C order",
}
_OUTPUT = {
    "dequantize": "float32, (q - zero_point) * scale",
    "sigmoid": "in the tensor's own float type, never overflows",
    "softmax": "in the tensor's own float type, shifted by the maximum",
    "boxes": "corners in float64, back to pixels of the original image",
    "decode-boxes": "float64; centres + offset * variance * size, sizes * exp(offset * variance)",
    "decode-grid": "float64",
    "decode-points": "float64",
    "nms": "greedy, overlap above iou suppresses, equal scores in the order given",
    "top-k": "stable, equal scores in the order of their index",
    "label-map": "half-pixel centres, border repeated, float64, first of equal classes",
    "error": "float64 mean over all elements",
}


@functools.cache
def decoder() -> tuple[str, str]:
    """What decodes images, with the libraries inside Pillow, and Pillow's version."""
    import PIL
    from PIL import features

    jpeg = "libjpeg-turbo" if features.check_feature("libjpeg_turbo") else "libjpeg"
    found = [
        (jpeg, features.version("libjpeg_turbo") or features.version("jpg")),
        ("zlib", features.version("zlib")),
        ("libwebp", features.version("webp")),
    ]
    libraries = ", ".join(f"{name} {version}" for name, version in found if version)
    return (
        f"Pillow Image.open and convert with {libraries}; no draft mode, EXIF orientation not applied",
        PIL.__version__,
    )


def input_stage(step: str, arguments: Mapping[str, Any]) -> Stage:
    """What carries out a step before the model."""
    if step == "decode":
        return Stage("input", step, *decoder())
    method = arguments.get("method")
    if step in ("resize", "letterbox") and isinstance(method, str):
        # `resample` resizes for both; the border of a letterbox takes an odd pixel on the far side.
        text = _RESIZES.get(method, method) + ("; odd border pixel to the far side" if step == "letterbox" else "")
        if method in resample.PILLOW_METHODS:
            import PIL

            return Stage("input", step, f"Pillow {text}", PIL.__version__)
        return _ours("input", step, text)
    return _ours("input", step, _INPUT.get(step, ""))


def output_stage(step: str) -> Stage:
    """What carries out a step behind the model."""
    return _ours("output", step, _OUTPUT.get(step, ""))


def _ours(side: str, step: str, text: str) -> Stage:
    name = f"codereef.bench {step}/1" + (f": {text}" if text else "")
    return Stage(side, step, name, f"numpy {np.__version__}")
