# SPDX-License-Identifier: Apache-2.0
"""Whose code may run: asked once on a terminal, never without one; publishers, their new keys and revoked ones."""

from __future__ import annotations

import json
import os
import pty
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from codereef.embedded import REPOSITORY_FOLDERS, data_root
from codereef.errors import IntegrityError, NotFoundError, UsageError
from codereef.home import Home
from codereef.repo.registry import layout
from codereef.repo.registry import publish as library
from codereef.repo.sources import add, set_trusted, sources, update
from codereef.trust.signatures import Signer
from codereef.workspace.session import Session
from codereef.workspace.trust import Unknown

from tests.repo.registries import index_of, make, put, signer

SOFT = {
    "kind": "soft",
    "detects": "tool.example",
    "find": {"executables": ["example"]},
    "version_query": {"run": ["{path}", "--version"], "match": "([0-9.]+)"},
}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


@pytest.fixture
def alice(tmp_path: Path) -> Signer:
    return signer(tmp_path / "home" / "keys", "alice")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    put(tmp_path / "source", "a")
    return tmp_path / "source"


@pytest.fixture
def registry(source: Path, tmp_path: Path, alice: Signer) -> Path:
    make(source, tmp_path / "registry", alice)
    return tmp_path / "registry"


def refused(home: Home, *components: tuple[str, str]) -> UsageError | None:
    """Return the error where code of these components may not run."""
    try:
        Session(home).require_trust(components)
    except UsageError as error:
        return error
    return None


A = ("team", "program:a@1.0.0")
B = ("team", "program:b@1.0.0")


def test_code_of_a_folder_runs_after_its_repository_was_trusted(home: Home, source: Path) -> None:
    add(home, str(source), name="team")
    error = refused(home, A)
    assert error is not None
    assert "program:a@1.0.0 would run, and you have not trusted the repository `team`" in error.message
    assert "`cr repo trust team`" in error.hint
    set_trusted(home, "team", True)
    assert refused(home, A) is None
    set_trusted(home, "team", False)
    assert refused(home, A) is not None
    assert refused(home, ("default", "program:object-detection@1.0.0")) is None, "what the client brings is trusted"


def test_a_generator_needs_trust_whatever_a_lock_says_of_it(home: Home, tmp_path: Path) -> None:
    from codereef.lock.model import Lock, LockedConfiguration, LockedNode
    from codereef.workspace.initialise import _require_trust

    folder = tmp_path / "source" / "mine"
    shutil.copytree(data_root() / "components" / "dataset" / "coloured-shapes", folder)
    meta = json.loads((folder / "cr.json").read_text())
    (folder / "cr.json").write_text(json.dumps({**meta, "name": "mine"}))
    add(home, str(tmp_path / "source"), name="team")
    session = Session(home)
    (component,) = session.usable.versions("dataset", "mine")
    assert component.meta["install"]["using"] == "generate"
    node = LockedNode(str(component.reference), component.digest, component.version, {}, "install", "run", {})
    configuration = LockedConfiguration("default", session.host, {}, "mine", ("mine",), "")
    lock = Lock("0", "", "solution:s@1.0.0", "", {}, (configuration,), {"mine": node}, {})
    assert not node.tree
    with pytest.raises(UsageError, match="dataset:mine@.* would run, and you have not trusted"):
        _require_trust(session, lock)


def test_trust_in_a_registry_is_trust_in_the_publishers_it_has_now(
    home: Home, registry: Path, source: Path, alice: Signer, tmp_path: Path
) -> None:
    add(home, str(registry), name="team")
    error = refused(home, A)
    assert error is not None
    assert "`alice` of the repository `team`" in error.message
    assert alice.id in error.message
    assert "`cr repo trust team --publisher alice`" in error.hint
    set_trusted(home, "team", True)
    assert refused(home, A) is None
    # Somebody else comes to publish there: he is not trusted for it.
    bob = signer(tmp_path / "keys", "bob")

    def admit(shop: library.Workshop) -> None:
        shop.root = library.with_publisher(shop.root, "bob", {bob.id: bob.public})

    library.edit(registry, [alice], admit)
    put(source, "b")
    library.publish(source, registry, signer=bob, publisher="bob", root_signer=alice)
    update(home)
    assert refused(home, A) is None
    error = refused(home, A, B)
    assert error is not None
    assert error.context["publishers"] == ["bob"]
    assert "program:a" not in error.message
    set_trusted(home, "team", True, publisher="bob")
    assert refused(home, A, B) is None
    set_trusted(home, "team", False)
    set_trusted(home, "team", True, publisher="bob")
    assert refused(home, A) is not None
    with pytest.raises(NotFoundError, match="no publisher `bib`") as caught:
        set_trusted(home, "team", True, publisher="bib")
    assert "`bob`" in caught.value.hint


