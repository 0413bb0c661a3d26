# SPDX-License-Identifier: Apache-2.0
"""The class of this machine: the facts that machines of one sort share, and a digest of them.

Nothing here tells one machine from another of its sort: no host name, user, serial number, address, UUID
or path is read into the facts.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

from codereef.detect.cache import read_json, write_json
from codereef.detect.cpu import cpu_facts
from codereef.detect.platform import libc
from codereef.detect.surroundings import accelerators, board, container, hypervisor
from codereef.detect.tree import Tree, key_values

CACHE_FILE = "machine.json"
CACHE_FORMAT = "codereef-machine/1"
# Kernel builders put anything behind the number, a host name too; only well-known flavours are kept.
_FLAVOURS = (
    "generic", "lowlatency", "cloud", "aws", "azure", "gcp", "oracle", "raspi", "rpi", "tegra", "realtime",
    "rt", "lts", "hardened", "zen", "arch", "microsoft", "android", "amd64", "arm64",
)  # fmt: skip
# What changes with an update but not with the sort of machine stays out of the digest.
_UNSTABLE_CPU = ("microcode",)


def _identity(tree: Tree) -> str:
    """Return a digest of what the cached facts depend on: they hold until the next boot."""
    first = (tree.text("proc/cpuinfo", 4096) or "").partition("\n\n")[0]
    lines = [line for line in first.splitlines() if not line.startswith(("cpu MHz", "bogomips", "BogoMIPS"))]
    parts = [
        CACHE_FORMAT,
        tree.root,
        tree.text("proc/sys/kernel/random/boot_id", 64) or "",
        tree.text("sys/devices/system/cpu/online", 256) or "",
        tree.text("etc/os-release", 8192) or "",
        container(tree) or "",
        *lines,
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _os_release(tree: Tree) -> dict[str, object]:
    text = tree.text("etc/os-release") or tree.text("usr/lib/os-release")
    if text:
        values = {key: value.strip("\"'") for key, value in key_values(text, "=").items()}
        return {
            "id": values.get("ID"),
            "version": values.get("VERSION_ID") or values.get("BUILD_ID"),
            "name": values.get("PRETTY_NAME") or values.get("NAME"),
        }
    if not tree.is_real:
        return {"id": None, "version": None, "name": None}
    return _other_system()


def _other_system() -> dict[str, object]:
    """Return what a system without os-release is: asked of distro where it is installed (`codereef[host]`)."""
    try:
        import distro
    except ImportError:
        import platform

        mac = platform.mac_ver()[0]
        return {"id": "macos" if mac else None, "version": mac or None, "name": f"macOS {mac}" if mac else None}
    return {"id": distro.id() or None, "version": distro.version() or None, "name": distro.name(pretty=True) or None}


def _kernel(tree: Tree) -> dict[str, object]:
    text = tree.text("proc/sys/kernel/osrelease") or (os.uname().release if tree.is_real else "")
    match = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", text)
    if match is None:
        return {"release": None, "family": None, "flavour": None}
    words = re.split(r"[-+._]", text[match.end() :].lower())
    flavour = next((flavour for flavour in _FLAVOURS if flavour in words), None)
    return {"release": match[0], "family": f"{match[1]}.{match[2]}", "flavour": flavour}


def _memory_mib(tree: Tree) -> int | None:
    """Return the memory in MiB, rounded, because the kernel keeps a little that varies for itself."""
    line = key_values(tree.text("proc/meminfo")).get("MemTotal", "")
    match = re.match(r"(\d+) kB", line)
    if match:
        mib = int(match[1]) / 1024
    elif tree.is_real and "SC_PHYS_PAGES" in os.sysconf_names:
        mib = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / (1 << 20)
    else:
        return None
    step = 1024 if mib >= 8192 else 256 if mib >= 1024 else 32
    return max(step, round(mib / step) * step)


def _collect(tree: Tree, arch: str) -> dict[str, object]:
    libc_name, libc_version = libc(tree.root)
    system = os.uname().sysname.lower() if tree.is_real and hasattr(os, "uname") else "linux"
    return {
        "arch": arch,
        "cpu": cpu_facts(tree),
        "memory_mib": _memory_mib(tree),
        "board": board(tree),
        "accelerators": accelerators(tree),
        "gpu_driver": _nvidia_driver(tree),
        "os": {"system": system, **_os_release(tree)},
        "kernel": _kernel(tree),
        "libc": {"name": libc_name or None, "version": libc_version or None},
        "virtualisation": {"hypervisor": hypervisor(tree), "container": container(tree)},
        "clock_source": tree.text("sys/devices/system/clocksource/clocksource0/current_clocksource"),
    }


def _nvidia_driver(tree: Tree) -> str | None:
    match = re.search(
        r"(?:Kernel Module|Module for \S+)\s+(\d+(?:\.\d+)+)", tree.text("proc/driver/nvidia/version") or ""
    )
    return f"nvidia {match[1]}" if match else None


def machine_class(cache_dir: Path | None, root: Path = Path("/"), *, arch: str | None = None) -> dict[str, object]:
    """Return the facts of this machine's class; what it does not tell is None.

    Args:
        cache_dir: where the facts are kept until the next boot; None reads them anew.
        root: where the file system of the machine begins.
        arch: processor architecture; the running kernel's when None.
    """
    tree = Tree(root)
    path = cache_dir / CACHE_FILE if cache_dir is not None else None
    key = f"{_identity(tree)}|{arch or ''}" if path is not None else ""
    entries = read_json(path, CACHE_FORMAT)
    known = entries.get(key)
    if isinstance(known, dict) and isinstance(known.get("cpu"), dict):
        return known
    name = arch or (os.uname().machine if hasattr(os, "uname") else os.environ.get("PROCESSOR_ARCHITECTURE", ""))
    facts = _collect(tree, name)
    if path is not None:
        kept = [item for item in entries.items() if isinstance(item[1], dict)][-7:]
        write_json(path, CACHE_FORMAT, {**dict(kept), key: facts})
    return facts


def stable_facts(facts: Mapping[str, object]) -> dict[str, object]:
    """Return the part of a class's facts that an update of kernel, driver or firmware leaves as it is."""
    stable = {name: facts.get(name) for name in ("arch", "memory_mib", "board", "accelerators", "virtualisation")}
    cpu, system, kernel, library = (facts.get(name) for name in ("cpu", "os", "kernel", "libc"))
    if isinstance(cpu, Mapping):
        stable["cpu"] = {name: value for name, value in cpu.items() if name not in _UNSTABLE_CPU}
    if isinstance(system, Mapping):
        stable["os"] = {name: system.get(name) for name in ("system", "id", "version")}
    if isinstance(kernel, Mapping):
        stable["kernel"] = kernel.get("family")
    if isinstance(library, Mapping):
        stable["libc"] = library.get("name")
    return stable


def class_digest(facts: Mapping[str, object]) -> str:
    """Return ``sha256:`` and the digest of the canonical JSON of the stable facts."""
    text = json.dumps(stable_facts(facts), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
