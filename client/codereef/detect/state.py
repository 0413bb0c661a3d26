# SPDX-License-Identifier: Apache-2.0
"""The state of the machine before and after a benchmark, and what a reader must be warned of.

What the machine does not tell is the text "not available", never zero.
"""

from __future__ import annotations

import re
from datetime import datetime, timezone
from pathlib import Path

from codereef.detect.tree import Tree, key_values, parse_list
from codereef.detect.warnings import state_warnings

__all__ = ["NOT_AVAILABLE", "machine_state", "state_warnings"]

NOT_AVAILABLE = "not available"
# Reading a clock frequency interrupts that core; on a large machine a part of them says enough.
POLICY_LIMIT = 64
_CPU = "sys/devices/system/cpu"


def _or_missing(value: object) -> object:
    return NOT_AVAILABLE if value is None else value


def _loads(tree: Tree) -> object:
    match = re.match(r"([\d.]+) ([\d.]+) ([\d.]+)", tree.text("proc/loadavg", 128) or "")
    return [float(value) for value in match.groups()] if match else NOT_AVAILABLE


def _policies(tree: Tree) -> object:
    found: list[dict[str, object]] = []
    base = f"{_CPU}/cpufreq"
    names = [name for name in tree.names(base) if re.fullmatch(r"policy\d+", name)]
    for name in sorted(names, key=lambda n: int(n[6:]))[:POLICY_LIMIT]:
        here = f"{base}/{name}"
        found.append(
            {
                "policy": int(name[6:]),
                "governor": _or_missing(tree.text(f"{here}/scaling_governor")),
                "current_khz": _or_missing(tree.number(f"{here}/scaling_cur_freq")),
                "min_khz": _or_missing(tree.number(f"{here}/scaling_min_freq")),
                "max_khz": _or_missing(tree.number(f"{here}/scaling_max_freq")),
                "hardware_max_khz": _or_missing(tree.number(f"{here}/cpuinfo_max_freq")),
            }
        )
    return found or NOT_AVAILABLE


def _turbo(tree: Tree) -> object:
    off = tree.number(f"{_CPU}/intel_pstate/no_turbo")
    if off is not None:
        return off == 0
    boost = tree.number(f"{_CPU}/cpufreq/boost")
    return NOT_AVAILABLE if boost is None else boost == 1


def _celsius(value: int | None) -> float | None:
    # Sensors that are asleep answer with values that no running machine has.
    return round(value / 1000, 1) if value is not None and -40_000 < value < 200_000 else None


def _temperatures(tree: Tree) -> object:
    found: list[dict[str, object]] = []
    base = "sys/class/thermal"
    for zone in tree.names(base):
        here = f"{base}/{zone}"
        value = _celsius(tree.number(f"{here}/temp")) if zone.startswith("thermal_zone") else None
        if value is None:
            continue
        trips = [name for name in tree.names(here) if re.fullmatch(r"trip_point_\d+_temp", name)]
        kinds = {name: tree.text(f"{here}/{name.replace('_temp', '_type')}") for name in trips}
        limits = [_celsius(tree.number(f"{here}/{n}")) for n in trips if kinds[n] in ("passive", "hot", "critical")]
        limit = min((value for value in limits if value is not None and value > 0), default=None)
        found.append(
            {
                "sensor": _or_missing(tree.text(f"{here}/type", 64)),
                "celsius": value,
                "limit_celsius": _or_missing(limit),
            }
        )
    base = "sys/class/hwmon"
    for chip in tree.names(base):
        name = tree.text(f"{base}/{chip}/name", 64) or ""
        if name not in ("coretemp", "k10temp", "zenpower", "cpu_thermal", "amdgpu"):
            continue
        for entry in tree.names(f"{base}/{chip}"):
            sensor = re.fullmatch(r"(temp\d+)_input", entry)
            value = _celsius(tree.number(f"{base}/{chip}/{entry}")) if sensor else None
            if sensor is None or value is None:
                continue
            label = tree.text(f"{base}/{chip}/{sensor[1]}_label", 64)
            limit = _celsius(tree.number(f"{base}/{chip}/{sensor[1]}_crit"))
            found.append(
                {
                    "sensor": f"{name} {label or sensor[1]}",
                    "celsius": value,
                    "limit_celsius": _or_missing(limit if limit and limit > 0 else None),
                }
            )
    return found or NOT_AVAILABLE


def _throttled(tree: Tree) -> object:
    counts = []
    for cpu in parse_list(tree.text(f"{_CPU}/online"))[:POLICY_LIMIT]:
        here = f"{_CPU}/cpu{cpu}/thermal_throttle"
        counts += [tree.number(f"{here}/{name}_throttle_count") for name in ("core", "package")]
    known = [count for count in counts if count is not None]
    return sum(known) if known else NOT_AVAILABLE