def test_a_no_is_no_and_a_yes_is_kept(home: Home, registry: Path, alice: Signer) -> None:
    add(home, str(registry), name="team")
    asked: list[list[Unknown]] = []

    def answer(yes: bool) -> Session:
        session = Session(home)
        session.ask = lambda unknown: asked.append(list(unknown)) or yes
        return session

    with pytest.raises(UsageError):
        answer(False).require_trust([A])
    answer(True).require_trust([A])
    answer(False).require_trust([A])
    assert len(asked) == 2, "nobody is asked again after a yes"
    (entry,) = asked[0]
    assert (entry.repository, entry.publisher, entry.key) == ("team", "alice", alice.id)
    assert entry.components == ("program:a@1.0.0",)
    assert sources(home)[0].publishers == (alice.id,)


def test_detectors_of_those_who_are_not_trusted_stay_out(
    home: Home, registry: Path, source: Path, alice: Signer, tmp_path: Path
) -> None:
    bob = signer(tmp_path / "keys", "bob")
    put(source, "mine", **SOFT)
    make(source, registry, alice)

    def admit(shop: library.Workshop) -> None:
        shop.root = library.with_publisher(shop.root, "bob", {bob.id: bob.public})

    library.edit(registry, [alice], admit)
    put(source, "theirs", **SOFT)
    library.publish(source, registry, signer=bob, publisher="bob", root_signer=alice)
    add(home, str(registry), name="team")

    def found() -> list[str]:
        return [c.name for c in Session(home).usable.detectors("tool.example")]

    assert found() == []
    assert len(Session(home).index.detectors("tool.example")) == 2, "they are shown all the same"
    set_trusted(home, "team", True, publisher="alice")
    assert found() == ["mine"]
    set_trusted(home, "team", True)
    assert found() == ["mine", "theirs"]
    assert "tool.example" in Session(home).usable.capabilities()


def test_a_new_key_that_the_old_one_names_is_followed(
    home: Home, registry: Path, source: Path, alice: Signer, tmp_path: Path
) -> None:
    add(home, str(registry), name="team", trusted=True)
    new = signer(tmp_path / "keys", "new")
    library.edit(registry, [alice, new], lambda shop: library.rotate(shop, alice, new))
    update(home)
    assert set(sources(home)[0].keys) == set(sources(home)[0].publishers) == {alice.id, new.id}
    # From now on the new one alone signs; then the old one is revoked and its versions are signed anew.
    put(source, "b")
    library.publish(source, registry, signer=new, publisher="alice")
    update(home)
    assert refused(home, A, B) is None
    library.edit(registry, [new], lambda shop: library.revoke(shop, alice.id, "laptop lost", new) and None)
    assert library.inspect(registry)[1] == []
    update(home)
    assert sources(home)[0].keys == sources(home)[0].publishers == (new.id,)
    index = index_of(home)
    assert [c.published.key for c in index.versions("program", "a") if c.published] == [new.id]
    assert refused(home, A, B) is None


def test_what_a_revoked_key_has_signed_is_left_out(home: Home, registry: Path, alice: Signer, tmp_path: Path) -> None:
    add(home, str(registry), name="team", trusted=True)
    assert index_of(home).versions("program", "a")
    new = signer(tmp_path / "keys", "new")
    with pytest.raises(UsageError, match="is the only key of the registry"):
        library.edit(registry, [alice], lambda shop: library.revoke(shop, alice.id, "lost") and None)
    library.edit(registry, [alice, new], lambda shop: library.rotate(shop, alice, new))
    update(home)
    library.edit(registry, [new], lambda shop: library.revoke(shop, alice.id, "laptop\x1b[2J lost") and None)
    update(home)
    index = index_of(home)
    assert index.versions("program", "a") == ()
    assert ["was revoked: laptop [2J lost" in broken.error.message for broken in index.broken] == [True]


