# SPDX-License-Identifier: Apache-2.0
"""Commits of real git repositories: what is fetched, what is checked, and what cannot slip in."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from codereef.errors import DownloadError, InstallError, IntegrityError
from codereef.install.download import Settings
from codereef.install.git import GitSource, absolute_url, obtain
from codereef.install.progress import NullProgress
from codereef.store import Store

from .conftest import Remembered
from .graphs import HELLO, World, commands, tool, tree

GIT = ["git", "-c", "user.name=T", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main"]
GIT += ["-c", "commit.gpgsign=false", "-c", "protocol.file.allow=always"]


def git(folder: Path, *arguments: str) -> str:
    env = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")} | {"GIT_CONFIG_GLOBAL": os.devnull}
    done = subprocess.run([*GIT, *arguments], cwd=folder, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def repository(folder: Path, files: dict[str, str]) -> str:
    """Make a repository, or a further commit of one; return the commit."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / ".git").exists():
        git(folder, "init", "--quiet")
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "x")
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture(autouse=True)
def _git(monkeypatch: pytest.MonkeyPatch) -> None:
    tool("git")
    # The user's rewriting of addresses must not reach the tests.
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)


def source(url: str | Path, commit: str, sha256: str = "0" * 64, size: int = 1, **more: object) -> GitSource:
    urls = (f"file://{url}",) if isinstance(url, Path) else (url,)
    return GitSource("src", sha256, size, urls, "", commit, **more)  # type: ignore[arg-type]


def fetched(store: Store, wanted: GitSource, settings: Settings | None = None) -> Path:
    """Fetch a commit whose digest is not known yet: the error tells it, as it tells the author of a recipe."""
    settings = settings or Settings(timeout=2.0, retries=0)
    with pytest.raises(IntegrityError) as caught:
        obtain(wanted, store, settings, NullProgress())
    facts = caught.value.context
    assert f"found {facts['found']} and {facts['size']}" in caught.value.message
    right = GitSource(
        wanted.name, str(facts["found"]), int(str(facts["size"])), wanted.urls, "", wanted.commit, wanted.submodules
    )
    return obtain(right, store, settings, NullProgress())


def names(archive: Path) -> dict[str, int]:
    with tarfile.open(archive) as tar:
        return {member.name: member.mode for member in tar}


@pytest.mark.slow
def test_one_commit_is_fetched_alone_and_is_the_same_bytes_everywhere(store: Store, tmp_path: Path) -> None:
    first = repository(tmp_path / "r", {"b.c": "int b;\n", "a/x.sh": "#!/bin/sh\n", "secret": "old\n"})
    (tmp_path / "r" / "a" / "x.sh").chmod(0o755)
    (tmp_path / "r" / "secret").unlink()
    (tmp_path / "r" / "link").symlink_to("b.c")
    commit = repository(tmp_path / "r", {"b.c": "int b = 2;\n"})
    archive = fetched(store, source(tmp_path / "r", commit))
    assert names(archive) == {"a/x.sh": 0o755, "b.c": 0o644, "link": 0o777}
    with tarfile.open(archive) as tar:
        assert {(m.mtime, m.uid, m.uname) for m in tar} == {(0, 0, "")}
    # An older commit is no branch's head, and is fetched all the same.
    assert "secret" in names(fetched(store, source(tmp_path / "r", first)))
    # A clone elsewhere gives the same bytes.
    git(tmp_path, "clone", "--quiet", "--bare", "r", "other.git")
    assert fetched(Store(tmp_path / "s2"), source(tmp_path / "other.git", commit)).name == archive.name
    assert not list(store.tmp.glob("git.*"))


@pytest.mark.slow
def test_a_commit_in_the_store_needs_neither_network_nor_repository(store: Store, tmp_path: Path) -> None:
    commit = repository(tmp_path / "r", {"a": "1\n"})
    archive = fetched(store, source(tmp_path / "r", commit))
    shutil.rmtree(tmp_path / "r")
    again = source("https://127.0.0.1:9/none", commit, archive.name, archive.stat().st_size)
    assert obtain(again, store, Settings(offline=True), NullProgress()) == archive
    with pytest.raises(DownloadError, match=r"no network is used \(--offline\)") as caught:
        obtain(source("https://127.0.0.1:9/none", commit), store, Settings(offline=True), NullProgress())
    assert "--offline" in caught.value.hint


