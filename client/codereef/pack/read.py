# SPDX-License-Identifier: Apache-2.0
"""Checks packs and takes them apart. Nobody has reason to trust the file of a pack until all of it was checked.

A pack is sound when its first file is a `pack.json` that follows its schema, and after it come exactly the files
that this one lists, in that order, each of the size and SHA-256 it gives. Names in the archive are only compared
with those of the list, never used; so a name that leads elsewhere is a file that was not announced.
"""

from __future__ import annotations

import contextlib
import hashlib
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from codereef.archive import Header
from codereef.disk import CHUNK, human
from codereef.errors import CrError, IntegrityError, MetadataError, UsageError

from .format import FORMAT, MANIFEST, Manifest, Member, from_document

_MANIFEST_LIMIT = 256 << 20  # bytes of a pack.json; one line a file makes this a pack of a million files
# tarfile calls itself for each extended header before an entry.
_BROKEN = (tarfile.TarError, EOFError, ValueError, OverflowError, RecursionError)


class Content:
    """The bytes of one file of a pack, read once, checked at the end."""

    def __init__(self, pack: Path, member: Member, source: IO[bytes], moved: Callable[[int], None]) -> None:
        self.member = member
        self._pack = pack
        self._source = source
        self._moved = moved

    def pieces(self) -> Iterator[bytes]:
        """Yield the bytes.

        Raises:
            IntegrityError: the pack ends within it, or the digest is other than the manifest says.
        """
        digest = hashlib.sha256()
        while piece := self._read():
            digest.update(piece)
            self._moved(len(piece))
            yield piece
        if digest.hexdigest() != self.member.sha256:
            why = f"{self.member.path} has other content than was announced (sha256 {digest.hexdigest()})"
            raise _damaged(self._pack, why)

    def _read(self) -> bytes:
        # Whoever reads stands outside of the block that opened the pack, so its errors are told here too.
        try:
            return self._source.read(CHUNK)
        except _BROKEN as error:
            raise _damaged(self._pack, f"it ends within {self.member.path}") from error


def read_manifest(path: Path) -> Manifest:
    """Return what a pack says that it holds; only `pack.json` is read and checked.

    Raises:
        UsageError: there is no such file, or it is no pack.
        IntegrityError: it is damaged, or unsafe.
        MetadataError: its `pack.json` does not follow the schema, or is of a newer format.
    """
    with _opened(path) as tar:
        return _manifest(tar, path)


def contents(path: Path, moved: Callable[[int], None] = lambda _: None) -> Iterator[tuple[Manifest, Content | None]]:
    """Yield the manifest with None, then every file; whoever takes one has to read it to its end.

    Args:
        path: the pack.
        moved: told how many bytes were read.

    Raises:
        UsageError, IntegrityError, MetadataError: as `read_manifest`; and where any file is not as announced.
    """
    with _opened(path) as tar:
        manifest = _manifest(tar, path)
        yield manifest, None
        for member in manifest.members:
            info = tar.next()
            if info is None:
                raise IntegrityError(f"it ends before {member.path}")
            if info.name != member.path:
                raise IntegrityError(f"it has {info.name!r:.200} where {member.path!r:.200} was announced")
            if member.link:
                if not info.issym() or info.linkname != member.link:
                    raise IntegrityError(f"{member.path} is not the link that was announced")
                continue
            if not info.isreg() or info.size != member.size:
                raise IntegrityError(f"{member.path} is not a file of {member.size} bytes")
            source = tar.extractfile(info)
            assert source is not None
            yield manifest, Content(path, member, source, moved)
        surplus = tar.next()
        if surplus is not None:
            raise IntegrityError(f"it has {surplus.name!r:.200}, which was not announced")


def verify(path: Path, moved: Callable[[int], None] = lambda _: None) -> Manifest:
    """Read all of a pack and return what it holds.

    Raises:
        UsageError, IntegrityError, MetadataError: it is not sound; the message says where.
    """
    found: Manifest | None = None
    for manifest, content in contents(path, moved):
        found = manifest
        if content is not None:
            for _ in content.pieces():
                pass
    assert found is not None
    return found


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tarfile.TarFile]:
    if not path.is_file():
        raise UsageError(
            f"There is no pack at {path}.", hint="`cr pack SOLUTION` writes one.", context={"file": str(path)}
        )
    try:
        # A stream is never sought in: a header cannot lead the reader to another place.
        with path.open("rb") as stream, tarfile.open(fileobj=stream, mode="r|", bufsize=CHUNK, tarinfo=Header) as tar:
            yield tar
    except _BROKEN as error:
        if isinstance(error, CrError):
            raise
        raise _damaged(path, f"it cannot be read ({str(error) or type(error).__name__})") from error
    except IntegrityError as error:
        if error.context.get("pack"):
            raise
        raise _damaged(path, error.message) from error


def _damaged(path: Path, why: str) -> IntegrityError:
    return IntegrityError(
        f"{path} is not a sound pack: {why}.",
        hint="Nothing of it was used. Fetch or copy it again; if it is the same then, do not use it.",
        context={"pack": str(path), "file": str(path)},
    )


def _manifest(tar: tarfile.TarFile, path: Path) -> Manifest:
    from codereef.meta.schemas import check, parse_json

    info = tar.next()
    if info is None or info.name != MANIFEST or not info.isreg():
        raise UsageError(
            f"{path} is not a pack: it does not begin with {MANIFEST}.",
            hint="`cr pack SOLUTION` writes packs. A solution is named without a path.",
            context={"file": str(path)},
        )
    if info.size > _MANIFEST_LIMIT:
        raise IntegrityError(f"its {MANIFEST} claims {human(info.size)}")
    source = tar.extractfile(info)
    assert source is not None
    data = source.read()
    if len(data) != info.size:
        raise IntegrityError(f"it ends within {MANIFEST}")
    document = parse_json(data, f"{path}:{MANIFEST}")
    found = document.get("format") if isinstance(document, dict) else None
    if found != FORMAT:
        raise MetadataError(
            f"The pack {path} has the format {found!r}; this client reads {FORMAT}.",
            hint="A newer client wrote it: upgrade this one.",
            context={"file": str(path), "format": found},
        )
    check(document, "pack", f"{path}:{MANIFEST}")
    return from_document(document)
