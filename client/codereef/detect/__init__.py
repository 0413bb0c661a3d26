# SPDX-License-Identifier: Apache-2.0
"""What is on this machine: detected software, the machine's class and its state.

The names below are loaded when they are first used, so importing this package costs nothing. The other
doors are `codereef.detect.platform`, `codereef.detect.machine`, `codereef.detect.state` and
`codereef.detect.instance`.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from codereef.detect.engine import detect, detect_report
    from codereef.detect.types import Detected, Rejected, Report

__all__ = ["Detected", "Rejected", "Report", "detect", "detect_report"]

_HOMES = {
    "Detected": "codereef.detect.types",
    "Rejected": "codereef.detect.types",
    "Report": "codereef.detect.types",
    "detect": "codereef.detect.engine",
    "detect_report": "codereef.detect.engine",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(home), name)
