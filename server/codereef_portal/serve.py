# SPDX-License-Identifier: Apache-2.0
"""Running the portal with uvicorn until it is told to stop."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable

import uvicorn
from codereef.errors import UsageError

from codereef_portal.app import create_app
from codereef_portal.settings import Settings


def serve(settings: Settings, on_ready: Callable[[str], None]) -> None:
    """Serve a portal until SIGINT or SIGTERM.

    Args:
        settings: what the portal is told; port 0 takes a free one.
        on_ready: called once with the portal's address as soon as connections are taken.

    Raises:
        UsageError: the address cannot be listened on.
        StorageError: the database cannot be opened or written.
    """
    app = create_app(settings)
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((settings.host, settings.port))
        # Connections made from here on wait in the backlog until the server takes them.
        listener.listen(256)
    except (OSError, OverflowError) as error:
        listener.close()
        taken = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
        raise UsageError(
            f"The portal cannot listen on {settings.host} port {settings.port}: {error}.",
            hint="Another program has the port; take another with --port, or --port 0 for any free one."
            if taken
            else "Choose another address or port.",
        ) from error
    host = f"[{settings.host}]" if family == socket.AF_INET6 else settings.host
    address = settings.public_url or f"http://{host}:{listener.getsockname()[1]}"
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, server_header=False, timeout_graceful_shutdown=5
    )
    server = _Server(config, lambda: on_ready(address))
    try:
        server.run(sockets=[listener])
    finally:
        listener.close()


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_ready()
