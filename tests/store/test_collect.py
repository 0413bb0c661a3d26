# SPDX-License-Identifier: Apache-2.0
"""Garbage collection: locks hold, running processes hold, and nothing else does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from codereef.disk import link_or_copy
from codereef.errors import StorageError
from codereef.store import Roots, Store
from codereef.store.collect import collect
from codereef.store.locks import inherited
from codereef.store.use import in_use
from codereef.store.verify import verify

from tests.store.conftest import add_blob, add_folder, child, lock_file, sha

USE = """
import sys
from pathlib import Path
from codereef.store import Store
with Store(Path(sys.argv[1])).using(sys.argv[2:]):
    print("ready", flush=True)
    sys.stdin.read()
"""


def user(store: Store, *keys: str) -> subprocess.Popen[str]:
    """Start a process that uses folders until it is killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", USE, str(store.root), *keys], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def kill(process: subprocess.Popen[str]) -> None:
    os.kill(process.pid, signal.SIGKILL)
    process.wait(10)
    for stream in (process.stdin, process.stdout):
        assert stream is not None
        stream.close()


def keys(store: Store) -> list[str]:
    return [prefix.key for prefix in store.ls()]


# -- what locks hold ---------------------------------------------------------------------------------------


def test_what_no_lock_holds_is_taken_with_its_files(store: Store, tmp_path: Path) -> None:
    add_folder(store, "held-1", {"a": b"one"})
    add_folder(store, "free-1", {"b": b"two" * 5000})
    lock = lock_file(tmp_path / "demo" / "cr.lock", "held-1", blobs=(sha(b"one"),))
    Roots(store).hold(lock, ["held-1"], [sha(b"one")])
    done = collect(store)
    assert {(item.kind, item.name[:6]) for item in done.freed} == {
        ("folder", "free-1"),
        ("file", sha(b"two" * 5000)[:6]),
    }
    assert done.size >= 15000
    assert keys(store) == ["held-1"]
    assert store.blob(sha(b"one")) is not None and store.blob(sha(b"two" * 5000)) is None
    assert collect(store).freed == ()


def test_a_dry_run_says_the_same_and_takes_nothing(store: Store) -> None:
    add_folder(store, "free-1", {"b": b"two" * 5000})
    said = collect(store, dry_run=True)
    assert keys(store) == ["free-1"] and store.blob(sha(b"two" * 5000)) is not None
    done = collect(store)
    assert [item.name for item in done.freed] == [item.name for item in said.freed]
    assert done.size == said.size > 0


def test_a_lock_that_is_gone_or_names_it_no_more_lets_go(store: Store, tmp_path: Path) -> None:
    for key in ("a-1", "b-1"):
        add_folder(store, key, {"f": key.encode()})
    roots = Roots(store)
    one, two = lock_file(tmp_path / "one" / "cr.lock", "a-1", "b-1"), lock_file(tmp_path / "two" / "cr.lock", "b-1")
    roots.hold(one, ["a-1", "b-1"])
    roots.hold(two, ["b-1"])
    assert collect(store).freed == ()
    lock_file(one, "b-1")  # edited, checked out at another revision, ...
    collect(store)
    assert keys(store) == ["b-1"]
    one.unlink()
    collect(store)
    assert keys(store) == ["b-1"], "the second lock still holds it"
    assert [root.lock for root in roots.all()] == [two]
    two.unlink()
    collect(store)
    assert keys(store) == []
    assert roots.all() == ()


def test_a_lock_that_cannot_be_read_holds_all_it_held(store: Store, tmp_path: Path) -> None:
    add_folder(store, "a-1", {"f": b"1"})
    lock = lock_file(tmp_path / "cr.lock", "a-1")
    Roots(store).hold(lock, ["a-1"])
    lock.write_text("<<<<<<< ours\n{")
    assert Roots(store).all()[0].state == "unread"
    collect(store)
    assert keys(store) == ["a-1"]


def test_a_lock_on_a_disk_that_is_not_mounted_now_holds_all_it_held(store: Store, small_disk: Path) -> None:
    add_folder(store, "a-1", {"f": b"1"})
    lock = lock_file(small_disk / "work" / "cr.lock", "a-1")
    Roots(store).hold(lock, ["a-1"])
    subprocess.run(["umount", str(small_disk)], check=True)
    try:
        assert Roots(store).all()[0].state == "away"
        collect(store)
        assert keys(store) == ["a-1"]
    finally:
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(small_disk)], check=True)
    collect(store)
    assert keys(store) == [], "the disk is there again, and the lock is not on it"


def test_an_environment_is_held_by_the_key_in_the_lock_without_its_place(store: Store, tmp_path: Path) -> None:
    lock = lock_file(tmp_path / "cr.lock", "python-3.11-0123456789abcdef")
    names = ["python-3.11-0123456789abcdef-0a1b2c3d", "python-3.11-ffff456789abcdef-0a1b2c3d"]
    Roots(store).hold(lock, names)
    assert set(Roots(store).held().keys) == {names[0]}


