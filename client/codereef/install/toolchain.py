# SPDX-License-Identifier: Apache-2.0
"""The compilers of a build: from the detected compilers of the graph to CC, CXX, AR and CMake's toolchain file."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from codereef.detect import Detected
from codereef.detect.triples import target_of
from codereef.errors import InstallError

_SYSTEMS = {"linux": "Linux", "macos": "Darwin", "windows": "Windows", "android": "Android"}
_BINUTILS = ("ar", "ranlib", "strip", "nm", "objcopy")


@dataclass(frozen=True)
class Toolchain:
    """The compilers of one build and what belongs to them.

    Attributes:
        cc: C compiler, or "".
        cxx: C++ compiler, or "".
        triple: GNU triple that they compile for.
        version: version of the first of them.
        tools: `ar`, `ranlib` and the like, by name, where they were found.
        target: triple of the target, as CodeReef writes it.
        cross: whether what they make runs on another kind of machine than the one that builds.
    """

    cc: str
    cxx: str
    triple: str
    version: str
    tools: Mapping[str, str]
    target: str
    cross: bool

    def environment(self) -> dict[str, str]:
        """Return the variables that builds look for: CC, CXX, AR and the like."""
        named = {"CC": self.cc, "CXX": self.cxx, **{name.upper(): path for name, path in self.tools.items()}}
        return {name: value for name, value in named.items() if value}


def choose(compilers: Sequence[Detected], target: str, host: str, node: str) -> Toolchain | None:
    """Return the toolchain that the detected compilers of a graph make, or None where there is no compiler.

    Args:
        compilers: detected `compiler.c` and `compiler.cxx`.
        target: triple of what is built.
        host: triple of the machine that builds.
        node: what is built, for messages.

    Raises:
        InstallError: a compiler compiles for another target, or two for different ones.
    """
    found = {item.capability: item for item in compilers if item.capability in ("compiler.c", "compiler.cxx")}
    if not found:
        return None
    for item in found.values():
        triple = str(item.facts.get("triple", ""))
        if triple and target_of(triple) != target:
            raise InstallError(
                f"{node} is built for {target}, and the compiler chosen for it, {item.path}, compiles for {triple}.",
                hint="Install a compiler for that target and run `cr init` again; `cr detect compiler.c` lists "
                "what is there.",
                context={"node": node, "compiler": item.path, "triple": triple, "target": target},
            )
    c, cxx = found.get("compiler.c"), found.get("compiler.cxx")
    first = c or cxx
    assert first is not None
    # A C++ compiler comes with its C compiler and the other way round; the detectors say where.
    cc = c.path if c else first.paths.get("cc", "")
    plus = cxx.path if cxx else first.paths.get("cxx", "")
    return Toolchain(
        cc,
        plus,
        str(first.facts.get("triple", "")),
        first.version,
        _binutils(cc or plus, first.paths),
        target,
        target != host,
    )


def _binutils(compiler: str, known: Mapping[str, str]) -> dict[str, str]:
    """Return the archiver and its company: what the detector found, else what the compiler itself would use."""
    tools: dict[str, str] = {}
    for name in _BINUTILS:
        path = known.get(name, "")
        if not path:
            try:
                done = subprocess.run(
                    [compiler, f"-print-prog-name={name}"], capture_output=True, text=True, timeout=10, check=False
                )
                answer = done.stdout.strip() if done.returncode == 0 else ""
            except (OSError, subprocess.TimeoutExpired):
                answer = ""
            # Not the real path: what a name with a prefix links to may be one program for many names.
            path = os.path.normpath(answer) if answer.startswith("/") else shutil.which(answer or name) or ""
        if path:
            tools[name] = path
    return tools


def _quoted(value: str) -> str:
    """Write a string as CMake reads it, without any expansion."""
    equals = "="
    while f"]{equals}]" in value:
        equals += "="
    return f"[{equals}[{value}]{equals}]"


def cmake_toolchain(toolchain: Toolchain, roots: Sequence[Path]) -> str:
    """Return a CMake toolchain file.

    For another machine it names the system and looks for libraries and headers of the target only, in the
    dependencies and in the compiler's own folders, and for programs on the machine that builds.

    Args:
        toolchain: the compilers.
        roots: folders of dependencies that are for the target.
    """
    lines = ["# Written by CodeReef; made again with every build."]

    def put(name: str, value: str) -> None:
        if value:
            lines.append(f"set({name} {_quoted(value)})")

    if toolchain.cross:
        system, arch = (*toolchain.target.split("-"), "")[:2]
        put("CMAKE_SYSTEM_NAME", _SYSTEMS.get(system, "Generic"))
        put("CMAKE_SYSTEM_PROCESSOR", arch)
    put("CMAKE_C_COMPILER", toolchain.cc)
    put("CMAKE_CXX_COMPILER", toolchain.cxx)
    for name, path in toolchain.tools.items():
        put(f"CMAKE_{name.upper()}", path)
    if toolchain.cross:
        # Without any root CMake would look in the folders of the machine that builds. Distributions keep what
        # belongs to a cross compiler in /usr/<triple>.
        places = [str(root) for root in roots] + [f"/usr/{toolchain.triple or toolchain.target}"]
        lines.append(f"set(CMAKE_FIND_ROOT_PATH {' '.join(_quoted(place) for place in places)})")
        lines.append("set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)")
        lines += [f"set(CMAKE_FIND_ROOT_PATH_MODE_{kind} ONLY)" for kind in ("LIBRARY", "INCLUDE", "PACKAGE")]
    return "\n".join(lines) + "\n"
