# SPDX-License-Identifier: Apache-2.0
"""A second `cr init` of the whole demo with a full store and no network, against uv making the same environments.

What is shared is the Python part: the same interpreter, the same exact distributions with the same hashes, from the
same warm cache of uv, compiled as `cr` has them compiled. uv neither looks at compilers, models and datasets nor
checks a lock. Four commands take turns in one run:

    there      `cr init --locked`, everything is there
    again      the same after the environments were removed from the store
    uv check   `uv pip install` of the same set into environments that have it: uv with nothing to do
    uv         `uv venv && uv pip install` of the same set, into folders that were removed before

The shared part of `cr` is what making the environments adds: `again` less `there`. The goal is on its ratio to `uv`,
by wall and by CPU time.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from timing import Timed, interleaved, report

RUNS = int(os.environ.get("BENCH_RUNS", "15"))
GOAL = 1.5
GOAL_SECONDS = 2.0


def _lines(distributions: list[dict[str, object]]) -> str:
    """Return a requirements file of exact versions and hashes."""
    lines = []
    for item in distributions:
        hashes = item["sha256"]
        assert isinstance(hashes, list)
        lines.append(" ".join([f"{item['name']}=={item['version']}", *(f"--hash=sha256:{sha}" for sha in hashes)]))
    return "\n".join(lines) + "\n"


def main() -> int:
    """Measure and print; the exit code is 1 when a goal is missed."""
    cr = str(Path(sys.executable).with_name("cr"))
    beside = Path(sys.executable).with_name("uv")
    uv = str(beside) if beside.exists() else shutil.which("uv")
    if uv is None:
        print("uv is not installed: pip install uv")
        return 2
    alone = ["unshare", "-n"] if subprocess.run(["unshare", "-n", "true"], capture_output=True).returncode == 0 else []
    with tempfile.TemporaryDirectory(prefix="bench-init-") as folder:
        here = Path(folder)
        environ = {"CR_HOME": str(here / "home"), "UV_PYTHON_DOWNLOADS": "never"}
        init = [cr, "init", "demo-object-detection", "-C", folder, "--all-variants", "-y"]
        subprocess.run(init, env={**os.environ, **environ}, check=True, capture_output=True)
        lock = json.loads((here / "demo-object-detection" / "cr.lock").read_text())
        prefixes = here / "home" / "store" / "v1" / "prefixes"
        make, check, remove = [], [], []
        for number, environment in enumerate(lock["environments"].values()):
            ours = next(prefixes.glob(environment["install_key"] + "*"), None)
            if ours is None:
                continue  # of another target
            python = str((ours / "bin" / "python").resolve())
            wanted, place = here / f"wanted-{number}.txt", str(here / f"env-{number}")
            wanted.write_text(_lines(environment["distributions"]))
            install = [
                uv,
                "pip",
                "install",
                "--quiet",
                "--offline",
                "--no-deps",
                "--require-hashes",
                "--compile-bytecode",
            ]
            install += ["--python", f"{place}/bin/python", "-r", str(wanted)]
            make += [[uv, "venv", "--quiet", "--no-project", "--python", python, place], install]
            check.append(install)
            remove.append(str(ours))

        def shell(*commands: list[str]) -> list[str]:
            return [*alone, "sh", "-ec", " && ".join(shlex.join(command) for command in commands)]

        locked = [*init, "--locked", "--offline"]
        places = [command[-1] for command in make[::2]]
        timed = interleaved(
            {
                "there": shell(locked),
                "uv": shell(["rm", "-rf", *places], *make),
                "uv check": shell(*check),
                "again": shell(["rm", "-rf", *remove], locked),
            },
            runs=RUNS,
            environ=environ,
        )
    version = subprocess.run([uv, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    print(f"median of {RUNS} runs taking turns, {version}, {len(check)} environments{', no network' if alone else ''}")
    shared = Timed(timed["again"].wall - timed["there"].wall, timed["again"].cpu - timed["there"].cpu)
    report("second cr init, everything there", timed["there"], "uv venv && uv pip install", timed["uv"], None)
    report("second cr init, everything there", timed["there"], "uv pip install, nothing to do", timed["uv check"], None)
    report("cr init, environments made again", timed["again"], "uv venv && uv pip install", timed["uv"], None)
    met = report("of that, the shared part", shared, "uv venv && uv pip install", timed["uv"], GOAL)
    print(f"{'':34} by cpu {shared.cpu / timed['uv'].cpu:.2f} x")
    quick = timed["there"].wall <= GOAL_SECONDS
    print(f"goal {GOAL_SECONDS:g} s for everything there: {'met' if quick else 'MISSED'}")
    return 0 if met and quick else 1


if __name__ == "__main__":
    sys.exit(main())
