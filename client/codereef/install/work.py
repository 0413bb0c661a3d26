# SPDX-License-Identifier: Apache-2.0
"""One build: where it happens, what its templates stand for, its environment, and the commands it runs."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from codereef.detect import Detected
from codereef.errors import InstallError, MetadataError
from codereef.lock.keys import node_facts
from codereef.meta.component import Component

from .process import Finished, failure, run_logged
from .sandbox import Kind, wrapper
from .toolchain import Toolchain

TIMEOUT = 7200.0  # seconds for one command, where the recipe says nothing
# 1980-01-01: builds that put a date into their files put this one, and archives can hold it.
_EPOCH = "315532800"
_TEMPLATE = re.compile(r"\{([a-z][^{}]*)\}")
_PROXIES = ("http_proxy", "https_proxy", "no_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY")
_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "GIT_SSL_CAINFO")


@dataclass(frozen=True)
class Dependency:
    """What a build is given for one of its roles.

    Attributes:
        capability: what it provides, or "".
        path: its installed folder, or the detected program or folder.
        installed: whether `path` is an installed folder, with `bin`, `lib` and so on in it.
        for_build: whether it runs on the machine that builds.
        detected: what was found, for detected software.
    """

    capability: str
    path: Path
    installed: bool
    for_build: bool
    detected: Detected | None = None


@dataclass(frozen=True)
class Work:
    """One build.

    Attributes:
        node: id of the node in the lock.
        component: the recipe.
        version: version being provided.
        variants: variant values.
        target: triple it is built for.
        host: triple of the machine that builds.
        folder: working folder, kept when the build fails; holds `src`, `build`, `home` and `tmp`.
        prefix: folder it is installed into.
        deps: dependencies by role.
        toolchain: the compilers, or None where the graph has none.
        jobs: commands that may run at once within the build.
        logs: folder of the logs.
        sandbox: kind of sandbox.
    """

    node: str
    component: Component
    version: str
    variants: Mapping[str, str]
    target: str
    host: str
    folder: Path
    prefix: Path
    deps: Mapping[str, Dependency]
    toolchain: Toolchain | None
    jobs: int
    logs: Path
    sandbox: Kind

    @property
    def recipe(self) -> Mapping[str, Any]:
        """The `install` of the recipe."""
        found: Mapping[str, Any] = self.component.meta["install"]
        return found

    @property
    def source(self) -> Path:
        """The folder of the sources that the recipe names."""
        return self.folder / "src" / self.expand(self.recipe["source"]) if "source" in self.recipe else self.src

    @property
    def src(self) -> Path:
        """The folder that all sources lie in."""
        return self.folder / "src"

    @property
    def network(self) -> bool:
        """Whether the recipe declares that it uses the network."""
        return bool(self.recipe.get("network", False))

    def expand(self, text: str) -> str:
        """Replace the templates of a recipe's text.

        Raises:
            MetadataError: a template stands for nothing here.
        """

        def value(match: re.Match[str]) -> str:
            found = self._value(match[1])
            if found is None:
                known = sorted(self._values()) + [f"dep:{role}" for role in sorted(self.deps)]
                raise MetadataError(
                    f"{self.component.reference}: `{{{match[1]}}}` in {text!r:.120} stands for nothing.",
                    hint=f"Here these do: {', '.join(known)}.",
                    context={"component": str(self.component.reference), "template": match[1]},
                )
            return found

        return _TEMPLATE.sub(value, text)

    def _value(self, name: str) -> str | None:
        if name.startswith("dep:"):
            found = self.deps.get(name[4:])
            return str(found.path) if found is not None else None
        # The source's own name must not need the source's name.
        return str(self.source) if name == "source" and "source" in self.recipe else self._values().get(name)

    def _values(self) -> dict[str, str]:
        values = {
            **node_facts(self.version, self.variants, self.target),
            "prefix": str(self.prefix),
            "source": str(self.src),
            "build": str(self.folder / "build"),
            "jobs": str(self.jobs),
            "host.triple": self.host,
        }
        for name, capability in (("python", "compiler.python"), ("make", "tool.make"), ("cmake", "tool.cmake")):
            program = self.program(capability)
            if program:
                values[name] = program
        if self.toolchain is not None:
            values.update({"triple": self.toolchain.triple})
            values.update({name.lower(): path for name, path in self.toolchain.environment().items()})
        return values

    def program(self, capability: str) -> str:
        """Return the detected program of a capability among the dependencies, or ""."""
        found = (d.detected.path for d in self.deps.values() if d.detected is not None and d.capability == capability)
        return next(found, "")

    def needed_program(self, capability: str) -> str:
        """Return the program of a capability.

        Raises:
            InstallError: it is not among the dependencies.
        """
        found = self.program(capability)
        if not found:
            raise InstallError(
                f"{self.component.reference} is built with {capability}, which is not among its dependencies.",
                hint=f'Give it one: "{capability.split(".")[-1]}": {{"needs": "{capability}", "for": "build"}}.',
                context={"component": str(self.component.reference), "capability": capability},
            )
        return found

    def needed_toolchain(self) -> Toolchain:
        """Return the compilers.

        Raises:
            InstallError: there is none among the dependencies.
        """
        if self.toolchain is None:
            raise InstallError(
                f"{self.component.reference} is compiled, and no compiler is among its dependencies.",
                hint='Give it one: "cc": {"needs": "compiler.c", "for": "build"}.',
                context={"component": str(self.component.reference)},
            )
        return self.toolchain

    @property
    def roots(self) -> list[Path]:
        """Installed folders of dependencies that are for the target, to compile and link with."""
        return [d.path for d in self.deps.values() if d.installed and (not d.for_build or self.host == self.target)]

    def environment(self) -> dict[str, str]:
        """Return the whole environment of the build's commands; nothing of the user's but PATH, and what a
        recipe with `network` needs to reach it."""
        programs = [Path(d.detected.path).parent for d in self.deps.values() if d.detected is not None and d.for_build]
        runnable = [d.path for d in self.deps.values() if d.installed and (d.for_build or self.host == self.target)]
        bins = [path / "bin" for path in runnable if (path / "bin").is_dir()]
        folders = [*bins, *programs, *_user_path()]
        env = {
            "PATH": os.pathsep.join(dict.fromkeys(str(folder) for folder in folders)),
            "HOME": str(self.folder / "home"),
            "TMPDIR": str(self.folder / "tmp"),
            "LC_ALL": "C.UTF-8",
            "TZ": "UTC",
            "SOURCE_DATE_EPOCH": _EPOCH,
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONHASHSEED": "0",
        }
        roots = self.roots
        if roots:
            env["CMAKE_PREFIX_PATH"] = os.pathsep.join(map(str, roots))
        configs = [str(root / place / "pkgconfig") for root in roots for place in ("lib", "lib64", "share")]
        if self.target != self.host:
            # With this set, pkg-config does not look in the folders of the machine that builds.
            env["PKG_CONFIG_LIBDIR"] = os.pathsep.join(configs)
        elif configs:
            env["PKG_CONFIG_PATH"] = os.pathsep.join(configs)
        if self.toolchain is not None:
            env.update(self.toolchain.environment())
        if self.network:
            env.update({name: os.environ[name] for name in (*_PROXIES, *_CERTIFICATES) if name in os.environ})
        env.update({name: self.expand(str(value)) for name, value in self.recipe.get("environment", {}).items()})
        return env

    def run(self, command: Sequence[str], cwd: Path, doing: str, *, hint: str = "") -> Finished:
        """Run one command of the build in the sandbox.

        Args:
            command: program and arguments, without templates.
            cwd: where.
            doing: what failed, for the message, such as "CMake could not configure it".
            hint: what to do; a general one by default.

        Raises:
            InstallError: it ended with a status other than 0, could not be started or took too long.
        """
        # Folders of inputs the build writes to; everything else can only be read.
        wrap = wrapper(self.sandbox, [self.folder, self.prefix], self.network, cwd)
        done = run_logged(
            command,
            log_dir=self.logs,
            name=self.component.name,
            env=self.environment(),
            cwd=cwd,
            timeout=float(self.recipe.get("timeout", TIMEOUT)),
            wrap=wrap,
        )
        if done.status != 0:
            raise failure(command, done, f"{self.node} could not be built: {doing}", hint or _hint(done, self.network))
        return done


_NO_NETWORK = re.compile(
    r"(?i)could not resolve host|name or service not known|network is unreachable|temporary failure in name resolution"
    r"|couldn't connect to server|failed to connect"
)


def _hint(done: Finished, network: bool) -> str:
    text = "\n".join(done.tail)
    if not network and _NO_NETWORK.search(text):
        return 'A build has no network. Put what it fetches into `files`, or declare "network": true in the recipe.'
    if "Read-only file system" in text:
        return "A build can write to {source}, {build}, {prefix} and $TMPDIR only."
    return "The lines above are the build's own; the log has all of them."


def _user_path() -> list[str]:
    """Return the folders of the user's PATH without those of the environment that runs this client."""
    return list(_without_own(os.environ.get("PATH", os.defpath)))


@cache
def _without_own(path: str) -> tuple[str, ...]:
    own = Path(sys.prefix).resolve()
    virtual = sys.prefix != sys.base_prefix
    kept = []
    for entry in path.split(os.pathsep):
        if entry and Path(entry).is_absolute() and not (virtual and Path(entry).resolve().is_relative_to(own)):
            kept.append(entry)
    return tuple(kept)
