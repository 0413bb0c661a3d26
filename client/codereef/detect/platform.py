# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: PTH110, PTH118, PTH208
"""The target triple of this machine, as this process sees it; no command is run and nothing is searched."""

from __future__ import annotations

import os
import sys

_ARCHITECTURES = {
    "amd64": "x86_64",
    "x64": "x86_64",
    "arm64": "aarch64",
    "arm64e": "aarch64",
    "i386": "i686",
    "i486": "i686",
    "i586": "i686",
    "x86": "i686",
    "armv8l": "armv7",
    "armv7l": "armv7",
    "armv7": "armv7",
    "armv6l": "armv6",
}
# A 32-bit process on a 64-bit kernel: `uname` names the kernel's architecture.
_NARROW = {"x86_64": "i686", "aarch64": "armv7"}


def make_triple(system: str, machine: str, *, bits: int = 64, musl: bool = False, hard_float: bool = True) -> str:
    """Return the target triple for what `uname` says.

    Args:
        system: value of `sys.platform`.
        machine: architecture as the kernel names it.
        bits: width of a pointer of the process.
        musl: the C library is musl and not glibc (Linux only).
        hard_float: 32-bit Arm passes floating-point arguments in registers.
    """
    arch = _ARCHITECTURES.get(machine.lower(), machine.lower())
    if bits == 32:
        arch = _NARROW.get(arch, arch)
    if system == "android":
        return f"android-{arch}"
    if system == "darwin":
        return f"macos-{arch}-darwin"
    if system in ("win32", "cygwin"):
        return f"windows-{arch}-msvc"
    if system.startswith("linux"):
        abi = "musl" if musl else "gnu"
        if arch in ("armv6", "armv7"):
            abi += "eabihf" if hard_float else "eabi"
        return f"linux-{arch}-{abi}"
    return f"{system.rstrip('0123456789')}-{arch}"


def _machine() -> str:
    if sys.platform == "win32":
        # The build of this interpreter is what matters there, and its banner names it.
        return "arm64" if "(ARM64)" in sys.version else "amd64"
    return os.uname().machine


def _libc() -> tuple[str, str]:
    try:
        text = os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (AttributeError, ValueError, OSError):
        return "", ""
    name, _, version = text.partition(" ")
    return name, version


def libc(root: str | os.PathLike[str] = "/") -> tuple[str, str]:
    """Return name and version of the C library (`glibc`, `musl` or empty; version empty when unknown)."""
    if os.fspath(root) == "/":
        name, version = _libc()
        if name:
            return name, version
    try:
        names = os.listdir(os.path.join(root, "lib"))
    except OSError:
        names = []
    return ("musl", "") if any(name.startswith("ld-musl-") for name in names) else ("", "")


def host_target(root: str | os.PathLike[str] = "/") -> str:
    """Return the triple of the machine this process runs on, such as ``linux-x86_64-gnu``.

    Args:
        root: where the file system of the machine begins; looked at for the C library only.
    """
    system = "android" if hasattr(sys, "getandroidapilevel") else sys.platform
    machine = _machine()
    bits = 64 if sys.maxsize > 2**32 else 32
    musl = system == "linux" and libc(root)[0] == "musl"
    hard_float = True
    if bits == 32 and machine.startswith(("arm", "aarch64")):
        hard_float = os.path.exists(os.path.join(root, "lib", "ld-linux-armhf.so.3")) or os.path.exists(
            os.path.join(root, "lib", "ld-musl-armhf.so.1")
        )
    return make_triple(system, machine, bits=bits, musl=musl, hard_float=hard_float)
