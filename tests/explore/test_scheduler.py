# SPDX-License-Identifier: Apache-2.0
"""The address of a Dask scheduler: what is none, and what stands at one that is none."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest
from codereef.errors import NetworkError, UsageError
from codereef.explore.scheduler import require_address, require_scheduler


@pytest.mark.parametrize(
    "text", ["tcp://192.168.1.5:8786", "tls://host.example:8786", "host:1", "[::1]:8786", "tcp://[fe80::1%eth0]:65535/"]
)
def test_an_address_that_dask_knows_passes(text: str) -> None:
    require_address(text)


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("nonsense", "--scheduler nonsense: expected HOST:PORT", "`dask scheduler` prints"),
        ("", "expected HOST:PORT", "`dask scheduler` prints"),
        ("tcp://host", "expected HOST:PORT", "`dask scheduler` prints"),
        ("tcp://host:0", "from 1 to 65535", "`dask scheduler` prints"),
        ("host:99999", "from 1 to 65535", "`dask scheduler` prints"),
        ("::1:8786", "expected HOST:PORT", "`dask scheduler` prints"),
        ("foo://host:8786", "Dask has no `foo://`", "Write tcp://host:8786."),
        ("http://host:8787", "Dask has no `http://`", "a dashboard is at another port"),
    ],
)
def test_what_is_no_address_is_refused_with_the_form_of_one(text: str, message: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        require_address(text)
    assert message in caught.value.message and hint in caught.value.hint


def test_a_password_in_an_address_is_not_repeated() -> None:
    with pytest.raises(UsageError) as caught:
        require_address("tcp://me:hunter22@host:8786")
    assert "hunter22" not in f"{caught.value.as_dict()}"


@pytest.fixture
def web_server() -> Iterator[str]:
    """The address of something that answers every connection, and in no words of Dask's."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n" * 4)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(10)


def test_what_answers_and_is_no_scheduler_is_told_at_once_and_leaves_nothing_behind(web_server: str) -> None:
    """Dask's half-made client ended the command 30 s late, with a traceback that no handler of ours saw."""
    code = (
        "import sys; from codereef.errors import NetworkError; from codereef.explore.scheduler import require_scheduler\n"
        "try:\n    require_scheduler(sys.argv[1], print)\nexcept NetworkError as error:\n    sys.exit(error.message)"
    )
    begun = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code, web_server], text=True, capture_output=True, timeout=120)
    assert time.monotonic() - begun < 12
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert done.stderr.strip() == (
        f"What answers at {web_server} is no Dask scheduler, or one of a version that this one does not understand."
    )


def test_an_unknown_host_is_told_without_a_wait() -> None:
    said: list[str] = []
    with pytest.raises(NetworkError, match="its host is not known here") as caught:
        require_scheduler("tcp://no-such-host.invalid:8786", said.append)
    assert "`dask scheduler`" in caught.value.hint and said == []
