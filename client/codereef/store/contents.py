# SPDX-License-Identifier: Apache-2.0
"""What an installed folder must consist of, by what was recorded when it was completed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from codereef.errors import IntegrityError

from .environments import foreign, recorded
from .hashing import Answer, digests
from .prefix import Prefix
from .tree import LISTING, Entry, difference, entries, link_digest, listing_digest, read_listing


@dataclass(frozen=True)
class Expected:
    """What a folder must hold.

    Attributes:
        rows: digest and size (-1: unknown) by relative path; a digest that begins with `>` is of a symbolic link.
        exact: whether nothing else may be there.
        problems: what is wrong with the records themselves.
    """

    rows: Mapping[bytes, tuple[str, int]]
    exact: bool
    problems: tuple[str, ...] = ()


def expected(prefix: Prefix) -> Expected:
    """Return what a folder must hold; without rows where nobody recorded anything."""
    wanted = prefix.tree or prefix.listed
    rows: dict[bytes, tuple[str, int]] = {}
    problems: list[str] = []
    if prefix.tree is None:
        found, unread = recorded(prefix.path)
        rows.update(found)
        problems += unread
    if wanted is not None:
        try:
            listing = (prefix.path / LISTING).read_bytes()
            if listing_digest(listing) != wanted:
                problems.append(f"{LISTING} does not agree with the digest {wanted} in the manifest")
            else:
                rows.update(read_listing(listing))
        except OSError as error:
            problems.append(f"{LISTING} cannot be read: {error.strerror}")
    return Expected(rows, prefix.tree is not None, tuple(problems))


@dataclass(frozen=True)
class Looked:
    """A folder and its files as they are now, not yet read.

    Attributes:
        prefix: the folder.
        expected: what it must hold.
        found: its files by relative path.
        problems: what is wrong so far.
    """

    prefix: Prefix
    expected: Expected
    found: Mapping[bytes, Entry]
    problems: tuple[str, ...]

    def reads(self) -> list[bytes]:
        """Return the names of files that must be read to know whether they are sound: recorded, there, same size."""
        return [
            name
            for name, (digest, size) in self.expected.rows.items()
            if digest[:1] != ">"
            and (entry := self.found.get(name)) is not None
            and not entry.link
            and size in (-1, entry.status.st_size)
        ]


def look(prefix: Prefix) -> Looked:
    """Return a folder's files and what they must be, without reading them."""
    want = expected(prefix)
    try:
        return Looked(prefix, want, {entry.name: entry for entry in entries(prefix.path)}, want.problems)
    except IntegrityError as error:
        return Looked(prefix, want, {}, (*want.problems, error.message))
    except OSError as error:
        return Looked(prefix, want, {}, (*want.problems, f"{error.filename} cannot be read: {error.strerror}"))


def judge(looked: Looked, answers: Mapping[bytes, Answer]) -> dict[bytes, str]:
    """Return a sentence by name of each file that is missing, changed or extra.

    Args:
        looked: the folder.
        answers: digest, or the error of reading, of each of `looked.reads()`.
    """
    if looked.problems:
        # Without its records nothing can be said of single files.
        return {}
    problems: dict[bytes, str] = {}
    rows, found = looked.expected.rows, looked.found
    for name in sorted(rows.keys() | found.keys()):
        was, entry = rows.get(name), found.get(name)
        if was is None:
            if looked.expected.exact or (looked.prefix.listed is not None and foreign(name)):
                problems[name] = difference(name, None, ("", 0))
            continue
        if entry is None:
            problems[name] = difference(name, was, None)
            continue
        now: tuple[str, int]
        if entry.link:
            try:
                now = link_digest(entry.path)
            except OSError as error:
                problems[name] = f"{os.fsdecode(name)} cannot be read: {error.strerror}"
                continue
        else:
            answer = answers.get(name, "")
            if isinstance(answer, OSError):
                problems[name] = f"{os.fsdecode(name)} cannot be read: {answer.strerror}"
                continue
            now = (answer, entry.status.st_size)
        sentence = difference(name, (was[0], now[1]) if was[1] == -1 else was, now)
        if sentence:
            problems[name] = sentence
    return problems


def check(prefix: Prefix, *, jobs: int | None = None) -> list[str]:
    """Read a folder's files and return what is wrong with them, one sentence each."""
    looked = look(prefix)
    names = [] if looked.problems else looked.reads()
    answers = digests([(looked.found[name].path, looked.found[name].status.st_size) for name in names], jobs=jobs)
    return [*looked.problems, *judge(looked, dict(zip(names, answers))).values()]
