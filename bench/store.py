# SPDX-License-Identifier: Apache-2.0
"""The store against the system's own tools, on the same files and the same cores, taking turns in one run.

    verify    `Store.verify` of 100,000 small files, and of a few large ones, against `sha256sum` through xargs
    link      100,000 files put into a folder of the store against `cp -al` of the same tree

`sha256sum` gets one process a core. Every file has one name here, so nobody reads less than the other.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from codereef.disk import link_tree
from codereef.store import Store
from codereef.store.verify import verify

SMALL = int(os.environ.get("BENCH_STORE_FILES", "100000"))
LARGE_BYTES = int(os.environ.get("BENCH_STORE_BYTES", str(1 << 29)))
RUNS = int(os.environ.get("BENCH_RUNS", "5"))
VERIFY_GOAL = 0.8
LINK_GOAL = 1.0


def _times(work: Callable[[], object]) -> tuple[float, float]:
    """Return wall and CPU seconds (user and system, with children) of some work."""
    before, started = os.times(), time.perf_counter()
    work()
    wall, after = time.perf_counter() - started, os.times()
    return wall, sum(after[:4]) - sum(before[:4])


def _compare(
    ours: Callable[[], object], peer: Callable[[], object], tidy: Callable[[], None] = lambda: None
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the medians of wall and CPU seconds of both, taking turns, after one turn that is thrown away."""
    taken: list[list[tuple[float, float]]] = [[], []]
    for turn in range(RUNS + 1):
        for number, work in enumerate((ours, peer)):
            tidy()
            measured = _times(work)
            if turn:
                taken[number].append(measured)
    tidy()
    medians = [(statistics.median(w for w, _ in runs), statistics.median(c for _, c in runs)) for runs in taken]
    return medians[0], medians[1]


def _report(
    name: str, ours: tuple[float, float], peer_name: str, peer: tuple[float, float], size: int, goal: str, met: bool
) -> None:
    rate = f" {size / ours[0] / 1e6:.0f} MB/s" if size else ""
    print(
        f"{name:28} {ours[0]:7.3f} s wall {ours[1]:7.3f} s cpu{rate}; {peer_name} {peer[0]:7.3f} s wall {peer[1]:7.3f} s cpu;"
        f" speed {peer[0] / ours[0]:.2f} by wall, {peer[1] / ours[1]:.2f} by cpu  goal {goal}: {'met' if met else 'MISSED'}"
    )


def _fill(store: Store, count: int, size: int) -> list[Path]:
    """Put files of random bytes into a store the short way; return their paths."""
    store.prepare()
    paths = []
    for number in range(count):
        data = os.urandom(min(size, 1 << 20)) * max(1, size >> 20) if size else b"%d" % number
        name = hashlib.sha256(data).hexdigest()
        path = store.blobs / name[:2] / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        path.chmod(0o444)
        paths.append(path)
    return paths


def _bench_verify(name: str, root: Path, count: int, size: int) -> bool:
    store = Store(root)
    paths = _fill(store, count, size)
    listing = b"\0".join(os.fsencode(path) for path in paths)
    cores = len(os.sched_getaffinity(0))
    # As many files to a process as give every core the same, and no more than a command line takes.
    batch = max(1, min(2000, -(-count // cores)))

    def ours() -> None:
        found = verify(store)
        assert found.damages == () and found.files == len(paths)

    def peer() -> None:
        subprocess.run(
            ["xargs", "-0", "-P", str(cores), "-n", str(batch), "sha256sum"],
            input=listing,
            stdout=subprocess.DEVNULL,
            check=True,
        )

    mine, theirs = _compare(ours, peer)
    met = theirs[0] / mine[0] >= VERIFY_GOAL
    _report(f"verify {name}", mine, "sha256sum", theirs, count * size, f"{VERIFY_GOAL:g}", met)
    shutil.rmtree(root)
    return met


def _bench_link(root: Path) -> bool:
    tree, target = root / "tree", root / "target"
    names = []
    for number in range(SMALL):
        name = f"d{number // 500:04}/f{number:06}"
        if number % 500 == 0:
            (tree / name).parent.mkdir(parents=True)
        (tree / name).write_bytes(b"%d" % number)
        names.append((name, name))

    def ours() -> None:
        target.mkdir()
        assert link_tree(names, tree, target) == {"hard link": SMALL}

    def tidy() -> None:
        shutil.rmtree(target, ignore_errors=True)
        # The journal of the last removal is not part of the next run.
        os.sync()

    mine, theirs = _compare(ours, lambda: subprocess.run(["cp", "-al", str(tree), str(target)], check=True), tidy)
    met = mine[0] <= theirs[0] * LINK_GOAL
    _report(f"link {SMALL} files", mine, "cp -al", theirs, 0, f"{LINK_GOAL:g}", met)
    return met


def main() -> int:
    """Measure and print; the exit code is 1 when a goal is missed."""
    version = subprocess.run(["sha256sum", "--version"], capture_output=True, text=True, check=True).stdout
    print(f"{len(os.sched_getaffinity(0))} cores, {version.splitlines()[0]}, median of {RUNS} runs taking turns")
    with tempfile.TemporaryDirectory(prefix="bench-store-") as folder:
        root = Path(folder)
        met = [
            _bench_verify(f"{SMALL} x 2 kB", root / "small", SMALL, 2048),
            _bench_verify(f"8 x {LARGE_BYTES / 8e6:.0f} MB", root / "large", 8, LARGE_BYTES // 8),
            _bench_verify("1000 x 300 kB", root / "medium", 1000, 300_000),
            _bench_link(root / "link"),
        ]
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
