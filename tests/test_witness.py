# SPDX-License-Identifier: Apache-2.0
"""What an answer was made from: every kind of change shows, and what cannot be relied on is not kept."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from codereef.witness import Recorder, doubt, looked, recording, unchanged


def settle() -> None:
    """Wait until what is written from now on cannot bear the time of what was written before."""
    time.sleep(0.03)


def _truncated(file: Path) -> None:
    file.write_bytes(b"sam\n")


def _same_size_and_date(file: Path) -> None:
    before = file.stat()
    file.write_bytes(b"SAME\n")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def _replaced_with_its_date(file: Path) -> None:
    before = file.stat()
    beside = file.with_name("beside")
    beside.write_bytes(file.read_bytes())
    os.utime(beside, ns=(before.st_atime_ns, before.st_mtime_ns))
    beside.replace(file)


def _folder_in_its_place(file: Path) -> None:
    file.unlink()
    file.mkdir()


@pytest.mark.parametrize(
    "change",
    [
        _truncated,
        _same_size_and_date,
        _replaced_with_its_date,
        _folder_in_its_place,
        Path.unlink,
        lambda file: file.chmod(0o755),
    ],
)
def test_every_change_of_a_file_shows(tmp_path: Path, change: Callable[[Path], None]) -> None:
    file = tmp_path / "folder" / "file"
    file.parent.mkdir()
    file.write_bytes(b"same\n")
    settle()
    with Recorder() as recorder:
        looked(str(file))
    lines = recorder.lines()
    assert lines and unchanged(lines)
    change(file)
    assert not unchanged(lines)


def test_a_name_that_appears_or_goes_shows_in_its_folder_and_where_it_was_looked_for(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    settle()
    with Recorder() as recorder:
        looked(str(tmp_path))
    with Recorder() as absent:
        looked(str(tmp_path / "b"))
        looked(str(tmp_path / "b" / "c"))
    lines, missing = recorder.lines(), absent.lines()
    assert lines and missing and unchanged(lines) and unchanged(missing)
    (tmp_path / "b").mkdir()
    assert not unchanged(lines) and not unchanged(missing)


def test_a_link_that_leads_elsewhere_shows(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).write_text("the same")
    (tmp_path / "link").symlink_to("one")
    settle()
    with Recorder() as recorder:
        looked(str(tmp_path / "link"))
    lines = recorder.lines()
    assert lines and unchanged(lines)
    (tmp_path / "link").unlink()
    (tmp_path / "link").symlink_to("two")
    assert not unchanged(lines)


def test_what_was_written_a_moment_ago_proves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with Recorder() as recorder:
        looked(str(tmp_path / "file"))
    assert recorder.lines() is None


def test_a_time_in_whole_seconds_must_be_older_for_such_clocks_tick_slowly(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    settle()
    for age, proves in ((0, False), (5, True)):
        second = (int(time.time()) - age) * 1_000_000_000
        os.utime(file, ns=(second, second))
        settle()
        with Recorder() as recorder:
            looked(str(file))
        assert (recorder.lines() is not None) == proves


def test_the_first_look_counts_and_a_change_after_it_shows(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("a")
    settle()
    with Recorder() as recorder:
        looked(str(file))
        file.write_text("b")
        looked(str(file))
    lines = recorder.lines()
    assert lines and not unchanged(lines)


def test_doubt_and_what_cannot_be_written_down_keep_nothing(tmp_path: Path) -> None:
    settle()
    for path in ("relative", f"{tmp_path}/two\nlines", f"{tmp_path}/nul\0"):
        with Recorder() as recorder:
            looked(path)
        assert recorder.lines() is None
    with Recorder() as recorder:
        doubt()
    assert recorder.lines() is None


def test_nothing_is_noted_while_no_recorder_is_open_and_it_goes_on_when_opened_again(tmp_path: Path) -> None:
    settle()
    recorder = Recorder()
    with recorder:
        looked(str(tmp_path / "a"))
        assert recording()
    looked(str(tmp_path / "b"))
    assert not recording()
    with recorder:
        looked(str(tmp_path / "c"))
    assert recorder.lines() == [f"- {tmp_path / 'a'}", f"- {tmp_path / 'c'}"]


def test_it_imports_nothing_that_an_interpreter_does_not_have_from_its_start() -> None:
    code = "import sys; before = set(sys.modules); import codereef.witness; print(sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['__future__', 'codereef', 'codereef.witness']"
