# SPDX-License-Identifier: Apache-2.0
"""The components of a registry, from what this machine has of it; shards and archives come when they are asked for.

What was verified and validated once is kept in the cache in that form, so that a warm command needs neither
signatures nor schemas; nor the modules that fetch and unpack, which are imported when there is something to do.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codereef.canonical import digest_of
from codereef.errors import CrError, IntegrityError
from codereef.meta.component import Component, Published, check_meta
from codereef.repo.catalogue import Broken, Repository, Row, pack_row, unpack_row
from codereef.repo.folder import cache_file, stamp, store_cache
from codereef.witness import doubt, looked

if TYPE_CHECKING:
    from codereef.repo.registry.layout import Link, Release, Root
    from codereef.repo.registry.local import LocalRegistry


class RegistryCatalogue:
    """The components of a registry.

    Args:
        repository: the repository; its root is the folder of what was fetched.
        cache_dir: folder of the caches; None reads everything afresh.
        offline: fetch nothing.
    """

    def __init__(self, repository: Repository, cache_dir: Path | None, *, offline: bool = False) -> None:
        self.repository = repository
        self.rows: Mapping[str, Row] = {}
        self._shards: Mapping[str, tuple[str, int]] = {}
        self._trust = ""
        self._broken: list[Broken] = []
        self._offline = offline
        self._cache = cache_dir
        self._loaded: dict[str, list[Component]] = {}
        try:
            self._open()
        except CrError as error:
            # What is missing may come without anything that was looked at changing.
            doubt()
            self._broken.append(Broken(repository.root / "root.json", error))

    @property
    def broken(self) -> Sequence[Broken]:
        """What could not be read, of what was looked at so far."""
        return tuple(self._broken)

    @functools.cached_property
    def _local(self) -> LocalRegistry:
        from codereef.repo.registry.local import LocalRegistry

        return LocalRegistry(self.repository.root, self.repository.origin, offline=self._offline)

    def _link(self, key: str) -> Link:
        from codereef.repo.registry.layout import Link

        return Link(*self._shards[key])

    @functools.cached_property
    def _root(self) -> Root:
        root = self._local.root()
        if root is None:
            raise IntegrityError(
                f"Nothing of the registry {self.repository.origin} is here.",
                hint=f"`cr repo update {self.repository.name}` fetches it.",
            )
        return root

    def _open(self) -> None:
        looked(str(self.repository.root / "root.json"))
        try:
            state = hashlib.sha256((self.repository.root / "root.json").read_bytes()).hexdigest()
        except OSError:
            state = ""
        path = cache_file(self._cache, "registry", self.repository.root) if self._cache else None
        if path is not None and self._read_cache(path, state):
            return
        found = self._local.rows(self._root)
        self.rows = {key: row for key, (row, _) in found.items()}
        self._shards = {key: (link.sha256, link.size) for key, (_, link) in found.items()}
        self._trust = trust_state(self._root)
        if path is not None:
            rows = [[*pack_row(row), link.sha256, link.size] for row, link in found.values()]
            store_cache(path, {"stamp": stamp(), "root": state, "trust": self._trust, "rows": rows})

    def _read_cache(self, path: Path, state: str) -> bool:
        try:
            document = json.loads(path.read_bytes())
            if document["stamp"] != stamp() or document["root"] != state:
                return False
            rows, shards = {}, {}
            for *data, sha256, size in document["rows"]:
                row = unpack_row(data)
                key = f"{row.kind}:{row.name}"
                rows[key] = row
                shards[key] = (sha256, size)
            self.rows, self._shards, self._trust = rows, shards, document["trust"]
        except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
            return False
        return True

    def prepare(self, keys: Iterable[str]) -> None:
        """Fetch the shards of components that are not here, several at a time."""
        missing = [self._link(key) for key in keys if key not in self._loaded and self._cached(key) is None]
        if missing:
            self._local.bring(missing)

    def load(self, key: str) -> Sequence[Component]:
        """Return every version of a component that is signed as it must be and follows its schema, in the row's order.

        Raises:
            NetworkError: its shard could not be fetched.
            IntegrityError: its shard is not what the registry says.
        """
        doubt()  # A shard may be fetched; and the folder of a component, when it is used.
        if key not in self._loaded:
            releases = self._releases(key)
            self._loaded[key] = [self._component(releases[v]) for v in self.rows[key].versions if v in releases]
        return self._loaded[key]

    def _component(self, release: Release) -> Component:
        meta = {**release.meta, "yanked": release.yanked} if release.yanked else release.meta
        signer = str(release.signature["key"]) if release.signature else ""
        published = Published(release.publisher, signer, release.time, release.archive.size, self._identity(release))
        place = functools.partial(self._place, release)
        return Component(meta, place, release.digest, self.repository.name, published)

    def _identity(self, release: Release) -> str:
        if release.sigstore is None:
            return ""
        return ", ".join(f"{identity} by {issuer}" for identity, issuer in self._identities(release))

    def _identities(self, release: Release) -> Sequence[tuple[str, str]]:
        publisher = self._root.publishers.get(release.publisher)
        return publisher.identities if publisher else ()

    def _place(self, release: Release) -> Path:
        identities = self._identities(release) if release.sigstore is not None else ()
        return self._local.component(release, identities)

    # -- shards --------------------------------------------------------------------------------------------

    def _cached(self, key: str) -> Path | None:
        """Return where a verified and validated shard is kept, where it is."""
        path = self._cache_path(key)
        return path if path is not None and path.is_file() else None

    def _cache_path(self, key: str) -> Path | None:
        if self._cache is None:
            return None
        state = hashlib.blake2b(f"{stamp()} {self._trust}".encode(), digest_size=8).hexdigest()
        return self._cache / "shards" / state / f"{self._shards[key][0]}.json"

    def _releases(self, key: str) -> dict[str, Release]:
        path = self._cached(key)
        if path is not None:
            try:
                document = json.loads(path.read_bytes())
                wrong = [_error(data) for data in document["wrong"]]
                releases = {data["meta"]["version"]: _release(data) for data in document["versions"]}
                self._note(key, wrong)
                return releases
            except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
                pass
        releases, wrong = self._local.releases(self._root, key, self._link(key))
        for version, release in list(releases.items()):
            try:
                check_meta(release.meta, f"{release.reference} of {self.repository.origin}")
            except CrError as error:
                del releases[version]
                wrong.append(error)
        target = self._cache_path(key)
        if target is not None:
            store_cache(
                target,
                {
                    "versions": [release.data() for release in releases.values()],
                    "wrong": [[error.code, error.message, error.hint] for error in wrong],
                },
            )
        self._note(key, wrong)
        return releases

    def _note(self, key: str, wrong: Iterable[CrError]) -> None:
        place = self.repository.root / key.partition(":")[2] / "cr.json"
        self._broken.extend(Broken(place, error) for error in wrong)


def trust_state(root: Root) -> str:
    """Return what changes when other signatures count."""
    return digest_of([root.signed.get("keys"), root.signed.get("publishers"), root.signed.get("revoked")])


def _error(data: Sequence[str]) -> CrError:
    code, message, hint = data
    error = IntegrityError(message, hint=hint) if code == IntegrityError.code else CrError(message, hint=hint)
    error.code = code
    return error


def _release(data: Mapping[str, Any]) -> Release:
    from codereef.repo.registry.layout import Release, read_link

    return Release(
        meta=data["meta"],
        digest=data["digest"],
        archive=read_link(data["archive"]),
        time=data["time"],
        publisher=data.get("publisher", ""),
        signature=data.get("signature"),
        sigstore=read_link(data["sigstore"]) if "sigstore" in data else None,
        yanked=data.get("yanked", ""),
    )
