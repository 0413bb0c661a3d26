# SPDX-License-Identifier: Apache-2.0
"""The system's git: what it is asked, and what no address and no revision can make it do."""

from __future__ import annotations

import http.server
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from codereef.errors import NetworkError, UsageError
from codereef.home import Home
from codereef.repo.git import bring_up_to_date, clone, head
from codereef.repo.sources import add

IDENTITY = ("-c", "user.name=T", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")


def git(folder: Path, *arguments: str) -> str:
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    command = ["git", *IDENTITY, *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment, check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    root = tmp_path / "upstream"
    root.mkdir()
    git(root, "init", "-q")
    (root / "file").write_text("one")
    git(root, "add", ".")
    git(root, "commit", "-qm", "one")
    return root


@pytest.mark.parametrize(
    "address", ["--upload-pack=touch owned", "-u./x", "ext::sh -c 'touch owned'", "fd::17", "transport-helper::x"]
)
def test_an_address_can_neither_be_an_option_nor_name_a_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="is not an address"):
        clone(address, tmp_path / "clone")
    assert list(tmp_path.iterdir()) == []


def test_git_itself_is_told_to_run_no_helper_although_the_user_allows_them(
    origin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # An address that the user's settings rewrite into a command gets past any look at the address.
    marker = tmp_path / "owned"
    config = tmp_path / "gitconfig"
    config.write_text(
        f'[url "ext::sh -c \\"touch% {marker};cat\\" "]\n\tinsteadOf = https://git.invalid/\n[protocol "ext"]\n\tallow = always\n'
    )
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    with pytest.raises(NetworkError, match="transport 'ext' not allowed"):
        clone("https://git.invalid/a.git", tmp_path / "clone")
    assert not marker.exists() and not (tmp_path / "clone").exists()


@pytest.mark.parametrize("revision", ["--upload-pack=touch owned", "-q"])
def test_a_revision_cannot_be_an_option(origin: Path, tmp_path: Path, revision: str) -> None:
    clone(str(origin), tmp_path / "clone")
    with pytest.raises(UsageError):
        clone(str(origin), tmp_path / "other", revision)
    with pytest.raises(UsageError):
        bring_up_to_date(tmp_path / "clone", str(origin), revision)


def test_a_clone_follows_its_origin(origin: Path, tmp_path: Path) -> None:
    clone(origin.as_uri(), tmp_path / "clone")
    assert head(tmp_path / "clone", "") == git(origin, "rev-parse", "HEAD")
    assert not bring_up_to_date(tmp_path / "clone", origin.as_uri())
    (origin / "file").write_text("two")
    git(origin, "commit", "-qam", "two")
    (tmp_path / "clone" / "file").write_text("changed by hand")
    assert bring_up_to_date(tmp_path / "clone", origin.as_uri())
    assert (tmp_path / "clone" / "file").read_text() == "two"


def test_the_surroundings_cannot_lead_git_to_another_repository(
    origin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone(str(origin), tmp_path / "clone")
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "-q")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    assert not bring_up_to_date(tmp_path / "clone", str(origin))


def test_a_folder_inside_another_repository_is_not_taken_for_a_clone(origin: Path) -> None:
    (origin / "inside").mkdir()
    with pytest.raises(NetworkError, match="gone or damaged"):
        bring_up_to_date(origin / "inside", "https://someone:secret@example.org/a.git")
    assert (origin / "file").read_text() == "one"


@pytest.fixture
def locked_server() -> Iterator[str]:
    """A real server that wants a password for everything."""

    class Locked(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="r"')
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Locked)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_a_password_is_neither_asked_for_nor_told(locked_server: str, tmp_path: Path) -> None:
    for address in (f"http://{locked_server}/a.git", f"http://someone:secret@{locked_server}/a.git"):
        with pytest.raises(NetworkError) as caught:
            clone(address, tmp_path / "clone")
        assert f"http://{locked_server}/a.git" in caught.value.message
        assert "secret" not in str(caught.value.as_dict())
        assert not (tmp_path / "clone").exists()


def test_a_server_that_wants_a_login_may_be_a_git_server(locked_server: str, tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match="401") as caught:
        add(Home(tmp_path / "home"), f"http://{locked_server}/private")
    assert "If it is a git repository, end its address with .git." in caught.value.hint
