# SPDX-License-Identifier: Apache-2.0
"""Energy of processor and memory by RAPL, as Linux shows it under /sys/class/powercap.

Domains and counters: Intel SDM volume 3B, "RAPL interfaces"; Documentation/power/powercap/powercap.rst of the
kernel. AMD processors use the same interface. The counters are refreshed about every millisecond and start
again at `max_energy_range_uj`. `core` and `uncore` are parts of `package`, and `psys` and the domains of
`intel-rapl-mmio` count what others count already; so only packages and their `dram` are summed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from codereef.bench.collect.base import Phase, energy_metrics, not_available
from codereef.bench.response import Metric

REFRESH_S = 0.001
# No package or memory domain draws more; it bounds how often a counter can have wrapped where the kernel
# does not tell the domain's limit.
_MOST_WATTS = 1500.0
_PACKAGE = re.compile(r"package-\d+(?:-die-\d+)?")


@dataclass(frozen=True)
class _Domain:
    """A domain that counts: its folder, its name, where the counter starts again, and the most it can draw."""

    folder: Path
    name: str
    range_uj: int
    most_watts: float

    def read(self) -> int:
        """The counter in microjoules; raises OSError or ValueError."""
        return int((self.folder / "energy_uj").read_text(encoding="ascii"))


def _number(path: Path) -> Optional[int]:
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def _domains(root: Path) -> list[_Domain]:
    base = root / "sys/class/powercap"
    found = []
    for folder in sorted(base.glob("intel-rapl:*")):
        try:
            name = (folder / "name").read_text(encoding="ascii", errors="replace").strip()
        except OSError:
            continue
        if _PACKAGE.fullmatch(name) or name == "dram":
            limits = [_number(path) for path in folder.glob("constraint_*_max_power_uw")]
            most = max((limit for limit in limits if limit), default=0) / 1e6
            # The declared limit may be passed for a moment; twice that is out of reach.
            found.append(
                _Domain(folder, name, _number(folder / "max_energy_range_uj") or 0, 2 * most if most else _MOST_WATTS)
            )
    return found


class Rapl:
    """The energy of all packages and their memory.

    Args:
        root: where the machine's file system begins.
    """

    metrics: Mapping[str, tuple[str, str]] = {"energy_cpu": ("J", "lower"), "power_cpu": ("W", "lower")}

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root
        self._domains: list[_Domain] = []
        self._before: list[int] = []
        self._reason = "the phase did not start"

    def start(self) -> None:
        """See `Collector.start`."""
        self._domains, self._before, self._reason = [], [], ""
        if not (self._root / "sys/class/powercap").is_dir():
            self._reason = "the kernel shows no powercap interface (no RAPL, or a virtual machine)"
            return
        self._domains = _domains(self._root)
        if not any(_PACKAGE.fullmatch(domain.name) for domain in self._domains):
            self._reason = "powercap has no domain of a processor package"
            return
        self._before = self._read()

    def _read(self) -> list[int]:
        values = []
        for domain in self._domains:
            try:
                values.append(domain.read())
            except PermissionError:
                self._reason = "permission denied: this user may not read RAPL's energy_uj"
                return []
            except (OSError, ValueError) as error:
                self._reason = f"RAPL's energy_uj of {domain.name} cannot be read ({error})"
                return []
        return values

    def stop(self, phase: Phase) -> dict[str, Metric]:
        """See `Collector.stop`."""
        after = self._read() if self._before else []
        if not after or phase.seconds <= 0:
            return not_available(self.metrics, self._reason or "the phase took no time")
        total = 0
        for domain, begin, end in zip(self._domains, self._before, after):
            if domain.range_uj and phase.seconds * domain.most_watts * 1e6 >= domain.range_uj:
                return not_available(
                    self.metrics, f"RAPL's {domain.name} may have started again more than once in {phase.seconds:.0f} s"
                )
            if end < begin and not domain.range_uj:
                return not_available(self.metrics, f"RAPL's {domain.name} started again and does not say where")
            total += end - begin + (domain.range_uj if end < begin else 0)
        names = " + ".join(domain.name for domain in self._domains)
        return energy_metrics(
            "cpu", total / 1e6, REFRESH_S, phase, f"RAPL {names}", "everything that ran on the processor meanwhile"
        )
