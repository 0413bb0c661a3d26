# SPDX-License-Identifier: Apache-2.0
"""What is in a store, how large it is and how much of it is shared."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from codereef.disk import Sharing, sharing
from codereef.errors import StorageError

from .prefix import Prefix
from .roots import Roots
from .use import all_in_use, last_used
from .verify import Kind, kind_of

if TYPE_CHECKING:
    from .store import Store


@dataclass(frozen=True)
class Row:
    """An installed folder.

    Attributes:
        prefix: the folder.
        kind: `folder` or `environment`.
        what: the component it was made of, or what Python it is.
        last_used: seconds since 1970, or None where nobody noted it.
        held_by: locks that hold it.
        used_by: numbers of running processes that use it.
    """

    prefix: Prefix
    kind: Kind
    what: str
    last_used: float | None
    held_by: tuple[Path, ...]
    used_by: tuple[int, ...]


def listed(store: Store) -> tuple[Row, ...]:
    """Return every installed folder, by key."""
    held = Roots(store).held()
    used = all_in_use(store.base)
    return tuple(
        Row(
            prefix,
            kind_of(prefix),
            _what(prefix),
            last_used(store.base, prefix.key),
            held.keys.get(prefix.key, ()),
            used.keys.get(prefix.key, ()),
        )
        for prefix in store.ls()
    )


def _what(prefix: Prefix) -> str:
    if "component" in prefix.meta:
        variants = prefix.meta.get("variants")
        chosen = ",".join(f"{k}={v}" for k, v in sorted(variants.items())) if isinstance(variants, dict) else ""
        return str(prefix.meta["component"]) + (f"[{chosen}]" if chosen else "")
    if "python" in prefix.meta:
        return f"Python {prefix.meta['python']} with {prefix.meta.get('distributions', '?')} distributions"
    return prefix.key


@dataclass(frozen=True)
class Part:
    """One part of a store.

    Attributes:
        name: `files`, `folders`, `environments`, `in the making` or `records`.
        count: number of files, folders or environments.
        files: number of names of files.
        apparent: bytes, every name counted.
        real: bytes on the disk, every file counted once, in the first part that has it.
    """

    name: str
    count: int
    files: int
    apparent: int
    real: int


@dataclass(frozen=True)
class Usage:
    """How large a store is.

    Attributes:
        parts: by what is in it.
        apparent: bytes as if nothing were shared.
        real: bytes that the files take, each counted once, by their blocks.
        shared: bytes that more than one name in the store has, counted for each name but the first.
        outside: bytes of files that have names outside the store too, such as in the cache of an installer.
        how: how files come from the store into folders here: `hard link`, `reflink` or `copy`; None unknown.
        free: bytes free on that disk, or None where unknown.
    """

    parts: tuple[Part, ...]
    apparent: int
    real: int
    shared: int
    outside: int
    how: Sharing | None
    free: int | None


def _walk(folder: Path) -> Iterator[os.stat_result]:
    pending = [str(folder)]
    while pending:
        with contextlib.suppress(OSError), os.scandir(pending.pop()) as items:
            for item in items:
                with contextlib.suppress(OSError):
                    if item.is_dir(follow_symlinks=False):
                        pending.append(item.path)
                    else:
                        yield item.stat(follow_symlinks=False)


def usage(store: Store) -> Usage:
    """Return how large a store is. Blocks shared by reflink are counted once for each file: nobody tells of them."""
    names: dict[tuple[int, int], int] = {}
    links: dict[tuple[int, int], tuple[int, int]] = {}
    apparent = real = shared = 0
    parts = []
    installed = store.ls()
    complete = {prefix.path for prefix in installed}
    places: list[tuple[str, int | None, list[Path]]] = [
        ("files", None, [store.blobs]),
        ("folders", None, [p.path for p in installed if kind_of(p) == "folder"]),
        ("environments", None, [p.path for p in installed if kind_of(p) == "environment"]),
    ]
    making = [store.tmp]
    with contextlib.suppress(OSError):
        making += [path for path in store.prefixes.iterdir() if path not in complete]
    places.append(("in the making", None, making))
    places.append(("records", None, [store.base / name for name in ("roots", "use", "used", "checked", "locks")]))
    for name, _, folders in places:
        files = part_apparent = part_real = 0
        for folder in folders:
            for status in _walk(folder):
                key = (status.st_dev, status.st_ino)
                files += 1
                part_apparent += status.st_size
                names[key] = names.get(key, 0) + 1
                if names[key] == 1:
                    part_real += status.st_blocks * 512
                    links[key] = (status.st_nlink, status.st_size)
                else:
                    shared += status.st_size
        apparent, real = apparent + part_apparent, real + part_real
        count = files if name in ("files", "records") else len(folders)
        parts.append(Part(name, count, files, part_apparent, part_real))
    outside = sum(size for key, (count, size) in links.items() if count > names[key])
    return Usage(tuple(parts), apparent, real, shared, outside, _how(store), _free(store))


def _how(store: Store) -> Sharing | None:
    if not store.blobs.is_dir():
        return None
    try:
        return sharing(store.tmp, store.tmp)
    except (OSError, StorageError):
        return None


def _free(store: Store) -> int | None:
    from codereef.disk import free_bytes

    return free_bytes(store.root)
