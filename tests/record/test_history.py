# SPDX-License-Identifier: Apache-2.0
"""The local history: identities, kills, damage, and how a result is named."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from codereef.errors import IntegrityError, MetadataError, NotFoundError, UsageError
from codereef.record.history import History, load_result_file, result_id

from tests.conftest import ROOT
from tests.record.results import document, result


def test_a_result_is_named_by_its_content(tmp_path: Path) -> None:
    kept = result(tmp_path)
    file = tmp_path / f"{kept.id}.json"
    assert hashlib.sha256(file.read_bytes()).hexdigest() == kept.id == result_id(document())
    assert json.loads(file.read_bytes()) == document()
    assert kept.short == kept.id[:12]


def test_the_order_of_keys_does_not_matter_and_every_value_does() -> None:
    turned = dict(reversed(list(document().items())))
    assert result_id(turned) == result_id(document())
    assert result_id(document(warnings=["x"])) != result_id(document())


def test_adding_twice_keeps_one(tmp_path: Path) -> None:
    assert result(tmp_path).id == result(tmp_path).id
    assert len(list(tmp_path.iterdir())) == 1


def test_a_damaged_file_is_mended_by_adding_the_result_again(tmp_path: Path) -> None:
    kept = result(tmp_path)
    (tmp_path / f"{kept.id}.json").write_text("{")
    assert History(tmp_path).damaged()
    result(tmp_path)
    assert History(tmp_path).damaged() == []


def test_what_is_no_result_is_not_kept(tmp_path: Path) -> None:
    with pytest.raises(MetadataError, match=r"\$: unknown key `hostname`"):
        result(tmp_path, hostname="x")
    with pytest.raises(MetadataError, match=r"\$\.status: found \"great\""):
        result(tmp_path, status="great")
    assert not list(tmp_path.iterdir())


def test_results_come_oldest_first_by_when_they_began_and_ended(tmp_path: Path) -> None:
    times = [
        ("2026-01-02T00:00:00Z", "2026-01-02T00:00:09Z"),
        ("2026-01-01T00:00:00Z", "2026-01-03T00:00:00Z"),
        ("2026-01-02T00:00:00Z", "2026-01-02T00:00:05Z"),
    ]
    for started, ended in times:
        result(tmp_path, started_at=started, ended_at=ended)
    found = [(r.document["started_at"], r.document["ended_at"]) for r in History(tmp_path).all()]
    assert found == [times[1], times[2], times[0]]
    assert History(tmp_path).find("latest").document["ended_at"] == times[0][1]


@pytest.mark.parametrize("damage", ["cut", "empty", "other content", "no json", "no result", "a list", "newer"])
def test_a_damaged_file_is_left_out_and_listed(tmp_path: Path, damage: str) -> None:
    good, bad = result(tmp_path), result(tmp_path, warnings=["other"])
    path = tmp_path / f"{bad.id}.json"
    data = path.read_bytes()
    if damage in ("cut", "empty", "other content"):
        path.write_bytes({"cut": data[:-40], "empty": b"", "other content": data.replace(b"other", b"OTHER")}[damage])
    else:
        content = {"no json": b"{", "no result": b"{}", "a list": b"[]", "newer": b'{"format": "codereef-result/2"}'}[
            damage
        ]
        path.unlink()
        path = tmp_path / f"{hashlib.sha256(content).hexdigest()}.json"
        path.write_bytes(content)
    history = History(tmp_path)
    assert [r.id for r in history.all()] == [good.id]
    assert history.damaged() == [path]
    with pytest.raises((IntegrityError, MetadataError)):
        history.find(path.stem)
    assert history.find(good.short).id == good.id


def test_other_files_in_the_folder_do_no_harm(tmp_path: Path) -> None:
    kept = result(tmp_path)
    for name in ("notes.txt", ".x.json.tmp", "a.json", "A" * 64 + ".json"):
        (tmp_path / name).write_text("{")
    assert [r.id for r in History(tmp_path).all()] == [kept.id]
    assert History(tmp_path).damaged() == []


def test_a_result_is_found_by_its_beginning_or_file(tmp_path: Path) -> None:
    kept = result(tmp_path)
    history = History(tmp_path)
    for text in (kept.id, kept.short, kept.id[:4], kept.id[:9].upper(), str(tmp_path / f"{kept.id}.json")):
        assert history.find(text).id == kept.id
    sent = tmp_path / "sent.json"
    sent.write_text(json.dumps(document(), indent=4))
    assert history.find(str(sent)).id == kept.id, "the identity does not depend on blanks"


@pytest.mark.parametrize("text", ["abc", "xyz", "", "ffffffffffff", "../secret", "none.json"])
def test_a_result_that_is_not_here_is_told(tmp_path: Path, text: str) -> None:
    with pytest.raises(NotFoundError, match="There is no result"):
        History(tmp_path).find(text)


def test_no_result_yet_is_told_with_the_command_that_makes_one(tmp_path: Path) -> None:
    assert list(History(tmp_path / "none").all()) == []
    with pytest.raises(NotFoundError, match="no result yet") as caught:
        History(tmp_path / "none").find("latest")
    assert "cr benchmark" in caught.value.hint


def test_a_beginning_of_several_results_is_refused(tmp_path: Path) -> None:
    history, seen, number = History(tmp_path), set(), 0
    while True:
        number += 1
        prefix = result_id(document(warnings=[str(number)]))[:4]
        if prefix in seen:
            break
        seen.add(prefix)
    twins = [str(i) for i in range(1, number + 1) if result_id(document(warnings=[str(i)])).startswith(prefix)]
    for twin in twins:
        result(tmp_path, warnings=[twin])
    with pytest.raises(UsageError, match="is the beginning of 2 results"):
        history.find(prefix)


def test_a_file_with_the_identity_that_is_printed_is_read_and_a_changed_one_is_refused(tmp_path: Path) -> None:
    printed = tmp_path / "sent.json"
    printed.write_text(json.dumps({"id": result_id(document()), **document()}, indent=2))
    assert load_result_file(printed).document == document()
    printed.write_text(json.dumps({"id": result_id(document()), **document(warnings=["x"])}))
    with pytest.raises(IntegrityError, match=r"sent\.json says that it is result"):
        load_result_file(printed)


def test_a_file_that_is_no_result_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(MetadataError, match="missing key"):
        load_result_file(tmp_path / "x.json")


WRITER = """
import sys, pathlib
from codereef.record.history import History
from tests.record.results import document
history = History(pathlib.Path(sys.argv[1]))
print("ready", flush=True)
number = 0
while True:
    number += 1
    history.add(document([0.01] * 20000, warnings=[str(number)]))
"""


@pytest.mark.slow
def test_a_kill_at_any_moment_leaves_only_sound_results(tmp_path: Path) -> None:
    rng, last = random.Random(7), 0
    for _ in range(4):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path)],
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(0.1 + rng.random() * 0.15)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        history = History(tmp_path)
        assert history.damaged() == []
        count = len(list(history.all()))
        assert count >= last, "nothing that was kept is lost"
        last = count
    assert last > 0
    assert result(tmp_path).id in {r.id for r in History(tmp_path).all()}, "a clean second try"
