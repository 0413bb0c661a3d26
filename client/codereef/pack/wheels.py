# SPDX-License-Identifier: Apache-2.0
"""Finds and fetches the wheels of Python environments, for this machine's target and for others.

A wheel is what the lock names by digest, so it is fetched by digest: from mirrors, from the user's package indexes,
or not at all where the store has it. Its file name is kept beside, so that the next pack needs no network for it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from codereef.disk import link_or_copy, write_atomic
from codereef.errors import CrError, DownloadError
from codereef.install.download import RemoteFile, Settings, fetch
from codereef.install.progress import Progress
from codereef.install.simple import Indexes, IndexFile, places
from codereef.lock.model import LockedDistribution, LockedEnvironment
from codereef.store import Store

_GLIBC = range(40, 4, -1)
_OLDER = ("manylinux2014", "manylinux2010", "manylinux1")
_MACHINES = {"armv7": "armv7l"}


@dataclass(frozen=True)
class Wheel:
    """A wheel: a file that has the wheel's name, and its SHA-256."""

    path: Path
    sha256: str


@dataclass(frozen=True)
class _Known:
    """What is known of a wheel that the store has."""

    name: str
    size: int


def platforms(target: str) -> tuple[str, ...]:
    """Return the platform tags of wheels that run on a target, the most special first; empty for an unknown one.

    Source: PEP 600 (manylinux), PEP 656 (musllinux), PEP 425, and the tags of CPython's builds for macOS and Windows.
    """
    system, _, rest = target.partition("-")
    arch, _, abi = rest.partition("-")
    machine = _MACHINES.get(arch, arch)
    if system == "linux" and abi.startswith("gnu"):
        names = [*(f"manylinux_2_{minor}" for minor in _GLIBC), *_OLDER, "linux"]
        return tuple(f"{name}_{machine}" for name in names)
    if system == "linux" and abi.startswith("musl"):
        return tuple(f"musllinux_1_{minor}_{machine}" for minor in (2, 1))
    if system == "macos":
        from packaging.tags import mac_platforms

        return tuple(mac_platforms((15, 0), "arm64" if arch == "aarch64" else arch))
    if system == "windows":
        return {"x86_64": ("win_amd64",), "aarch64": ("win_arm64",)}.get(arch, ())
    return ()


def _ranks(environment: LockedEnvironment, host: str) -> dict[str, int]:
    """Return the tags of wheels that an environment's interpreter takes, with their rank; 0 is the best."""
    from packaging.tags import compatible_tags, cpython_tags, platform_tags

    version = tuple(int(part) for part in environment.python_version.split(".")[:2])
    machines = list(platform_tags()) if environment.target in ("", host) else list(platforms(environment.target))
    # An empty list would mean this machine's own platforms.
    machines = machines or ["unknown"]
    tags = [
        *cpython_tags(version, platforms=machines),
        *compatible_tags(version, f"cp{version[0]}{version[1]}", machines),
    ]
    ranks: dict[str, int] = {}
    for rank, tag in enumerate(tags):
        ranks.setdefault(str(tag), rank)
    return ranks


def _best(names: Mapping[str, str], ranks: Mapping[str, int]) -> str | None:
    """Return the digest whose wheel fits best.

    Args:
        names: file name by digest.
        ranks: permitted tags.
    """
    from packaging.utils import InvalidWheelFilename, parse_wheel_filename

    found: list[tuple[int, str, str]] = []
    for sha256, name in names.items():
        try:
            tags = parse_wheel_filename(name)[3]
        except (InvalidWheelFilename, ValueError):
            continue
        fitting = [ranks[str(tag)] for tag in tags if str(tag) in ranks]
        if fitting:
            found.append((min(fitting), name, sha256))
    return min(found)[2] if found else None


