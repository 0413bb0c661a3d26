# SPDX-License-Identifier: Apache-2.0
"""What the measured process took of the processor: time, context switches, page faults (getrusage(2))."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from codereef.bench.collect.base import Phase, not_available
from codereef.bench.response import Metric

_COUNTS = {
    "switches_voluntary": "ru_nvcsw",
    "switches_involuntary": "ru_nivcsw",
    "page_faults_minor": "ru_minflt",
    "page_faults_major": "ru_majflt",
}
_WHAT = "getrusage of this process, all its threads, over the measuring phase; what the harness does between queries is in it"


def _usage() -> Any:
    import resource  # absent on Windows

    return resource.getrusage(resource.RUSAGE_SELF)


class Usage:
    """CPU time, context switches and page faults of this process."""

    metrics: Mapping[str, tuple[str, str]] = {
        "cpu_time": ("s", "lower"),
        "cpu_user": ("s", "none"),
        "cpu_system": ("s", "none"),
        **dict.fromkeys(_COUNTS, ("", "none")),
    }

    def __init__(self) -> None:
        self._before: Any = None

    def start(self) -> None:
        """See `Collector.start`."""
        try:
            self._before = _usage()
        except ImportError:
            self._before = None

    def stop(self, phase: Phase) -> dict[str, Metric]:
        """See `Collector.stop`."""
        if self._before is None:
            return not_available(self.metrics, "this system has no getrusage")
        after = _usage()
        user, system = after.ru_utime - self._before.ru_utime, after.ru_stime - self._before.ru_stime
        split = f"{_WHAT}; the kernel parts user from system by its clock ticks"
        found = {
            "cpu_user": Metric(user, "s", "none", split, 1),
            "cpu_system": Metric(system, "s", "none", split, 1),
        }
        if phase.queries:
            method = f"{_WHAT}; user and system time of all queries / {phase.queries}"
            found["cpu_time"] = Metric((user + system) / phase.queries, "s", "lower", method, phase.queries)
        else:
            found.update(not_available({"cpu_time": self.metrics["cpu_time"]}, "no query was counted"))
        for name, field in _COUNTS.items():
            count = float(getattr(after, field) - getattr(self._before, field))
            found[name] = Metric(count, "", "none", f"{_WHAT}; an exact count", 1)
        return found
