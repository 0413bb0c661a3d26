# SPDX-License-Identifier: Apache-2.0
"""Unpacks tar and zip archives nobody has reason to trust.

Only regular files and folders are made, and only inside the given folder. A link inside the archive that
names a file of the same archive becomes that file; every other link, and every device, is refused. Names that
differ in case only are refused, since some file systems cannot tell them apart. Growth is counted in bytes
really written, never in what headers claim.
"""

from __future__ import annotations

import bz2
import contextlib
import errno
import gzip
import lzma
import os
import posixpath
import stat
import struct
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, cast

from codereef.disk import CHUNK, human, link_or_copy, storing
from codereef.errors import IntegrityError

_HEADER_LIMIT = 1 << 20  # an extended header (long names, attributes) larger than this is an attack
_LINK_HOPS = 40  # as many links in a row as Linux follows
_BROKEN = (
    EOFError,
    tarfile.TarError,
    zipfile.BadZipFile,
    lzma.LZMAError,
    zlib.error,
    struct.error,
    gzip.BadGzipFile,
    NotImplementedError,
)


class Header(tarfile.TarInfo):
    """A tar header; those that would make tarfile read a huge extension into memory are refused."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Header:
        header = super().frombuf(buf, encoding, errors)
        extensions = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE)
        long_names = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)
        if header.type in extensions + long_names and header.size > _HEADER_LIMIT:
            raise IntegrityError(f"a header claims {header.size} bytes of names and attributes")
        return header


class _Tracked:
    """A stream that remembers its last bytes and refuses to give more than a limit."""

    def __init__(self, stream: IO[bytes], limit: int) -> None:
        self._stream = stream
        self._left = limit
        self._limit = limit
        self.last = b""

    def read(self, size: int) -> bytes:
        data = self._stream.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise IntegrityError(f"it unpacks to more than {human(self._limit)}")
        self.last = (self.last + data)[-512:]
        return data


class _Writer:
    """Makes files and folders below one folder, and takes them away again when something is wrong."""

    def __init__(self, into: Path, limit_bytes: int, limit_entries: int) -> None:
        self._into = into
        self._bytes = limit_bytes
        self._limit_bytes = limit_bytes
        self._entries = limit_entries
        self._limit_entries = limit_entries
        self._names: dict[str, tuple[str, bool]] = {}
        self.files: dict[str, None] = {}  # in the order made
        self._folders: list[Path] = []
        self._links: dict[str, str] = {}

    def entry(self) -> None:
        """Count one entry of the archive."""
        self._entries -= 1
        if self._entries < 0:
            raise IntegrityError(f"it has more than {self._limit_entries} entries")

    @staticmethod
    def _clean(name: str) -> str:
        """Return the name without `./` and trailing slash; refuse one that could leave the folder."""
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if name.startswith("/") or ".." in parts:
            raise IntegrityError(f"the entry {name!r:.200} would be written outside of the folder")
        if "\\" in name or any(ord(c) < 32 or ord(c) == 127 for c in name) or name[1:2] == ":":
            raise IntegrityError(f"the entry {name!r:.200} has a name that is not allowed")
        if any(len(os.fsencode(part)) > 255 for part in parts) or len(os.fsencode(name)) > 1024:
            raise IntegrityError(f"the entry {name!r:.80}... has a name that is too long")
        return "/".join(parts)

    def _claim(self, name: str, folder: bool) -> None:
        parts = name.split("/")
        for depth in range(1, len(parts) + 1):
            part = "/".join(parts[:depth])
            is_folder = folder or depth < len(parts)
            key = unicodedata.normalize("NFC", part).casefold()
            known = self._names.setdefault(key, (part, is_folder))
            if known[0] != part:
                raise IntegrityError(f"the entries {known[0]!r:.200} and {part!r:.200} differ in case only")
            if known[1] != is_folder:
                raise IntegrityError(f"the entry {part!r:.200} is both a file and a folder")
        if not folder and name in self._links:
            raise IntegrityError(f"the entry {name!r:.200} occurs twice")

    def folder(self, name: str) -> None:
        """Make a folder."""
        name = self._clean(name)
        if name:
            self._claim(name, folder=True)
            self._make(self._into / name)

    def _make(self, folder: Path) -> None:
        missing = []
        while folder != self._into and not folder.is_dir():
            missing.append(folder)
            folder = folder.parent
        if not folder.resolve().is_relative_to(self._into.resolve()):
            raise IntegrityError(f"{folder} is a link that leads outside of the folder")
        for path in reversed(missing):
            path.mkdir()
            self._folders.append(path)

    def file(self, name: str, read: Callable[[int], bytes], executable: bool) -> None:
        """Write a file from `read`, counting."""
        name = self._clean(name)
        if not name:
            raise IntegrityError("an entry has no name")
        self._claim(name, folder=False)
        path = self._into / name
        if name in self.files:
            self._same(name, path, read)
            return
        self._make(path.parent)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        try:
            handle = os.open(path, flags, 0o755 if executable else 0o644)
        except FileExistsError:
            raise IntegrityError(f"the entry {name!r:.200} is there already") from None
        self.files[name] = None
        with os.fdopen(handle, "wb") as target:
            while piece := read(min(CHUNK, self._bytes + 1)):
                self._grow(len(piece))
                target.write(piece)

    def _same(self, name: str, path: Path, read: Callable[[int], bytes]) -> None:
        """Accept a second entry of one name where it has the same bytes: archives that people use have them."""
        with path.open("rb") as first:
            while piece := read(CHUNK):
                self._grow(len(piece))
                if first.read(len(piece)) != piece:
                    raise IntegrityError(f"the entry {name!r:.200} occurs twice, with other contents")
            if first.read(1):
                raise IntegrityError(f"the entry {name!r:.200} occurs twice, with other contents")

    def _grow(self, size: int) -> None:
        self._bytes -= size
        if self._bytes < 0:
            raise IntegrityError(f"it unpacks to more than {human(self._limit_bytes)}")

    def link(self, name: str, target: str, *, relative: bool) -> None:
        """Remember a link; `relative` to the folder it is in (symbolic) or to the archive (hard)."""
        name = self._clean(name)
        place = posixpath.normpath(posixpath.join(posixpath.dirname(name) if relative else "", target))
        if target.startswith("/") or place.split("/")[0] == "..":
            raise IntegrityError(f"the link {name!r:.200} leads outside of the folder, to {target!r:.200}")
        if name in self.files:
            raise IntegrityError(f"the entry {name!r:.200} occurs twice")
        self._claim(name, folder=False)
        self._links[name] = self._clean(place)

    def finish(self) -> None:
        """Make the links: each becomes the file of this archive that it names."""
        made = set(self.files)
        for name, first in self._links.items():
            target = first
            for _ in range(_LINK_HOPS):
                target = self._links.get(target, target)
            if target not in made:
                raise IntegrityError(f"the link {name!r:.200} names {target!r:.200}, which is no file of it")
            source = self._into / target
            self._grow(source.stat().st_size)
            self._make((self._into / name).parent)
            if os.path.lexists(self._into / name):
                raise IntegrityError(f"the entry {name!r:.200} is there already")
            link_or_copy(source, self._into / name)
            self.files[name] = None

    def undo(self) -> None:
        """Take away what was made."""
        for name in self.files:
            (self._into / name).unlink(missing_ok=True)
        for folder in reversed(self._folders):
            with contextlib.suppress(OSError):
                folder.rmdir()


def _unpack_tar(stream: IO[bytes], out: _Writer, limit: int) -> None:
    tracked = _Tracked(stream, limit)
    with tarfile.open(fileobj=cast("IO[bytes]", tracked), mode="r|", tarinfo=Header) as tar:
        for member in tar:
            out.entry()
            if member.isdir():
                out.folder(member.name)
            elif member.issym() or member.islnk():
                out.link(member.name, member.linkname, relative=member.issym())
            elif member.isreg() and not member.issparse():
                source = tar.extractfile(member)
                assert source is not None
                out.file(member.name, source.read, bool(member.mode & 0o100))
            else:
                raise IntegrityError(f"the entry {member.name!r:.200} is no regular file, folder or link")
    while tracked.read(CHUNK):
        pass  # to the end, where compressed streams have their checksum
    # tarfile takes the end of the data between two entries for the end of the archive.
    if tracked.last.strip(b"\0") or len(tracked.last) < 512:
        raise IntegrityError("it ends too early: its end mark is missing")


def _unpack_zip(archive: Path, out: _Writer) -> None:
    with zipfile.ZipFile(archive) as packed:
        for member in packed.infolist():
            out.entry()
            mode = member.external_attr >> 16
            if member.flag_bits & 1:
                raise IntegrityError(f"the entry {member.filename!r:.200} is encrypted")
            if member.is_dir():
                out.folder(member.orig_filename)
                continue
            with packed.open(member) as source:
                if stat.S_ISLNK(mode):
                    target = source.read(4097)
                    if len(target) > 4096:
                        raise IntegrityError(f"the link {member.filename!r:.200} names a path that is too long")
                    out.link(member.orig_filename, os.fsdecode(target), relative=True)
                elif stat.S_IFMT(mode) in (0, stat.S_IFREG):
                    out.file(member.orig_filename, source.read, bool(mode & 0o100))
                else:
                    raise IntegrityError(f"the entry {member.filename!r:.200} is no regular file or folder")


@contextlib.contextmanager
def _opened(archive: Path) -> Iterator[IO[bytes] | None]:
    """Open the tar stream in an archive; None where it is a zip."""
    with archive.open("rb") as raw:
        head = raw.read(262)
        raw.seek(0)
        if head[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
            yield None
        elif head[:2] == b"\x1f\x8b":
            with gzip.open(raw) as stream:
                yield cast("IO[bytes]", stream)
        elif head[:6] == b"\xfd7zXZ\0":
            with lzma.open(raw) as stream:
                yield cast("IO[bytes]", stream)
        elif head[:3] == b"BZh":
            with bz2.open(raw) as stream:
                yield cast("IO[bytes]", stream)
        elif head[257:262] == b"ustar":
            yield raw
        else:
            raise IntegrityError(
                "it is empty" if not head else "it is neither a tar (plain, gz, xz, bz2) nor a zip archive"
            )


def unpack(
    archive: Path, into: Path, *, limit_bytes: int = 20_000_000_000, limit_entries: int = 200_000
) -> tuple[str, ...]:
    """Unpack a tar (plain, gz, xz, bz2) or zip archive into a folder.

    Args:
        archive: the archive; its kind is told by its first bytes.
        into: the folder, made where absent; nothing in it is overwritten.
        limit_bytes: most bytes that may be written.
        limit_entries: most entries the archive may have.

    Returns:
        The relative paths of the files made, sorted.

    Raises:
        IntegrityError: it is truncated, damaged, unsafe or too large; what was unpacked is removed.
        StorageError: the disk is full, read-only or not permitted; what was unpacked is removed.
    """
    with storing(f"the contents of {archive.name}", into):
        into.mkdir(parents=True, exist_ok=True)
        out = _Writer(into, limit_bytes, limit_entries)
        # Headers and padding come on top of the files: at most 3 blocks an entry, and the end marks.
        overhead = limit_entries * 1536 + (1 << 20)
        try:
            with _opened(archive) as stream:
                if stream is None:
                    _unpack_zip(archive, out)
                else:
                    _unpack_tar(stream, out, limit_bytes + overhead)
            out.finish()
        except BaseException as error:
            out.undo()
            reason = _reason(error)
            if reason is None:
                raise
            raise IntegrityError(
                f"The archive {archive.name} was not unpacked: {reason}.",
                hint="Fetch it again; if it stays so, tell the component's authors.",
                context={"archive": str(archive), "into": str(into)},
            ) from error
    return tuple(sorted(out.files))


def _reason(error: BaseException) -> str | None:
    """Return what is wrong with the archive in words, or None where the archive is not to blame."""
    if isinstance(error, IntegrityError):
        return error.message
    if isinstance(error, EOFError):
        return "it is truncated"
    if isinstance(error, _BROKEN) or (isinstance(error, OSError) and error.errno in (None, errno.EINVAL)):
        return f"it is damaged or truncated ({str(error) or type(error).__name__})"
    if isinstance(error, (UnicodeError, ValueError, RuntimeError, OverflowError)):
        return f"it is damaged ({error})"
    return None
