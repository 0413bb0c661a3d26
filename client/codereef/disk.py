# SPDX-License-Identifier: Apache-2.0
"""Writing to disk so that a kill, a power cut or a full disk leaves the old state or the new one.

Everything is written beside its place, flushed, and renamed; an error of the operating system that a person
has to act on (full, read-only, not permitted, failing) becomes a `StorageError` that says so.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

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
    beside = path.with_name(f".{path.name}.{os.urandom(4).hex()}")
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


Sharing = Literal["hard link", "reflink", "copy"]
#: What became of sharing blocks between two file systems (their device numbers), asked once.
_REFLINKS: dict[tuple[int, int], bool] = {}
_NO_LINK = (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.EACCES)


def _clone(src: Path, dst: Path) -> bool:
    """Make `dst` share the blocks of `src` or be a copy; return whether blocks are shared."""
    import fcntl

    shared = False
    with src.open("rb") as source, dst.open("xb") as target:
        status = os.fstat(source.fileno())
        pair = (status.st_dev, os.fstat(target.fileno()).st_dev)
        if _REFLINKS.get(pair, True):
            try:
                fcntl.ioctl(target.fileno(), _FICLONE, source.fileno())
                shared = True
            except OSError:
                # An empty file has no blocks to share and says nothing of the file system.
                if status.st_size:
                    _REFLINKS[pair] = False
        if not shared:
            shutil.copyfileobj(source, target, CHUNK)
        # The rights to read and to execute: a blob is read-only, whatever way it comes.
        os.fchmod(target.fileno(), status.st_mode & 0o777)
        target.flush()
        os.fsync(target.fileno())
    return shared


def link_or_copy(src: Path, dst: Path) -> Sharing:
    """Put the file `src` at `dst`: a hard link where possible, else shared blocks, else a copy.

    An existing `dst` is replaced. Whoever wants to change the file must replace it, not write into it.

    Returns:
        How the two share their bytes; an empty file that had to be copied counts as a copy.

    Raises:
        StorageError: the place cannot be written to; nothing is left behind.
    """
    with storing(dst.name, dst.parent):
        try:
            os.link(src, dst)
            return "hard link"
        except FileExistsError:
            pass
        except OSError as error:
            if error.errno not in _NO_LINK:
                raise
        beside = dst.with_name(f".{dst.name}.{os.urandom(4).hex()}"[:255])
        how: Sharing = "hard link"
        try:
            try:
                os.link(src, beside)
            except OSError as error:
                if error.errno not in _NO_LINK:
                    raise
                how = "reflink" if _clone(src, beside) else "copy"
            os.replace(beside, dst)
        finally:
            # A rename onto a link of the same file does nothing and leaves the first name.
            beside.unlink(missing_ok=True)
    return how


def sharing(src: Path, dst: Path) -> Sharing:
    """Return how a file in the folder `src` can be put into the folder `dst`, by trying it.

    Raises:
        StorageError: one of them cannot be written to.
    """
    name = f".probe.{os.urandom(4).hex()}"
    one, other = src / name, dst / f"{name}.link"
    with storing("a probe file", dst):
        try:
            one.write_bytes(b"probe")
            return link_or_copy(one, other)
        finally:
            one.unlink(missing_ok=True)
            other.unlink(missing_ok=True)


def link_tree(files: Iterable[tuple[str, str]], source: Path, target: Path) -> dict[Sharing, int]:
    """Put many files into a folder that has none of them yet, by hard link where possible.

    Faster than one `link_or_copy` after the other: folders are made once and held open, and names are short.

    Args:
        files: for each the path below `source` and the path below `target`, with `/` between their parts.
        source: where they are.
        target: where they shall be.

    Returns:
        How many share their bytes in which way.

    Raises:
        StorageError: the place cannot be written to; what was linked stays.
    """
    from concurrent.futures import ThreadPoolExecutor

    folders: dict[str, list[tuple[str, str]]] = {}
    for path, wanted in files:
        folder, _, name = wanted.rpartition("/")
        folders.setdefault(folder, []).append((path, name))
    # A link is the kernel's work and locks the folder it goes to: several folders at a time.
    threads = min(4, len(os.sched_getaffinity(0)), len(folders)) or 1
    counts: dict[Sharing, int] = {}
    with storing("linked files", target), ThreadPoolExecutor(threads) as pool:
        base = os.open(source, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            # Folders first: a thread that makes one must not meet another that makes its parent.
            for folder in folders:
                (target / folder).mkdir(parents=True, exist_ok=True)
            jobs = [
                pool.submit(_link_folder, base, source, target / folder, names) for folder, names in folders.items()
            ]
            try:
                for job in jobs:
                    for how, count in job.result().items():
                        counts[how] = counts.get(how, 0) + count
            finally:
                pool.shutdown(cancel_futures=True)
        finally:
            os.close(base)
    return counts


def _link_folder(base: int, source: Path, place: Path, names: Iterable[tuple[str, str]]) -> dict[Sharing, int]:
    counts: dict[Sharing, int] = {}
    linked = 0
    here = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for path, name in names:
            try:
                os.link(path, name, src_dir_fd=base, dst_dir_fd=here)
                linked += 1
            except OSError as error:
                if error.errno not in (*_NO_LINK, errno.EEXIST):
                    raise
                how = link_or_copy(source / path, place / name)
                counts[how] = counts.get(how, 0) + 1
    finally:
        os.close(here)
    if linked:
        counts["hard link"] = counts.get("hard link", 0) + linked
    return counts


def remove_tree(path: Path) -> None:
    """Remove a file or folder with all that is in it, also where folders in it are read-only or others remove it too."""
    if not path.is_dir() or path.is_symlink():
        path.unlink(missing_ok=True)
        return
    try:
        shutil.rmtree(path)
        return
    except FileNotFoundError:
        pass
    except PermissionError:
        for base, _, _ in os.walk(path):
            with contextlib.suppress(OSError):
                os.chmod(base, 0o700)
    # Once more, past what another process has removed meanwhile; whatever cannot be removed is told.
    shutil.rmtree(path, onerror=_unless_gone)


def _unless_gone(_function: object, _path: str, problem: tuple[object, BaseException, object]) -> None:
    if not isinstance(problem[1], FileNotFoundError):
        raise problem[1]
