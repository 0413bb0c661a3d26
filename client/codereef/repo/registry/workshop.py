# SPDX-License-Identifier: Apache-2.0
"""A registry that is being written: objects first, the root last, one process at a time."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from codereef.disk import write_atomic
from codereef.errors import IntegrityError, NotFoundError, UsageError
from codereef.meta.component import component_files
from codereef.repo.catalogue import Row, row_of
from codereef.repo.folder import replace_file
from codereef.repo.registry import layout
from codereef.repo.registry.layout import Link, Publisher, Release, Root
from codereef.repo.registry.local import utc_now
from codereef.trust.signatures import Signer, short

#: Components that a page holds on average at most; the number of pages is a power of 16.
_PER_PAGE = 256
#: Up to this many new objects are flushed one by one; beyond it one flush of the file system is cheaper.
_FLUSH_SINGLY = 64


@dataclass(frozen=True)
class Change:
    """What was done to a registry.

    Attributes:
        root: its new root.
        added: references that are new.
        kept: references that were there already, with the same digest.
    """

    root: Root
    added: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()


def pack_component(folder: Path) -> bytes:
    """Return the archive of a component: a tar of its files sorted by path, without times and owners, in gzip.

    The same files give the same bytes.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for file in sorted(component_files(folder), key=lambda path: path.relative_to(folder).as_posix()):
            data = file.read_bytes()
            entry = tarfile.TarInfo(file.relative_to(folder).as_posix())
            entry.size = len(data)
            entry.mode = 0o755 if os.access(file, os.X_OK) else 0o644
            tar.addfile(entry, io.BytesIO(data))
    return gzip.compress(buffer.getvalue(), compresslevel=6, mtime=0)


class Workshop:
    """A registry that is being written, by one process at a time.

    Args:
        folder: where it is.
        signers: the keys that sign the root; none for a registry without signatures.
    """

    def __init__(self, folder: Path, signers: Sequence[Signer] = ()) -> None:
        self.folder = folder
        self._new: list[Path] = []
        self._signers = {signer.id: signer for signer in signers}
        self.root = self._read()
        self.rows: dict[str, tuple[Row, Link]] = {}
        for link in self.root.pages:
            self.rows.update(layout.read_page(self.object(link), f"a page of {folder}"))

    def _read(self) -> Root:
        path = self.folder / layout.ROOT_FILE
        try:
            return layout.read_root(path.read_bytes(), str(path))
        except FileNotFoundError:
            raise NotFoundError(
                f"{self.folder} is no registry: it has no {layout.ROOT_FILE}.",
                hint="`cr registry publish FOLDER --to DIR` makes one.",
            ) from None

    def object(self, link: Link) -> bytes:
        """Return an object of the registry.

        Raises:
            IntegrityError: it is missing or damaged.
        """
        from codereef.repo.registry.fetch import check

        path = self.folder / link.path
        try:
            return check(path.read_bytes(), link, str(path))
        except OSError as error:
            raise IntegrityError(
                f"{path} of the registry cannot be read: {error.strerror}.", hint="Bring it back from a copy."
            ) from None

    def keep(self, data: bytes) -> Link:
        """Write an object where it is not there, and return its link."""
        link = layout.link_of(data)
        path = self.folder / link.path
        if not path.is_file():
            replace_file(path, data, "an object of the registry")
            self._new.append(path)
        return link

    def _flush(self) -> None:
        """Bring new objects to the disk, before a root names them."""
        if len(self._new) > _FLUSH_SINGLY:
            os.sync()
        else:
            for path in self._new:
                with path.open("rb") as stream:
                    os.fsync(stream.fileno())
        self._new.clear()

    def releases(self, key: str) -> dict[str, Release]:
        """Return the releases of a component; none for a new one."""
        if key not in self.rows:
            return {}
        return layout.read_shard(self.object(self.rows[key][1]), key, f"the shard of {key}")

    def put(self, key: str, releases: Mapping[str, Release]) -> None:
        """Make the releases of a component those; the pages and the root follow with `commit`."""
        metas = {
            version: {**release.meta, "yanked": release.yanked} if release.yanked else release.meta
            for version, release in releases.items()
        }
        self.rows[key] = (row_of(metas), self.keep(layout.pack(layout.shard_document(key, releases))))

    def commit(self, *, force: bool = False) -> Root:
        """Write the pages and the root, signed.

        Raises:
            UsageError: the root is signed, and none of its keys is at hand.
        """
        pages = self._pages()
        if not force and pages == self.root.pages:
            return self.root
        root = replace(
            self.root, sequence=self.root.sequence + 1, time=utc_now(), pages=pages, components=len(self.rows)
        )
        document = root.document()
        # A key that was given up signs once more, so that those who only know it can follow.
        signatures = [signer.sign(document) for identity, signer in self._signers.items() if identity in root.keys]
        if root.keys and not signatures:
            raise UsageError(
                f"The registry {self.folder} is signed by {', '.join(map(short, root.keys))}, and that key was not given.",
                hint="Give it with --key; `cr key list` shows the keys you have.",
            )
        data = layout.write_root(root, signatures)
        self._flush()
        write_atomic(self.folder / layout.ROOT_FILE, data, what="the root of the registry")
        self.root = layout.read_root(data, str(self.folder / layout.ROOT_FILE))
        return self.root

    def _pages(self) -> tuple[Link, ...]:
        count = 1
        while len(self.rows) > count * _PER_PAGE:
            count *= 16
        pages: list[dict[str, object]] = [{} for _ in range(count)]
        for key in sorted(self.rows):
            number = int(hashlib.sha256(key.encode()).hexdigest()[:8], 16) % count
            pages[number][key] = layout.page_entry(*self.rows[key])
        return tuple(
            self.keep(layout.pack({"format": layout.PAGE_FORMAT, "components": page})) for page in pages if page
        )


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Let one process at a time write a registry."""
    from codereef.store.locks import locked

    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / ".lock"):
        yield


def create(folder: Path, name: str, signer: Signer | None, publisher: str = "") -> Root:
    """Make an empty registry.

    Args:
        folder: where.
        name: what it calls itself.
        signer: the key that signs it, or None for one without signatures.
        publisher: name under which that key may publish.

    Raises:
        UsageError: there is one already, or the name is not allowed.
    """
    if not layout.is_name(name) or (publisher and not layout.is_name(publisher)):
        raise UsageError(
            f"`{name}` and `{publisher}` cannot be the names of a registry and its publisher."
            if publisher
            else f"`{name}` cannot be the name of a registry.",
            hint="Use lower-case letters, digits and `.-_`.",
        )
    with alone(folder):
        path = folder / layout.ROOT_FILE
        if path.exists():
            raise UsageError(f"{folder} is a registry already.", hint="Publish into it.")
        keys = {signer.id: signer.public} if signer else {}
        publishers = {publisher: Publisher(dict(keys))} if signer and publisher else {}
        root = Root(name, 1, utc_now(), keys=keys, publishers=publishers)
        data = layout.write_root(root, [signer.sign(root.document())] if signer else [])
        write_atomic(path, data, what="the root of the registry")
        return layout.read_root(data, str(path))


def edit(folder: Path, signers: Sequence[Signer], change: Callable[[Workshop], None]) -> Change:
    """Change a registry and write its root.

    Raises:
        UsageError: the root's key is missing.
    """
    with alone(folder):
        shop = Workshop(folder, signers)
        change(shop)
        return Change(shop.commit(force=True))