def test_while_a_lock_is_replaced_both_graphs_are_held(store: Store, tmp_path: Path) -> None:
    roots, lock = Roots(store), lock_file(tmp_path / "cr.lock", "old-1")
    roots.hold(lock, ["old-1"])
    roots.hold(lock, ["new-1"], adding=True)
    assert set(roots.held().keys) == {"old-1"}
    lock_file(lock, "new-1")  # killed here: the new lock is there, the registration was not renewed
    assert set(roots.held().keys) == {"new-1"}
    roots.hold(lock, ["new-1"])
    assert roots.all()[0].keys == ("new-1",)


def test_only_what_was_not_used_for_long_is_taken(store: Store) -> None:
    for key in ("old-1", "new-1"):
        add_folder(store, key, {"f": key.encode()}, link=False)
    with store.using(["old-1", "new-1"]):
        pass
    ago = time.time() - 40 * 86400
    os.utime(store.base / "used" / "old-1", (ago, ago))
    manifest = store.prefixes / "old-1" / ".codereef-prefix.json"
    manifest.write_text(
        manifest.read_text().replace(json.loads(manifest.read_text())["created"], "2020-01-01T00:00:00+00:00")
    )
    done = collect(store, older_than=30 * 86400)
    assert [item.name for item in done.freed] == ["old-1"]
    assert done.freed[0].unused_for == pytest.approx(40 * 86400, abs=60)


def test_files_that_are_only_a_cache_go_with_all_and_shared_ones_stay(store: Store, tmp_path: Path) -> None:
    add_folder(store, "a-1", {"f": b"shared"})
    archive = add_blob(store, b"archive that was unpacked")
    lock = lock_file(tmp_path / "cr.lock", "a-1", blobs=(sha(b"shared"), archive.name))
    Roots(store).hold(lock, ["a-1"], [sha(b"shared"), archive.name])
    store.partial("0" * 64).write_bytes(b"half")
    assert collect(store).freed == ()
    assert store.partial("0" * 64).exists()
    assert [item.name for item in collect(store, everything=True).freed] == [archive.name]
    assert store.blob(sha(b"shared")) is not None
    assert not store.partial("0" * 64).exists()


def test_bytes_count_as_free_only_when_their_last_name_goes(store: Store, tmp_path: Path) -> None:
    data = b"x" * 40_000
    add_folder(store, "a-1", {"f": data})
    add_folder(store, "b-1", {"f": data})
    Roots(store).hold(lock_file(tmp_path / "cr.lock", "b-1"), ["b-1"])
    assert collect(store).size < 40_000
    (tmp_path / "cr.lock").unlink()
    assert collect(store).size >= 40_000


# -- what processes use ------------------------------------------------------------------------------------


def test_what_a_running_process_uses_stays_until_it_is_killed(store: Store) -> None:
    add_folder(store, "a-1", {"f": b"1"})
    process = user(store, "a-1", "not-built-yet")
    done = collect(store)
    assert done.freed == () or all(item.kind == "file" for item in done.freed)
    assert done.in_use == {"a-1": (process.pid,)}
    kill(process)
    assert list((store.base / "use").iterdir()) != []
    assert "a-1" in [item.name for item in collect(store).freed]
    assert list((store.base / "use").iterdir()) == []


def test_a_child_that_outlives_its_parent_keeps_what_it_uses(store: Store) -> None:
    add_folder(store, "a-1", {"f": b"1"})
    with store.using(["a-1"]), inherited() as locks:
        process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=locks)
    assert keys(store) == ["a-1"] and "a-1" in in_use(store.base).keys
    collect(store)
    assert keys(store) == ["a-1"]
    process.communicate(b"\n")
    collect(store)
    assert keys(store) == []


def test_what_is_being_built_or_held_by_a_builder_is_left(store: Store) -> None:
    add_folder(store, "a-1", {"f": b"1"})
    with store.building("a-1") as build:
        assert build.existing is not None
        assert collect(store).building == ("a-1",)
    with store.building("b-1") as build:
        (build.path / "f").write_text("x")
        collect(store)
        build.commit({}, digest=True)
    assert keys(store) == ["b-1"]


def test_who_begins_to_use_waits_while_it_is_chosen_what_goes(store: Store) -> None:
    from codereef.store.collect import choosing

    add_folder(store, "a-1", {"f": b"1"})
    began = threading.Event()

    def use() -> None:
        with store.using(["a-1"]):
            began.set()

    with choosing(store) as used:
        assert used.keys == {}
        thread = threading.Thread(target=use)
        thread.start()
        assert not began.wait(0.15)
    thread.join(10)
    assert began.is_set()


