# SPDX-License-Identifier: Apache-2.0
"""Brings the files of a registry: from a folder, or over http(s) with kept connections and few imports."""

from __future__ import annotations

import hashlib
import http.client
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urljoin, urlsplit

from codereef import __version__
from codereef.errors import IntegrityError, NetworkError
from codereef.repo.registry.layout import Link

CONNECTIONS = 8
TRIES = 3
TIMEOUT = 30.0  # seconds without an answer
_REDIRECTS = 5
_PIECE = 1 << 16
_PATIENCE = 60.0  # seconds for which an answer may be as slow as it likes
_SLOWEST = 100.0  # bytes a second after that


@dataclass(frozen=True)
class Answer:
    """A file that was fetched.

    Attributes:
        data: its bytes; None where it is the same as the one of the given tag.
        tag: what tells this state of it from another, or "".
    """

    data: bytes | None
    tag: str = ""


class Remote(Protocol):
    """Where the files of a registry lie."""

    address: str

    def get(self, path: str, limit: int, tag: str = "") -> Answer:
        """Return a file of at most `limit` bytes, or None as its data where it is the one of `tag`.

        Raises:
            NetworkError: it could not be fetched.
            IntegrityError: it is larger.
        """

    def close(self) -> None:
        """Let go of connections."""


class Missing(NetworkError):
    """The registry does not have the file."""


class FolderRemote:
    """A registry in a folder.

    Args:
        folder: the folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.address = str(folder)

    def get(self, path: str, limit: int, tag: str = "") -> Answer:
        """Return a file."""
        file = self._folder / path
        try:
            with file.open("rb") as stream:
                data = stream.read(limit + 1)
        except (FileNotFoundError, NotADirectoryError):
            raise Missing(f"{file} is not there.", hint="Is the folder complete, or not mounted?") from None
        except OSError as error:
            raise NetworkError(f"{file} cannot be read: {error.strerror}.", hint="Look at that place.") from None
        if len(data) > limit:
            raise IntegrityError(f"{file} has more than the {limit} bytes it may have.")
        return Answer(data)

    def close(self) -> None:
        """Nothing is held."""


class HttpRemote:
    """A registry behind http(s). Used by several threads; each keeps its own connection.

    Proxies come from the environment (`https_proxy`, `no_proxy`), names and passwords from `~/.netrc`.

    Args:
        address: address of the folder that holds `registry.json`.
        timeout: seconds without an answer after which a try is given up.
    """

    def __init__(self, address: str, timeout: float = TIMEOUT) -> None:
        self.address = address.rstrip("/")
        self._timeout = timeout
        self._own = threading.local()
        self._all: list[http.client.HTTPConnection] = []
        self._guard = threading.Lock()

    def get(self, path: str, limit: int, tag: str = "") -> Answer:
        """Return a file."""
        url = f"{self.address}/{path}"
        reason, wait = "", 0.0
        for attempt in range(TRIES):
            if attempt:
                time.sleep(max(wait, 0.3 * 2**attempt))
            try:
                status, headers, data = self._once(url, limit, tag)
            except (OSError, http.client.HTTPException) as error:
                self._drop()
                reason, wait = (str(error) or type(error).__name__), 0.0
                continue
            except ValueError as error:
                # The address, or one that it leads to, has no host or port that can be read.
                reason = str(error)
                break
            if status == 200:
                return Answer(data, headers.get("etag", ""))
            if status == 304 and tag:
                return Answer(None, tag)
            reason = f"HTTP status {status}"
            if status in (404, 410):
                raise Missing(f"{url} is not there (HTTP status {status}).", hint="Check the address of the registry.")
            if status not in (408, 425, 429) and status < 500:
                break
            asked = headers.get("retry-after", "")
            wait = min(float(asked), 30.0) if asked.isdigit() else 0.0
        raise NetworkError(
            f"{url} could not be fetched: {reason}.",
            hint="Check the address and the network; then run the same command again. What was fetched before stays usable.",
            context={"url": url},
        )

    def _once(self, url: str, limit: int, tag: str) -> tuple[int, Mapping[str, str], bytes]:
        for _ in range(_REDIRECTS):
            connection, target, extra = self._connection(url)
            headers = {"User-Agent": f"codereef/{__version__}", "Accept-Encoding": "identity", **extra}
            if tag:
                headers["If-None-Match"] = tag
            fresh = connection.sock is None
            try:
                connection.request("GET", target, headers=headers)
                response = connection.getresponse()
            except (ConnectionError, http.client.BadStatusLine):
                # A server may close a kept connection at any time; that is no failure of this try.
                if fresh:
                    raise
                connection.close()
                connection.request("GET", target, headers=headers)
                response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            if response.status in (301, 302, 303, 307, 308) and "location" in found:
                response.read(_PIECE)
                self._drop()
                following = urljoin(url, found["location"])
                if urlsplit(following).scheme not in ("http", "https") or (
                    url.startswith("https:") and following.startswith("http:")
                ):
                    raise http.client.HTTPException(f"it leads to {following[:100]}, which is not followed")
                url = following
                continue
            if response.status != 200:
                response.read(_PIECE)
                if response.length:
                    self._drop()
                return response.status, found, b""
            data = _received(response, limit + 1)
            if len(data) > limit:
                self._drop()
                raise IntegrityError(
                    f"{url} has more than the {limit} bytes it may have.", hint="Tell those who run the registry."
                )
            if response.length:
                raise http.client.HTTPException(f"the connection ended {response.length} bytes too early")
            return response.status, found, data
        raise http.client.HTTPException("it redirects without end")

    def _connection(self, url: str) -> tuple[http.client.HTTPConnection, str, dict[str, str]]:
        """Return this thread's connection for an address, what to ask of it, and headers that it needs."""
        parts = urlsplit(url)
        host = parts.hostname or ""
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        extra = _login(host)
        proxy = _proxy(parts.scheme, host)
        if proxy and parts.scheme == "http":
            target, extra = url, {**extra, **_proxy_login(proxy)}
        key = (parts.scheme, parts.netloc)
        if getattr(self._own, "key", None) != key:
            self._drop()
            self._own.key = key
            self._own.connection = self._open(parts.scheme, host, parts.port, proxy)
            with self._guard:
                self._all.append(self._own.connection)
        return self._own.connection, target, extra

    def _open(self, scheme: str, host: str, port: int | None, proxy: str) -> http.client.HTTPConnection:
        through = urlsplit(proxy)
        if scheme == "http":
            if proxy:
                return http.client.HTTPConnection(through.hostname or "", through.port or 80, timeout=self._timeout)
            return http.client.HTTPConnection(host, port, timeout=self._timeout)
        import ssl

        context = ssl.create_default_context()
        if not proxy:
            return http.client.HTTPSConnection(host, port, timeout=self._timeout, context=context)
        connection = http.client.HTTPSConnection(
            through.hostname or "", through.port or 80, timeout=self._timeout, context=context
        )
        connection.set_tunnel(host, port or 443, headers=_proxy_login(proxy))
        return connection

    def _drop(self) -> None:
        connection = getattr(self._own, "connection", None)
        if connection is not None:
            connection.close()
        self._own.key = None

    def close(self) -> None:
        """Let go of connections."""
        with self._guard:
            for connection in self._all:
                connection.close()
            self._all.clear()


