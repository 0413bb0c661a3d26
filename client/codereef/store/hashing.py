# SPDX-License-Identifier: Apache-2.0
"""SHA-256 of many files at once, on every core: threads for large files, processes for many small ones."""

from __future__ import annotations

import contextlib
import os
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from .hasher import ROW, UNREAD, read_shelf, sha256_of

_SMALL = 1 << 15  # bytes; below this the interpreter's own work outweighs hashing
_MANY = 8000  # small files for which starting a process pays
_BATCH = 512

#: The digest in hexadecimal, or why there is none.
Answer = str | OSError


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0))


class _Work:
    """Batches of file numbers that threads take from, and the answers they give."""

    def __init__(self, paths: Sequence[str], batches: Iterable[list[int]]) -> None:
        self.paths = paths
        self.batches = iter(list(batches))
        self.answers: list[Answer | None] = [None] * len(paths)
        self.guard = threading.Lock()
        self.stop = threading.Event()
        self.failed: list[BaseException] = []

    def take(self) -> list[int] | None:
        with self.guard:
            return None if self.stop.is_set() else next(self.batches, None)


def _here(work: _Work, done: Callable[[list[int]], None]) -> None:
    room = bytearray(1 << 18)
    while (batch := work.take()) is not None:
        for number in batch:
            try:
                work.answers[number] = sha256_of(work.paths[number], room).hex()
            except OSError as error:
                work.answers[number] = error
        done(batch)


def _helper() -> subprocess.Popen[bytes] | None:
    """Start a process that reads files and answers (`hasher`); None where that is not possible."""
    program = Path(__file__).with_name("hasher.py")
    try:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", str(program)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
    except OSError:
        return None


def _elsewhere(work: _Work, done: Callable[[list[int]], None]) -> None:
    """Let a process of its own read; what it leaves when it dies is read here."""
    child = _helper()
    if child is None:
        _here(work, done)
        return
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        while (batch := work.take()) is not None:
            answer = b""
            with contextlib.suppress(OSError):
                text = b"P" + b"\0".join(os.fsencode(work.paths[number]) for number in batch)
                child.stdin.write(struct.pack("<I", len(text)) + text)
                child.stdin.flush()
                answer = child.stdout.read(33 * len(batch))
            for place, number in enumerate(batch):
                piece = answer[33 * place : 33 * place + 33]
                if len(piece) < 33:
                    try:
                        work.answers[number] = sha256_of(work.paths[number]).hex()
                    except OSError as error:
                        work.answers[number] = error
                elif piece[0]:
                    work.answers[number] = OSError(piece[0], os.strerror(piece[0]), work.paths[number])
                else:
                    work.answers[number] = piece[1:].hex()
            done(batch)
    finally:
        with contextlib.suppress(OSError):
            child.stdin.close()
        child.stdout.close()
        child.kill()
        child.wait()


