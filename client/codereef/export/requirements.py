# SPDX-License-Identifier: Apache-2.0
"""The Python environment of a lock as a requirements file with hashes, for pip and uv."""

from __future__ import annotations

from codereef.export.parts import Part, only_environment, reused_names


def requirements(part: Part) -> str:
    """Return the exact distributions of a part's environment, each with the SHA-256 of the files permitted.

    Raises:
        UsageError: there is no environment, or more than one.
        LockError: its distributions are open.
    """
    name, environment, users = only_environment(part, "requirements")
    lines = [
        f"# {part.title}",
        f"# Python {environment.python_version or 'of any version'}; environment {name} of {', '.join(c.id for c in users)}.",
        "# Install with: pip install --no-deps --require-hashes -r THIS-FILE",
    ]
    reused = reused_names(part, environment)
    if reused:
        listed = ", ".join(f"{name} {version}".rstrip() for name, version in reused)
        lines.append(f"# The lock takes these from the interpreter itself; have them there: {listed}")
    for distribution in environment.distributions:
        lines.append(f"{distribution.name}=={distribution.version} \\")
        hashes = [f"    --hash=sha256:{digest}" for digest in distribution.sha256]
        lines += [f"{line} \\" for line in hashes[:-1]] + hashes[-1:]
    return "\n".join(lines) + "\n"
