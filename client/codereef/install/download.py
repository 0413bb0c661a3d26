# SPDX-License-Identifier: Apache-2.0
"""The `download` back-end: files by their SHA-256, from mirrors and public addresses, into the store.

What the store has costs nothing. Otherwise the mirrors are asked first (`<mirror>/sha256/<hex>`), then the
file's own addresses in their order; http(s) transfers run in parallel, resume where they ended, and are
tried again with growing pauses when a server or connection is in trouble. No host is asked for more than a few
files at a time; meanwhile files of other hosts come.
"""

from __future__ import annotations

import contextlib
import errno
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from codereef.disk import FULL, human, require_space
from codereef.errors import CrError, DownloadError, IntegrityError, StorageError
from codereef.store import Store

from .progress import Expecting, Progress
from .queue import Queue
from .redact import redact
from .transport import Broken, Refused, Stopped, Transfer, new_session

if TYPE_CHECKING:
    import requests

_FIRST_PAUSE = 0.5  # seconds before the second try; doubled each time
_LONGEST_PAUSE = 20.0
_LEAVE = 2.0  # seconds the transfers get to end when the user interrupts


@dataclass(frozen=True)
class RemoteFile:
    """A file to fetch.

    Attributes:
        name: its name, for people.
        sha256: its SHA-256 in hexadecimal.
        size: its size in bytes.
        urls: public addresses (http, https, file), tried in order after the mirrors.
        origin: how it was made, where it has no public address.
    """

    name: str
    sha256: str
    size: int
    urls: tuple[str, ...]
    origin: str = ""


@dataclass(frozen=True)
class Settings:
    """How to fetch.

    Attributes:
        mirrors: folders or http(s)/file addresses that hold `sha256/<hex>`.
        offline: use no network; folders and file addresses only.
        jobs: files fetched at once.
        per_host: files fetched at once from one host.
        timeout: seconds without an answer or a byte before a try counts as failed.
        retries: further tries at one address.
        wheels: folders of Python wheels that the installer of distributions may use.
        no_index: take distributions from `wheels` alone, and ask no package index.
    """

    mirrors: tuple[str, ...] = ()
    offline: bool = False
    jobs: int = 8
    timeout: float = 30.0
    retries: int = 4
    per_host: int = 4
    wheels: tuple[Path, ...] = ()
    no_index: bool = False


@dataclass
class _Attempts:
    """What was tried for one file, for the error at the end."""

    lines: list[str] = field(default_factory=list)
    found: list[tuple[str, str]] = field(default_factory=list)  # address, digest found there

    def add(self, address: str, reason: str) -> None:
        self.lines.append(f"{redact(address)}: {redact(reason)}")


