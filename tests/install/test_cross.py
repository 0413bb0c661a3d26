# SPDX-License-Identifier: Apache-2.0
"""Builds for another machine: a real cross compiler, and the result run under an emulator."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from codereef.detect import Detected
from codereef.detect.triples import target_of
from codereef.errors import InstallError
from codereef.install.toolchain import choose, cmake_toolchain

from .conftest import Remembered
from .graphs import HOST, ROOT, World, detected, logs, tool

TARGET, TRIPLE = "linux-aarch64-gnu", "aarch64-linux-gnu"


@pytest.fixture
def world(tmp_path: Path, progress: Remembered) -> World:
    if HOST == TARGET:
        pytest.skip("this machine is the target")
    tool(f"{TRIPLE}-gcc", "qemu-aarch64", "cmake", "make", "readelf")
    return World(tmp_path, progress, target=TARGET, triple=TRIPLE)


def machine(path: Path) -> str:
    said = subprocess.check_output(["readelf", "-h", str(path)], text=True)
    return next(line.split(":")[1].strip() for line in said.splitlines() if "Machine:" in line)


def emulated(program: Path, *arguments: str) -> str:
    command = ["qemu-aarch64", "-L", f"/usr/{TRIPLE}", str(program), *arguments]
    return subprocess.check_output(command, text=True).strip()


@pytest.mark.slow
@pytest.mark.parametrize("way", ["cmake", "make", "script"])
def test_each_back_end_builds_for_another_machine(world: World, way: str) -> None:
    world.add(ROOT / "packages" / f"memband-{way}")
    prefix = world.prefix(f"memband-{way}")
    assert machine(prefix / "bin" / "memband") == "AArch64"
    assert emulated(prefix / "bin" / "memband", "--version") == "memband 1.0.0"
    # The same recipe for this machine is another folder.
    world.target, world.triple = HOST, ""
    native = world.prefix(f"memband-{way}")
    assert native != prefix
    assert machine(native / "bin" / "memband") != "AArch64"


@pytest.mark.slow
def test_a_build_finds_the_targets_dependencies_and_not_those_of_the_machine_that_builds(world: World) -> None:
    cmake = (
        "cmake_minimum_required(VERSION 3.16)\nproject(user C)\nfind_package(memband REQUIRED)\n"
        'message(STATUS "system=${CMAKE_SYSTEM_NAME}/${CMAKE_SYSTEM_PROCESSOR} cross=${CMAKE_CROSSCOMPILING}")\n'
        # Every Linux has one of its own; for the target there is none.
        'find_library(HOSTS NAMES dl m PATHS /usr/lib /lib)\nmessage(STATUS "hosts=${HOSTS}")\n'
        "add_executable(user user.c)\ntarget_link_libraries(user memband::memband)\ninstall(TARGETS user)\n"
    )
    code = "#include <stdio.h>\n#include <memband.h>\nint main(void) { puts(memband_version()); return 0; }\n"
    world.add(ROOT / "packages" / "memband-cmake")
    tools = {"cc": "compiler.c", "cmake": "tool.cmake", "make": "tool.make"}
    world.package(
        "user", {"using": "cmake"}, {"CMakeLists.txt": cmake, "user.c": code}, {**tools, "memband": "lib.memband-cmake"}
    )
    prefix = world.prefix("user", variants={"shared": "ON"})
    assert machine(prefix / "bin" / "user") == "AArch64"
    # The shared library is found where it is in the store, without any variable.
    assert emulated(prefix / "bin" / "user") == "1.0.0"
    said = logs(world)
    assert "system=Linux/aarch64 cross=TRUE" in said
    (hosts,) = {line for line in said.splitlines() if "hosts=" in line}
    assert TRIPLE in hosts or "NOTFOUND" in hosts


@pytest.mark.slow
def test_autoconf_style_builds_get_prefixed_tools_and_no_pkg_config_of_the_host(world: World) -> None:
    configure = '#!/bin/sh\necho "CC=$CC AR=$AR LIBDIR=${PKG_CONFIG_LIBDIR-unset}" > facts\n'
    makefile = "all:\n\t$(AR) --version | head -1\ninstall:\n\tmkdir -p $(PREFIX)\n\tcp facts $(PREFIX)/\n"
    install = {"using": "make", "configure": ["./configure", "--host={triple}"]}
    world.package(
        "thing", install, {"configure": configure, "Makefile": makefile}, {"cc": "compiler.c", "make": "tool.make"}
    )
    facts = (world.prefix("thing") / "facts").read_text()
    assert f"CC={detected('compiler.c', triple=TRIPLE).path}" in facts
    assert f"{TRIPLE}/bin/ar" in facts or f"{TRIPLE}-ar" in facts
    assert "LIBDIR=\n" in facts


@pytest.mark.parametrize(
    ("triple", "target"),
    [
        ("x86_64-linux-gnu", "linux-x86_64-gnu"),
        ("x86_64-pc-linux-gnu", "linux-x86_64-gnu"),
        ("aarch64-unknown-linux-musl", "linux-aarch64-musl"),
        ("arm-linux-gnueabihf", "linux-armv7-gnueabihf"),
        ("armv7a-linux-androideabi", "android-armv7"),
        ("aarch64-linux-android", "android-aarch64"),
        ("arm64-apple-darwin23.5.0", "macos-aarch64-darwin"),
        ("riscv64-linux-gnu", "linux-riscv64-gnu"),
        ("i586-linux-gnu", "linux-i686-gnu"),
        ("x86_64-w64-mingw32", "windows-x86_64-gnu"),
    ],
)
def test_the_triples_of_compilers_are_targets(triple: str, target: str) -> None:
    assert target_of(triple) == target


def compiler(capability: str, triple: str, **paths: str) -> Detected:
    return Detected(
        capability, "12.2.0", f"/no/{triple}-cc", "soft:gcc@1.0.0", "sha256:" + "0" * 64, {"triple": triple}, paths
    )


def test_one_compiler_brings_the_other_and_two_must_agree() -> None:
    chosen = choose([compiler("compiler.c", TRIPLE, cxx="/no/g++", ar="/no/ar")], TARGET, "linux-x86_64-gnu", "x")
    assert chosen is not None
    assert (chosen.cxx, chosen.tools["ar"], chosen.cross) == ("/no/g++", "/no/ar", True)
    pair = [compiler("compiler.c", TRIPLE), compiler("compiler.cxx", "x86_64-linux-gnu")]
    with pytest.raises(InstallError, match="compiles for x86_64-linux-gnu"):
        choose(pair, TARGET, TARGET, "x")
    assert choose([], TARGET, TARGET, "x") is None


def test_a_toolchain_file_says_what_cmake_cannot_know() -> None:
    chosen = choose([compiler("compiler.c", TRIPLE, ar="/a b/ar]]x")], TARGET, "linux-x86_64-gnu", "x")
    assert chosen is not None
    text = cmake_toolchain(chosen, [Path("/store/dep")])
    for line in (
        "set(CMAKE_SYSTEM_NAME [=[Linux]=])",
        "set(CMAKE_SYSTEM_PROCESSOR [=[aarch64]=])",
        f"set(CMAKE_FIND_ROOT_PATH [=[/store/dep]=] [=[/usr/{TRIPLE}]=])",
        "set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)",
        "set(CMAKE_AR [=[/a b/ar]]x]=])",
    ):
        assert line in text
    native = choose([compiler("compiler.c", "x86_64-linux-gnu")], "linux-x86_64-gnu", "linux-x86_64-gnu", "x")
    assert native is not None
    assert "CMAKE_SYSTEM_NAME" not in cmake_toolchain(native, [])
    assert os.linesep in text


def test_a_newer_cross_compiler_is_not_chosen_for_this_machine() -> None:
    from tests.solve import worlds

    triple = "x86_64-linux-gnu"
    gcc = [
        worlds.found(
            "compiler.c", "14.1", "gcc", path="/usr/bin/aarch64-linux-gnu-gcc", salt="x", facts={"triple": TRIPLE}
        ),
        worlds.found("compiler.c", "12.2", "gcc", facts={"triple": triple}),
    ]
    world = [worlds.soft("gcc", "compiler.c"), worlds.program(), worlds.solution(deps={"cc": {"needs": "compiler.c"}})]
    graph = worlds.solved(world, gcc)
    (chosen,) = [node.candidate.detected for node in graph.nodes if node.needs == "compiler.c"]
    assert chosen is gcc[1]


def test_on_another_machine_a_tool_is_expected_although_a_system_package_has_it() -> None:
    from tests.solve import worlds

    recipe = worlds.component(
        "package",
        "gcc-system",
        provides={"capability": "compiler.c", "versions": ["12.2"]},
        install={"using": "system", "packages": {"apt": ["gcc"]}},
    )
    world = [worlds.soft("gcc", "compiler.c"), worlds.program(), worlds.solution(deps={"cc": {"needs": "compiler.c"}})]
    graph = worlds.solved([*world, recipe], target=worlds.BOARD)
    assert [n.candidate.source for n in graph.nodes if n.needs == "compiler.c"] == ["expected"]
    # Here it is to be installed, for it is known not to be there.
    graph = worlds.solved([*world, recipe])
    assert [n.candidate.source for n in graph.nodes if n.needs == "compiler.c"] == ["install"]
