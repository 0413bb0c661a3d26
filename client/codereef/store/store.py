# SPDX-License-Identifier: Apache-2.0
"""The store: files by their SHA-256 and installed folders (prefixes) by their key, shared by all processes.

    <root>/CACHEDIR.TAG            backup programs leave the store out
    <root>/v1/blobs/sha256/ab/<hex>   whole, verified files, read-only
    <root>/v1/prefixes/<key>/      installed folders; complete when they hold their manifest
    <root>/v1/tmp/                 partial downloads, folders being built, logs
    <root>/v1/locks/               lock files

No state is kept beside the files themselves, so there is nothing that can disagree with them.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from codereef.canonical import sha256_file
from codereef.disk import (
    CHUNK,
    FULL,
    flush_directory,
    human,
    remove_tree,
    require_space,
    storage_error,
    storing,
    write_atomic,
)
from codereef.errors import IntegrityError, StorageError

from . import contents, locks, stamps, use
from .prefix import Build, Prefix, read_prefix
from .sweep import sweep
from .tree import LISTING, listing_digest

_SHA256 = re.compile(r"[0-9a-f]{64}")
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,199}")
_TAG = (
    "Signature: 8a477f597d28d172789f06886806bc55\n"
    "# This folder is a cache of CodeReef: what is in it can be fetched or built again.\n"
)


def _listing_agrees(prefix: Prefix) -> bool:
    wanted = prefix.tree or prefix.listed
    return wanted is None or listing_digest((prefix.path / LISTING).read_bytes()) == wanted


class Store:
    """A store at one place. Cheap to make; folders appear with the first thing written.

    Args:
        root: the store's folder.
        once: look at an installed folder once, for the life of this object: for a command, not for a service.
    """

    def __init__(self, root: Path, *, once: bool = False) -> None:
        self.root = root.absolute()
        base = self.base = self.root / "v1"
        self.blobs = base / "blobs" / "sha256"
        self.prefixes = base / "prefixes"
        self.tmp = base / "tmp"
        self.logs = self.tmp / "logs"
        self.locks = base / "locks"
        self._once = once
        self._thorough = False
        self._sound: set[str] = set()
        self._read: set[str] = set()

    @classmethod
    def default(cls) -> Store:
        """Return the user's store: `$CR_HOME/store`, else `codereef/store` in the XDG data folder."""
        home = os.environ.get("CR_HOME")
        if home:
            return cls(Path(home).expanduser() / "store")
        data = os.environ.get("XDG_DATA_HOME", "")
        # The XDG specification says that a relative path is to be ignored.
        base = Path(data) if Path(data).is_absolute() else Path("~/.local/share").expanduser()
        return cls(base / "codereef" / "store")

    def prepare(self) -> None:
        """Make the store's folders where they are absent.

        Raises:
            StorageError: they cannot be made.
        """
        with storing("the store's folders", self.root):
            for folder in (self.blobs, self.prefixes, self.logs, self.locks):
                folder.mkdir(parents=True, exist_ok=True)
        tag = self.root / "CACHEDIR.TAG"
        if not tag.exists():
            write_atomic(tag, _TAG.encode())

    # -- locks ---------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def lock(
        self, name: str, *, waiting: Callable[[], None] | None = None, timeout: float | None = None
    ) -> Iterator[None]:
        """Hold the lock of that name, against other processes and other threads.

        Args:
            name: any text.
            waiting: called once when the lock could not be had for a second.
            timeout: seconds to wait at most; for ever by default.

        Raises:
            StorageError: not had in time, or locks cannot be made here.
        """
        self.prepare()
        with locks.locked(self.lock_path(name), waiting=waiting, timeout=timeout):
            yield

    @contextlib.contextmanager
    def using(self, keys: Iterable[str], blobs: Iterable[str] = ()) -> Iterator[None]:
        """Keep folders and files from being collected until the block ends, or this process and its children do.

        Say so before looking whether they are there; they may also be such as are only going to be built. Children
        take part where they are started with `pass_fds` of `locks.inherited`. It also notes when they were last used.

        Args:
            keys: keys of installed folders.
            blobs: SHA-256 of files.

        Raises:
            StorageError: the disk is full or failing. A store that can only be read is used without a word.
        """
        with use.using(self.base, keys, blobs):
            yield

    def lock_path(self, name: str) -> Path:
        """Return the file of the lock of that name."""
        if not _KEY.fullmatch(name):
            name = "x-" + hashlib.sha256(name.encode()).hexdigest()[:40]
        return self.locks / f"{name}.lock"

    # -- files ---------------------------------------------------------------------------------------------

    def _blob_path(self, sha256: str) -> Path:
        if not _SHA256.fullmatch(sha256):
            raise IntegrityError(f"{sha256!r:.100} is not a SHA-256 in lower-case hexadecimal.")
        return self.blobs / sha256[:2] / sha256

    def blob(self, sha256: str, size: int | None = None) -> Path | None:
        """Return the path of the file with that SHA-256, or None where it is absent or not `size` bytes long."""
        path = self._blob_path(sha256)
        try:
            found = path.stat().st_size
        except OSError:
            return None
        return path if size is None or size == found else None

    def partial(self, sha256: str) -> Path:
        """Return where the first bytes of that file are kept until the rest has come."""
        self._blob_path(sha256)
        return self.tmp / f"partial.{sha256}"

    def add_blob(self, source: Path, sha256: str, size: int, *, move: bool = False, verified: bool = False) -> Path:
        """Take a file into the store, verified on the way.

        Args:
            source: the file; left as it is unless `move`.
            sha256: what its SHA-256 must be.
            size: what its size in bytes must be.
            move: rename it into the store (it must be on the same file system) instead of copying.
            verified: the caller has just computed the digest itself; only with `move`.

        Raises:
            IntegrityError: size or digest differ; the store is as before.
            StorageError: the disk is full, read-only or not permitted; the store is as before.
        """
        final = self._blob_path(sha256)
        self.prepare()
        with storing(f"{source.name} ({human(size)})", self.blobs):
            final.parent.mkdir(exist_ok=True)
        if move:
            self._check(source, source.stat().st_size, size, None if verified else sha256_file(source), sha256)
            if self._has(final, sha256, size):
                source.unlink()
                return final
            with storing(source.name, final.parent):
                with source.open("rb") as stream:
                    os.fsync(stream.fileno())
                os.chmod(source, 0o444)
                os.replace(source, final)
        else:
            self._copy_in(source, final, sha256, size)
        with storing(source.name, final.parent):
            flush_directory(final.parent)
        return final

    @staticmethod
    def _check(source: Path, found_size: int, size: int, found: str | None, sha256: str) -> None:
        if found_size != size:
            raise IntegrityError(
                f"{source} has {found_size} bytes; {size} were expected.",
                context={"file": str(source), "expected_size": size, "found_size": found_size},
            )
        if found is not None and found != sha256:
            raise IntegrityError(
                f"{source} has the SHA-256 {found}; {sha256} was expected.",
                context={"file": str(source), "expected": sha256, "found": found},
            )

    @staticmethod
    def _has(final: Path, sha256: str, size: int) -> bool:
        """Tell whether the store has that file and it is sound: the same file again would share nothing."""
        try:
            return final.stat().st_size == size and sha256_file(final) == sha256
        except OSError:
            return False

    def _copy_in(self, source: Path, final: Path, sha256: str, size: int) -> None:
        self._check(source, source.stat().st_size, size, None, sha256)
        if self._has(final, sha256, size):
            self._check(source, size, size, sha256_file(source), sha256)
            return
        require_space(size, source.name, self.tmp)
        beside = self.tmp / f"blob.{sha256}@{secrets.token_hex(4)}"
        digest = hashlib.sha256()
        count = 0
        try:
            with source.open("rb") as stream, storing(source.name, self.tmp), beside.open("wb") as target:
                # Reading stops one byte after the expected size: a file that grows meanwhile is refused too.
                while piece := stream.read(min(CHUNK, size + 1 - count)):
                    digest.update(piece)
                    count += len(piece)
                    target.write(piece)
                target.flush()
                os.fsync(target.fileno())
            self._check(source, count, size, digest.hexdigest(), sha256)
            with storing(source.name, final.parent):
                os.chmod(beside, 0o444)
                os.replace(beside, final)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise

    # -- prefixes ------------------------------------------------------------------------------------------

    def _prefix_path(self, key: str) -> Path:
        if not _KEY.fullmatch(key):
            raise StorageError(f"{key!r:.250} cannot be the name of an installed folder.")
        return self.prefixes / key

    def prefix(self, key: str) -> Prefix | None:
        """Return the installed folder of that key, or None unless it is complete."""
        return read_prefix(self._prefix_path(key))

    @contextlib.contextmanager
    def building(
        self, key: str, *, in_place: bool = False, waiting: Callable[[], None] | None = None
    ) -> Iterator[Build]:
        """Build the folder of that key under its lock; leaving without `Build.commit` leaves no trace.

        Args:
            key: the folder's name.
            in_place: build at the final path, for what cannot be moved afterwards (a Python environment).
                Without its manifest it counts as absent; what a killed build left is removed first.
            waiting: called once when another process has been building it for a second.

        Raises:
            StorageError: the folder cannot be made or committed.
        """
        final = self._prefix_path(key)
        self.sweep()
        with self.lock(f"prefix.{key}"[:200], waiting=waiting):
            existing = read_prefix(final)
            if existing is not None:
                yield Build(key, final, final, existing)
                return
            with storing(f"the folder {key}", self.prefixes):
                self._remove_leftovers(key)
                path = final if in_place else self.tmp / f"build.{key}@{secrets.token_hex(4)}"
                path.mkdir()
            build = Build(key, path, final, None)
            try:
                yield build
            except OSError as error:
                # Writers inside the block need not know how a full disk is told to people.
                full = storage_error(error, f"the folder {key}", path) if error.errno in FULL else None
                if full is None:
                    raise
                raise full from error
            finally:
                if build.result is None:
                    remove_tree(path)
                elif build.checked is not None:
                    stamps.trust(self.base / "checked" / key, build.checked)

    def _remove_leftovers(self, key: str) -> None:
        """Remove what a killed build of `key` left; its lock is held by the caller."""
        final = self.prefixes / key
        if final.exists() and read_prefix(final) is None:
            remove_tree(final)
        for path in self.tmp.iterdir():
            if path.name.startswith(f"build.{key}@"):
                remove_tree(path)

    def remove_prefix(self, key: str) -> bool:
        """Remove an installed folder; return whether there was one."""
        final = self._prefix_path(key)
        if not final.exists():
            return False
        self._sound.discard(key)
        self._read.discard(key)
        with self.lock(f"prefix.{key}"[:200]), storing(f"(the removal of) {key}", self.prefixes):
            away = self.tmp / f"build.{key}@{secrets.token_hex(4)}"
            try:
                final.rename(away)
            except FileNotFoundError:
                return False  # another process was first
            remove_tree(away)
        return True

    def verify_prefix(self, key: str) -> list[str]:
        """Return what is wrong with an installed folder, one sentence each; nothing where all is well.

        Every file is read, unless the folder was found sound before and the kernel says that nobody has touched it
        since (`stamps`). A store made with `once` does not look again at all at what it has found sound itself.
        """
        found = self.prefix(key)
        if found is None:
            return [f"{key} is not installed"]
        if key in self._read or (self._once and not self._thorough and key in self._sound):
            return []
        mark, base = self.base / "checked" / key, found.tree or found.listed or ""
        try:
            before, latest = stamps.state(found.path)
            if not self._thorough and stamps.trusted(mark, f"{before} {base}") and _listing_agrees(found):
                self._sound.add(key)
                return []
            still = stamps.settled(self.tmp, latest)
            problems = contents.check(found)
            if not problems and still and stamps.state(found.path)[0] == before:
                stamps.trust(mark, f"{before} {base}")
        except OSError as error:
            return [f"{error.filename or found.path} cannot be read: {error.strerror}"]
        if not problems:
            self._sound.add(key)
            if self._once and self._thorough:
                self._read.add(key)
        return problems

    @contextlib.contextmanager
    def reading_all(self) -> Iterator[None]:
        """Let `verify_prefix` read every file during the block, whatever was found before."""
        before, self._thorough = self._thorough, True
        try:
            yield
        finally:
            self._thorough = before

    def ls(self) -> tuple[Prefix, ...]:
        """Return every complete installed folder, by key."""
        try:
            paths = sorted(self.prefixes.iterdir())
        except FileNotFoundError:
            return ()
        found = (read_prefix(path) for path in paths)
        return tuple(item for item in found if item is not None)

    # -- leftovers -----------------------------------------------------------------------------------------

    def sweep(self, *, force: bool = False, partials: bool = False) -> int:
        """Remove what dead processes left behind; return how many things were removed.

        Looks at most every ten minutes unless `force`. A thing is removed only while the lock of its owner is
        held, so nothing that a living process works on is touched.

        Args:
            force: look now.
            partials: remove parts of downloads too that nobody goes on with now.
        """
        self.prepare()
        return sweep(self, force=force, partials=partials)
