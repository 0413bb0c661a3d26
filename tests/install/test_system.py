# SPDX-License-Identifier: Apache-2.0
"""Packages of the system: shown, run only when told, found by detection afterwards; conda and Spack are driven.

The package managers here are small programs that act as the real ones, put first on PATH: what is tested is the
commands they get, what is made of their answers, and that nothing is run that was not asked for.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from codereef.detect import Detected
from codereef.errors import InstallError, NeedsYouError
from codereef.install import system
from codereef.install.failures import Recorder, records
from codereef.lock.model import Lock, LockedNode

from .conftest import Remembered
from .graphs import World, commands, tree

ACT = """#!{python}
import json, os, sys
with open({record!r}, "a") as log:
    env = {{k: v for k, v in os.environ.items() if k.startswith(("CONDA", "MAMBA", "SPACK", "DEBIAN"))}}
    log.write(json.dumps({{"argv": sys.argv[1:], "env": env}}) + "\\n")
{body}
"""


@pytest.fixture
def world(tmp_path: Path, progress: Remembered, monkeypatch: pytest.MonkeyPatch) -> World:
    # Only the acting programs and a few tools: this machine's own package managers are out of reach.
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return World(tmp_path, progress)


def act(world: World, name: str, body: str = "") -> Path:
    """Put a program on PATH that writes down how it was called."""
    program = world.folder / "bin" / name
    program.write_text(ACT.format(python=sys.executable, record=str(world.folder / "calls"), body=body))
    program.chmod(0o755)
    return program


def calls(world: World) -> list[dict[str, object]]:
    record = world.folder / "calls"
    return [json.loads(line) for line in record.read_text().splitlines()] if record.exists() else []


def wanted(world: World, **packages: list[str]) -> tuple[Lock, system.SystemPackages | None]:
    world.package("tool", {"using": "system", "packages": packages})
    lock, _ = world.lock("tool")
    return lock, system.needed(lock, world.index, lock.nodes)


@pytest.mark.parametrize(
    ("manager", "program", "command"),
    [
        ("apt", "apt-get", "apt-get install --yes --no-install-recommends libtool-dev tool"),
        ("dnf", "dnf", "dnf install --assumeyes libtool-dev tool"),
        ("brew", "brew", "brew install libtool-dev tool"),
    ],
)
def test_the_command_of_the_manager_that_is_here_is_shown_and_not_run(
    world: World, manager: str, program: str, command: str
) -> None:
    act(world, program)
    _, found = wanted(world, **{manager: ["tool", "libtool-dev"], **({"brew": ["x"]} if manager != "brew" else {})})
    assert found is not None
    assert found.manager == manager
    error = system.ask_for(found)
    assert f"\n  {command}" in error.message
    assert "--run-system-commands" in error.hint
    assert error.exit_code == 12
    assert calls(world) == []


def test_a_machine_without_such_a_manager_gets_the_names_of_the_packages(world: World) -> None:
    act(world, "dnf")
    with pytest.raises(InstallError, match=r"has dnf; the recipes name lib.tool@1.0: tool \(apt\)"):
        wanted(world, apt=["tool"])


def test_nothing_of_the_system_is_needed_where_no_recipe_says_so(world: World) -> None:
    world.package("x", {"using": "script", "run": [["true"]]})
    lock, _ = world.lock("x")
    assert system.needed(lock, world.index, lock.nodes) is None


@pytest.mark.slow
def test_it_is_run_when_told_and_a_failure_is_recorded(world: World) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root, as the package manager does")
    act(world, "apt-get", "print('E: Unable to locate package tool')\nsys.exit(100)")
    lock, found = wanted(world, apt=["tool"])
    assert found is not None
    world.store.prepare()
    recorder = Recorder(world.failures, lock, world.index)
    with pytest.raises(InstallError, match="apt could not install tool.*\n.*Unable to locate"):
        system.run(found, world.store.logs, world.progress, recorder)
    (call,) = calls(world)
    assert call["argv"] == ["install", "--yes", "--no-install-recommends", "tool"]
    assert call["env"] == {"DEBIAN_FRONTEND": "noninteractive"}
    (record,) = records(world.failures)
    assert (record.data["step"], record.data["node"]) == ("system", "lib.tool@1.0")
    assert not [line for line in commands(world) if "sudo" in line]


def test_without_the_right_to_it_the_command_is_shown_and_not_run(world: World, monkeypatch) -> None:
    act(world, "apt-get")
    _, found = wanted(world, apt=["tool"])
    assert found is not None
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(NeedsYouError, match="Run as the system's administrator:\n  apt-get install"):
        system.run(found, world.store.logs, world.progress, Recorder())
    assert calls(world) == []


@pytest.mark.slow
def test_a_plan_is_made_again_with_what_was_installed(world: World, monkeypatch) -> None:
    """The whole way: shown first, then run, then found by detection and part of the graph."""
    from codereef.workspace import plan as plans
    from codereef.workspace.system import with_system_packages

    body = f"open({str(world.folder / 'bin' / 'there')!r}, 'w').close()"
    act(world, "brew", body)
    lock, _ = wanted(world, brew=["tool"])
    found = Detected("lib.tool", "2.0", "/x", "soft:t@1.0", "sha256:" + "0" * 64)
    node = LockedNode(found.soft, found.digest, "2.0", {}, "detected", "run", {}, "lib.tool")
    options = SimpleNamespace(run_system_commands=False, failures=None)
    session = SimpleNamespace(usable=world.index, options=options, store=world.store)
    plan = SimpleNamespace(lock=lock, wish=object(), folder=world.folder / "s")

    def replan(_session: object, _wish: object, directory: Path) -> object:
        assert directory == world.folder
        nodes = {"lib.tool@2.0": node} if (world.folder / "bin" / "there").exists() else lock.nodes
        return SimpleNamespace(lock=SimpleNamespace(nodes=nodes))

    monkeypatch.setattr(plans, "make_plan", replan)
    with pytest.raises(NeedsYouError, match="brew install tool"):
        with_system_packages(session, plan, world.progress)  # type: ignore[arg-type]
    assert calls(world) == []
    options.run_system_commands = True
    again = with_system_packages(session, plan, world.progress)  # type: ignore[arg-type]
    assert list(again.lock.nodes) == ["lib.tool@2.0"]
    (world.folder / "bin" / "there").unlink()
    act(world, "brew")
    with pytest.raises(InstallError, match=r"brew has installed tool, and detection does not find lib.tool@1.0 yet"):
        with_system_packages(session, plan, world.progress)  # type: ignore[arg-type]


# -- conda and Spack: acted, since neither can be installed where these tests run -----------------------------------


def manager(world: World, capability: str, program: Path) -> None:
    world.tools[capability] = Detected(capability, "1.5.8", str(program), "soft:x@1.0.0", "sha256:" + "0" * 64)


CONDA = """
place = sys.argv[sys.argv.index("--prefix") + 1]
assert not os.path.exists(place), "micromamba refuses a folder that is there"
os.makedirs(place + "/conda-meta"); os.makedirs(place + "/lib")
open(place + "/lib/libz.so", "w").write("z")
"""


@pytest.mark.slow
def test_conda_makes_an_environment_in_the_store(world: World, monkeypatch) -> None:
    monkeypatch.delenv("MAMBA_ROOT_PREFIX", raising=False)
    manager(world, "tool.conda", act(world, "micromamba", CONDA))
    install = {"using": "conda", "packages": ["zlib={version}", "python>=3.9"], "produces": ["lib/libz.so"]}
    world.package("zlib", install, deps={"conda": "tool.conda"}, version="1.3.1")
    prefix = world.prefix("zlib")
    assert tree(prefix) == ["lib/libz.so"]
    (call,) = calls(world)
    where = ["--prefix", str(prefix), "--override-channels", "--channel", "conda-forge"]
    assert call["argv"] == ["create", "--yes", "--quiet", *where, "zlib=1.3.1", "python>=3.9"]
    assert call["env"]["CONDA_SUBDIR"] in ("linux-64", "linux-aarch64", "osx-64", "osx-arm64")  # type: ignore[index]
    assert str(call["env"]["MAMBA_ROOT_PREFIX"]).startswith(str(world.store.tmp))  # type: ignore[index]


@pytest.mark.slow
def test_what_conda_says_is_told_with_advice(world: World) -> None:
    body = "print('error    libmamba Could not solve for environment specs'); print('nothing provides zlib 9'); sys.exit(1)"
    manager(world, "tool.conda", act(world, "micromamba", body))
    world.package("zlib", {"using": "conda", "packages": ["zlib=9"]}, deps={"conda": "tool.conda"})
    with pytest.raises(
        InstallError, match="could not be installed by conda.*\n.*\n  nothing provides zlib 9"
    ) as caught:
        world.install("zlib")
    assert "channels of the recipe" in caught.value.hint
    assert world.registered() == []
    assert [record.data["step"] for record in records(world.failures)] == ["conda"]
    manager(world, "tool.conda", act(world, "micromamba", "os.makedirs(sys.argv[sys.argv.index('--prefix') + 1])"))
    with pytest.raises(InstallError, match="is no environment of conda"):
        world.install("zlib")
    world.target = "linux-riscv64-gnu"
    with pytest.raises(InstallError, match="has no packages for linux-riscv64-gnu"):
        world.install("zlib")


SPACK = """
if sys.argv[1] == "view":
    os.makedirs(sys.argv[5] + "/lib"); open(sys.argv[5] + "/lib/libz.a", "w").write("z")
