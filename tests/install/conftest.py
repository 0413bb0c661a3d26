# SPDX-License-Identifier: Apache-2.0
"""A real http server that can misbehave, a progress that remembers, and a store."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import cast

import pytest
from codereef.install.download import RemoteFile, Settings
from codereef.store import Store


class Server(ThreadingHTTPServer):
    """Serves what it was given. Each request for a path takes the next of its acts; the last one stays.

    Acts: "range" and "plain" (with and without ranges), "corrupt", "wrong-range", "longer", a status such as
    "503" or "404", ("drop", n) and ("stall", n) after n bytes, ("slow", n) bytes every 10 ms.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.acts: dict[str, list[tuple[str, int]]] = {}
        self.requests: list[tuple[str, str]] = []  # path, Range header
        self.running = 0
        self.most_running = 0
        self.sent = 0
        self.guard = threading.Lock()
        self.closing = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def put(self, path: str, data: bytes, *acts: str | tuple[str, int]) -> str:
        self.files[path] = data
        self.acts[path] = [(act, 0) if isinstance(act, str) else act for act in acts] or [("range", 0)]
        return self.url + path

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is what several tests are about."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        server = cast("Server", self.server)
        with server.guard:
            server.requests.append((self.path, self.headers.get("Range", "")))
            acts = server.acts.get(self.path, [("404", 0)])
            act, number = acts.pop(0) if len(acts) > 1 else acts[0]
            server.running += 1
            server.most_running = max(server.most_running, server.running)
        try:
            self.answer(server, act, number)
        finally:
            with server.guard:
                server.running -= 1

    def answer(self, server: Server, act: str, number: int) -> None:
        if act.isdigit():
            self.send_response(int(act))
            if act == "429":
                self.send_header("Retry-After", "0")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        data = server.files[self.path]
        asked = self.headers.get("Range", "")
        start = 0
        if asked and act != "plain":
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            self.send_response(206)
            shown = start + 7 if act == "wrong-range" else start
            self.send_header("Content-Range", f"bytes {shown}-{len(data) - 1}/{len(data)}")
        else:
            self.send_response(200)
        if act == "corrupt":
            data = data[:-1] + bytes([data[-1] ^ 1])
        body = data[start:]
        if act == "longer":
            # No length announced and no end: the client has to know when to stop reading.
            self.send_header("Connection", "close")
            self.end_headers()
            self.close_connection = True
            while not server.closing.is_set():
                self.wfile.write(body)
                server.sent += len(body)
                body = b"\0" * 65536
            return
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if act in ("drop", "stall"):
            self.wfile.write(body[:number])
            self.wfile.flush()
            if act == "stall":
                server.closing.wait(30)
            self.close_connection = True
            return
        step = number if act == "slow" else len(body) or 1
        for at in range(0, len(body), step):
            self.wfile.write(body[at : at + step])
            if act == "slow":
                time.sleep(0.01)


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        made.closing.set()
        made.shutdown()
        made.server_close()
        thread.join(5)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


class Remembered:
    """A progress that keeps what it is told."""

    def __init__(self) -> None:
        self.started: list[tuple[str, int | None, str]] = []
        self.moved: dict[str, int] = {}
        self.finished: list[str] = []
        self.notes: list[str] = []

    def start(self, task: str, total_bytes: int | None, label: str) -> None:
        self.started.append((task, total_bytes, label))

    def advance(self, task: str, n: int) -> None:
        self.moved[task] = self.moved.get(task, 0) + n

    def finish(self, task: str) -> None:
        self.finished.append(task)

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture
def progress() -> Remembered:
    return Remembered()


@pytest.fixture
def settings() -> Settings:
    return Settings(timeout=2.0, retries=2)


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("codereef.install.download._FIRST_PAUSE", 0.02)
    # The user's proxy must not stand between the tests and their own server.
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def remote() -> Callable[..., RemoteFile]:
    def make(data: bytes, *urls: str, name: str = "model.bin", origin: str = "") -> RemoteFile:
        return RemoteFile(name, hashlib.sha256(data).hexdigest(), len(data), urls, origin)

    return make
