# SPDX-License-Identifier: Apache-2.0
"""Files written whole, the encodings of identities, the client's folder and its settings."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from codereef import config, embedded
from codereef.canonical import canonical_json, digest_of, pretty_json, sha256_file
from codereef.disk import storage_error, write_atomic
from codereef.errors import MetadataError, StorageError, UsageError
from codereef.home import Home
from hypothesis import given
from hypothesis import strategies as st

documents = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(documents)
def test_canonical_json_reads_back_and_is_one_of_a_kind(document: Any) -> None:
    data = canonical_json(document)
    assert json.loads(data) == document
    assert canonical_json(json.loads(data)) == data
    assert json.loads(pretty_json(document)) == document


def test_canonical_json_is_what_is_promised() -> None:
    assert canonical_json({"b": [1, 2.5, None], "a": "ä\n"}) == '{"a":"ä\\n","b":[1,2.5,null]}'.encode()
    assert digest_of({"a": 1}) == "sha256:" + hashlib.sha256(b'{"a":1}').hexdigest()
    assert pretty_json({"b": 1, "a": []}) == '{\n  "a": [],\n  "b": 1\n}\n'
    for number in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="not JSON compliant"):
            canonical_json({"a": number})


def test_a_large_file_is_hashed_in_pieces(tmp_path: Path) -> None:
    data = os.urandom(3 * (1 << 20) + 17)
    (tmp_path / "f").write_bytes(data)
    assert sha256_file(tmp_path / "f") == hashlib.sha256(data).hexdigest()


def test_a_file_is_written_with_its_folders_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file"
    write_atomic(path, "text ä")
    assert path.read_text(encoding="utf-8") == "text ä"
    write_atomic(path, b"\x00\xff")
    assert path.read_bytes() == b"\x00\xff"
    assert [entry.name for entry in path.parent.iterdir()] == ["file"]
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="Could not write it to ") as caught:
        write_atomic(tmp_path / "file" / "x", b"", "it")
    assert caught.value.hint
    (tmp_path / "folder").mkdir()
    with pytest.raises(StorageError):
        write_atomic(tmp_path / "folder", b"")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["file", "folder"], "nothing half written stays"


@pytest.mark.parametrize(
    ("number", "reason", "hint"),
    [
        (errno.ENOSPC, "the disk is full", "Free some space"),
        (errno.EDQUOT, "quota is used up", "Free some space"),
        (errno.EACCES, "permission is denied", "writable for you"),
        (errno.EROFS, "read-only", "CR_HOME"),
        (errno.EIO, "input/output error", "system log"),
    ],
)
def test_an_error_of_the_system_is_put_into_words(number: int, reason: str, hint: str) -> None:
    error = storage_error(OSError(number, os.strerror(number)), "the lock", Path("x"))
    assert error is not None
    assert "the lock" in error.message and reason in error.message and hint in error.hint
    assert error.context["path"] == "x" and error.context["errno"] == errno.errorcode[number]


WRITER = """
import sys, pathlib
from codereef.disk import write_atomic
path, number = pathlib.Path(sys.argv[1]), 0
while True:
    number += 1
    write_atomic(path, (b"%d\\n" % number) * 50_000)
    if number == 1: print("ready", flush=True)
"""


def test_a_kill_leaves_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for _ in range(3):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE)
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(0.05)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        lines = path.read_bytes().splitlines()
        assert len(lines) == 50_000
        assert len(set(lines)) == 1


def test_home_is_where_the_user_says_or_where_data_belongs(tmp_path: Path) -> None:
    assert Home.default({"CR_HOME": "/x/y"}).root == Path("/x/y")
    assert Home.default({"CR_HOME": "", "XDG_DATA_HOME": "/data"}).root == Path("/data/codereef")
    assert Home.default({}).root == Path.home() / ".local" / "share" / "codereef"
    assert Home.default({"CR_HOME": "rel"}).root == Path("rel").absolute()
    assert Home.default({"CR_HOME": "~/x"}).root == Path.home() / "x"
    home = Home(tmp_path)
    places = [home.config, home.store, home.results, home.queue, home.repos, home.cache, home.portal]
    assert len(set(places)) == 7
    assert all(place.parent == tmp_path for place in places)


def test_the_data_that_is_shipped_is_where_it_is_looked_for() -> None:
    assert (embedded.data_root() / "schemas" / "lock.json").is_file()
    assert all((embedded.data_root() / folder).is_dir() for folder in embedded.REPOSITORY_FOLDERS)
    assert (embedded.package_root() / "bench").is_dir()


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def test_the_environment_wins_over_the_file_and_that_over_the_default(home: Home) -> None:
    assert config.effective(home, {})["jobs"] == (8, "default")
    assert config.store_value(home, "jobs", "3") == 3
    assert config.effective(home, {})["jobs"] == (3, "config.json")
    assert config.effective(home, {"CR_JOBS": "5"})["jobs"] == (5, "environment (CR_JOBS)")
    assert config.store_value(home, "jobs", None) == 8
    assert config.effective(home, {})["jobs"] == (8, "default")


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("mirrors", "/a, https://b ,", ["/a", "https://b"]),
        ("mirrors", "", []),
        ("offline", "yes", True),
        ("offline", "0", False),
        ("offline", "", False),
        ("jobs", "1", 1),
        ("timeout", "2.5", 2.5),
        ("retries", "0", 0),
        ("portal", "http://x", "http://x"),
        ("offline", "TRUE", True),
    ],
)
def test_a_setting_has_its_type_from_both_sources(home: Home, name: str, text: str, value: object) -> None:
    assert config.effective(home, {config.key_named(name).variable: text})[name][0] == value
    assert config.store_value(home, name, text) == value
    assert config.effective(home, {})[name][0] == value


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("jobs", "many", "`many` is not a whole number"),
        ("jobs", "0", "0 is too small; the least is 1"),
        ("jobs", "1.5", "not a whole number"),
        ("timeout", "soon", "not a number"),
        ("timeout", "0", "too small"),
        ("timeout", "nan", "not a number"),
        ("retries", "-1", "too small"),
        ("offline", "maybe", "not true or false"),
    ],
)
def test_a_wrong_value_is_refused_and_nothing_is_stored(home: Home, name: str, text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        config.store_value(home, name, text)
    assert message in caught.value.message
    assert not home.config.exists()
    with pytest.raises(UsageError, match=config.key_named(name).variable):
        config.effective(home, {config.key_named(name).variable: text})


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        ({"jobs": "x"}, "not a whole number"),
        ({"jobs": True}, "not a whole number"),
        ({"jobs": 2.5}, "not a whole number"),
        ({"timeout": []}, "not a number"),
    ],
)
def test_a_wrong_value_in_the_file_is_told_with_the_file(home: Home, stored: dict[str, Any], message: str) -> None:
    home.config.write_text(json.dumps(stored))
    with pytest.raises(UsageError) as caught:
        config.effective(home, {})
    assert message in caught.value.message
    assert "config.json" in caught.value.message


def test_an_unknown_setting_gets_the_nearest(home: Home) -> None:
    for call in (lambda: config.value(home, "mirors"), lambda: config.store_value(home, "mirors", "x")):
        with pytest.raises(UsageError) as caught:
            call()
        assert caught.value.hint == "Did you mean `mirrors`?"


@pytest.mark.parametrize("damage", ["", "{", "[]", "3"])
def test_damaged_settings_are_told(home: Home, damage: str) -> None:
    home.config.write_text(damage)
    with pytest.raises(MetadataError, match="settings at") as caught:
        config.effective(home, {})
    assert caught.value.hint