"""


@pytest.mark.slow
def test_spack_installs_and_gives_a_copied_view(world: World) -> None:
    manager(world, "tool.spack", act(world, "spack", SPACK))
    world.package("zlib", {"using": "spack", "specs": ["zlib@{version} +pic"]}, deps={"s": "tool.spack"}, version="1.3")
    prefix = world.prefix("zlib")
    assert tree(prefix) == ["lib/libz.a"]
    jobs = str(os.cpu_count())
    assert [call["argv"] for call in calls(world)] == [
        ["install", "--jobs", jobs, "zlib@1.3 +pic"],
        ["view", "--dependencies", "true", "copy", str(prefix), "zlib@1.3 +pic"],
    ]
    assert {call["env"]["SPACK_COLOR"] for call in calls(world)} == {"never"}  # type: ignore[index]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("said", "advice"),
    [
        ("==> Error: No compilers with spec gcc found", "spack compiler find"),
        ("UnknownPackageError: Package not found", "does not know that spec"),
        ("FetchError: All fetchers failed", "mirrors"),
        ("odd", "Spack's own"),
    ],
)
def test_what_spack_says_is_told_with_advice(world: World, said: str, advice: str) -> None:
    manager(world, "tool.spack", act(world, "spack", f"print({said!r}); sys.exit(1)"))
    world.package("zlib", {"using": "spack", "specs": ["zlib"]}, deps={"s": "tool.spack"})
    with pytest.raises(InstallError, match="Spack could not install it") as caught:
        world.install("zlib")
    assert advice in caught.value.hint
    assert world.registered() == []
