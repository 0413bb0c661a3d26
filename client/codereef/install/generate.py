# SPDX-License-Identifier: Apache-2.0
"""The `generate` back-end: a component's own script makes its files; the caller compares their digest."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from codereef.disk import storing, write_atomic
from codereef.errors import InstallError
from codereef.store import Store

from .process import failure, run_logged
from .progress import Progress

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
