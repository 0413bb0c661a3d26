# SPDX-License-Identifier: Apache-2.0
"""A name for one installation on one machine that tells nothing about either."""

from __future__ import annotations

import hashlib
import hmac
import os
from pathlib import Path

from codereef.detect.tree import Tree
from codereef.errors import StorageError

SALT_BYTES = 32


def _salt(path: Path) -> bytes:
    for _ in range(8):
        try:
            salt = path.read_bytes()
        except FileNotFoundError:
            salt = b""
        if len(salt) == SALT_BYTES:
            return salt
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(os.urandom(SALT_BYTES))
                stream.flush()
                os.fsync(stream.fileno())
            if salt:
                os.replace(temporary, path)
            else:
                # A link is made only where nothing is yet: of two processes one wins, and both read its salt.
                os.link(temporary, path)
        except FileExistsError:
            pass
        finally:
            temporary.unlink(missing_ok=True)
    raise OSError(f"no salt of {SALT_BYTES} bytes could be made")


def instance_id(salt_file: Path, root: Path = Path("/")) -> str:
    """Return 32 hexadecimal digits that are the same for this machine and salt, and say nothing else.

    HMAC-SHA-256 (RFC 2104) of the machine-id under a random salt that never leaves the machine. Without a
    machine-id the salt alone decides.

    Args:
        salt_file: file of the salt; made, readable by its owner only, when it is absent or damaged.
        root: where the file system of the machine begins.

    Raises:
        StorageError: the salt can neither be read nor made.
    """
    try:
        salt = _salt(salt_file)
    except OSError as error:
        raise StorageError(
            f"could not read or make the salt file {salt_file}: {error}",
            hint="Make its folder writable, or choose another state folder.",
            context={"file": str(salt_file)},
        ) from error
    tree = Tree(root)
    name = tree.text("etc/machine-id", 256) or tree.text("var/lib/dbus/machine-id", 256) or ""
    return hmac.new(salt, name.encode(), hashlib.sha256).hexdigest()[:32]
