# SPDX-License-Identifier: Apache-2.0
"""The file of a pack: the same bytes for the same content, whole or absent, and refused when anything in it is wrong."""

from __future__ import annotations

import hashlib
import io
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from codereef.canonical import pretty_json
from codereef.errors import CrError, IntegrityError, MetadataError, UsageError
from codereef.pack.format import MANIFEST, Manifest, Member, check_path, from_document, to_document
from codereef.pack.read import contents, read_manifest, verify
from codereef.pack.write import archive_size, write_pack

ROOT = Path(__file__).resolve().parents[2]


def nothing(_: int) -> None:
    pass


def made(folder: Path, files: dict[str, bytes]) -> tuple[Manifest, dict[str, Path]]:
    sources = {}
    members = []
    for number, (path, data) in enumerate(sorted(files.items())):
        sources[path] = folder / f"source-{number}"
        sources[path].write_bytes(data)
        members.append(Member(path, hashlib.sha256(data).hexdigest(), len(data), executable=path.endswith(".sh")))
    digest = "sha256:" + "0" * 64
    configurations = ({"id": "default", "target": "linux-x86_64-gnu"},)
    return Manifest("solution:s@1.0.0", digest, "0.1.0", configurations, (), (), (), (), tuple(members)), sources


FILES = {
    "cr.lock": b"{}",
    "files/" + hashlib.sha256(b"weights" * 1000).hexdigest(): b"weights" * 1000,
    "components/model/m/1.0.0/cr.json": b"{}",
    "components/model/m/1.0.0/run.sh": b"#!/bin/sh\n",
    "components/model/m/1.0.0/" + "d" * 120 + "/" + "f" * 120 + ".txt": b"a long name",
    "wheels/empty-1-py3-none-any.whl": b"",
}


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    manifest, sources = made(tmp_path, FILES)
    path = tmp_path / "s.crpack"
    write_pack(manifest, sources, path, nothing)
    return path


def rewritten(pack: Path, change: Callable[[list[tuple[tarfile.TarInfo, bytes]]], None]) -> Path:
    """Write a pack anew with its entries changed."""
    with tarfile.open(pack) as tar:
        entries = [(info, tar.extractfile(info).read() if info.isreg() else b"") for info in tar]  # type: ignore[union-attr]
    change(entries)
    path = pack.with_name("changed.crpack")
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for info, data in entries:
            info.size = len(data) if info.isreg() else 0
            tar.addfile(info, io.BytesIO(data))
    return path


def test_what_was_packed_is_read_back(pack: Path) -> None:
    found = {c.member.path: b"".join(c.pieces()) for _, c in contents(pack) if c is not None}
    assert found == FILES
    assert {m.path for m in read_manifest(pack).members if m.executable} == {"components/model/m/1.0.0/run.sh"}


