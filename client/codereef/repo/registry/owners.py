# SPDX-License-Identifier: Apache-2.0
"""Who may publish in a registry, and with which keys: new ones, those that follow, those that count no more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from codereef.errors import NotFoundError, UsageError
from codereef.repo.registry import layout
from codereef.repo.registry.layout import Publisher, Release, Root
from codereef.repo.registry.local import utc_now
from codereef.repo.registry.workshop import Workshop
from codereef.trust.signatures import Signer, rotation, short, verify


def with_publisher(root: Root, name: str, keys: Mapping[str, str], identities: Sequence[tuple[str, str]] = ()) -> Root:
    """Return a root in which a publisher has more keys or identities."""
    if not layout.is_name(name):
        raise UsageError(
            f"`{name}` cannot be the name of a publisher.", hint="Use lower-case letters, digits and `.-_`."
        )
    old = root.publishers.get(name, Publisher({}))
    new = Publisher({**old.keys, **keys}, tuple(dict.fromkeys([*old.identities, *identities])))
    return replace(root, publishers={**root.publishers, name: new})


def rotate(shop: Workshop, old: Signer, new: Signer) -> None:
    """Let a new key follow an old one, as root key and for every publisher that has it.

    The old one stays listed, so that what it signed stays valid; revoke it where it was lost.
    """
    root = shop.root
    keys = {**root.keys, new.id: new.public} if old.id in root.keys else root.keys
    publishers = {
        name: Publisher({**p.keys, new.id: new.public}, p.identities) if old.id in p.keys else p
        for name, p in root.publishers.items()
    }
    if keys is root.keys and publishers == dict(root.publishers):
        raise NotFoundError(
            f"The key {short(old.id)} is not in the registry {shop.folder}.", hint="`cr registry check`."
        )
    entry = rotation(old, new, utc_now())
    shop.root = replace(root, keys=keys, publishers=publishers, rotations=(*root.rotations, entry))


def revoke(shop: Workshop, identity: str, reason: str, resign: Signer | None = None) -> int:
    """Let signatures of a key count no more; with `resign`, sign its releases anew with another key.

    Returns:
        How many releases were signed anew.

    Raises:
        NotFoundError: the registry has no such key.
        UsageError: it is the only key of the root, or `resign` is no key of the same publisher.
    """
    root = shop.root
    if identity not in root.keys and not any(identity in p.keys for p in root.publishers.values()):
        raise NotFoundError(f"The key {identity} is not in the registry {shop.folder}.", hint="`cr registry check`.")
    keys = {key: public for key, public in root.keys.items() if key != identity}
    if identity in root.keys and not keys:
        raise UsageError(
            f"{short(identity)} is the only key of the registry.",
            hint="Let another one follow it first: `cr registry rotate`.",
        )
    count = 0
    if resign is not None:
        for key in list(shop.rows):
            releases = shop.releases(key)
            mine = {
                version: _signed_anew(root, release, resign)
                for version, release in releases.items()
                if release.signature and release.signature.get("key") == identity
            }
            if mine:
                shop.put(key, {**releases, **mine})
                count += len(mine)
    shop.root = replace(root, keys=keys, revoked={**root.revoked, identity: reason})
    return count


def _signed_anew(root: Root, release: Release, signer: Signer) -> Release:
    """Return a release with another signature, after checking the one it has."""
    publisher = root.publishers.get(release.publisher, Publisher({}))
    if signer.id not in publisher.keys:
        raise UsageError(f"{short(signer.id)} is no key of the publisher `{release.publisher}`.", hint="Add it first.")
    assert release.signature is not None
    old = publisher.keys[str(release.signature["key"])]
    verify(release.statement(), release.signature, old, release.reference)
    return replace(release, signature=signer.sign(release.statement()))
