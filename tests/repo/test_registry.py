# SPDX-License-Identifier: Apache-2.0
"""Registries over real HTTP and folders: publishing, fetching what changed, and everything a bad one may send."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from codereef.errors import CrError, IntegrityError, MetadataError, NetworkError, NotFoundError, UsageError
from codereef.home import Home
from codereef.meta.component import component_digest
from codereef.repo.registry import fetch, layout
from codereef.repo.registry import publish as library
from codereef.repo.registry.local import LocalRegistry
from codereef.repo.sources import add, remove, sources, update
from codereef.trust.keys import open_key
from codereef.trust.signatures import Signer

from tests.repo.registries import Server, index_of, make, put, serving, signer


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Components, a key and a registry of them; made once, for each test has a copy."""
    place = tmp_path_factory.mktemp("made")
    for name in ("a", "b"):
        put(place / "source", name)
    put(place / "source", "a", "1.1.0", tags=["new"])
    make(place / "source", place / "registry", signer(place / "keys", "me"))
    return place


@pytest.fixture
def key(made: Path) -> Signer:
    return open_key(made / "keys", "me", lambda _: "")


@pytest.fixture
def source(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made / "source", tmp_path / "source"))


@pytest.fixture
def registry(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made / "registry", tmp_path / "registry"))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait less between tries."""
    monkeypatch.setattr(fetch.time, "sleep", lambda seconds: None)


def references(home: Home) -> list[str]:
    return sorted(str(c.reference) for c in index_of(home).components if c.repository == "team")


# -- publishing ----------------------------------------------------------------------------------------------


def test_the_same_files_make_the_same_archive_wherever_and_whenever_they_lie(source: Path, tmp_path: Path) -> None:
    first = library.pack_component(source / "a-1.0.0")
    again = put(tmp_path / "elsewhere", "a")
    (again / "__pycache__").mkdir()
    (again / "__pycache__" / "left.pyc").write_bytes(b"left by a tool")
    os.utime(again / "main.py", (1, 1))
    assert library.pack_component(again) == first
    with tarfile.open(fileobj=io.BytesIO(first)) as tar:
        assert [(m.name, m.mode) for m in tar] == [("cr.json", 0o644), ("lib/tool.sh", 0o755), ("main.py", 0o644)]


def test_publishing_again_changes_nothing_and_a_new_version_is_added(registry: Path, source: Path, key: Signer) -> None:
    before = (registry / "registry.json").read_bytes()
    done = make(source, registry, key)
    assert (done.added, len(done.kept)) == ((), 3)
    assert (registry / "registry.json").read_bytes() == before
    put(source, "b", "2.0.0")
    done = make(source, registry, key)
    assert (done.added, done.root.sequence) == (("program:b@2.0.0",), 3)
    assert library.inspect(registry)[1] == []


def test_a_published_version_never_changes(registry: Path, source: Path, key: Signer) -> None:
    before = (registry / "registry.json").read_bytes()
    (source / "a-1.0.0" / "main.py").write_text("print('other')\n")
    put(source, "c")
    with pytest.raises(MetadataError, match=r"program:a@1\.0\.0 was published .* never changes") as caught:
        make(source, registry, key)
    assert "Nothing was published" in caught.value.hint
    assert (registry / "registry.json").read_bytes() == before, "nor is what else was in the folder"


def test_what_does_not_follow_its_schema_is_not_published(registry: Path, source: Path, key: Signer) -> None:
    put(source, "wrong", run={"pythn": "main.py"})
    with pytest.raises(MetadataError, match="pythn"):
        make(source, registry, key)


def test_a_folder_without_components_and_a_folder_that_is_no_registry(
    tmp_path: Path, registry: Path, source: Path
) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotFoundError, match="holds no component"):
        library.publish(tmp_path / "empty", registry)
    with pytest.raises(NotFoundError, match="is no registry"):
        library.publish(source, tmp_path / "empty")
    with pytest.raises(UsageError, match="is a registry already"):
        library.create(registry, "team", None)


def test_only_publishers_with_their_keys_publish_in_a_signed_registry(
    registry: Path, source: Path, key: Signer, tmp_path: Path
) -> None:
    put(source, "c")
    other = signer(tmp_path / "keys", "other")
    with pytest.raises(UsageError, match="is signed, so what is published there must be"):
        library.publish(source, registry)
    with pytest.raises(UsageError, match="`bob` has no key"):
        library.publish(source, registry, signer=other, publisher="bob")
    with pytest.raises(UsageError, match="`alice` has no key"):
        library.publish(source, registry, signer=other, publisher="alice")

    def admit(shop: library.Workshop) -> None:
        shop.root = library.with_publisher(shop.root, "bob", {other.id: other.public})

    library.edit(registry, [key], admit)
    with pytest.raises(UsageError, match="that key was not given"):
        library.publish(source, registry, signer=other, publisher="bob")
    done = library.publish(source, registry, signer=other, publisher="bob", root_signer=key)
    assert done.added == ("program:c@1.0.0",)
    assert library.inspect(registry)[1] == []


def test_an_unsigned_registry_takes_no_signature(source: Path, tmp_path: Path, key: Signer) -> None:
    make(source, tmp_path / "open")
    put(source, "c")
    with pytest.raises(UsageError, match="would prove nothing"):
        library.publish(source, tmp_path / "open", signer=key, publisher="alice")


def test_many_components_are_spread_over_pages_and_one_change_touches_one(tmp_path: Path) -> None:
    library.create(tmp_path / "r", "big", None)
    shop = library.Workshop(tmp_path / "r")

    def release(name: str, version: str) -> dict[str, layout.Release]:
        meta = {"kind": "program", "name": name, "version": version, "summary": "x"}
        return {version: layout.Release(meta, "sha256:" + "0" * 64, layout.Link("0" * 64, 1), "now")}

    for number in range(300):
        shop.put(f"program:p{number}", release(f"p{number}", "1.0"))
    first = shop.commit()
    assert len(first.pages) == 16
    shop.put("program:p7", release("p7", "2.0"))
    second = shop.commit()
    assert len(set(second.pages) - set(first.pages)) == 1
    assert len(library.Workshop(tmp_path / "r").rows) == 300


# -- adding, updating, using ---------------------------------------------------------------------------------


def test_a_registry_is_recognised_and_its_components_are_found(home: Home, registry: Path, key: Signer) -> None:
    with serving(registry) as server:
        entry = add(home, server.address, name="team")
        assert (entry.kind, entry.keys, entry.trusted) == ("registry", (key.id,), False)
        fetched = {path for path in server.asked if path != "/registry.json"}
        assert len(fetched) == 1, "one page; no shard and no archive before somebody asks"
        index = index_of(home)
        assert [row.versions for row in index.rows("program") if row.name == "a"] == [("1.1.0", "1.0.0")]
        assert len(server.asked) == 3, "rows come from what was fetched"
        newest, oldest = index.versions("program", "a")
        assert (newest.version, oldest.version, newest.meta["tags"]) == ("1.1.0", "1.0.0", ["new"])
        assert newest.published is not None
        assert (newest.published.publisher, newest.published.key) == ("alice", key.id)
        asked = len(server.asked)
        index_of(home).versions("program", "a")
        assert len(server.asked) == asked, "a shard is fetched once"


@pytest.mark.parametrize("how", ["http", "http with file", "folder", "file address"])
def test_a_registry_has_several_addresses(home: Home, registry: Path, how: str) -> None:
    with serving(registry) as server:
        origin = {
            "http": server.address + "/",
            "http with file": server.address + "/registry.json",
            "folder": str(registry),
            "file address": registry.as_uri(),
        }[how]
        assert add(home, origin, name="team").kind == "registry"
        assert references(home) == ["program:a@1.0.0", "program:a@1.1.0", "program:b@1.0.0"]


def test_an_archive_is_fetched_when_the_files_are_needed_and_only_then(
    home: Home, registry: Path, source: Path
) -> None:
    with serving(registry) as server:
        add(home, server.address, name="team")
        component = index_of(home).find("program:a@1.0.0")
        asked = len(server.asked)
        place = component.root
        assert len(server.asked) == asked + 1
        assert component_digest(place) == component.digest == component_digest(source / "a-1.0.0")
        assert os.access(place / "lib" / "tool.sh", os.X_OK)
        assert not os.access(place / "main.py", os.X_OK)
    assert index_of(home).find("program:a@1.0.0").root == place, "without the server, from what is here"


def test_an_unpacked_component_that_somebody_changed_is_fetched_again(home: Home, registry: Path) -> None:
    add(home, str(registry), name="team")
    place = index_of(home).find("program:a@1.0.0").root
    os.utime(place / "main.py", (1, 1))
    assert index_of(home).find("program:a@1.0.0").root == place, "another time is no other content"
    (place / "main.py").write_text("import os\n")
    (place / "extra.py").write_text("import os\n")
    component = index_of(home).find("program:a@1.0.0")
    assert component_digest(component.root) == component.digest
    assert not (place / "extra.py").exists()


def test_an_update_fetches_what_changed_of_what_is_used(home: Home, registry: Path, source: Path, key: Signer) -> None:
    with serving(registry) as server:
        add(home, server.address, name="team")
        index_of(home).versions("program", "a")
        server.asked.clear()
        assert [changed for _, changed in update(home)] == [False]
        assert server.asked == ["/registry.json"]
        for name in ("a", "b"):
            put(source, name, "3.0.0")
        make(source, registry, key)
        server.asked.clear()
        assert [changed for _, changed in update(home)] == [True]
        assert len(server.asked) == 3, "the root, the page, and the shard of `a`, which was used"
    found = index_of(home, offline=True)
    assert found.find("program:a").version == "3.0.0"
    with pytest.raises(NetworkError, match="offline") as caught:
        found.versions("program", "b")
    assert "--complete" in caught.value.hint


def test_an_unchanged_root_is_not_sent_again(home: Home, registry: Path) -> None:
    statuses: list[int] = []
    with serving(registry) as server:
        add(home, server.address, name="team")
        update(home)

        def watch(handler: object) -> bool:
            own = handler.send_response  # type: ignore[attr-defined]
            handler.send_response = lambda status, *more: (statuses.append(status), own(status, *more))  # type: ignore[attr-defined]
            return False

        server.before = watch
        update(home)
    assert statuses == [304]


def test_everything_can_be_fetched_for_a_machine_without_network(home: Home, registry: Path) -> None:
    with serving(registry) as server:
        add(home, server.address, name="team")
        update(home, "team", complete=True)
    assert {c.name for c in index_of(home, offline=True).components if c.repository == "team"} == {"a", "b"}


def test_removing_a_registry_removes_what_was_fetched(home: Home, registry: Path) -> None:
    add(home, str(registry), name="team")
    remove(home, "team")
    assert not (home.repos / "team").exists()
    assert (registry / "registry.json").exists()


def test_a_withdrawn_version_comes_back_when_that_is_taken_back(home: Home, registry: Path, key: Signer) -> None:
    add(home, str(registry), name="team")
    library.edit(registry, [key], lambda shop: library.yank(shop, "program:a", "1.1.0", "wrong labels"))
    update(home)
    assert index_of(home).find("program:a").version == "1.0.0"
    withdrawn = index_of(home).find("program:a@1.1.0")
    assert withdrawn.yanked == "wrong labels"
    assert component_digest(withdrawn.root) == withdrawn.digest, "a lock that has it can still be installed"
    library.edit(registry, [key], lambda shop: library.yank(shop, "program:a", "1.1.0", ""))
    update(home)
    assert index_of(home).find("program:a").version == "1.1.0"
    with pytest.raises(NotFoundError, match="Versions|is not in the registry"):
        library.edit(registry, [key], lambda shop: library.yank(shop, "program:a", "9.0.0", "no"))


def test_a_version_that_this_client_cannot_read_is_left_out_and_named(home: Home, registry: Path, key: Signer) -> None:
    """As a registry looks to an older client: keys it does not know."""
    shop = library.Workshop(registry, [key])
    releases = shop.releases("program:b")
    newer = replace(releases["1.0.0"], meta={**releases["1.0.0"].meta, "version": "2.0.0", "invented": 1})
    newer = replace(newer, signature=key.sign(newer.statement()))
    shop.put("program:b", {**releases, "2.0.0": newer})
    shop.commit()
    add(home, str(registry), name="team")
    for _ in range(2):
        index = index_of(home)
        assert [c.version for c in index.versions("program", "b")] == ["1.0.0"]
        assert ["invented" in broken.error.message for broken in index.broken] == [True]


# -- what a bad registry may send ----------------------------------------------------------------------------


def keeps_the_old_state(home: Home, server: Server, message: str, kind: type[CrError] = IntegrityError) -> CrError:
    """Assert that an update is refused and what was fetched before still answers."""
    before = (home.repos / "team" / "root.json").read_bytes()
    entry = sources(home)
    with pytest.raises(kind, match=message) as caught:
        update(home)
    assert (home.repos / "team" / "root.json").read_bytes() == before
    assert sources(home) == entry
    assert index_of(home, offline=True).find("program:a").version == "1.1.0"
    return caught.value


@pytest.fixture
def used(home: Home, registry: Path) -> Path:
    """The registry, added from a web server and used once; the entry then names a server that tests start."""
    with serving(registry) as server:
        add(home, server.address, name="team")
        index_of(home).versions("program", "a")
    return registry


def move(home: Home, address: str) -> None:
    """Let the entry name another address, as when a server moves."""
    path = home.repos / "repos.json"
    document = json.loads(path.read_text())
    document["repositories"][0]["origin"] = address
    path.write_text(json.dumps(document))


@pytest.mark.parametrize("part", ["page", "shard"])
@pytest.mark.parametrize("damage", ["truncated", "flipped", "longer", "missing", "dies midway"])
def test_a_damaged_object_leaves_the_old_state(
    home: Home, used: Path, source: Path, key: Signer, part: str, damage: str
) -> None:
    old = {path.name for path in (used / "objects").rglob("*")}
    put(source, "a", "3.0.0")
    root = make(source, used, key).root
    page = root.pages[0]
    rows = layout.read_page((used / page.path).read_bytes(), "page")
    link = page if part == "page" else rows["program:a"][1]
    assert link.sha256 not in old
    file = used / link.path
    data = file.read_bytes()
    if damage == "missing":
        file.unlink()
    elif damage != "dies midway":
        file.write_bytes(
            {"truncated": data[:-7], "flipped": data[:-1] + bytes([data[-1] ^ 1]), "longer": data + b"x"}[damage]
        )
    with serving(used) as server:
        if damage == "dies midway":

            def die(handler: object) -> bool:
                if handler.path != "/" + link.path:  # type: ignore[attr-defined]
                    return False
                handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(data) + data[:10])  # type: ignore[attr-defined]
                handler.close_connection = True  # type: ignore[attr-defined]
                return True

            server.before = die
        move(home, server.address)
        kind = NetworkError if damage in ("missing", "dies midway") else IntegrityError
        wording = {"missing": "404", "dies midway": "could not be fetched", "longer": "more than"}
        keeps_the_old_state(home, server, wording.get(damage, "not what it should be"), kind)
        file.write_bytes(data)
        server.before = None
        update(home)
        assert index_of(home).find("program:a").version == "3.0.0"


def test_a_registry_that_was_rolled_back_is_refused(home: Home, used: Path, source: Path, key: Signer) -> None:
    old = (used / "registry.json").read_bytes()
    library.edit(used, [key], lambda shop: library.yank(shop, "program:b", "1.0.0", "bad"))
    with serving(used) as server:
        move(home, server.address)
        update(home)
        (used / "registry.json").write_bytes(old)
        keeps_the_old_state(home, server, "rolled back: it has number 2 .* and number 3 ")


def test_another_root_of_the_same_number_is_refused(home: Home, used: Path, key: Signer) -> None:
    root = layout.read_root((used / "registry.json").read_bytes(), "r")
    other = replace(root, time="2030-01-01T00:00:00Z")
    (used / "registry.json").write_bytes(layout.write_root(other, [key.sign(other.document())]))
    with serving(used) as server:
        move(home, server.address)
        keeps_the_old_state(home, server, "of one that said something else")


def test_a_root_of_another_registry_with_the_same_key_is_refused(
    home: Home, used: Path, source: Path, key: Signer, tmp_path: Path
) -> None:
    library.create(tmp_path / "other", "other", key, "alice")
    for number in range(4):
        put(source, "x", f"{number}.0")
        library.publish(source, tmp_path / "other", signer=key, publisher="alice")
    with serving(tmp_path / "other") as server:
        move(home, server.address)
        keeps_the_old_state(home, server, "is of the registry `other`; it was `team`")


def test_a_root_signed_by_another_key_is_refused(
    home: Home, used: Path, source: Path, key: Signer, tmp_path: Path
) -> None:
    stranger = signer(tmp_path / "keys", "stranger")
    root = layout.read_root((used / "registry.json").read_bytes(), "r")
    forged = replace(root, sequence=9, keys={stranger.id: stranger.public})
    (used / "registry.json").write_bytes(layout.write_root(forged, [stranger.sign(forged.document())]))
    with serving(used) as server:
        move(home, server.address)
        error = keeps_the_old_state(home, server, "not by a key you trust")
        assert "--key" in error.hint


@pytest.mark.parametrize("how", ["changed", "stripped", "wrong signature", "unsigned now"])
def test_a_root_that_was_changed_after_signing_is_refused(home: Home, used: Path, key: Signer, how: str) -> None:
    document = json.loads((used / "registry.json").read_bytes())
    document["signed"]["sequence"] = 50
    if how == "stripped":
        document["signatures"] = []
    elif how == "wrong signature":
        document["signatures"][0]["signature"] = "AAAA"
    elif how == "unsigned now":
        document["signed"]["keys"], document["signatures"] = {}, []
    (used / "registry.json").write_text(json.dumps(document))
    with serving(used) as server:
        move(home, server.address)
        keeps_the_old_state(home, server, "signature of .* is wrong|not by a key you trust")


def test_an_unsigned_registry_that_gets_signed_must_be_added_again(
    home: Home, source: Path, tmp_path: Path, key: Signer
) -> None:
    make(source, tmp_path / "open")
    add(home, str(tmp_path / "open"), name="team")
    root = layout.read_root((tmp_path / "open" / "registry.json").read_bytes(), "r")
    signed = replace(root, sequence=9, keys={key.id: key.public})
    (tmp_path / "open" / "registry.json").write_bytes(layout.write_root(signed, [key.sign(signed.document())]))
    with pytest.raises(IntegrityError, match="was added without a signature"):
        update(home)


def test_an_expired_root_is_refused_and_the_old_state_stays(home: Home, used: Path, key: Signer) -> None:
    root = layout.read_root((used / "registry.json").read_bytes(), "r")
    late = replace(root, sequence=9, expires="2020-01-01T00:00:00Z")
    (used / "registry.json").write_bytes(layout.write_root(late, [key.sign(late.document())]))
    with serving(used) as server:
        move(home, server.address)
        keeps_the_old_state(home, server, "to be believed until 2020")


def test_a_registry_of_a_newer_format_says_so(home: Home, used: Path) -> None:
    document = json.loads((used / "registry.json").read_bytes())
    document["signed"]["format"] = "codereef-registry/2"
    (used / "registry.json").write_text(json.dumps(document))
    with serving(used) as server:
        move(home, server.address)
        error = keeps_the_old_state(home, server, "this client reads codereef-registry/1", MetadataError)
        assert "upgrade" in error.hint


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"<html>not found</html>",
        b"[]",
        b"{}",
        b"[" * 100_000,
        b'{"signed": 3}',
        b'{"signed": {"format": "codereef-registry/1"}, "signatures": []}',
        b'{"signed": {"format": "codereef-registry/1", "sequence": true}, "signatures": []}',
        b'{"signed": {"format": "codereef-registry/1", "sequence": NaN}, "signatures": []}',
        b"\xff\xfe\x00",
    ],
)
def test_a_root_that_is_none_is_refused(home: Home, used: Path, text: bytes) -> None:
    (used / "registry.json").write_bytes(text)
    with serving(used) as server:
        move(home, server.address)
        keeps_the_old_state(home, server, "is not JSON|is no codereef-registry document|shape")


def test_unknown_keys_in_the_documents_are_no_error(home: Home, registry: Path, key: Signer) -> None:
    root = layout.read_root((registry / "registry.json").read_bytes(), "r")
    document = {**root.document(), "sequence": 9, "x-mirror": "somewhere", "later": {"more": 1}}
    whole = {"signed": document, "signatures": [key.sign(document)], "x-note": 1}
    (registry / "registry.json").write_text(json.dumps(whole))
    add(home, str(registry), name="team")
    assert len(references(home)) == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"meta": {"summary": "Changed"}}, "signature of program:b@1.0.0 .* is wrong"),
        ({"digest": "sha256:" + "0" * 64}, "signature of program:b@1.0.0 .* is wrong"),
        ({"archive": layout.Link("0" * 64, 5)}, "signature of program:b@1.0.0 .* is wrong"),
        ({"time": "2030-01-01T00:00:00Z"}, "signature of program:b@1.0.0 .* is wrong"),
        ({"publisher": "bob"}, "is not signed by a publisher"),
        ({"signature": None}, "is not signed by a publisher"),
        ({"signature": {"key": "ed25519:" + "0" * 64, "signature": "AAAA"}}, "is no key of alice"),
        ({"signature": {}}, "is no key of alice"),
    ],
)
def test_a_version_that_its_publisher_did_not_sign_so_is_left_out(
    home: Home, registry: Path, key: Signer, change: dict[str, object], message: str
) -> None:
    """As by one who holds the registry's key, or its server, and not the publisher's."""
    shop = library.Workshop(registry, [key])
    release = shop.releases("program:b")["1.0.0"]
    if isinstance(meta := change.get("meta"), dict):
        change = {"meta": {**release.meta, **meta}}
    shop.put("program:b", {"1.0.0": replace(release, **change)})  # type: ignore[arg-type]
    shop.commit()
    add(home, str(registry), name="team")
    index = index_of(home)
    assert index.versions("program", "b") == ()
    assert [re.search(message, broken.error.message) is not None for broken in index.broken] == [True]
    assert library.inspect(registry)[1] != []


@pytest.mark.parametrize("value", ["1e999", '"\\ud800"'])
def test_a_version_without_canonical_form_is_left_out(home: Home, source: Path, tmp_path: Path, value: str) -> None:
    """Without signatures too: it could be read, and never be written or compared."""
    make(source, tmp_path / "open")
    shop = library.Workshop(tmp_path / "open")
    document = layout.unpack(shop.object(shop.rows["program:b"][1]), "shard")
    text = json.dumps(document).replace('"About b 1.0.0"', value)
    link = shop.keep(gzip.compress(text.encode()))
    shop.rows["program:b"] = (shop.rows["program:b"][0], link)
    shop.commit()
    add(home, str(tmp_path / "open"), name="team")
    index = index_of(home)
    assert index.versions("program", "b") == ()
    assert ["no canonical form" in broken.error.message for broken in index.broken] == [True]
    assert len(index.versions("program", "a")) == 2


def archive(entries: list[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for entry, data in entries:
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return gzip.compress(buffer.getvalue())


def entry(name: str, *, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname = kind, target
    return made


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([(entry("../escaped"), b"x")], "outside of the folder"),
        ([(entry("/tmp/escaped"), b"x")], "outside of the folder"),
        ([(entry("link", kind=tarfile.SYMTYPE, target="/etc/passwd"), b"")], "outside of the folder"),
        ([(entry("pipe", kind=tarfile.FIFOTYPE), b"")], "no regular file"),
        ([(entry("main.py"), b"print('other')\n")], "other files than were published"),
        ([(entry("__pycache__/main.cpython-311.pyc"), b"smuggled")], "which no digest covers"),
        ([(entry("inner/cr.json"), b"{}"), (entry("inner/x.py"), b"smuggled")], "which no digest covers"),
        ([], "other files than were published"),
    ],
)
def test_an_archive_with_something_else_is_not_unpacked(
    home: Home, registry: Path, key: Signer, entries: list[tuple[tarfile.TarInfo, bytes]], message: str, tmp_path: Path
) -> None:
    """The publisher himself signs it, so only what is in it can be wrong."""
    shop = library.Workshop(registry, [key])
    release = shop.releases("program:b")["1.0.0"]
    bad = replace(release, archive=shop.keep(archive(entries)))
    shop.put("program:b", {"1.0.0": replace(bad, signature=key.sign(bad.statement()))})
    shop.commit()
    add(home, str(registry), name="team")
    component = index_of(home).find("program:b")
    with pytest.raises(IntegrityError, match=message):
        _ = component.root
    assert not (tmp_path / "escaped").exists()
    assert [p for p in (home.repos / "team" / "components").iterdir() if p.suffix != ".lock"] == []


def test_an_archive_that_is_too_large_is_neither_published_nor_fetched(
    home: Home, registry: Path, source: Path, key: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(home, str(registry), name="team")
    component = index_of(home).find("program:a@1.0.0")
    monkeypatch.setattr(layout, "ARCHIVE_LIMIT", 100)
    with pytest.raises(IntegrityError, match="at most 100 are allowed"):
        _ = component.root
    put(source, "c")
    with pytest.raises(UsageError, match="program:c@1.0.0 .* at most 100 B are allowed"):
        make(source, registry, key)


@pytest.mark.slow
def test_several_processes_that_want_one_archive_fetch_it_once(home: Home, registry: Path) -> None:
    script = (
        "import sys\nfrom pathlib import Path\nfrom codereef.home import Home\n"
        "from tests.repo.registries import index_of\n"
        "print(index_of(Home(Path(sys.argv[1]))).find('program:a@1.0.0').root)\n"
    )
    with serving(registry) as server:
        add(home, server.address, name="team")
        index_of(home).versions("program", "a")
        server.asked.clear()
        command = [sys.executable, "-c", script, str(home.root)]
        processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
        places = {process.communicate(timeout=60)[0] for process in processes}
        assert [process.returncode for process in processes] == [0, 0, 0]
    assert len(places) == 1
    assert len(server.asked) == 1


@pytest.mark.slow
def test_a_warm_search_imports_nothing_of_transport_signatures_schemas_or_versions(home: Home, registry: Path) -> None:
    add(home, str(registry), name="team")
    code = (
        "import sys\nfrom codereef.cli.app import run\nassert run(['search', 'about']) == 0\n"
        "heavy = {'http.client', 'ssl', 'cryptography', 'tarfile', 'packaging', 'jsonschema', 'requests', 'numpy'}\n"
        "print('heavy:', sorted(heavy & set(sys.modules)))\n"
    )
    said = ""
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "CR_HOME": str(home.root)},
            capture_output=True,
            text=True,
            check=True,
        )
        said = done.stdout
    assert "program:a@1.1.0" in said
    assert "heavy: []" in said


def test_an_archive_that_was_swapped_on_the_server_is_refused(home: Home, registry: Path) -> None:
    add(home, str(registry), name="team")
    index = index_of(home)
    release = library.Workshop(registry).releases("program:a")["1.0.0"]
    (registry / release.archive.path).write_bytes(b"\0" * release.archive.size)
    with pytest.raises(IntegrityError, match="not what it should be"):
        _ = index.find("program:a@1.0.0").root


def test_a_bomb_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "OBJECT_LIMIT", 100_000)
    with pytest.raises(IntegrityError, match="unpacks to more than"):
        layout.unpack(gzip.compress(b" " * (layout.OBJECT_LIMIT + 1)), "a page")
    with pytest.raises(IntegrityError, match="truncated"):
        layout.unpack(gzip.compress(b"{}" * 1000)[:-9], "a page")


def test_what_was_damaged_on_this_disk_is_fetched_again(home: Home, registry: Path) -> None:
    add(home, str(registry), name="team")
    local = LocalRegistry(home.repos / "team", str(registry))
    root = local.root()
    assert root is not None
    page = local.path(root.pages[0])
    page.write_bytes(b"\0" * root.pages[0].size)
    for cached in home.cache.glob("registry-*"):
        cached.unlink()
    assert len(references(home)) == 3
    assert page.read_bytes() != b"\0" * root.pages[0].size
    (home.repos / "team" / "root.json").write_text("{")
    broken = index_of(home).broken
    assert ["root.json is not JSON" in b.error.message for b in broken] == [True]
    update(home)
    assert len(references(home)) == 3


# -- the transport -------------------------------------------------------------------------------------------


def test_a_server_in_trouble_is_asked_again(home: Home, registry: Path) -> None:
    failures = iter([503, 429, None])

    def trouble(handler: object) -> bool:
        status = next(failures, None)
        if status is not None:
            handler.send_response(status)  # type: ignore[attr-defined]
            handler.send_header("Retry-After", "0")  # type: ignore[attr-defined]
            handler.send_header("Content-Length", "0")  # type: ignore[attr-defined]
            handler.end_headers()  # type: ignore[attr-defined]
        return status is not None

    with serving(registry) as server:
        server.before = trouble
        assert add(home, server.address, name="team").kind == "registry"


def test_redirects_are_followed_to_http_only_and_not_without_end(home: Home, registry: Path) -> None:
    target = ""

    def redirect(handler: object) -> bool:
        if handler.path.startswith("/old/"):  # type: ignore[attr-defined]
            handler.send_response(302)  # type: ignore[attr-defined]
            handler.send_header("Location", target.replace("PATH", handler.path[4:]))  # type: ignore[attr-defined]
            handler.send_header("Content-Length", "0")  # type: ignore[attr-defined]
            handler.end_headers()  # type: ignore[attr-defined]
            return True
        return False

    with serving(registry) as server:
        server.before = redirect
        target = server.address + "PATH"
        assert add(home, server.address + "/old", name="team").kind == "registry"
        remove(home, "team")
        for place, message in (("file:///etc/passwd", "not followed"), ("/old/again", "redirects without end")):
            target = place
            with pytest.raises(NetworkError, match=message):
                add(home, server.address + "/old", name="team")


@pytest.mark.parametrize(
    "place", ["http://[/r", "http://127.0.0.1:abc/r", "http://127.0.0.1:99999/r", f"http://{'a' * 70}.b/r"]
)
def test_an_address_that_nobody_can_read_is_told(home: Home, registry: Path, place: str) -> None:
    with pytest.raises(NetworkError, match="could not be fetched"):
        add(home, place, name="team")

    def redirect(handler: object) -> bool:
        handler.send_response(302)  # type: ignore[attr-defined]
        handler.send_header("Location", place)  # type: ignore[attr-defined]
        handler.send_header("Content-Length", "0")  # type: ignore[attr-defined]
        handler.end_headers()  # type: ignore[attr-defined]
        return True

    with serving(registry) as server:
        server.before = redirect
        with pytest.raises(NetworkError, match="could not be fetched"):
            add(home, server.address, name="team")


def test_an_answer_that_never_ends_is_given_up(home: Home, registry: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("codereef.repo.registry.fetch._PATIENCE", 0.1)
    monkeypatch.setattr("codereef.repo.registry.fetch.TRIES", 1)

    def drip(handler: object) -> bool:
        handler.send_response(200)  # type: ignore[attr-defined]
        handler.send_header("Content-Length", "1000")  # type: ignore[attr-defined]
        handler.end_headers()  # type: ignore[attr-defined]
        with contextlib.suppress(OSError):
            for _ in range(1000):
                handler.wfile.write(b" ")  # type: ignore[attr-defined]
                threading.Event().wait(0.02)  # sleeping is switched off here
        return True

    with serving(registry) as server:
        server.before = drip
        with pytest.raises(NetworkError, match="too slow"):
            add(home, server.address, name="team")


def test_a_server_that_is_gone_is_told_and_what_is_here_stays(home: Home, used: Path) -> None:
    with serving(used) as server:
        address = server.address
    move(home, address)
    keeps_the_old_state(home, server, "could not be fetched", NetworkError)


def test_an_address_with_a_password_is_not_kept(home: Home, registry: Path) -> None:
    with serving(registry) as server, pytest.raises(UsageError, match="does not keep") as caught:
        add(home, server.address.replace("//", "//me:secret@"), name="team")
    assert "secret" not in str(caught.value.as_dict())
    assert "~/.netrc" in caught.value.hint


def test_a_login_comes_from_netrc(home: Home, registry: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password secret\n")
    (tmp_path / "netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    seen: list[str] = []

    def guard(handler: object) -> bool:
        seen.append(handler.headers.get("Authorization", ""))  # type: ignore[attr-defined]
        return False

    with serving(registry) as server:
        server.before = guard
        add(home, server.address, name="team")
    assert set(seen) == {"Basic bWU6c2VjcmV0"}


def test_a_proxy_is_used_where_the_environment_names_one(
    home: Home, registry: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(registry) as server:
        monkeypatch.setenv("http_proxy", server.address)

        def forward(handler: object) -> bool:
            handler.path = handler.path.removeprefix("http://registry.example.org")  # type: ignore[attr-defined]
            return False

        server.before = forward
        assert add(home, "http://registry.example.org", name="team").kind == "registry"
        assert server.asked[0] == "http://registry.example.org/registry.json"


def test_a_web_address_without_registry_is_taken_for_git(home: Home, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with serving(tmp_path / "empty") as server:
        with pytest.raises(NetworkError, match="clone"):
            add(home, server.address, name="team")
        assert any("info/refs" in path for path in server.asked)
        with pytest.raises(UsageError, match="is no registry"):
            add(home, server.address, name="team", key="ed25519:0123456789abcdef")


def test_a_list_of_the_first_format_is_read(home: Home, source: Path) -> None:
    home.repos.mkdir(parents=True)
    entries = [
        {"name": "g", "origin": "https://example.org/x.git", "git": True, "revision": "v1", "trusted": True},
        {"name": "f", "origin": str(source), "git": False, "revision": "", "trusted": False},
    ]
    (home.repos / "repos.json").write_text(json.dumps({"format": "codereef-repositories/1", "repositories": entries}))
    assert [(s.name, s.kind, s.revision, s.trusted) for s in sources(home)] == [
        ("g", "git", "v1", True),
        ("f", "folder", "", False),
    ]
    (home.repos / "repos.json").write_text(json.dumps({"format": "codereef-repositories/9", "repositories": []}))
    with pytest.raises(MetadataError, match="codereef-repositories/9"):
        sources(home)
