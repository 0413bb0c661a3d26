# SPDX-License-Identifier: Apache-2.0
"""The environment of one configuration: variables and folders that make a shell use what its lock names.

Nothing is installed or changed. In front of `PATH` stand the solution's Python, then programs of folders that were
installed, then the folders of detected programs; `LD_LIBRARY_PATH` and the search paths of CMake and pkg-config
have the installed libraries. Folders of the system come last, as they were.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from codereef.detect import Detected
from codereef.install.execute import Installed
from codereef.lock.bind import bind_detected
from codereef.lock.model import Lock, LockedConfiguration
from codereef.meta.reference import parse_reference
from codereef.workspace.chosen import chosen_configurations
from codereef.workspace.initialise import open_workspace
from codereef.workspace.session import Session

#: Variables that tie a process to another Python, or that would point programs past the environment's own.
REMOVED = ("PYTHONHOME", "PYTHONPATH", "CONDA_PREFIX", "__PYVENV_LAUNCHER__", "VIRTUAL_ENV_PROMPT")
_LIBRARIES = "DYLD_LIBRARY_PATH" if sys.platform == "darwin" else "LD_LIBRARY_PATH"
#: Folders that every shell has; a detected program there needs no entry of its own, and would hide others.
_SYSTEM = ("/bin", "/sbin", "/usr/bin", "/usr/sbin")
_COMPILERS = {"compiler.c": "CC", "compiler.cxx": "CXX"}


@dataclass(frozen=True)
class Environment:
    """The environment of one configuration.

    Attributes:
        solution: `solution:name@version`.
        configuration: id of the configuration.
        target: triple.
        python: interpreter, or None where the graph has none.
        variables: variables with the values they get.
        prepended: variables that are lists of folders, with those that come in front of what is there.
        removed: variables that are taken away.
        folders: folder by role, such as `model` and `data`, and `role.role` for what these need.
        lock: file of the lock.
    """

    solution: str
    configuration: str
    target: str
    python: Path | None
    variables: Mapping[str, str]
    prepended: Mapping[str, Sequence[str]]
    removed: tuple[str, ...]
    folders: Mapping[str, Path]
    lock: Path

    def applied(self, environ: Mapping[str, str]) -> dict[str, str]:
        """Return the variables of a process: those of `environ`, changed as this environment says."""
        result = {name: value for name, value in environ.items() if name not in self.removed}
        result.update(self.variables)
        for name, folders in self.prepended.items():
            before = [part for part in environ.get(name, "").split(os.pathsep) if part and part not in folders]
            result[name] = os.pathsep.join([*folders, *before])
        return result

    def changes(self, environ: Mapping[str, str]) -> dict[str, str]:
        """Return the variables that are other than in `environ`, by name."""
        applied = self.applied(environ)
        return {name: value for name, value in sorted(applied.items()) if environ.get(name) != value}


def open_environment(
    session: Session, solution: str, directory: Path, variants: Mapping[str, Sequence[str]]
) -> Environment:
    """Return the environment of an initialised solution, after checking that its lock tells the truth.

    Of several configurations with the variants it is that of the first. What it uses stays in the store as long as the
    session, and its children that inherit the locks, live.

    Raises:
        LockError: it is not initialised, no longer what was installed, or has no such configuration.
    """
    _, lock, installed, folder = open_workspace(session, solution, directory, thorough=False)
    configuration = chosen_configurations(lock, variants)[0]
    capabilities = {n.capability for n in lock.nodes.values() if n.source == "detected"}
    bindings, _ = bind_detected(lock, session.detected(capabilities))
    return environment_of(lock, configuration, installed, bindings, folder / "cr.lock")


def environment_of(
    lock: Lock,
    configuration: LockedConfiguration,
    installed: Installed,
    bindings: Mapping[str, Detected],
    lock_path: Path,
) -> Environment:
    """Return the environment of a configuration that is installed."""
    programs: list[str] = []
    lists: dict[str, list[str]] = {}
    variables = {
        "CR_SOLUTION": lock.solution,
        "CR_CONFIGURATION": configuration.id,
        "CR_TARGET": configuration.target,
        "CR_LOCK": str(lock_path.absolute()),
    }
    python = installed.pythons.get(configuration.environment)
    if python is not None:
        programs.append(str(python.parent))
        variables["VIRTUAL_ENV"] = str(python.parent.parent)
    tools: list[str] = []
    for key in configuration.nodes:
        node = lock.nodes[key]
        if node.source == "install" and key in installed.folders and parse_reference(node.component).kind == "package":
            for name, place in _installed_paths(installed.folders[key]):
                (programs if name == "PATH" else lists.setdefault(name, [])).append(place)
        elif node.source == "detected" and key in bindings:
            program = Path(bindings[key].path)
            if node.capability in _COMPILERS:
                variables.setdefault(_COMPILERS[node.capability], str(program))
            # The interpreter an environment is made from would hide that of the environment.
            wanted = node.capability.startswith(("tool.", "compiler.")) and node.capability != "compiler.python"
            if wanted and program.is_file() and str(program.parent) not in _SYSTEM:
                tools.append(str(program.parent))
    lists["PATH"] = list(dict.fromkeys([*programs, *tools]))
    folders = dict(_roles(lock, configuration, installed))
    variables.update(
        {f"CR_{role.upper().replace('-', '_')}_DIR": str(p) for role, p in folders.items() if "." not in role}
    )
    return Environment(
        lock.solution,
        configuration.id,
        configuration.target,
        python,
        variables,
        {name: list(dict.fromkeys(places)) for name, places in sorted(lists.items()) if places},
        REMOVED,
        folders,
        lock_path.absolute(),
    )


def _installed_paths(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield the variables and folders by which programs find what is installed in a folder."""
    if (folder / "bin").is_dir():
        yield "PATH", str(folder / "bin")
    libraries = [folder / name for name in ("lib", "lib64") if (folder / name).is_dir()]
    for place in libraries:
        yield _LIBRARIES, str(place)
        if (place / "pkgconfig").is_dir():
            yield "PKG_CONFIG_PATH", str(place / "pkgconfig")
    if libraries or (folder / "include").is_dir():
        yield "CMAKE_PREFIX_PATH", str(folder)


def _roles(lock: Lock, configuration: LockedConfiguration, installed: Installed) -> Iterator[tuple[str, Path]]:
    """Yield the folder of each role of the solution, and of what those need in turn, as `role.role`."""
    root = lock.nodes[configuration.root]
    for role, key in sorted(root.deps.items()):
        if key in installed.folders:
            yield role, installed.folders[key]
        for inner, child in sorted(lock.nodes[key].deps.items()):
            if child in installed.folders:
                yield f"{role}.{inner}", installed.folders[child]
