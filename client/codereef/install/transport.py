# SPDX-License-Identifier: Apache-2.0
"""Brings the bytes of one http(s) address to one partial file, resuming where it ended before."""

from __future__ import annotations

import contextlib
import hashlib
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from codereef import __version__
from codereef.disk import CHUNK, storing

if TYPE_CHECKING:
    import requests

_PIECE = 1 << 16
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")
_WAIT_LIMIT = 60.0  # seconds a server may make us wait by `Retry-After`


class Refused(Exception):
    """The address does not have the file; a second try would not help."""


class Broken(Exception):
    """The transfer failed; a second try may help.

    Args:
        reason: what happened.
        wait: seconds the server asks to wait, where it does.
    """

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


class Stopped(Exception):
    """The caller wants no more."""


class Transfer:
    """One download into one partial file, over as many tries and addresses as it takes.

    The digest of the bytes on disk is kept up to date, so they are read again only by the first try.

    Args:
        partial: the file; what is in it already is taken as the beginning.
        size: size of the whole in bytes; nothing beyond it is read.
        moved: told how many bytes came, negative where it starts over.
        stop: when set, the transfer ends between two pieces and keeps what it has.
    """

    def __init__(self, partial: Path, size: int, moved: Callable[[int], None], stop: threading.Event) -> None:
        self._partial = partial
        self._size = size
        self._moved = moved
        self._stop = stop
        self._digest = hashlib.sha256()
        self.have = 0
        if partial.exists():
            if partial.stat().st_size > size:
                partial.unlink()
            else:
                with partial.open("rb") as stream:
                    while piece := stream.read(CHUNK):
                        self._digest.update(piece)
                        self.have += len(piece)
        moved(self.have)

    @property
    def complete(self) -> bool:
        """Whether as many bytes are there as the file has."""
        return self.have == self._size

    @property
    def sha256(self) -> str:
        """SHA-256 of the bytes there, in hexadecimal."""
        return self._digest.hexdigest()

    def restart(self) -> None:
        """Forget what is there."""
        self._partial.unlink(missing_ok=True)
        self._digest = hashlib.sha256()
        self._moved(-self.have)
        self.have = 0

    def pull(self, session: requests.Session, url: str, timeout: float) -> None:
        """Fetch what is missing from an http(s) address.

        Raises:
            Refused: the address does not have it, or something of another size.
            Broken: the connection failed, the server is in trouble or answers nonsense.
            Stopped: the caller wants no more.
            StorageError: it cannot be written.
        """
        import requests
        import urllib3

        headers = {"Accept-Encoding": "identity"}
        if self.have:
            headers["Range"] = f"bytes={self.have}-"
        try:
            with session.get(url, headers=headers, stream=True, timeout=timeout) as response:
                self._accept(response)
                self._receive(response)
        except requests.Timeout as error:
            raise Broken(f"no answer within {timeout:g} s") from error
        except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema) as error:
            raise Refused(f"not an address that can be fetched ({error})") from error
        except requests.exceptions.SSLError as error:
            raise Refused(f"the certificate was not accepted ({_cause(error)})") from error
        except requests.exceptions.TooManyRedirects as error:
            raise Refused("it redirects without end") from error
        except requests.RequestException as error:
            raise Broken(f"the connection failed ({_cause(error)})") from error
        except urllib3.exceptions.ReadTimeoutError as error:
            raise Broken(f"nothing came for {timeout:g} s, after {self.have} of {self._size} bytes") from error
        except urllib3.exceptions.HTTPError as error:
            raise Broken(f"the connection broke after {self.have} of {self._size} bytes") from error
        if not self.complete:
            raise Broken(f"the connection ended after {self.have} of {self._size} bytes")

    def _accept(self, response: requests.Response) -> None:
        """Look at the status and headers; start over where the server does."""
        status = response.status_code
        if status in (408, 425, 429) or status >= 500:
            raise Broken(f"HTTP status {status}", _retry_after(response.headers.get("Retry-After", "")))
        if status == 416 and self.have:
            self.restart()
            raise Broken("the server has no bytes after those already here; starting over")
        length = response.headers.get("Content-Length", "")
        rest = self._size
        if status == 206 and self.have:
            found = _RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
            expected = (str(self.have), str(self._size - 1))
            if not found or found.groups()[:2] != expected or found[3] not in ("*", str(self._size)):
                got = response.headers.get("Content-Range", "none")
                self.restart()
                raise Broken(f"the server sent another part than was asked for (Content-Range: {got})")
            rest -= self.have
        elif status == 200:
            if self.have:
                self.restart()  # the server does not do ranges
        else:
            raise Refused(f"HTTP status {status}")
        if length.isdigit() and int(length) != rest:
            raise Refused(f"it has {length} bytes; {rest} were expected")

    def _receive(self, response: requests.Response) -> None:
        with storing(self._partial.name, self._partial.parent), self._writer() as write:
            while self.have < self._size:
                if self._stop.is_set():
                    raise Stopped
                # The bytes as sent: an encoding the server adds on its own is part of the file.
                piece = response.raw.read(min(_PIECE, self._size - self.have), decode_content=False)
                if not piece:
                    return
                write(piece)

    @contextlib.contextmanager
    def _writer(self) -> Iterator[Callable[[bytes], None]]:
        with self._partial.open("ab", buffering=0) as target:

            def write(piece: bytes) -> None:
                view = memoryview(piece)
                while view:
                    done = target.write(view)
                    self._digest.update(view[:done])
                    self.have += done
                    self._moved(done)
                    view = view[done:]

            yield write


def _retry_after(text: str) -> float | None:
    """Return the seconds a `Retry-After` asks for, given as a number or as a date (RFC 9110, section 10.2.3)."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        return min(float(text), _WAIT_LIMIT)
    from email.utils import parsedate_to_datetime

    try:
        when = parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(0.0, when - time.time()), _WAIT_LIMIT)


def _cause(error: BaseException) -> str:
    """Return the innermost reason of an error of requests, which wraps several layers deep."""
    seen = str(error)
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, OSError) and inner.strerror:
            seen = inner.strerror
        inner = inner.__cause__ or inner.__context__
    return seen[:300]


def new_session(connections: int) -> requests.Session:
    """Return a session that keeps connections and follows the user's proxy and certificate settings."""
    import requests

    session = requests.Session()
    session.headers["User-Agent"] = f"codereef/{__version__}"
    adapter = requests.adapters.HTTPAdapter(pool_connections=connections, pool_maxsize=connections)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session