def test_any_tar_program_can_read_it(pack: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    subprocess.run(["tar", "-xf", pack, "-C", tmp_path / "out"], check=True)
    assert all((tmp_path / "out" / path).read_bytes() == data for path, data in FILES.items())


def test_the_same_content_gives_the_same_bytes_whenever_and_whoever(pack: Path, tmp_path: Path) -> None:
    (tmp_path / "again").mkdir()
    manifest, sources = made(tmp_path / "again", FILES)
    for number, source in enumerate(sources.values()):
        os.utime(source, (number, number))
        source.chmod(0o600)
    second = tmp_path / "t.crpack"
    digest = write_pack(manifest, sources, second, nothing)
    assert second.read_bytes() == pack.read_bytes()
    assert digest == hashlib.sha256(pack.read_bytes()).hexdigest()


def test_the_size_is_known_before_it_is_written(pack: Path) -> None:
    size = pack.stat().st_size
    assert size <= archive_size(read_manifest(pack)) <= size + 20_000


def test_every_flipped_bit_of_content_and_list_is_found(pack: Path) -> None:
    data = bytearray(pack.read_bytes())
    with tarfile.open(pack) as tar:
        places = [info.offset_data + at for info in tar for at in range(0, info.size, max(1, info.size // 7))]
    assert len(places) > 20
    broken = pack.with_name("broken.crpack")
    for place in places:
        data[place] ^= 1
        broken.write_bytes(data)
        # A change in the list may also make it another valid list, but then of other files than follow.
        with pytest.raises((IntegrityError, MetadataError), match=r"broken\.crpack|told otherwise"):
            _refused(broken, place)
        data[place] ^= 1


def _refused(path: Path, place: int) -> None:
    text = path.read_bytes()[:200]
    try:
        verify(path)
    except CrError:
        raise
    # What is only told, never used, may differ: the versions of the client that wrote it.
    manifest = read_manifest(path)
    if (
        manifest.client != "0.1.0"
        or manifest.solution != "solution:s@1.0.0"
        or manifest.configurations[0]["id"] != "default"
    ):
        raise IntegrityError(f"told otherwise ({place}, {text!r})")
    if manifest.targets != ("linux-x86_64-gnu",) or manifest.solution_digest != "sha256:" + "0" * 64:
        raise IntegrityError("told otherwise")
    if [m.executable for m in manifest.members] != [m.path.endswith(".sh") for m in manifest.members]:
        raise IntegrityError("told otherwise")


@pytest.mark.parametrize("keep", [0, 1, 511, 512, 600, 1536, 3000, 6000, -10240, -11000])
def test_a_truncated_pack_is_refused(pack: Path, keep: int) -> None:
    size = pack.stat().st_size
    broken = pack.with_name("broken.crpack")
    broken.write_bytes(pack.read_bytes()[: keep if keep >= 0 else size + keep])
    with pytest.raises((IntegrityError, UsageError), match=r"broken\.crpack"):
        verify(broken)


def test_a_pack_cut_between_two_files_is_refused(pack: Path) -> None:
    broken = rewritten(pack, lambda entries: entries.pop())
    with pytest.raises(IntegrityError, match="it ends before wheels/empty"):
        verify(broken)


def test_a_file_that_was_not_announced_is_refused(pack: Path) -> None:
    def add(entries: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        entries.append((tarfile.TarInfo("components/evil.py"), b"import os"))

    with pytest.raises(IntegrityError, match=r"components/evil\.py.*not announced"):
        verify(rewritten(pack, add))


@pytest.mark.parametrize("name", ["../evil", "/etc/passwd", "components/../../evil", "cr.lock/.."])
def test_a_name_that_leads_elsewhere_is_refused_in_the_archive_and_in_the_list(pack: Path, name: str) -> None:
    def rename(entries: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        entries[1][0].name = name

    with pytest.raises(IntegrityError, match="was announced"):
        verify(rewritten(pack, rename))

    def rename_both(entries: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        text = entries[0][1].replace(b'"cr.lock"', pretty_json(name).strip().encode())
        entries[0] = (entries[0][0], text)
        entries[1][0].name = name

    with pytest.raises(IntegrityError, match="outside of its folder"):
        verify(rewritten(pack, rename_both))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE])
def test_what_is_no_file_is_refused(pack: Path, kind: bytes) -> None:
    def change(entries: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        entries[1][0].type = kind
        entries[1][0].linkname = "/etc/passwd"

    with pytest.raises(IntegrityError, match="is not a file of"):
        verify(rewritten(pack, change))


@pytest.mark.parametrize(
    "path",
    ["", "/a", "a//b", "./a", "a/..", "a/../b", "a\\b", "c:/a", "a\nb", "a\x7f", "a/" + "b" * 256, "ab/" * 400 + "c"],
)
def test_paths_that_are_not_plain_are_refused(path: str) -> None:
    with pytest.raises(IntegrityError):
        check_path(path)


@pytest.mark.parametrize(
    ("path", "link", "fine"),
    [
        ("folders/key-1/lib/liba.so", "liba.so.1", True),
        ("folders/key-1/lib/liba.so", "../lib/liba.so.1", True),
        ("folders/key-1/a", "../key-2/a", False),
        ("folders/key-1/lib/a", "../../../cr.lock", False),
        ("folders/key-1/a", "/etc/passwd", False),
        ("folders/key-1/lib/a", "x/../../../a", False),
        ("components/model/m/a", "b", False),
    ],
)
def test_links_stay_within_their_installed_folder(tmp_path: Path, path: str, link: str, fine: bool) -> None:
    manifest, _ = made(tmp_path, {"cr.lock": b"{}"})
    member = Member(path, hashlib.sha256(b"").hexdigest(), 0, False, link)
    document = to_document(replace(manifest, members=(*manifest.members, member)))
    if fine:
        assert from_document(document).members[-1] == member
    else:
        with pytest.raises(IntegrityError, match="leads out of its folder"):
            from_document(document)


def test_two_files_of_one_place_are_refused(tmp_path: Path) -> None:
    manifest, _ = made(tmp_path, {"wheels/a.whl": b"1", "wheels/A.whl": b"2"})
    with pytest.raises(IntegrityError, match="one place"):
        from_document(to_document(manifest))


@pytest.mark.parametrize(
    ("path", "link", "inner"),
    [
        ("folders/k/a", ".", "folders/k/a/c"),
        ("folders/k/a", ".", "folders/k/A/c"),
        ("folders/k/a/b", "x", "folders/k/a/b/c/d"),
        ("files/a", "", "files/a/b"),
    ],
)
def test_nothing_lies_in_a_link_or_a_file(tmp_path: Path, path: str, link: str, inner: str) -> None:
    manifest, _ = made(tmp_path, {})
    empty = hashlib.sha256(b"").hexdigest()
    for members in ((path, link, inner), (inner, link, path)):
        found = tuple(Member(name, empty, 0, False, link if name == path else "") for name in (members[0], members[2]))
        with pytest.raises(IntegrityError, match="would lie in it"):
            from_document(to_document(replace(manifest, members=found)))


def test_headers_upon_headers_are_refused(pack: Path) -> None:
    header = tarfile.TarInfo("././@LongLink")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 512
    data = pack.read_bytes()
    pack.write_bytes((header.tobuf(tarfile.GNU_FORMAT) + b"n" * 511 + b"\0") * 3000 + data)
    with pytest.raises(IntegrityError, match="not a sound pack"):
        read_manifest(pack)


def test_a_header_of_names_that_is_huge_is_not_read(pack: Path) -> None:
    header = tarfile.TarInfo("././@PaxHeader")
    header.type, header.size = tarfile.XHDTYPE, 1 << 30
    pack.write_bytes(header.tobuf(tarfile.GNU_FORMAT) + pack.read_bytes())
    with pytest.raises(IntegrityError, match="claims 1073741824 bytes of names"):
        read_manifest(pack)


def test_a_list_that_claims_to_be_huge_is_not_read(pack: Path) -> None:
    data = bytearray(pack.read_bytes())
    info = tarfile.TarInfo(MANIFEST)
    info.size = 1 << 40
    data[:512] = info.tobuf(tarfile.GNU_FORMAT)[:512]
    broken = pack.with_name("broken.crpack")
    broken.write_bytes(data)
    with pytest.raises(IntegrityError, match="claims"):
        read_manifest(broken)


def test_a_newer_format_and_what_is_no_pack_are_told_apart(pack: Path, tmp_path: Path) -> None:
    def newer(entries: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        entries[0] = (entries[0][0], entries[0][1].replace(b"codereef-pack/1", b"codereef-pack/9"))

    with pytest.raises(MetadataError, match="codereef-pack/9"):
        verify(rewritten(pack, newer))
    with tarfile.open(tmp_path / "other.tar", "w") as tar:
        tar.addfile(tarfile.TarInfo("README"), None)
    with pytest.raises(UsageError, match="does not begin with"):
        verify(tmp_path / "other.tar")
    with pytest.raises(UsageError, match="no pack at"):
        verify(tmp_path / "absent.crpack")


def test_keys_of_a_later_client_are_ignored(pack: Path) -> None:
    def add(entries: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        entries[0] = (entries[0][0], entries[0][1].replace(b'"client"', b'"x-colour": "blue", "client"', 1))

    assert verify(rewritten(pack, add)) == read_manifest(pack)


def test_a_source_that_changed_meanwhile_stops_it_and_nothing_is_written(tmp_path: Path) -> None:
    manifest, sources = made(tmp_path, FILES)
    for data in (b"{ }", b"{", b"[]"):
        sources["cr.lock"].write_bytes(data)
        with pytest.raises(IntegrityError, match="no longer what was to be packed"):
            write_pack(manifest, sources, tmp_path / "s.crpack", nothing)
    assert not [path.name for path in tmp_path.iterdir() if "crpack" in path.name]


CHILD = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from tests.pack.test_pack_files import FILES, made
from codereef.pack.write import write_pack
folder = Path(sys.argv[2])
manifest, sources = made(folder, FILES)
def slowly(n):
    print("moved", flush=True)
    time.sleep(20)
write_pack(manifest, sources, folder / "s.crpack", slowly)
"""


def test_a_kill_half_way_leaves_no_half_pack_and_keeps_the_old_one(tmp_path: Path) -> None:
    (tmp_path / "s.crpack").write_bytes(b"the old one")
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(ROOT), str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "moved\n"
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    process.stdout.close()
    time.sleep(0.01)
    assert [path.name for path in tmp_path.iterdir() if "crpack" in path.name] == ["s.crpack"]
    assert (tmp_path / "s.crpack").read_bytes() == b"the old one"
