# SPDX-License-Identifier: Apache-2.0
"""Reads files and answers with their SHA-256; run as a program of its own, so that it needs nothing but Python.

Reading a small file is mostly Python's own work, of which one process does one thing at a time; several
processes do several. For large files threads are enough: hashing leaves the interpreter free.

    in    4 bytes length, then that many bytes: `P` and paths with a zero byte between them, or `S` and a folder
    out   to P: 33 bytes for each path: the error number of reading it (0: none), then its SHA-256
          to S: 4 bytes length, then that many bytes: 8 bytes device and an answer of `read_shelf` for each file
"""

from __future__ import annotations

import hashlib
import os
import re
import struct
import sys

_FIRST = 1 << 16


def sha256_of(path: str | bytes, buffer: bytearray | None = None, size: int = -1) -> bytes:
    """Return the SHA-256 of a file.

    Args:
        path: the file; a symbolic link is refused.
        buffer: room for large files, to be used again; made where it is needed and not given.
        size: its size in bytes where that is known a moment ago: spares asking whether more comes.

    Raises:
        OSError: it cannot be read.
    """
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        first = os.read(handle, _FIRST)
        digest = hashlib.sha256(first)
        if len(first) == size and size < _FIRST:
            return digest.digest()
        if len(first) < _FIRST:
            # Only the end of a file makes a short read, save on some network drives: so ask once more.
            while first:
                first = os.read(handle, _FIRST)
                digest.update(first)
            return digest.digest()
        room = bytearray(1 << 18) if buffer is None else buffer
        view = memoryview(room)
        while count := os.readv(handle, [room]):
            digest.update(view[:count])
        return digest.digest()
    finally:
        os.close(handle)


#: Of a file on a shelf: name as bytes, inode, size, what came of reading it, SHA-256 of its contents.
ROW = struct.Struct("<32sQQB32s")
SOUND, OTHER, UNREAD, FAILED = 0, 1, 2, 3
_NAME = re.compile(r"[0-9a-f]{64}")


def read_shelf(folder: str, small: int, buffer: bytearray | None = None) -> tuple[int, list[bytes]]:
    """Read the files of a folder whose names are their SHA-256.

    Args:
        folder: the folder.
        small: files of that many bytes and more are not read (`UNREAD`).
        buffer: room for large files.

    Returns:
        The device it lies on, and a `ROW` for each file: `SOUND`, of `OTHER` contents, `UNREAD`, or `FAILED` to be
        read. Files that go meanwhile are left out.

    Raises:
        OSError: the folder cannot be read.
    """
    rows = []
    pack, is_name, zero = ROW.pack, _NAME.fullmatch, bytes(32)
    with os.scandir(folder) as items:
        for item in items:
            if not is_name(item.name):
                continue
            name, answer = bytes.fromhex(item.name), zero
            try:
                status = item.stat(follow_symlinks=False)
                if status.st_size >= small:
                    what = UNREAD
                else:
                    answer = sha256_of(item.path, buffer, status.st_size)
                    what = SOUND if answer == name else OTHER
            except FileNotFoundError:
                continue
            except OSError:
                what = FAILED
            rows.append(pack(name, status.st_ino, status.st_size, what, answer))
    return os.stat(folder).st_dev, rows  # noqa: PTH116 - pathlib takes longer to import than a small job


def main() -> None:
    """Answer until there are no more questions."""
    source, target = sys.stdin.buffer, sys.stdout.buffer
    room = bytearray(1 << 18)
    while head := source.read(4):
        question = source.read(struct.unpack("<I", head)[0])
        if question[:1] == b"S":
            device, rows = read_shelf(os.fsdecode(question[5:]), struct.unpack("<I", question[1:5])[0], room)
            data = struct.pack("<Q", device) + b"".join(rows)
            target.write(struct.pack("<I", len(data)) + data)
            target.flush()
            continue
        paths = question[1:].split(b"\0")
        answers = []
        for path in paths:
            try:
                answers.append(b"\0" + sha256_of(path, room))
            except OSError as error:
                answers.append(bytes([min(error.errno or 255, 255)]) + bytes(32))
        target.write(b"".join(answers))
        target.flush()


if __name__ == "__main__":
    main()
