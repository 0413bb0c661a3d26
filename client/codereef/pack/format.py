# SPDX-License-Identifier: Apache-2.0
"""What a pack holds, as data and as its first file `pack.json`. docs/formats/pack.md is the promise."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from codereef.errors import IntegrityError

FORMAT = "codereef-pack/1"
MANIFEST = "pack.json"
LOCK = "cr.lock"
SUFFIX = ".crpack"


@dataclass(frozen=True)
class Member:
    """A file of a pack.

    Attributes:
        path: where it lies in the pack.
        sha256: its SHA-256.
        size: its bytes.
        executable: whether it may be executed.
        link: of a symbolic link, what it points to; it has no content then.
    """

    path: str
    sha256: str
    size: int
    executable: bool = False
    link: str = ""


@dataclass(frozen=True)
class PackedComponent:
    """A component: its reference, the digest of its folder, and the folder's place in the pack."""

    reference: str
    digest: str
    path: str


@dataclass(frozen=True)
class PackedFolder:
    """An installed folder: its key in the store, the digest of its listing, its place, what the installer recorded.

    `checked` says whether the component declares that digest (a generated dataset), or only this pack does (a build).
    """

    key: str
    tree: str
    path: str
    checked: bool
    meta: Mapping[str, Any]


@dataclass(frozen=True)
class PackedEnvironment:
    """A Python environment: its name in the lock, its target, and distributions whose wheel is not in the pack."""

    name: str
    target: str
    missing: tuple[str, ...]


@dataclass(frozen=True)
class Manifest:
    """A pack.

    Attributes:
        solution: `solution:name@version`.
        solution_digest: digest of the solution's folder.
        client: version of the client that wrote it.
        configurations: `id` and `target` of the configurations.
        components: components of the graph.
        folders: installed folders, as they were made.
        environments: Python environments.
        missing: what could not be packed, one sentence each.
        members: every other file of the pack, by path.
    """

    solution: str
    solution_digest: str
    client: str
    configurations: tuple[Mapping[str, str], ...]
    components: tuple[PackedComponent, ...]
    folders: tuple[PackedFolder, ...]
    environments: tuple[PackedEnvironment, ...]
    missing: tuple[str, ...]
    members: tuple[Member, ...]

    @property
    def name(self) -> str:
        """Name of the solution."""
        return self.solution.split(":")[1].split("@")[0]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(member.size for member in self.members)

    @property
    def targets(self) -> tuple[str, ...]:
        """Targets of the configurations."""
        return tuple(dict.fromkeys(c["target"] for c in self.configurations))

    def part(self, folder: str) -> list[Member]:
        """Return the files below a folder of the pack."""
        return [member for member in self.members if member.path.startswith(folder + "/")]


def to_document(manifest: Manifest) -> dict[str, Any]:
    """Return the content of `pack.json`."""
    members = []
    for member in manifest.members:
        entry: dict[str, Any] = {"path": member.path, "sha256": member.sha256, "size": member.size}
        if member.executable:
            entry["executable"] = True
        if member.link:
            entry["link"] = member.link
        members.append(entry)
    return {
        "format": FORMAT,
        "client": manifest.client,
        "solution": {"component": manifest.solution, "digest": manifest.solution_digest},
        "configurations": [dict(c) for c in manifest.configurations],
        "components": [asdict(c) for c in manifest.components],
        "folders": [{**asdict(f), "meta": dict(f.meta)} for f in manifest.folders],
        "environments": [
            {"name": e.name, "target": e.target, "missing": list(e.missing)} for e in manifest.environments
        ],
        "missing": list(manifest.missing),
        "members": members,
    }


def from_document(document: Mapping[str, Any]) -> Manifest:
    """Return the manifest that validated JSON data holds; unknown keys are left out.

    Raises:
        IntegrityError: a path could leave the folder a pack is unpacked into, two files have one place, or one
            would lie in another.
    """
    members = tuple(
        Member(m["path"], m["sha256"], m["size"], m.get("executable", False), m.get("link", ""))
        for m in document["members"]
    )
    seen: dict[str, str] = {}
    for member in members:
        check_path(member.path)
        if member.link:
            _check_link(member)
        key = unicodedata.normalize("NFC", member.path).casefold()
        if key in seen:
            raise IntegrityError(f"the files {seen[key]!r:.200} and {member.path!r:.200} have one place")
        seen[key] = member.path
    # A link above another member would lead what is written there out of the folder, whatever that member says.
    for key, path in seen.items():
        parts = key.split("/")
        for depth in range(1, len(parts)):
            above = seen.get("/".join(parts[:depth]))
            if above is not None:
                raise IntegrityError(f"{above!r:.200} is a file or link, and {path!r:.200} would lie in it")
    for part in (*document["components"], *document["folders"]):
        check_path(part["path"])
    return Manifest(
        document["solution"]["component"],
        document["solution"]["digest"],
        document["client"],
        tuple({"id": c["id"], "target": c["target"]} for c in document["configurations"]),
        tuple(PackedComponent(c["reference"], c["digest"], c["path"]) for c in document["components"]),
        tuple(
            PackedFolder(f["key"], f["tree"], f["path"], f["checked"], f.get("meta", {})) for f in document["folders"]
        ),
        tuple(PackedEnvironment(e["name"], e["target"], tuple(e["missing"])) for e in document["environments"]),
        tuple(document["missing"]),
        members,
    )


def check_path(path: str) -> None:
    """Refuse a path that is not plainly inside.

    Raises:
        IntegrityError: it is absolute, has `..`, a control sign or a backslash, or is too long.
    """
    parts = path.split("/")
    bad = (
        any(part in ("", ".", "..") for part in parts)
        or "\\" in path
        or any(ord(sign) < 32 or ord(sign) == 127 for sign in path)
        or path[1:2] == ":"
        or len(path.encode("utf-8", "surrogateescape")) > 1024
        or any(len(part.encode("utf-8", "surrogateescape")) > 255 for part in parts)
    )
    if bad:
        raise IntegrityError(f"the file {path!r:.200} would be written outside of its folder, or has no allowed name")


def _check_link(member: Member) -> None:
    """Refuse a link that leads out of the installed folder it lies in (`folders/KEY/...`)."""
    parts = member.path.split("/")
    depth = len(parts) - 3  # folders above it, inside of its own installed folder
    inside = parts[0] == "folders" and depth >= 0 and not member.link.startswith("/") and "\\" not in member.link
    for part in member.link.split("/"):
        depth += -1 if part == ".." else 0 if part in ("", ".") else 1
        inside = inside and depth >= 0
    if not inside or any(ord(sign) < 32 for sign in member.link):
        raise IntegrityError(f"the link {member.path!r:.200} leads out of its folder, to {member.link!r:.200}")
