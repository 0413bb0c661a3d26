# SPDX-License-Identifier: Apache-2.0
"""Make the coloured-shapes detection dataset: images, COCO annotations and labels, from a fixed seed.

    python generate.py REQUEST.json

REQUEST.json is ``{"output": "<existing empty folder>", "variants": {"size": "50"}, "options": {}}``;
``size`` is ``"50"`` or ``"500"``, both taken from the validation split (the 50 are the first of the
500). The folder receives ``images/000001.png`` and so on, ``instances.json`` (COCO instances format,
file names relative to ``images/``) and ``labels.txt`` (one class name a line, in category order).
The digest of the written tree is printed; see :func:`tree_digest`.

The bytes are the same on every platform, Python (3.9 and newer) and numpy (1.24 and newer):

* pixels come from integer arithmetic only, rotations from a table of integers;
* random numbers are raw bits of Python's Mersenne Twister, never a distribution of a library;
* PNG files hold *stored* (uncompressed) deflate blocks, so no zlib build can change them.

The training split is :func:`make_scene` with ``split="train"``. Every image has a seed of its own, the
SHA-256 of dataset, split and number, so that no validation image comes from a training seed.
"""

from __future__ import annotations

import hashlib
import json
import random
import struct
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Colour = tuple[int, int, int]
Pixels = npt.NDArray[np.uint8]
IntGrid = npt.NDArray[np.int64]

LABELS = ("circle", "square", "triangle", "star", "cross")
SPLITS = ("train", "validation")
SIZES = {"50": 50, "500": 500}
CANVASES = ((160, 128), (128, 160), (144, 144), (176, 128), (128, 128), (192, 144))  # width, height
MAX_OBJECTS = 6
MIN_DIAMETER, MAX_DIAMETER = 16, 64  # of the circle a shape is drawn in, pixels
MIN_VISIBLE_PERCENT = 75  # of its pixels that every object keeps when others cover it
SUBPIXEL = 256  # fixed-point units a pixel

# round(4096 * cos(a)) for a = 0, 5, ..., 90 degrees; sines are the same list read backwards.
_COSINE = (4096, 4080, 4034, 3956, 3849, 3712, 3547, 3355, 3138, 2896, 2633, 2349, 2048, 1731, 1401, 1060, 711, 357, 0)
# Outlines around the origin; 1024 is the radius of the circle the shape is drawn in, y points down.
_OUTLINES: dict[str, tuple[tuple[int, int], ...]] = {
    "square": ((-780, -780), (780, -780), (780, 780), (-780, 780)),
    "triangle": ((0, -1024), (887, 512), (-887, 512)),
    "star": (
        (0, -1024),
        (253, -348),
        (974, -316),
        (409, 133),
        (602, 828),
        (0, 430),
        (-602, 828),
        (-409, 133),
        (-974, -316),
        (-253, -348),
    ),
    "cross": (
        (-310, -980),
        (310, -980),
        (310, -310),
        (980, -310),
        (980, 310),
        (310, 310),
        (310, 980),
        (-310, 980),
        (-310, 310),
        (-980, 310),
        (-980, -310),
        (-310, -310),
    ),
}


@dataclass(frozen=True)
class Shape:
    """One drawn object: its class, fill, and what of it can be seen.

    ``box`` is ``(x, y, width, height)`` in whole pixels around the visible pixels, ``area`` their count.
    """

    label: str
    colour: Colour
    box: tuple[int, int, int, int]
    area: int


@dataclass(frozen=True)
class Scene:
    """One image with all that is known about it.

    ``pixels`` and ``background`` are ``[height, width, 3]`` uint8 RGB, with and without the objects;
    ``owner`` is ``[height, width]``: 0 where the background shows, otherwise 1 + the index in ``shapes``.
    """

    pixels: Pixels
    background: Pixels
    owner: IntGrid
    shapes: tuple[Shape, ...]


