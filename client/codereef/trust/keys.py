# SPDX-License-Identifier: Apache-2.0
"""The user's signing keys: PKCS #8 files that only the user can read, with a passphrase where one was given."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from codereef.canonical import pretty_json
from codereef.disk import storing, write_atomic
from codereef.errors import MetadataError, NotFoundError, StorageError, UsageError
from codereef.trust.signatures import Signer, library

KEY_FORMAT = "codereef-key/1"
_NAME = re.compile(r"^[a-z0-9][a-z0-9._-]{0,63}$")


@dataclass(frozen=True)
class Key:
    """What is public of a key.

    Attributes:
        name: how its owner calls it.
        id: `ed25519:` and the SHA-256 of the public key.
        public: the public key in base64.
        created: when it was made, ISO 8601 in UTC.
        protected: whether a passphrase opens it.
    """

    name: str
    id: str
    public: str
    created: str
    protected: bool


def now() -> str:
    """Return the time as ISO 8601 in UTC, to the second."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def new_key(folder: Path, name: str, passphrase: str = "") -> Key:
    """Make a key and keep it.

    Args:
        folder: the user's key folder; made with access for the user only.
        name: how to call it.
        passphrase: opens the key; "" leaves it open to whoever can read the file.

    Raises:
        UsageError: the name is not allowed, or taken.
        IntegrityError: the library is missing.
        StorageError: it cannot be written.
    """
    if not _NAME.match(name):
        raise UsageError(
            f"`{name}` cannot be the name of a key.",
            hint="Use lower-case letters, digits, dot, dash and underscore, at most 64.",
        )
    module = library("A key cannot be made")
    from cryptography.hazmat.primitives import serialization

    path = folder / f"{name}.pem"
    private = module.Ed25519PrivateKey.generate()
    closed = serialization.BestAvailableEncryption(passphrase.encode()) if passphrase else serialization.NoEncryption()
    data = private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, closed)
    signer = Signer(private)
    key = Key(name, signer.id, signer.public, now(), bool(passphrase))
    with storing("the key", folder):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            raise UsageError(
                f"There is a key called `{name}` already.",
                hint="Give another name; `cr key list` shows those you have.",
            ) from None
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
    document = {
        "format": KEY_FORMAT,
        "name": key.name,
        "id": key.id,
        "public": key.public,
        "created": key.created,
        "protected": key.protected,
    }
    write_atomic(folder / f"{name}.json", pretty_json(document), what="the public part of the key")
    return key


def keys(folder: Path) -> list[Key]:
    """Return the user's keys by name.

    Raises:
        MetadataError: one cannot be read.
    """
    found = []
    for path in sorted(folder.glob("*.json")):
        try:
            d = json.loads(path.read_bytes())
            found.append(Key(d["name"], d["id"], d["public"], d["created"], d["protected"]))
        except (ValueError, KeyError, TypeError) as error:
            raise MetadataError(
                f"The public part of a key at {path} cannot be read: {error}.",
                hint="Bring it back from a copy, or move it away.",
            ) from None
    return found


def find_key(folder: Path, name: str) -> Key:
    """Return one of the user's keys.

    Raises:
        NotFoundError: there is none of that name.
    """
    known = keys(folder)
    for key in known:
        if name in (key.name, key.id):
            return key
    raise NotFoundError(
        f"You have no key `{name}`.",
        hint=f"You have {', '.join(k.name for k in known)}." if known else f"`cr key new {name}` makes one.",
    )


def open_key(folder: Path, name: str, passphrase: Callable[[str], str]) -> Signer:
    """Open one of the user's keys for signing.

    Args:
        folder: the user's key folder.
        name: the key.
        passphrase: asked for the passphrase, with the key's name, where it has one.

    Raises:
        NotFoundError: there is none of that name.
        UsageError: the passphrase is wrong, or others can read the file.
        IntegrityError: the library is missing.
    """
    key = find_key(folder, name)
    module = library("Nothing can be signed")
    from cryptography.hazmat.primitives import serialization

    path = folder / f"{key.name}.pem"
    try:
        mode = path.stat().st_mode
        data = path.read_bytes()
    except FileNotFoundError:
        raise NotFoundError(
            f"The private part of the key `{key.name}` is not at {path}.",
            hint="Bring it back from a copy; without it nothing can be signed with this key again.",
        ) from None
    if mode & 0o077:
        raise UsageError(
            f"Others may read the private key {path} (mode {mode & 0o777:o}).",
            hint=f"`chmod 600 {path}`; where others have used this machine, make a new key.",
        )
    secret = passphrase(key.name).encode() if key.protected else None
    try:
        private = serialization.load_pem_private_key(data, password=secret)
    except (ValueError, TypeError):
        raise UsageError(
            f"The key `{key.name}` could not be opened: the passphrase is wrong, or the file is damaged.",
            hint="Try again; on a machine without terminal the passphrase stands in CR_KEY_PASSPHRASE.",
        ) from None
    if not isinstance(private, module.Ed25519PrivateKey):
        raise UsageError(f"{path} holds a key of another kind than Ed25519.", hint="`cr key new` makes the right kind.")
    signer = Signer(private)
    if signer.id != key.id:
        raise StorageError(f"{path} is not the private part of the key {key.id}.", hint="Bring it back from a copy.")
    return signer
