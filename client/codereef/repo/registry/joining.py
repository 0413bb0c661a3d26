# SPDX-License-Identifier: Apache-2.0
"""Registries in the user's list: adding one, bringing it up to date, trusting its publishers."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace

from codereef.errors import IntegrityError, MetadataError, NetworkError, NotFoundError, UsageError
from codereef.home import Home
from codereef.meta.reference import nearest
from codereef.repo.git import without_credentials
from codereef.repo.listing import Source, change
from codereef.repo.registry.layout import Root
from codereef.repo.registry.local import LocalRegistry, probe, publishers_of, utc_now
from codereef.repo.registry.verify import first_keys
from codereef.trust.signatures import successors


def add_registry(home: Home, name: str, address: str, key: str | None, trusted: bool) -> Source | None:
    """Fetch the registry at an address and return its entry; None where there is no registry."""
    if without_credentials(address) != address:
        raise UsageError(
            f"The address {without_credentials(address)} has a password or token in it, which cr does not keep.",
            hint="Put it into ~/.netrc, and give the address without it.",
        )
    try:
        root = probe(address)
    except (IntegrityError, MetadataError, NetworkError) as error:
        # A git server that asks for a login, or shows a page for it, answers like a broken registry.
        error.hint = f"{error.hint} If it is a git repository, end its address with .git.".strip()
        raise
    if root is None:
        return None
    keys = tuple(sorted(first_keys(root, address, key)))
    folder = home.repos / name
    shutil.rmtree(folder, ignore_errors=True)
    try:
        done = LocalRegistry(folder, address).update(keys)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    source = Source(name, address, "registry", "", False, tuple(sorted(done.keys)), (), utc_now())
    return trusting(source, done.root, None) if trusted else source


def trusting(source: Source, root: Root, publisher: str | None) -> Source:
    """Return the entry of a registry whose publishers, or one of them, are trusted with the keys they have now.

    Raises:
        NotFoundError: there is no such publisher.
    """
    known = publishers_of(root)
    if publisher is not None and publisher not in known:
        near = nearest(publisher, known)
        raise NotFoundError(
            f"`{source.name}` has no publisher `{publisher}`.",
            hint=f"Did you mean `{near[0]}`?" if near else f"It has {', '.join(sorted(known)) or 'none'}.",
        )
    if publisher is not None:
        return replace(source, trusted=True, publishers=tuple(sorted({*source.publishers, *known[publisher]})))
    # The root's own keys are among them, so that the list of a registry with keys is never empty.
    everybody = {*root.keys, *(key for keys in known.values() for key in keys)}
    return replace(source, trusted=True, publishers=tuple(sorted(everybody)))


def update_registry(
    home: Home, entry: Source, complete: bool, moved: Callable[[int, int], None]
) -> tuple[Source, bool]:
    """Bring a registry up to date, follow keys that were changed, and return its entry and whether anything changed."""
    local = LocalRegistry(home.repos / entry.name, entry.origin)
    # Detectors of trusted publishers run at every resolve, so they are here before there is one.
    done = local.update(
        entry.keys, complete=complete, wanted=(lambda row: row.kind == "soft") if entry.trusted else None, moved=moved
    )
    follow = entry.publishers and successors(entry.publishers, done.root.rotations, done.root.revoked)
    # Without a key left the list stays as it is: an empty one would mean everybody.
    publishers = tuple(sorted(follow)) if follow else entry.publishers
    now = utc_now()

    def renewed(old: Source) -> Source:
        # The user may have changed whom he trusts while this ran.
        mine = publishers if old.publishers == entry.publishers else old.publishers
        return replace(old, keys=tuple(sorted(done.keys)), publishers=mine, updated=now)

    return change(home, entry.name, renewed), done.changed
