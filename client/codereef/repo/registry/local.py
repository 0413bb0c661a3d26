# SPDX-License-Identifier: Apache-2.0
"""What this machine has of a registry: the root that was accepted last, objects, and unpacked components.

<folder>/root.json            the accepted root, as it was fetched; written last
<folder>/tag                  what the server calls that state (ETag)
<folder>/objects/ab/<sha256>  pages and shards, verified before they are here
<folder>/components/<digest>  unpacked components, verified; beside each its signature of names, sizes and times
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from codereef.disk import remove_tree, write_atomic
from codereef.errors import CrError, IntegrityError, NetworkError
from codereef.meta.component import component_digest, component_files
from codereef.repo.catalogue import Row
from codereef.repo.folder import replace_file
from codereef.repo.registry import layout
from codereef.repo.registry.fetch import Remote, check, fetch, open_remote
from codereef.repo.registry.layout import Link, Release, Root
from codereef.repo.registry.verify import check_release, check_root
from codereef.repo.scan import signature

_KEEP = 24 * 3600  # seconds that an object stays which no root names any more: another process may be reading it


@dataclass(frozen=True)
class Updated:
    """What an update did.

    Attributes:
        root: the root that is accepted now.
        keys: identities of the keys that may sign the next one.
        changed: whether it differs from the one before.
        fetched: how many pages and shards were fetched.
    """

    root: Root
    keys: frozenset[str]
    changed: bool
    fetched: int


def utc_now() -> str:
    """Return the time as ISO 8601 in UTC, to the second."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


