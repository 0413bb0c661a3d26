# SPDX-License-Identifier: Apache-2.0
"""The data that detection hands to the rest of the house."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Detected:
    """One capability found on this machine.

    Attributes:
        capability: dotted name, such as ``compiler.c``.
        version: normalised PEP 440 version.
        path: absolute path of the executable, or of the folder that holds a Python distribution.
        soft: reference of the detector, such as ``soft:gcc@1.0.0``.
        digest: ``sha256:`` and the digest of the real executable, or of a distribution's RECORD (its
            METADATA or PKG-INFO where it has no RECORD).
        facts: facts that may enter a lock; none of them is a path.
        paths: facts that are paths; several folders are joined by `os.pathsep`.
    """

    capability: str
    version: str
    path: str
    soft: str
    digest: str
    facts: Mapping[str, object] = field(default_factory=dict)
    paths: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rejected:
    """A candidate that was looked at and not taken, and why (a clause for people)."""

    soft: str
    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Report:
    """Everything one detection saw.

    Attributes:
        found: what was found, in the order `codereef.detect.detect` documents.
        rejected: what was looked at and not taken.
        commands: how many commands were run; 0 when the cache answered everything.
    """

    found: tuple[Detected, ...]
    rejected: tuple[Rejected, ...]
    commands: int
