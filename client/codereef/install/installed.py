# SPDX-License-Identifier: Apache-2.0
"""What is installed in a Python environment, told from its files without running it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.version import Version

from codereef.disk import storing
from codereef.errors import InstallError

REUSED = "codereef-reused.pth"


@dataclass(frozen=True)
class Distribution:
    """An exact Python distribution.

    Attributes:
        name: normalised name (PEP 503).
        version: exact version.
        sha256: SHA-256 of each file that may be installed for it.
    """

    name: str
    version: str
    sha256: tuple[str, ...]


def normalised(name: str) -> str:
    """Return the name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def check_installed(place: Path, distributions: Sequence[Distribution]) -> None:
    """Raise `InstallError` unless an environment holds exactly these distributions."""
    found = {name: Version(version) for name, version in distributions_in(place)}
    wanted = {normalised(d.name): Version(d.version) for d in distributions}
    if found != wanted:
        missing = [f"{name} {version}" for name, version in wanted.items() if found.get(name) != version]
        extra = [f"{name} {version}" for name, version in found.items() if name not in wanted]
        raise InstallError(
            f"The environment {place.name} is not what the lock says: missing {', '.join(missing) or 'nothing'}; "
            f"not asked for: {', '.join(extra) or 'nothing'}.",
            hint="Tell us, with the log of the installer.",
        )


def site_packages(env: Path) -> Path:
    """Return the folder of an environment's distributions.

    Raises:
        InstallError: `env` is no environment.
    """
    found = sorted(env.glob("lib/python3*/site-packages"))
    if not found:
        raise InstallError(f"{env} is no Python environment: it has no site-packages.")
    return found[-1]


def reuse(place: Path, folders: Sequence[Path]) -> None:
    """Append folders of detected distributions to an environment's import path, by one `.pth` file.

    Raises:
        InstallError: one is not there.
    """
    lines = []
    for folder in folders:
        text = str(folder.absolute())
        if not folder.is_dir() or "\n" in text:
            raise InstallError(
                f"The folder of detected Python packages {text!r} is not there.", hint="Run `cr detect` again."
            )
        lines.append(text)
    path = site_packages(place) / REUSED
    with storing(REUSED, path.parent):
        path.write_text("\n".join(dict.fromkeys(lines)) + "\n")


def _headers(path: Path) -> Mapping[str, str]:
    """Return the first `Name` and `Version` of a metadata file; its body may be long and is not read."""
    found: dict[str, str] = {}
    with path.open(encoding="utf-8", errors="replace") as stream:
        for line in stream:
            key, colon, value = line.partition(":")
            if not line.strip():
                break
            if colon and key in ("Name", "Version"):
                found.setdefault(key, value.strip())
    return found


def distributions_in(env: Path) -> tuple[tuple[str, str], ...]:
    """Return name and version of each distribution installed in an environment, without running its Python.

    Raises:
        InstallError: `env` is no environment.
    """
    site = site_packages(env)
    found = []
    for path in [*site.glob("*.dist-info/METADATA"), *site.glob("*.egg-info/PKG-INFO")]:
        headers = _headers(path)
        if "Name" in headers and "Version" in headers:
            found.append((normalised(headers["Name"]), headers["Version"]))
    return tuple(sorted(found))
