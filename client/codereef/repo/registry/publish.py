# SPDX-License-Identifier: Apache-2.0
"""Publishes folders of components in a registry, withdraws versions, checks it. Versions are only ever added."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from codereef.disk import human
from codereef.errors import CrError, IntegrityError, MetadataError, NotFoundError, UsageError
from codereef.meta.component import component_digest, read_meta
from codereef.meta.reference import nearest
from codereef.repo.registry import layout
from codereef.repo.registry.layout import Publisher, Release
from codereef.repo.registry.local import utc_now
from codereef.repo.registry.owners import revoke, rotate, with_publisher
from codereef.repo.registry.verify import check_release
from codereef.repo.registry.workshop import Change, Workshop, alone, create, edit, pack_component
from codereef.repo.scan import scan
from codereef.trust.signatures import Signer, short, verify

__all__ = [
    "Change",
    "Workshop",
    "create",
    "edit",
    "inspect",
    "pack_component",
    "publish",
    "revoke",
    "rotate",
    "with_publisher",
    "yank",
]


def publish(
    folder: Path,
    to: Path,
    *,
    signer: Signer | None = None,
    publisher: str = "",
    root_signer: Signer | None = None,
    bundle: Callable[[bytes, str], bytes | None] = lambda archive, reference: None,
    moved: Callable[[int, int], None] = lambda done, of: None,
) -> Change:
    """Put every component of a folder into a registry. A version that is there already is never changed.

    Args:
        folder: the components.
        to: the registry.
        signer: the publisher's key.
        publisher: who publishes; must have that key in the registry, or is added with it when he also signs the root.
        root_signer: the key that signs the root; the publisher's where it is None.
        bundle: returns the sigstore bundle of an archive, or None.
        moved: told how many of how many components are done.

    Raises:
        MetadataError: a component cannot be read, or is published already with other contents.
        NotFoundError: there is no component, or no registry.
        UsageError: a key is missing.
    """
    found = scan(folder)
    if not found:
        raise NotFoundError(f"{folder} holds no component: no cr.json was found.", hint="docs/tutorial.md shows how.")
    with alone(to):
        roots = [s for s in (root_signer, signer) if s is not None]
        shop = Workshop(to, roots)
        _require_publisher(shop, signer, publisher, roots)
        added, kept = [], []
        changed: dict[str, dict[str, Release]] = {}
        packed: list[tuple[Path, Release]] = []
        for number, entry in enumerate(found, 1):
            if entry.problem is not None:
                raise entry.problem
            place = Path(entry.folder)
            meta = read_meta(place / "cr.json")
            key, version = f"{meta['kind']}:{meta['name']}", meta["version"]
            releases = changed.get(key) or shop.releases(key)
            digest = component_digest(place)
            if version in releases:
                if releases[version].digest != digest:
                    raise _differs(key, version, releases[version], digest, place)
                kept.append(f"{key}@{version}")
                continue
            withdrawn = str(meta.pop("yanked", ""))
            if withdrawn:
                raise UsageError(
                    f"{key}@{version} in {place} is marked `yanked`.",
                    hint="Publish it without, then `cr registry yank` it: whether a version is withdrawn can change.",
                )
            data = pack_component(place)
            if len(data) > layout.ARCHIVE_LIMIT:
                raise UsageError(
                    f"The archive of {key}@{version} in {place} has {human(len(data))}; at most {human(layout.ARCHIVE_LIMIT)} are allowed.",
                    hint="Put large files behind an address and list them in `files` with `urls` and `sha256`.",
                )
            release = Release(meta, digest, layout.link_of(data), utc_now(), publisher if signer else "")
            if signer is not None:
                release = replace(release, signature=signer.sign(release.statement()))
            proof = bundle(data, release.reference)
            if proof is not None:
                release = replace(release, sigstore=shop.keep(proof))
            shop.keep(data)
            changed[key] = {**releases, version: release}
            packed.append((place, release))
            added.append(f"{key}@{version}")
            moved(number, len(found))
        for key, releases in changed.items():
            shop.put(key, releases)
        return Change(shop.commit(), tuple(added), tuple(kept))


def _differs(key: str, version: str, release: Release, digest: str, place: Path) -> CrError:
    return MetadataError(
        f"{key}@{version} was published on {release.time[:10]} with {release.digest[:19]}…, and {place} has {digest[:19]}…. "
        "A published version never changes.",
        hint="Raise `version` in its cr.json. Nothing was published.",
        context={"component": f"{key}@{version}", "published": release.digest, "found": digest, "file": str(place)},
    )


def _require_publisher(shop: Workshop, signer: Signer | None, publisher: str, roots: Sequence[Signer]) -> None:
    """Raise unless the publisher may publish; one who signs the root too is added."""
    root = shop.root
    if not root.keys:
        if signer is not None:
            raise UsageError(
                f"The registry {shop.folder} has no keys, so a signature in it would prove nothing.",
                hint="Make a new registry with --key, and publish there.",
            )
        return
    if signer is None:
        raise UsageError(
            f"The registry {shop.folder} is signed, so what is published there must be.",
            hint="Give your key with --key; `cr key list` shows those you have.",
        )
    if signer.id in root.revoked:
        raise UsageError(f"The key {short(signer.id)} was revoked: {root.revoked[signer.id]}", hint="Use another key.")
    if signer.id in root.publishers.get(publisher, Publisher({})).keys:
        return
    if not any(key.id in root.keys for key in roots):
        raise UsageError(
            f"`{publisher}` has no key {short(signer.id)} in the registry {shop.folder}.",
            hint="Its owner adds you: `cr registry publisher NAME --public KEY`.",
        )
    shop.root = with_publisher(root, publisher, {signer.id: signer.public})


def yank(shop: Workshop, key: str, version: str, reason: str) -> None:
    """Withdraw a version (or, with an empty reason, take that back). Its archive stays for those whose locks have it.

    Raises:
        NotFoundError: there is none.
    """
    releases = shop.releases(key)
    if version not in releases:
        near = nearest(key, shop.rows)
        raise NotFoundError(
            f"{key}@{version} is not in the registry {shop.folder}.",
            hint=f"Versions there are {', '.join(sorted(releases))}."
            if releases
            else f"Did you mean `{near[0]}`?"
            if near
            else "`cr registry check` lists what is.",
        )
    shop.put(key, {**releases, version: replace(releases[version], yanked=layout.line(reason))})


def inspect(folder: Path, *, archives: bool = True) -> tuple[Workshop, list[str]]:
    """Check a whole registry: every object there, whole, signed and named once.

    Returns:
        The registry, and one sentence for each thing that is wrong.
    """
    shop = Workshop(folder)
    wrong: list[str] = []
    if shop.root.keys:
        signers = [s for s in shop.root.signatures if s.get("key") in shop.root.keys]
        if not signers:
            wrong.append("The root is not signed by any of its keys.")
        for signature in signers:
            try:
                verify(shop.root.signed, signature, shop.root.keys[str(signature["key"])], "the root")
            except IntegrityError as error:
                wrong.append(error.message)
    for key in sorted(shop.rows):
        try:
            for release in shop.releases(key).values():
                check_release(shop.root, release, str(folder))
                if archives:
                    shop.object(release.archive)
                if release.sigstore is not None:
                    shop.object(release.sigstore)
        except CrError as error:
            wrong.append(error.message)
    return shop, wrong
