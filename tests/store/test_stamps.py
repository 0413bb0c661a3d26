# SPDX-License-Identifier: Apache-2.0
"""A folder is read once and then trusted until the kernel says that somebody touched it; whoever measures reads all."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from codereef.store import Store, contents, stamps
from codereef.store.prefix import Prefix

from tests.store.conftest import add_blob, add_folder, flip


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The keys of folders whose files were read."""
    seen: list[str] = []
    real = contents.check

    def check(prefix: Prefix, *, jobs: int | None = None) -> list[str]:
        seen.append(prefix.key)
        return real(prefix, jobs=jobs)

    monkeypatch.setattr(contents, "check", check)
    return seen


def test_what_was_just_installed_is_not_read_again(store: Store, reads: list[str]) -> None:
    add_folder(store, "a-1", {"f": b"1", "sub/g": b"2"})
    assert Store(store.root).verify_prefix("a-1") == []
    assert reads == []


def test_a_folder_is_read_once_and_then_trusted(store: Store, reads: list[str]) -> None:
    folder = add_folder(store, "a-1", {"f": b"1"}).path
    (folder / "f").touch()
    for _ in range(3):
        assert Store(store.root).verify_prefix("a-1") == []
    assert reads == ["a-1"]


def _write(path: Path) -> None:
    flip(path)


def _write_and_set_the_dates_back(path: Path) -> None:
    status = path.stat()
    flip(path)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def _replace(path: Path) -> None:
    status = path.stat()
    beside = path.with_name("beside")
    beside.write_bytes(b"9" * status.st_size)
    os.utime(beside, ns=(status.st_atime_ns, status.st_mtime_ns))
    beside.replace(path)


def _map_and_write(path: Path) -> None:
    import mmap

    path.chmod(0o644)
    with path.open("r+b") as stream, mmap.mmap(stream.fileno(), 0) as view:
        view[0] ^= 1
        view.flush()
    path.chmod(0o444)


def _change_another_name_of_it(path: Path) -> None:
    other = path.parents[3] / "another"
    os.link(path, other)
    flip(other)
    other.unlink()


@pytest.mark.parametrize(
    "change", [_write, _write_and_set_the_dates_back, _replace, _map_and_write, _change_another_name_of_it, Path.unlink]
)
def test_whatever_is_done_to_a_file_is_seen(store: Store, change: object) -> None:
    folder = add_folder(store, "a-1", {"f": b"123456", "g": b"sound"}).path
    assert store.verify_prefix("a-1") == []
    assert callable(change)
    change(folder / "f")
    assert Store(store.root).verify_prefix("a-1") != []


def test_a_change_right_after_reading_is_never_missed(store: Store) -> None:
    """The clock of a file system has ticks: a state is only trusted when the clock has moved on before the reading."""
    folder = add_folder(store, "a-1", {"f": b"\0" * 64}).path
    for number in range(15):
        assert store.verify_prefix("a-1") == []
        flip(folder / "f")
        assert Store(store.root).verify_prefix("a-1") != [], number
        flip(folder / "f")


def test_a_file_that_is_added_or_a_listing_that_is_changed_is_seen(store: Store) -> None:
    folder = add_folder(store, "a-1", {"f": b"1"}).path
    (folder / "new").touch()
    assert "new was not there" in store.verify_prefix("a-1")[0]
    (folder / "new").unlink()
    assert store.verify_prefix("a-1") == []
    flip(folder / ".codereef-prefix.files")
    assert store.verify_prefix("a-1") != []


def test_who_measures_reads_everything(store: Store, reads: list[str]) -> None:
    add_folder(store, "a-1", {"f": b"1"})
    command = Store(store.root, once=True)
    assert command.verify_prefix("a-1") == [] and reads == []
    for _ in range(2):
        with command.reading_all():
            assert command.verify_prefix("a-1") == []
    assert reads == ["a-1"], "once in a command"


def test_a_trusted_state_that_lies_is_found_by_who_measures(store: Store) -> None:
    """A disk that gives other bytes changes no state: made here by trusting the state of a damaged folder."""
    prefix = add_folder(store, "a-1", {"f": b"1"})
    flip(prefix.path / "f")
    stamps.trust(store.base / "checked" / "a-1", f"{stamps.state(prefix.path)[0]} {prefix.tree}")
    assert store.verify_prefix("a-1") == []
    with store.reading_all():
        assert store.verify_prefix("a-1") != []


def test_one_command_looks_at_a_folder_once_and_notices_that_it_is_gone(store: Store) -> None:
    add_folder(store, "a-1", {"f": b"1"})
    command = Store(store.root, once=True)
    assert command.verify_prefix("a-1") == []
    store.remove_prefix("a-1")
    assert command.verify_prefix("a-1") == ["a-1 is not installed"]


def test_sharing_a_file_with_another_folder_costs_one_reading(store: Store, reads: list[str]) -> None:
    add_folder(store, "a-1", {"f": b"1"})
    add_folder(store, "b-1", {"f": b"1"})  # the link moves the ctime of the shared file
    for _ in range(2):
        assert store.verify_prefix("a-1") == [] and store.verify_prefix("b-1") == []
    assert reads == ["a-1"]


def test_marks_that_cannot_be_written_or_read_cost_time_only(store: Store, reads: list[str]) -> None:
    add_folder(store, "a-1", {"f": b"1"})
    (store.base / "checked" / "a-1").write_bytes(b"\xff\xfe")
    assert store.verify_prefix("a-1") == []
    (store.base / "checked" / "a-1").unlink()
    (store.base / "checked" / "a-1").mkdir()
    assert store.verify_prefix("a-1") == []
    assert reads == ["a-1", "a-1"]
    assert [path.name for path in (store.base / "checked").iterdir()] == ["a-1"]


def test_a_state_is_not_trusted_while_the_clock_stands(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    add_blob(store, b"x")
    assert not stamps.settled(store.tmp, time.time_ns() + 10**12)
    assert stamps.settled(store.tmp, 0)
    assert list(store.tmp.glob(".clock*")) == []
