# SPDX-License-Identifier: Apache-2.0
"""Exact distributions for a machine that is not at hand, by the real uv and the real pip, from a local folder."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import pytest
from codereef.detect.platform import make_triple
from codereef.errors import InstallError
from codereef.install.download import Settings
from codereef.install.foreign import Platform, resolve_for_target
from codereef.install.pip import Distribution, Tool, resolve_distributions
from codereef.install.progress import NullProgress

from tests.install.test_pip import make_wheel, wheels

__all__ = ["wheels"]

BOARD = Platform("linux-aarch64-gnu", "3.12.4")
PROGRESS = NullProgress()


def make_native(folder: Path, tag: str, version: str = "1.0", requires: str = "") -> None:
    """Make a wheel for one platform only."""
    make_wheel(folder, "reef_n", version, requires)
    plain = folder / f"reef_n-{version}-py3-none-any.whl"
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(folder / f"reef_n-{version}-{tag}.whl", "w") as copy:
        for item in source.infolist():
            data = source.read(item)
            if item.filename.endswith("WHEEL"):
                data = data.replace(b"py3-none-any", tag.encode())
            copy.writestr(item.filename, data)
    plain.unlink()


@pytest.mark.parametrize("system", ["linux", "darwin"])
@pytest.mark.parametrize("machine", ["x86_64", "arm64"])
def test_the_targets_that_machines_are_detected_as_have_names_in_uv_and_pip(
    system: str, machine: str, tmp_path: Path
) -> None:
    platform = Platform(make_triple(system, machine), "3.11.2")
    assert platform.uv_flags()[0] == "--python-platform"
    assert "--platform" in platform.pip_flags(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("tool", ["uv", "pip"])
def test_wheels_of_the_target_are_chosen_not_those_of_this_machine(
    wheels: dict[str, str], tmp_path: Path, tool: Tool
) -> None:
    folder = tmp_path / "wheels"
    make_native(folder, "cp312-cp312-manylinux_2_28_aarch64", "1.0", "reef-a<2")
    make_native(folder, "cp312-cp312-manylinux_2_28_x86_64", "2.0")
    make_native(folder, "cp311-cp311-manylinux_2_28_aarch64", "3.0")
    found = resolve_for_target(BOARD, ["reef-n"], (), Settings(), PROGRESS, tool=tool, log_dir=tmp_path / "logs")
    assert [(d.name, d.version) for d in found] == [("reef-a", "1.0"), ("reef-n", "1.0")]
    assert found[0].sha256 == (wheels["reef_a-1.0"],)
    if tool == "uv":
        with pytest.raises(InstallError):
            resolve_distributions(
                Path(sys.executable), ["reef-n==1.0"], (), Settings(), PROGRESS, tool=tool, log_dir=tmp_path / "logs"
            )


@pytest.mark.slow
@pytest.mark.parametrize("tool", ["uv", "pip"])
def test_versions_that_are_preferred_are_kept_while_the_requirements_permit(
    wheels: dict[str, str], tmp_path: Path, tool: Tool
) -> None:
    old = [Distribution("reef-a", "1.0", ("0" * 64,))]

    def chosen(*requirements: str) -> dict[str, str]:
        found = resolve_distributions(
            Path(sys.executable),
            requirements,
            (),
            Settings(),
            PROGRESS,
            tool=tool,
            log_dir=tmp_path / "logs",
            preferred=old,
        )
        assert all(d.sha256 == (wheels[f"{d.name.replace('-', '_')}-{d.version}"],) for d in found)
        return {d.name: d.version for d in found}

    # Each call of pip makes an environment first, which takes seconds: only where it drops the preference is told.
    if tool == "uv":
        assert chosen("reef-b") == {"reef-a": "1.0", "reef-b": "1.5"}
    assert chosen("reef-b", "reef-a>=2") == {"reef-a": "2.0", "reef-b": "1.5"}


def test_a_target_that_neither_knows_is_told(tmp_path: Path) -> None:
    with pytest.raises(InstallError, match="Wheels for plan9-mips cannot be chosen"):
        resolve_for_target(Platform("plan9-mips", "3.12"), ["reef-a"], (), Settings(), PROGRESS)
    with pytest.raises(InstallError, match="pip has no name for wheels of android-aarch64") as caught:
        Platform("android-aarch64", "3.12").pip_flags(tmp_path)
    assert "uv" in caught.value.hint


@pytest.mark.parametrize(
    ("target", "flags"),
    [
        ("linux-aarch64-gnu", ["--python-platform", "aarch64-manylinux_2_28", "--python-version", "3.12"]),
        ("linux-armv7-gnueabihf", []),
    ],
)
def test_the_platform_is_named_as_uv_names_it(target: str, flags: list[str]) -> None:
    assert Platform(target, "3.12.4").uv_flags() == flags
