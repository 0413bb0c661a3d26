# SPDX-License-Identifier: Apache-2.0
"""The `spack` back-end: Spack installs into its own tree, and a copied view of it becomes the installed folder.

It runs with the user's environment and settings. The view is a copy: what the user later removes from Spack stays.
"""

from __future__ import annotations

from .process import environment, failure, run_logged
from .work import TIMEOUT, Work


def build(work: Work) -> None:
    """Install the recipe's specs and make a view of them in `work.prefix`.

    Raises:
        InstallError: Spack failed or is not in the graph.
    """
    program = work.needed_program("tool.spack")
    specs = [work.expand(spec) for spec in work.recipe["specs"]]
    _run(work, [program, "install", "--jobs", str(work.jobs), *specs], "Spack could not install it")
    view = [program, "view", "--dependencies", "true", "copy", str(work.prefix), *specs]
    _run(work, view, "Spack could not make a view of it")


def _run(work: Work, command: list[str], doing: str) -> None:
    done = run_logged(
        command,
        log_dir=work.logs,
        name=work.component.name,
        env=environment({"SPACK_COLOR": "never"}),
        cwd=work.folder,
        timeout=float(work.recipe.get("timeout", TIMEOUT)),
    )
    if done.status != 0:
        raise failure(command, done, f"{work.node}: {doing}", _hint("\n".join(done.tail)))


def _hint(said: str) -> str:
    text = said.lower()
    if "no compilers" in text or "no compiler" in text:
        return "`spack compiler find` tells Spack of the compilers that are there."
    if "unknownpackageerror" in text or "package not found" in text or "cannot be satisfied" in text:
        return "This Spack does not know that spec; it may be too old, or the spec in the recipe wrong."
    if "fetcherror" in text or "all fetchers failed" in text:
        return "Check the network and Spack's mirrors (`spack mirror list`)."
    return "The lines above are Spack's own; the log has all of them."
