# SPDX-License-Identifier: Apache-2.0
"""The components of a folder, through a cache of rows: nothing is read, hashed or checked again that did not change."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from codereef import __version__
from codereef.disk import storing
from codereef.embedded import data_root
from codereef.errors import CrError, MetadataError
from codereef.meta.component import META_FILE, Component, component_digest, read_meta
from codereef.repo.catalogue import Broken, Repository, Row, pack_row, row_of, unpack_row
from codereef.repo.scan import Found, scan, unreadable
from codereef.witness import looked, recording

CACHE_FORMAT = 4


@cache
def stamp() -> str:
    """Return what a cache depends on besides the components: its format, the client and the schemas."""
    parts = [str(CACHE_FORMAT), __version__]
    folder = data_root() / "schemas"
    for path in sorted(folder.glob("*.json")):
        status = path.stat()
        parts.append(f"{path.name} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}")
    return hashlib.blake2b("\n".join(parts).encode(), digest_size=16).hexdigest()


def cache_file(cache_dir: Path, what: str, root: Path) -> Path:
    """Return where the cached rows of a repository lie."""
    return cache_dir / f"{what}-{hashlib.sha256(str(root).encode()).hexdigest()[:16]}.json"


class FolderCatalogue:
    """The components of a folder.

    Args:
        repository: the repository.
        cache_dir: folder of the caches; None reads everything afresh.
    """

    def __init__(self, repository: Repository, cache_dir: Path | None) -> None:
        self.repository = repository
        self.rows: Mapping[str, Row] = {}
        self._places: Mapping[str, Mapping[str, list[str]]] = {}
        self._broken: list[Broken] = []
        self._fresh: dict[str, dict[str, Any]] = {}
        self._loaded: dict[str, list[Component]] = {}
        self._read(cache_dir)

    @property
    def broken(self) -> Sequence[Broken]:
        """What could not be read."""
        return tuple(self._broken)

    def prepare(self, keys: Iterable[str]) -> None:
        """Everything is here already."""

    def load(self, key: str) -> Sequence[Component]:
        """Return every version of a component, in the order of its row."""
        if key not in self._loaded:
            places = self._places[key]
            found = (self._component(*places[version]) for version in self.rows[key].versions)
            self._loaded[key] = [component for component in found if component is not None]
        return self._loaded[key]

    def _component(self, folder: str, digest: str, meta_digest: str) -> Component | None:
        """Return one version; None where it was changed into nonsense since the folder was looked at."""
        place = self.repository.root / folder
        meta = self._fresh.get(folder)
        if meta is None:
            try:
                data = (place / META_FILE).read_bytes()
                if _meta_digest(data) == meta_digest:
                    meta = json.loads(data)
                else:
                    meta, digest = read_meta(place / META_FILE), component_digest(place)
            except (CrError, OSError):
                return None
        return Component(meta, place, digest, self.repository.name)

    # -- reading -----------------------------------------------------------------------------------------

    def _read(self, cache_dir: Path | None) -> None:
        root = self.repository.root
        if recording():
            # Schemas say what is a component; `stamp` is worked out once.
            schemas = data_root() / "schemas"
            for place in (schemas, *schemas.glob("*.json")):
                looked(str(place))
        path = cache_file(cache_dir, "index", root) if cache_dir else None
        cached = _load(path) if path else {}
        before: Mapping[str, Any] = cached.get("folders", {})
        skip = len(str(root).rstrip("/")) + 1
        found = {entry.folder[skip:] or ".": entry for entry in scan(root)}
        now = {folder: entry.signature for folder, entry in found.items() if entry.problem is None}
        if now.keys() == before.keys() and all(before[folder][0] == signature for folder, signature in now.items()):
            self._adopt(cached)
        else:
            self._build(found, cached, path)
        for folder, entry in found.items():
            if entry.problem is not None:
                self._broken.append(Broken(root / folder / META_FILE, entry.problem))
        self._broken.sort(key=lambda broken: broken.path)

    def _adopt(self, document: Mapping[str, Any]) -> None:
        self.rows, self._places = document.get("rows", {}), document.get("places", {})
        for folder, (_, failure) in document.get("folders", {}).items():
            if isinstance(failure, list):
                message, hint, context = failure
                error = MetadataError(message, hint=hint, context=context)
                self._broken.append(Broken(self.repository.root / folder / META_FILE, error))

    def _build(self, found: Mapping[str, Found], cached: Mapping[str, Any], path: Path | None) -> None:
        """Read what changed, and make the rows of the components that it belongs to anew."""
        before: Mapping[str, Any] = cached.get("folders", {})
        known = {
            place[0]: (key, version, place)
            for key, versions in cached.get("places", {}).items()
            for version, place in versions.items()
        }
        same = {
            folder
            for folder, entry in found.items()
            if entry.problem is None and folder in before and before[folder][0] == entry.signature
        }
        folders: dict[str, Any] = {}
        read: dict[str, tuple[dict[str, Any], str, str]] = {}
        for folder, entry in found.items():
            if entry.problem is not None or (folder in same and folder in known):
                continue
            self._examine(folder, entry.signature, before[folder] if folder in same else None, folders, read)
        # A row is made of all versions of a component, so those that did not change are read too where one did.
        touched = {f"{meta['kind']}:{meta['name']}" for meta, _, _ in read.values()}
        touched |= {key for folder, (key, _, _) in known.items() if folder not in same}
        rows: dict[str, Row] = {}
        places: dict[str, dict[str, list[str]]] = {}
        for folder in found:
            if folder in same and folder in known:
                key, version, place = known[folder]
                if key in touched:
                    self._examine(folder, found[folder].signature, before[folder], folders, read)
                else:
                    folders[folder] = before[folder]
                    rows[key] = cached["rows"][key]
                    places.setdefault(key, {})[version] = place
        metas: dict[str, dict[str, dict[str, Any]]] = {}
        for folder in found:
            if folder not in read:
                continue
            meta, digest, meta_digest = read[folder]
            key = f"{meta['kind']}:{meta['name']}"
            # Of two folders with one version the first counts; `cr lint` tells of the other.
            if meta["version"] not in metas.setdefault(key, {}):
                metas[key][meta["version"]] = meta
                places.setdefault(key, {})[meta["version"]] = [folder, digest, meta_digest]
                self._fresh[folder] = meta
        rows.update({key: row_of(versions) for key, versions in metas.items()})
        self.rows, self._places = {key: rows[key] for key in sorted(rows)}, places
        if path is not None and (rows or folders or cached):
            document = {
                "stamp": stamp(),
                "folders": folders,
                "rows": [pack_row(row) for row in self.rows.values()],
                "places": places,
            }
            store_cache(path, document)

    def _examine(
        self,
        folder: str,
        signature: str,
        before: Any,
        folders: dict[str, Any],
        read: dict[str, tuple[dict[str, Any], str, str]],
    ) -> None:
        """Read one component: what was validated before (`before`) is only parsed."""
        place = self.repository.root / folder
        try:
            data = (place / META_FILE).read_bytes()
            if before is not None and isinstance(before[1], str):
                meta, digest = json.loads(data), before[1]
            else:
                meta, digest = read_meta(place / META_FILE, data), component_digest(place)
        except CrError as error:
            folders[folder] = [signature, [error.message, error.hint, error.context]]
            self._broken.append(Broken(place / META_FILE, error))
        except (OSError, ValueError) as error:
            cause = error if isinstance(error, OSError) else OSError(0, str(error))
            self._broken.append(Broken(place / META_FILE, unreadable(str(place), cause)))
        else:
            folders[folder] = [signature, digest]
            read[folder] = (meta, digest, _meta_digest(data))


def replace_file(path: Path, data: bytes, what: str) -> None:
    """Write a file whole or not at all, without waiting for the disk: for what is checked when it is read.

    Raises:
        StorageError: it cannot be written.
    """
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with storing(what, path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            beside.write_bytes(data)
            os.replace(beside, path)
        finally:
            beside.unlink(missing_ok=True)


def store_cache(path: Path, document: object) -> None:
    """Write a cache; one that cannot be written costs time, never an answer."""
    try:
        data = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
        replace_file(path, data, "the cached index")
    except (CrError, OSError, UnicodeEncodeError):
        pass


def _meta_digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _load(path: Path) -> dict[str, Any]:
    """Return a cache that this client wrote and nobody damaged; else nothing."""
    try:
        document = json.loads(path.read_bytes())
        if document["stamp"] != stamp():
            return {}
        rows = {row.key: row for row in map(unpack_row, document["rows"])}
        places = document["places"]
        whole = rows.keys() == places.keys() and all(
            set(row.versions) == set(places[key]) and all(len(place) == 3 for place in places[key].values())
            for key, row in rows.items()
        )
        known = {place[0] for versions in places.values() for place in versions.values()}
        if (
            whole
            and all(len(entry) == 2 for entry in document["folders"].values())
            and known <= set(document["folders"])
        ):
            return {"rows": rows, "places": places, "folders": document["folders"]}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass
    return {}
