# SPDX-License-Identifier: Apache-2.0
"""What uv and pip call a target, so that distributions can be chosen for a machine that is not at hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from codereef.errors import InstallError

from .download import Settings
from .progress import Progress

if TYPE_CHECKING:
    from .pip import Distribution, Tool

#: Target -> uv's name of the platform ("" where uv has none), and pip's platform tags, the newest first.
#: glibc 2.28 is what Debian 10, Ubuntu 20.04 and RHEL 8 have at least.
_PLATFORMS = {
    "linux-x86_64-gnu": ("x86_64-manylinux_2_28", ("manylinux_2_28_x86_64", "manylinux2014_x86_64")),
    "linux-aarch64-gnu": ("aarch64-manylinux_2_28", ("manylinux_2_28_aarch64", "manylinux2014_aarch64")),
    "linux-x86_64-musl": ("x86_64-unknown-linux-musl", ("musllinux_1_2_x86_64", "musllinux_1_1_x86_64")),
    "linux-aarch64-musl": ("aarch64-unknown-linux-musl", ("musllinux_1_2_aarch64", "musllinux_1_1_aarch64")),
    "linux-armv7-gnueabihf": ("", ("manylinux_2_31_armv7l", "manylinux2014_armv7l", "linux_armv7l")),
    "android-aarch64": ("aarch64-linux-android", ()),
    "android-x86_64": ("x86_64-linux-android", ()),
    "macos-aarch64-darwin": ("aarch64-apple-darwin", ("macosx_13_0_arm64", "macosx_11_0_arm64")),
    "macos-x86_64-darwin": ("x86_64-apple-darwin", ("macosx_13_0_x86_64", "macosx_10_12_x86_64")),
}


@dataclass(frozen=True)
class Platform:
    """A machine for which distributions are chosen elsewhere.

    Attributes:
        target: triple.
        python_version: version of its Python, such as 3.11.2.
    """

    target: str
    python_version: str

    @property
    def series(self) -> str:
        """Major and minor version of its Python."""
        return ".".join(self.python_version.split(".")[:2])

    def uv_flags(self) -> list[str]:
        """Return uv's flags for it, or nothing where uv does not know the platform."""
        name = _PLATFORMS.get(self.target, ("", ()))[0]
        return ["--python-platform", name, "--python-version", self.series] if name else []

    def pip_flags(self, folder: Path) -> list[str]:
        """Return pip's flags for it; it wants a folder that it would install into.

        Raises:
            InstallError: pip has no name for the platform.
        """
        tags = _PLATFORMS.get(self.target, ("", ()))[1]
        if not tags:
            raise InstallError(f"pip has no name for wheels of {self.target}.", hint="Install uv beside cr.")
        flags = [flag for tag in tags for flag in ("--platform", tag)]
        return [*flags, "--python-version", self.series, "--implementation", "cp", "--target", str(folder)]


def resolve_for_target(
    platform: Platform,
    requirements: Sequence[str],
    constraints: Sequence[str],
    settings: Settings,
    progress: Progress,
    *,
    preferred: Sequence[Distribution] = (),
    dependencies: bool = True,
    tool: Tool = "auto",
    log_dir: Path | None = None,
) -> tuple[Distribution, ...]:
    """Return the exact distributions that meet all requirements on a machine that is not at hand.

    Args:
        platform: the machine.
        requirements: PEP 508 requirements.
        constraints: PEP 508 requirements that limit versions without asking for anything.
        settings: `offline` is honoured.
        progress: told that it started and ended.
        preferred: versions to stay with where the requirements permit.
        dependencies: whether what they need counts; without, each is the newest by itself.
        tool: uv or pip; uv where it is there and knows the platform. pip evaluates environment markers for
            the Python that runs it, so that of the two uv is the one to trust with requirements that have any.
        log_dir: where logs go; the default store's by default.

    Raises:
        UsageError: a requirement is malformed or names an address.
        InstallError: there are no such wheels for it, or the index cannot be reached.
    """
    import sys

    from .pip import resolve_distributions

    if platform.target not in _PLATFORMS:
        raise InstallError(f"Wheels for {platform.target} cannot be chosen from another machine.")
    if tool == "auto" and not platform.uv_flags():
        tool = "pip"
    return resolve_distributions(
        Path(sys.executable),
        requirements,
        constraints,
        settings,
        progress,
        tool=tool,
        log_dir=log_dir,
        preferred=preferred,
        platform=platform,
        dependencies=dependencies,
    )