def fetch_wheels(
    environments: Mapping[str, LockedEnvironment],
    host: str,
    python: Path,
    store: Store,
    cache: Path,
    settings: Settings,
    progress: Progress,
    work: Path,
) -> tuple[dict[str, list[Wheel]], dict[str, list[str]]]:
    """Return the wheels of environments, and the distributions of which none could be had.

    Args:
        environments: of a lock, by name.
        host: target of this machine; its wheels are those that fit this machine's C library.
        python: an interpreter of this machine, whose pip tells which index is asked where nothing is set.
        store: where wheels are kept.
        cache: folder for their names.
        settings: how to fetch.
        progress: is told what goes on.
        work: an empty folder; the wheels lie there under their names.

    Raises:
        DownloadError: a wheel that an index offers could not be fetched.
    """
    names = _names(cache / "wheels.json")
    indexes = Indexes(places(os.environ, python), settings.timeout, offline=settings.offline)
    chosen: dict[str, list[str]] = {}
    lacking: dict[str, list[str]] = {}
    files: dict[str, RemoteFile] = {}
    asked: dict[str, list[IndexFile]] = {}
    task = "names of wheels"
    progress.start(task, None, "Python wheels")
    try:
        for name, environment in environments.items():
            ranks = _ranks(environment, host)
            for distribution in environment.distributions:
                sha256 = _choose(distribution, ranks, names, store, indexes, asked, settings, files)
                if sha256 is None:
                    lacking.setdefault(name, []).append(f"{distribution.name} {distribution.version}")
                else:
                    chosen.setdefault(name, []).append(sha256)
    finally:
        indexes.close()
        progress.finish(task)
    blobs = fetch(list(files.values()), store, settings, progress)
    for sha256, file in files.items():
        names[sha256] = _Known(file.name, file.size)
    _keep(cache / "wheels.json", names)
    result: dict[str, list[Wheel]] = {}
    for name, digests in chosen.items():
        for sha256 in digests:
            place = work / names[sha256].name
            if not place.exists():
                blob = blobs.get(sha256) or store.blob(sha256)
                assert blob is not None
                link_or_copy(blob, place)
            result.setdefault(name, []).append(Wheel(place, sha256))
    return result, lacking


def _choose(
    distribution: LockedDistribution,
    ranks: Mapping[str, int],
    names: Mapping[str, _Known],
    store: Store,
    indexes: Indexes,
    asked: dict[str, list[IndexFile]],
    settings: Settings,
    files: dict[str, RemoteFile],
) -> str | None:
    """Return the digest of the wheel to take for a distribution, and note where it is to be fetched from."""
    here = {
        sha256: names[sha256].name
        for sha256 in distribution.sha256
        if sha256 in names and store.blob(sha256, names[sha256].size) is not None
    }
    kept = _best(here, ranks)
    # What was chosen once is chosen again: a pack of the same things has the same bytes, with and without network.
    if kept is not None:
        return kept
    # A lock names for each target the wheels of that target alone: what was found for one says nothing of another.
    key = " ".join((distribution.name, *distribution.sha256))
    if key not in asked:
        try:
            asked[key] = indexes.files(distribution.name, distribution.sha256)
        except DownloadError:
            asked[key] = []
    offered = {file.sha256: file for file in asked[key]}
    sha256 = _best({digest: file.name for digest, file in offered.items()}, ranks)
    if sha256 is None:
        return None
    file = offered[sha256]
    try:
        files[sha256] = RemoteFile(file.name, sha256, indexes.size(file), (file.url,))
    except DownloadError:
        return None
    return sha256


def _names(path: Path) -> dict[str, _Known]:
    try:
        return {sha256: _Known(str(e["name"]), int(e["size"])) for sha256, e in json.loads(path.read_bytes()).items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _keep(path: Path, names: Mapping[str, _Known]) -> None:
    try:
        write_atomic(path, json.dumps({s: {"name": k.name, "size": k.size} for s, k in sorted(names.items())}))
    except CrError:
        pass  # A cache that cannot be written costs time, never an answer.
