# SPDX-License-Identifier: Apache-2.0
"""The `generate` back-end: a component's own script makes its files, and their digest must be the declared one."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from codereef.disk import storing, write_atomic
from codereef.errors import InstallError, IntegrityError
from codereef.lock.keys import install_method
from codereef.lock.model import LockedNode
from codereef.meta.component import Component
from codereef.store import Store, tree_digest

from .nodes import remove_damaged, sound, waiting
from .process import failure, run_logged
from .progress import Progress

TIMEOUT = 1800.0  # seconds, where the component says nothing

# Nothing else of the user's environment can change what a script makes, or be read by it.
_PASSED = ("PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "SYSTEMROOT")


def run(
    script: Path,
    python: Path,
    request: Mapping[str, object],
    output: Path,
    timeout: float | None,
    progress: Progress,
    *,
    log_dir: Path | None = None,
) -> None:
    """Run `python -I script REQUEST.json` in the folder `output`, in a process group of its own.

    The request is written beside `output`, not into it, and removed afterwards.

    Args:
        script: the component's script.
        python: the interpreter.
        request: JSON data for the script; by agreement it names `output` in it.
        output: the folder the script fills; made where absent.
        timeout: seconds the script may take; None for no limit.
        progress: told that it started and ended.
        log_dir: where the log goes; the default store's by default.

    Raises:
        InstallError: the script failed, was killed or took too long; its last lines are in the message.
        StorageError: request, folder or log cannot be written.
    """
    request_file = output.with_name(output.name + ".request.json")
    with storing("the generated files", output):
        output.mkdir(parents=True, exist_ok=True)
    if not script.is_file():
        raise InstallError(
            f"The script {script} is not there.", hint="Run `cr lint` on the component that it belongs to."
        )
    env = {name: os.environ[name] for name in _PASSED if name in os.environ}
    env.update(LC_ALL="C.UTF-8", TZ="UTC", PYTHONHASHSEED="0", PYTHONDONTWRITEBYTECODE="1")
    command = [str(p) for p in (python.absolute(), "-I", "-B", script.absolute(), request_file.absolute())]
    task = f"generate {output}"
    progress.start(task, None, f"{script.parent.name}/{script.name}")
    try:
        write_atomic(request_file, json.dumps(dict(request), indent=1, sort_keys=True).encode() + b"\n")
        done = run_logged(
            command,
            log_dir=log_dir or Store.default().logs,
            name="generate",
            env=env,
            cwd=output,
            timeout=timeout,
            inputs=[request_file],
        )
    finally:
        request_file.unlink(missing_ok=True)
        progress.finish(task)
    if done.status != 0:
        raise failure(
            command,
            done,
            f"The script {script.name} failed",
            "The lines above are the script's own; tell the component's authors if they do not help.",
        )


def install_generated(
    node: LockedNode, component: Component, store: Store, python: Path | None, progress: Progress, built: list[str]
) -> Path:
    """Return the folder of a generated node, which is made where it is not in the store yet.

    Args:
        node: the node.
        component: what it is made from.
        store: where to.
        python: the interpreter of its environment, or None where its graph has none.
        progress: is told what goes on.
        built: gets the name of the folder when it was made.

    Raises:
        InstallError: the script failed, or there is no Python to run it with.
        IntegrityError: it made something else than the component declares.
    """
    existing = sound(store, node.install_key)
    if existing is not None:
        return existing.path
    remove_damaged(store, node.install_key, progress)
    recipe = component.meta["install"]
    if python is None or install_method(component) != "generate":
        raise InstallError(
            f"{node.component} is made by a Python script, and no Python environment is in its graph.",
            hint='Give it a dependency: "python": {"needs": "compiler.python"}.',
        )
    with store.building(node.install_key, waiting=waiting(node.install_key, progress)) as build:
        if build.existing is not None:
            return build.existing.path
        request = {"output": str(build.path), "variants": dict(node.variants), "options": recipe.get("options", {})}
        timeout = recipe.get("timeout", TIMEOUT)
        run(component.root / recipe["script"], python, request, build.path, timeout, progress, log_dir=store.logs)
        found = tree_digest(build.path)
        if found != node.tree:
            raise IntegrityError(
                f"{node.component} ({recipe['script']}) made something else than it should: expected {node.tree}, found {found}.",
                hint="In a component you are writing, put the digest found into `install.digests`. Otherwise the generator gives "
                "something else on this machine, or was changed without its digest. Nothing was kept.",
                context={"component": node.component, "expected": node.tree, "found": found},
            )
        built.append(node.install_key)
        return build.commit({"component": node.component, "variants": dict(node.variants)}, digest=True).path
