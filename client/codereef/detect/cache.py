# SPDX-License-Identifier: Apache-2.0
"""Small JSON caches on disk: read leniently, written atomically, never an error for the caller."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path


def read_json(path: Path | None, form: str) -> dict[str, object]:
    """Return the entries of a cache file; empty when it is absent, damaged or of another format."""
    if path is None:
        return {}
    try:
        data = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(data, dict) or data.get("format") != form or not isinstance(data.get("entries"), dict):
        return {}
    return dict(data["entries"])


def write_json(path: Path | None, form: str, entries: dict[str, object]) -> bool:
    """Replace a cache file in one step; return whether that was possible.

    A cache that cannot be written (a full or read-only disk) costs time, not correctness, so this does
    not raise.
    """
    if path is None:
        return False
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"format": form, "entries": entries}, separators=(",", ":"), ensure_ascii=True)
        temporary.write_text(text, encoding="ascii")
        os.replace(temporary, path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
        return False
    return True
