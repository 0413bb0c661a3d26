# SPDX-License-Identifier: Apache-2.0
"""Canonical JSON and SHA-256: what every identity of a component, a lock and a result is built on."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

CHUNK = 1 << 20


def canonical_json(document: object) -> bytes:
    """Return the canonical JSON of `document`: sorted keys, no blanks, UTF-8.

    Numbers are written as Python's `json` writes them; NaN and infinity are refused.

    Raises:
        ValueError: the document holds NaN or an infinity.
    """
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8")


def digest_of(document: object) -> str:
    """Return `sha256:<hex>` of the canonical JSON of `document`."""
    return "sha256:" + hashlib.sha256(canonical_json(document)).hexdigest()


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal, read in chunks of 1 MiB."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def pretty_json(document: object) -> str:
    """Return JSON for people and for small diffs: sorted keys, two blanks, a final newline."""
    return json.dumps(document, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
