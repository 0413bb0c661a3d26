# SPDX-License-Identifier: Apache-2.0
"""Which Python interpreter of this machine an environment is built on."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from codereef.detect import Detected
from codereef.errors import NotFoundError
from codereef.solve.universe import PYTHON


def preferred_python(detected: Sequence[Detected], asked: str | None) -> Detected | None:
    """Return the interpreter to prefer.

    Args:
        detected: what this machine has.
        asked: a path, a command name or the beginning of a version; None takes the one this tool was made from.

    Raises:
        NotFoundError: the one asked for was not detected.
    """
    pythons = [d for d in detected if d.capability == PYTHON and d.facts.get("tool") is not True]
    if asked is None:
        base = os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)
        own = [d for d in pythons if os.path.realpath(d.path) == base and d.facts.get("is_venv") is not True]
        return own[0] if own else None
    named = Path(shutil.which(asked) or asked).absolute()
    real = os.path.realpath(named)
    # Every virtual environment's interpreter is a link to the one it was made from, so the folder decides first.
    choices = [
        *(d for d in pythons if d.path == str(named)),
        *(d for d in pythons if Path(d.path).parent == named.parent and os.path.realpath(d.path) == real),
        *(d for d in pythons if os.path.realpath(d.path) == real and d.facts.get("is_venv") is not True),
        *(d for d in pythons if f"{d.version}.".startswith(f"{asked.removeprefix('python')}.")),
    ]
    if asked and choices:
        return choices[0]
    raise NotFoundError(
        f"No Python interpreter was detected at `{asked}`.",
        hint="`cr detect compiler.python` lists those that were: "
        + ", ".join(f"{d.version} at {d.path}" for d in pythons[:4])
        + ".",
        context={"python": asked},
    )


def only_of(detected: Sequence[Detected], python: Detected) -> list[Detected]:
    """Return what was detected without other interpreters and what is installed in them."""
    return [
        d
        for d in detected
        if (d.path == python.path if d.capability == PYTHON else d.paths.get("python", python.path) == python.path)
    ]
