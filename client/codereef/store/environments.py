# SPDX-License-Identifier: Apache-2.0
"""What Python's installers wrote down of an environment: the RECORD file of each distribution.

The format is of PEP 376 and PEP 627: rows of path, digest and size; the digest as `sha256=` and URL-safe base64
without padding. Installers give none for RECORD itself and for compiled files.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

_PREFIX = "sha256="


def records(folder: Path) -> tuple[Path, ...]:
    """Return the RECORD files of an environment; none where the folder is no environment."""
    return tuple(sorted(folder.glob("lib/python3*/site-packages/*.dist-info/RECORD")))


def recorded(folder: Path) -> tuple[Mapping[bytes, tuple[str, int]], tuple[str, ...]]:
    """Return digest and size by relative path of every file that a RECORD has a SHA-256 of, compiled ones left out.

    Returns:
        Those files (-1 for a size that is not given), and one sentence for each RECORD that cannot be read.
    """
    rows: dict[bytes, tuple[str, int]] = {}
    found = records(folder)
    if not found:
        return rows, ()
    import csv

    problems = []
    for record in found:
        site = record.parent.parent.relative_to(folder).as_posix()
        try:
            with record.open(encoding="utf-8", newline="") as stream:
                for row in csv.reader(stream):
                    if len(row) < 3 or not row[1].startswith(_PREFIX):
                        continue
                    name = os.path.normpath(f"{site}/{row[0]}")
                    if row[0].startswith("/") or name.startswith(".."):
                        continue  # outside of the environment: not ours to look at
                    if "__pycache__" in name.split("/"):
                        continue  # some wheels ship compiled files, and installers compile them anew
                    rows[os.fsencode(name)] = (_digest(row[1]), int(row[2]) if row[2] else -1)
        except (OSError, ValueError, csv.Error) as error:
            problems.append(f"{record.relative_to(folder)} cannot be read: {error}")
    return rows, tuple(problems)


def _digest(text: str) -> str:
    import base64
    import binascii

    encoded = text[len(_PREFIX) :]
    try:
        raw = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
    except binascii.Error as error:
        raise ValueError(f"{text!r:.80} is no digest") from error
    if len(raw) != 32:
        raise ValueError(f"{text!r:.80} is no SHA-256")
    return raw.hex()


def distribution_of(folder: Path, name: bytes) -> str | None:
    """Return the distribution that a file of an environment belongs to, or None where no RECORD has it."""
    import csv

    for record in records(folder):
        site = record.parent.parent.relative_to(folder).as_posix()
        try:
            with record.open(encoding="utf-8", newline="") as stream:
                if any(row and os.fsencode(os.path.normpath(f"{site}/{row[0]}")) == name for row in csv.reader(stream)):
                    return record.parent.name.removesuffix(".dist-info").partition("-")[0]
        except (OSError, ValueError, csv.Error):
            continue
    return None


def foreign(name: bytes) -> bool:
    """Tell whether a file that nobody recorded changes what an environment's Python imports.

    Python compiles files, and some packages keep caches beside themselves: those are left alone.
    """
    parts = name.split(b"/")
    if b"__pycache__" in parts:
        return False
    inside = any(part.endswith((b".dist-info", b".egg-info")) for part in parts[:-1])
    return inside or parts[-1].endswith((b".py", b".pth", b".so", b".egg-link"))