def _ticks(tree: Tree) -> tuple[object, object]:
    """Return the ticks of all processors since boot and the number of runnable processes (proc(5))."""
    text = tree.text("proc/stat") or ""
    first = text.partition("\n")[0].split()
    running = re.search(r"(?m)^procs_running (\d+)$", text)
    count: object = int(running[1]) if running else NOT_AVAILABLE
    if len(first) < 9 or first[0] != "cpu":
        return NOT_AVAILABLE, count
    values = [int(value) for value in first[1:9]]
    return {"total": sum(values), "idle": values[3], "iowait": values[4], "steal": values[7]}, count


def _memory(tree: Tree) -> dict[str, object]:
    info = {name: value.split()[0] for name, value in key_values(tree.text("proc/meminfo")).items() if value}

    def mib(name: str) -> int | None:
        text = info.get(name, "")
        return int(text) // 1024 if text.isdigit() else None

    total, free = mib("SwapTotal"), mib("SwapFree")
    used = total - free if total is not None and free is not None else None
    return {"available_mib": _or_missing(mib("MemAvailable")), "swap_used_mib": _or_missing(used)}


def _limits(tree: Tree) -> dict[str, object]:
    """Return the tightest limits that control groups put on this process; groups nest, so all are read."""
    cpus: list[float] = []
    memory: list[int] = []
    path = next(
        (line[3:] for line in (tree.text("proc/self/cgroup") or "").splitlines() if line.startswith("0::")), "/"
    )
    parts = [part for part in path.split("/") if part not in ("", "..")]
    for depth in range(len(parts), -1, -1):
        here = "/".join(["sys/fs/cgroup", *parts[:depth]])
        quota = (tree.text(f"{here}/cpu.max") or "").split()
        if len(quota) == 2 and all(part.isdigit() for part in quota):
            cpus.append(int(quota[0]) / int(quota[1]))
        limit = tree.number(f"{here}/memory.max")
        if limit is not None:
            memory.append(limit >> 20)
    quota_us = tree.number("sys/fs/cgroup/cpu/cpu.cfs_quota_us")
    period_us = tree.number("sys/fs/cgroup/cpu/cpu.cfs_period_us")
    if quota_us and period_us and quota_us > 0:
        cpus.append(quota_us / period_us)
    limit_v1 = tree.number("sys/fs/cgroup/memory/memory.limit_in_bytes")
    # The first version of control groups writes "no limit" as a number near 2**63.
    if limit_v1 is not None and limit_v1 < 1 << 60:
        memory.append(limit_v1 >> 20)
    readable = tree.exists("sys/fs/cgroup/cgroup.controllers") or bool(cpus or memory) or limit_v1 is not None
    absent: object = "none" if readable else NOT_AVAILABLE
    return {
        "cpus": round(min(cpus), 2) if cpus else absent,
        "memory_mib": min(memory) if memory else absent,
    }


def _power(tree: Tree) -> dict[str, object]:
    base = "sys/class/power_supply"
    mains: list[bool] = []
    battery: object = NOT_AVAILABLE
    charge: object = NOT_AVAILABLE
    for name in tree.names(base):
        kind = tree.text(f"{base}/{name}/type", 32)
        if kind in ("Mains", "USB"):
            online = tree.number(f"{base}/{name}/online")
            if online is not None:
                mains.append(online == 1)
        # The batteries of mice and keyboards have the scope "Device".
        elif kind == "Battery" and tree.text(f"{base}/{name}/scope", 32) != "Device":
            battery = (tree.text(f"{base}/{name}/status", 32) or NOT_AVAILABLE).lower()
            charge = _or_missing(tree.number(f"{base}/{name}/capacity"))
    return {"mains": any(mains) if mains else NOT_AVAILABLE, "battery": battery, "battery_percent": charge}


def _uptime(tree: Tree) -> object:
    match = re.match(r"(\d+)", tree.text("proc/uptime", 64) or "")
    return round(int(match[1]) / 3600) if match else NOT_AVAILABLE


def machine_state(root: Path = Path("/")) -> dict[str, object]:
    """Return the state of the machine now.

    Args:
        root: where the file system of the machine begins.
    """
    tree = Tree(root)
    ticks, running = _ticks(tree)
    allowed = parse_list(key_values(tree.text("proc/self/status")).get("Cpus_allowed_list"))
    return {
        "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "load": _loads(tree),
        "running_processes": running,
        "ticks": ticks,
        "frequency": _policies(tree),
        "turbo": _turbo(tree),
        "temperatures": _temperatures(tree),
        "throttle_count": _throttled(tree),
        "memory": _memory(tree),
        "affinity_cpus": len(allowed) or NOT_AVAILABLE,
        "limits": _limits(tree),
        "power": _power(tree),
        "aslr": _or_missing(tree.number("proc/sys/kernel/randomize_va_space")),
        "uptime_hours": _uptime(tree),
    }
