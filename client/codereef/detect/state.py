# SPDX-License-Identifier: Apache-2.0
"""The state of the machine before and after a benchmark, and what a reader must be warned of.

What the machine does not tell is the text "not available", never zero.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

from codereef.detect.sensors import (
    CPU,
    celsius,
    cooling_files,
    firmware_flags,
    policies,
    sensors,
    throttle_count,
    throttle_files,
    ticks,
)
from codereef.detect.tree import Tree, key_values, parse_list
from codereef.detect.warnings import state_warnings

__all__ = ["NOT_AVAILABLE", "machine_state", "state_warnings"]

NOT_AVAILABLE = "not available"
_CLOCK = "sys/devices/system/clocksource/clocksource0"
_CLOCK_CALLS = 500


def _or_missing(value: object) -> object:
    return NOT_AVAILABLE if value is None else value


def _loads(tree: Tree) -> object:
    match = re.match(r"([\d.]+) ([\d.]+) ([\d.]+)", tree.text("proc/loadavg", 128) or "")
    return [float(value) for value in match.groups()] if match else NOT_AVAILABLE


def _policies(tree: Tree) -> object:
    return [
        {
            "policy": int(here.rpartition("policy")[2]),
            "driver": _or_missing(tree.text(f"{here}/scaling_driver", 64)),
            "governor": _or_missing(tree.text(f"{here}/scaling_governor")),
            "current_khz": _or_missing(tree.number(f"{here}/scaling_cur_freq")),
            "min_khz": _or_missing(tree.number(f"{here}/scaling_min_freq")),
            "max_khz": _or_missing(tree.number(f"{here}/scaling_max_freq")),
            "hardware_max_khz": _or_missing(tree.number(f"{here}/cpuinfo_max_freq")),
        }
        for here in policies(tree)
    ] or NOT_AVAILABLE


def _turbo(tree: Tree) -> object:
    off = tree.number(f"{CPU}/intel_pstate/no_turbo")
    if off is not None:
        return off == 0
    boost = tree.number(f"{CPU}/cpufreq/boost")
    return NOT_AVAILABLE if boost is None else boost == 1


def _temperatures(tree: Tree) -> object:
    return [
        {
            "sensor": _or_missing(sensor.name),
            "celsius": celsius(tree.number(sensor.path)),
            "limit_celsius": _or_missing(sensor.limit),
        }
        for sensor in sensors(tree)
    ] or NOT_AVAILABLE


def _cooling(tree: Tree) -> object:
    return _or_missing(max((n for n in map(tree.number, cooling_files(tree)) if n is not None), default=None))


def _running(tree: Tree) -> object:
    running = re.search(r"(?m)^procs_running (\d+)$", tree.text("proc/stat") or "")
    return int(running[1]) if running else NOT_AVAILABLE


def _processors(tree: Tree) -> dict[str, object]:
    """Return what the kernel's set-up makes of the processors; an empty list of processors is `none`."""
    lists = {
        name: None if (text := tree.text(f"{CPU}/{name}", 256)) is None or text == "(null)" else text or "none"
        for name in ("online", "isolated", "nohz_full")
    }
    return {
        "online": _or_missing(lists["online"]),
        "isolated": _or_missing(lists["isolated"]),
        "nohz_full": _or_missing(lists["nohz_full"]),
        "smt": _or_missing(tree.text(f"{CPU}/smt/control", 32)),
        "idle_driver": _or_missing(tree.text(f"{CPU}/cpuidle/current_driver", 64)),
    }


def _clock(tree: Tree) -> dict[str, object]:
    """Return the kernel's clock source, and what one reading of the clock that latencies are taken with is worth."""
    facts: dict[str, object] = {
        "source": _or_missing(tree.text(f"{_CLOCK}/current_clocksource", 64)),
        "available": _or_missing(tree.text(f"{_CLOCK}/available_clocksource", 256)),
        "timer_resolution_ns": NOT_AVAILABLE,
        "timer_call_ns": NOT_AVAILABLE,
    }
    if tree.is_real:
        clock = time.perf_counter_ns
        # The best of three: what disturbs can only make it longer.
        best = min(_calls(clock) for _ in range(3))
        facts["timer_resolution_ns"] = max(1, round(time.get_clock_info("perf_counter").resolution * 1e9))
        facts["timer_call_ns"] = round(best / _CLOCK_CALLS)
    return facts


