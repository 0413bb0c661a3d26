# SPDX-License-Identifier: Apache-2.0
"""Fixtures shared by all rooms."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

# A shell gives its background jobs an ignored SIGINT, which children inherit; the tests of Ctrl-C need a real one.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parent.parent


class Mirror:
    """The real test material, by the names of its index; never copied into the repository."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        index = folder / "index.json"
        entries = json.loads(index.read_text(encoding="utf-8")) if index.is_file() else []
        self.index = {entry["name"]: entry for entry in entries}

    def path(self, name: str) -> Path:
        """The file of that name; skips the test when it is absent, or fails it with CI=true."""
        if name in self.index:
            path = self.folder / "sha256" / self.index[name]["sha256"]
            if path.is_file():
                return path
        message = f"test material {name} is not in the mirror"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)


@pytest.fixture(scope="session")
def mirror() -> Mirror:
    """The mirror in $CODEREEF_SHARED, or in ../shared beside the repository."""
    shared = Path(os.environ.get("CODEREEF_SHARED") or ROOT.parent / "shared")
    return Mirror(shared / "mirror")
