# SPDX-License-Identifier: Apache-2.0
"""Installed folders: what is known of a complete one, and the making of a new one."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from types import MappingProxyType

from codereef.disk import flush_directory, flush_tree, storing, write_atomic
from codereef.errors import StorageError

from .tree import LISTING, MANIFEST, listing_digest, tree_listing

_FORMAT = "codereef-prefix/1"


@dataclass(frozen=True)
class Prefix:
    """A complete installed folder.

    Attributes:
        key: its name in the store.
        path: where it is.
        meta: what the installer recorded.
        tree: digest of its files, where one was recorded.
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


def read_prefix(path: Path) -> Prefix | None:
    """Return the installed folder at `path`, or None unless its manifest is there and can be read."""
    try:
        data = json.loads((path / MANIFEST).read_bytes())
    except (OSError, ValueError):
        return None
    if not isinstance(data, dict) or data.get("format") != _FORMAT or data.get("key") != path.name:
        return None
    return Prefix(
        key=path.name,
        path=path,
        meta=MappingProxyType(data["meta"]),
        tree=data["tree"],
        size=data["size"],
        files=data["files"],
        created=data["created"],
    )


def _measure(path: Path) -> tuple[int, int]:
    """Return the bytes and the number of files below `path`; links count as themselves."""
    size = count = 0
    for base, _, names in os.walk(path):
        for name in names:
            size += Path(base, name).lstat().st_size
            count += 1
    return size, count


@dataclass
class Build:
    """A folder being built, under the lock of its key.

    Attributes:
        key: its name in the store.
        path: where to build: empty at first.
        final: the path it will have; the same as `path` when it is built in place.
        existing: set where another process has completed it meanwhile; nothing is left to do then.
        result: set by `commit`.
    """

    key: str
    path: Path
    final: Path
    existing: Prefix | None
    result: Prefix | None = None

    def commit(self, meta: Mapping[str, object], *, digest: bool = False) -> Prefix:
        """Complete the folder: flush all, write the manifest, rename into place.

        Args:
            meta: what to record, as JSON data.
            digest: record the digest and the list of all files too, for `Store.verify_prefix`.

        Raises:
            IntegrityError: `digest` is asked for and there are symbolic links.
            StorageError: it cannot be written, or was committed before.
        """
        if self.existing is not None or self.result is not None:
            raise StorageError(f"{self.key} is complete already and cannot be committed again.")
        size, files = _measure(self.path)
        tree = None
        with storing(f"the folder {self.key}", self.path):
            if digest:
                listing = tree_listing(self.path)
                tree = listing_digest(listing)
                write_atomic(self.path / LISTING, listing)
            flush_tree(self.path)
            data = {
                "format": _FORMAT,
                "key": self.key,
                "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
                "tree": tree,
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
