# SPDX-License-Identifier: Apache-2.0
"""The `cmake` back-end: configure, build and install with the compilers of the graph.

A build that failed goes on where it stopped: its folder is kept, and CMake and the tool under it know what is done.
"""

from __future__ import annotations

from codereef.disk import storing

from .toolchain import cmake_toolchain
from .work import Work


def build(work: Work) -> None:
    """Build into `work.prefix`.

    Raises:
        InstallError: a command failed, or CMake or a compiler is not in the graph.
    """
    cmake = work.needed_program("tool.cmake")
    toolchain = work.needed_toolchain()
    folder = work.folder / "build"
    file = work.folder / "toolchain.cmake"
    with storing("the toolchain file", work.folder):
        folder.mkdir(exist_ok=True)
        file.write_text(cmake_toolchain(toolchain, work.roots), encoding="utf-8")
    command = [cmake, "-S", str(work.source), "-B", str(folder), *_generator(work)]
    defined = {
        "CMAKE_TOOLCHAIN_FILE": str(file),
        "CMAKE_INSTALL_PREFIX": str(work.prefix),
        "CMAKE_INSTALL_LIBDIR": "lib",
        "CMAKE_BUILD_TYPE": "Release",
        # Programs find their own libraries beside them, and those of the graph where they are, without variables.
        "CMAKE_INSTALL_RPATH": "@loader_path/../lib" if work.target.startswith("macos") else "$ORIGIN/../lib",
        "CMAKE_INSTALL_RPATH_USE_LINK_PATH": "ON",
        # Neither what lies in the user's home nor what can be fetched may become part of it.
        "CMAKE_FIND_USE_PACKAGE_REGISTRY": "OFF",
        "CMAKE_EXPORT_NO_PACKAGE_REGISTRY": "ON",
        "FETCHCONTENT_FULLY_DISCONNECTED": "OFF" if work.network else "ON",
        **{name: work.expand(value) for name, value in work.recipe.get("define", {}).items()},
    }
    command += [f"-D{name}={value}" for name, value in defined.items()]
    work.run(command, work.folder, "CMake could not configure it")
    compile_all = [cmake, "--build", str(folder), "--parallel", str(work.jobs)]
    for target in work.recipe.get("targets", ()):
        compile_all += ["--target", work.expand(target)]
    work.run(compile_all, folder, "it does not compile")
    work.run([cmake, "--install", str(folder)], folder, "CMake could not install it")


def _generator(work: Work) -> list[str]:
    for capability, name in (("tool.ninja", "Ninja"), ("tool.make", "Unix Makefiles")):
        program = work.program(capability)
        if program:
            return ["-G", name, f"-DCMAKE_MAKE_PROGRAM={program}"]
    work.needed_program("tool.make")
    return []
