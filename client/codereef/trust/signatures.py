# SPDX-License-Identifier: Apache-2.0
"""Ed25519 signatures (RFC 8032) over canonical JSON, through the library `cryptography`.

A key is known by its identity, `ed25519:` and the SHA-256 of its 32 public bytes in hexadecimal. What is signed
is the canonical JSON of a document that has a `format`, so that a signature of one kind of document is never
one of another kind.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from codereef.canonical import canonical_json
from codereef.errors import IntegrityError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ed25519

PREFIX = "ed25519:"
ROTATION_FORMAT = "codereef-rotation/1"


def library(what: str) -> Any:
    """Return the Ed25519 module of `cryptography`.

    Args:
        what: what cannot be done without it, for the message: "the signature of ... cannot be checked".

    Raises:
        IntegrityError: it is not installed.
    """
    try:
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError:
        raise IntegrityError(
            f"{what}: the Python package `cryptography` is not installed.",
            hint='`pip install "codereef[sign]"` into the environment of cr installs it.',
        ) from None
    return ed25519


def key_id(public: bytes) -> str:
    """Return the identity of a public key of 32 bytes."""
    return PREFIX + hashlib.sha256(public).hexdigest()


def short(identity: str) -> str:
    """Return the beginning of a key's identity, for tables."""
    return identity[: len(PREFIX) + 16] + "…" if len(identity) > len(PREFIX) + 16 else identity


def decode_public(text: str, identity: str | None = None) -> bytes:
    """Read a public key in base64.

    Raises:
        IntegrityError: it is none, or not the one of that identity.
    """
    try:
        public = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError, TypeError):
        public = b""
    if len(public) != 32:
        raise IntegrityError("A public key is not 32 bytes in base64.")
    if identity is not None and key_id(public) != identity:
        raise IntegrityError(f"A public key is listed as {identity}, and is {key_id(public)}.")
    return public


class Signer:
    """A private key that is open for signing.

    Args:
        private: the key.
    """

    def __init__(self, private: ed25519.Ed25519PrivateKey) -> None:
        self._private = private
        public = private.public_key().public_bytes_raw()
        self.public = base64.b64encode(public).decode()
        self.id = key_id(public)

    def sign(self, document: Mapping[str, Any]) -> dict[str, str]:
        """Return the signature of a document as data: the key's identity and the signature in base64."""
        made = self._private.sign(canonical_json(document))
        return {"key": self.id, "signature": base64.b64encode(made).decode()}


def verify(document: Mapping[str, Any], signature: Mapping[str, Any], public: str, what: str) -> None:
    """Raise unless `signature` is one of `document` by a key.

    Args:
        document: what was signed.
        signature: what `Signer.sign` returned.
        public: the public key in base64.
        what: what is signed, for the message.

    Raises:
        IntegrityError: it is not, or the library is missing.
    """
    module = library(f"The signature of {what} cannot be checked")
    try:
        identity, text = str(signature["key"]), str(signature["signature"])
        made = base64.b64decode(text, validate=True)
        signed = canonical_json(document)
    except (KeyError, TypeError, ValueError):
        raise IntegrityError(f"The signature of {what} cannot be read.") from None
    key = module.Ed25519PublicKey.from_public_bytes(decode_public(public, identity))
    from cryptography.exceptions import InvalidSignature

    try:
        key.verify(made, signed)
    except InvalidSignature:
        raise IntegrityError(
            f"The signature of {what} is wrong: it was changed after {short(identity)} signed it.",
            hint="Do not use it. Tell those who publish it.",
            context={"key": identity},
        ) from None


def rotation(old: Signer, new: Signer, time: str) -> dict[str, Any]:
    """Return the statement by which the holder of an old key names the new one.

    Args:
        old: the key that is given up.
        new: the key that follows.
        time: when, ISO 8601 in UTC.
    """
    statement = {
        "format": ROTATION_FORMAT,
        "old": old.id,
        "old_public": old.public,
        "new": new.id,
        "new_public": new.public,
        "time": time,
    }
    return {"signed": statement, "signature": old.sign(statement)}


def successors(trusted: Collection[str], rotations: Sequence[Any], revoked: Collection[str]) -> frozenset[str]:
    """Return the identities that follow from trusted ones: themselves, and those a trusted key has named.

    A key that was revoked names nobody, and is not among the result.

    Raises:
        IntegrityError: a rotation by a trusted key is forged or cannot be read.
    """
    known = {identity for identity in trusted if identity not in revoked}
    left = [entry for entry in rotations if isinstance(entry, Mapping) and isinstance(entry.get("signed"), Mapping)]
    while True:
        usable = [e for e in left if e["signed"].get("old") in known and e["signed"].get("new") not in known]
        if not usable:
            return frozenset(known - set(revoked))
        for entry in usable:
            left.remove(entry)
            statement = entry["signed"]
            if statement.get("format") != ROTATION_FORMAT or statement.get("new") in revoked:
                continue
            decode_public(str(statement.get("old_public")), str(statement["old"]))
            decode_public(str(statement.get("new_public")), str(statement.get("new")))
            signature = entry.get("signature")
            if not isinstance(signature, Mapping) or signature.get("key") != statement["old"]:
                raise IntegrityError(f"The change of the key {short(str(statement['old']))} is not signed by it.")
            verify(statement, signature, str(statement["old_public"]), f"the change of {short(str(statement['old']))}")
            known.add(str(statement["new"]))
