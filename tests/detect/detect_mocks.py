# SPDX-License-Identifier: Apache-2.0
"""Builds the folders that `detect.test.json` files describe: real scripts with given answers."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SOFTS = ROOT / "soft-detect"


def load_soft(name: str) -> dict[str, Any]:
    """Return the `cr.json` of one detector of the repository."""
    soft: dict[str, Any] = json.loads((SOFTS / name / "cr.json").read_text())
    return soft


def all_softs() -> list[dict[str, Any]]:
    """Return every detector of the repository, by folder name."""
    return [load_soft(folder.parent.name) for folder in sorted(SOFTS.glob("*/cr.json"))]


def script(answers: list[Mapping[str, Any]], log: Path | None = None) -> str:
    """Return a shell script that gives each answer to its arguments and fails on any others.

    An argument ``*`` stands for any one argument.
    """
    lines = ["#!/bin/sh"]
    if log is not None:
        lines.append(f'echo "$0" >> {shlex.quote(str(log))}')
    for answer in answers:
        checks = [f'[ "$#" = {len(answer["args"])} ]']
        for number, word in enumerate(answer["args"], 1):
            if word != "*":
                checks.append(f'[ "${number}" = {shlex.quote(word)} ]')
        lines.append("if " + " && ".join(checks) + "; then")
        if answer.get("stdout"):
            lines.append(f"printf %s {shlex.quote(answer['stdout'])}")
        if answer.get("stderr"):
            lines.append(f"printf %s {shlex.quote(answer['stderr'])} >&2")
        lines += [f"exit {answer.get('exit', 0)}", "fi"]
    lines += ['echo "unexpected arguments: $*" >&2', "exit 97", ""]
    return "\n".join(lines)


def filled(value: Any, root: Path) -> Any:
    """Return `value` with ``{root}`` replaced in every string."""
    if isinstance(value, str):
        return value.replace("{root}", str(root))
    if isinstance(value, list):
        return [filled(item, root) for item in value]
    if isinstance(value, dict):
        return {key: filled(item, root) for key, item in value.items()}
    return value


def build(root: Path, files: Mapping[str, Mapping[str, Any]], log: Path | None = None) -> None:
    """Make the files of one case below `root`."""
    for name, described in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        described = filled(described, root)
        if "link" in described:
            path.symlink_to(described["link"])
        elif "text" in described:
            path.write_text(described["text"])
        else:
            path.write_text(script(described["answers"], log))
            path.chmod(0o755)


def environment(root: Path, case: Mapping[str, Any]) -> dict[str, str]:
    """Return the environment of one case: its folders on PATH, a home of its own."""
    folders = [str(root / folder) for folder in case.get("path", ["bin"])]
    return {"PATH": ":".join(folders), "HOME": str(root / "home"), **filled(case.get("environ", {}), root)}