def test_one_who_missed_the_change_before_the_old_key_was_revoked_is_told(
    home: Home, registry: Path, alice: Signer, tmp_path: Path
) -> None:
    """A thief of the old key could have named a key too, so what it says counts no more."""
    add(home, str(registry), name="team", trusted=True)
    new = signer(tmp_path / "keys", "new")
    library.edit(registry, [alice, new], lambda shop: library.rotate(shop, alice, new))
    library.edit(registry, [new], lambda shop: library.revoke(shop, alice.id, "lost", new) and None)
    with pytest.raises(IntegrityError, match="not by a key you trust") as caught:
        update(home)
    assert "--key IDENTITY" in caught.value.hint
    with pytest.raises(UsageError, match="no identity of a key"):
        set_trusted(home, "team", True, key="ed25519:abc")
    set_trusted(home, "team", True, key=new.id)
    update(home)
    assert sources(home)[0].keys == (new.id,)
    assert refused(home, A) is not None, "who may sign the registry is one thing, whose code may run another"


def test_a_key_can_be_asked_for_when_a_registry_is_added(home: Home, registry: Path, alice: Signer) -> None:
    for wanted in ("ed25519:" + "0" * 64, "0" * 16, alice.id[8:20]):
        with pytest.raises(IntegrityError, match="is not signed by"):
            add(home, str(registry), name="team", key=wanted)
    assert not (home.repos / "team").exists()
    assert add(home, str(registry), name="team", key=alice.id[:24]).keys == (alice.id,)


def test_a_public_key_under_another_identity_is_refused(home: Home, registry: Path, alice: Signer) -> None:
    root = layout.read_root((registry / "registry.json").read_bytes(), "r")
    document = {**root.document(), "keys": {"ed25519:" + "0" * 64: alice.public}}
    whole = {"signed": document, "signatures": [{**alice.sign(document), "key": "ed25519:" + "0" * 64}]}
    (registry / "registry.json").write_text(json.dumps(whole))
    with pytest.raises(IntegrityError, match="is listed as"):
        add(home, str(registry), name="team")


def test_publishers_and_keys_belong_to_registries(home: Home, source: Path) -> None:
    add(home, str(source), name="team")
    for more in ({"publisher": "alice"}, {"key": "ed25519:" + "0" * 64}):
        with pytest.raises(UsageError, match="is no registry"):
            set_trusted(home, "team", True, **more)


# -- the command line ----------------------------------------------------------------------------------------


def cr(home: Home, *arguments: str, check: bool = True, **more: str) -> subprocess.CompletedProcess[str]:
    """Run `cr` without a terminal."""
    done = subprocess.run(
        [sys.executable, "-m", "codereef", *arguments],
        env={**os.environ, "CR_HOME": str(home.root), **more},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert not check or done.returncode == 0, done.stderr
    return done


def on_terminal(home: Home, arguments: list[str], answer: str) -> tuple[int, str]:
    """Run `cr` on a terminal and answer what it asks; return the exit code and all that it wrote."""
    own, other = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "codereef", *arguments],
        env={**os.environ, "CR_HOME": str(home.root), "TERM": "dumb", "COLUMNS": "200"},
        stdin=other,
        stdout=other,
        stderr=other,
        start_new_session=True,
    )
    os.close(other)
    said, answered, agreed, end = "", False, 0, time.monotonic() + 60
    while time.monotonic() < end:
        if select.select([own], [], [], 0.1)[0]:
            try:
                piece = os.read(own, 65536)
            except OSError:
                break
            if not piece:
                break
            said += piece.decode()
        if said.count("[Y/n]") > agreed:
            os.write(own, b"y\n")
            agreed += 1
        if not answered and "[y/N]" in said:
            os.write(own, answer.encode() + b"\n")
            answered = True
    os.close(own)
    return process.wait(5), said


