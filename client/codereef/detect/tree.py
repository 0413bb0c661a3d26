# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: PTH110, PTH115, PTH118, PTH119, PTH208
"""Lenient reading of /proc and /sys below a root, so that tests can give a tree of their own."""

from __future__ import annotations

import os
from pathlib import Path


class Tree:
    """A file system seen from `root`; nothing here raises for what is absent or unreadable."""

    def __init__(self, root: Path) -> None:
        self.root = os.fspath(root)

    @property
    def is_real(self) -> bool:
        """Whether this is the running machine's own file system."""
        return self.root == "/"

    def _full(self, path: str) -> str:
        return os.path.join(self.root, path)

    def text(self, path: str, limit: int = 1 << 22) -> str | None:
        """Return the stripped text of a file, or None; at most `limit` bytes are read."""
        try:
            with open(self._full(path), "rb") as stream:
                data = stream.read(limit)
        except OSError:
            return None
        return data.decode("utf-8", "replace").strip("\0 \t\r\n")

    def number(self, path: str) -> int | None:
        """Return the whole number that a file holds, or None."""
        text = self.text(path, 64)
        try:
            return int(text) if text else None
        except ValueError:
            return None

    def names(self, path: str) -> list[str]:
        """Return the sorted names in a folder; empty when there is none."""
        try:
            return sorted(os.listdir(self._full(path)))
        except OSError:
            return []

    def exists(self, path: str) -> bool:
        """Return whether something is there (links are followed)."""
        return os.path.exists(self._full(path))

    def link_name(self, path: str) -> str | None:
        """Return the last part of what a symbolic link points to, or None."""
        try:
            return os.path.basename(os.readlink(self._full(path)))
        except OSError:
            return None


def parse_list(text: str | None) -> list[int]:
    """Return the numbers of a kernel list such as ``0-3,8``; empty for None or nonsense."""
    found: list[int] = []
    for part in (text or "").split(","):
        first, _, last = part.strip().partition("-")
        if first.isdigit() and (last.isdigit() or not last):
            found += range(int(first), int(last or first) + 1)
    return found


def key_values(text: str | None, separator: str = ":") -> dict[str, str]:
    """Return the first value of each key of ``key: value`` lines."""
    found: dict[str, str] = {}
    for line in (text or "").splitlines():
        key, sign, value = line.partition(separator)
        if sign:
            found.setdefault(key.strip(), value.strip())
    return found
