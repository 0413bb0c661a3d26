# SPDX-License-Identifier: Apache-2.0
"""Makes the file of a pack: a tar archive that is the same, byte for byte, whenever the same things are packed.

Files lie in it as they are, without compression: models, images and wheels are compressed already. They stand in
the order of their paths, after `pack.json`, and have no owner and no date.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
import secrets
import tarfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO

from codereef.canonical import pretty_json
from codereef.disk import CHUNK, flush_directory, human, require_space, storing
from codereef.errors import IntegrityError, StorageError

from .format import MANIFEST, Manifest, Member, to_document

_TMPFILE_MISSING = (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL)


def archive_size(manifest: Manifest) -> int:
    """Return about how many bytes the file of a pack will have."""
    blocks = sum(1024 + -(-member.size // 512) * 512 for member in manifest.members)
    return blocks + len(pretty_json(to_document(manifest))) + 10240


def write_pack(manifest: Manifest, sources: Mapping[str, Path], into: Path, moved: Callable[[int], None]) -> str:
    """Write a pack, whole or not at all; a file that is there is replaced.

    Args:
        manifest: what it holds.
        sources: the file of each member, by its path in the pack.
        into: the pack's file.
        moved: told how many bytes were written.

    Returns:
        SHA-256 of the file.

    Raises:
        IntegrityError: a file is no longer what the manifest says.
        StorageError: the disk is full, read-only or not permitted.
    """
    into = into.absolute()
    require_space(archive_size(manifest), f"{into.name} ({human(manifest.size)})", into.parent)
    with storing(into.name, into.parent), _whole_or_nothing(into) as stream:
        counted = _Counted(stream)
        with tarfile.open(fileobj=counted, mode="w|", format=tarfile.PAX_FORMAT, bufsize=tarfile.RECORDSIZE) as tar:
            head = pretty_json(to_document(manifest)).encode()
            tar.addfile(_header(Member(MANIFEST, "", len(head))), io.BytesIO(head))
            for member in manifest.members:
                if member.link:
                    tar.addfile(_header(member))
                    continue
                with sources[member.path].open("rb") as source:
                    checked = _Checked(source, member.size, moved)
                    try:
                        tar.addfile(_header(member), checked)
                    except OSError as error:
                        if error.errno is not None:
                            raise
                        checked.short = True  # tarfile's own error for a source that ends early
                if checked.short or checked.digest.hexdigest() != member.sha256 or _other_size(sources, member):
                    raise IntegrityError(
                        f"{sources[member.path]} is no longer what was to be packed.",
                        hint="`cr store verify` looks for damage; then `cr init SOLUTION` mends it. No pack was written.",
                        context={"file": str(sources[member.path]), "expected": member.sha256},
                    )
        return counted.digest.hexdigest()


def _other_size(sources: Mapping[str, Path], member: Member) -> bool:
    """Tell whether the file of a member has more bytes than were read of it."""
    return sources[member.path].stat().st_size != member.size


def _header(member: Member) -> tarfile.TarInfo:
    info = tarfile.TarInfo(member.path)
    info.mode = 0o755 if member.executable else 0o644
    info.uid = info.gid = info.mtime = 0
    info.uname = info.gname = ""
    if member.link:
        info.type = tarfile.SYMTYPE
        info.linkname = member.link
    else:
        info.size = member.size
    return info


class _Checked(io.RawIOBase):
    """A source that hashes what is read of it."""

    def __init__(self, source: IO[bytes], size: int, moved: Callable[[int], None]) -> None:
        self._source = source
        self._left = size
        self._moved = moved
        self.digest = hashlib.sha256()
        self.short = False

    def read(self, size: int = -1) -> bytes:
        piece = self._source.read(min(self._left, CHUNK if size < 0 else size))
        self._left -= len(piece)
        self.digest.update(piece)
        self._moved(len(piece))
        return piece


class _Counted(io.RawIOBase):
    """A target that hashes what is written to it."""

    def __init__(self, target: IO[bytes]) -> None:
        self._target = target
        self.digest = hashlib.sha256()

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self.digest.update(data)
        self._target.write(data)
        return len(data)


@contextlib.contextmanager
def _whole_or_nothing(into: Path) -> Iterator[IO[bytes]]:
    """Give a file to write to that gets its name at the end.

    Where the file system can, it has no name until then, so that not even a kill leaves a part of it behind.
    """
    beside = into.with_name(f".{into.name}.{secrets.token_hex(4)}")
    named = False
    try:
        handle = os.open(into.parent, os.O_WRONLY | os.O_TMPFILE | os.O_CLOEXEC, 0o666)
    except OSError as error:
        if error.errno not in _TMPFILE_MISSING:
            raise
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        named = True
    try:
        with os.fdopen(handle, "wb", buffering=CHUNK) as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
            if not named:
                folder = os.open(into.parent, os.O_RDONLY | os.O_DIRECTORY)
                try:
                    # With a folder's handle Python asks for what follows the link; without, for what does not.
                    os.link(f"/proc/self/fd/{stream.fileno()}", beside.name, dst_dir_fd=folder, follow_symlinks=True)
                except OSError as error:
                    raise StorageError(
                        f"Could not give {into} its name: {error.strerror}.", hint="Is /proc mounted?"
                    ) from error
                finally:
                    os.close(folder)
                named = True
        os.replace(beside, into)
        flush_directory(into.parent)
    except BaseException:
        if named:
            beside.unlink(missing_ok=True)
        raise
