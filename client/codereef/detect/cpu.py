# SPDX-License-Identifier: Apache-2.0
"""The processor's facts from /proc/cpuinfo and /sys/devices/system/cpu.

Arm's implementer and part numbers: the MIDR_EL1 description of Arm's Technical Reference Manuals.
"""

from __future__ import annotations

import os
import re
from collections import Counter

from codereef.detect.tree import Tree, key_values, parse_list

_VENDORS = {
    "AuthenticAMD": "AMD",
    "GenuineIntel": "Intel",
    "HygonGenuine": "Hygon",
    "CentaurHauls": "Centaur",
    "0x41": "Arm",
    "0x42": "Broadcom",
    "0x43": "Cavium",
    "0x46": "Fujitsu",
    "0x48": "HiSilicon",
    "0x4e": "NVIDIA",
    "0x50": "APM",
    "0x51": "Qualcomm",
    "0x53": "Samsung",
    "0x56": "Marvell",
    "0x61": "Apple",
    "0xc0": "Ampere",
}
_ARM_PARTS = {
    "0xb76": "ARM1176",
    "0xc07": "Cortex-A7",
    "0xc08": "Cortex-A8",
    "0xc09": "Cortex-A9",
    "0xc0e": "Cortex-A17",
    "0xc0f": "Cortex-A15",
    "0xd03": "Cortex-A53",
    "0xd04": "Cortex-A35",
    "0xd05": "Cortex-A55",
    "0xd07": "Cortex-A57",
    "0xd08": "Cortex-A72",
    "0xd09": "Cortex-A73",
    "0xd0a": "Cortex-A75",
    "0xd0b": "Cortex-A76",
    "0xd0c": "Neoverse-N1",
    "0xd0d": "Cortex-A77",
    "0xd40": "Neoverse-V1",
    "0xd41": "Cortex-A78",
    "0xd44": "Cortex-X1",
    "0xd46": "Cortex-A510",
    "0xd47": "Cortex-A710",
    "0xd48": "Cortex-X2",
    "0xd49": "Neoverse-N2",
    "0xd4a": "Neoverse-E1",
    "0xd4d": "Cortex-A715",
    "0xd4e": "Cortex-X3",
    "0xd4f": "Neoverse-V2",
    "0xd80": "Cortex-A520",
    "0xd81": "Cortex-A720",
    "0xd82": "Cortex-X4",
}
# The extensions that decide which kernels a runtime picks; the rest of the flags is noise here.
_ISA = re.compile(
    r"sse2|ssse3|sse4_[12]|popcnt|bmi[12]|avx|avx2|avx_\w+|avx512\w+|amx_\w+|fma|f16c|movbe"
    r"|neon|vfpv4|asimd\w*|fphp|sve\w*|i8mm|bf16|sme(?!p)\w*|atomics|crc32|aes|vx|vxe2?|altivec|lasx|lsx"
)


def _blocks(text: str) -> list[dict[str, str]]:
    blocks = [key_values(block) for block in re.split(r"\n\s*\n", text)]
    return [block for block in blocks if "processor" in block]


def _brand(block: dict[str, str], rest: dict[str, str]) -> str:
    implementer = block.get("CPU implementer")
    if implementer:
        part = block.get("CPU part", "")
        name = _ARM_PARTS.get(part) if implementer == "0x41" else None
        revision = f" r{int(block.get('CPU variant', '0x0'), 16)}p{block.get('CPU revision', '0')}"
        return f"{_VENDORS.get(implementer, implementer)} {name or 'part ' + part}{revision}"
    for key in ("model name", "Model Name", "cpu model", "uarch", "cpu"):
        if key in block:
            return re.sub(r"\s+", " ", re.sub(r"\((?:R|TM|r|tm)\)", "", block[key])).strip()
    return rest.get("cpu model", "")


def _fallback_brand() -> str:
    """Ask py-cpuinfo, which is slow, where the kernel does not say and it is installed (`codereef[host]`)."""
    try:
        import cpuinfo
    except ImportError:
        return ""
    return str(cpuinfo.get_cpu_info().get("brand_raw", ""))


