# SPDX-License-Identifier: Apache-2.0
"""Training images of coloured-shapes, resized and held in memory, and the model's pre-processing."""

from __future__ import annotations

import importlib.util
import multiprocessing
import sys
from functools import partial
from pathlib import Path
from types import ModuleType

import numpy as np
import numpy.typing as npt
from PIL import Image

GENERATOR = Path(__file__).resolve().parents[2] / "dataset" / "coloured-shapes" / "generate.py"

Sample = tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]


def load_generator(path: Path = GENERATOR) -> ModuleType:
    """Import the dataset's generator from its file (its folder is a component, not a package)."""
    spec = importlib.util.spec_from_file_location("coloured_shapes_generate", path)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(f"dataset generator not found: {path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up by name
    spec.loader.exec_module(module)
    return module


def resize(image: Image.Image, side: int) -> npt.NDArray[np.uint8]:
    """RGB, stretched to ``[side, side, 3]`` with Pillow's bilinear filter (antialiased when it shrinks)."""
    return np.asarray(image.convert("RGB").resize((side, side), Image.Resampling.BILINEAR))


def normalise(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Map 0..255 to -1..1: ``(x - 127.5) / 127.5`` in float32."""
    return np.asarray((pixels.astype(np.float32) - np.float32(127.5)) / np.float32(127.5))


def train_sample(number: int, side: int) -> Sample:
    """Training image ``number``: ``[side, side, 3]`` uint8, and ``[n, 5]`` class, x1, y1, x2, y2 (0..1)."""
    generator = sys.modules.get("coloured_shapes_generate") or load_generator()
    scene = generator.make_scene("train", number)
    height, width = scene.owner.shape
    rows = [
        [
            generator.LABELS.index(s.label),
            s.box[0] / width,
            s.box[1] / height,
            (s.box[0] + s.box[2]) / width,
            (s.box[1] + s.box[3]) / height,
        ]
        for s in scene.shapes
    ]
    return resize(Image.fromarray(scene.pixels), side), np.array(rows, dtype=np.float32)


def train_samples(count: int, side: int, workers: int = 2) -> list[Sample]:
    """Training images ``1 .. count``, made by ``workers`` processes; the result does not depend on them."""
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        return pool.map(partial(train_sample, side=side), range(1, count + 1), chunksize=64)
