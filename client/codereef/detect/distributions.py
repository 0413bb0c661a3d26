# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: PTH113, PTH116, PTH118, PTH208
"""Python distributions, read from their metadata: nothing is imported and pip is not run.

Formats: the `.dist-info` folder of the "Recording installed projects" specification (PEP 376, PEP 627) and
the older `.egg-info` folder or file, which Debian's packages still use.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from codereef.detect.probe import file_digest, normalise_version
from codereef.witness import looked

_ENTRY = re.compile(r"^(?P<name>.+?)-(?P<version>[^-]+)(?:-py\d[\d.]*)?(?:-[^-]+)?\.(?:dist|egg)-info$")
_VERSION = re.compile(r"(?mi)^Version:[ \t]*(\S+)")
_BARE = re.compile(r"^(?P<name>[^-]+)\.egg-info$")


def normalise_name(name: str) -> str:
    """Return the normal form of a distribution's name (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def list_folder(folder: str) -> dict[str, list[str]]:
    """Return the metadata entries of a site folder, by normalised distribution name."""
    found: dict[str, list[str]] = {}
    looked(folder)
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return found
    for entry in names:
        if entry.endswith("-info"):
            match = _ENTRY.match(entry) or _BARE.match(entry)
            if match is not None:
                found.setdefault(normalise_name(match["name"]), []).append(entry)
    return found


def _metadata_file(entry: str) -> str:
    if os.path.isfile(entry):
        return entry
    return os.path.join(entry, "METADATA" if entry.endswith(".dist-info") else "PKG-INFO")


def evidence(entry: str) -> tuple[str, str, str]:
    """Return the metadata file, the file to digest, and a signature of both for the cache.

    Raises:
        OSError: there is no readable metadata.
    """
    looked(entry)
    metadata = _metadata_file(entry)
    looked(metadata)
    status = os.stat(metadata)
    signature = f"{status.st_size}.{status.st_mtime_ns}.{status.st_ino}"
    record = os.path.join(entry, "RECORD")
    looked(record)
    try:
        other = os.stat(record)
    except OSError:
        return metadata, metadata, signature
    return metadata, record, f"{signature}|{other.st_size}.{other.st_mtime_ns}.{other.st_ino}"


def read_version(metadata: str) -> str:
    """Return the normalised version that the headers of a metadata file give.

    Raises:
        OSError: the file cannot be read.
        ValueError: it holds no version.
    """
    with open(metadata, encoding="utf-8", errors="replace") as stream:
        headers = stream.read(1 << 20).partition("\n\n")[0]
    found = _VERSION.search(headers)
    version = normalise_version(found.group(1)) if found else ""
    if not version:
        raise ValueError("its metadata holds no valid version")
    return version


def read_entry(entry: str) -> Mapping[str, str]:
    """Return version and digest of the distribution at `entry`; raises OSError and ValueError."""
    metadata, record, _ = evidence(entry)
    return {"version": read_version(metadata), "digest": file_digest(record)}