def test_two_collections_at_once_take_each_thing_once(store: Store) -> None:
    for number in range(12):
        add_folder(store, f"k-{number}", {"f": b"%d" % number}, link=False)
    code = (
        "import sys; from pathlib import Path; from codereef.store import Store; from codereef.store.collect import collect;"
        "print(*[i.name for i in collect(Store(Path(sys.argv[1]))).freed])"
    )
    processes = [child(code, str(store.root)) for _ in range(2)]
    said = [name for process in processes for name in process.communicate(timeout=30)[0].split()]
    assert sorted(said) == sorted(f"k-{number}" for number in range(12))
    assert [process.returncode for process in processes] == [0, 0]
    assert [path.name for path in store.tmp.iterdir() if path.name.startswith("gone.")] == []


def test_what_a_killed_collection_left_half_removed_goes_with_the_next_sweep(store: Store) -> None:
    store.prepare()
    (store.tmp / "gone.0123" / "sub").mkdir(parents=True)
    (store.tmp / "gone.0123" / "sub" / "f").write_text("x")
    assert store.sweep(force=True) == 1
    assert not (store.tmp / "gone.0123").exists()


# -- what must not be lost ---------------------------------------------------------------------------------


def test_a_damaged_registration_stops_the_collection(store: Store, tmp_path: Path) -> None:
    add_folder(store, "a-1", {"f": b"1"})
    lock = lock_file(tmp_path / "cr.lock", "a-1")
    Roots(store).hold(lock, ["a-1"])
    path = next((store.base / "roots").iterdir())
    for text in ("", path.read_text()[:40], '{"format": "codereef-root/1"}', "[]"):
        path.write_text(text)
        with pytest.raises(StorageError, match="nothing was removed") as caught:
            collect(store)
        assert "cr store repair" in caught.value.hint
        assert keys(store) == ["a-1"]
    Roots(store).hold(lock, ["a-1"])  # opening the solution registers it again
    assert collect(store).freed == () or keys(store) == ["a-1"]


def test_a_registration_by_a_living_process_that_cannot_be_read_stops_the_collection(store: Store) -> None:
    add_folder(store, "a-1", {"f": b"1"})
    with store.using(["a-1"]):
        path = next((store.base / "use").iterdir())
        path.write_text('{"format": "codere')
        with pytest.raises(StorageError, match=f"process {os.getpid()} uses"):
            collect(store)
    assert keys(store) == ["a-1"]


def test_a_full_disk_can_be_emptied(small_disk: Path) -> None:
    store = Store(small_disk / "store")
    add_folder(store, "a-1", {"f": os.urandom(300_000)})
    ballast = (small_disk / "ballast").open("wb")
    with pytest.raises(OSError, match="No space"), ballast:
        while True:
            ballast.write(b"\0" * 4096)
            ballast.flush()
    assert collect(store).size >= 300_000
    assert keys(store) == []


def test_a_store_that_can_only_be_read_is_used_and_says_why_nothing_can_be_taken(small_disk: Path) -> None:
    store = Store(small_disk / "store")
    add_folder(store, "a-1", {"f": b"1"})
    lock = lock_file(small_disk.parent / "cr.lock", "a-1")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with store.using(["a-1"]):
        assert store.verify_prefix("a-1") == []
    assert Roots(store).hold(lock, ["a-1"]) is False
    with pytest.raises(StorageError, match="read-only"):
        collect(store)
    assert "a-1" in [item.name for item in collect(store, dry_run=True).freed]


def test_collecting_where_there_is_no_store_makes_none(store: Store) -> None:
    assert collect(store).freed == ()
    assert not store.root.exists()


def test_using_notes_when_and_a_forgotten_mark_goes(store: Store) -> None:
    add_folder(store, "a-1", {"f": b"1"})
    with store.using(["a-1", "never-built"]):
        pass
    assert sorted(path.name for path in (store.base / "used").iterdir()) == ["a-1", "never-built"]
    collect(store)
    assert list((store.base / "used").iterdir()) == []


def test_a_store_on_another_disk_than_the_home_works_the_same(tmp_path: Path, small_disk: Path) -> None:
    (tmp_path / "home").mkdir()
    (small_disk / "store").mkdir()
    (tmp_path / "home" / "store").symlink_to(small_disk / "store")
    store = Store(tmp_path / "home" / "store")
    source = tmp_path / "model"
    source.write_bytes(b"model" * 1000)
    with store.building("a-1") as build:
        link_or_copy(store.add_blob(source, sha(b"model" * 1000), 5000), build.path / "model")
        folder = build.commit({}, digest=True).path
    assert (folder / "model").stat().st_nlink == 2 and (folder / "model").stat().st_dev == small_disk.stat().st_dev
    assert store.verify_prefix("a-1") == [] and verify(store).damages == ()
    Roots(store).hold(lock_file(tmp_path / "demo" / "cr.lock", "a-1"), ["a-1"])
    assert [item.kind for item in collect(store).freed] == []
    (tmp_path / "demo" / "cr.lock").unlink()
    assert len(collect(store).freed) == 2 and store.ls() == ()
