# SPDX-License-Identifier: Apache-2.0
"""Verify finds a flipped bit wherever it is, and repair mends it or takes it away. Bits are really flipped."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest
from codereef.errors import StorageError
from codereef.install.download import Settings
from codereef.install.pip import create_environment
from codereef.install.progress import NullProgress
from codereef.store import Roots, Store, link_or_copy
from codereef.store.collect import collect
from codereef.store.hashing import digests
from codereef.store.repair import repair
from codereef.store.verify import verify

from tests.store.conftest import add_blob, add_folder, flip, lock_file, sha


def damaged(store: Store) -> dict[str, list[str]]:
    return {damage.name: sorted(damage.problems.values()) for damage in verify(store).damages}


def environment(store: Store, key: str) -> Path:
    """Install a real Python environment with what looks like two distributions, one of them compiled."""
    with store.building(key, in_place=True) as build:
        create_environment(build.path, Path(sys.executable), [], [], Settings(), NullProgress(), log_dir=store.logs)
        site = next(build.path.glob("lib/python3*/site-packages"))
        for name in ("one", "two"):
            (site / name).mkdir()
            (site / name / "__init__.py").write_text(f"NAME = {name!r}\n")
            (site / name / "__pycache__").mkdir()
            (site / name / "__pycache__" / "__init__.cpython-311.pyc").write_bytes(b"compiled " + name.encode())
            (site / f"{name}-1.0.dist-info").mkdir()
            rows = [f"{name}/__init__.py,{_record(site / name / '__init__.py')}", f"{name}-1.0.dist-info/RECORD,,"]
            (site / f"{name}-1.0.dist-info" / "RECORD").write_text("\n".join(rows) + "\n")
        build.commit({"python": "3.11", "distributions": 2})
    return site


def _record(path: Path) -> str:
    import base64
    import hashlib

    raw = hashlib.sha256(path.read_bytes()).digest()
    return f"sha256={base64.urlsafe_b64encode(raw).decode().rstrip('=')},{path.stat().st_size}"


# -- verify ------------------------------------------------------------------------------------------------


def test_a_sound_store_has_no_damage_and_shared_files_are_read_once(store: Store) -> None:
    add_folder(store, "a-1", {"f": b"x" * 70_000, "sub/g": b"y"})
    add_folder(store, "b-1", {"f": b"x" * 70_000})
    found = verify(store)
    assert found.damages == ()
    assert (found.blobs, found.folders, found.files, found.size) == (2, 2, 2, 70_001)


def test_a_flipped_bit_in_a_shared_file_is_seen_in_every_place_that_has_it(store: Store) -> None:
    folder = add_folder(store, "a-1", {"f": b"x" * 70_000, "g": b"sound"}).path
    assert (folder / "f").stat().st_nlink == 2
    flip(folder / "f", 65_999)
    found = damaged(store)
    assert set(found) == {sha(b"x" * 70_000), "a-1"}
    assert found["a-1"][0].startswith("f has other contents")


@pytest.mark.parametrize("size", [1, 65_535, 65_536, 65_537, 300_000])
def test_digests_are_those_of_the_whole_file_at_every_size(tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    (tmp_path / "f").write_bytes(data)
    assert digests([(str(tmp_path / "f"), size)] * 3, jobs=2) == [sha(data)] * 3


def test_many_small_files_are_read_by_several_processes_with_the_same_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("codereef.store.hashing._MANY", 50)
    monkeypatch.setattr("codereef.store.hashing._BATCH", 7)
    want: list[str] = []
    for number in range(120):
        data = b"%d" % number * (number % 9)
        (tmp_path / f"f {number}").write_bytes(data)
        want.append(sha(data))
    (tmp_path / "f 60").unlink()
    (tmp_path / "f 61").unlink()
    (tmp_path / "f 61").symlink_to("f 62")
    told: list[int] = []
    found = digests([(str(tmp_path / f"f {n}"), 9) for n in range(120)], jobs=3, on_bytes=told.append)
    assert isinstance(found[60], FileNotFoundError) and isinstance(found[61], OSError)
    assert [answer for n, answer in enumerate(found) if n not in (60, 61)] == want[:60] + want[62:]
    assert sum(told) == 9 * 120


def test_what_is_built_in_place_is_checked_by_record_and_by_what_record_leaves_out(store: Store) -> None:
    site = environment(store, "python-1")
    assert damaged(store) == {}
    (site / "one" / "__pycache__" / "new.pyc").write_bytes(b"Python may compile")
    (site / "cache.bin").write_bytes(b"a package may keep something")
    assert damaged(store) == {}
    for path in (
        site / "one" / "__init__.py",
        site / "two" / "__pycache__" / "__init__.cpython-311.pyc",
        site / "two-1.0.dist-info" / "RECORD",
        store.prefixes / "python-1" / "pyvenv.cfg",
    ):
        before = path.read_bytes()
        flip(path)
        assert list(damaged(store)) == ["python-1"], path
        path.write_bytes(before)
    assert damaged(store) == {}
    (site / "evil.pth").write_text("import os\n")
    assert damaged(store)["python-1"] == [
        "lib/" + str(site.relative_to(site.parents[1])) + "/evil.pth was not there when it was installed"
    ]


def test_an_environment_whose_interpreter_points_elsewhere_is_damaged(store: Store) -> None:
    environment(store, "python-1")
    python = store.prefixes / "python-1" / "bin" / "python"
    python.unlink()
    python.symlink_to("/bin/false")
    assert "points elsewhere" in damaged(store)["python-1"][0]


def test_a_listing_or_manifest_that_was_changed_is_damage(store: Store) -> None:
    folder = add_folder(store, "a-1", {"f": b"1"}).path
    flip(folder / ".codereef-prefix.files")
    assert "does not agree" in damaged(store)["a-1"][0]
    (folder / ".codereef-prefix.json").write_text('{"format": "codereef-prefix/1", "key": "a-1"}')
    assert damaged(store)["a-1"] == [".codereef-prefix.json cannot be read"]
    assert store.prefix("a-1") is None


def test_a_folder_with_symbolic_links_can_be_recorded_where_it_is_asked_for(store: Store) -> None:
    with store.building("lib-1") as build:
        (build.path / "lib.so.1").write_bytes(b"code")
        (build.path / "lib.so").symlink_to("lib.so.1")
        folder = build.commit({}, digest=True, links=True).path
    assert store.verify_prefix("lib-1") == [] and damaged(store) == {}
    (folder / "lib.so").unlink()
    (folder / "lib.so").symlink_to("lib.so.2")
    assert "points elsewhere" in store.verify_prefix("lib-1")[0]
    assert "points elsewhere" in damaged(store)["lib-1"][0]


def test_files_of_a_folder_are_read_only_and_those_of_an_environment_are_not(store: Store) -> None:
    folder = add_folder(store, "a-1", {"f": b"1"}, link=False).path
    assert (folder / "f").stat().st_mode & 0o777 == 0o444
    with store.building("tool-1") as build:
        (build.path / "run").write_text("#!/bin/sh\n")
        (build.path / "run").chmod(0o755)
        assert (build.commit({}).path / "run").stat().st_mode & 0o777 == 0o555
    assert (environment(store, "python-1") / "one" / "__init__.py").stat().st_mode & 0o200


# -- repair ------------------------------------------------------------------------------------------------


def test_a_damaged_file_is_taken_from_a_sound_copy_in_a_folder(store: Store) -> None:
    blob = add_blob(store, b"data")
    add_folder(store, "a-1", {"f": b"data"}, link=False)
    flip(blob)
    done = repair(store)
    assert [(item.kind, item.action) for item in done.repairs] == [("file", "mended")]
    assert blob.read_bytes() == b"data" and blob.stat().st_mode & 0o222 == 0
    assert damaged(store) == {} and repair(store).repairs == ()


def test_a_damaged_file_without_a_sound_copy_is_removed_with_what_shares_it(store: Store) -> None:
    folder = add_folder(store, "a-1", {"f": b"data", "g": b"other"}).path
    flip(folder / "f")
    done = repair(store)
    assert {(item.kind, item.action) for item in done.repairs} == {("file", "removed"), ("folder", "removed")}
    assert "cr init" in done.repairs[0].why
    assert store.blob(sha(b"data")) is None and store.prefix("a-1") is None
    assert store.blob(sha(b"other")) is not None
    assert damaged(store) == {}


def test_a_damaged_folder_is_put_right_from_sound_files(store: Store) -> None:
    folder = add_folder(store, "a-1", {"f": b"data", "g": b"more", "sub/h": b"deep"}).path
    (folder / "f").unlink()
    (folder / "f").write_bytes(b"dAta")  # replaced, not written into: the store's own file is sound
    (folder / "sub" / "h").unlink()
    (folder / "sub").rmdir()
    (folder / "extra").write_bytes(b"")
    assert len(verify(store).damages[0].problems) == 3
    assert [item.action for item in repair(store).repairs] == ["mended"]
    assert store.verify_prefix("a-1") == [] and damaged(store) == {}
    assert (folder / "f").stat().st_ino == store.blob(sha(b"data")).stat().st_ino  # type: ignore[union-attr]


def test_a_damaged_listing_is_written_anew_where_the_files_agree_with_the_manifest(store: Store) -> None:
    folder = add_folder(store, "a-1", {"f": b"data"}).path
    flip(folder / ".codereef-prefix.files", 3)
    assert [item.action for item in repair(store).repairs] == ["mended"]
    assert damaged(store) == {}


def test_a_folder_whose_manifest_is_damaged_is_removed(store: Store) -> None:
    folder = add_folder(store, "a-1", {"f": b"data"}).path
    (folder / ".codereef-prefix.json").write_text("{")
    assert [item.action for item in repair(store).repairs] == ["removed"]
    assert not folder.exists() and damaged(store) == {}


def test_an_environment_is_mended_from_another_and_else_removed(store: Store) -> None:
    first, second = environment(store, "python-1"), environment(store, "python-2")
    flip(first / "one" / "__init__.py")
    assert [item.action for item in repair(store).repairs] == ["mended"]
    assert (first / "one" / "__init__.py").read_text() == "NAME = 'one'\n"
    assert (first / "one" / "__init__.py").stat().st_ino != (second / "one" / "__init__.py").stat().st_ino
    flip(first / "one" / "__init__.py")
    flip(second / "one" / "__init__.py")
    assert [item.action for item in repair(store).repairs] == ["removed", "removed"]
    assert store.ls() == () and damaged(store) == {}


def test_repair_names_the_distribution_whose_damage_an_installers_cache_shares(store: Store, tmp_path: Path) -> None:
    site = environment(store, "python-1")
    os.link(site / "two" / "__init__.py", tmp_path / "in-the-cache")
    flip(site / "two" / "__init__.py")
    assert repair(store).repairs[0].cached == ("two",)


def test_what_a_process_uses_is_mended_but_not_removed(store: Store) -> None:
    folder = add_folder(store, "a-1", {"f": b"data"}).path
    flip(folder / "f")
    with store.using(["a-1"]):
        done = repair(store)
        assert [item.action for item in done.left] == ["kept"] and str(os.getpid()) in done.left[0].why
        assert folder.exists()
        add_blob(store, b"data")
        assert repair(store).left == ()
        assert (folder / "f").read_bytes() == b"data"
    assert damaged(store) == {}


def test_a_damaged_registration_is_put_aside_and_gc_works_again(store: Store, tmp_path: Path) -> None:
    add_folder(store, "a-1", {"f": b"1"})
    lock = lock_file(tmp_path / "cr.lock", "a-1")
    Roots(store).hold(lock, ["a-1"])
    path = next((store.base / "roots").iterdir())
    path.write_text("{")
    assert [(item.kind, item.action) for item in repair(store).repairs] == [("registration", "put aside")]
    assert path.with_suffix(".damaged").exists()
    Roots(store).hold(lock, ["a-1"], [sha(b"1")])
    assert all(item.kind == "file" for item in collect(store).freed)


def test_repairing_a_store_that_can_only_be_read_says_so_and_loses_nothing(store: Store, small_disk: Path) -> None:
    import subprocess

    here = Store(small_disk / "store")
    folder = add_folder(here, "a-1", {"f": b"data"}).path
    flip(folder / "f")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    assert set(damaged(here)) == {sha(b"data"), "a-1"}
    with pytest.raises(StorageError, match="read-only"):
        repair(here)
    assert folder.exists()


def test_a_file_that_comes_a_second_time_is_the_same_file_and_heals_a_damaged_one(store: Store) -> None:
    blob = add_blob(store, b"data")
    number = blob.stat().st_ino
    assert add_blob(store, b"data").stat().st_ino == number
    flip(blob)
    assert add_blob(store, b"data").read_bytes() == b"data"


# -- sharing -----------------------------------------------------------------------------------------------


def test_many_files_are_linked_into_folders_and_replace_none_by_half(tmp_path: Path) -> None:
    from codereef.disk import link_tree

    source, target = tmp_path / "s", tmp_path / "t"
    source.mkdir()
    for number in range(40):
        (source / str(number)).write_bytes(b"%d" % number)
    files = [(str(number), f"d{number % 5}/e/{number}") for number in range(40)] + [("1", "top")]
    assert link_tree(files, source, target) == {"hard link": 41}
    assert (target / "d3" / "e" / "8").stat().st_ino == (source / "8").stat().st_ino
    (target / "top").unlink()
    (target / "top").write_bytes(b"old")
    link_tree([("2", "top")], source, target)
    assert (target / "top").read_bytes() == b"2"


def test_across_file_systems_files_are_copied_read_only_and_asked_once(tmp_path: Path, small_disk: Path) -> None:
    from codereef import disk

    disk._REFLINKS.clear()
    source = tmp_path / "a"
    source.write_bytes(b"x" * 1000)
    source.chmod(0o444)
    assert link_or_copy(source, small_disk / "b") == "copy"
    assert disk.sharing(tmp_path, small_disk) == "copy" and disk.sharing(tmp_path, tmp_path) == "hard link"
    assert list(disk._REFLINKS.values()) == [False]
    assert (small_disk / "b").stat().st_mode & 0o777 == 0o444
    assert sorted(path.name for path in small_disk.iterdir()) == ["b"]


@pytest.mark.slow
def test_blocks_are_shared_where_links_are_not_possible_and_the_file_system_can(tmp_path: Path) -> None:
    import subprocess

    from codereef.disk import _clone

    from tests.store.conftest import skip_or_fail

    if os.geteuid() != 0 or shutil.which("mkfs.xfs") is None:
        skip_or_fail("sharing blocks needs root and mkfs.xfs")
    image, place = tmp_path / "image", tmp_path / "xfs"
    place.mkdir()
    with image.open("wb") as stream:
        stream.truncate(320 << 20)
    subprocess.run(["mkfs.xfs", "-q", "-m", "reflink=1", str(image)], check=True)
    done = subprocess.run(["mount", "-o", "loop", str(image), str(place)], capture_output=True, text=True)
    if done.returncode != 0:
        skip_or_fail(f"mounting an XFS image failed: {done.stderr.strip()}")
    try:
        source = place / "a"
        source.write_bytes(os.urandom(8 << 20))
        os.sync()
        before = os.statvfs(place).f_bfree
        assert _clone(source, place / "b") is True
        os.sync()
        assert (before - os.statvfs(place).f_bfree) * os.statvfs(place).f_bsize < 2 << 20
        with (place / "b").open("r+b") as stream:
            stream.write(b"changed")
        assert not source.read_bytes().startswith(b"changed")
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)
