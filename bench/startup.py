# SPDX-License-Identifier: Apache-2.0
"""What the command line costs before it does anything, against bare Python and against click alone."""

from __future__ import annotations

import sys
from pathlib import Path

from timing import interleaved, report

RUNS = 40


def main() -> int:
    """Measure and print; the exit code is 1 when a goal is missed."""
    cr = str(Path(sys.executable).with_name("cr"))
    timed = interleaved(
        {
            "python -I -c pass": [sys.executable, "-I", "-c", "pass"],
            "cr --version": [cr, "--version"],
            "python -c 'import click'": [sys.executable, "-c", "import click"],
            "cr --help": [cr, "--help"],
            "cr search detection": [cr, "search", "detection"],
        },
        runs=RUNS,
    )
    print(f"median of {RUNS} interleaved runs, Python {sys.version.split()[0]}")
    goals = [
        report("cr --version", timed["cr --version"], "python -I -c pass", timed["python -I -c pass"], 1.5),
        report("cr --help", timed["cr --help"], "python -c 'import click'", timed["python -c 'import click'"], 1.6),
        report(
            "cr search detection",
            timed["cr search detection"],
            "python -c 'import click'",
            timed["python -c 'import click'"],
            None,
        ),
    ]
    return 0 if all(goals) else 1


if __name__ == "__main__":
    sys.exit(main())
