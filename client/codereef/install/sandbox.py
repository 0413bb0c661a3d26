# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: PTH110, PTH112, PTH117
"""The sandbox of builds: no network unless declared, and nothing writable but the build's own folders.

bubblewrap where it is installed and works, else the kernel's namespaces through `confine.py` (`confined`). Where the machine
permits neither, a build is refused, unless the user says `CR_SANDBOX=off`. The rest of the file system can be read,
but for the places where people keep keys and passwords: a compiler may be installed anywhere.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Literal

from codereef.errors import InstallError, UsageError

from .confined import PROGRAM, start

Kind = Literal["bubblewrap", "namespaces", "none"]
VARIABLE = "CR_SANDBOX"
_PROBE_SECONDS = 10
#: Below the user's home: keys, tokens and passwords of usual tools.
_PRIVATE = (
    ".ssh",
    ".gnupg",
    ".aws",
    ".azure",
    ".kube",
    ".docker",
    ".config/gcloud",
    ".config/gh",
    ".config/git",
    ".local/share/keyrings",
    ".password-store",
    ".netrc",
    ".git-credentials",
    ".pypirc",
    ".npmrc",
    ".pgpass",
    ".bash_history",
)


#: Sockets of services that would run a command for the user outside of the sandbox: a read-only mount stops nobody
#: from connecting.
_SERVICES = (
    "/run/user/{uid}",
    "/run/dbus/system_bus_socket",
    "/run/systemd/private",
    "/run/docker.sock",
    "/run/podman/podman.sock",
    "/run/containerd/containerd.sock",
)


def _hidden_places(home: Path, writable: Sequence[str]) -> list[str]:
    """Return what a build must not see: private places, and the sockets of services; none that it has to write in.

    Args:
        home: the user's home folder.
        writable: real paths of the folders that it writes to.
    """
    # Looked for before every command, so without the comfort of `pathlib`.
    places = [f"{home}/{name}" for name in _PRIVATE]
    places += [name.format(uid=os.getuid()) for name in _SERVICES]
    places += [os.environ[name] for name in ("XDG_RUNTIME_DIR", "SSH_AUTH_SOCK") if os.environ.get(name)]
    # The real path: a link cannot be mounted over.
    found = {os.path.realpath(path) for path in places if os.path.isabs(path) and os.path.exists(path)}
    return sorted(path for path in found if not any(f"{place}/".startswith(f"{path}/") for place in writable))


def _wrap(kind: Kind, places: Sequence[str], hidden: Sequence[str], network: bool, cwd: Path) -> tuple[str, ...]:
    if kind == "namespaces":
        spec = json.dumps({"writable": list(places), "hidden": list(hidden), "network": network})
        return (*PROGRAM, spec)
    wrap = ["bwrap", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc"]
    for place in hidden:
        wrap += ["--tmpfs", place] if os.path.isdir(place) else ["--ro-bind", "/dev/null", place]
    for place in places:
        wrap += ["--bind", place, place]
    wrap += [
        "--unshare-all",
        *(["--share-net"] if network else []),
        "--die-with-parent",
        "--chdir",
        os.path.realpath(cwd),
    ]
    # Root would keep its capabilities, with which the mounts can be undone.
    wrap += ["--cap-drop", "ALL"]
    return (*wrap, "--")


@lru_cache(maxsize=4)
def _works(kind: Kind, path: str) -> str:
    """Return "" when that sandbox works for this user on this machine, else what is wrong."""
    if not sys.platform.startswith("linux"):
        return "it needs Linux"
    if kind == "bubblewrap" and shutil.which("bwrap", path=path) is None:
        return "bubblewrap is not installed"
    wrap, root, env = _wrap(kind, (), (), False, Path("/")), Path("/"), {"PATH": path}
    output, written = os.pipe()
    try:
        try:
            tried = start(wrap, (), env, root, written, ())
            if tried is not None:
                status = tried.wait(_PROBE_SECONDS)
            else:
                command = wrap if kind == "namespaces" else (*wrap, "/bin/sh", "-c", ":")
                status = subprocess.run(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=written,
                    stderr=written,
                    timeout=_PROBE_SECONDS,
                    cwd=root,
                    env=env,
                ).returncode
        finally:
            os.close(written)
        os.set_blocking(output, False)
        said = b""
        with contextlib.suppress(BlockingIOError):
            said = os.read(output, 1 << 16)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    finally:
        os.close(output)
    lines = said.decode(errors="replace").strip().splitlines()
    return "" if status == 0 else (lines or [f"status {status}"])[-1]


def available(environ: Mapping[str, str] | None = None) -> Kind:
    """Return the sandbox that builds run in here.

    Args:
        environ: where `CR_SANDBOX` is looked up; this process's environment by default.

    Raises:
        InstallError: the machine permits none, and the user has not switched it off.
        UsageError: `CR_SANDBOX` has a value that is not known.
    """
    environ = os.environ if environ is None else environ
    asked = environ.get(VARIABLE, "auto") or "auto"
    if asked == "off":
        return "none"
    kinds: tuple[Kind, ...] = ("bubblewrap", "namespaces")
    if asked in kinds:
        kinds = tuple(kind for kind in kinds if kind == asked)
    elif asked != "auto":
        raise UsageError(
            f"{VARIABLE} cannot be `{asked}`.", hint="It can be auto, bubblewrap, namespaces or off.", context={}
        )
    path = environ.get("PATH", os.defpath)
    problems = []
    for kind in kinds:
        problem = _works(kind, path)
        if not problem:
            return kind
        problems.append(f"{kind}: {problem}")
    raise InstallError(
        f"This machine permits no sandbox ({'; '.join(problems)}), and a recipe would run its commands.",
        hint=f"Install bubblewrap and permit user namespaces; or, when you trust the recipe, set {VARIABLE}=off "
        "to run it without one.",
        context={"problems": problems},
    )


def wrapper(
    kind: Kind, writable: Sequence[Path], network: bool, cwd: Path, home: Path | None = None
) -> tuple[str, ...]:
    """Return what is put before a command to confine it.

    Args:
        kind: from `available`.
        writable: folders that it may write to; they exist.
        network: it may use the network.
        cwd: the folder it runs in.
        home: the user's home folder, whose private places are hidden; `~` by default. Sockets of services that act
            for the user are hidden too.
    """
    if kind == "none":
        return ()
    places = [os.path.realpath(path) for path in writable]
    return _wrap(kind, places, _hidden_places(home or Path.home(), places), network, cwd)
