# SPDX-License-Identifier: Apache-2.0
"""The store: verified files, whole or absent folders, locks that die with their holder."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from codereef.disk import link_or_copy, write_atomic
from codereef.errors import IntegrityError, StorageError
from codereef.store import Store, tree_digest

SHA_EMPTY = hashlib.sha256(b"").hexdigest()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def leftovers(store: Store) -> list[str]:
    """Names in tmp that are neither logs nor the mark of the last sweep."""
    return sorted(p.name for p in store.tmp.iterdir() if p.name not in ("logs", "swept"))


def child(code: str, *args: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", code, *args], stdout=subprocess.PIPE, text=True)


def until(condition: object, seconds: float = 10.0) -> None:
    assert callable(condition)
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.01)


# -- places ------------------------------------------------------------------------------------------------


def test_default_store_follows_cr_home_then_xdg_then_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CR_HOME", str(tmp_path / "h"))
    assert Store.default().root == tmp_path / "h" / "store"
    monkeypatch.delenv("CR_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert Store.default().root == tmp_path / "data" / "codereef" / "store"
    monkeypatch.setenv("XDG_DATA_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Store.default().root == tmp_path / ".local" / "share" / "codereef" / "store"


def test_looking_makes_no_folders(store: Store) -> None:
    assert store.blob(SHA_EMPTY) is None
    assert store.prefix("a") is None
    assert store.ls() == ()
    assert not store.root.exists()


def test_backup_programs_are_told_to_leave_the_store_out(store: Store) -> None:
    store.prepare()
    assert (store.root / "CACHEDIR.TAG").read_text().startswith("Signature: 8a477f597d28d172789f06886806bc55\n")


@pytest.mark.parametrize("key", ["", "..", "a/b", "/a", "a\nb", ".hidden", "x" * 300])
def test_a_key_that_is_no_plain_name_is_refused(store: Store, key: str) -> None:
    with pytest.raises(StorageError, match="cannot be the name"):
        store.prefix(key)


# -- files -------------------------------------------------------------------------------------------------


def test_a_file_is_taken_in_by_its_digest(store: Store, tmp_path: Path) -> None:
    source = tmp_path / "a.bin"
    source.write_bytes(b"hello")
    path = store.add_blob(source, sha(b"hello"), 5)
    assert path == store.root / "v1" / "blobs" / "sha256" / sha(b"hello")[:2] / sha(b"hello")
    assert path.read_bytes() == b"hello"
    assert path.stat().st_mode & 0o222 == 0
    assert store.blob(sha(b"hello")) == path
    assert store.blob(sha(b"hello"), 5) == path
    assert store.blob(sha(b"hello"), 6) is None
    assert source.exists()
    source.write_bytes(b"other")
    assert path.read_bytes() == b"hello"


def test_moving_a_file_in_takes_it_away(store: Store, tmp_path: Path) -> None:
    store.prepare()
    source = store.partial(sha(b"hello"))
    source.write_bytes(b"hello")
    assert store.add_blob(source, sha(b"hello"), 5, move=True).read_bytes() == b"hello"
    assert not source.exists()


@pytest.mark.parametrize("move", [False, True])
@pytest.mark.parametrize(("data", "size"), [(b"hellO", 5), (b"hell", 5), (b"hello!", 5)])
def test_a_file_that_differs_is_refused_and_leaves_nothing(
    store: Store, tmp_path: Path, data: bytes, size: int, move: bool
) -> None:
    source = tmp_path / "a.bin"
    source.write_bytes(data)
    with pytest.raises(IntegrityError) as caught:
        store.add_blob(source, sha(b"hello"), size, move=move)
    assert str(source) in caught.value.message
    assert store.blob(sha(b"hello")) is None
    assert leftovers(store) == []
    assert source.read_bytes() == data


def test_a_digest_that_is_none_is_refused(store: Store) -> None:
    for bad in ("../../etc/passwd", "AB" * 32, "ab"):
        with pytest.raises(IntegrityError):
            store.blob(bad)


def test_link_or_copy_replaces_and_shares(tmp_path: Path) -> None:
    source = tmp_path / "a"
    source.write_bytes(b"new")
    target = tmp_path / "b"
    target.write_bytes(b"old")
    link_or_copy(source, target)
    assert target.read_bytes() == b"new"
    assert target.stat().st_ino == source.stat().st_ino
    link_or_copy(source, target)  # onto itself: no name may be left over
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b"]


def test_link_or_copy_copies_across_file_systems(tmp_path: Path) -> None:
    other = Path("/dev/shm")
    if not other.is_dir() or other.stat().st_dev == tmp_path.stat().st_dev:
        skip_or_fail("no second file system at /dev/shm")
    source = tmp_path / "a"
    source.write_bytes(b"x" * 100_000)
    target = other / f"codereef-test-{os.getpid()}"
    try:
        link_or_copy(source, target)
        assert target.read_bytes() == source.read_bytes()
    finally:
        target.unlink(missing_ok=True)


# -- digests of folders ------------------------------------------------------------------------------------


def test_the_digest_of_a_folder_is_the_one_documented(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "x.txt").write_bytes(b"one")
    (tmp_path / "b.txt").write_bytes(b"")
    (tmp_path / "Z").write_bytes(b"two")
    # Bytewise: upper case first, and "." (2e) before "/" (2f).
    lines = f"{sha(b'two')} 3 Z\n{SHA_EMPTY} 0 b.txt\n{sha(b'one')} 3 b/x.txt\n"
    assert tree_digest(tmp_path) == "sha256:" + sha(lines.encode())
    (tmp_path / ".codereef-prefix.json").write_text("{}")
    (tmp_path / "empty").mkdir()
    os.utime(tmp_path / "Z", (0, 0))
    assert tree_digest(tmp_path) == "sha256:" + sha(lines.encode())
    (tmp_path / "b" / ".codereef-prefix.json").write_text("{}")
    assert tree_digest(tmp_path) != "sha256:" + sha(lines.encode())


def test_the_digest_of_a_folder_refuses_what_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("/etc/passwd")
    with pytest.raises(IntegrityError, match="symbolic link"):
        tree_digest(tmp_path)
    (tmp_path / "a").unlink()
    os.mkfifo(tmp_path / "p")
    with pytest.raises(IntegrityError, match="not a regular file"):
        tree_digest(tmp_path)


# -- folders -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("in_place", [False, True])
def test_a_committed_folder_is_there_whole(store: Store, in_place: bool) -> None:
    with store.building("k-1", in_place=in_place) as build:
        assert build.existing is None
        assert list(build.path.iterdir()) == []
        assert (build.path == build.final) is in_place
        assert build.path.stat().st_dev == store.root.stat().st_dev
        (build.path / "sub").mkdir()
        (build.path / "sub" / "a").write_bytes(b"12345")
        assert store.prefix("k-1") is None
        done = build.commit({"n": 1}, digest=True)
    assert done.path == build.final == store.prefixes / "k-1"
    assert store.prefix("k-1") == done
    assert (done.meta["n"], done.size, done.files) == (1, 5, 1)
    assert done.tree == tree_digest(done.path)
    assert store.ls() == (done,)
    assert store.verify_prefix("k-1") == []
    assert leftovers(store) == []


@pytest.mark.parametrize("in_place", [False, True])
def test_leaving_without_commit_leaves_no_trace(store: Store, in_place: bool) -> None:
    with pytest.raises(RuntimeError, match="no"), store.building("k", in_place=in_place) as build:
        (build.path / "half").write_bytes(b"x")
        raise RuntimeError("no")
    assert store.prefix("k") is None
    assert not (store.prefixes / "k").exists()
    assert leftovers(store) == []


def test_an_existing_folder_is_handed_out_and_cannot_be_committed_again(store: Store) -> None:
    with store.building("k") as build:
        build.commit({})
    with store.building("k") as build:
        assert build.existing == store.prefix("k")
        with pytest.raises(StorageError, match="complete already"):
            build.commit({})
    assert store.prefix("k") is not None


def test_verifying_names_each_file_that_changed(store: Store) -> None:
    with store.building("k") as build:
        for name in ("changed", "grown", "lost", "same"):
            (build.path / name).write_bytes(b"data")
        path = build.commit({}, digest=True).path
    (path / "changed").write_bytes(b"dAta")
    (path / "grown").write_bytes(b"data and more")
    (path / "lost").unlink()
    (path / "new").write_bytes(b"")
    problems = store.verify_prefix("k")
    assert [problem.split()[0] for problem in problems] == ["changed", "grown", "lost", "new"]
    assert store.verify_prefix("absent") == ["absent is not installed"]


def test_a_removed_folder_can_be_built_again(store: Store) -> None:
    with store.building("k") as build:
        build.commit({"n": 1})
    assert store.remove_prefix("k")
    assert not store.remove_prefix("k")
    with store.building("k") as build:
        assert build.existing is None
        assert build.commit({"n": 2}).meta["n"] == 2


def test_a_manifest_that_cannot_be_read_counts_as_absent_and_is_built_again(store: Store) -> None:
    with store.building("k") as build:
        path = build.commit({}).path
    (path / ".codereef-prefix.json").write_text('{"format": "codereef-pre')
    assert store.prefix("k") is None
    with store.building("k") as build:
        assert build.existing is None
        build.commit({})
    assert store.prefix("k") is not None


# -- processes ---------------------------------------------------------------------------------------------

BUILD = """
import sys, time
from pathlib import Path
from codereef.store import Store
store = Store(Path(sys.argv[1]))
with store.building("k", in_place=sys.argv[2] == "True") as build:
    if build.existing is None:
        with open(sys.argv[3], "a") as log:
            log.write("built\\n")
        (build.path / "a").write_text("x")
        time.sleep(0.2)
        build.commit({}, digest=True)