def _received(response: http.client.HTTPResponse, most: int) -> bytes:
    """Return at most so many bytes of an answer; one that comes byte by byte without end is given up."""
    started = time.monotonic()
    data = bytearray()
    while len(data) < most and (piece := response.read1(min(_PIECE, most - len(data)))):
        data += piece
        passed = time.monotonic() - started
        if passed > _PATIENCE and len(data) < _SLOWEST * passed:
            raise http.client.HTTPException(f"it is too slow: {len(data)} bytes came in {passed:.0f} s")
    if response.length == 0:
        response.close()  # reading piece by piece leaves that to us, and the connection is used again
    return bytes(data)


def _proxy(scheme: str, host: str) -> str:
    import os

    if not any(name.lower().endswith("_proxy") for name in os.environ):
        return ""
    from urllib.request import getproxies, proxy_bypass

    proxies = getproxies()
    return "" if proxy_bypass(host) else proxies.get(scheme, proxies.get("all", ""))


def _proxy_login(proxy: str) -> dict[str, str]:
    parts = urlsplit(proxy)
    return _basic("Proxy-Authorization", unquote(parts.username or ""), unquote(parts.password or ""))


def _login(host: str) -> dict[str, str]:
    import netrc
    import os

    place = Path(os.environ.get("NETRC") or Path.home() / ".netrc")
    if not place.is_file():
        return {}
    try:
        known = netrc.netrc(str(place)).authenticators(host)
    except (netrc.NetrcParseError, OSError):
        return {}
    return _basic("Authorization", known[0], known[2] or "") if known else {}


def _basic(header: str, user: str, password: str) -> dict[str, str]:
    import base64

    if not user:
        return {}
    return {header: "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def open_remote(origin: str) -> Remote:
    """Return where a registry lies: a folder, a `file://` address or an http(s) address.

    Raises:
        NetworkError: the address is of another kind.
    """
    scheme = origin.partition("://")[0].lower() if "://" in origin else ""
    if scheme in ("http", "https"):
        return HttpRemote(origin)
    if scheme == "file":
        return FolderRemote(Path(unquote(urlsplit(origin).path)))
    if scheme:
        raise NetworkError(f"{origin} is no address of a registry.", hint="Use http(s)://, file:// or a folder.")
    return FolderRemote(Path(origin))


def check(data: bytes, link: Link, where: str) -> bytes:
    """Return an object that is what its link says.

    Raises:
        IntegrityError: it is not.
    """
    if len(data) != link.size or hashlib.sha256(data).hexdigest() != link.sha256:
        found = f"{len(data)} bytes" if len(data) != link.size else f"sha256 {hashlib.sha256(data).hexdigest()}"
        raise IntegrityError(
            f"{where} is not what it should be: {link.size} bytes with sha256 {link.sha256} were expected, {found} came.",
            hint="What was fetched before stays usable. Try again later; if it stays so, tell those who run the registry.",
            context={"expected": link.sha256, "size": link.size},
        )
    return data


def fetch(
    remote: Remote, links: Sequence[Link], moved: Callable[[int, int], None] = lambda done, of: None
) -> Iterator[tuple[Link, bytes]]:
    """Yield objects, verified, in no particular order, several at a time.

    Args:
        remote: where they lie.
        links: which.
        moved: told how many of how many have come.

    Raises:
        NetworkError: one could not be fetched.
        IntegrityError: one is not what its link says.
    """

    def one(link: Link) -> tuple[Link, bytes]:
        data = remote.get(link.path, link.size).data
        return link, check(data or b"", link, f"{remote.address}/{link.path}")

    if len(links) < 2:
        for link in links:
            yield one(link)
            moved(1, 1)
        return
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(min(CONNECTIONS, len(links))) as pool:
        futures = pool.map(one, links)
        try:
            for number, done in enumerate(futures, 1):
                yield done
                moved(number, len(links))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