class _Fetcher:
    """The work of one `fetch`, shared by its threads."""

    def __init__(self, store: Store, settings: Settings, progress: Progress) -> None:
        self._store = store
        self._settings = settings
        self._progress = progress
        self.stop = threading.Event()
        self._guard = threading.Lock()
        self._hosts: dict[str, threading.BoundedSemaphore] = {}
        self._session: requests.Session | None = None

    def session(self) -> requests.Session:
        """Return the session of this fetch, made when the network is first needed."""
        with self._guard:
            if self._session is None:
                self._session = new_session(max(1, self._settings.jobs))
            return self._session

    def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            self._session.close()

    @contextlib.contextmanager
    def _host(self, url: str) -> Iterator[None]:
        """Hold one of the places at a host."""
        with self._guard:
            most = max(1, self._settings.per_host)
            places = self._hosts.setdefault(_host_of(url), threading.BoundedSemaphore(most))
        while not places.acquire(timeout=0.1):
            if self.stop.is_set():
                raise Stopped
        try:
            yield
        finally:
            places.release()

    def get(self, file: RemoteFile) -> Path:
        """Return the path of the file in the store, fetching it where it is absent."""
        found = self._store.blob(file.sha256, file.size)
        if found is not None:
            return found

        def waiting() -> None:
            self._progress.note(f"{file.name}: another cr is fetching it; waiting")

        with self._store.lock(f"download.{file.sha256}", waiting=waiting):
            found = self._store.blob(file.sha256, file.size)
            if found is not None:
                return found
            task = f"download {file.sha256}"
            self._progress.start(task, file.size, file.name)
            try:
                return self._bring(file, lambda n: self._progress.advance(task, n))
            finally:
                self._progress.finish(task)

    def _bring(self, file: RemoteFile, moved: Callable[[int], None]) -> Path:
        attempts = _Attempts()
        local, remote = _addresses(file, self._settings.mirrors)
        for path, address in local:
            found = self._from_folder(file, path, address, attempts)
            if found is not None:
                moved(file.size)
                return found
        return self._from_network(file, remote, attempts, moved)

    def _from_folder(self, file: RemoteFile, path: Path, address: str, attempts: _Attempts) -> Path | None:
        if not path.is_file():
            attempts.add(address, "there is no such file")
            return None
        try:
            return self._store.add_blob(path, file.sha256, file.size)
        except StorageError:
            raise
        except IntegrityError as error:
            attempts.add(address, error.message)
            attempts.found.append((redact(address), str(error.context.get("found") or error.message)))
            self._wrong(file, address)
        except OSError as error:
            attempts.add(address, f"it cannot be read ({error.strerror})")
        return None

    def _from_network(
        self, file: RemoteFile, urls: Sequence[str], attempts: _Attempts, moved: Callable[[int], None]
    ) -> Path:
        partial = self._store.partial(file.sha256)
        transfer = Transfer(partial, file.size, moved, self.stop)
        require_space(file.size - transfer.have, f"{file.name} ({human(file.size)})", partial.parent)
        if transfer.complete:
            done = self._adopt(file, transfer, partial, "what was fetched before", attempts)
            if done is not None:
                return done
        for url in urls:
            if self._settings.offline:
                attempts.add(url, "not asked, since cr works offline")
                continue
            if self._from_address(file, url, transfer, attempts):
                done = self._adopt(file, transfer, partial, url, attempts)
                if done is not None:
                    return done
        raise _failure(file, attempts, self._settings)

    def _adopt(
        self, file: RemoteFile, transfer: Transfer, partial: Path, address: str, attempts: _Attempts
    ) -> Path | None:
        """Take a whole file into the store, or forget it where its digest is wrong."""
        if transfer.sha256 == file.sha256:
            if file.size == 0:
                partial.touch()
            return self._store.add_blob(partial, file.sha256, file.size, move=True, verified=True)
        attempts.add(address, f"the SHA-256 is {transfer.sha256}")
        attempts.found.append((redact(address), transfer.sha256))
        transfer.restart()
        self._wrong(file, address)
        return None

    def _wrong(self, file: RemoteFile, address: str) -> None:
        """Tell that an address gave other bytes: whoever runs a mirror has to hear of it, though the next one helps."""
        self._progress.note(f"{file.name}: {redact(address)} has other content than it should; not used")

    def _from_address(self, file: RemoteFile, url: str, transfer: Transfer, attempts: _Attempts) -> bool:
        """Try one address as often as the settings allow; return whether all bytes are there."""
        pause = _FIRST_PAUSE
        for attempt in range(self._settings.retries + 1):
            if self.stop.is_set():
                raise Stopped
            before = transfer.have
            try:
                with self._host(url):
                    transfer.pull(self.session(), url, self._settings.timeout)
                return True
            except Refused as error:
                attempts.add(url, str(error))
                return False
            except StorageError as error:
                if error.context.get("errno") in [errno.errorcode[code] for code in FULL]:
                    transfer.restart()  # give the room back; a partial file on a full disk helps nobody
                raise
            except Broken as error:
                attempts.add(url, str(error))
                if attempt == self._settings.retries:
                    return False
                if transfer.have > before:
                    pause = _FIRST_PAUSE
                # Spread, so that many clients of a server in trouble do not come back at once.
                spread = pause * random.uniform(0.75, 1.25)
                wait = spread if error.wait is None else max(error.wait, spread)
                self._progress.note(f"{file.name}: {redact(str(error))}; trying again in {wait:.1f} s")
                if self.stop.wait(wait):
                    raise Stopped from error
                pause = min(pause * 2, _LONGEST_PAUSE)
        return False


def _host_of(url: str) -> str:
    """Return the host of an address as limits count it: without user, with port."""
    try:
        return urlsplit(url).netloc.rpartition("@")[2].lower()
    except ValueError:
        return ""  # nobody can read it; the try says so


