# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: PTH100, PTH112, PTH113, PTH114, PTH115, PTH116, PTH117, PTH118, PTH119, PTH120, PTH207, PTH208
"""Finds candidate executables: environment variables, PATH, then the detectors' own patterns.

Folders of shims (pyenv, asdf, mise) are replaced by the folders of the real programs behind them: the
shim is a script that answers for whichever version is selected in the current folder, so neither its
answer nor its digest would mean anything.

Paths are plain strings in this room: an object for each name looked at is what a warm run would pay for.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase, translate

from codereef.detect.spec import Detector
from codereef.witness import looked, recording

WINDOWS = os.name == "nt"
_MAGIC = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True)
class Candidate:
    """An executable that may be what detector number `detector` looks for.

    Attributes:
        detector: index into the detectors searched for.
        path: absolute path as found.
        real: path with every link resolved.
        rank: place in the search order; smaller comes first.
        signature: size, modification time and inode of the real file, and of the `pyvenv.cfg` that makes
            a link to an interpreter an environment of its own.
        environment: the folder with that `pyvenv.cfg`, or an empty string.
    """

    detector: int
    path: str
    real: str
    rank: tuple[int, ...]
    signature: str
    environment: str


def plain_name(path: str) -> str:
    """Return the program's name without folder, and without `.exe` on Windows."""
    name = os.path.basename(path)
    return name[:-4] if WINDOWS and name.lower().endswith(".exe") else name


def _matches(name: str, pattern: str) -> bool:
    """As `fnmatchcase`, but an expression is made only of a pattern that begins as the name does."""
    magic = _MAGIC.search(pattern)
    if magic is None:
        return name == pattern
    return name.startswith(pattern[: magic.start()]) and fnmatchcase(name, pattern)


def matches_name(detector: Detector, name: str) -> bool:
    """Return whether `name` is one of the names or patterns the detector looks for."""
    return any(_matches(name, pattern) for pattern in detector.executables)


def _place_of(detector: Detector, name: str) -> int:
    matching = (i for i, pattern in enumerate(detector.executables) if _matches(name, pattern))
    return next(matching, len(detector.executables))


def _natural(name: str) -> tuple[tuple[int, ...], str]:
    return tuple(int(part) for part in re.findall(r"\d+", name)[:6]), name


def _subfolders(folder: str) -> list[str]:
    looked(folder)
    try:
        return sorted(os.listdir(folder), key=_natural, reverse=True)
    except OSError:
        return []


def _pyenv_selection(root: str, environ: Mapping[str, str]) -> list[str]:
    chosen = environ.get("PYENV_VERSION", "")
    if not chosen:
        looked(os.path.join(root, "version"))
        try:
            with open(os.path.join(root, "version"), encoding="utf-8") as stream:
                chosen = stream.read(4096)
        except (OSError, UnicodeDecodeError):
            chosen = ""
    return chosen.replace(":", " ").split()


def _behind_shims(folder: str, environ: Mapping[str, str]) -> list[str] | None:
    root, name = os.path.split(folder)
    if name != "shims":
        return None
    versions = os.path.join(root, "versions")
    looked(versions)
    if os.path.isdir(versions):
        present = _subfolders(versions)
        selected = [version for version in _pyenv_selection(root, environ) if version in present]
        rest = [version for version in present if version not in selected]
        return [os.path.join(versions, version, "bin") for version in selected + rest]
    installs = os.path.join(root, "installs")
    looked(installs)
    if os.path.isdir(installs):
        return [
            os.path.join(installs, tool, version, "bin")
            for tool in sorted(_subfolders(installs))
            for version in _subfolders(os.path.join(installs, tool))
        ]
    return None


def search_folders(environ: Mapping[str, str]) -> list[tuple[tuple[int, ...], str]]:
    """Return the folders to look in, with their rank; links to the same folder appear once.

    Relative entries of PATH are passed over: what they mean depends on the current folder.
    """
    found: list[tuple[tuple[int, ...], str]] = []
    seen: set[str] = set()
    for index, entry in enumerate(environ.get("PATH", os.defpath).split(os.pathsep)):
        if not os.path.isabs(entry):
            continue
        folder = os.path.normpath(entry)
        behind = _behind_shims(folder, environ)
        for place, real_folder in enumerate([folder] if behind is None else behind):
            looked(real_folder)
            identity = os.path.realpath(real_folder)
            if identity not in seen:
                seen.add(identity)
                found.append(((1, index, place), real_folder))
    return found


def _environment_of(path: str) -> tuple[str, str]:
    folder = os.path.dirname(path)
    for home in (os.path.dirname(folder), folder):
        looked(os.path.join(home, "pyvenv.cfg"))
        try:
            status = os.stat(os.path.join(home, "pyvenv.cfg"))
        except OSError:
            continue
        return home, f"{status.st_size}.{status.st_mtime_ns}.{status.st_ino}"
    return "", ""


