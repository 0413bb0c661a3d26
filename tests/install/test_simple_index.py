# SPDX-License-Identifier: Apache-2.0
"""Package indexes are asked for files by digest: HTML and JSON pages over http, folders, and what the user has set."""

from __future__ import annotations

import hashlib
import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from codereef.errors import DownloadError
from codereef.install.simple import Indexes, Places, default_index, places

WHEELS = {f"thing-1.0-py3-none-{tag}.whl": tag.encode() * 50 for tag in ("any", "linux_x86_64")}
SHA = {name: hashlib.sha256(data).hexdigest() for name, data in WHEELS.items()}


class Handler(BaseHTTPRequestHandler):
    pages: dict[str, tuple[int, str, bytes]] = {}

    def log_message(self, *args: object) -> None:
        pass

    def _answer(self, body: bool) -> None:
        status, kind, data = self.pages.get(self.path, (404, "text/plain", b"no"))
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if body:
            self.wfile.write(data)

    def do_GET(self) -> None:
        self._answer(True)

    def do_HEAD(self) -> None:
        self._answer(False)


@pytest.fixture
def index() -> Iterator[str]:
    links = "".join(f'<a href="../../files/{n}#sha256={d}">{n}</a>' for n, d in SHA.items())
    listed = [{"filename": n, "url": f"/files/{n}", "hashes": {"sha256": d}, "size": 7} for n, d in SHA.items()]
    kind = "application/vnd.pypi.simple.v1+json"
    Handler.pages = {
        "/html/thing/": (200, "text/html", f"<html>{links}<a href='old.tar.gz#md5=1'>old</a></html>".encode()),
        "/json/thing/": (200, kind, json.dumps({"files": listed}).encode()),
        "/broken/thing/": (200, kind, b'{"files": 3}'),
        "/angry/thing/": (500, "text/plain", b""),
        **{f"/files/{n}": (200, "application/zip", data) for n, data in WHEELS.items()},
    }
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join(5)


def asked(*indexes: str, links: tuple[str, ...] = (), offline: bool = False) -> Indexes:
    return Indexes(Places(indexes, links), 5.0, offline=offline)


@pytest.mark.parametrize("kind", ["html", "json"])
def test_a_page_tells_name_address_digest_and_size(index: str, kind: str) -> None:
    client = asked(f"{index}/{kind}")
    (name, digest), *_ = SHA.items()
    (found,) = client.files("thing", [digest, "0" * 64])
    assert (found.name, found.url, found.sha256) == (name, f"{index}/files/{name}", digest)
    assert client.size(found) == (7 if kind == "json" else len(WHEELS[name]))
    client.close()


def test_every_index_and_folder_is_asked_and_nobody_elses_file_is_taken(index: str, tmp_path: Path) -> None:
    (tmp_path / "mine-1-py3-none-any.whl").write_bytes(b"mine")
    (tmp_path / "mine-1.tar.gz").write_bytes(b"mine")
    mine = hashlib.sha256(b"mine").hexdigest()
    client = asked(f"{index}/absent", f"{index}/angry", f"{index}/html", links=(str(tmp_path),))
    assert {file.sha256 for file in client.files("thing", list(SHA.values()))} == set(SHA.values())
    (found,) = client.files("mine", [mine])
    assert (found.name, client.size(found)) == ("mine-1-py3-none-any.whl", 4)
    assert client.files("thing", ["0" * 64]) == []


def test_an_index_in_a_folder_is_read_like_one_on_the_web(tmp_path: Path) -> None:
    (tmp_path / "simple" / "thing").mkdir(parents=True)
    (name, digest), *_ = SHA.items()
    (tmp_path / name).write_bytes(WHEELS[name])
    page = f'<base href="http://["><a href="http://[#sha256=1">x</a><a href="../../{name}#sha256={digest}">{name}</a>'
    (tmp_path / "simple" / "thing" / "index.html").write_text(page)
    client = asked((tmp_path / "simple").as_uri(), offline=True)
    (found,) = client.files("thing", [digest])
    assert client.size(found) == len(WHEELS[name]) and found.url == (tmp_path / name).as_uri()


def test_an_index_that_cannot_be_asked_or_talks_nonsense_is_told(index: str) -> None:
    with pytest.raises(DownloadError, match="HTTP status 500"):
        asked(f"{index}/angry").files("thing", ["0" * 64])
    with pytest.raises(DownloadError, match="no list of files"):
        asked(f"{index}/broken").files("thing", ["0" * 64])
    assert asked(f"{index}/angry", offline=True).files("thing", ["0" * 64]) == []


def test_what_is_set_for_uv_wins_over_what_is_set_for_pip() -> None:
    python = Path(sys.executable)
    nowhere = {"PIP_CONFIG_FILE": "/dev/null", "HOME": "/nonexistent"}
    pip = {**nowhere, "PIP_INDEX_URL": "http://127.0.0.1/a", "PIP_EXTRA_INDEX_URL": "http://127.0.0.1/b"}
    assert places(pip, python).indexes == ("http://127.0.0.1/b", "http://127.0.0.1/a")
    assert default_index(Path("/nonexistent/python")) == ""
    both = {**pip, "UV_DEFAULT_INDEX": "http://127.0.0.1/c", "UV_INDEX": "name=http://127.0.0.1/d"}
    assert places(both, python).indexes == ("http://127.0.0.1/d", "http://127.0.0.1/c")
    alone = {**pip, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/wheels"}
    assert places(alone, python) == Places((), ("/wheels",))


@pytest.mark.slow
def test_without_a_setting_pip_says_which_index_it_asks() -> None:
    found = default_index(Path(sys.executable))
    assert found.startswith("https://") and found.rstrip("/").endswith("/simple")
    assert default_index(Path("/nonexistent/python")) == ""
