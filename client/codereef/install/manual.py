# SPDX-License-Identifier: Apache-2.0
"""The `manual` back-end: data that the user brings. Nothing is fetched, copied or changed; it is checked.

What is looked at, always: which files there are, how many, in how many folders, their names, and that none is
empty. Where the component knows the digest of the content, that too; a digest is computed again only when a file's
size or time has changed.
"""

from __future__ import annotations

import fnmatch
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codereef.canonical import digest_of, sha256_file
from codereef.disk import write_atomic
from codereef.errors import CrError, NeedsYouError
from codereef.meta.component import Component
from codereef.meta.selection import select


@dataclass(frozen=True)
class Brought:
    """Data that was found and is what its component expects.

    Attributes:
        folder: where it lies.
        said: how the user said so: an option, a variable or the setting.
        digest: `sha256:`; over the content where the component knows it, else over names and sizes.
        files: number of files.
        size: their bytes.
        checked: what the digest covers: `content`, or `names and sizes`.
    """

    folder: Path
    said: str
    digest: str
    files: int
    size: int
    checked: str

    def facts(self) -> dict[str, Any]:
        """Return what a lock keeps of it."""
        return {"files": self.files, "bytes": self.size, "checked": self.checked}


@dataclass(frozen=True)
class _File:
    name: str
    path: Path
    size: int
    time: int


def place_of(
    component: Component, given: Mapping[str, str], environ: Mapping[str, str], kept: Mapping[str, str]
) -> tuple[Path, str] | None:
    """Return the folder the user named for a component's data and how they said so, or None.

    Args:
        component: one that is installed by `manual`.
        given: folder by component name, from options of the command; they win.
        environ: environment variables; they come next.
        kept: folder by component name, from the settings.
    """
    variable = str(component.meta["install"]["env"])
    for folder, said in (
        (given.get(component.name), "--data"),
        (environ.get(variable), f"the variable {variable}"),
        (kept.get(component.name), "the setting `data`"),
    ):
        if folder:
            return Path(folder).expanduser().absolute(), said
    return None


def instructions(component: Component) -> str:
    """Return the component's own instructions, and the ways to name the folder."""
    install = component.meta["install"]
    return (
        f"{str(install['instructions']).strip()}\n"
        f"Then name the folder: `cr init SOLUTION --data {component.name}=FOLDER` (kept in the setting `data`), "
        f"or {install['env']}=FOLDER in the environment."
    )


def examine(
    component: Component, facts: Mapping[str, str], place: tuple[Path, str] | None, cache: Path | None
) -> Brought:
    """Check the data a user brought.

    Args:
        component: one that is installed by `manual`.
        facts: what conditions can ask for.
        place: the folder and how the user named it (`place_of`).
        cache: folder for digests already computed; None computes them again.

    Raises:
        NeedsYouError: no folder is named, or it has not what is expected; the message has the instructions.
    """
    if place is None:
        raise _needs(component, f"{component.reference} is data that you have to bring, and no folder is named for it.")
    folder, said = place
    if not folder.is_dir():
        raise _needs(component, f"{component.reference}: {folder} (from {said}) is not a folder.")
    wrong: list[str] = []
    everything: dict[str, _File] = {}
    contents: list[str] = []
    for expected in select(component.meta["install"]["expect"], facts):
        found = _matching(folder, str(expected["glob"]))
        everything.update((file.name, file) for file in found)
        problems = _problems(expected, found)
        if "digest" in expected and not problems:
            content = _content_digest(folder, found, cache)
            contents.append(content)
            if content != expected["digest"]:
                problems.append(f"their digest is {content}; {expected['digest']} was expected")
        wrong += [f"{expected['glob']}: {problem}" for problem in problems]
    if wrong:
        listed = "\n".join(f"  · {line}" for line in wrong[:6])
        raise _needs(component, f"{component.reference}: {folder} (from {said}) is not what is expected:\n{listed}")
    files = sorted(everything.values(), key=lambda file: os.fsencode(file.name))
    complete = bool(contents) and len(contents) == len(select(component.meta["install"]["expect"], facts))
    listing = "".join(f"{file.size} {file.name}\n" for file in files)
    digest = digest_of(contents) if complete else "sha256:" + hashlib.sha256(os.fsencode(listing)).hexdigest()
    return Brought(
        folder, said, digest, len(files), sum(f.size for f in files), "content" if complete else "names and sizes"
    )


def _needs(component: Component, message: str) -> NeedsYouError:
    install = component.meta["install"]
    return NeedsYouError(
        f"{message}\n{instructions(component)}",
        hint="Nothing was installed or changed. Do that, then run the same command again.",
        context={
            "component": str(component.reference),
            "env": install["env"],
            "instructions": install["instructions"],
        },
    )


def _matching(folder: Path, pattern: str) -> list[_File]:
    """Return the files below `folder` that a pattern means, sorted bytewise by path; links are followed."""
    places = [(folder, "")]
    *folders, last = pattern.split("/")
    for part in folders:
        following = []
        for place, prefix in places:
            for entry in _entries(place):
                if fnmatch.fnmatchcase(entry.name, part) and entry.is_dir():
                    following.append((Path(entry.path), f"{prefix}{entry.name}/"))
        places = following
    found = []
    for place, prefix in places:
        for entry in _entries(place):
            if fnmatch.fnmatchcase(entry.name, last) and entry.is_file():
                status = entry.stat()
                found.append(_File(prefix + entry.name, Path(entry.path), status.st_size, status.st_mtime_ns))
    return sorted(found, key=lambda file: os.fsencode(file.name))


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        raise NeedsYouError(
            f"{folder} cannot be read: {error.strerror}.", hint="Make the data readable for you, then try again."
        ) from None


def _problems(expected: Mapping[str, Any], found: Sequence[_File]) -> list[str]:
    problems = []
    if len(found) != expected["count"]:
        problems.append(f"{len(found)} files are there; {expected['count']} were expected")
    folders = len({file.name.rpartition("/")[0] for file in found})
    if "folders" in expected and found and folders != expected["folders"]:
        problems.append(f"they lie in {folders} folders; {expected['folders']} were expected")
    empty = [file.name for file in found if file.size == 0]
    if empty:
        problems.append(f"{len(empty)} of them are empty, such as {empty[0]}")
    if "names" in expected and not problems:
        names = sorted(os.fsencode(file.name.rpartition("/")[2]) for file in found)
        digest = "sha256:" + hashlib.sha256(b"".join(name + b"\n" for name in names)).hexdigest()
        if digest != expected["names"]:
            problems.append(f"as many as expected, but with other names: {names[0].decode(errors='replace')}, …")
    return problems


def _content_digest(folder: Path, files: Sequence[_File], cache: Path | None) -> str:
    """Return the digest of the files' content, from the cache where no size and time has changed."""
    signature = digest_of([str(folder), [[file.name, file.size, file.time] for file in files]])
    place = cache / f"data-{signature[7:23]}.json" if cache is not None else None
    if place is not None:
        try:
            known = json.loads(place.read_bytes())
            if known["signature"] == signature:
                return str(known["digest"])
        except (OSError, ValueError, KeyError, TypeError):
            pass
    lines = b"".join(os.fsencode(f"{sha256_file(file.path)} {file.size} {file.name}\n") for file in files)
    digest = "sha256:" + hashlib.sha256(lines).hexdigest()
    if place is not None:
        try:
            write_atomic(place, json.dumps({"signature": signature, "digest": digest}))
        except CrError:
            pass  # A cache that cannot be written costs time, never an answer.
    return digest