@pytest.mark.slow
@pytest.mark.parametrize(("answer", "trusted"), [("y", True), ("", False)])
def test_adding_on_a_terminal_asks_once(home: Home, registry: Path, alice: Signer, answer: str, trusted: bool) -> None:
    code, said = on_terminal(home, ["repo", "add", str(registry), "--name", "team"], answer)
    assert code == 0
    assert said.count("[y/N]") == 1
    assert "Do you trust alice in `team`?" in said
    assert alice.id in said
    assert sources(home)[0].trusted is trusted


@pytest.mark.slow
def test_adding_without_a_terminal_asks_nothing_and_trusts_nobody(home: Home, registry: Path, alice: Signer) -> None:
    done = cr(home, "repo", "add", str(registry), "--name", "team")
    assert alice.id in done.stdout
    assert "`cr repo trust team`" in done.stderr
    data = json.loads(cr(home, "repo", "list", "--json").stdout)["repositories"][0]
    assert (data["kind"], data["trusted"], data["keys"]) == ("registry", False, [alice.id])
    assert data["publishers"] == {"alice": {"keys": [alice.id], "trusted": False}}
    assert data["updated"] != ""
    listed = cr(home, "repo", "list").stdout
    assert [word in listed for word in ("registry", alice.id[:24], "embedded")] == [True] * 3
    cr(home, "repo", "trust", "team", "--publisher", "alice")
    assert sources(home)[0].publishers == (alice.id,)


@pytest.mark.slow
def test_the_whole_way_on_the_command_line(home: Home, source: Path, tmp_path: Path) -> None:
    made = json.loads(cr(home, "key", "new", "me", "--passphrase", "--json", CR_KEY_PASSPHRASE="secret").stdout)
    publish = ["registry", "publish", str(source), "--to", str(tmp_path / "r"), "--key", "me", "--publisher", "al"]
    failed = cr(home, *publish, check=False)
    assert failed.returncode == 2
    assert "no terminal" in failed.stderr
    done = cr(home, *publish, CR_KEY_PASSPHRASE="secret")
    assert "published program:a@1.0.0" in done.stdout
    cr(home, "repo", "add", str(tmp_path / "r"), "--name", "team", "--key", made["id"][:24])
    shown = cr(home, "show", "program:a").stdout
    assert "by al" in shown
    assert made["id"] in shown
    document = json.loads(cr(home, "show", "program:a", "--json").stdout)
    assert (document["published"]["publisher"], document["folder"]) == ("al", None)
    assert not (home.repos / "team" / "components").exists(), "showing fetches no archive"
    command = ["registry", "yank", "program:a@1.0.0", "--in", str(tmp_path / "r"), "--reason", "wrong", "--key", "me"]
    cr(home, *command, CR_KEY_PASSPHRASE="secret")
    assert "updated" in cr(home, "repo", "update").stdout
    assert "withdrawn: wrong" in cr(home, "versions", "program:a").stdout
    assert "was withdrawn: wrong" in cr(home, "show", "program:a", check=False).stderr
    said = "".join(
        part for path in home.root.rglob("*") if path.is_file() for part in [path.read_bytes().decode("latin-1")]
    )
    assert "secret" not in said


@pytest.mark.slow
def test_init_asks_whose_code_would_run_and_yes_to_the_plan_is_no_trust(
    home: Home, alice: Signer, tmp_path: Path
) -> None:
    """The client's own components, published by somebody else: they win over the embedded ones."""
    library.create(tmp_path / "r", "team", alice, "alice")
    for folder in REPOSITORY_FOLDERS:
        library.publish(data_root() / folder, tmp_path / "r", signer=alice, publisher="alice")
    cr(home, "repo", "add", str(tmp_path / "r"), "--name", "team")
    command = ["init", "demo-object-detection", "-C", str(tmp_path / "work")]
    done = cr(home, *command, "-y", check=False)
    assert done.returncode == 2
    assert "have not trusted `alice` of the repository `team`" in done.stderr
    assert alice.id in done.stderr
    assert not (tmp_path / "work" / "demo-object-detection").exists(), "nothing was written"
    code, said = on_terminal(home, [*command, "-y"], "y")
    assert (code, said.count("[y/N]")) == (2, 0)
    code, said = on_terminal(home, command, "n")
    assert (code, said.count("[y/N]")) == (2, 1)
    assert "program:object-detection@" in said
    assert sources(home)[0].trusted is False
