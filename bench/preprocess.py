# SPDX-License-Identifier: Apache-2.0
"""Decoding and pre-processing of many images: the accuracy pass against a plain multiprocessing Pillow script.

    python bench/preprocess.py [--images 5000] [--rounds 3] [--workers N] [--limit 1.0]

The images are crops of the 20 COCO images of the shared test material, encoded anew as JPEG into a temporary
folder. Both sides make the same float32 tensor of each (RGB, shorter side 256 with Pillow's bilinear filter, middle
224x224, mean and deviation of ImageNet, NCHW) and hand it, in order, to one reader in the main process, as a model
there needs it. The peer is `multiprocessing.Pool.imap` with as many processes as ours has threads. Each side runs
in a process of its own, in turn, and the order alternates.

Printed are the ratios of wall time and of CPU time (children included), ours to the peer's, medians over the rounds,
and the largest resident memory of each side: of the peer that of its main process and the sum of its workers'.
Before, the tensors of both sides are compared. Exit status 1 when the ratio of wall time lies over the limit.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "client"))

import numpy as np  # noqa: E402
from PIL import Image  # noqa: E402

MEAN, DEVIATION = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
STEPS: list[dict[str, Any]] = [
    {"decode": {"color": "RGB"}},
    {"resize": {"shorter": 256, "method": "bilinear-antialias"}},
    {"crop": {"method": "center", "to": [224, 224]}},
    {"normalize": {"mean": MEAN, "std": DEVIATION}},
    {"layout": {"to": "NCHW"}},
]


def plain(path: str) -> Any:
    """One image, the way a script without us does it."""
    with Image.open(path) as image:
        rgb = image.convert("RGB")
    scale = 256 / min(rgb.size)
    width, height = int(rgb.width * scale + 0.5), int(rgb.height * scale + 0.5)
    rgb = rgb.resize((width, height), Image.Resampling.BILINEAR)
    left, top = (width - 224) // 2, (height - 224) // 2
    pixels = np.asarray(rgb.crop((left, top, left + 224, top + 224)), dtype=np.float32)
    pixels = (pixels - np.array(MEAN, dtype=np.float32)) / np.array(DEVIATION, dtype=np.float32)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)[None])


def through_pool(paths: list[str], workers: int) -> Iterator[Any]:
    """Tensors by the peer."""
    with multiprocessing.get_context("fork").Pool(workers) as pool:
        yield from pool.imap(plain, paths, chunksize=8)
        pool.close()
        pool.join()


def through_core(paths: list[str], workers: int) -> Iterator[Any]:
    """Tensors by the code of the accuracy pass, with its times of every step and its digests of the first items."""
    from codereef.bench.ahead import prepared_ahead
    from codereef.bench.stages import DIGESTED, Trace
    from codereef.bench.steps_in import Preprocessor

    preprocess = Preprocessor(STEPS)
    clock = time.perf_counter_ns if workers == 1 else time.thread_time_ns

    def make(place: int, path: str) -> Any:
        return preprocess(Path(path), trace=Trace(clock, digesting=place < DIGESTED))[0]

    for _, tensor in prepared_ahead(make, paths, workers):
        yield tensor


SIDES = {"ours": through_core, "peer": through_pool}


def one_side(side: str, folder: Path, workers: int) -> None:
    """Run one side in this process and print what it took as JSON."""
    paths = [str(path) for path in sorted(folder.iterdir())]
    begin, total, count = time.perf_counter(), 0.0, 0
    for tensor in SIDES[side](paths, workers):
        total += float(tensor[0, 0, 112, 112])
        count += 1
    wall = time.perf_counter() - begin
    assert count == len(paths)
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    said = {
        "wall": wall,
        "cpu": own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime,
        # ru_maxrss of children is that of the largest one, in KiB.
        "peak": (own.ru_maxrss + (children.ru_maxrss * workers if side == "peer" else 0)) * 1024,
        "sum": total,
    }
    print(json.dumps(said))


def make_images(folder: Path, count: int) -> None:
    """Write `count` JPEG files: crops of the COCO images, each another part of one of them."""
    shared = Path(os.environ.get("CODEREEF_SHARED") or ROOT.parent / "shared") / "mirror"
    if not (shared / "index.json").is_file():
        raise SystemExit("the shared test material is absent; say where it is in CODEREEF_SHARED")
    entries = json.loads((shared / "index.json").read_text(encoding="utf-8"))
    sources = [shared / "sha256" / e["sha256"] for e in entries if e["name"].startswith("0000")]
    generator = np.random.default_rng(1)
    decoded = [Image.open(path).convert("RGB") for path in sources]
    for number in range(count):
        image = decoded[number % len(decoded)]
        left, top = int(generator.integers(0, image.width // 8)), int(generator.integers(0, image.height // 8))
        part = image.crop((left, top, left + image.width * 7 // 8, top + image.height * 7 // 8))
        part.save(folder / f"{number:06}.jpg", quality=90)


def measured(side: str, folder: Path, workers: int) -> dict[str, float]:
    """What one side took, in a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, "--side", side, "--folder", str(folder), "--workers", str(workers)],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    said: dict[str, float] = json.loads(done.stdout)
    return said


def compare(images: int, rounds: int, workers: int) -> float:
    """Print the comparison and return the ratio of wall time."""
    with tempfile.TemporaryDirectory(prefix="codereef-preprocess-") as name:
        folder = Path(name)
        make_images(folder, images)
        first = [str(path) for path in sorted(folder.iterdir())[:50]]
        for a, b in zip(through_core(first, workers), map(plain, first)):
            np.testing.assert_allclose(a, b, atol=1e-5)
        taken: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
        for number in range(rounds):
            for side in sorted(SIDES, reverse=number % 2 == 1):
                taken[side].append(measured(side, folder, workers))
    ratios = {
        what: statistics.median(ours[what] / peer[what] for ours, peer in zip(taken["ours"], taken["peer"]))
        for what in ("wall", "cpu", "peak")
    }
    print(f"{images} images, {workers} workers, {rounds} rounds; ours / multiprocessing Pillow script")
    for what in ("wall", "cpu"):
        values = " ".join(f"{a[what] / b[what]:.3f}" for a, b in zip(taken["ours"], taken["peer"]))
        print(f"  {what} time: {ratios[what]:.3f}  ({values})")
    for side, runs in taken.items():
        print(f"  peak memory, {side}: {max(run['peak'] for run in runs) / 1e6:.0f} MB")
        print(f"  images a second, {side}: {images / statistics.median(run['wall'] for run in runs):.0f}")
    return ratios["wall"]


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--limit", type=float, default=1.0)
    parser.add_argument("--side", choices=list(SIDES), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side:
        one_side(given.side, given.folder, given.workers)
        return 0
    return int(compare(given.images, given.rounds, given.workers) > given.limit)


if __name__ == "__main__":
    raise SystemExit(main())
