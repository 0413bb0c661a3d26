# SPDX-License-Identifier: Apache-2.0
"""A lock as a Dockerfile whose image initialises the solution from it.

The lock stands inside the Dockerfile. In it what this machine had by itself is *expected* at its version (see
docs/formats/lock.md), because the same software in an image has other bytes; everything else stays by digest,
and `cr init --locked` in the image refuses what has another version.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from codereef import __version__
from codereef.canonical import pretty_json
from codereef.errors import UsageError
from codereef.export.parts import Part, distribution_of
from codereef.lock.document import to_document
from codereef.lock.portable import portable

_PLATFORMS = {
    "linux-x86_64-gnu": "linux/amd64",
    "linux-aarch64-gnu": "linux/arm64",
    "linux-armv7-gnueabihf": "linux/arm/v7",
}
#: Capability -> package of Debian.
_PACKAGES = {
    "compiler.c": "gcc",
    "compiler.cxx": "g++",
    "tool.cmake": "cmake",
    "tool.ninja": "ninja-build",
    "tool.make": "make",
    "tool.git": "git",
}
_END = "END-OF-LOCK"


def dockerfile(part: Part, foreign: Collection[str] = ()) -> str:
    """Return a Dockerfile for a part of a lock.

    Args:
        part: the configurations of one target.
        foreign: repositories that components come from and that an installed client does not have.

    Raises:
        UsageError: there is no image for the target, the graph needs software that no image has, or components
            of other repositories.
    """
    platform = _PLATFORMS.get(part.target)
    if platform is None:
        raise UsageError(
            f"There are no images for {part.target}.", hint=f"There are for {', '.join(_PLATFORMS)}; see --target."
        )
    if foreign:
        raise UsageError(
            f"{part.title} has components of {', '.join(sorted(foreign))}, which an image does not have.",
            hint=f"`cr pack {part.solution}` writes one file with everything, and `cr init PACK` uses it.",
        )
    found = [n for n in part.lock.nodes.values() if n.source in ("detected", "expected") and n.capability]
    pythons = {n.version for n in found if n.capability == "compiler.python"}
    if len(pythons) > 1 or "" in pythons:
        raise UsageError(
            f"{part.title} needs Python {' and '.join(sorted(p or 'of any version' for p in pythons))}; an image has one.",
            hint="Choose configurations with --variant.",
        )
    distributions = {distribution_of(n) for n in found if n.capability.startswith("python.")}
    capabilities = {n.capability for n in found if not n.capability.startswith(("python.", "compiler.python"))}
    unknown = sorted(capabilities - _PACKAGES.keys())
    if unknown:
        raise UsageError(
            f"{part.title} needs {', '.join(unknown)} as this machine has it, and no image is known to.",
            hint="Have it installed instead with `cr lock --install CAPABILITY`, or write a Dockerfile by hand.",
        )
    version = next(iter(pythons), "3.11")
    packages = sorted({_PACKAGES[c] for c in capabilities})
    extra = "".join(f" {_quoted(f'{name}=={number}')}" for name, number in sorted(distributions) if number)
    lines = [
        "# syntax=docker/dockerfile:1.4",
        f"# {part.title}. Written by cr {__version__}; the lock below decides what is installed.",
        f"FROM --platform={platform} python:{version}-slim-bookworm",
    ]
    if packages:
        lines += [
            "RUN apt-get update \\",
            f" && apt-get install --yes --no-install-recommends {' '.join(packages)} \\",
            " && rm -rf /var/lib/apt/lists/*",
        ]
    if extra:
        lines.append(f"RUN python -m pip install --no-cache-dir{extra}")
    lines += [
        "RUN python -m venv /opt/codereef \\",
        f" && /opt/codereef/bin/pip install --no-cache-dir {_quoted(f'codereef[uv]=={__version__}')}",
        'ENV PATH="/opt/codereef/bin:${PATH}" CR_HOME=/opt/codereef-home',
        "WORKDIR /work",
        f"COPY <<'{_END}' /work/{part.solution}/cr.lock",
        *pretty_json(to_document(portable(part.lock))).splitlines(),
        _END,
        f"RUN cr init {part.solution} --locked --yes",
        f'CMD ["cr", "benchmark", "{part.solution}"]',
    ]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """Return a requirement as one word of a shell; the names in a lock have no other characters."""
    if not re.fullmatch(r"[A-Za-z0-9._\[\]=+!-]+", text):
        raise UsageError(f"{text!r} cannot be written into a Dockerfile.")
    return f"'{text}'"
