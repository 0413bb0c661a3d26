# SPDX-License-Identifier: Apache-2.0
"""Numbers for people."""

from __future__ import annotations

from typing import Any

import pytest
from codereef.cli.edge import with_interval


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ((0.4634, [0.4571, 0.468], 3), "0.463 [0.457, 0.468]"),
        ((0.0011, (0.001, 0.0012), 2, 1e3), "1.10 [1.00, 1.20]"),
        ((0.05, [-0.01, 0.11], 2, 1.0, "+"), "+0.05 [-0.01, +0.11]"),
        ((12.6, None, 0), "13"),
        ((None, None, 3), "–"),
    ],
)
def test_a_number_comes_with_its_interval(given: tuple[Any, ...], text: str) -> None:
    assert with_interval(*given) == text
