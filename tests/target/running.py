# SPDX-License-Identifier: Apache-2.0
"""Running a program of this machine to its end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from codereef.target.local import Child, Outcome


def run(command: Sequence[str], **settings: Any) -> Outcome:
    """Let a program have its whole time at once; the settings are those of `Child`."""
    child = Child(command, **settings)
    child.proceed()
    return child.outcome()
