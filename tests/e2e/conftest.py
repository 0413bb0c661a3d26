# SPDX-License-Identifier: Apache-2.0
"""The command as a user has it: a real process, a home of its own, a folder of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Cr:
    """Runs `cr` in a folder with a home."""

    home: Path
    cwd: Path
    environ: dict[str, str] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("CR_")}
        return {**kept, "CR_HOME": str(self.home), **self.environ}

    def __call__(
        self, *arguments: str, check: bool = True, prefix: tuple[str, ...] = ()
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*prefix, sys.executable, "-m", "codereef", *arguments],
            cwd=self.cwd,
            env=self.environment(),
            text=True,
            capture_output=True,
            timeout=280,
        )
        if check:
            assert done.returncode == 0, (
                f"cr {' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
            )
        return done

    def json(self, *arguments: str) -> Any:
        return json.loads(self(*arguments, "--json").stdout)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "codereef", *arguments],
            cwd=self.cwd,
            env=self.environment(),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            # Whoever runs the tests in the background has this one ignored, and programs inherit that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )


@pytest.fixture
def cr(tmp_path: Path) -> Cr:
    """A client that has never run before."""
    (tmp_path / "work").mkdir()
    return Cr(tmp_path / "home", tmp_path / "work")


@pytest.fixture(scope="session")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Cr:
    """A client whose demo is initialised in all four configurations, shared by the tests that only use it."""
    base = tmp_path_factory.mktemp("ready")
    (base / "work").mkdir()
    client = Cr(base / "home", base / "work")
    client("init", "demo-object-detection", "--variant", "format=all", "--variant", "precision=all")
    return client


@pytest.fixture(scope="session")
def no_network() -> tuple[str, ...]:
    """A command prefix under which there is no network at all."""
    unshare = shutil.which("unshare")
    if unshare is None or subprocess.run([unshare, "-n", "true"], capture_output=True).returncode != 0:
        message = "unshare -n is not permitted here, so a machine without network cannot be had"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return (unshare, "-n")
