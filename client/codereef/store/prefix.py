# SPDX-License-Identifier: Apache-2.0
"""Installed folders: what is known of a complete one, and the making of a new one."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from types import MappingProxyType

from codereef.disk import flush_directory, flush_tree, storing, write_atomic
from codereef.errors import StorageError

from .environments import recorded
from .stamps import settled, state
from .tree import LISTING, MANIFEST, entries, listing_digest, tree_listing

_FORMAT = "codereef-prefix/1"


@dataclass(frozen=True)
class Prefix:
    """A complete installed folder.

    Attributes:
        key: its name in the store.
        path: where it is.
        meta: what the installer recorded.
        tree: digest of its files, where one was recorded.
        listed: digest of the listing of the files that nothing else answers for, of a folder that was built in
            place; else None.
        size: bytes of its files when it was installed.
        files: number of its files when it was installed.
        created: when it was installed, UTC, ISO 8601.
    """

    key: str
    path: Path
    meta: Mapping[str, object] = field(hash=False)
    tree: str | None
    size: int
    files: int
    created: str
    listed: str | None = None


def read_prefix(path: Path) -> Prefix | None:
    """Return the installed folder at `path`, or None unless its manifest is there and can be read."""
    try:
        data = json.loads((path / MANIFEST).read_bytes())
    except (OSError, ValueError):
        return None
    if not isinstance(data, dict) or data.get("format") != _FORMAT or data.get("key") != path.name:
        return None
    try:
        return Prefix(
            key=path.name,
            path=path,
            meta=MappingProxyType(dict(data["meta"])),
            tree=None if data["tree"] is None else str(data["tree"]),
            size=int(data["size"]),
            files=int(data["files"]),
            created=str(data["created"]),
            listed=data.get("listed"),
        )
    except (KeyError, TypeError, ValueError):
        return None


def _measure(path: Path) -> tuple[int, int]:
    """Return the bytes and the number of files below `path`; links count as themselves."""
    size = count = 0
    for base, _, names in os.walk(path):
        for name in names:
            size += Path(base, name).lstat().st_size
            count += 1
    return size, count


def _seal(path: Path) -> None:
    """Take the right to write from every file, so that nobody changes one that others have by a hard link."""
    for entry in entries(path):
        if not entry.link and entry.status.st_mode & 0o222:
            os.chmod(entry.path, stat.S_IMODE(entry.status.st_mode) & 0o555)


@dataclass
class Build:
    """A folder being built, under the lock of its key.

    Attributes:
        key: its name in the store.
        path: where to build: empty at first.
        final: the path it will have; the same as `path` when it is built in place.
        existing: set where another process has completed it meanwhile; nothing is left to do then.
        result: set by `commit`.
        checked: state of the files when all of them were read, for `stamps`.
    """

    key: str
    path: Path
    final: Path
    existing: Prefix | None
    result: Prefix | None = None
    checked: str | None = None

    def commit(self, meta: Mapping[str, object], *, digest: bool = False, links: bool = False) -> Prefix:
        """Complete the folder: flush all, write the manifest, rename into place.

        What was not built in place is made read-only, file by file. What was built in place without a digest
        (a Python environment) gets a listing of the files that no RECORD of a distribution answers for.

        Args:
            meta: what to record, as JSON data.
            digest: record the digest and the list of all files too, for `Store.verify_prefix`.
            links: with `digest`, list symbolic links too instead of refusing them.

        Raises:
            IntegrityError: `digest` is asked for and there are symbolic links.
            StorageError: it cannot be written, or was committed before.
        """
        if self.existing is not None or self.result is not None:
            raise StorageError(f"{self.key} is complete already and cannot be committed again.")
        size, files = _measure(self.path)
        tree = listed = None
        with storing(f"the folder {self.key}", self.path):
            if self.path != self.final:
                _seal(self.path)
            before, latest = state(self.path)
            still = settled(self.path.parent, latest)
            if digest:
                listing = tree_listing(self.path, links=links)
                tree = listing_digest(listing)
                if still and state(self.path)[0] == before:
                    self.checked = f"{before} {tree}"
            else:
                listing = tree_listing(self.path, links=True, without=recorded(self.path)[0])
                listed = listing_digest(listing)
            write_atomic(self.path / LISTING, listing)
            flush_tree(self.path)
            data = {
                "format": _FORMAT,
                "key": self.key,
                "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
                "tree": tree,
                "listed": listed,
                "size": size,
                "files": files,
                "meta": dict(meta),
            }
            write_atomic(self.path / MANIFEST, json.dumps(data, indent=1, sort_keys=True).encode() + b"\n")
            if self.path != self.final:
                self.path.rename(self.final)
            flush_directory(self.final.parent)
        self.result = read_prefix(self.final)
        if self.result is None:
            raise StorageError(f"{self.final} could not be read again after it was written.")
        return self.result
