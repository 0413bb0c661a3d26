# SPDX-License-Identifier: Apache-2.0
"""The digest of a folder: what is in it, whatever its dates, owners and order on disk."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from codereef.errors import IntegrityError

from .hashing import digests

MANIFEST = ".codereef-prefix.json"
LISTING = ".codereef-prefix.files"
OWN = (MANIFEST, LISTING)


@dataclass(frozen=True)
class Entry:
    """A file of a folder.

    Attributes:
        name: relative path, as bytes.
        path: whole path.
        status: what `lstat` says.
    """

    name: bytes
    path: str
    status: os.stat_result

    @property
    def link(self) -> bool:
        """Whether it is a symbolic link."""
        return stat.S_ISLNK(self.status.st_mode)


def entries(path: Path) -> list[Entry]:
    """Return every file and symbolic link below `path`, sorted bytewise by relative path.

    The store's own two files at the top are left out. Empty folders do not count.

    Raises:
        IntegrityError: there is a device, a socket or a pipe, or a name with a line break.
        OSError: a folder cannot be read.
    """
    found: list[Entry] = []
    pending = [(str(path), b"")]
    while pending:
        folder, prefix = pending.pop()
        with os.scandir(folder) as items:
            for item in items:
                if not prefix and item.name in OWN:
                    continue
                name = prefix + os.fsencode(item.name)
                status = item.stat(follow_symlinks=False)
                kind = stat.S_IFMT(status.st_mode)
                if kind == stat.S_IFDIR:
                    pending.append((item.path, name + b"/"))
                    continue
                if b"\n" in name:
                    raise IntegrityError(f"{item.path!s:.200} has a line break in its name; no digest is defined.")
                if kind not in (stat.S_IFREG, stat.S_IFLNK):
                    raise IntegrityError(
                        f"{item.path} is not a regular file; the digest of a folder covers regular files only.",
                        hint="Put the file itself in its place.",
                    )
                found.append(Entry(name, item.path, status))
    found.sort(key=lambda entry: entry.name)
    return found


def link_digest(path: str) -> tuple[str, int]:
    """Return what a listing has for a symbolic link: `>` and the SHA-256 of where it points, and that text's length."""
    text = os.fsencode(Path(path).readlink())
    return ">" + hashlib.sha256(text).hexdigest(), len(text)


def tree_listing(
    path: Path,
    *,
    links: bool = False,
    without: Collection[bytes] = (),
    jobs: int | None = None,
    on_bytes: Callable[[int], None] | None = None,
) -> bytes:
    """Return `<sha256> <size> <relative/posix/path>` and a line break for each file, sorted bytewise by path.

    The store's own two files at the top are left out. Empty folders do not count.

    Args:
        path: the folder.
        links: list symbolic links too, as `><sha256 of the text> <its length> <path>`, instead of refusing them.
        without: relative paths to leave out.
        jobs: how many files to read at once; the number of cores by default.
        on_bytes: is told of bytes that were read.

    Raises:
        IntegrityError: there is a symbolic link, a device or a name with a line break.
    """
    found = [entry for entry in entries(path) if entry.name not in without]
    for entry in found:
        if entry.link and not links:
            raise IntegrityError(
                f"{entry.path} is a symbolic link; the digest of a folder covers regular files only.",
                hint="Put the file itself in its place.",
            )
    files = [(entry.path, entry.status.st_size) for entry in found if not entry.link]
    answers = iter(digests(files, jobs=jobs, on_bytes=on_bytes))
    lines = []
    for entry in found:
        if entry.link:
            digest, size = link_digest(entry.path)
        else:
            answer, size = next(answers), entry.status.st_size
            if isinstance(answer, OSError):
                raise answer
            digest = answer
        lines.append(b"%s %d %s\n" % (digest.encode(), size, entry.name))
    return b"".join(lines)


def listing_digest(listing: bytes) -> str:
    """Return the digest `sha256:<hex>` of a listing."""
    return "sha256:" + hashlib.sha256(listing).hexdigest()


def tree_digest(path: Path) -> str:
    """Return the digest `sha256:<hex>` of everything in a folder: the SHA-256 of its `tree_listing`.

    Raises:
        IntegrityError: there is a symbolic link, a device or a name with a line break.
    """
    return listing_digest(tree_listing(path))


def read_listing(listing: bytes) -> Mapping[bytes, tuple[str, int]]:
    """Return digest and size by name from a listing.

    Raises:
        ValueError: it is none.
    """
    rows = (line.split(b" ", 2) for line in listing.split(b"\n") if line)
    return {name: (digest.decode("ascii"), int(size)) for digest, size, name in rows}


def difference(name: bytes, was: tuple[str, int] | None, now: tuple[str, int] | None) -> str:
    """Return a sentence on what became of a file, or "" where it is as it was.

    Args:
        name: relative path.
        was: digest and size when it was installed; None where it was not there.
        now: digest and size now; None where it is not there.
    """
    shown = os.fsdecode(name)
    if was is None:
        return f"{shown} was not there when it was installed"
    if now is None:
        return f"{shown} is missing"
    if was[0][:1] == ">" or now[0][:1] == ">":
        return "" if was == now else f"{shown} points elsewhere or is no longer the link or file it was"
    if was[1] != now[1]:
        return f"{shown} has {now[1]} bytes instead of {was[1]}"
    return "" if was[0] == now[0] else f"{shown} has other contents (sha256 {now[0]})"