def _look_along(path: str) -> None:
    """Tell an open recorder of a path, and of the folders of the links that lead from it to a file."""
    looked(path)
    for _ in range(40):
        if not os.path.islink(path):
            break
        looked(os.path.dirname(path))
        path = os.path.normpath(os.path.join(os.path.dirname(path), os.readlink(path)))
    looked(path)


def _candidate(index: int, detector: Detector, path: str, rank: tuple[int, ...]) -> Candidate | None:
    if recording():
        _look_along(path)
    try:
        status = os.stat(path)
    except OSError:
        return None
    if not (status.st_mode & 0o170000 == 0o100000 and os.access(path, os.X_OK)):
        return None
    home, home_signature = ("", "")
    if detector.capability == "compiler.python":
        home, home_signature = _environment_of(path)
    signature = f"{status.st_size}.{status.st_mtime_ns}.{status.st_ino}|{home_signature}"
    return Candidate(index, path, os.path.realpath(path), rank, signature, home)


def _from_variables(
    detectors: Sequence[Detector], environ: Mapping[str, str]
) -> Iterator[tuple[int, str, tuple[int, ...]]]:
    for index, detector in enumerate(detectors):
        for place, variable in enumerate(detector.env):
            value = environ.get(variable, "").strip()
            if not value:
                continue
            import shlex
            import shutil

            looked(os.path.abspath(value))
            try:
                words = [value] if os.path.isfile(value) else shlex.split(value)
            except ValueError:
                continue
            # In "ccache gcc -m32" the program is the word that bears a name looked for.
            named = [word for word in words if matches_name(detector, plain_name(word))]
            for word in (named or words)[:1]:
                for folder in environ.get("PATH", os.defpath).split(os.pathsep):
                    looked(os.path.abspath(os.path.join(folder, word)))
                path = word if os.path.isabs(word) else shutil.which(word, path=environ.get("PATH"))
                if path and os.path.isabs(path) and os.path.basename(os.path.dirname(path)) != "shims":
                    yield index, path, (0, place)


def _from_path(detectors: Sequence[Detector], environ: Mapping[str, str]) -> Iterator[tuple[int, str, tuple[int, ...]]]:
    literal: dict[str, list[int]] = {}
    patterns: dict[str, list[int]] = {}
    for index, detector in enumerate(detectors):
        for name in detector.executables:
            (patterns if _MAGIC.search(name) else literal).setdefault(name, []).append(index)
    # One expression over all patterns answers most names at once; only hits are looked at again.
    anything = re.compile("|".join(translate(pattern) for pattern in patterns)) if patterns else None
    for rank, folder in search_folders(environ):
        try:
            names = os.listdir(folder)
        except OSError:
            continue
        hits: list[tuple[int, int, str]] = []
        for entry in names:
            name = plain_name(entry)
            indices = set(literal.get(name, ()))
            if anything is not None and anything.match(name):
                for pattern, owners in patterns.items():
                    if _matches(name, pattern):
                        indices.update(owners)
            hits += [(index, _place_of(detectors[index], name), entry) for index in indices]
        # Of two names of one program the one that the detector names first is its name.
        for index, _, entry in sorted(hits):
            yield index, os.path.join(folder, entry), rank


def _look_for(pattern: str) -> None:
    """Tell an open recorder of every folder that a pattern is looked for in, and of what may or may not be there."""
    places = [os.path.sep]
    for part in pattern.split(os.path.sep):
        if not part:
            continue
        following: list[str] = []
        for place in places:
            looked(place)
            if _MAGIC.search(part):
                try:
                    following += [os.path.join(place, n) for n in os.listdir(place) if fnmatchcase(n, part)]
                except OSError:
                    continue
            else:
                following.append(os.path.join(place, part))
        places = following
    for place in places:
        looked(place)


def _from_patterns(
    detectors: Sequence[Detector], environ: Mapping[str, str]
) -> Iterator[tuple[int, str, tuple[int, ...]]]:
    from glob import glob

    home = environ.get("HOME", "")
    for index, detector in enumerate(detectors):
        for place, pattern in enumerate(detector.paths):
            if pattern.startswith("~/"):
                if not os.path.isabs(home):
                    continue
                pattern = os.path.join(home, pattern[2:])
            if os.path.isabs(pattern):
                if recording():
                    _look_for(pattern)
                for path in sorted(glob(pattern)):
                    yield index, path, (2, place)


def candidates(detectors: Sequence[Detector], environ: Mapping[str, str]) -> list[Candidate]:
    """Return every candidate once, in search order.

    Two names of one real file are one candidate, the first found, unless the real file bears no name the
    detector looks for: then it is a program of many faces (ccache, busybox), whose name decides what it is.
    """
    found: list[Candidate] = []
    seen: set[tuple[int, str, str, str]] = set()
    for source in (_from_variables, _from_path, _from_patterns):
        for index, path, rank in source(detectors, environ):
            detector = detectors[index]
            candidate = _candidate(index, detector, path, rank)
            if candidate is None:
                continue
            face = "" if matches_name(detector, plain_name(candidate.real)) else plain_name(path)
            key = (index, candidate.real, candidate.environment, face)
            if key not in seen:
                seen.add(key)
                found.append(candidate)
    return found
