# SPDX-License-Identifier: Apache-2.0
"""How busy the whole machine was during the phase, and what a hypervisor took (/proc/stat, proc(5))."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Optional

from codereef.bench.collect.base import Phase, not_available
from codereef.bench.response import Metric

_FEWEST = 50  # ticks of all processors; with fewer a share says nothing


class Ticks:
    """The ticks of all processors.

    Args:
        root: where the machine's file system begins.
    """

    metrics: Mapping[str, tuple[str, str]] = {"machine_busy": ("", "none"), "steal": ("", "lower")}

    def __init__(self, root: Path = Path("/")) -> None:
        self._path = root / "proc/stat"
        self._before: Optional[tuple[list[int], int]] = None

    def _read(self) -> Optional[tuple[list[int], int]]:
        """Ticks since boot (user, nice, system, idle, iowait, irq, softirq, steal), and how many processors."""
        try:
            lines = self._path.read_text(encoding="ascii", errors="replace").splitlines()
            name, *fields = lines[0].split()
            values = [int(field) for field in fields[:8]]
        except (OSError, ValueError, IndexError):
            return None
        cpus = sum(line.startswith("cpu") and line[3:4].isdigit() for line in lines)
        return (values, cpus) if name == "cpu" and len(values) == 8 and cpus else None

    def start(self) -> None:
        """See `Collector.start`."""
        self._before = self._read()

    def stop(self, phase: Phase) -> dict[str, Metric]:
        """See `Collector.stop`."""
        after = self._read()
        if self._before is None or after is None:
            return not_available(self.metrics, "the kernel's ticks (stat of proc) cannot be read")
        (earlier, _), (later, cpus) = self._before, after
        # `iowait` may go backwards (proc(5)); nothing of it is used but the sum.
        gained = [max(0, b - a) for a, b in zip(earlier, later)]
        total, idle, steal = sum(gained), gained[3] + gained[4], gained[7]
        if total < _FEWEST:
            return not_available(self.metrics, f"the phase took {total} ticks of the processors, too few for a share")
        method = f"ticks of {cpus} processors over the measuring phase ({total} in all); bounds of one tick"
        busy = total - idle - steal
        return {
            "machine_busy": Metric(
                busy / total * cpus, "", "none", f"processors busy on average, this process included; {method}", 1,
                interval=(max(0, busy - 1) / total * cpus, min(total, busy + 1) / total * cpus),
            ),
            "steal": Metric(
                steal / total, "", "lower", f"share of the processors' time that a hypervisor gave to others; {method}",
                1, interval=(max(0, steal - 1) / total, min(total, steal + 1) / total),
            ),
        }  # fmt: skip