"""


@pytest.mark.parametrize("in_place", [False, True])
def test_of_several_processes_one_builds_and_the_others_find_it(store: Store, tmp_path: Path, in_place: bool) -> None:
    log = tmp_path / "log"
    processes = [child(BUILD, str(store.root), str(in_place), str(log)) for _ in range(3)]
    assert [process.wait(30) for process in processes] == [0, 0, 0]
    assert log.read_text() == "built\n"
    assert store.verify_prefix("k") == []


HANG = """
import sys, time
from pathlib import Path
from codereef.store import Store
store = Store(Path(sys.argv[1]))
with store.building("k", in_place=sys.argv[2] == "True") as build:
    (build.path / "half").write_text("x" * 1000)
    print("ready", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("in_place", [False, True])
def test_a_build_killed_halfway_is_cleaned_up_by_the_next(store: Store, in_place: bool) -> None:
    process = child(HANG, str(store.root), str(in_place))
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    os.kill(process.pid, signal.SIGKILL)
    process.wait(10)
    process.stdout.close()
    assert store.prefix("k") is None
    assert store.ls() == ()
    left = store.prefixes / "k" if in_place else next(store.tmp.glob("build.k@*"))
    assert (left / "half").exists()  # the kill did leave something
    with store.building("k", in_place=in_place) as build:
        assert build.existing is None
        assert list(build.path.iterdir()) == []
        build.commit({})
    assert store.prefix("k") is not None
    assert leftovers(store) == []


@pytest.mark.parametrize("in_place", [False, True])
def test_a_sweep_removes_what_dead_processes_left_and_spares_the_living(store: Store, in_place: bool) -> None:
    process = child(HANG, str(store.root), str(in_place))
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    assert store.sweep(force=True) == 0
    os.kill(process.pid, signal.SIGKILL)
    process.wait(10)
    process.stdout.close()
    assert store.sweep(force=True) == 1
    assert leftovers(store) == []
    assert not (store.prefixes / "k").exists()


ORPHAN = """
import os, sys
from pathlib import Path
from codereef.store import Store
from codereef.install.process import run_logged
store = Store(Path(sys.argv[1]))
with store.building("k", in_place=True) as build:
    code = "import time, pathlib, sys; time.sleep(1.5); pathlib.Path(sys.argv[1]).write_text('end')"
    print("ready", flush=True)
    run_logged([sys.executable, "-c", code, sys.argv[2]], log_dir=store.logs, name="x",
               env=dict(os.environ), cwd=Path("/"), timeout=None)
"""


def test_the_lock_outlives_a_killed_cr_while_its_installer_runs(store: Store, tmp_path: Path) -> None:
    end = tmp_path / "end"
    process = child(ORPHAN, str(store.root), str(end))
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    until(lambda: store.logs.exists() and any(store.logs.iterdir()))
    time.sleep(0.3)
    os.kill(process.pid, signal.SIGKILL)
    process.wait(10)
    process.stdout.close()
    assert not end.exists()
    with store.building("k", in_place=True) as build:
        assert end.read_text() == "end"  # nobody cleaned up under the installer's hands
        assert build.existing is None


def test_a_lock_excludes_threads_too_and_tells_who_waits(store: Store) -> None:
    told: list[float] = []
    order: list[str] = []

    def second() -> None:
        with store.lock("name with spaces", waiting=lambda: told.append(time.monotonic())):
            order.append("second")

    started = time.monotonic()
    with store.lock("name with spaces"):
        thread = threading.Thread(target=second)
        thread.start()
        until(lambda: told)
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]
    assert 0.9 < told[0] - started < 5
    assert len(told) == 1


