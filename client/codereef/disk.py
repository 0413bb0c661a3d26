# SPDX-License-Identifier: Apache-2.0
"""Writing to disk so that a kill, a power cut or a full disk leaves the old state or the new one.

Everything is written beside its place, flushed, and renamed; an error of the operating system that a person
has to act on (full, read-only, not permitted, failing) becomes a `StorageError` that says so.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from codereef.errors import StorageError

CHUNK = 1 << 20
FULL = (errno.ENOSPC, errno.EDQUOT)
# Up to this many files are flushed one by one; beyond it one flush of the file system is cheaper.
_FLUSH_SINGLY = 256
_FICLONE = 0x40049409  # linux/fs.h: share the extents of another file

_ADVICE = {
    errno.ENOSPC: ("the disk is full", "Free some space, or set CR_HOME to a folder on a larger disk."),
    errno.EDQUOT: ("your disk quota is used up", "Free some space, or set CR_HOME to a folder elsewhere."),
    errno.EROFS: ("the file system is read-only", "Set CR_HOME to a folder that can be written to."),
    errno.EACCES: ("permission is denied", "Make the folder writable for you, or set CR_HOME to another."),
    errno.EPERM: ("the operation is not permitted", "Make the folder writable for you, or set CR_HOME."),
    errno.EIO: ("the disk reports an input/output error", "Look at the system log; the disk may be failing."),
    errno.ENOLCK: ("the file system has no locks to give", "Set CR_HOME to a folder on a local disk."),
    errno.EFBIG: ("the file is larger than is allowed here", "Raise the file size limit, or set CR_HOME."),
}


def free_bytes(path: Path) -> int | None:
    """Return the bytes that can still be written where `path` is or will be, or None where unknown."""
    for place in (path, *path.parents):
        with contextlib.suppress(OSError):
            return shutil.disk_usage(place).free
    return None


def human(size: float) -> str:
    """Return a number of bytes for people, such as `4.2 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def storage_error(error: OSError, what: str, where: Path) -> StorageError | None:
    """Return the `StorageError` for an operating system error, or None where it is not one of storage."""
    advice = _ADVICE.get(error.errno or 0)
    if advice is None:
        return None
    reason, hint = advice
    free = free_bytes(where)
    left = "" if free is None else f"; {human(free)} are free there"
    return StorageError(
        f"Could not write {what} to {where}: {reason}{left}.",
        hint=hint,
        context={"what": what, "path": str(where), "free": free, "errno": errno.errorcode[error.errno or 0]},
    )


@contextlib.contextmanager
def storing(what: str, where: Path) -> Iterator[None]:
    """Turn storage errors of the block into `StorageError`s that name `what` was written `where`."""
    try:
        yield
    except OSError as error:
        better = storage_error(error, what, where)
        if better is None:
            raise
        raise better from error


def require_space(size: int, what: str, where: Path) -> None:
    """Raise `StorageError` where fewer than `size` bytes are free, before anything is written."""
    free = free_bytes(where)
    if free is not None and free < size:
        raise StorageError(
            f"Could not write {what} to {where}: it needs {human(size)} and {human(free)} are free there.",
            hint=_ADVICE[errno.ENOSPC][1],
            context={"what": what, "path": str(where), "free": free, "needed": size},
        )


def flush_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def flush_tree(path: Path) -> None:
    """Make every file and name below `path` durable."""
    files: list[Path] = []
    folders: list[Path] = []
    for base, _, names in os.walk(path):
        folders.append(Path(base))
        files.extend(Path(base, name) for name in names)
    if len(files) > _FLUSH_SINGLY:
        os.sync()
        return
    for file in files:
        if file.is_symlink():
            continue
        handle = os.open(file, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    for folder in folders:
        flush_directory(folder)


def write_atomic(path: Path, data: bytes | str, what: str | None = None) -> None:
    """Write a file whole or not at all: beside, flush, rename. Its folder is made where absent.

    Args:
        path: the file; an old one stays as it is until the new one is complete.
        data: its content; text is written as UTF-8.
        what: how people call it, such as "the lock"; its name by default.

    Raises:
        StorageError: it cannot be written, for whatever reason; nothing is left behind.
    """
    name = what or path.name
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with storing(name, path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with beside.open("wb") as stream:
                    stream.write(data.encode("utf-8") if isinstance(data, str) else data)
                    stream.flush()
                    os.fsync(stream.fileno())
                os.replace(beside, path)
            except BaseException:
                beside.unlink(missing_ok=True)
                raise
            flush_directory(path.parent)
    except OSError as error:
        raise StorageError(
            f"Could not write {name} to {path.parent}: {error.strerror or error}.",
            hint="Look at that place; then run the same command again. Nothing half written was kept.",
            context={"what": name, "path": str(path), "errno": error.errno},
        ) from error


def _reflink(src: Path, dst: Path) -> bool:
    """Try to make `dst` share the blocks of `src`; return whether the file system can."""
    import fcntl

    with src.open("rb") as source, dst.open("wb") as target:
        try:
            fcntl.ioctl(target.fileno(), _FICLONE, source.fileno())
        except OSError:
            return False
    return True


def link_or_copy(src: Path, dst: Path) -> None:
    """Put the file `src` at `dst`: a hard link where possible, else shared blocks, else a copy.

    An existing `dst` is replaced. Whoever wants to change the file must replace it, not write into it.

    Raises:
        StorageError: the place cannot be written to; nothing is left behind.
    """
    beside = dst.with_name(f".{dst.name}.{secrets.token_hex(4)}")
    with storing(dst.name, dst.parent):
        try:
            try:
                os.link(src, beside)
            except OSError as error:
                if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.EACCES):
                    raise
                if not _reflink(src, beside):
                    shutil.copyfile(src, beside)
                with beside.open("rb") as stream:
                    os.fsync(stream.fileno())
            os.replace(beside, dst)
        finally:
            # A rename onto a link of the same file does nothing and leaves the first name.
            beside.unlink(missing_ok=True)


def remove_tree(path: Path) -> None:
    """Remove a file or folder with all that is in it, also where folders in it are read-only."""
    if not path.is_dir() or path.is_symlink():
        path.unlink(missing_ok=True)
        return
    try:
        shutil.rmtree(path)
    except FileNotFoundError:
        return
    except PermissionError:
        for base, _, _ in os.walk(path):
            os.chmod(base, 0o700)
        shutil.rmtree(path)
