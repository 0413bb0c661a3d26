# SPDX-License-Identifier: Apache-2.0
"""Small, safe operations on files and the two encodings every identity is built on.

Canonical JSON and SHA-256 give results, locks and components their identity; `write_atomic` is the only way
the client writes a file that it will read again.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import tempfile
from pathlib import Path

from codereef.errors import StorageError

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


def storage_error(action: str, path: Path, error: OSError) -> StorageError:
    """Turn an operating-system error of a write into one for people.

    Args:
        action: what was being done, such as "write the lock".
        path: the file concerned.
        error: what the system said.
    """
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        reason, hint = (
            "the disk is full",
            "Free some space, or set CR_HOME to a folder on a larger disk; then run the same command again.",
        )
    elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        reason, hint = "it may not be written", "Check who owns the folder, or set CR_HOME to one that you may write."
    else:
        reason, hint = (
            (error.strerror or str(error)).lower(),
            "Run the same command again once this is mended; nothing half written was kept.",
        )
    return StorageError(
        f"Could not {action} at {path}: {reason}.", hint=hint, context={"path": str(path), "errno": error.errno}
    )


def write_atomic(path: Path, data: bytes | str, *, action: str = "write a file") -> None:
    """Write `data` to `path` so that a kill at any instant leaves the old file or the new one.

    The bytes are written beside the file, flushed to the disk and renamed over it.

    Raises:
        StorageError: the disk is full or the folder may not be written; the old file is untouched.
    """
    payload = data.encode("utf-8") if isinstance(data, str) else data
    temporary: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(handle, "wb") as stream:
            stream.write(payload)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
        temporary = None
        sync_directory(path.parent)
    except OSError as error:
        raise storage_error(action, path, error) from error
    finally:
        if temporary is not None:
            try:
                os.unlink(temporary)
            except OSError:
                pass


def sync_directory(path: Path) -> None:
    """Flush a directory's entries, where the system can."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:
        pass
    finally:
        os.close(descriptor)