def digests(
    files: Sequence[tuple[str, int]], *, jobs: int | None = None, on_bytes: Callable[[int], None] | None = None
) -> list[Answer]:
    """Return the SHA-256 of each file, in the same order.

    Args:
        files: path and size in bytes; the size only decides who reads what.
        jobs: how many to read at once; the number of cores by default.
        on_bytes: is told of bytes that were read, from several threads.

    Returns:
        The digest in hexadecimal, or the `OSError` of reading it; a symbolic link is such an error.
    """
    jobs = jobs or cores()
    paths = [path for path, _ in files]
    small = [number for number, (_, size) in enumerate(files) if size < _SMALL]
    large = sorted((n for n, (_, size) in enumerate(files) if size >= _SMALL), key=lambda n: -files[n][1])

    def done(batch: list[int]) -> None:
        if on_bytes is not None:
            on_bytes(sum(files[number][1] for number in batch))

    # Large ones first and one at a time, so that the last to end is a short one.
    everything = _Work(paths, [[n] for n in large])
    few = [small[at : at + _BATCH] for at in range(0, len(small), _BATCH)]
    helpers = min(jobs, len(small) // _MANY) if jobs > 1 else 0
    if helpers > 1:
        little = _Work(paths, few)
        _run(little, [_elsewhere] * helpers, done)
        _run(everything, [_here] * min(jobs, len(large)), done)
        return [a if b is None else b for a, b in zip(everything.answers, little.answers)]  # type: ignore[misc]
    # Two threads with small files only stand in each other's way: all small ones are one thread's.
    little = _Work(paths, few)
    if large and few and jobs > 1:
        thread = threading.Thread(target=_guarded, args=(_here, little, done))
        thread.start()
        try:
            _run(everything, [_here] * min(jobs, len(large)), done)
        except BaseException:
            little.stop.set()
            raise
        finally:
            thread.join()
        _raise(little)
    else:
        _run(everything, [_here] * min(jobs, len(large)), done)
        _run(little, [_here] if few else [], done)
    return [a if b is None else b for a, b in zip(everything.answers, little.answers)]  # type: ignore[misc]


Reader = Callable[[_Work, Callable[[list[int]], None]], None]


def _guarded(reader: Reader, work: _Work, done: Callable[[list[int]], None]) -> None:
    try:
        reader(work, done)
    except BaseException as error:
        work.failed.append(error)
        work.stop.set()


def _raise(work: _Work) -> None:
    for error in work.failed:
        raise error


def _run(work: _Work, readers: Sequence[Reader], done: Callable[[list[int]], None]) -> None:
    """Let the readers work until nothing is left; an interrupt stops them after the file they are at."""
    if len(readers) == 1:
        readers[0](work, done)
        return
    threads = [threading.Thread(target=_guarded, args=(reader, work, done), daemon=True) for reader in readers]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    except BaseException:
        work.stop.set()
        raise
    _raise(work)


@dataclass(frozen=True)
class Shelf:
    """A folder of files whose names are their SHA-256, with its small files read.

    Attributes:
        folder: the folder.
        device: the device it lies on.
        rows: of each file `hasher.ROW`, packed.
    """

    folder: str
    device: int
    rows: bytes


def shelves(
    folders: Sequence[str], *, jobs: int | None = None, on_bytes: Callable[[int], None] | None = None
) -> list[Shelf]:
    """Read the small files of folders whose names are their SHA-256, several folders at a time.

    One question for a folder instead of one for a file: with a hundred thousand small files, listing, looking and
    naming are more than half of the work, and are done by the processes that read.

    Args:
        folders: the folders; those that cannot be read or have gone are left out.
        jobs: how many processes; the number of cores by default.
        on_bytes: is told of bytes that were read.
    """
    jobs = jobs or cores()
    found: list[Shelf | None] = [None] * len(folders)

    def keep(number: int, device: int, rows: bytes) -> None:
        found[number] = Shelf(folders[number], device, rows)
        if on_bytes is not None:
            on_bytes(sum(row[2] for row in ROW.iter_unpack(rows) if row[3] != UNREAD))

    def here(work: _Work, _done: object) -> None:
        while (batch := work.take()) is not None:
            with contextlib.suppress(OSError):
                device, rows = read_shelf(folders[batch[0]], _SMALL)
                keep(batch[0], device, b"".join(rows))

    def elsewhere(work: _Work, done: Callable[[list[int]], None]) -> None:
        child = _helper()
        if child is None:
            here(work, done)
            return
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            while (batch := work.take()) is not None:
                data = b""
                with contextlib.suppress(OSError):
                    text = b"S" + struct.pack("<I", _SMALL) + os.fsencode(folders[batch[0]])
                    child.stdin.write(struct.pack("<I", len(text)) + text)
                    child.stdin.flush()
                    head = child.stdout.read(4)
                    data = child.stdout.read(struct.unpack("<I", head)[0]) if len(head) == 4 else b""
                if len(data) >= 8:
                    keep(batch[0], struct.unpack("<Q", data[:8])[0], data[8:])
                    continue
                # The helper is gone; a folder that cannot be read ends it too.
                with contextlib.suppress(OSError):
                    device, rows = read_shelf(folders[batch[0]], _SMALL)
                    keep(batch[0], device, b"".join(rows))
        finally:
            with contextlib.suppress(OSError):
                child.stdin.close()
            child.stdout.close()
            child.kill()
            child.wait()

    sample = 0
    for folder in folders[:4]:
        with contextlib.suppress(OSError):
            sample += sum(1 for _ in Path(folder).iterdir())
    about = sample * len(folders) // max(1, min(4, len(folders)))
    helpers = min(jobs, about // _MANY) if jobs > 1 else 0
    work = _Work(folders, [[number] for number in range(len(folders))])
    if folders:
        _run(work, [elsewhere] * helpers if helpers > 1 else [here], lambda _batch: None)
    return [shelf for shelf in found if shelf is not None]
