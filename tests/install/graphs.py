# SPDX-License-Identifier: Apache-2.0
"""Small graphs with real recipes and really detected tools, locked without a resolver and installed for real."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from codereef.canonical import sha256_file
from codereef.detect import Detected, detect_report
from codereef.detect.platform import host_target
from codereef.install.download import Settings
from codereef.install.execute import Installed, install
from codereef.install.nodes import Options
from codereef.install.progress import NullProgress, Progress
from codereef.lock.keys import keyed
from codereef.lock.model import Lock, LockedConfiguration, LockedNode
from codereef.meta.component import Component, component_digest
from codereef.repo.index import Index
from codereef.store import Store

ROOT = Path(__file__).parents[2]
HOST = host_target()
HELLO = '#include <stdio.h>\n#ifndef WORD\n#define WORD "hello"\n#endif\nint main(void) { puts(WORD); return 0; }\n'


def tool(*names: str) -> None:
    """Skip the test where a program is not installed; with CI=true that is a failure."""
    for name in names:
        if shutil.which(name) is None:
            if os.environ.get("CI") == "true":
                pytest.fail(f"{name} is not installed")
            pytest.skip(f"{name} is not installed")


@lru_cache(maxsize=4)
def _detect(softs: tuple[str, ...], path: str) -> tuple[Detected, ...]:
    metas = [json.loads((ROOT / "soft-detect" / soft / "cr.json").read_text()) for soft in softs]
    return detect_report(metas, environ={"PATH": path}, cache_dir=None).found


def detected(capability: str, *, triple: str = "") -> Detected:
    """A tool of this machine, found by its own detector; a compiler by the beginning of its triple."""
    softs = {
        "compiler.c": "gcc",
        "compiler.cxx": "gxx",
        "tool.cmake": "cmake",
        "tool.make": "make",
        "tool.ninja": "ninja",
        "tool.git": "git",
        "tool.conda": "conda",
        "tool.spack": "spack",
    }
    if capability == "compiler.python":
        return Detected(
            capability, "3.11.0", os.path.realpath(sys.executable), "soft:python@1.0.0", "sha256:" + "0" * 64
        )
    # Only compilers are for one kind of machine; what drives a build runs here.
    beginning = (triple or HOST.split("-")[1]) if capability.startswith("compiler") else ""
    found = [
        item
        for item in _detect((softs[capability],), os.environ["PATH"])
        if item.capability == capability and str(item.facts.get("triple", "")).startswith(beginning)
    ]
    if not found:
        tool(softs[capability])
        pytest.fail(f"no {capability} was detected")
    return found[0]


@dataclass
class World:
    """Components in a folder, a store, and what is known of the tools of a graph."""

    folder: Path
    progress: Progress = field(default_factory=NullProgress)
    components: dict[str, Component] = field(default_factory=dict)
    needs: dict[str, dict[str, Any]] = field(default_factory=dict)
    target: str = HOST
    triple: str = ""
    tools: dict[str, Detected] = field(default_factory=dict)
    settings: Settings = field(default_factory=lambda: Settings(timeout=2.0, retries=0))

    @property
    def store(self) -> Store:
        return Store(self.folder / "home" / "store")

    @property
    def failures(self) -> Path:
        return self.folder / "home" / "failures"

    @property
    def index(self) -> Index:
        return Index(tuple(self.components.values()))

    def package(
        self,
        name: str,
        install: Mapping[str, Any],
        files: Mapping[str, str | bytes | Mapping[str, Any]] | None = None,
        deps: Mapping[str, str] | None = None,
        *,
        version: str = "1.0",
        variants: Mapping[str, Any] | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> Component:
        """Write a recipe; a file that is text lies in it, one that is a mapping is an entry of `files`."""
        root = self.folder / "repo" / name
        shutil.rmtree(root, ignore_errors=True)
        entries = []
        for path, content in (files or {}).items():
            if isinstance(content, Mapping):
                entries.append({"name": path, **content})
                continue
            place = root / "src" / path
            place.parent.mkdir(parents=True, exist_ok=True)
            data = content.encode() if isinstance(content, str) else content
            place.write_bytes(data)
            if data.startswith(b"#!"):
                place.chmod(0o755)
            digest = hashlib.sha256(data).hexdigest()
            entries.append({"name": path, "path": f"src/{path}", "sha256": digest, "size": len(data)})
        root.mkdir(parents=True, exist_ok=True)
        document: dict[str, Any] = {
            "kind": "package",
            "name": name,
            "version": "1.0.0",
            "summary": f"A test of {name}",
            "license": "Apache-2.0",
            "provides": {"capability": f"lib.{name}", "versions": [version]},
            "install": dict(install),
            **(meta or {}),
        }
        if entries:
            document["files"] = entries
        if variants:
            document["variants"] = dict(variants)
        self.needs[name] = dict(deps or {})
        if deps:
            document["deps"] = {role: {"needs": needs, "for": "build"} for role, needs in deps.items()}
        (root / "cr.json").write_text(json.dumps(document))
        return self.add(root)

    def add(self, root: Path) -> Component:
        """Take a component as it lies in a folder."""
        from codereef.meta.component import read_meta

        component = Component(read_meta(root / "cr.json"), root, component_digest(root), "here")
        self.components[component.name] = component
        self.needs.setdefault(
            component.name, {role: entry["needs"] for role, entry in component.meta.get("deps", {}).items()}
        )
        return component

    def lock(self, *names: str, variants: Mapping[str, str] | None = None) -> tuple[Lock, dict[str, Detected]]:
        """Return the lock of a solution that needs these packages, and what was detected for it."""
        nodes: dict[str, LockedNode] = {}
        bindings: dict[str, Detected] = {}

        def visit(needs: str) -> str:
            name = needs.removeprefix("lib.")
            if name not in self.components:
                item = self.tools.get(needs) or detected(needs, triple=self.triple)
                key = f"{needs}@{item.version}"
                nodes[key] = LockedNode(
                    item.soft,
                    item.digest,
                    item.version,
                    {},
                    "detected",
                    "build",
                    {},
                    needs,
                    dict(item.facts),
                    item.digest,
                )
                bindings[key] = item
                return key
            component = self.components[name]
            version = component.meta["provides"]["versions"][0]
            chosen = {v: entry["default"] for v, entry in component.variants.items()} | dict(variants or {})
            deps = {role: visit(other) for role, other in self.needs[name].items()}
            made = keyed(component, version, chosen, self.target, {role: nodes[key] for role, key in deps.items()})
            key = f"lib.{name}@{version}"
            nodes[key] = LockedNode(
                str(component.reference), component.digest, version, chosen, "install", "run", deps, f"lib.{name}",
                files=made.files, tree=made.tree, install_key=made.key,
            )  # fmt: skip
            return key

        roles = {name: visit(f"lib.{name}") for name in names}
        root = self.folder / "repo" / "s"
        if "s" not in self.components:
            root.mkdir(parents=True, exist_ok=True)
            meta = {
                "kind": "solution",
                "name": "s",
                "version": "1.0.0",
                "summary": "A test solution",
                "license": "Apache-2.0",
                "program": {"needs": "program:p"},
                "actions": {"run": {}},
            }
            (root / "cr.json").write_text(json.dumps(meta))
            self.components["s"] = Component(meta, root, component_digest(root), "here")
        solution = self.components["s"]
        key = "solution:s@1.0.0"
        nodes[key] = LockedNode(str(solution.reference), solution.digest, "1.0.0", {}, "component", "run", roles)
        configuration = LockedConfiguration("default", self.target, {}, key, tuple(nodes))
        lock = Lock("1", "p", str(solution.reference), solution.digest, {}, (configuration,), nodes, {})
        return lock, bindings

    def install(
        self, *names: str, variants: Mapping[str, str] | None = None, options: Options | None = None
    ) -> Installed:
        """Install packages."""
        lock, bindings = self.lock(*names, variants=variants)
        chosen = replace(options or Options(), failures=self.failures)
        return install(lock, self.index, bindings, self.store, self.settings, self.progress, chosen)

    def prefix(self, name: str, **arguments: Any) -> Path:
        """Install a package and return its folder."""
        installed = self.install(name, **arguments)
        return next(path for key, path in installed.folders.items() if key.startswith(f"lib.{name}@"))

    def registered(self) -> list[str]:
        """Installed folders in the store."""
        return sorted(prefix.key for prefix in self.store.ls())


def tree(folder: Path) -> list[str]:
    """The files of an installed folder."""
    return sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if (path.is_file() or path.is_symlink()) and not path.name.startswith(".codereef-prefix")
    )


def sha256(path: Path) -> str:
    return sha256_file(path)


def logs(world: World) -> str:
    """Everything that was logged."""
    return "".join(path.read_text(errors="replace") for path in sorted(world.store.logs.glob("*.log")))


def commands(world: World) -> Sequence[str]:
    """The first line of every log: the command."""
    return [path.read_text(errors="replace").splitlines()[0] for path in sorted(world.store.logs.glob("*.log"))]
