# SPDX-License-Identifier: Apache-2.0
"""The `conda` back-end: conda, mamba or micromamba make an environment in the installed folder.

It runs with the user's environment and settings, since channels, proxies and the cache of packages are theirs.
"""

from __future__ import annotations

from pathlib import Path

from codereef.disk import remove_tree
from codereef.errors import InstallError

from .process import environment, failure, run_logged
from .work import TIMEOUT, Work

#: What conda calls the targets that it has packages for.
PLATFORMS = {
    "linux-x86_64-gnu": "linux-64",
    "linux-aarch64-gnu": "linux-aarch64",
    "linux-ppc64le-gnu": "linux-ppc64le",
    "macos-x86_64-darwin": "osx-64",
    "macos-aarch64-darwin": "osx-arm64",
    "windows-x86_64-msvc": "win-64",
}


def build(work: Work) -> None:
    """Make the environment in `work.prefix`.

    Raises:
        InstallError: conda failed, is not in the graph, or has no packages for the target.
    """
    program = work.needed_program("tool.conda")
    platform = PLATFORMS.get(work.target)
    if platform is None:
        raise InstallError(
            f"{work.node} comes from conda, which has no packages for {work.target}.",
            hint=f"It has for {', '.join(PLATFORMS)}.",
            context={"node": work.node, "target": work.target},
        )
    channels = work.recipe.get("channels", ("conda-forge",))
    command = [program, "create", "--yes", "--quiet", "--prefix", str(work.prefix), "--override-channels"]
    for channel in channels:
        command += ["--channel", channel]
    command += [work.expand(package) for package in work.recipe["packages"]]
    extra = {"CONDA_SUBDIR": platform, "CONDA_ALWAYS_COPY": "true" if platform.startswith("win") else "false"}
    if "MAMBA_ROOT_PREFIX" not in (env := environment()) and Path(program).name.startswith("micromamba"):
        # Without a place for its cache micromamba would make one in the user's home.
        extra["MAMBA_ROOT_PREFIX"] = str(work.folder / "mamba")
    # micromamba refuses a folder that is there and no environment.
    remove_tree(work.prefix)
    done = run_logged(
        command,
        log_dir=work.logs,
        name=work.component.name,
        env={**env, **extra},
        cwd=work.folder,
        timeout=float(work.recipe.get("timeout", TIMEOUT)),
    )
    if done.status != 0:
        raise failure(command, done, f"{work.node} could not be installed by conda", _hint("\n".join(done.tail)))
    if not (work.prefix / "conda-meta").is_dir():
        raise InstallError(f"{Path(program).name} ended well, and {work.prefix} is no environment of conda.")


def _hint(said: str) -> str:
    text = said.lower()
    if any(word in text for word in ("packagesnotfounderror", "nothing provides", "could not solve", "unsatisfiable")):
        return "The channels of the recipe do not have that for this platform; see `channels` and `packages` in it."
    if any(word in text for word in ("condahttperror", "connection", "could not resolve", "timed out", "proxy")):
        return "Check the network, the proxy and the channels that conda is set up with."
    return "The lines above are conda's own; the log has all of them."
