# SPDX-License-Identifier: Apache-2.0
"""Helpers that lay out a component's files as installed, and run a program on them by its real entry point."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def component(path: str) -> dict[str, Any]:
    """The cr.json of a component folder of the repository."""
    data: dict[str, Any] = json.loads((ROOT / path / "cr.json").read_text(encoding="utf-8"))
    return data


def holds(entry: dict[str, Any], variants: dict[str, str]) -> bool:
    """Whether an entry's condition holds for these variants."""
    wanted = entry.get("when", {})
    return all(variants.get(k) in (v if isinstance(v, list) else [v]) for k, v in wanted.items())


def lay_out(path: str, mirror: Any, folder: Path, variants: dict[str, str]) -> list[str]:
    """Link a component's files into `folder` the way an install does; returns the names."""
    names = []
    by_hash = {entry["sha256"]: name for name, entry in mirror.index.items()}
    for file in component(path)["files"]:
        if not holds(file, variants):
            continue
        target = folder / file["name"]
        target.parent.mkdir(parents=True, exist_ok=True)
        source = (
            ROOT / path / file["path"] if "path" in file else mirror.path(by_hash.get(file["sha256"], file["name"]))
        )
        target.symlink_to(source)
        names.append(file["name"])
    return names


def make_request(
    tmp: Path,
    mirror: Any,
    model: str,
    dataset: str,
    *,
    action: str = "validate",
    variants: dict[str, str] | None = None,
    options: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """A request for a model and a dataset of the repository, its folders laid out under `tmp`."""
    chosen = variants or {}
    manifest = component(f"components/model/{model}")
    lay_out(f"components/model/{model}", mirror, tmp / "model", chosen)
    lay_out(f"components/dataset/{dataset}", mirror, tmp / "data", chosen)
    (tmp / "output").mkdir()
    files = [f for f in manifest["files"] if holds(f, chosen) and f.get("role") == "model"]
    runtime = next(r for r in manifest["runtimes"] if holds(r, chosen))
    return {
        "format": "codereef-request/1",
        "action": action,
        "harness": str(ROOT / "client" / "codereef"),
        "model": {
            "ref": f"model:{model}@{manifest['version']}",
            "dir": str(tmp / "model"),
            "file": files[0]["name"],
            "format": runtime["format"],
            "manifest": {
                "inputs": [i for i in manifest["inputs"] if holds(i, chosen)],
                "outputs": [o for o in manifest["outputs"] if holds(o, chosen)],
            },
        },
        "dataset": {
            "ref": f"dataset:{dataset}@1.0.0",
            "dir": str(tmp / "data"),
            "annotations": component(f"components/dataset/{dataset}")["annotations"],
        },
        "runtime": {"threads": 1},
        "options": options or {},
        "output": str(tmp / "output"),
    }


def start(tmp: Path, program: str, request: dict[str, Any]) -> subprocess.Popen[str]:
    """Start a program on a request, the way the client does."""
    path = tmp / "request.json"
    path.write_text(json.dumps(request), encoding="utf-8")
    main = ROOT / "components" / "program" / program / "main.py"
    return subprocess.Popen(
        [sys.executable, "-I", str(main), str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp,
    )


def run(tmp: Path, program: str, request: dict[str, Any]) -> tuple[int, dict[str, Any], list[dict[str, Any]]]:
    """Run a program to its end: exit status, response and progress lines."""
    process = start(tmp, program, request)
    out, err = process.communicate(timeout=240)
    response = Path(request["output"]) / "response.json"
    assert response.is_file(), err
    lines = [json.loads(line) for line in out.splitlines()]
    return process.returncode, json.loads(response.read_text(encoding="utf-8")), lines
