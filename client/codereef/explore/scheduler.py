# SPDX-License-Identifier: Apache-2.0
"""The address of a Dask scheduler: whether it is one, and whether a scheduler answers there.

Both are asked before a `Client` is made for good: one whose first connection fails is never closed, and ends 30 s
after the command, with a traceback.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import socket
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

from codereef.errors import NetworkError, UsageError
from codereef.install.redact import redact

#: Seconds a scheduler has to answer; it may have been started at the same moment as the exploration.
CONNECT_SECONDS = 15.0
#: Seconds after which a user is told what is waited for.
_SAY_AFTER = 1.0
#: What Dask speaks between processes. Workers are told where a scheduler is in the same way.
_SCHEMES = ("tcp", "tls", "ws", "wss", "ucx")
_ADDRESS = re.compile(
    r"(?:(?P<scheme>[a-z]+)://)?(?P<host>\[[0-9A-Fa-f:.]+(?:%\w+)?\]|[A-Za-z0-9_.-]+):(?P<port>[0-9]{1,5})/?"
)
_START = "Start it with `dask scheduler`, and give the address that it prints, such as tcp://HOST:8786."


def require_distributed() -> Any:
    """Return `dask.distributed`.

    Raises:
        UsageError: it is not installed.
    """
    try:
        module = import_module("distributed")
    except ImportError as error:
        raise UsageError(
            f"--workers and --scheduler need Dask, which is not installed ({error}).",
            hint='`pip install "codereef[dask]"` installs it.',
        ) from None
    # It warns of what is handled here, such as a worker that goes away, in words that help no user of ours.
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    return module


def require_address(text: str) -> None:
    """Refuse what cannot be the address of a scheduler.

    Args:
        text: what the user gave: `HOST:PORT`, with `tcp://` or another of Dask's schemes before it.

    Raises:
        UsageError: it has no host, no port, or a scheme that Dask does not know.
    """
    match = _ADDRESS.fullmatch(text)
    text = redact(text, ())
    if match is None or not 0 < int(match["port"]) < 65536:
        raise UsageError(
            f"--scheduler {text}: expected HOST:PORT, the port a number from 1 to 65535.",
            hint="`dask scheduler` prints its address, such as tcp://192.168.1.5:8786.",
            context={"scheduler": text},
        )
    if match["scheme"] not in (None, *_SCHEMES):
        raise UsageError(
            f"--scheduler {text}: Dask has no `{match['scheme']}://`.",
            hint=f"Write tcp://{match['host']}:{match['port']}"
            + ("; a dashboard is at another port than its scheduler." if match["scheme"] in ("http", "https") else "."),
            context={"scheduler": text},
        )


def require_scheduler(address: str, say: Callable[[str], None]) -> None:
    """Wait until a scheduler answers at an address that `require_address` lets pass.

    Args:
        address: of the scheduler.
        say: is told what is waited for, when it takes longer than a second.

    Raises:
        UsageError: Dask is not installed.
        NetworkError: its host is not known, nothing answers within `CONNECT_SECONDS`, or it is no scheduler.
    """
    module = require_distributed()
    begun = time.monotonic()
    try:
        match = _ADDRESS.fullmatch(address)
        if match is not None:
            socket.getaddrinfo(match["host"].strip("[]"), int(match["port"]), type=socket.SOCK_STREAM)
        problem = asyncio.run(_connect(module, address, say))
    except socket.gaierror as error:
        problem = error
    if problem is None:
        return
    told = f"The Dask scheduler at {address} "
    if isinstance(problem, socket.gaierror):
        told += f"cannot be reached: its host is not known here ({problem.strerror})."
    elif isinstance(problem, (OSError, asyncio.TimeoutError)):
        told += f"does not answer; it was tried for {time.monotonic() - begun:.0f} s."
    else:
        told = f"What answers at {address} is no Dask scheduler, or one of a version that this one does not understand."
    raise NetworkError(told, hint=_START, context={"scheduler": address, "problem": str(problem)}) from None


async def _connect(module: Any, address: str, say: Callable[[str], None]) -> Exception | None:
    """Return why a client could not connect, or None where it could; the client is closed in both cases."""
    client = module.Client(address, asynchronous=True, timeout=CONNECT_SECONDS, set_as_default=False)
    started = asyncio.ensure_future(_opened(client))
    try:
        await asyncio.wait({started}, timeout=_SAY_AFTER)
        if not started.done():
            say(f"waiting up to {CONNECT_SECONDS:.0f} s for the Dask scheduler at {address}")
        await asyncio.wait_for(started, CONNECT_SECONDS)
    # What stands at a wrong address may answer anything, and Dask takes it for its own protocol.
    except Exception as error:
        return error
    finally:
        with contextlib.suppress(Exception):
            await asyncio.wait_for(client.close(), 5)
    return None


async def _opened(client: Any) -> None:
    await client
