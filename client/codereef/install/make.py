# SPDX-License-Identifier: Apache-2.0
"""The `make` back-end: an optional configure command, then make and make install with the compilers of the graph."""

from __future__ import annotations

from pathlib import Path

from codereef.disk import storing

from .work import Work

_CONFIGURED = ".codereef-configured"


def build(work: Work) -> None:
    """Build into `work.prefix`.

    Raises:
        InstallError: a command failed, or make or a compiler is not in the graph.
    """
    make = work.needed_program("tool.make")
    toolchain = work.needed_toolchain()
    recipe = work.recipe
    source = work.source
    marker = work.folder / _CONFIGURED
    if "configure" in recipe and not marker.exists():
        command = [work.expand(part) for part in recipe["configure"]]
        work.run(_found(command, source), source, "its configure command failed")
        with storing("a marker", work.folder):
            marker.touch()
    # Arguments, not the environment: most Makefiles set these themselves, and only an argument is stronger.
    given = [f"{name}={value}" for name, value in toolchain.environment().items() if name in _VARIABLES]
    given += [f"prefix={work.prefix}", f"PREFIX={work.prefix}"]
    given += [work.expand(argument) for argument in recipe.get("arguments", ())]
    targets = [work.expand(target) for target in recipe.get("targets", ())]
    work.run([make, f"-j{work.jobs}", *given, *targets], source, "it does not compile")
    install = [work.expand(target) for target in recipe.get("install", ("install",))]
    work.run([make, *given, *install], source, "make could not install it")


_VARIABLES = ("CC", "CXX", "AR", "RANLIB", "STRIP", "NM")


def _found(command: list[str], source: Path) -> list[str]:
    """Return the command with a program of the source folder by its full path: `./configure` is meant to be there."""
    if command[0].startswith("./"):
        return [str(source / command[0][2:]), *command[1:]]
    return command