def _calls(clock: Callable[[], int]) -> int:
    start = clock()
    for _ in range(_CLOCK_CALLS):
        clock()
    return clock() - start


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
    cpuset = _cpuset(tree, parts)
    limit_v1 = tree.number("sys/fs/cgroup/memory/memory.limit_in_bytes")
    # The first version of control groups writes "no limit" as a number near 2**63.
    if limit_v1 is not None and limit_v1 < 1 << 60:
        memory.append(limit_v1 >> 20)
    readable = (
        tree.exists("sys/fs/cgroup/cgroup.controllers")
        or bool(cpus or memory or cpuset)
        or limit_v1 is not None
        or quota_us is not None
    )
    absent: object = "none" if readable else NOT_AVAILABLE
    return {
        "cpus": round(min(cpus), 2) if cpus else absent,
        "memory_mib": min(memory) if memory else absent,
        "cpuset": cpuset or absent,
    }


def _cpuset(tree: Tree, parts: list[str]) -> str | None:
    """Return the processors that the nearest control group with a say leaves, as a kernel list."""
    for depth in range(len(parts), -1, -1):
        text = tree.text("/".join(["sys/fs/cgroup", *parts[:depth], "cpuset.cpus.effective"]), 256)
        if text:
            return text
    lines = (tree.text("proc/self/cgroup") or "").splitlines()
    old = next((line.split(":", 2)[2] for line in lines if "cpuset" in line.partition(":")[2].partition(":")[0]), "/")
    names = [part for part in old.split("/") if part not in ("", "..")]
    for folder in ("/".join(["sys/fs/cgroup/cpuset", *names]), "sys/fs/cgroup/cpuset"):
        for name in ("cpuset.effective_cpus", "cpuset.cpus"):
            text = tree.text(f"{folder}/{name}", 256)
            if text:
                return text
    return None


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


def _links(tree: Tree) -> object:
    """Return how accelerators are connected, which a name does not tell (a card in a slot of four lanes, or outside)."""
    base = "sys/bus/pci/devices"
    found: list[dict[str, object]] = []
    for slot in tree.names(base):
        here = f"{base}/{slot}"
        if (tree.text(f"{here}/class", 16) or "")[:4] in ("0x03", "0x12"):
            facts = {
                name: tree.text(f"{here}/{file}", 64)
                for name, file in (
                    ("speed", "current_link_speed"),
                    ("width", "current_link_width"),
                    ("most_speed", "max_link_speed"),
                    ("most_width", "max_link_width"),
                )
            }
            if any(facts.values()):
                parts = ((tree.text(f"{here}/{name}", 16) or "?").removeprefix("0x") for name in ("vendor", "device"))
                found.append({"id": ":".join(parts), **{name: _or_missing(value) for name, value in facts.items()}})
    return found or NOT_AVAILABLE


def _uptime(tree: Tree) -> object:
    match = re.match(r"(\d+)", tree.text("proc/uptime", 64) or "")
    return round(int(match[1]) / 3600) if match else NOT_AVAILABLE


def machine_state(root: Path = Path("/")) -> dict[str, object]:
    """Return the state of the machine now.

    Args:
        root: where the file system of the machine begins.
    """
    tree = Tree(root)
    mask = key_values(tree.text("proc/self/status")).get("Cpus_allowed_list")
    flags = firmware_flags(tree)
    return {
        "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "load": _loads(tree),
        "running_processes": _running(tree),
        "ticks": _or_missing(ticks(tree)),
        "frequency": _policies(tree),
        "turbo": _turbo(tree),
        "temperatures": _temperatures(tree),
        "throttle_count": _or_missing(throttle_count(tree, throttle_files(tree))),
        "cooling_state": _cooling(tree),
        "firmware_throttling": NOT_AVAILABLE if flags is None else f"0x{flags:x}",
        "memory": _memory(tree),
        "affinity": mask or NOT_AVAILABLE,
        "affinity_cpus": len(parse_list(mask)) or NOT_AVAILABLE,
        "processors": _processors(tree),
        "clock": _clock(tree),
        "links": _links(tree),
        "limits": _limits(tree),
        "power": _power(tree),
        "aslr": _or_missing(tree.number("proc/sys/kernel/randomize_va_space")),
        "uptime_hours": _uptime(tree),
    }
