# SPDX-License-Identifier: Apache-2.0
"""Asks Python package indexes which files a distribution has: PEP 503 (HTML) and PEP 691 (JSON), or a folder.

Used where a file is wanted by its digest and not to be installed, as for a pack. Which indexes are asked is what the
user has set for pip or uv.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

from codereef.errors import DownloadError
from codereef.install.redact import redact

from .indexes import no_index, pip_settings
from .transport import new_session

if TYPE_CHECKING:
    import requests

_ACCEPT = "application/vnd.pypi.simple.v1+json, text/html;q=0.5"
#: Asks pip which index it takes where nothing is set; pip itself, else the one that Python brings for new environments.
_ASK_PIP = """
import glob, os, sys
try:
    import pip
except ImportError:
    import ensurepip
    sys.path[:0] = glob.glob(os.path.join(os.path.dirname(ensurepip.__file__), "_bundled", "pip-*.whl"))
from pip._internal.models.index import PyPI
print(PyPI.simple_url)
"""
_LIMIT = 64 << 20


@dataclass(frozen=True)
class IndexFile:
    """A file that an index offers: its name, its address, its SHA-256, and its size where the index says it."""

    name: str
    url: str
    sha256: str
    size: int | None


@dataclass(frozen=True)
class Places:
    """Where distributions are looked for: indexes in their order, and folders or pages of files."""

    indexes: tuple[str, ...]
    links: tuple[str, ...]


def default_index(python: Path) -> str:
    """Return the index that pip asks where nothing is set, or "" where this interpreter has no pip to ask."""
    try:
        done = subprocess.run(
            [str(python), "-I", "-c", _ASK_PIP], capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def places(environ: Mapping[str, str], python: Path) -> Places:
    """Return where the user has pip or uv look for distributions; what is set for uv wins.

    Args:
        environ: environment variables.
        python: an interpreter whose pip tells the index it asks where nothing is set.
    """
    settings = pip_settings(environ)
    first = environ.get("UV_DEFAULT_INDEX") or environ.get("UV_INDEX_URL") or settings.get("index-url")
    first = first or ("" if no_index(settings) else default_index(python))
    more = environ.get("UV_INDEX") or environ.get("UV_EXTRA_INDEX_URL") or settings.get("extra-index-url", "")
    links = environ.get("UV_FIND_LINKS", "").replace(",", " ") or settings.get("find-links", "")
    # uv lets an index have a name in front of its address.
    indexes = [entry.partition("=")[2] if "://" in entry.partition("=")[2] else entry for entry in more.split()]
    found = () if no_index(settings) else tuple(dict.fromkeys([*indexes, *filter(None, [first])]))
    return Places(found, tuple(links.split()))


class Indexes:
    """The indexes of one user, asked as often as needed over one connection.

    Args:
        where: what to ask.
        timeout: seconds without an answer.
        offline: ask only what lies on this machine.
    """

    def __init__(self, where: Places, timeout: float, *, offline: bool) -> None:
        self._where = where
        self._timeout = timeout
        self._offline = offline
        self._session: requests.Session | None = None

    def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            self._session.close()

    def files(self, name: str, sha256: Sequence[str]) -> list[IndexFile]:
        """Return the wheels of a distribution that have one of the digests; none where nobody has it.

        Args:
            name: normalised name.
            sha256: digests in hexadecimal.

        Raises:
            DownloadError: no index could be asked.
        """
        wanted = set(sha256)
        found: dict[str, IndexFile] = {}
        troubles: list[str] = []
        asked = 0
        for page in [f"{index.rstrip('/')}/{name}/" for index in self._where.indexes] + list(self._where.links):
            if self._offline and urlsplit(page).scheme in ("http", "https"):
                continue
            try:
                offered = self._page(page)
                asked += 1
            except DownloadError as error:
                troubles.append(error.message)
                continue
            for file in offered:
                if file.sha256 in wanted and file.name.endswith(".whl"):
                    found.setdefault(file.sha256, file)
        if not asked and troubles:
            raise DownloadError(troubles[0], hint="Check the network and the package index settings.")
        return list(found.values())

    def size(self, file: IndexFile) -> int:
        """Return the bytes of a file, asking its server where the index did not say.

        Raises:
            DownloadError: it does not say.
        """
        if file.size is not None:
            return file.size
        path = _local(file.url)
        if path is not None:
            try:
                return path.stat().st_size
            except OSError as error:
                raise DownloadError(f"{file.name}: {path} cannot be read ({error.strerror}).") from None
        answer = self._ask("head", file.url, {"Accept-Encoding": "identity"})
        length = answer.headers.get("Content-Length", "")
        if not length.isdigit():
            raise DownloadError(f"{redact(file.url)} does not say how large {file.name} is.")
        return int(length)

    def _page(self, page: str) -> list[IndexFile]:
        path = _local(page)
        if path is not None:
            return _folder(path)
        answer = self._ask("get", page, {"Accept": _ACCEPT})
        if answer.status_code == 404:
            return []
        if "json" in answer.headers.get("Content-Type", ""):
            return _json(answer.content, answer.url)
        return _html(answer.text, answer.url)

    def _ask(self, method: str, url: str, headers: Mapping[str, str]) -> requests.Response:
        import requests

        if self._session is None:
            self._session = new_session(4)
        try:
            answer = self._session.request(
                method, url, headers=dict(headers), timeout=self._timeout, allow_redirects=True
            )
        except requests.RequestException as error:
            raise DownloadError(f"{redact(url)} could not be asked: {redact(str(error))[:200]}.") from error
        if answer.status_code >= 400 and answer.status_code != 404:
            raise DownloadError(f"{redact(url)} answered with the HTTP status {answer.status_code}.")
        return answer


def _local(url: str) -> Path | None:
    scheme = urlsplit(url).scheme
    if scheme == "file":
        return Path(unquote(urlsplit(url).path))
    return Path(url) if scheme == "" or len(scheme) == 1 else None


def _folder(path: Path) -> list[IndexFile]:
    """Return what a folder offers: an index page in it, or the wheels that lie there."""
    from codereef.canonical import sha256_file

    page = path / "index.html" if path.is_dir() else path
    if page.is_file() and page.suffix == ".html":
        return _html(page.read_text(encoding="utf-8", errors="replace"), page.as_uri())
    try:
        wheels = sorted(file for file in path.iterdir() if file.suffix == ".whl")
    except OSError:
        return []
    return [IndexFile(file.name, file.as_uri(), sha256_file(file), file.stat().st_size) for file in wheels]


class _Links(HTMLParser):
    """Reads the `href` of every link of a page, and its `<base>`."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.base = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "a" and given.get("href"):
            self.found.append(given["href"] or "")
        elif tag == "base" and given.get("href") and not self.base:
            self.base = given["href"] or ""


def _html(text: str, url: str) -> list[IndexFile]:
    reader = _Links()
    reader.feed(text[:_LIMIT])
    base = url
    with contextlib.suppress(ValueError):
        base = urljoin(url, reader.base)
    found = []
    for link in reader.found:
        try:
            address, fragment = urldefrag(urljoin(base, link))
            name = unquote(urlsplit(address).path.rpartition("/")[2])
        except ValueError:
            continue  # no address that anybody can read
        kind, _, digest = fragment.partition("=")
        if kind == "sha256" and name:
            found.append(IndexFile(name, address, digest.lower(), None))
    return found


def _json(data: bytes, url: str) -> list[IndexFile]:
    try:
        listed: Any = json.loads(data)["files"]
        return [
            IndexFile(
                str(file["filename"]),
                urljoin(url, str(file["url"])),
                str(file["hashes"]["sha256"]).lower(),
                int(file["size"]) if isinstance(file.get("size"), int) else None,
            )
            for file in listed
            if "sha256" in file.get("hashes", {})
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DownloadError(f"{redact(url)} answered something that is no list of files: {error!r:.100}.") from None
