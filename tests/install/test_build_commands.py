# SPDX-License-Identifier: Apache-2.0
"""`cr init` and `cr why-failed` as a person uses them, with recipes in a repository of their own."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from .graphs import tool


class Reef:
    """A home, a trusted repository and a folder to work in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.repository = folder / "repository"
        self.env = {
            name: value for name, value in os.environ.items() if not name.startswith(("CR_", "PIP_", "UV_"))
        } | {"CR_HOME": str(folder / "home"), "NO_COLOR": "1"}
        self.write("program", "p", {"task": "object-detection", "run": {"python": "main.py"}, "metrics": {}})
        (self.repository / "program" / "p" / "main.py").write_text("")

    def write(self, kind: str, name: str, rest: dict[str, Any], sources: dict[str, str] | None = None) -> None:
        root = self.repository / kind / name
        root.mkdir(parents=True, exist_ok=True)
        head = {"kind": kind, "name": name, "version": "1.0.0", "summary": f"A test of {name}", "license": "Apache-2.0"}
        files = []
        for path, text in (sources or {}).items():
            (root / path).write_text(text)
            data = text.encode()
            files.append({"name": path, "path": path, "sha256": hashlib.sha256(data).hexdigest(), "size": len(data)})
        document = {**head, **rest, **({"files": files} if files else {})}
        (root / "cr.json").write_text(json.dumps(document))

    def solution(self, needs: str) -> None:
        actions: dict[str, Any] = {"run": {}}
        self.write(
            "solution", "s", {"program": {"needs": "program:p"}, "deps": {"x": {"needs": needs}}, "actions": actions}
        )

    def cr(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "codereef", *arguments]
        return subprocess.run(command, cwd=self.folder, env=self.env, capture_output=True, text=True, timeout=120)


@pytest.fixture
def reef(tmp_path: Path) -> Reef:
    tool("gcc")
    made = Reef(tmp_path)
    made.solution("lib.greeter")
    return made


def trusted(reef: Reef) -> None:
    done = reef.cr("repo", "add", str(reef.repository), "--name", "t", "--trust")
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_build_fails_is_explained_run_again_and_goes_on(reef: Reef) -> None:
    gate = reef.folder / "licence.txt"
    run = [["sh", "-c", "echo begun >> begun"], ["cp", str(gate), "begun", "{prefix}/"]]
    reef.write(
        "package",
        "greeter",
        {
            "provides": {"capability": "lib.greeter", "versions": ["1.0"]},
            "deps": {"cc": {"needs": "compiler.c", "for": "build"}},
            "install": {"using": "script", "run": run},
        },
    )
    trusted(reef)
    plan = reef.cr("plan", "s", "--json")
    assert [s["action"] for s in json.loads(plan.stdout)["steps"] if s["what"].startswith("lib.greeter")] == ["build"]
    done = reef.cr("init", "s", "-y")
    assert done.returncode == 7
    assert "command 2 of 2 failed" in done.stderr
    assert "asked for by solution:s@1.0.0." in done.stderr
    told = json.loads(reef.cr("why-failed", "s", "--json").stdout)
    assert told["command"][:2] == ["cp", str(gate)]
    assert told["rerun"] == f"cr why-failed --rerun {told['id']}"
    assert reef.cr("why-failed", "--rerun", told["id"]).returncode == 7
    gate.write_text("mended\n")
    again = reef.cr(*told["rerun"].split()[1:])
    assert again.returncode == 0, again.stderr
    assert "It works now: cp " in again.stdout
    assert "cr init s" in again.stderr
    done = reef.cr("init", "s", "-y")
    assert done.returncode == 0, done.stderr
    assert "going on where the last build stopped" in done.stderr
    (prefix,) = (reef.folder / "home/store/v1/prefixes").glob("greeter-1.0-*")
    assert (prefix / "licence.txt").read_text() == "mended\n"
    assert (prefix / "begun").read_text().splitlines() == ["begun", "begun"]
    assert "everything was there" in reef.cr("init", "s", "-y").stdout


@pytest.mark.slow
def test_a_system_package_is_shown_then_run_when_told_then_detected(reef: Reef) -> None:
    bin_ = reef.folder / "bin"
    bin_.mkdir()
    manager = bin_ / "brew"
    program = bin_ / "greeter"
    manager.write_text(
        f"#!/bin/sh\n[ \"$*\" = 'install greeter-tools' ] || exit 9\nprintf '#!/bin/sh\\necho greeter 2.5\\n' > {program}\nchmod +x {program}\n"
    )
    manager.chmod(0o755)
    # No other package manager is within reach of this test.
    reef.env["PATH"] = f"{bin_}:{reef.folder}/none"
    (reef.folder / "none").mkdir()
    for name in ("sh", "printf", "chmod"):
        (reef.folder / "none" / name).symlink_to(f"/bin/{name}" if name != "printf" else "/usr/bin/printf")
    reef.write(
        "soft",
        "greeter",
        {
            "detects": "lib.greeter",
            "find": {"executables": ["greeter"]},
            "version_query": {"run": ["{path}"], "match": "greeter (\\d+\\.\\d+)"},
        },
    )
    reef.write(
        "package",
        "greeter-system",
        {
            "provides": {"capability": "lib.greeter", "versions": ["2.0"]},
            "install": {"using": "system", "packages": {"brew": ["greeter-tools"]}},
        },
    )
    trusted(reef)
    done = reef.cr("init", "s", "-y", "--json")
    assert done.returncode == 12, done.stderr
    assert json.loads(done.stdout)["error"]["context"]["command"] == ["brew", "install", "greeter-tools"]
    assert not program.exists()
    assert not (reef.folder / "s" / "cr.lock").exists()
    done = reef.cr("init", "s", "-y", "--run-system-commands")
    assert done.returncode == 0, done.stderr
    lock = json.loads((reef.folder / "s" / "cr.lock").read_text())
    assert lock["nodes"]["lib.greeter@2.5"]["source"] == "detected"


def test_the_help_of_why_failed_has_examples() -> None:
    from codereef.cli.commands.failures import why_failed

    assert "cr why-failed --rerun" in str(why_failed.epilog)
