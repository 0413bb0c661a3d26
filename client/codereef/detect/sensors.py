# SPDX-License-Identifier: Apache-2.0
"""What changes while a machine works: clock, temperatures, heat throttling; found once, then read cheaply.

Sources: Documentation/ABI of the kernel for cpufreq, thermal, hwmon and thermal_throttle; the Raspberry Pi's
firmware driver for `get_throttled` (bit 0 too little voltage, 1 clock capped, 2 throttled, 3 soft limit of
temperature; 16 to 19 the same since boot).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from codereef.detect.tree import Tree, parse_list

# Reading a clock frequency interrupts that core; on a large machine a part of them says enough.
POLICY_LIMIT = 64
CPU = "sys/devices/system/cpu"
FIRMWARE_FLAGS = "sys/devices/platform/soc/soc:firmware/get_throttled"
_CHIPS = ("coretemp", "k10temp", "zenpower", "cpu_thermal", "amdgpu")
_COOLING = re.compile(r"(?i)processor|(?:thermal-)?cpufreq.*")


@dataclass(frozen=True, slots=True)
class Sensor:
    """A thermometer: its name or None, the file it is read from, and the limit beside it in degrees Celsius."""

    name: str | None
    path: str
    limit: float | None


def celsius(value: int | None) -> float | None:
    """Return thousandths of a degree as degrees; None for what no running machine has, as sleeping sensors say."""
    return round(value / 1000, 1) if value is not None and -40_000 < value < 200_000 else None


def sensors(tree: Tree) -> list[Sensor]:
    """Return the thermometers that answer, of thermal zones first."""
    found: list[Sensor] = []
    base = "sys/class/thermal"
    for zone in tree.names(base):
        here = f"{base}/{zone}"
        if not zone.startswith("thermal_zone") or celsius(tree.number(f"{here}/temp")) is None:
            continue
        trips = [name for name in tree.names(here) if re.fullmatch(r"trip_point_\d+_temp", name)]
        kinds = {name: tree.text(f"{here}/{name.replace('_temp', '_type')}") for name in trips}
        limits = [celsius(tree.number(f"{here}/{n}")) for n in trips if kinds[n] in ("passive", "hot", "critical")]
        limit = min((value for value in limits if value is not None and value > 0), default=None)
        found.append(Sensor(tree.text(f"{here}/type", 64), f"{here}/temp", limit))
    base = "sys/class/hwmon"
    for chip in tree.names(base):
        name = tree.text(f"{base}/{chip}/name", 64) or ""
        if name not in _CHIPS:
            continue
        for entry in tree.names(f"{base}/{chip}"):
            match = re.fullmatch(r"(temp\d+)_input", entry)
            if match is None or celsius(tree.number(f"{base}/{chip}/{entry}")) is None:
                continue
            label = tree.text(f"{base}/{chip}/{match[1]}_label", 64)
            limit = celsius(tree.number(f"{base}/{chip}/{match[1]}_crit"))
            found.append(
                Sensor(f"{name} {label or match[1]}", f"{base}/{chip}/{entry}", limit if limit and limit > 0 else None)
            )
    return found


def policies(tree: Tree) -> list[str]:
    """Return the folders of the frequency policies, in the order of their numbers."""
    base = f"{CPU}/cpufreq"
    names = [name for name in tree.names(base) if re.fullmatch(r"policy\d+", name)]
    return [f"{base}/{name}" for name in sorted(names, key=lambda n: int(n[6:]))[:POLICY_LIMIT]]


def throttle_files(tree: Tree) -> list[str]:
    """Return the files that count how often heat slowed a core or a package (Intel processors have them)."""
    paths = [
        f"{CPU}/cpu{cpu}/thermal_throttle/{name}_throttle_count"
        for cpu in parse_list(tree.text(f"{CPU}/online"))[:POLICY_LIMIT]
        for name in ("core", "package")
    ]
    return [path for path in paths if tree.number(path) is not None]


def throttle_count(tree: Tree, files: list[str]) -> int | None:
    """Return the sum of these counts, or None where there are none."""
    known = [count for count in map(tree.number, files) if count is not None]
    return sum(known) if known else None


def cooling_files(tree: Tree) -> list[str]:
    """Return the files that say how far the processor is slowed for the sake of temperature now (0: not at all)."""
    base = "sys/class/thermal"
    return [
        f"{base}/{name}/cur_state"
        for name in tree.names(base)
        if name.startswith("cooling_device") and _COOLING.fullmatch(tree.text(f"{base}/{name}/type", 64) or "")
    ]


def firmware_flags(tree: Tree) -> int | None:
    """Return the throttling flags of a Raspberry Pi's firmware, or None elsewhere."""
    text = tree.text(FIRMWARE_FLAGS, 32)
    try:
        return int(text, 16) if text else None
    except ValueError:
        return None


def ticks(tree: Tree) -> dict[str, int] | None:
    """Return the ticks of all processors since boot (proc(5))."""
    first = (tree.text("proc/stat") or "").partition("\n")[0].split()
    if len(first) < 9 or first[0] != "cpu":
        return None
    values = [int(value) for value in first[1:9]]
    return {"total": sum(values), "idle": values[3], "iowait": values[4], "steal": values[7]}