@pytest.mark.slow
def test_a_mirror_by_sha256_is_asked_before_the_repository(store: Store, tmp_path: Path) -> None:
    commit = repository(tmp_path / "r", {"a": "1\n"})
    archive = fetched(store, source(tmp_path / "r", commit))
    mirror = tmp_path / "mirror" / "sha256"
    mirror.mkdir(parents=True)
    shutil.copy(archive, mirror / archive.name)
    other = Store(tmp_path / "s2")
    wanted = source("file:///nowhere", commit, archive.name, archive.stat().st_size)
    found = obtain(wanted, other, Settings(mirrors=(str(tmp_path / "mirror"),), timeout=2.0, retries=0), NullProgress())
    assert found.read_bytes() == archive.read_bytes()


@pytest.mark.slow
def test_a_second_address_helps_where_the_first_fails(store: Store, tmp_path: Path) -> None:
    commit = repository(tmp_path / "r", {"a": "1\n"})
    wanted = GitSource("src", "0" * 64, 1, (f"file://{tmp_path}/gone", f"file://{tmp_path}/r"), "", commit)
    assert names(fetched(store, wanted)) == {"a": 0o644}


@pytest.mark.slow
def test_a_commit_that_nobody_has_says_what_was_tried(store: Store, tmp_path: Path) -> None:
    repository(tmp_path / "r", {"a": "1\n"})
    with pytest.raises(DownloadError) as caught:
        obtain(source(tmp_path / "r", "ab" * 20), store, Settings(), NullProgress())
    assert str(tmp_path / "r") in caught.value.message
    assert "ab" * 20 in caught.value.message


@pytest.mark.slow
def test_what_a_killed_fetch_left_goes_with_the_next_sweep(store: Store, tmp_path: Path) -> None:
    commit = repository(tmp_path / "r", {"a.txt": "a"})
    url = f"file://{tmp_path / 'r'}"
    script = (
        "import os, sys\nfrom pathlib import Path\nfrom codereef.install import git\n"
        "from codereef.install.download import Settings\nfrom codereef.install.progress import NullProgress\n"
        "from codereef.store import Store\n"
        "git.sha256_file = lambda path: os.kill(os.getpid(), 9)\n"
        "git.obtain(git.GitSource('r', '0' * 64, 1, (sys.argv[2],), '', sys.argv[3]), Store(Path(sys.argv[1])), "
        "Settings(), NullProgress())"
    )
    done = subprocess.run([sys.executable, "-c", script, str(store.root), url, commit], timeout=60)
    assert done.returncode == -signal.SIGKILL
    (left,) = store.tmp.glob("git.*")
    with store.lock(f"git.{'0' * 64}"):
        assert store.sweep(force=True) == 0
    assert store.sweep(force=True) == 1
    assert not left.exists()


