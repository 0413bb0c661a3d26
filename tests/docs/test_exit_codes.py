# SPDX-License-Identifier: Apache-2.0
"""docs/exit-codes.md lists exactly the errors of codereef.errors."""

from __future__ import annotations

import re
from pathlib import Path

from codereef.errors import CrError

PAGE = Path(__file__).resolve().parents[2] / "docs" / "exit-codes.md"
_ROW = re.compile(r"^\| (\d+) \| `([a-z-]+)` \| `(\w+)` \|", re.MULTILINE)


def classes(base: type[CrError] = CrError) -> set[tuple[int, str, str]]:
    """Return (exit code, code, name) of a class and all below it."""
    own = [child for child in base.__subclasses__() if child.__module__ == "codereef.errors"]
    return {(base.exit_code, base.code, base.__name__)}.union(*(classes(child) for child in own))


def test_the_page_and_the_code_list_the_same_errors() -> None:
    listed = [(int(number), code, name) for number, code, name in _ROW.findall(PAGE.read_text(encoding="utf-8"))]
    assert len(listed) == len(set(listed))
    assert set(listed) == classes()


def test_the_page_is_sorted_by_exit_code() -> None:
    numbers = [int(number) for number, _, _ in _ROW.findall(PAGE.read_text(encoding="utf-8"))]
    assert numbers == sorted(numbers)
