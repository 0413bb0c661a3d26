# SPDX-License-Identifier: Apache-2.0
"""The peak memory of this process."""

from __future__ import annotations

import sys


def peak_rss() -> tuple[int, str]:
    """Peak resident set size of this process in bytes, and where the number comes from.

    Linux keeps it as VmHWM in /proc/self/status. getrusage's ru_maxrss is only the second choice: it survives
    exec, so a child started by a large parent begins with the parent's peak.
    """
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as stream:
            for line in stream:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024, "VmHWM, the kernel's highest resident size"
    except OSError:
        pass
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit, "ru_maxrss of getrusage"
