# SPDX-License-Identifier: Apache-2.0
"""What the triples that compilers name stand for."""

from __future__ import annotations

_ARCHITECTURES = {"amd64": "x86_64", "arm64": "aarch64", "i386": "i686", "i486": "i686", "i586": "i686"}


def target_of(triple: str) -> str:
    """Return the target that a GNU triple stands for: `aarch64-linux-gnu` is `linux-aarch64-gnu`.

    Triples have three or four parts (architecture, vendor, system, ABI); the vendor does not matter.
    """
    parts = triple.lower().split("-")
    arch = _ARCHITECTURES.get(parts[0], parts[0])
    rest = parts[1:]
    abi = rest[-1] if rest else ""
    if any(part.startswith("darwin") for part in rest):
        return f"macos-{arch}-darwin"
    if "android" in abi:
        return f"android-{'armv7' if arch.startswith('arm') else arch}"
    if "linux" in rest:
        if arch == "arm":
            # Distributions name their compiler for armv7 so; what it makes may run on less.
            arch = "armv7"
        return f"linux-{arch}-{abi if abi != 'linux' else 'gnu'}"
    if "mingw32" in rest or "w64" in rest:
        return f"windows-{arch}-gnu"
    return "-".join(parts)
