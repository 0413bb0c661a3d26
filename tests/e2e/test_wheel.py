# SPDX-License-Identifier: Apache-2.0
"""`pip install .` and `cr init` in an empty folder: the wheel carries the default repository and the schemas."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from codereef.install.pip import find_uv

from tests.e2e.conftest import ROOT

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built as pip builds it."""
    folder = tmp_path_factory.mktemp("wheel")
    uv = find_uv()
    command = (
        [str(uv), "build", "--wheel", "--out-dir", str(folder), str(ROOT)]
        if uv
        else [sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(ROOT)]
    )
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=250)
    return next(folder.glob("codereef-*.whl"))


def test_the_wheel_holds_every_component_and_schema_and_nothing_else_of_ours(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    for folder in ("components", "soft-detect", "packages", "solutions", "schemas"):
        here = {f"codereef/_data/{p.relative_to(ROOT).as_posix()}" for p in (ROOT / folder).rglob("*.json")}
        assert here and here <= set(names)
    assert not [n for n in names if "__pycache__" in n or n.endswith(".pyc")]
    assert {n.split("/")[0] for n in names if ".dist-info" not in n} == {"codereef", "codereef_portal"}
    assert any(n.endswith("licenses/LICENSE") for n in names)


def test_an_installed_client_runs_the_demo_from_an_empty_folder(wheel: Path, tmp_path: Path) -> None:
    venv, work = tmp_path / "venv", tmp_path / "empty"
    work.mkdir()
    uv = find_uv()
    if uv:
        subprocess.run([str(uv), "venv", "--quiet", "--python", sys.executable, str(venv)], check=True)
        subprocess.run(
            [str(uv), "pip", "install", "--quiet", "--python", str(venv / "bin" / "python"), str(wheel)],
            check=True,
            timeout=250,
        )
    else:
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
        subprocess.run(
            [str(venv / "bin" / "python"), "-m", "pip", "install", "--quiet", str(wheel)], check=True, timeout=280
        )
    environ = {k: v for k, v in os.environ.items() if not k.startswith("CR_")} | {"CR_HOME": str(tmp_path / "home")}

    def cr(*arguments: str) -> str:
        done = subprocess.run(
            [str(venv / "bin" / "cr"), *arguments], cwd=work, env=environ, text=True, capture_output=True, timeout=280
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert "is ready" in cr("init", "demo-object-detection")
    result = json.loads(cr("benchmark", "demo-object-detection", "-o", "max_seconds=0.5", "--json"))["results"][0]
    assert result["status"] == "ok" and result["metrics"]["mAP"]["value"] >= 0.5
    assert sorted(p.name for p in work.iterdir()) == ["demo-object-detection"]
    # The portal is an extra; without it the error says how to get it.
    done = subprocess.run(
        [str(venv / "bin" / "codereef"), "portal", "start"], cwd=work, env=environ, text=True, capture_output=True
    )
    assert done.returncode == 2 and ".[server]" in done.stderr
