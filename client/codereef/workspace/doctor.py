# SPDX-License-Identifier: Apache-2.0
"""`cr doctor`: whether this machine can initialise and measure."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from typing import Literal

from codereef import config
from codereef.disk import write_atomic
from codereef.errors import CrError
from codereef.record.history import History
from codereef.workspace.session import Session

LOW_SPACE = 2_000_000_000


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: what.
        status: `ok`, `note` (worth knowing) or `bad` (must be mended).
        found: what was found.
        hint: what to do.
    """

    name: str
    status: Literal["ok", "note", "bad"]
    found: str
    hint: str = ""


def examine(session: Session) -> list[Check]:
    """Look at everything that the main road needs, without changing anything but a probe file."""
    return [*_home(session), *_repositories(session), *_software(session), *_measuring(session), *_command()]


def _home(session: Session) -> list[Check]:
    root = session.home.root
    probe = root / ".probe"
    try:
        write_atomic(probe, b"", what="a probe file")
        probe.unlink()
    except CrError as error:
        return [Check("home", "bad", error.message, error.hint)]
    free = shutil.disk_usage(root).free
    space = Check(
        "disk",
        "ok" if free > LOW_SPACE else "note",
        f"{free / 1e9:.1f} GB free at {root}",
        "A runtime takes up to 0.5 GB; set CR_HOME to a folder on a larger disk.",
    )
    damaged = History(session.home.results).damaged()
    results = Check(
        "results",
        "bad" if damaged else "ok",
        f"{len(damaged)} damaged: {damaged[0]}" if damaged else "every kept result is sound",
        "Move the damaged files away.",
    )
    return [Check("home", "ok", str(root)), space, results]


def _repositories(session: Session) -> list[Check]:
    try:
        index = session.index
        settings = config.effective(session.home)
    except CrError as error:
        return [Check("settings", "bad", error.message, error.hint)]
    checks = [Check("components", "ok", f"{len(index.rows())} in the index")]
    checks += [Check("components", "bad", broken.error.message, broken.error.hint) for broken in index.broken]
    set_here = [f"{name} from {origin}" for name, (_, origin) in settings.items() if origin != "default"]
    return [*checks, Check("settings", "ok", ", ".join(set_here) or "all default")]


def _software(session: Session) -> list[Check]:
    found = session.detected({"compiler.python", "tool.uv", "tool.git", "compiler.c"})
    pythons = [d for d in found if d.capability == "compiler.python" and d.facts.get("tool") is not True]
    checks = [
        Check(
            "python",
            "ok" if pythons else "bad",
            f"{len(pythons)} interpreters, {', '.join(dict.fromkeys(d.version for d in pythons[:4]))}"
            if pythons
            else "no interpreter that an environment could be built on",
            "Install Python 3.10 or newer from your system's packages.",
        )
    ]
    for capability, name, why in (
        ("tool.uv", "uv", "without it environments are built by pip, which is slower"),
        ("tool.git", "git", "needed for `cr repo add` of a git repository"),
        ("compiler.c", "C compiler", "needed for components that are built"),
    ):
        have = [d for d in found if d.capability == capability]
        checks.append(
            Check(
                name,
                "ok" if have else "note",
                f"{have[0].version} at {have[0].path}" if have else f"not found: {why}",
                "Install it from your system's packages.",
            )
        )
    return checks


def _measuring(session: Session) -> list[Check]:
    from codereef.detect.machine import machine_class
    from codereef.detect.state import machine_state, state_warnings

    state = machine_state()
    warnings = state_warnings(state, state, machine_class(session.home.cache))
    return [Check("measuring", "note", text) for text in warnings] or [
        Check("measuring", "ok", "nothing that would disturb a measurement was seen")
    ]


def _command() -> list[Check]:
    from importlib.metadata import packages_distributions

    others = [
        name for name in ("cmind", "cmx4mlops") if name in {d for ds in packages_distributions().values() for d in ds}
    ]
    if others:
        return [
            Check(
                "command",
                "note",
                f"{', '.join(others)} is installed beside codereef and has a command `cr` of its own",
                "Use the command `codereef`, which is the same as ours.",
            )
        ]
    place = shutil.which("cr")
    return [Check("command", "ok", f"cr is {place or sys.argv[0]}")]
