# SPDX-License-Identifier: Apache-2.0
"""Unpacking: what is good comes out whole; what is hostile or damaged leaves nothing, inside or outside."""

from __future__ import annotations

import gzip
import io
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from codereef.archive import unpack
from codereef.errors import IntegrityError
from codereef.store import tree_digest


def tar(path: Path, *entries: tuple[str, bytes] | tarfile.TarInfo, mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:
        for entry in entries:
            if isinstance(entry, tarfile.TarInfo):
                archive.addfile(entry)
            else:
                info = tarfile.TarInfo(entry[0])
                info.size = len(entry[1])
                archive.addfile(info, io.BytesIO(entry[1]))
    return path


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    info.linkname = target
    return info


def zipped(path: Path, *entries: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries:
            archive.writestr(name, data)
    return path


def zip_link(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system = 3
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


def refused(archive: Path, into: Path, match: str, **limits: int) -> None:
    """The archive is refused with these words, nothing is left in `into`, and nothing appeared beside it."""
    around = {path for path in into.parent.rglob("*") if into not in path.parents and path != into}
    with pytest.raises(IntegrityError, match=match) as caught:
        unpack(archive, into, **limits)
    assert archive.name in caught.value.message
    assert caught.value.hint
    assert list(into.iterdir()) == []
    assert {path for path in into.parent.rglob("*") if path != into} == around


@pytest.fixture
def into(tmp_path: Path) -> Path:
    return tmp_path / "into"


@pytest.mark.parametrize(("suffix", "mode"), [("tar", "w"), ("tgz", "w:gz"), ("txz", "w:xz"), ("tbz", "w:bz2")])
def test_tar_archives_come_out_whole(tmp_path: Path, into: Path, suffix: str, mode: str) -> None:
    data = os.urandom(70_000)
    folder = tarfile.TarInfo("empty")
    folder.type = tarfile.DIRTYPE
    script = tarfile.TarInfo("run.sh")
    script.mode = 0o4755
    archive = tar(tmp_path / f"a.{suffix}", ("./a/b.bin", data), ("a/ü" + "x" * 120, b""), folder, script, mode=mode)
    assert unpack(archive, into) == ("a/b.bin", "a/ü" + "x" * 120, "run.sh")
    assert (into / "a" / "b.bin").read_bytes() == data
    assert (into / "empty").is_dir()
    assert (into / "run.sh").stat().st_mode & 0o7777 & ~0o022 == 0o755 & ~0o022
    assert (into / "a" / "b.bin").stat().st_mode & 0o111 == 0


def test_zip_archives_come_out_whole(tmp_path: Path, into: Path) -> None:
    data = os.urandom(70_000)
    archive = zipped(tmp_path / "a.zip", ("a/b.bin", data), ("c/", b""), ("ü.txt", b"x"))
    assert unpack(archive, into) == ("a/b.bin", "ü.txt")
    assert (into / "a" / "b.bin").read_bytes() == data
    assert (into / "c").is_dir()


def test_two_archives_go_into_one_folder_but_overwrite_nothing(tmp_path: Path, into: Path) -> None:
    unpack(tar(tmp_path / "a.tar", ("d/a", b"1")), into)
    assert unpack(tar(tmp_path / "b.tar", ("d/b", b"2")), into) == ("d/b",)
    with pytest.raises(IntegrityError, match="there already"):
        unpack(tar(tmp_path / "c.tar", ("d/c", b"3"), ("d/a", b"9")), into)
    assert sorted(path.name for path in (into / "d").iterdir()) == ["a", "b"]
    assert (into / "d" / "a").read_bytes() == b"1"


def test_links_inside_become_the_files_they_name(tmp_path: Path, into: Path) -> None:
    archive = tar(
        tmp_path / "a.tar",
        special("bin/latest", tarfile.SYMTYPE, "../lib/v1"),
        ("lib/v1", b"code"),
        special("lib/hard", tarfile.LNKTYPE, "lib/v1"),
        special("again", tarfile.SYMTYPE, "bin/latest"),
    )
    assert unpack(archive, into) == ("again", "bin/latest", "lib/hard", "lib/v1")
    assert {path.read_bytes() for path in into.rglob("*") if path.is_file()} == {b"code"}
    assert not any(path.is_symlink() for path in into.rglob("*"))
    tree_digest(into)


def test_a_zip_link_becomes_the_file_it_names(tmp_path: Path, into: Path) -> None:
    archive = zipped(tmp_path / "a.zip", (zip_link("l"), b"d/a"), ("d/a", b"1"))
    assert unpack(archive, into) == ("d/a", "l")
    assert (into / "l").read_bytes() == b"1"
    assert not (into / "l").is_symlink()


@pytest.mark.parametrize("name", ["../out", "/tmp/codereef-out", "a/../../out", "..", "a/.."])
def test_names_that_leave_the_folder_are_refused(tmp_path: Path, into: Path, name: str) -> None:
    refused(tar(tmp_path / "a.tar", ("ok", b"1"), (name, b"2")), into, "outside of the folder")
    refused(zipped(tmp_path / "a.zip", ("ok", b"1"), (name, b"2")), into, "outside of the folder")
    assert not Path("/tmp/codereef-out").exists()


@pytest.mark.parametrize("name", ["a\\..\\b", "C:x", "a\nb", "x" * 300])
def test_names_that_other_systems_read_otherwise_are_refused(tmp_path: Path, into: Path, name: str) -> None:
    refused(tar(tmp_path / "a.tar", (name, b"2")), into, "name that is")


@pytest.mark.parametrize("target", ["/etc/passwd", "../out", "a/../../out", "absent", "d"])
@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_links_that_leave_or_name_no_file_are_refused(tmp_path: Path, into: Path, target: str, kind: bytes) -> None:
    (tmp_path / "out").write_bytes(b"secret")
    archive = tar(tmp_path / "a.tar", ("d/a", b"1"), special("l", kind, target))
    refused(archive, into, "outside of the folder|no file of it")


def test_a_file_written_through_a_link_does_not_escape(tmp_path: Path, into: Path) -> None:
    (tmp_path / "out").mkdir()
    archive = tar(tmp_path / "a.tar", special("l", tarfile.SYMTYPE, "../out"), ("l/x", b"1"))
    refused(archive, into, "outside|both")
    inside = tar(tmp_path / "b.tar", ("d/a", b"1"), special("l", tarfile.SYMTYPE, "d"), ("l/x", b"1"))
    refused(inside, into, "both a file and a folder")


def test_links_in_a_circle_are_refused(tmp_path: Path, into: Path) -> None:
    archive = tar(tmp_path / "a.tar", special("a", tarfile.SYMTYPE, "b"), special("b", tarfile.SYMTYPE, "a"))
    refused(archive, into, "no file of it")


def test_a_link_in_the_folder_from_before_is_not_followed(tmp_path: Path, into: Path) -> None:
    (tmp_path / "out").mkdir()
    into.mkdir()
    (into / "l").symlink_to(tmp_path / "out")
    with pytest.raises(IntegrityError, match="leads outside"):
        unpack(tar(tmp_path / "a.tar", ("l/x", b"1")), into)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_devices_are_refused(tmp_path: Path, into: Path, kind: bytes) -> None:
    refused(tar(tmp_path / "a.tar", ("ok", b"1"), special("dev", kind)), into, "no regular file")


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    "names", [("a", "a"), ("a", "./a"), ("a", "A"), ("d/x", "D/y"), ("ä", "a\u0308"), ("a", "a/b")]
)
def test_names_that_collide_are_refused(tmp_path: Path, into: Path, names: tuple[str, str]) -> None:
    entries = [(name, bytes([number])) for number, name in enumerate(names)]
    refused(tar(tmp_path / "a.tar", *entries), into, "twice|differ in case|both")
    refused(zipped(tmp_path / "a.zip", *entries), into, "twice|differ in case|both")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_entry_that_occurs_twice_with_the_same_bytes_is_taken_once(tmp_path: Path, into: Path) -> None:
    assert unpack(tar(tmp_path / "a.tar", ("d/a", b"same"), ("d/a", b"same")), into) == ("d/a",)
    refused(tar(tmp_path / "b.tar", ("a", b"same"), ("a", b"same but longer")), tmp_path / "b", "other contents")
    refused(tar(tmp_path / "c.tar", ("a", b"same"), ("a", b"sam")), tmp_path / "c", "other contents")


def test_an_encrypted_zip_is_refused(tmp_path: Path, into: Path) -> None:
    archive = zipped(tmp_path / "a.zip", ("a", b"1"))
    data = bytearray(archive.read_bytes())
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(data)
    refused(archive, into, "encrypted")


# -- growth ------------------------------------------------------------------------------------------------------


def test_bombs_stop_at_the_limit(tmp_path: Path, into: Path) -> None:
    zeros = b"\0" * 5_000_000
    bomb = zipped(tmp_path / "bomb.zip", ("a", zeros), ("b", zeros))
    assert bomb.stat().st_size < 20_000
    refused(bomb, into, "unpacks to more than 8.0 MB", limit_bytes=8_000_000)
    assert unpack(bomb, tmp_path / "fits", limit_bytes=10_000_000) == ("a", "b")
    refused(
        tar(tmp_path / "bomb.tgz", ("a", zeros), ("b", zeros), mode="w:gz"), into, "more than", limit_bytes=8_000_000
    )


def test_a_size_that_a_zip_header_hides_is_counted(tmp_path: Path, into: Path) -> None:
    archive = zipped(tmp_path / "a.zip", ("a", b"\0" * 1_000_000))
    data = bytearray(archive.read_bytes())
    for at in (22, data.index(b"PK\x01\x02") + 24):
        data[at : at + 4] = (10).to_bytes(4, "little")
    archive.write_bytes(data)
    refused(archive, into, "damaged|more than", limit_bytes=100_000)


def test_many_links_to_one_file_count_as_growth(tmp_path: Path, into: Path) -> None:
    links = [special(f"l{n}", tarfile.SYMTYPE, "a") for n in range(100)]
    refused(tar(tmp_path / "a.tar", ("a", b"x" * 1000), *links), into, "more than", limit_bytes=50_000)


def test_too_many_entries_are_refused(tmp_path: Path, into: Path) -> None:
    entries = [(f"f{n}", b"") for n in range(11)]
    refused(tar(tmp_path / "a.tar", *entries), into, "more than 10 entries", limit_entries=10)
    refused(zipped(tmp_path / "a.zip", *entries), into, "more than 10 entries", limit_entries=10)
    assert len(unpack(tmp_path / "a.tar", tmp_path / "ok", limit_entries=11)) == 11


def test_a_huge_extended_header_is_refused_before_it_is_read(tmp_path: Path, into: Path) -> None:
    header = tarfile.TarInfo("././@PaxHeader")
    header.type = tarfile.XHDTYPE
    header.size = 1 << 33
    path = tmp_path / "a.tar"
    path.write_bytes(header.tobuf(tarfile.GNU_FORMAT) + b"\0" * 10240)
    refused(path, into, "a header claims")


# -- damage ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz", "w:bz2"])
@pytest.mark.parametrize("part", [0.02, 0.5, 0.9])
def test_truncated_tars_are_refused(tmp_path: Path, into: Path, mode: str, part: float) -> None:
    archive = tar(tmp_path / "a.tar", *((f"f{n}", os.urandom(20_000)) for n in range(20)), mode=mode)
    data = archive.read_bytes()
    archive.write_bytes(data[: int(len(data) * part)])
    refused(archive, into, "truncated|too early|damaged")


def test_a_tar_cut_between_two_entries_is_refused(tmp_path: Path, into: Path) -> None:
    archive = tar(tmp_path / "a.tar", ("a", b"x" * 512), ("b", b"y" * 512))
    archive.write_bytes(archive.read_bytes()[:1024])
    refused(archive, into, "ends too early")
    (tmp_path / "a.tgz").write_bytes(gzip.compress(archive.read_bytes()))
    refused(tmp_path / "a.tgz", into, "ends too early")


def test_truncated_and_damaged_zips_are_refused(tmp_path: Path, into: Path) -> None:
    archive = zipped(tmp_path / "a.zip", *((f"f{n}", os.urandom(20_000)) for n in range(5)))
    data = archive.read_bytes()
    for part in (0.1, 0.5, 0.999):
        archive.write_bytes(data[: int(len(data) * part)])
        refused(archive, into, "truncated")
    middle = len(data) // 2
    archive.write_bytes(data[:middle] + bytes([data[middle] ^ 255]) + data[middle + 1 :])
    refused(archive, into, "damaged")


def test_a_damaged_gzip_checksum_is_refused(tmp_path: Path, into: Path) -> None:
    archive = tar(tmp_path / "a.tgz", ("a", os.urandom(50_000)), mode="w:gz")
    data = bytearray(archive.read_bytes())
    data[-6] ^= 1
    archive.write_bytes(data)
    refused(archive, into, "damaged")


@pytest.mark.parametrize(("data", "words"), [(b"", "empty"), (b"<html>not found</html>" * 50, "neither a tar")])
def test_what_is_no_archive_is_refused(tmp_path: Path, into: Path, data: bytes, words: str) -> None:
    (tmp_path / "a.tar.gz").write_bytes(data)
    refused(tmp_path / "a.tar.gz", into, words)


def test_random_damage_never_escapes_or_crashes(tmp_path: Path) -> None:
    import random

    makers: list[Callable[[], bytes]] = [
        tar(tmp_path / "f.tar", ("a/b", b"x" * 900), special("l", tarfile.SYMTYPE, "a/b"), ("c", b"y")).read_bytes,
        zipped(tmp_path / "f.zip", ("a/b", b"x" * 900), (zip_link("l"), b"a/b"), ("c", b"y")).read_bytes,
        tar(tmp_path / "f.tgz", ("a/b", b"x" * 900), ("c", b"y"), mode="w:gz").read_bytes,
    ]
    chance = random.Random(7)
    box = tmp_path / "box"
    box.mkdir()
    outcomes = set()
    for turn in range(300):
        data = bytearray(makers[turn % 3]())
        for _ in range(chance.randint(1, 4)):
            data[chance.randrange(min(len(data), 3000))] = chance.randrange(256)
        (tmp_path / "fuzz").write_bytes(data)
        into = box / "into"
        try:
            unpack(tmp_path / "fuzz", into, limit_bytes=1_000_000)
            outcomes.add("good")
        except IntegrityError:
            outcomes.add("refused")
            assert list(into.iterdir()) == []
        assert [path.name for path in box.iterdir()] == ["into"]
        assert not any(path.is_symlink() for path in into.rglob("*"))
        for path in sorted(into.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
    assert outcomes == {"good", "refused"}


def test_a_real_archive_comes_out(mirror, into: Path) -> None:
    names = unpack(mirror.path("kws01.tar.gz"), into)
    assert len(names) >= 1000
    tree_digest(into)
