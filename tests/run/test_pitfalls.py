# SPDX-License-Identifier: Apache-2.0
"""A document of mistakes is made of what a program writes, or an error says why there is none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from codereef.errors import CancelledError, OptionError, RunError
from codereef.home import Home
from codereef.meta.schemas import problems
from codereef.run.pitfalls import Wanted, find_pitfalls

from tests.run.test_measure import METRIC, OPTIONS, REFUSE, WRITE, world

LIMIT = {"accuracy_limit": {"type": "integer", "default": 7, "minimum": 0, "summary": "Images."}}
SHARE = {**METRIC, "unit": "", "direction": "higher", "value": 0.5}
ROW = {"name": "bgr-for-rgb", "summary": "No.", "side": "input", "stage": "decode", "steps": [[{"decode": {}}]]}
FOUND = {
    "images": 3,
    "of": 4,
    "metric": "top1",
    "metrics": {"top1": SHARE},
    "pitfalls": [
        {**ROW, "metrics": {"top1": SHARE}, "change": {"top1": SHARE}, "agreement": SHARE, "tensors": SHARE, "same_tensors": 0},
        {**ROW, "name": "no-crop", "error": "cannot open /home/joe/x/y.png"},
    ],
}  # fmt: skip


def pitfalls(tmp_path: Path, code: str, images: int = 0, timeout: float | None = None) -> dict[str, Any]:
    lock, index, installed = world(tmp_path, code, {**OPTIONS, **LIMIT})
    wanted = Wanted(images, {"note": "x"}, timeout)
    return find_pitfalls(lock, lock.configurations[0], index, installed, Home(tmp_path / "home"), wanted)


def writing(found: Any) -> str:
    return f"(out / 'pitfalls.json').write_text(json.dumps({found!r}))\n" + WRITE


def test_what_the_program_found_becomes_a_document(tmp_path: Path) -> None:
    document = pitfalls(tmp_path, writing(FOUND), 3)
    assert problems(json.loads(json.dumps(document)), "pitfalls") == []
    assert (document["format"], document["images"], document["metric"]) == ("codereef-pitfalls/1", 3, "top1")
    assert document["options"] == {"threads": 2, "note": "x", "accuracy_limit": 3}
    assert document["pitfalls"][1]["error"] == "cannot open …/y.png"
    assert "joe" not in json.dumps(document)


def test_without_a_number_of_images_the_program_decides_by_the_clock(tmp_path: Path) -> None:
    assert pitfalls(tmp_path, writing(FOUND))["options"]["accuracy_limit"] == 0


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (WRITE, "measures no mistakes"),
        (writing([]), "measures no mistakes"),
        (writing({**FOUND, "images": 0}), r"does not follow the pitfalls schema: \$\.images"),
        (writing({key: value for key, value in FOUND.items() if key != "pitfalls"}), "pitfalls"),
        (writing(FOUND) + "sys.exit(3)", "ended with exit code 3"),
        ("os.abort()", "SIGABRT"),
    ],
)
def test_a_program_that_fails_or_knows_no_mistakes_is_an_error(tmp_path: Path, code: str, error: str) -> None:
    with pytest.raises(RunError, match=error):
        pitfalls(tmp_path, code)


def test_what_the_program_refuses_is_the_users_to_change(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="no provider NPU here"):
        pitfalls(tmp_path, REFUSE + "sys.exit(1)")


def test_what_ran_out_of_time_is_answered_with_more_time_or_less_work(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="ran past its time limit") as caught:
        pitfalls(tmp_path, "time.sleep(60)", timeout=0.5)
    assert "--timeout" in caught.value.hint and "--images" in caught.value.hint


def test_an_interrupt_is_no_failure_of_the_program(tmp_path: Path) -> None:
    # A terminal sends it to both.
    with pytest.raises(CancelledError, match="nothing is kept"):
        pitfalls(tmp_path, "import signal; os.kill(os.getppid(), signal.SIGINT); time.sleep(60)")
