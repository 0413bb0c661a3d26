# SPDX-License-Identifier: Apache-2.0
"""A second `cr init` of the whole demo, all there, without network, against uv checking the same distributions.

The peer does less: `uv pip install` of the same exact requirements into the environment that has them already
neither looks at compilers, models and datasets nor checks a lock.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from timing import interleaved, report

RUNS = 15
GOAL_SECONDS = 2.0


def main() -> int:
    """Measure and print; the exit code is 1 when the goal is missed."""
    cr = str(Path(sys.executable).with_name("cr"))
    uv = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
    isolated = (
        ["unshare", "-n"] if subprocess.run(["unshare", "-n", "true"], capture_output=True).returncode == 0 else []
    )
    with tempfile.TemporaryDirectory() as folder:
        environ = {"CR_HOME": str(Path(folder) / "home")}
        init = [
            cr,
            "init",
            "demo-object-detection",
            "-C",
            folder,
            "--variant",
            "format=all",
            "--variant",
            "precision=all",
        ]
        subprocess.run(init, env={**os.environ, **environ}, check=True, capture_output=True)
        lock = json.loads((Path(folder) / "demo-object-detection" / "cr.lock").read_text())
        environment = next(iter(lock["environments"].values()))
        prefix = next((Path(folder) / "home" / "store" / "v1" / "prefixes").glob(environment["install_key"] + "*"))
        requirements = [f"{d['name']}=={d['version']}" for d in environment["distributions"]]
        peer = [
            uv,
            "pip",
            "install",
            "--offline",
            "--no-deps",
            "--python",
            str(prefix / "bin" / "python"),
            *requirements,
        ]
        timed = interleaved({"init": [*isolated, *init, "--locked"], "uv": peer}, runs=RUNS, environ=environ)
    print(f"median of {RUNS} interleaved runs{', no network' if isolated else ''}")
    report("second cr init, 4 configurations", timed["init"], "uv pip install, nothing to do", timed["uv"], None)
    met = timed["init"].wall <= GOAL_SECONDS
    print(f"goal {GOAL_SECONDS:g} s: {'met' if met else 'MISSED'}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
