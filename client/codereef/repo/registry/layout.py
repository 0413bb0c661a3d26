# SPDX-License-Identifier: Apache-2.0
"""The documents of a registry as data: read with every doubt, written the same for the same content."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from codereef.canonical import canonical_json, digest_of
from codereef.errors import IntegrityError, MetadataError
from codereef.meta.reference import KINDS
from codereef.repo.catalogue import Row

ROOT_FILE = "registry.json"
ROOT_FORMAT = "codereef-registry/1"
PAGE_FORMAT = "codereef-page/1"
SHARD_FORMAT = "codereef-shard/1"
RELEASE_FORMAT = "codereef-release/1"
ROOT_LIMIT = 8 << 20  # bytes of a root
OBJECT_LIMIT = 64 << 20  # bytes of a page or shard, packed and unpacked
ARCHIVE_LIMIT = 256 << 20  # bytes of an archive; what is larger belongs behind an address, in `files`
_SHA256 = re.compile(r"^[0-9a-f]{64}$")
_NAME = re.compile(r"^[a-z0-9][a-z0-9._-]{0,99}\Z")


@dataclass(frozen=True)
class Link:
    """An object by what is in it.

    Attributes:
        sha256: in hexadecimal.
        size: bytes.
    """

    sha256: str
    size: int

    @property
    def path(self) -> str:
        """Where it lies below the registry."""
        return f"objects/{self.sha256[:2]}/{self.sha256}"

    def data(self) -> dict[str, Any]:
        """Return it as JSON data."""
        return {"sha256": self.sha256, "size": self.size}


def link_of(data: bytes) -> Link:
    """Return the link to an object."""
    return Link(hashlib.sha256(data).hexdigest(), len(data))


@dataclass(frozen=True)
class Publisher:
    """Who may publish in a registry.

    Attributes:
        keys: public keys in base64 by identity.
        identities: (identity, issuer) by which sigstore knows him.
    """

    keys: Mapping[str, str]
    identities: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Root:
    """The root document.

    Attributes:
        registry: name the registry calls itself by.
        sequence: grows with every change.
        time: when it was written, ISO 8601 in UTC.
        expires: when it should be believed no longer, or "".
        keys: public keys in base64, by identity, that may sign the root.
        publishers: who may publish, by name.
        rotations: statements by which a key names the one that follows it.
        revoked: reasons by identity of keys whose signatures count no more.
        pages: the pages.
        components: how many components there are.
        signatures: signatures of the document.
        signed: the signed part as it was read.
        data: the whole as it was read.
    """

    registry: str
    sequence: int
    time: str
    expires: str = ""
    keys: Mapping[str, str] = field(default_factory=dict)
    publishers: Mapping[str, Publisher] = field(default_factory=dict)
    rotations: tuple[Any, ...] = ()
    revoked: Mapping[str, str] = field(default_factory=dict)
    pages: tuple[Link, ...] = ()
    components: int = 0
    signatures: tuple[Mapping[str, Any], ...] = ()
    signed: Mapping[str, Any] = field(default_factory=dict, repr=False)
    data: bytes = field(default=b"", repr=False)

    def document(self) -> dict[str, Any]:
        """Return the signed part as JSON data, made from the fields."""
        document: dict[str, Any] = {
            "format": ROOT_FORMAT,
            "registry": self.registry,
            "sequence": self.sequence,
            "time": self.time,
            "keys": dict(self.keys),
            "publishers": {
                name: {
                    "keys": dict(publisher.keys),
                    "identities": [{"identity": i, "issuer": issuer} for i, issuer in publisher.identities],
                }
                for name, publisher in self.publishers.items()
            },
            "rotations": list(self.rotations),
            "revoked": dict(self.revoked),
            "pages": [page.data() for page in self.pages],
            "components": self.components,
        }
        return {**document, "expires": self.expires} if self.expires else document


@dataclass(frozen=True)
class Release:
    """One version of a component in a shard.

    Attributes:
        meta: its `cr.json`.
        digest: of the component's folder.
        archive: its archive.
        time: when it was published.
        publisher: who published it, or "".
        signature: signature of the statement by the publisher's key, or None.
        sigstore: its sigstore bundle, or None.
        yanked: why it was withdrawn, or "".
    """

    meta: Mapping[str, Any]
    digest: str
    archive: Link
    time: str
    publisher: str = ""
    signature: Mapping[str, Any] | None = None
    sigstore: Link | None = None
    yanked: str = ""

    @property
    def version(self) -> str:
        return str(self.meta["version"])

    @property
    def reference(self) -> str:
        return f"{self.meta['kind']}:{self.meta['name']}@{self.meta['version']}"

    def statement(self) -> dict[str, Any]:
        """Return what the publisher signs: everything that must never change of a version."""
        return {
            "format": RELEASE_FORMAT,
            "component": self.reference,
            "meta": digest_of(self.meta),
            "digest": self.digest,
            "archive": self.archive.data(),
            "publisher": self.publisher,
            "time": self.time,
        }

    def data(self) -> dict[str, Any]:
        """Return it as JSON data."""
        document: dict[str, Any] = {
            "meta": self.meta,
            "digest": self.digest,
            "archive": self.archive.data(),
            "time": self.time,
        }
        if self.publisher:
            document["publisher"] = self.publisher
        if self.signature is not None:
            document["signature"] = dict(self.signature)
        if self.sigstore is not None:
            document["sigstore"] = self.sigstore.data()
        if self.yanked:
            document["yanked"] = self.yanked
        return document


def pack(document: object) -> bytes:
    """Return a document as an object: canonical JSON, gzip without time."""
    return gzip.compress(canonical_json(document), compresslevel=6, mtime=0)


def unpack(data: bytes, what: str) -> Any:
    """Read an object.

    Raises:
        IntegrityError: it is not gzip of JSON, or too large.
    """
    try:
        stream = zlib.decompressobj(wbits=31)
        text = stream.decompress(data, OBJECT_LIMIT)
        if stream.unconsumed_tail:
            raise IntegrityError(f"{what} unpacks to more than {OBJECT_LIMIT} bytes.")
        if not stream.eof:
            raise IntegrityError(f"{what} is truncated.")
        return json.loads(text, parse_constant=_no_constant)
    except (zlib.error, ValueError, RecursionError) as error:
        raise IntegrityError(f"{what} cannot be read: {error}.", hint="Tell those who run the registry.") from None


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _format(document: Any, wanted: str, what: str) -> Mapping[str, Any]:
    found = document.get("format") if isinstance(document, Mapping) else None
    if found == wanted:
        return dict(document)
    kind = wanted.split("/")[0]
    if isinstance(found, str) and found.startswith(kind + "/"):
        raise MetadataError(
            f"{what} has the format {found[:60]}; this client reads {wanted}.",
            hint="The registry was made for a newer client: upgrade codereef. What was fetched before stays usable.",
            context={"format": found[:60], "known": wanted},
        )
    raise IntegrityError(f"{what} is no {kind} document.", hint="Check the address of the registry.")


def _shape(what: str, error: Exception) -> IntegrityError:
    return IntegrityError(
        f"{what} does not have the shape that its format asks for ({type(error).__name__}: {error}).",
        hint="Tell those who run the registry; docs/formats/registry.md has the format.",
    )


def read_link(data: Any) -> Link:
    """Read a link.

    Raises:
        ValueError, KeyError, TypeError: it is none.
    """
    sha256, size = data["sha256"], data["size"]
    if not isinstance(sha256, str) or not _SHA256.match(sha256) or type(size) is not int or size < 0:
        raise ValueError(f"not a link: {str(data)[:100]}")
    return Link(sha256, size)


def line(text: object) -> str:
    """Return a text as one line without signs that a terminal would obey: a registry is written by others."""
    whole = str(text)
    if not whole.isprintable():
        whole = "".join(sign if sign.isprintable() else " " for sign in whole)
    return whole.strip()


def is_name(text: object) -> bool:
    """Tell whether a text can be the name of a registry, a publisher or a component."""
    return isinstance(text, str) and _NAME.match(text) is not None


def _texts(data: Any) -> dict[str, str]:
    if not isinstance(data, Mapping) or not all(isinstance(k, str) and isinstance(v, str) for k, v in data.items()):
        raise ValueError(f"not texts by name: {str(data)[:100]}")
    return dict(data)


def read_root(data: bytes, what: str) -> Root:
    """Read a root; nothing is verified yet.

    Raises:
        IntegrityError: it is no root.
        MetadataError: it is one of a newer format.
    """
    try:
        whole = json.loads(data, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise IntegrityError(f"{what} is not JSON.", hint="Check the address of the registry.") from None
    signed = whole.get("signed") if isinstance(whole, Mapping) else None
    document = _format(signed, ROOT_FORMAT, what)
    try:
        canonical_json(document)
        if type(document["sequence"]) is not int or document["sequence"] < 1:
            raise ValueError("`sequence` is no number from 1")
        if not is_name(document["registry"]) or not isinstance(document["time"], str):
            raise ValueError("`registry` is no name, or `time` no text")
        if not all(is_name(name) for name in document["publishers"]):
            raise ValueError("a publisher has a name that is none")
        signatures = whole["signatures"]
        if not isinstance(signatures, list):
            raise ValueError("`signatures` is no list")
        return Root(
            registry=document["registry"],
            sequence=document["sequence"],
            time=line(document["time"]),
            expires=line(document.get("expires", "")),
            keys=_texts(document["keys"]),
            publishers={
                str(name): Publisher(
                    _texts(entry["keys"]),
                    tuple((line(i["identity"]), line(i["issuer"])) for i in entry.get("identities", ())),
                )
                for name, entry in document["publishers"].items()
            },
            rotations=tuple(
                {**entry, "signed": _texts(entry["signed"]), "signature": _texts(entry["signature"])}
                for entry in document.get("rotations", ())
            ),
            revoked={key: line(reason) for key, reason in _texts(document.get("revoked", {})).items()},
            pages=tuple(read_link(entry) for entry in document["pages"]),
            components=int(document["components"]),
            signatures=tuple(_texts(entry) for entry in signatures),
            signed=document,
            data=data,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _shape(what, error) from None


def write_root(root: Root, signatures: list[dict[str, str]]) -> bytes:
    """Return a root document with its signatures."""
    return canonical_json({"signed": root.document(), "signatures": signatures}) + b"\n"


def page_entry(row: Row, shard: Link) -> dict[str, Any]:
    """Return what a page says of one component."""
    entry: dict[str, Any] = {"shard": shard.data(), "versions": list(row.versions), "summary": row.summary}
    for name in ("yanked", "tags", "capability", "task"):
        if getattr(row, name):
            value = getattr(row, name)
            entry[name] = list(value) if isinstance(value, tuple) else value
    if set(row.all_tags) != set(row.tags):
        entry["all_tags"] = list(row.all_tags)
    if row.capabilities != ((row.capability,) if row.capability else ()):
        entry["capabilities"] = list(row.capabilities)
    return entry


def _words(entry: Mapping[str, Any], name: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
    value = entry.get(name)
    if value is None:
        return default
    if not isinstance(value, list) or not all(
        isinstance(word, str) and word and word.isprintable() and " " not in word for word in value
    ):
        raise ValueError(f"`{name}` is no list of words")
    return tuple(value)


def read_page(data: bytes, what: str) -> dict[str, tuple[Row, Link]]:
    """Read a page: rows and shards by `kind:name`. Components of a kind this client does not know are left out.

    Raises:
        IntegrityError: it is no page.
        MetadataError: it is one of a newer format.
    """
    document = _format(unpack(data, what), PAGE_FORMAT, what)
    rows: dict[str, tuple[Row, Link]] = {}
    try:
        for key, entry in document["components"].items():
            kind, _, name = key.partition(":")
            if kind not in KINDS:
                continue
            versions = _words(entry, "versions")
            if not is_name(name) or not versions:
                raise ValueError(f"`{key[:60]}` is no component")
            tags, capability = _words(entry, "tags"), line(entry.get("capability", ""))
            row = Row(
                kind,
                name,
                versions,
                _words(entry, "yanked"),
                line(entry["summary"]),
                tags,
                capability,
                line(entry.get("task", "")),
                _words(entry, "all_tags", tags),
                _words(entry, "capabilities", (capability,) if capability else ()),
            )
            rows[key] = (row, read_link(entry["shard"]))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _shape(what, error) from None
    return rows


def shard_document(key: str, releases: Mapping[str, Release]) -> dict[str, Any]:
    """Return a shard as JSON data; versions sorted as text."""
    return {
        "format": SHARD_FORMAT,
        "component": key,
        "versions": [releases[version].data() for version in sorted(releases)],
    }


def read_shard(data: bytes, key: str, what: str) -> dict[str, Release]:
    """Read a shard: releases by version. Their metadata is not validated, and nothing is verified.

    Raises:
        IntegrityError: it is no shard, or one of another component.
        MetadataError: it is one of a newer format.
    """
    document = _format(unpack(data, what), SHARD_FORMAT, what)
    if document.get("component") != key:
        raise IntegrityError(f"{what} is said to be of {key}, and is of {str(document.get('component'))[:100]}.")
    releases: dict[str, Release] = {}
    try:
        for entry in document["versions"]:
            meta = entry["meta"]
            if f"{meta['kind']}:{meta['name']}" != key or not isinstance(meta["version"], str):
                raise ValueError("it has a version of another component")
            signature = entry.get("signature")
            if signature is not None:
                _texts(signature)
            if not isinstance(meta, Mapping):
                raise ValueError("`meta` is none")
            if not isinstance(entry["digest"], str) or not _SHA256.match(entry["digest"].removeprefix("sha256:")):
                raise ValueError("`digest` is none")
            if meta["version"] in releases:
                raise ValueError(f"the version {meta['version'][:40]} stands twice")
            releases[meta["version"]] = Release(
                meta=meta,
                digest=entry["digest"],
                archive=read_link(entry["archive"]),
                time=str(entry["time"]),
                publisher=line(entry.get("publisher", "")),
                signature=signature,
                sigstore=read_link(entry["sigstore"]) if "sigstore" in entry else None,
                yanked=line(entry.get("yanked", "")),
            )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _shape(what, error) from None
    return releases
