# SPDX-License-Identifier: Apache-2.0
"""The software of a lock as a conda environment: Python and tools from conda-forge, distributions from pip."""

from __future__ import annotations

import json

from codereef.errors import UsageError
from codereef.export.parts import Part, only_environment, reused_names

#: Capability -> package of conda-forge, and whether its versions are those of the capability.
_PACKAGES = {
    "compiler.c": ("c-compiler", False),
    "compiler.cxx": ("cxx-compiler", False),
    "tool.cmake": ("cmake", True),
    "tool.ninja": ("ninja", True),
    "tool.make": ("make", True),
    "tool.git": ("git", True),
}


def environment_yml(part: Part) -> str:
    """Return an `environment.yml` with what conda can have of a part.

    Models, datasets and programs are not packages; a comment says what is left out.

    Raises:
        UsageError: there is no Python environment, or more than one, or the Python is not known.
        LockError: its distributions are open.
    """
    _, environment, _ = only_environment(part, "conda")
    if not environment.python_version:
        raise UsageError(f"Which Python {part.target} has is not known, so conda cannot be asked for it.")
    packages = [f"python={environment.python_version}", "pip"]
    left_out: list[str] = []
    for key, node in sorted(part.lock.nodes.items()):
        if node.capability in _PACKAGES:
            name, exact = _PACKAGES[node.capability]
            packages.append(f"{name}={node.version}" if exact and node.version else name)
        elif node.install_key or (node.source in ("detected", "expected") and not _covered(part, key)):
            left_out.append(key)
    lines = [
        f"# {part.title}",
        "# conda resolves what these need by itself; only cr.lock has the digest of every file.",
        *(f"# left out: {key}" for key in left_out),
        f"name: {json.dumps(part.solution)}",
        "channels:",
        "  - conda-forge",
        "dependencies:",
        *(f"  - {json.dumps(package)}" for package in dict.fromkeys(packages)),
    ]
    exact_ones = [f"{d.name}=={d.version}" for d in environment.distributions]
    exact_ones += [f"{name}=={version}" for name, version in reused_names(part, environment) if version]
    if exact_ones:
        lines += ["  - pip:", *(f"      - {json.dumps(text)}" for text in sorted(exact_ones))]
    return "\n".join(lines) + "\n"


def _covered(part: Part, key: str) -> bool:
    return any(key == e.python or key in e.reused for e in part.lock.environments.values())
