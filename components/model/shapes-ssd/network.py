# SPDX-License-Identifier: Apache-2.0
"""The shapes-ssd network as data: its layers, heads and anchors, free of any framework.

One table is the single source for training (PyTorch), for the ONNX file and for the TFLite file, so
that the three cannot drift apart. The form is that of SSD (Liu et al., 2016, arXiv:1512.02325) on a
MobileNet v1 backbone (Howard et al., 2017, arXiv:1704.04861), narrow enough for a demo.

Padding is TensorFlow's "SAME": one pixel on each side at stride 1; at stride 2, on an even input, one
pixel at the bottom and right only. ONNX writes that as ``pads = [0, 0, 1, 1]``, so neither needs a pad node.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

INPUT_SIZE = 128  # pixels, square
CLASSES = ("circle", "square", "triangle", "star", "cross")
VARIANCES = (0.1, 0.2)  # of centre and of size
NMS_IOU = 0.5
SCORE_THRESHOLD = 0.01
MAX_DETECTIONS = 100

Weights = dict[str, npt.NDArray[np.float32]]  # "<layer>/weight" [O, I, kh, kw] and "<layer>/bias" [O]


@dataclass(frozen=True)
class Layer:
    """One convolution with batch norm folded in.

    ``source`` names the layer it reads (``"image"`` is the input). A depthwise layer filters each
    channel by itself. ``clipped`` layers end in ReLU6; the last of a head is linear.
    """

    name: str
    source: str
    inputs: int
    filters: int
    kernel: int = 3
    stride: int = 1
    depthwise: bool = False
    clipped: bool = True


@dataclass(frozen=True)
class Level:
    """One feature map with a head: its grid side in cells, and the anchor sides in input pixels."""

    source: str
    channels: int
    grid: int
    anchors: tuple[int, ...]


# Depthwise-separable blocks of the backbone: name, output channels, stride.
_BLOCKS = (
    ("b1", 32, 1),
    ("b2", 64, 2),
    ("b3", 64, 1),
    ("b4", 128, 2),
    ("b5", 128, 1),
    ("b6", 128, 1),
    ("b7", 160, 2),
    ("b8", 160, 1),
    ("b9", 160, 2),
    ("b10", 160, 1),
)
_STEM = 24
LEVELS = (Level("b6/pw", 128, 16, (12, 18)), Level("b8/pw", 160, 8, (26, 37)), Level("b10/pw", 160, 4, (50, 66)))


def layers() -> tuple[Layer, ...]:
    """All layers in an order in which each comes after the layer it reads."""
    made = [Layer("stem", "image", 3, _STEM, stride=2)]
    channels = _STEM
    for name, filters, stride in _BLOCKS:
        made.append(Layer(f"{name}/dw", made[-1].name, channels, channels, stride=stride, depthwise=True))
        made.append(Layer(f"{name}/pw", f"{name}/dw", channels, filters, kernel=1))
        channels = filters
    for index, level in enumerate(LEVELS):
        for head, width in (("boxes", 4), ("scores", len(CLASSES))):
            name = f"{head}{index}"
            made.append(Layer(f"{name}/dw", level.source, level.channels, level.channels, depthwise=True))
            made.append(Layer(name, f"{name}/dw", level.channels, width * len(level.anchors), kernel=1, clipped=False))
    return tuple(made)


def anchors() -> npt.NDArray[np.float32]:
    """The anchors as ``[N, 4]`` rows ``cx, cy, w, h``, all fractions of the input's side.

    Level by level, row by row, column by column, side by side: the centre of cell ``(row, column)`` of a
    grid of ``g`` cells is ``((column + 0.5) / g, (row + 0.5) / g)``; width and height are ``side / 128``.
    """
    rows = [
        [(column + 0.5) / level.grid, (row + 0.5) / level.grid, side / INPUT_SIZE, side / INPUT_SIZE]
        for level in LEVELS
        for row in range(level.grid)
        for column in range(level.grid)
        for side in level.anchors
    ]
    return np.array(rows, dtype=np.float32)


def write_anchors(path: str) -> None:
    """Write :func:`anchors` as JSON, one row a line; read as float32 the numbers are exact."""
    rows = ",\n".join(json.dumps([float(value) for value in row]) for row in anchors())
    Path(path).write_text(f"[\n{rows}\n]\n", encoding="ascii")


def save_weights(path: str, weights: Weights) -> None:
    """Write folded weights as an uncompressed ``.npz``."""
    arrays: dict[str, Any] = {name: weights[name] for name in sorted(weights)}
    np.savez(path, **arrays)


def load_weights(path: str) -> Weights:
    """Read folded weights from what `save_weights` has written, or from the initialisers of an ONNX file.

    Raises:
        ValueError: a layer of the table is missing or has another shape.
    """
    if path.endswith(".onnx"):
        import onnx

        constants = onnx.load(path).graph.initializer
        # The others are no weights: bounds of the activations, shapes of the outputs.
        kept = [constant for constant in constants if constant.name.endswith(("/weight", "/bias"))]
        weights = {constant.name: onnx.numpy_helper.to_array(constant) for constant in kept}
    else:
        with np.load(path) as stored:
            weights = {name: stored[name] for name in stored.files}
    for layer in layers():
        expected = (layer.filters, 1 if layer.depthwise else layer.inputs, layer.kernel, layer.kernel)
        for name, shape in ((f"{layer.name}/weight", expected), (f"{layer.name}/bias", (layer.filters,))):
            found = weights[name].shape if name in weights else None
            if found != shape:
                raise ValueError(f"{path}: {name} has shape {found}, expected {shape}")
    return weights