def _extensions(block: dict[str, str]) -> list[str]:
    found = {
        word
        for key in ("flags", "Features", "features")
        for word in block.get(key, "").lower().split()
        if _ISA.fullmatch(word)
    }
    if "isa" in block:
        base, *more = block["isa"].lower().split("_")
        found |= {base, *more}
    return sorted(found)


def _size_kib(text: str | None) -> int | None:
    match = re.fullmatch(r"(\d+)([KMG]?)", text or "")
    if match is None:
        return None
    return int(match[1]) * {"K": 1, "M": 1024, "G": 1 << 20, "": 1}[match[2]]


def _caches(tree: Tree, cpus: list[int]) -> list[dict[str, object]]:
    count: Counter[tuple[int, str, int]] = Counter()
    seen: set[tuple[int, str, str]] = set()
    for cpu in cpus:
        base = f"sys/devices/system/cpu/cpu{cpu}/cache"
        for name in tree.names(base):
            level, kind = tree.number(f"{base}/{name}/level"), tree.text(f"{base}/{name}/type")
            if not name.startswith("index") or level is None or kind is None:
                continue
            shared = tree.text(f"{base}/{name}/shared_cpu_list") or str(cpu)
            if (level, kind, shared) in seen:
                continue
            seen.add((level, kind, shared))
            count[level, kind.lower(), _size_kib(tree.text(f"{base}/{name}/size")) or 0] += 1
    return [
        {"level": level, "type": kind, "size_kib": size or None, "count": number}
        for (level, kind, size), number in sorted(count.items())
    ]


def _topology(tree: Tree, cpus: list[int], blocks: list[dict[str, str]]) -> tuple[int | None, int | None]:
    packages: set[str] = set()
    cores: set[tuple[str, str]] = set()
    for cpu in cpus:
        base = f"sys/devices/system/cpu/cpu{cpu}/topology"
        siblings = tree.text(f"{base}/thread_siblings_list") or tree.text(f"{base}/core_cpus_list")
        package = tree.text(f"{base}/physical_package_id")
        if siblings is not None and package is not None:
            packages.add(package)
            cores.add((package, siblings))
    if cores:
        return len(packages), len(cores)
    for block in blocks:
        if "physical id" in block and "core id" in block:
            packages.add(block["physical id"])
            cores.add((block["physical id"], block["core id"]))
    return (len(packages), len(cores)) if cores else (None, None)


def _integer(text: str | None) -> int | None:
    return int(text) if text and text.isdigit() else None


def cpu_facts(tree: Tree) -> dict[str, object]:
    """Return what is known of the processor; a fact that the machine does not tell is None."""
    text = tree.text("proc/cpuinfo") or ""
    blocks = _blocks(text)
    first = blocks[0] if blocks else {}
    rest = key_values(text)
    online = parse_list(tree.text("sys/devices/system/cpu/online")) or list(range(len(blocks)))
    logical = len(online) or (os.cpu_count() if tree.is_real else None)
    brands = Counter(_brand(block, rest) for block in blocks)
    brand = _brand(first, rest)
    if not brand and tree.is_real:
        brand = _fallback_brand()
    sockets, physical = _topology(tree, online, blocks)
    smt = tree.text("sys/devices/system/cpu/smt/active")
    vendor = first.get("vendor_id") or first.get("CPU implementer") or rest.get("vendor_id") or ""
    nodes = [name for name in tree.names("sys/devices/system/node") if re.fullmatch(r"node\d+", name)]
    facts: dict[str, object] = {
        "model": brand or None,
        "vendor": _VENDORS.get(vendor, vendor) or None,
        "family": _integer(first.get("cpu family") or first.get("CPU architecture")),
        "model_number": _integer(first.get("model")),
        "stepping": _integer(first.get("stepping")),
        "microcode": first.get("microcode"),
        "sockets": sockets,
        "physical_cores": physical,
        "logical_cores": logical,
        "smt": {"1": True, "0": False}.get(smt or ""),
        "numa_nodes": len(nodes) or None,
        "isa": _extensions(first),
        "caches": _caches(tree, online),
    }
    if len(brands) > 1:
        facts["kinds"] = [{"model": name, "count": number} for name, number in sorted(brands.items())]
    return facts
