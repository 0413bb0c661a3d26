# SPDX-License-Identifier: Apache-2.0
"""Whether a root and a release are what those signed who may: the rules of a registry's trust."""

from __future__ import annotations

from collections.abc import Collection

from codereef.errors import IntegrityError
from codereef.repo.registry.layout import Release, Root
from codereef.trust.signatures import decode_public, key_id, short, successors, verify


def check_root(root: Root, what: str, *, pinned: Collection[str], before: Root | None, now: str) -> frozenset[str]:
    """Raise unless a root may take the place of the one before.

    Args:
        root: the new root.
        what: its address, for messages.
        pinned: identities of the keys that may sign it; none for a registry that was added without signature.
        before: the root that was accepted last.
        now: the time, ISO 8601 in UTC.

    Returns:
        The identities that may sign from now on: those pinned, and those they have named; without revoked ones.

    Raises:
        IntegrityError: it is not signed as it must be, older than the one before, expired, or of another registry.
    """
    if before is not None:
        _check_order(root, before, what)
    if root.expires and now > root.expires:
        raise IntegrityError(
            f"{what} was to be believed until {root.expires}: somebody may be holding back newer ones.",
            hint="What was fetched before stays usable. Check your clock; ask those who run the registry.",
            context={"expires": root.expires, "now": now},
        )
    if not pinned and not root.keys and not root.signatures:
        return frozenset()
    if not pinned:
        raise IntegrityError(
            f"{what} is signed now, and was added without a signature.",
            hint="`cr repo remove` it and add it again, with the key its publisher gives you (`--key`).",
        )
    allowed = successors(pinned, root.rotations, root.revoked.keys())
    usable = [s for s in root.signatures if s.get("key") in allowed and s.get("key") in root.keys]
    if not usable:
        signers = ", ".join(short(str(s.get("key"))) for s in root.signatures) or "nobody"
        raise IntegrityError(
            f"{what} is signed by {signers}, and not by a key you trust ({', '.join(map(short, sorted(pinned)))}).",
            hint="What was fetched before stays usable. If the registry has a new key, its owner can tell you its identity: "
            "`cr repo trust NAME --key IDENTITY`.",
            context={"trusted": sorted(pinned), "signed_by": [str(s.get("key")) for s in root.signatures]},
        )
    for signature in usable:
        verify(root.signed, signature, root.keys[str(signature["key"])], what)
    return allowed


def _check_order(root: Root, before: Root, what: str) -> None:
    if root.registry != before.registry:
        raise IntegrityError(
            f"{what} is of the registry `{root.registry}`; it was `{before.registry}` before.",
            hint="What was fetched before stays usable. `cr repo remove` it and add it again if that is right.",
        )
    if root.sequence < before.sequence:
        raise IntegrityError(
            f"{what} was rolled back: it has number {root.sequence} of {root.time}, and number {before.sequence} of {before.time} was here before.",
            hint="What was fetched before stays usable. Tell those who run the registry; a mirror may lag behind.",
            context={"sequence": root.sequence, "before": before.sequence},
        )
    if root.sequence == before.sequence and root.signed != before.signed:
        raise IntegrityError(
            f"{what} has the number {root.sequence} of one that said something else.",
            hint="What was fetched before stays usable. Tell those who run the registry.",
        )


def first_keys(root: Root, what: str, wanted: str | None) -> frozenset[str]:
    """Return the keys to pin for a registry that is added.

    Args:
        root: its root.
        what: its address, for messages.
        wanted: identity of the key that the user expects, or the beginning of it; None takes those that signed.

    Raises:
        IntegrityError: it is not signed by the key that is wanted.
    """
    for identity, public in root.keys.items():
        decode_public(public, identity)
    signers = frozenset(
        str(s["key"]) for s in root.signatures if s.get("key") in root.keys and s.get("key") not in root.revoked
    )
    if wanted is not None:
        named = frozenset(identity for identity in signers if identity == wanted or _begins(identity, wanted))
        if not named:
            raise IntegrityError(
                f"{what} is not signed by {wanted}, but by {', '.join(map(short, sorted(signers))) or 'nobody'}.",
                hint="Ask its owner for the right key. Nothing was added.",
                context={"wanted": wanted, "signed_by": sorted(signers)},
            )
        return named
    if root.keys and not signers:
        raise IntegrityError(f"{what} has keys, and is signed by none of them.", hint="Tell those who run it.")
    return signers


def _begins(identity: str, wanted: str) -> bool:
    """Tell whether an abbreviated identity of at least 16 digits is meant."""
    digits = wanted.removeprefix("ed25519:")
    return len(digits) >= 16 and identity.removeprefix("ed25519:").startswith(digits)


def check_release(root: Root, release: Release, what: str) -> None:
    """Raise unless a release is signed by its publisher, in a registry that has keys.

    Raises:
        IntegrityError: it has no canonical form, is not signed, not by a key of its publisher, or with one that was revoked.
    """
    try:
        statement = release.statement()
    except ValueError:
        raise IntegrityError(
            f"{release.reference} in {what} has a number or a text that has no canonical form.",
            hint="Tell those who run the registry.",
        ) from None
    if not root.keys:
        return
    signature = release.signature
    publisher = root.publishers.get(release.publisher)
    if signature is None or publisher is None:
        raise IntegrityError(
            f"{release.reference} in {what} is not signed by a publisher of the registry.",
            hint="Tell those who run the registry.",
            context={"component": release.reference, "publisher": release.publisher},
        )
    identity = str(signature.get("key"))
    if identity in root.revoked:
        raise IntegrityError(
            f"{release.reference} in {what} is signed with {short(identity)}, which was revoked: {root.revoked[identity]}",
            hint="Use another version; `cr versions` lists them.",
            context={"component": release.reference, "key": identity},
        )
    public = publisher.keys.get(identity)
    if public is None:
        raise IntegrityError(
            f"{release.reference} in {what} is signed with {short(identity)}, which is no key of {release.publisher}.",
            hint="Tell those who run the registry.",
            context={"component": release.reference, "key": identity},
        )
    if key_id(decode_public(public)) != identity:
        raise IntegrityError(f"{what} lists another key as {short(identity)}.", hint="Tell those who run the registry.")
    verify(statement, signature, public, f"{release.reference} in {what}")
