# SPDX-License-Identifier: Apache-2.0
"""What a person sees of long work: totals, rates and the time left; and what a log or a program sees."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys

import pytest
from codereef.cli.progress import SHOWN, Board, Rate, left

MB = 1_000_000


def board() -> Board:
    made = Board()
    made.expect(3, 30 * MB)
    made.start("a", 20 * MB, "model.onnx", 0.0)
    made.start("b", 8 * MB, "images.tar", 0.0)
    return made


def test_a_line_for_all_and_one_for_each_with_rate_and_time_left() -> None:
    made = board()
    for second in range(1, 5):
        made.advance("a", 2 * MB, float(second))
        made.advance("b", 1 * MB, float(second))
    head, first, second_line = made.lines(100, 4.0)
    assert head == "0 of 3 done  12.0 MB of 30.0 MB  3.0 MB/s  6 s left"
    assert first == "  model.onnx  8.0 MB of 20.0 MB  2.0 MB/s  6 s left"
    assert second_line == "  images.tar  4.0 MB of 8.0 MB  1.0 MB/s  4 s left"


def test_what_is_still_to_come_counts_in_the_total_once() -> None:
    made = board()
    made.finish("a", 1.0)
    made.start("c", 2 * MB, "labels.txt", 1.0)
    assert made.total == 30 * MB
    assert made.lines(100, 1.0)[0].startswith("1 of 3 done")


def test_a_transfer_that_starts_over_takes_its_bytes_back() -> None:
    made = board()
    made.advance("a", 5 * MB, 1.0)
    made.advance("a", -5 * MB, 2.0)
    assert made.lines(100, 2.0)[1] == "  model.onnx  0 B of 20.0 MB"


def test_the_next_work_counts_from_the_beginning() -> None:
    made = board()
    for task in ("a", "b"):
        made.finish(task, 1.0)
    made.start("c", 2 * MB, "labels.txt", 1.0)
    made.finish("c", 2.0)
    assert made.lines(80, 2.0) == []
    made.start("d", 5 * MB, "other", 9.0)
    assert made.lines(80, 9.0) == ["other  0 B of 5.0 MB"]


@pytest.mark.parametrize("width", [12, 24, 48, 77, 117])
def test_no_line_is_wider_than_the_terminal_and_the_amount_stays(width: int) -> None:
    made = Board()
    made.expect(9, 90 * MB)
    for number in range(9):
        made.start(str(number), 10 * MB, f"a-very-long-name-of-a-file-with-a-number-{number}.tflite", 0.0)
        made.advance(str(number), MB, 2.0)
    lines = made.lines(width, 2.0)
    assert all(len(line) <= width for line in lines)
    assert len(lines) == SHOWN + 2 and lines[-1].strip() == "and 5 more"[: width - 2]
    if width >= 24:
        assert "MB" in lines[1]


def test_work_of_unknown_size_shows_a_clock_and_no_invented_number() -> None:
    made = Board()
    made.start("x", None, "Python packages", 0.0)
    assert made.lines(80, 0.4) == ["Python packages"]
    assert made.lines(80, 12.3) == ["Python packages  (12 s)"]


def test_a_rate_forgets_what_is_long_ago() -> None:
    rate = Rate(0.0)
    rate.add(100 * MB, 1.0)
    for second in range(2, 20):
        rate.add(MB, float(second))
    found = rate.at(19.0)
    assert found is not None and 0.9 * MB < found < 1.3 * MB
    assert Rate(0.0).at(5.0) is None


def test_times_are_told_as_people_say_them() -> None:
    assert [left(s) for s in (0.2, 59.6, 300, 9000)] == ["1 s left", "60 s left", "5 min left", "2.5 h left"]


QUESTION = """
import sys, time
from codereef.cli.progress import TICK, TerminalProgress
progress = TerminalProgress()
progress.start("a", 10, "file-a")
progress.finish("a")
sys.stderr.write("Go on? ")
sys.stderr.flush()
time.sleep(TICK + 0.2)
"""


def test_a_question_is_left_alone_while_nothing_goes_on() -> None:
    assert screen(run_on_terminal("text", 60, QUESTION)) == ["Go on?"]


SCRIPT = """
import sys, time
from codereef.cli.progress import TerminalProgress
progress = TerminalProgress(silent=sys.argv[1] == "json")
progress.expect(2, 3_000_000)
for task, size in (("a", 2_000_000), ("b", 1_000_000)):
    progress.start(task, size, "file-" + task)
progress.advance("a", 2_000_000)
progress.note("a mirror lied")
for task in "ab":
    progress.finish(task)
progress.close()
print("the answer")
"""


def run_on_terminal(mode: str, columns: int, script: str = "") -> str:
    """Return what a real terminal of so many columns gets."""
    reader, writer = pty.openpty()
    import fcntl
    import struct
    import termios

    fcntl.ioctl(writer, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-c", script or SCRIPT, mode],
        stdin=writer,
        stdout=writer,
        stderr=writer,
        env={**{k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES")}, "TERM": "xterm"},
    )
    os.close(writer)
    text = b""
    while True:
        try:
            piece = os.read(reader, 65536)
        except OSError:
            break
        if not piece:
            break
        text += piece
    process.wait(10)
    os.close(reader)
    return text.decode()


def screen(text: str) -> list[str]:
    """Return the lines a terminal shows at the end, obeying what we send: CR, LF, up and clear to the end."""
    rows: list[str] = [""]
    row = column = 0
    for part in re.findall(r"\x1b\[[A-Z]|\r|\n|[^\x1b\r\n]+", text):
        if part == "\x1b[A":
            row = max(0, row - 1)
        elif part == "\x1b[K":
            rows[row] = rows[row][:column]
        elif part == "\r":
            column = 0
        elif part == "\n":
            row += 1
            if row == len(rows):
                rows.append("")
        else:
            rows[row] = rows[row][:column].ljust(column) + part + rows[row][column + len(part) :]
            column += len(part)
    return [line.rstrip() for line in rows if line.strip()]


def test_a_terminal_is_left_with_notes_and_answers_only() -> None:
    text = run_on_terminal("text", 60)
    assert "1 of 2 done" in text and "3.0 MB" in text
    assert screen(text) == ["  a mirror lied", "the answer"]


def test_with_json_nothing_is_shown_not_even_on_a_terminal() -> None:
    assert run_on_terminal("json", 60).split() == ["the", "answer"]


def test_a_log_names_each_task_once_and_has_no_control_signs() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT, "text"], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines() == [
        "  2 files, 3.0 MB",
        "  file-a (2.0 MB)",
        "  file-b (1.0 MB)",
        "  a mirror lied",
    ]
    assert done.stdout == "the answer\n"
