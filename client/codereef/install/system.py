# SPDX-License-Identifier: Apache-2.0
"""The `system` back-end: names the packages of the system's own package manager, and shows the command.

The command is run only when the user says so, never with sudo, and never by a build. What it installs is found by
detection afterwards: nothing of it goes into the store.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from codereef.errors import InstallError, NeedsYouError
from codereef.lock.keys import install_method
from codereef.lock.model import Lock
from codereef.repo.index import Index

from .failures import Recorder
from .nodes import component_of
from .process import environment, failure, run_logged, shown
from .progress import Progress

#: manager -> its program and the arguments before the names; in the order they are looked for
MANAGERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "apt": ("apt-get", ("install", "--yes", "--no-install-recommends")),
    "dnf": ("dnf", ("install", "--assumeyes")),
    "brew": ("brew", ("install",)),
}
_NEED_ROOT = ("apt", "dnf")
_TIMEOUT = 3600.0


@dataclass(frozen=True)
class SystemPackages:
    """What the system's package manager is to install.

    Attributes:
        manager: `apt`, `dnf` or `brew`.
        packages: names of packages, sorted.
        nodes: the nodes that need them.
        command: program and arguments.
    """

    manager: str
    packages: tuple[str, ...]
    nodes: tuple[str, ...]
    command: tuple[str, ...]

    @property
    def needs_root(self) -> bool:
        """Whether the command has to be run by the system's administrator."""
        return self.manager in _NEED_ROOT


def needed(lock: Lock, index: Index, nodes: Collection[str]) -> SystemPackages | None:
    """Return what has to be installed for the nodes that are `system` packages, or None where there are none.

    Raises:
        InstallError: this machine has none of the package managers that a recipe names.
    """
    wanted: dict[str, Mapping[str, Sequence[str]]] = {}
    for key in sorted(nodes):
        node = lock.nodes[key]
        if node.source == "install" and not node.install_key:
            component = component_of(node, index)
            if install_method(component) == "system":
                wanted[key] = component.meta["install"]["packages"]
    if not wanted:
        return None
    have = [name for name, (program, _) in MANAGERS.items() if shutil.which(program)]
    for name in have:
        if all(name in packages for packages in wanted.values()):
            names = tuple(sorted({package for packages in wanted.values() for package in packages[name]}))
            program, arguments = MANAGERS[name]
            return SystemPackages(name, names, tuple(wanted), (program, *arguments, *names))
    ways = "; ".join(
        f"{key}: " + ", ".join(f"{' '.join(names)} ({manager})" for manager, names in packages.items())
        for key, packages in wanted.items()
    )
    raise InstallError(
        f"{', '.join(wanted)} come from the system's package manager, and this machine has "
        f"{' and '.join(have) if have else 'none that is known'}; the recipes name {ways}.",
        hint="Install it in your system's way; `cr detect` shows whether it is found, then run `cr init` again.",
        context={"nodes": list(wanted), "managers": have},
    )


def ask_for(wanted: SystemPackages) -> NeedsYouError:
    """Return the error that shows the command and stops."""
    who = " as the system's administrator" if wanted.needs_root and os.geteuid() != 0 else ""
    return NeedsYouError(
        f"{', '.join(wanted.nodes)} {'comes' if len(wanted.nodes) == 1 else 'come'} from the system's package "
        f"manager, and cr installs nothing there by itself. Run{who}:\n  {shown(wanted.command)}",
        hint="Then run the same `cr` command again: what is installed is detected. "
        "`cr init --run-system-commands` runs it for you where you have the right to.",
        context={"nodes": list(wanted.nodes), "manager": wanted.manager, "command": list(wanted.command)},
    )


def run(wanted: SystemPackages, logs: Path, progress: Progress, recorder: Recorder) -> None:
    """Run the package manager, as the user has said.

    Raises:
        NeedsYouError: it has to be run by the administrator, and this user is not.
        InstallError: it failed.
    """
    if wanted.needs_root and os.geteuid() != 0:
        raise ask_for(wanted)
    task = f"system {wanted.manager}"
    progress.start(task, None, f"{wanted.manager}: {', '.join(wanted.packages)}")
    try:
        with recorder.step("system", wanted.nodes[0], details={"command": list(wanted.command)}):
            done = run_logged(
                wanted.command,
                log_dir=logs,
                name=f"system-{wanted.manager}",
                env=environment({"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}),
                cwd=Path("/"),
                timeout=_TIMEOUT,
            )
            if done.status != 0:
                raise failure(
                    wanted.command,
                    done,
                    f"{wanted.manager} could not install {', '.join(wanted.packages)}",
                    "The lines above are the package manager's own; its lists may be old (`apt-get update`).",
                )
    finally:
        progress.finish(task)