def _addresses(file: RemoteFile, mirrors: Sequence[str]) -> tuple[list[tuple[Path, str]], list[str]]:
    """Return where to look: paths on this machine (with the address as given), and http(s) addresses."""
    local: list[tuple[Path, str]] = []
    remote: list[str] = []
    places = [f"{mirror.rstrip('/')}/sha256/{file.sha256}" for mirror in mirrors if mirror] + list(file.urls)
    for place in places:
        scheme, _, rest = place.partition("://")
        if rest and scheme.lower() in ("http", "https"):
            remote.append(place)
        elif rest and scheme.lower() == "file":
            # What stands before the first slash is a host, which is this one.
            local.append((Path(unquote("/" + rest.partition("/")[2])), place))
        else:
            local.append((Path(place).expanduser(), place))
    return local, remote


def _failure(file: RemoteFile, attempts: _Attempts, settings: Settings) -> CrError:
    tried = "\n".join(f"  {line}" for line in attempts.lines)
    context: dict[str, object] = {"file": file.name, "sha256": file.sha256, "size": file.size, "tried": attempts.lines}
    if attempts.found:
        address, found = attempts.found[-1]
        return IntegrityError(
            f"{file.name} from {address} is not what it should be: expected sha256 {file.sha256} "
            f"({file.size} bytes), found {found}.\nTried:\n{tried}",
            hint="Nothing of it was kept. The file was changed at its address or on the way: try another "
            "mirror, or tell the component's authors.",
            context={**context, "address": address, "expected": file.sha256, "found": found},
        )
    if not file.urls:
        made = f" It was made so: {file.origin}" if file.origin else ""
        tried = f"\nTried:\n{tried}" if tried else ""
        return DownloadError(
            f"{file.name} has no public address and no mirror has it.{made}{tried}",
            hint=f"Put it at <mirror>/sha256/{file.sha256} and name the mirror in CR_MIRROR or the config key `mirrors`.",
            context=context,
        )
    why = "cr works offline and" if settings.offline else "No address answered as it should:"
    return DownloadError(
        f"{file.name} ({human(file.size)}) could not be fetched. {why}"
        f"{' neither the store nor a local mirror has it.' if settings.offline else ''}\nTried:\n{tried}",
        hint="Check the network and try again (what came already is kept), or name a mirror in CR_MIRROR or the "
        "config key `mirrors`.",
        context=context,
    )


def _first_host(file: RemoteFile, settings: Settings) -> str:
    local, remote = _addresses(file, settings.mirrors)
    # The places in `_Fetcher` hold the limit; this only spreads the work, and a folder is asked before any host.
    return "" if local or settings.offline or not remote else _host_of(remote[0])


def fetch(files: Sequence[RemoteFile], store: Store, settings: Settings, progress: Progress) -> dict[str, Path]:
    """Bring files into the store.

    Args:
        files: what is wanted; the same file may occur more than once.
        store: where to.
        settings: mirrors, time limits and the like.
        progress: told about each file that is not there yet.

    Returns:
        The path of each file in the store, by SHA-256.

    Raises:
        DownloadError: a file could not be had from any address; the message lists what was tried.
        IntegrityError: an address gave other bytes, and no further one the right ones.
        StorageError: the disk is full, read-only or not permitted.
        KeyboardInterrupt: the user interrupted; what has come so far is kept for the next time.
    """
    wanted = {file.sha256: file for file in reversed(files)}
    done: dict[str, Path] = {}
    queue: list[RemoteFile] = []
    for sha256, file in wanted.items():
        found = store.blob(sha256, file.size)
        if found is None:
            queue.append(file)
        else:
            done[sha256] = found
    if not queue:
        return done
    fetcher = _Fetcher(store, settings, progress)
    errors: list[BaseException] = []
    waiting = Queue(queue, {file.sha256: _first_host(file, settings) for file in queue}, settings.per_host)
    if isinstance(progress, Expecting):
        progress.expect(len(queue), sum(file.size for file in queue))

    def work() -> None:
        while (file := waiting.take(fetcher.stop)) is not None:
            try:
                done[file.sha256] = fetcher.get(file)
            except Stopped:
                return
            except BaseException as error:
                errors.append(error)
                fetcher.stop.set()
            finally:
                waiting.leave(file)

    # Daemon threads: one that hangs in a dead connection cannot keep the process from ending.
    threads = [threading.Thread(target=work, daemon=True) for _ in range(min(max(1, settings.jobs), len(queue)))]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():
                thread.join(0.2)
    except BaseException:
        fetcher.stop.set()
        for thread in threads:
            thread.join(_LEAVE / len(threads))
        raise
    finally:
        fetcher.close()
    if errors:
        raise errors[0]
    return {sha256: done[sha256] for sha256 in wanted}
