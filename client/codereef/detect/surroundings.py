# SPDX-License-Identifier: Apache-2.0
"""What a machine runs inside (hypervisor, container) and what is plugged into it (accelerators, board).

Only names of kinds are read: the files beside them that hold serial numbers and UUIDs are not opened.
PCI class codes: PCI Code and ID Assignment Specification, base classes 03h (display) and 12h (processing
accelerators).
"""

from __future__ import annotations

import re
from collections import Counter

from codereef.detect.tree import Tree, key_values

_HYPERVISORS = (
    ("KVM", "kvm"),
    ("QEMU", "kvm"),
    ("Amazon EC2", "amazon"),
    ("Google", "google"),
    ("VMware", "vmware"),
    ("VirtualBox", "virtualbox"),
    ("innotek", "virtualbox"),
    ("Xen", "xen"),
    ("Parallels", "parallels"),
    ("Bochs", "bochs"),
    ("Firecracker", "firecracker"),
    ("OpenStack", "openstack"),
    ("Apple Virtualization", "apple"),
)
_CONTAINERS = (
    ("kubepods", "kubernetes"),
    ("libpod", "podman"),
    ("docker", "docker"),
    ("containerd", "containerd"),
    ("lxc", "lxc"),
)
_PLACEHOLDERS = re.compile(r"to be filled|default string|system (?:product|manufacturer)|o\.e\.m\.|not specified", re.I)
_DEVICE_NODES = {
    "apex_": "edge-tpu",
    "hailo": "hailo",
    "kfd": "amd-compute",
    "nvhost-ctrl": "tegra",
    "rknpu": "rockchip-npu",
    "ethosu": "arm-ethos-u",
    "galcore": "vivante",
    "memx": "memryx",
}


def hypervisor(tree: Tree) -> str | None:
    """Return the hypervisor's name, `unknown` for one that does not say, None on bare metal."""
    kernel = (tree.text("proc/sys/kernel/osrelease") or "").lower()
    if "microsoft" in kernel:
        return "wsl"
    vendor = tree.text("sys/class/dmi/id/sys_vendor") or ""
    product = tree.text("sys/class/dmi/id/product_name") or ""
    if vendor == "Microsoft Corporation" and product == "Virtual Machine":
        return "hyper-v"
    flagged = " hypervisor" in (tree.text("proc/cpuinfo", 16384) or "")
    clock = tree.text("sys/devices/system/clocksource/clocksource0/available_clocksource") or ""
    kind = tree.text("sys/hypervisor/type")
    if kind:
        return kind
    # Some makers of hypervisors also make bare-metal machines, so the name counts with the flag only;
    # Arm processors have no such flag, and there the device tree or the firmware says it.
    if flagged or tree.exists("proc/device-tree/hypervisor") or "QEMU" in vendor:
        for word, name in _HYPERVISORS:
            if word in vendor or word in product:
                return name
        for word, name in (("kvm-clock", "kvm"), ("hyperv", "hyper-v"), ("xen", "xen")):
            if word in clock:
                return name
        return "unknown"
    return None


def container(tree: Tree) -> str | None:
    """Return the kind of container this process runs in, or None."""
    if tree.exists("var/run/secrets/kubernetes.io"):
        return "kubernetes"
    told = key_values((tree.text("proc/1/environ") or "").replace("\0", "\n"), "=").get("container", "")
    told = told or tree.text("run/systemd/container", 64) or ""
    if told in ("podman", "docker", "lxc", "systemd-nspawn"):
        return told
    groups = (tree.text("proc/1/cgroup") or "") + (tree.text("proc/self/cgroup") or "")
    mounts = tree.text("proc/self/mountinfo", 1 << 16) or ""
    root_mount = next((line for line in mounts.splitlines() if line.split()[4:5] == ["/"]), "")
    for word, name in _CONTAINERS:
        if word in groups or word in root_mount:
            return name
    if tree.exists(".dockerenv"):
        return "docker"
    return "podman" if tree.exists("run/.containerenv") else None


def board(tree: Tree) -> str | None:
    """Return the maker's name of the machine: the device tree's model, else the firmware's vendor and product."""
    model = tree.text("proc/device-tree/model", 256) or tree.text("sys/firmware/devicetree/base/model", 256)
    if model:
        return model
    parts = [tree.text(f"sys/class/dmi/id/{name}", 256) or "" for name in ("sys_vendor", "product_name")]
    return " ".join(part for part in parts if part and not _PLACEHOLDERS.search(part)) or None


def _nvidia_names(tree: Tree) -> list[str]:
    base = "proc/driver/nvidia/gpus"
    cards = (key_values(tree.text(f"{base}/{name}/information")) for name in tree.names(base))
    return sorted(card["Model"] for card in cards if "Model" in card)


def accelerators(tree: Tree) -> list[dict[str, object]]:
    """Return graphics and neural devices, each with how many there are."""
    found: Counter[tuple[str, str, str]] = Counter()
    base = "sys/bus/pci/devices"
    for slot in tree.names(base):
        code = tree.text(f"{base}/{slot}/class", 16) or ""
        kind = {"0x03": "display", "0x12": "processing"}.get(code[:4])
        if kind is not None:
            parts = (
                (tree.text(f"{base}/{slot}/{name}", 16) or "?").removeprefix("0x") for name in ("vendor", "device")
            )
            found["pci", kind, ":".join(parts)] += 1
    for card in tree.names("sys/class/drm"):
        if re.fullmatch(r"card\d+", card) and tree.link_name(f"sys/class/drm/{card}/device/subsystem") != "pci":
            event = key_values(tree.text(f"sys/class/drm/{card}/device/uevent"), "=")
            name = event.get("OF_COMPATIBLE_0") or event.get("DRIVER")
            if name and "PCI_ID" not in event:
                found["platform", "display", name] += 1
    for folder, names in (("dev", tree.names("dev")), ("dev/accel", tree.names("dev/accel"))):
        for name in names:
            if folder == "dev/accel" and name.startswith("accel"):
                found["device", "processing", "accel"] += 1
            for prefix, kind in _DEVICE_NODES.items():
                if folder == "dev" and name.startswith(prefix):
                    found["device", "processing", kind] += 1
    items: list[dict[str, object]] = [
        {"bus": bus, "kind": kind, "id": name, "count": count} for (bus, kind, name), count in sorted(found.items())
    ]
    for name, count in sorted(Counter(_nvidia_names(tree)).items()):
        items.append({"bus": "driver", "kind": "display", "id": name, "count": count})
    return items
