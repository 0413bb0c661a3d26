# SPDX-License-Identifier: Apache-2.0
"""Where two results part, by the digests of their steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from codereef.record.compare import compare_results
from codereef.record.stages import parting

from tests.record.results import document, result


def stage(step: str, digest: str, by: str = "Pillow", **more: Any) -> dict[str, Any]:
    whole = {"side": "input", "step": step, "implementation": by, "version": "1", "digest": digest, "items": 8}
    return {**whole, **more}


A = [stage("decode", "a"), stage("resize", "b"), stage("layout", "c")]


def parted(*stages: dict[str, Any], **changes: Any) -> str | None:
    return parting(document(stages=A), document(stages=list(stages), **changes))


def test_the_first_step_that_differs_is_named_with_both_ways() -> None:
    said = parted(A[0], stage("resize", "x", "OpenCV"), stage("layout", "y"))
    assert said == "Steps part at input resize: resize by Pillow (1) in A, resize by OpenCV (1) in B."


def test_a_step_carried_out_alike_says_so() -> None:
    said = parted(A[0], stage("resize", "x"), stage("layout", "y"))
    assert said == "Steps part at input resize, which is carried out alike: its arguments or the machine differ."


def test_equal_and_longer_ways() -> None:
    assert parted(*A) == "Every step gave both the same for the first 8 items."
    assert parted(*A, stage("cast", "d")) == "Steps part at input cast, which only B has."


@pytest.mark.parametrize(
    ("stages", "changes"),
    [([], {}), (A, {"dataset": "dataset:other@1.0.0"}), ([{**s, "items": 4} for s in A], {})],
)
def test_digests_of_other_items_say_nothing(stages: list[dict[str, Any]], changes: dict[str, Any]) -> None:
    assert parted(*stages, **changes) is None
    assert parting(document(), document()) is None


def test_a_comparison_tells_it(tmp_path: Path) -> None:
    a, b = result(tmp_path, stages=A), result(tmp_path, [0.01] * 5, stages=[*A[:2], stage("layout", "z")])
    assert "Steps part at input layout" in (compare_results(a, b).parting or "")