class LocalRegistry:
    """This machine's part of a registry.

    Args:
        folder: where it is kept.
        origin: where the registry is.
        offline: fetch nothing.
    """

    def __init__(self, folder: Path, origin: str, *, offline: bool = False) -> None:
        self.folder = folder
        self.origin = origin
        self._offline = offline

    # -- the root ------------------------------------------------------------------------------------------

    def root(self) -> Root | None:
        """Return the root that was accepted last, or None where there is none.

        Raises:
            IntegrityError: the file is damaged.
        """
        try:
            data = (self.folder / "root.json").read_bytes()
        except FileNotFoundError:
            return None
        return layout.read_root(data, str(self.folder / "root.json"))

    def update(
        self,
        pinned: Collection[str],
        *,
        complete: bool = False,
        wanted: Callable[[Row], bool] | None = None,
        moved: Callable[[int, int], None] = lambda done, of: None,
    ) -> Updated:
        """Bring the registry to its newest state: the root, then pages that changed, then shards that are used.

        Nothing of the old state is touched before all of the new one is here.

        Args:
            pinned: identities of the keys that may sign the root.
            complete: fetch the shards of all components.
            wanted: tells whether the shard of a component is fetched though it was not used before; None for none.
            moved: told how many of how many objects have come.

        Raises:
            NetworkError: something could not be fetched.
            IntegrityError: something is not what it must be.
            MetadataError: it is of a newer format.
        """
        try:
            before = self.root()
        except CrError:
            # What is damaged is fetched anew; the keys that are pinned stand elsewhere.
            before = None
        remote = self._remote()
        try:
            tag = self._tag() if before is not None else ""
            answer = remote.get(layout.ROOT_FILE, layout.ROOT_LIMIT, tag)
            what = f"{remote.address}/{layout.ROOT_FILE}"
            if answer.data is None or (before is not None and answer.data == before.data):
                assert before is not None
                root = before
                # A key may have been pinned, or the clock may have passed, since it was accepted.
                keys = check_root(root, what, pinned=pinned, before=None, now=utc_now())
            else:
                root = layout.read_root(answer.data, what)
                keys = check_root(root, what, pinned=pinned, before=before, now=utc_now())
            count = self._bring(remote, [link for link in root.pages if not self.has(link)], moved)
            # Where nothing changed there is nothing to look for.
            rows = {} if root is before and not complete and wanted is None else self.rows(root)
            used = self._used(before) if before is not None and before is not root else frozenset()
            shards = [
                link
                for key, (row, link) in rows.items()
                if (complete or key in used or (wanted is not None and wanted(row))) and not self.has(link)
            ]
            count += self._bring(remote, shards, moved)
        finally:
            remote.close()
        changed = before is None or root.data != before.data
        if changed:
            write_atomic(self.folder / "root.json", root.data, what="the root of the registry")
        if answer.tag != tag:
            replace_file(self.folder / "tag", answer.tag.encode(), "the state of the registry")
        if changed:
            self._tidy({link.sha256 for link in root.pages} | {link.sha256 for _, link in rows.values()})
        return Updated(root, keys, changed, count)

    def _tag(self) -> str:
        try:
            return (self.folder / "tag").read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return ""

    def _remote(self) -> Remote:
        if self._offline and not self.origin.startswith("file://") and "://" in self.origin:
            raise NetworkError(
                f"Something of {self.origin} is needed that was not fetched before, and the setting `offline` says that no network is used.",
                hint="`cr repo update --complete` fetches everything, once there is a network.",
            )
        return open_remote(self.origin)

    def _used(self, root: Root) -> frozenset[str]:
        """Return the components whose shards are here."""
        return frozenset(key for key, (_, link) in self.rows(root).items() if self.has(link))

    # -- objects -------------------------------------------------------------------------------------------

    def path(self, link: Link) -> Path:
        """Return where an object is kept."""
        return self.folder / link.path

    def has(self, link: Link) -> bool:
        """Tell whether an object is here whole; its bytes are compared when it is read."""
        try:
            return self.path(link).stat().st_size == link.size
        except OSError:
            return False

    def _bring(self, remote: Remote, links: list[Link], moved: Callable[[int, int], None]) -> int:
        for link, data in fetch(remote, links, moved):
            self._keep(link, data)
        return len(links)

    def _keep(self, link: Link, data: bytes) -> None:
        """Write an object; one that the disk lost is seen when it is read, and fetched again."""
        replace_file(self.path(link), data, "an object of the registry")

    def read(self, link: Link) -> bytes:
        """Return an object, fetched where it is not here or damaged.

        Raises:
            NetworkError: it could not be fetched.
            IntegrityError: what the registry has is not what it should be.
        """
        with contextlib.suppress(OSError, IntegrityError):
            return check(self.path(link).read_bytes(), link, str(self.path(link)))
        remote = self._remote()
        try:
            self._bring(remote, [link], lambda done, of: None)
        finally:
            remote.close()
        return check(self.path(link).read_bytes(), link, str(self.path(link)))

    def bring(self, links: Iterable[Link]) -> None:
        """Fetch the objects that are not here, several at a time."""
        missing = [link for link in links if not self.has(link)]
        if not missing:
            return
        remote = self._remote()
        try:
            self._bring(remote, missing, lambda done, of: None)
        finally:
            remote.close()

    def rows(self, root: Root) -> dict[str, tuple[Row, Link]]:
        """Return the rows and shards of all components."""
        found: dict[str, tuple[Row, Link]] = {}
        for link in root.pages:
            found.update(layout.read_page(self.read(link), f"the page {link.sha256[:16]} of {self.origin}"))
        return found

    def releases(self, root: Root, key: str, link: Link) -> tuple[dict[str, Release], list[CrError]]:
        """Return the releases of a component that are signed as they must be, and what is wrong with others."""
        what = self.origin
        good: dict[str, Release] = {}
        wrong: list[CrError] = []
        for version, release in layout.read_shard(self.read(link), key, f"the shard of {key} in {what}").items():
            try:
                check_release(root, release, what)
                good[version] = release
            except IntegrityError as error:
                wrong.append(error)
        return good, wrong

    def _tidy(self, named: set[str]) -> None:
        """Remove pages and shards that no root names, once nobody can be reading them."""
        old = time.time() - _KEEP
        for folder in (self.folder / "objects").glob("*"):
            for file in folder.iterdir():
                with contextlib.suppress(OSError):
                    if file.name not in named and file.stat().st_mtime < old:
                        file.unlink()

    # -- components ----------------------------------------------------------------------------------------

    def component(self, release: Release, identities: Iterable[tuple[str, str]] = ()) -> Path:
        """Return the folder of a component: as it is here, or fetched, verified and unpacked now.

        Args:
            release: the version.
            identities: (identity, issuer) of which one must have signed its sigstore bundle, where it has one.

        Raises:
            NetworkError: its archive could not be fetched.
            IntegrityError: the archive or what is in it is not what was published.
        """
        readable = re.sub(r"[^a-z0-9._+!-]", "_", f"{release.meta['name']}-{release.version}".lower())[:120]
        place = self.folder / "components" / f"{readable}-{release.digest.removeprefix('sha256:')[:32]}"
        mark = place.with_name(f"{place.name}.signature")
        if place.is_dir():
            now = signature(place)
            with contextlib.suppress(OSError):
                if mark.read_text(encoding="utf-8") == now:
                    return place
        return self._unpack(release, place, mark, list(identities))

    def _unpack(self, release: Release, place: Path, mark: Path, identities: list[tuple[str, str]]) -> Path:
        import tempfile

        from codereef.archive import unpack as unpack_archive
        from codereef.store.locks import locked

        place.parent.mkdir(parents=True, exist_ok=True)
        # One process fetches; another that waited for it finds it done.
        with (
            locked(place.with_name(f".{place.name}.lock")),
            tempfile.TemporaryDirectory(dir=place.parent, prefix=".") as made,
        ):
            # Whether somebody who touched it has changed it, its digest tells.
            with contextlib.suppress(CrError, OSError):
                if place.is_dir() and component_digest(place) == release.digest:
                    replace_file(mark, signature(place).encode(), "the signature of a component")
                    return place
            if release.archive.size > layout.ARCHIVE_LIMIT:
                raise IntegrityError(
                    f"The archive of {release.reference} in {self.origin} is said to have {release.archive.size} bytes; "
                    f"at most {layout.ARCHIVE_LIMIT} are allowed.",
                    hint="Tell those who publish it: large files belong behind addresses, in `files`.",
                )
            remote = self._remote()
            what = f"the archive of {release.reference} in {remote.address}"
            try:
                data = remote.get(release.archive.path, release.archive.size).data or b""
                check(data, release.archive, what)
                if release.sigstore is not None and identities:
                    from codereef.trust.sigstore import verify_bundle

                    bundle = remote.get(release.sigstore.path, release.sigstore.size).data or b""
                    verify_bundle(data, check(bundle, release.sigstore, f"the bundle beside {what}"), identities, what)
            finally:
                remote.close()
            archive = Path(made) / "archive.tar.gz"
            archive.write_bytes(data)
            folder = Path(made) / "component"
            names = unpack_archive(archive, folder, limit_bytes=8 * layout.ARCHIVE_LIMIT)
            own = sorted(file.relative_to(folder).as_posix() for file in component_files(folder))
            if own != sorted(names):
                extra = next(name for name in names if name not in own)
                raise IntegrityError(
                    f"{what[0].upper()}{what[1:]} holds {extra}, which no digest covers.",
                    hint="Tell those who run the registry.",
                )
            if (found := component_digest(folder)) != release.digest:
                raise IntegrityError(
                    f"{what[0].upper()}{what[1:]} holds other files than were published: {found} instead of {release.digest}.",
                    hint="Tell those who run the registry.",
                    context={"expected": release.digest, "found": found},
                )
            if place.exists():
                remove_tree(place)
            folder.rename(place)
            replace_file(mark, signature(place).encode(), "the signature of a component")
        return place


def probe(origin: str) -> Root | None:
    """Return the root of what lies at an address; None where there is no registry.

    Raises:
        NetworkError: the address does not answer.
        IntegrityError: there is something, and it is no root.
        MetadataError: it is one of a newer format.
    """
    from codereef.repo.registry.fetch import Missing

    remote = open_remote(origin)
    try:
        data = remote.get(layout.ROOT_FILE, layout.ROOT_LIMIT).data
    except Missing:
        return None
    finally:
        remote.close()
    return layout.read_root(data or b"", f"{remote.address}/{layout.ROOT_FILE}")


def publishers_of(root: Root) -> Mapping[str, frozenset[str]]:
    """Return the identities of the keys of each publisher that were not revoked."""
    return {
        name: frozenset(identity for identity in publisher.keys if identity not in root.revoked)
        for name, publisher in root.publishers.items()
    }
