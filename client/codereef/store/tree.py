# SPDX-License-Identifier: Apache-2.0
"""The digest of a folder: what is in it, whatever its dates, owners and order on disk."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

from codereef.canonical import sha256_file
from codereef.errors import IntegrityError

MANIFEST = ".codereef-prefix.json"
LISTING = ".codereef-prefix.files"


def _files(path: Path) -> list[tuple[bytes, Path, int]]:
    found: list[tuple[bytes, Path, int]] = []
    pending = [path]
    while pending:
        folder = pending.pop()
        with os.scandir(folder) as entries:
            for entry in entries:
                if folder == path and entry.name in (MANIFEST, LISTING):
                    continue
                here = Path(entry.path)
                status = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(status.st_mode):
                    pending.append(here)
                elif stat.S_ISREG(status.st_mode):
                    name = os.fsencode(here.relative_to(path).as_posix())
                    if b"\n" in name:
                        raise IntegrityError(f"{here!s:.200} has a line break in its name; no digest is defined.")
                    found.append((name, here, status.st_size))
                else:
                    kind = "a symbolic link" if stat.S_ISLNK(status.st_mode) else "not a regular file"
                    raise IntegrityError(
                        f"{here} is {kind}; the digest of a folder covers regular files only.",
                        hint="Put the file itself in its place.",
                    )
    found.sort(key=lambda item: item[0])
    return found


def tree_listing(path: Path) -> bytes:
    """Return `<sha256> <size> <relative/posix/path>` and a line break for each file, sorted bytewise by path.

    The store's own two files at the top are left out. Empty folders do not count.

    Raises:
        IntegrityError: there is a symbolic link, a device or a name with a line break.
    """
    lines = [b"%s %d %s\n" % (sha256_file(file).encode(), size, name) for name, file, size in _files(path)]
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


def tree_problems(path: Path, recorded: bytes) -> list[str]:
    """Return one sentence for each file that is missing, changed or extra compared with a recorded listing."""
    try:
        found = tree_listing(path)
    except IntegrityError as error:
        return [error.message]
    if found == recorded:
        return []

    def by_name(listing: bytes) -> dict[bytes, tuple[bytes, bytes]]:
        rows = (line.split(b" ", 2) for line in listing.split(b"\n") if line)
        return {name: (digest, size) for digest, size, name in rows}

    was, now = by_name(recorded), by_name(found)
    problems = []
    for name in sorted(was.keys() | now.keys()):
        shown = os.fsdecode(name)
        if name not in now:
            problems.append(f"{shown} is missing")
        elif name not in was:
            problems.append(f"{shown} was not there when it was installed")
        elif was[name][1] != now[name][1]:
            problems.append(f"{shown} has {int(now[name][1])} bytes instead of {int(was[name][1])}")
        elif was[name][0] != now[name][0]:
            problems.append(f"{shown} has other contents (sha256 {now[name][0].decode()})")
    return problems