class _Bits:
    """Whole random numbers from the raw bits of the Mersenne Twister, which are frozen across Pythons."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def below(self, limit: int) -> int:
        """A number in ``0 .. limit - 1``."""
        return (self._random.getrandbits(32) * limit) >> 32

    def between(self, low: int, high: int) -> int:
        """A number in ``low .. high``, both included."""
        return low + self.below(high - low + 1)

    def noise(self, *shape: int) -> IntGrid:
        """An int64 array of the given shape with values in ``0 .. 255``."""
        count = 1
        for side in shape:
            count *= side
        raw = self._random.getrandbits(8 * count).to_bytes(count, "little")
        return np.frombuffer(raw, dtype=np.uint8).astype(np.int64).reshape(shape)


def image_seed(split: str, number: int) -> int:
    """The seed of one image: SHA-256 of dataset, split and number, so splits cannot share a stream."""
    if split not in SPLITS:
        raise ValueError(f"unknown split {split!r}: expected one of {', '.join(SPLITS)}")
    return int.from_bytes(hashlib.sha256(f"coloured-shapes/1/{split}/{number}".encode()).digest(), "big")


def make_scene(split: str, number: int) -> Scene:
    """Draw image ``number`` (from 1) of ``split`` (``"train"`` or ``"validation"``)."""
    bits = _Bits(image_seed(split, number))
    width, height = CANVASES[bits.below(len(CANVASES))]
    background, ground = _background(bits, width, height)
    owner = np.zeros((height, width), dtype=np.int64)
    full: list[int] = []  # pixels of each object before others covered it
    drawn: list[tuple[str, Colour]] = []
    canvas = background.copy()
    wanted = bits.between(1, MAX_OBJECTS)
    for _ in range(wanted * 8):  # a crowded canvas may end with fewer than wanted
        if len(drawn) == wanted:
            break
        label = LABELS[bits.below(len(LABELS))]
        mask = _shape_mask(bits, label, width, height)
        painted = np.where(mask, len(drawn) + 1, owner)
        sizes = full + [int(mask.sum())]
        left = np.bincount(painted.ravel(), minlength=len(sizes) + 1)
        if any(100 * int(left[i + 1]) < MIN_VISIBLE_PERCENT * size for i, size in enumerate(sizes)):
            continue
        colour = _distinct_colour(bits, ground + [c for _, c in drawn])
        owner, full = painted, sizes
        drawn.append((label, colour))
        grain = bits.noise(height, width, 1) * bits.between(0, 24) // 256 - 12
        fill = np.array(colour, dtype=np.int64).reshape(1, 1, 3) + grain
        canvas = np.where(mask[:, :, None], np.clip(fill, 0, 255), canvas)
    shapes = []
    for index, (label, colour) in enumerate(drawn):
        rows, columns = np.nonzero(owner == index + 1)
        x, y = int(columns.min()), int(rows.min())
        box = (x, y, int(columns.max()) - x + 1, int(rows.max()) - y + 1)
        shapes.append(Shape(label, colour, box, int(rows.size)))
    return Scene(canvas.astype(np.uint8), background.astype(np.uint8), owner, tuple(shapes))


def _shape_mask(bits: _Bits, label: str, width: int, height: int) -> npt.NDArray[np.bool_]:
    """Place one shape wholly inside the canvas: ``[height, width]``, true on its pixels."""
    diameter = bits.between(MIN_DIAMETER, MAX_DIAMETER)
    radius = diameter * SUBPIXEL // 2
    margin = radius + 2 * SUBPIXEL + radius // 12  # a square's corners reach 8 % past the circle
    x0 = bits.between(margin, width * SUBPIXEL - margin)
    y0 = bits.between(margin, height * SUBPIXEL - margin)
    turn = bits.below(72)
    px = np.arange(width, dtype=np.int64).reshape(1, width) * SUBPIXEL + SUBPIXEL // 2
    py = np.arange(height, dtype=np.int64).reshape(height, 1) * SUBPIXEL + SUBPIXEL // 2
    if label == "circle":
        return np.asarray((px - x0) ** 2 + (py - y0) ** 2 <= radius * radius)
    cos, sin = _turn(turn)
    corners = [
        (x0 + (ux * cos - uy * sin) * radius // (1024 * 4096), y0 + (ux * sin + uy * cos) * radius // (1024 * 4096))
        for ux, uy in _OUTLINES[label]
    ]
    inside = np.zeros((height, width), dtype=np.bool_)
    for (ax, ay), (bx, by) in zip(corners, corners[1:] + corners[:1]):
        if ay == by:
            continue
        if ay > by:
            ax, ay, bx, by = bx, by, ax, ay
        # Even-odd rule: the ray from the pixel centre to the right crosses this edge.
        crosses = (py >= ay) & (py < by) & ((px - ax) * (by - ay) < (bx - ax) * (py - ay))
        inside ^= crosses
    return inside


def _turn(steps: int) -> tuple[int, int]:
    """Cosine and sine, times 4096, of ``steps`` times 5 degrees."""
    quarter, rest = divmod(steps, 18)
    cos, sin = _COSINE[rest], _COSINE[18 - rest]
    for _ in range(quarter):
        cos, sin = -sin, cos
    return cos, sin


def _distinct_colour(bits: _Bits, others: list[Colour]) -> Colour:
    """A colour well away from ``others``; the farthest of 40 tries where none is far enough."""
    best: Colour = (0, 0, 0)
    best_gap = -1
    for _ in range(40):
        colour = (bits.below(256), bits.below(256), bits.below(256))
        gap = min(sum(abs(a - b) for a, b in zip(colour, other)) for other in others)
        if gap > best_gap:
            best, best_gap = colour, gap
        if gap >= 120:
            break
    return best


def _background(bits: _Bits, width: int, height: int) -> tuple[IntGrid, list[Colour]]:
    """A textured ``[height, width, 3]`` ground, and the two colours it is mixed from."""
    first: Colour = (bits.below(256), bits.below(256), bits.below(256))
    reach = bits.between(15, 60)
    moved = [min(255, max(0, c + bits.between(-reach, reach))) for c in first]
    second: Colour = (moved[0], moved[1], moved[2])
    x = np.arange(width, dtype=np.int64).reshape(1, width)
    y = np.arange(height, dtype=np.int64).reshape(height, 1)
    texture = bits.below(5)
    if texture == 0:  # gradient in one of 72 directions
        cos, sin = _turn(bits.below(72))
        ramp = x * cos + y * sin
        low, high = int(ramp.min()), int(ramp.max())
        mix = (ramp - low) * 256 // (high - low)
    elif texture == 1:  # stripes
        cos, sin = _turn(bits.below(72))
        mix = (x * cos + y * sin) // 4096 // bits.between(3, 14) % 2 * 256
    elif texture == 2:  # checkers
        side = bits.between(4, 20)
        mix = (x // side + y // side) % 2 * 256
    elif texture == 3:  # blotches: coarse noise in blocks
        block = bits.between(3, 12)
        coarse = bits.noise(height // block + 1, width // block + 1)
        mix = coarse[(y // block), (x // block)]
    else:  # fine noise
        mix = bits.noise(height, width)
    mix = np.broadcast_to(mix, (height, width))[:, :, None]
    a = np.array(first, dtype=np.int64).reshape(1, 1, 3)
    b = np.array(second, dtype=np.int64).reshape(1, 1, 3)
    grain_depth = bits.between(0, 30)
    grain = bits.noise(height, width, 3) * grain_depth // 256 - grain_depth // 2
    return np.clip(a + (b - a) * mix // 256 + grain, 0, 255), [first, second]


def png_bytes(pixels: Pixels) -> bytes:
    """Encode ``[height, width, 3]`` uint8 RGB as a PNG whose deflate blocks are all stored.

    Formats: PNG (ISO/IEC 15948) chunks; zlib (RFC 1950); stored deflate blocks (RFC 1951, 3.2.4).
    """
    height, width, _ = pixels.shape
    rows = np.zeros((height, 1 + 3 * width), dtype=np.uint8)  # leading 0: filter type "none"
    rows[:, 1:] = pixels.reshape(height, 3 * width)
    raw = rows.tobytes()
    blocks = []
    for start in range(0, len(raw), 65535):
        part = raw[start : start + 65535]
        last = 1 if start + 65535 >= len(raw) else 0
        blocks.append(struct.pack("<BHH", last, len(part), len(part) ^ 0xFFFF) + part)
    stream = b"\x78\x01" + b"".join(blocks) + struct.pack(">I", zlib.adler32(raw))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _png_chunk(b"IHDR", header) + _png_chunk(b"IDAT", stream) + _png_chunk(b"IEND", b"")


def _png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def scenes(split: str, count: int, first: int = 1) -> Iterator[Scene]:
    """Images ``first .. first + count - 1`` of a split."""
    for number in range(first, first + count):
        yield make_scene(split, number)


def write_dataset(output: Path, count: int, split: str = "validation") -> str:
    """Write the first ``count`` images of ``split`` with their annotations into ``output``.

    Returns the digest of the tree. Raises FileNotFoundError or FileExistsError when ``output`` is not
    an existing empty folder: nothing of somebody else's is ever overwritten or counted in the digest.
    """
    if not output.is_dir():
        raise FileNotFoundError(f"output folder does not exist: {output}")
    if any(output.iterdir()):
        raise FileExistsError(f"output folder is not empty: {output}")
    (output / "images").mkdir()
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, scene in enumerate(scenes(split, count), start=1):
        name = f"{number:06d}.png"
        (output / "images" / name).write_bytes(png_bytes(scene.pixels))
        height, width = scene.owner.shape
        images.append({"id": number, "file_name": name, "width": int(width), "height": int(height)})
        for shape in scene.shapes:
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": LABELS.index(shape.label) + 1,
                    "bbox": list(shape.box),
                    "area": shape.area,
                    "iscrowd": 0,
                }
            )
    document = {
        "info": {"description": f"coloured-shapes {split} {count}", "version": "1"},
        "images": images,
        "annotations": annotations,
        "categories": [{"id": i, "name": name, "supercategory": "shape"} for i, name in enumerate(LABELS, 1)],
    }
    (output / "instances.json").write_bytes(
        (json.dumps(document, sort_keys=True, separators=(",", ":")) + "\n").encode("ascii")
    )
    (output / "labels.txt").write_bytes(("\n".join(LABELS) + "\n").encode("ascii"))
    return tree_digest(output)


def tree_digest(folder: Path) -> str:
    """SHA-256 over one line ``<sha256> <size> <relative/posix/path>\\n`` a file, sorted bytewise by path."""
    lines = []
    for path in folder.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            name = path.relative_to(folder).as_posix().encode("utf-8")
            summary = f"{hashlib.sha256(data).hexdigest()} {len(data)} ".encode("ascii")
            lines.append((name, summary + name + b"\n"))
    return hashlib.sha256(b"".join(line for _, line in sorted(lines))).hexdigest()


def main(arguments: list[str]) -> int:
    """Run one request; returns the exit status: 0, or 2 when the request is wrong."""
    if len(arguments) != 1:
        print("usage: generate.py REQUEST.json", file=sys.stderr)
        return 2
    try:
        request = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))
        size = request["variants"]["size"]
        if size not in SIZES:
            raise ValueError(f"variant size is {size!r}: expected one of {', '.join(SIZES)}")
        print(write_dataset(Path(request["output"]), SIZES[size]))
    except KeyError as error:
        print(f"generate.py: {arguments[0]} lacks the key {error}", file=sys.stderr)
        return 2
    except (OSError, ValueError) as error:
        print(f"generate.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