def test_attributes_filters_and_hooks_change_nothing(store: Store, tmp_path: Path) -> None:
    text = "line\r\n$Id$\n"
    attributes = "*.txt text eol=lf ident export-subst\nhidden export-ignore\n* filter=evil\n"
    repository(tmp_path / "r", {"a.txt": "x\n", "hidden": "there\n"})
    # As bytes: writing text would translate the line ends, and so would adding the file after the attributes.
    (tmp_path / "r" / "a.txt").write_bytes(text.encode())
    git(tmp_path / "r", "commit", "--quiet", "--all", "--message", "x")
    (tmp_path / "r" / ".gitattributes").write_text(attributes)
    git(tmp_path / "r", "add", ".gitattributes")
    git(tmp_path / "r", "commit", "--quiet", "--message", "x")
    commit = git(tmp_path / "r", "rev-parse", "HEAD")
    archive = fetched(store, source(tmp_path / "r", commit))
    with tarfile.open(archive) as tar:
        content = {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
    assert content["a.txt"] == text.encode()
    assert content["hidden"] == b"there\n"


@pytest.mark.slow
def test_submodules_come_only_when_asked_for(store: Store, tmp_path: Path) -> None:
    repository(tmp_path / "inner", {"lib.c": "int x;\n"})
    repository(tmp_path / "outer", {"main.c": "int y;\n"})
    git(tmp_path / "outer", "submodule", "--quiet", "add", "../inner", "third/inner")
    # The address is kept relative, as repositories that are cloned from several places have it.
    modules = tmp_path / "outer" / ".gitmodules"
    modules.write_text(modules.read_text().replace(str(tmp_path / "inner"), "../inner"))
    commit = repository(tmp_path / "outer", {"main.c": "int z;\n"})
    assert sorted(names(fetched(store, source(tmp_path / "outer", commit)))) == [".gitmodules", "main.c"]
    whole = fetched(store, source(tmp_path / "outer", commit, submodules=True))
    assert sorted(names(whole)) == [".gitmodules", "main.c", "third/inner/lib.c"]


def test_addresses_of_submodules_are_made_whole_and_helpers_are_refused() -> None:
    parent = "https://example.org/group/outer.git"
    assert absolute_url("../inner.git", parent) == "https://example.org/group/inner.git"
    assert absolute_url("git@example.org:a/b.git", parent) == "ssh://git@example.org/a/b.git"
    assert absolute_url("../x", "file:///srv/outer") == "file:///srv/x"
    for bad in ("ext::sh -c touch% /tmp/x", "file:///etc", "/etc", "-u", "fd::17"):
        with pytest.raises(InstallError, match="not permitted"):
            absolute_url(bad, parent)


@pytest.mark.slow
def test_a_recipe_of_a_commit_is_a_folder_in_the_store_and_the_source_of_a_build(tmp_path: Path) -> None:
    tool("gcc", "make")
    world = World(tmp_path)
    commit = repository(tmp_path / "r", {"hello.c": HELLO, "Makefile": "hello: hello.c\n\t$(CC) -o hello hello.c\ninstall:\n\tmkdir -p $(PREFIX)\n\tcp hello $(PREFIX)/\n"})  # fmt: skip
    archive = fetched(world.store, source(tmp_path / "r", commit))
    entry = {
        "git": {"url": f"file://{tmp_path}/r", "commit": commit},
        "sha256": archive.name,
        "size": archive.stat().st_size,
    }
    world.package("plain", {"using": "git"}, {"tree": entry})
    world.package(
        "made", {"using": "make", "source": "tree"}, {"tree": entry}, {"cc": "compiler.c", "make": "tool.make"}
    )
    assert tree(world.prefix("plain")) == ["tree/Makefile", "tree/hello.c"]
    prefix = world.prefix("made")
    assert subprocess.check_output([prefix / "hello"], text=True) == "hello\n"


@pytest.mark.slow
def test_a_tree_that_is_not_the_declared_one_is_refused_and_recorded(tmp_path: Path, progress: Remembered) -> None:
    from codereef.install.failures import records

    world = World(tmp_path, progress)
    commit = repository(tmp_path / "r", {"a": "1\n"})
    entry = {"git": {"url": f"file://{tmp_path}/r", "commit": commit}, "sha256": "1" * 64, "size": 10240}
    world.package("plain", {"using": "git"}, {"tree": entry})
    with pytest.raises(IntegrityError, match="is not what the recipe declares"):
        world.install("plain")
    assert world.registered() == []
    (record,) = records(world.failures)
    assert (record.data["step"], record.data["node"]) == ("git", "lib.plain@1.0")
    assert not any("--force" in line or "clone" in line for line in commands(world))


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A git daemon on 127.0.0.1 over a folder."""
    base = tmp_path / "served"
    base.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["git", "daemon", "--reuseaddr", "--export-all", "--listen=127.0.0.1", f"--port={port}"]
    process = subprocess.Popen([*command, f"--base-path={base}", str(base)], stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 20
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert time.monotonic() < end
            time.sleep(0.02)
        yield f"git://127.0.0.1:{port}", base
    finally:
        process.terminate()
        process.wait()


@pytest.mark.slow
def test_a_daemon_gives_one_commit_of_many(store: Store, tmp_path: Path, daemon: tuple[str, Path]) -> None:
    address, base = daemon
    commits = [repository(base / "r", {"a": f"{n}\n", f"old{n}": "x" * 5000}) for n in range(5)]
    archive = fetched(store, source(f"{address}/r", commits[2]))
    assert sorted(names(archive)) == ["a", "old0", "old1", "old2"]
    fetch = [text for log in store.logs.glob("git-*.log") if " fetch " in (text := log.read_text().splitlines()[0])]
    assert fetch
    assert all("--depth=1" in line and commits[2] in line for line in fetch)
