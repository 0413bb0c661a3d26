# SPDX-License-Identifier: Apache-2.0
"""Real registries for tests: components on disk, keys, and a web server that can misbehave."""

from __future__ import annotations

import contextlib
import hashlib
import json
import tempfile
import threading
from collections.abc import Callable, Iterator
from functools import cache, partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from codereef.home import Home
from codereef.repo.index import Index, load_index
from codereef.repo.registry import publish as library
from codereef.repo.sources import repositories
from codereef.trust.keys import new_key, open_key
from codereef.trust.signatures import Signer


def put(root: Path, name: str, version: str = "1.0.0", *, kind: str = "program", **more: Any) -> Path:
    """Write a component and return its folder."""
    place = root / f"{name}-{version}"
    (place / "lib").mkdir(parents=True, exist_ok=True)
    document: dict[str, Any] = {
        "kind": kind,
        "name": name,
        "version": version,
        "summary": f"About {name} {version}",
        "license": "MIT",
        **({"task": "object-detection", "run": {"python": "main.py"}, "metrics": {}} if kind == "program" else {}),
        **more,
    }
    (place / "cr.json").write_text(json.dumps(document))
    (place / "main.py").write_text(f"print({name!r})\n")
    (place / "lib" / "tool.sh").write_text("#!/bin/sh\necho tool\n")
    (place / "lib" / "tool.sh").chmod(0o755)
    return place


def signer(folder: Path, name: str) -> Signer:
    """Make a key and open it."""
    new_key(folder, name)
    return open_key(folder, name, lambda _: "")


def make(source: Path, to: Path, key: Signer | None = None, publisher: str = "alice") -> library.Change:
    """Publish a folder, into a new registry where there is none."""
    if not (to / "registry.json").exists():
        library.create(to, "team", key, publisher if key else "")
    return library.publish(source, to, signer=key, publisher=publisher if key else "")


@cache
def _embedded() -> dict[str, bytes]:
    """Return the cached rows of the embedded repository, read once: no test here is about it."""
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder))
        load_index(repositories(home), home.cache)
        return {path.name: path.read_bytes() for path in home.cache.glob("*.json")}


def index_of(home: Home, **options: Any) -> Index:
    """Return the index over the user's repositories."""
    home.cache.mkdir(parents=True, exist_ok=True)
    for name, rows in _embedded().items():
        if not (home.cache / name).exists():
            (home.cache / name).write_bytes(rows)
    return load_index(repositories(home), home.cache, **options)


class _Handler(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002
        pass

    def do_GET(self) -> None:
        server: Server = self.server  # type: ignore[assignment]
        server.asked.append(self.path)
        if server.before is not None and server.before(self):
            return
        file = Path(self.translate_path(self.path))
        if not file.is_file():
            self.send_error(404)
            return
        data = file.read_bytes()
        tag = f'"{hashlib.sha256(data).hexdigest()[:16]}"'
        if self.headers.get("If-None-Match") == tag:
            self.send_response(304)
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("ETag", tag)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


class Server(ThreadingHTTPServer):
    """A web server over a folder.

    Attributes:
        asked: the paths that were asked for.
        before: called first; answers itself where it returns True.
    """

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), partial(_Handler, directory=str(folder)))
        self.asked: list[str] = []
        self.before: Callable[[_Handler], bool] | None = None

    @property
    def address(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.server_address[1]}"


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """Serve a folder as long as the block runs."""
    with Server(folder) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
