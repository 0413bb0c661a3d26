# SPDX-License-Identifier: Apache-2.0
"""The command lines that ours is measured against, each installed in a virtual environment of its own.

They are kept in `$CODEREEF_BENCH_CACHE`, else in the user's cache folder, and give an honest first sight of how
much each of them installs. Run as a script it does nothing.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def cache() -> Path:
    """Return the folder that peers are kept in."""
    chosen = os.environ.get("CODEREEF_BENCH_CACHE")
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(chosen) if chosen else base / "codereef-bench"


@dataclass(frozen=True)
class Installed:
    """What pip made of some requirements in a fresh environment.

    Attributes:
        folder: the environment.
        distributions: those that it added, with versions; Python's own (pip, setuptools) are not among them.
        megabytes: what it added on disk, compiled files included, in units of 1,000,000 bytes.
        unpacked: the same without what pip compiles.
    """

    folder: Path
    distributions: tuple[str, ...]
    megabytes: float
    unpacked: float

    def program(self, name: str) -> str:
        """Return the path of a program that was installed."""
        return str(self.folder / "bin" / name)

    @property
    def packages(self) -> Path:
        """Where its distributions lie."""
        return next((self.folder / "lib").glob("python3*")) / "site-packages"


def _sizes(folder: Path) -> tuple[int, int]:
    """Return what the files below a folder take on disk, as `du` counts it: all, and all but compiled ones."""
    taken = {path: path.lstat().st_blocks * 512 for path in folder.rglob("*")}
    return sum(taken.values()), sum(size for path, size in taken.items() if "__pycache__" not in path.parts)


def install(name: str, requirements: Sequence[str], *, again: bool = False) -> Installed:
    """Install requirements as pip does it, unless they are there from an earlier run.

    Args:
        name: of the environment.
        requirements: what pip is given.
        again: make the environment anew, for what changes without a new version.

    Raises:
        RuntimeError: pip could not install them, for instance without a network.
    """
    folder = cache() / f"{name}-py{sys.version_info[0]}.{sys.version_info[1]}"
    done = folder / "measured.txt"
    if again or not done.is_file():
        shutil.rmtree(folder, ignore_errors=True)
        # The plain interpreter, and not this environment's: a venv of a venv would see no more, but say otherwise.
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, capture_output=True)
        pip = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
        # Today's pip writes shorter start scripts than the one that this Python brings.
        subprocess.run([*pip, "install", "-q", "--upgrade", "pip"], capture_output=True)
        before = _sizes(folder)
        failed = subprocess.run([*pip, "install", "-q", *requirements], capture_output=True, text=True)
        if failed.returncode:
            shutil.rmtree(folder, ignore_errors=True)
            lines = failed.stderr.strip().splitlines() or ["pip said nothing"]
            raise RuntimeError(f"pip install {' '.join(requirements)}: {lines[-1]}")
        added = [str(now - then) for now, then in zip(_sizes(folder), before, strict=True)]
        listed = subprocess.run([*pip, "list", "--format=freeze"], capture_output=True, text=True, check=True).stdout
        own = ("pip==", "setuptools==")
        done.write_text("\n".join([*added, *(d for d in listed.split() if not d.startswith(own))]))
    compiled, plain, *distributions = done.read_text().split("\n")
    return Installed(folder, tuple(distributions), int(compiled) / 1e6, int(plain) / 1e6)


def scripts_of_mlcflow(folder: Path, count: int, chain: int, engine: Path | None) -> Path:
    """Write a repository of trivial cached scripts for mlcflow; the first `chain` of them need each other.

    Args:
        folder: where it is made anew.
        count: scripts.
        chain: how many need the next one.
        engine: the automation that runs scripts, for versions that do not bring it.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "meta.yaml").write_text(f"alias: {folder.name}\nuid: {_uid(str(folder))}\ngit: false\n")
    for number in range(count):
        place = folder / "script" / f"get-node-{number:04}"
        place.mkdir(parents=True)
        lines = [
            f"alias: {place.name}",
            f"uid: {_uid(place.name)}",
            "automation_alias: script",
            "automation_uid: 5b4e0237da074764",
            "cache: true",
            f"tags: [get, synthetic, node-{number}]",
            f"new_env_keys: [MLC_NODE_{number}]",
        ]
        if number + 1 < chain:
            lines.append(f"deps:\n- tags: get,node-{number + 1}")
        (place / "meta.yaml").write_text("\n".join(lines) + "\n")
        (place / "run.sh").write_text("#!/bin/bash\nexit 0\n")
    if engine is not None:
        shutil.copytree(engine, folder / "automation")
    return folder


def _uid(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