def test_a_lock_that_is_not_had_in_time_is_an_error(store: Store) -> None:
    with store.lock("a"), pytest.raises(StorageError, match="held by another process"), store.lock("a", timeout=0.1):
        pytest.fail("two held one lock")
    with store.lock("a", timeout=0):
        pass


# -- full and read-only disks ------------------------------------------------------------------------------


def skip_or_fail(reason: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason}; CI must be able to run this")
    pytest.skip(reason)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of one megabyte."""
    if os.geteuid() != 0:
        skip_or_fail("only root can mount a small tmpfs")
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], capture_output=True, text=True
    )
    if done.returncode != 0:
        skip_or_fail(f"mounting a tmpfs failed: {done.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_is_told_before_and_while_writing(small_disk: Path, tmp_path: Path) -> None:
    store = Store(small_disk / "store")
    data = os.urandom(2_000_000)
    (tmp_path / "big").write_bytes(data)
    with pytest.raises(StorageError) as caught:
        store.add_blob(tmp_path / "big", sha(data), len(data))
    assert "big" in caught.value.message
    assert "free there" in caught.value.message
    assert "CR_HOME" in caught.value.hint
    target = small_disk / "file.json"
    target.write_bytes(b"old")
    with pytest.raises(StorageError, match="the disk is full"):
        write_atomic(target, data)
    assert target.read_bytes() == b"old"
    assert sorted(p.name for p in small_disk.iterdir()) == ["file.json", "store"]
    with pytest.raises(StorageError, match="the disk is full"):
        link_or_copy(tmp_path / "big", small_disk / "copy")
    assert sorted(p.name for p in small_disk.iterdir()) == ["file.json", "store"]


def test_a_build_on_a_full_disk_leaves_nothing_and_works_when_there_is_room(small_disk: Path) -> None:
    store = Store(small_disk / "store")
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"\0" * 600_000)
    for in_place in (False, True):
        with pytest.raises(StorageError, match="the disk is full"), store.building("k", in_place=in_place) as build:
            (build.path / "a").write_bytes(b"\0" * 800_000)
        assert store.prefix("k") is None
        assert list(store.prefixes.iterdir()) == []
        assert leftovers(store) == []
    ballast.unlink()
    with store.building("k") as build:
        (build.path / "a").write_bytes(b"\0" * 800_000)
        build.commit({}, digest=True)
    assert store.verify_prefix("k") == []


def test_a_read_only_store_can_be_read_and_says_why_it_cannot_be_written(small_disk: Path, tmp_path: Path) -> None:
    store = Store(small_disk / "store")
    source = tmp_path / "a"
    source.write_bytes(b"hello")
    store.add_blob(source, sha(b"hello"), 5)
    with store.building("k") as build:
        build.commit({})
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    assert store.blob(sha(b"hello")) is not None
    assert store.prefix("k") is not None
    with pytest.raises(StorageError, match="read-only") as caught, store.building("l"):
        pytest.fail("built on a read-only disk")
    assert "CR_HOME" in caught.value.hint
    source.write_bytes(b"other")
    with pytest.raises(StorageError, match="read-only"):
        store.add_blob(source, sha(b"other"), 5)
