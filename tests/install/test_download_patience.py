# SPDX-License-Identifier: Apache-2.0
"""Downloads and servers: how many at once, how long between tries, and what is said of a mirror that lies."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import cast

import pytest
from codereef.errors import DownloadError
from codereef.install import download
from codereef.install.download import RemoteFile, fetch
from codereef.install.transport import _retry_after

pytestmark = pytest.mark.slow

Make = Callable[..., RemoteFile]
DATA = os.urandom(100_000)


class Observer(ThreadingHTTPServer):
    """Counts, for each name it is called by, the requests that it answers at once; notes when each came."""

    daemon_threads = True

    def __init__(self, bodies: dict[str, bytes], statuses: list[tuple[int, dict[str, str]]], slow: float) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.bodies, self.statuses, self.slow = bodies, statuses, slow
        self.guard = threading.Lock()
        self.now: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.times: list[float] = []
        self.gate: threading.Event | None = None
        self.opened: list[bool] = []

    def address(self, name: str, path: str) -> str:
        return f"http://{name}:{self.server_address[1]}{path}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is no error here."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        server = cast("Observer", self.server)
        name = self.headers["Host"].partition(":")[0]
        with server.guard:
            server.times.append(time.monotonic())
            status, headers = server.statuses.pop(0) if server.statuses else (200, {})
            server.now[name] += 1
            server.most[name] = max(server.most[name], server.now[name])
        try:
            body = server.bodies[self.path] if status == 200 else b""
            self.send_response(status)
            for key, value in headers.items():
                self.send_header(key, value)
            if "Content-Length" not in headers:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if server.gate is not None and name == "localhost":
                server.gate.set()
            elif server.gate is not None:
                server.opened.append(server.gate.wait(3))
            time.sleep(server.slow)
            self.wfile.write(body)
        finally:
            with server.guard:
                server.now[name] -= 1


@pytest.fixture
def observe() -> Iterator[Callable[..., Observer]]:
    made: list[tuple[Observer, threading.Thread]] = []

    def start(
        bodies: dict[str, bytes], statuses: list[tuple[int, dict[str, str]]] | None = None, slow: float = 0.0
    ) -> Observer:
        server = Observer(bodies, statuses or [], slow)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        made.append((server, thread))
        return server

    yield start
    for server, thread in made:
        server.shutdown()
        server.server_close()
        thread.join(5)


@pytest.mark.parametrize("most", [1, 3])
def test_no_more_files_at_once_than_a_host_may_be_asked_for(
    observe, store, settings, progress, remote: Make, most: int
) -> None:
    bodies = {f"/{n}": bytes([n]) * 1000 for n in range(6)}
    server = observe(bodies, slow=0.02)
    files = [remote(body, server.address("127.0.0.1", path)) for path, body in bodies.items()]
    fetch(files, store, replace(settings, jobs=6, per_host=most), progress)
    assert server.most["127.0.0.1"] == most


def test_files_of_an_idle_host_do_not_wait_for_a_busy_one(observe, store, settings, progress, remote: Make) -> None:
    bodies = {f"/{n}": bytes([n]) * (1000 if n < 5 else 10) for n in range(6)}
    server = observe(bodies)
    # The busy host answers only when the other one was asked: the small file there must not wait for the large ones.
    server.gate = threading.Event()
    names = {path: "127.0.0.1" if len(body) == 1000 else "localhost" for path, body in bodies.items()}
    files = [remote(body, server.address(names[path], path)) for path, body in bodies.items()]
    fetch(files, store, replace(settings, jobs=2, per_host=1, timeout=10.0), progress)
    assert server.most == {"127.0.0.1": 1, "localhost": 1}
    assert server.opened == [True] * 5


def test_pauses_between_tries_grow_and_are_spread(
    observe, store, settings, progress, remote: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "_FIRST_PAUSE", 0.03)
    server = observe({"/a": DATA}, [(503, {})] * 3)
    fetch([remote(DATA, server.address("127.0.0.1", "/a"))], store, replace(settings, retries=3), progress)
    pauses = [later - earlier for earlier, later in zip(server.times, server.times[1:])]
    assert len(pauses) == 3
    # Each is 0.03 s doubled so many times, by 0.75 to 1.25; the machine may be late, never early.
    for number, pause in enumerate(pauses):
        assert pause >= 0.03 * 2**number * 0.75
    assert pauses[2] > pauses[0]


@pytest.mark.slow
@pytest.mark.parametrize("header", ["1", "date"])
def test_a_server_is_left_alone_as_long_as_it_asks(
    observe, store, settings, progress, remote: Make, header: str
) -> None:
    text = header if header.isdigit() else formatdate(time.time() + 2, usegmt=True)
    server = observe({"/a": DATA}, [(429, {"Retry-After": text})])
    fetch([remote(DATA, server.address("127.0.0.1", "/a"))], store, settings, progress)
    # A date has whole seconds, so up to one of the two is lost.
    assert server.times[1] - server.times[0] >= 0.95
    assert "trying again in" in progress.notes[0]


def test_a_wish_of_a_server_is_bounded_and_nonsense_is_none() -> None:
    assert _retry_after("86400") == 60.0
    assert _retry_after(formatdate(time.time() + 86400, usegmt=True)) == 60.0
    assert _retry_after(formatdate(time.time() - 60, usegmt=True)) == 0.0
    assert [_retry_after(text) for text in ("", "soon", "-3", "٣")] == [None] * 4


def test_a_mirror_with_other_content_is_named_and_the_next_place_is_asked(
    observe, store, settings, progress, remote: Make
) -> None:
    file = remote(DATA)
    wrong, right = DATA[:-1] + bytes([DATA[-1] ^ 1]), DATA
    server = observe({f"/bad/sha256/{file.sha256}": wrong, f"/good/sha256/{file.sha256}": right})
    mirrors = (server.address("127.0.0.1", "/bad"), server.address("127.0.0.1", "/good"))
    found = fetch([file], store, replace(settings, mirrors=mirrors), progress)
    assert found[file.sha256].read_bytes() == DATA
    assert len(progress.notes) == 1
    assert "/bad/sha256/" in progress.notes[0] and "other content" in progress.notes[0]


@pytest.mark.parametrize("length", [len(DATA) - 1, len(DATA) + 1])
def test_a_wrong_length_is_refused_before_a_byte_is_kept(
    observe, store, settings, progress, remote: Make, length: int
) -> None:
    server = observe({"/a": DATA}, [(200, {"Content-Length": str(length)})])
    file = remote(DATA, server.address("127.0.0.1", "/a"))
    with pytest.raises(DownloadError, match=f"it has {length} bytes; {len(DATA)} were expected"):
        fetch([file], store, settings, progress)
    assert not store.partial(file.sha256).exists()
    assert len(server.times) == 1


def test_progress_learns_of_everything_before_the_first_byte(
    observe, store, settings, progress, remote: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    bodies = {f"/{n}": bytes([n]) * (n + 1) for n in range(3)}
    server = observe(bodies)
    announced: list[tuple[int, int, int]] = []

    class Expecting(type(progress)):  # type: ignore[misc]
        def expect(self, count: int, total_bytes: int) -> None:
            announced.append((count, total_bytes, len(self.started)))

    listener = Expecting()
    fetch([remote(b, server.address("127.0.0.1", p)) for p, b in bodies.items()], store, settings, listener)
    assert announced == [(3, 6, 0)]
    fetch([remote(b, server.address("127.0.0.1", p)) for p, b in bodies.items()], store, settings, listener)
    assert len(announced) == 1


CHILD = """
import json, sys
from pathlib import Path
from codereef.install.download import RemoteFile, Settings, fetch
from codereef.install.progress import NullProgress
from codereef.store import Store
files = [RemoteFile(f["name"], f["sha256"], f["size"], tuple(f["urls"])) for f in json.loads(sys.argv[1])]
print("go", flush=True)
fetch(files, Store(Path(sys.argv[2])), Settings(timeout=5), NullProgress())
"""


@pytest.mark.slow
@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_ended_at_any_instant_what_is_in_the_store_is_whole_and_the_rest_comes_later(
    observe, store, settings, progress, remote: Make, sign: signal.Signals
) -> None:
    bodies = {f"/{n}": os.urandom(400_000) for n in range(8)}
    server = observe(bodies, slow=0.01)
    files = [remote(body, server.address("127.0.0.1", path)) for path, body in bodies.items()]
    given = json.dumps([asdict(file) for file in files])
    seen = set()
    for number, delay in ((0, 0.0), (1, 0.0), (3, 0.005), (5, 0.002), (6, 0.005), (7, 0.01), (8, 0.008)):
        asked = len(server.times)
        shutil.rmtree(store.root, ignore_errors=True)
        process = subprocess.Popen(
            [sys.executable, "-c", CHILD, given, str(store.root)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert process.stdout is not None and process.stdout.readline() == "go\n"
        while len(server.times) < asked + number and process.poll() is None:
            time.sleep(0.001)
        time.sleep(delay)
        process.send_signal(sign)
        process.communicate(timeout=20)
        kept = [path for path in store.blobs.rglob("*") if path.is_file()]
        seen.add(len(kept))
        assert all(hashlib.sha256(path.read_bytes()).hexdigest() == path.name for path in kept)
        found = fetch(files, store, settings, progress)
        assert [found[file.sha256].read_bytes() for file in files] == list(bodies.values())
        assert not list(store.tmp.glob("partial.*"))
    assert len(seen) > 1, "every signal came at the same instant; choose other delays"
