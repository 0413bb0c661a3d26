# SPDX-License-Identifier: Apache-2.0
"""The names of installed folders: what determines the content of a folder is in its key, and nothing else is.

For data that is checked by digest (files, generated folders) that is the component and its choice of files: the
software that fetched or generated it does not count, so several configurations and environments share it.

For what is built it is the recipe, the version, the variants, the files, the target, the keys of what it is built
with and against, and the compilers. A compiler counts by its version and triple, not by its place: the same
compiler elsewhere builds the same. Tools that only drive a build (cmake, make, ninja, git) do not count: their
upgrade would rebuild everything and change nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from codereef.canonical import digest_of
from codereef.errors import MetadataError
from codereef.lock.model import LockedFile, LockedNode
from codereef.meta.component import Component
from codereef.meta.selection import select
from codereef.solve.candidates import TargetFacts

#: Back-ends whose folder is checked by the digests of its files.
DATA = ("download", "git", "generate")
#: Back-ends that build a folder of their own in the store.
BUILDS = ("cmake", "make", "script", "conda", "spack")


@dataclass(frozen=True)
class Keyed:
    """What a component consists of once it is installed.

    Attributes:
        files: files it is made of.
        tree: expected digest of its folder, or "" where only the installation tells.
        key: name of its folder in the store, or "" where it has none (pip, system).
    """

    files: tuple[LockedFile, ...] = ()
    tree: str = ""
    key: str = ""


def install_method(component: Component) -> str:
    """Return how a component is installed, such as `pip`, `download` or `cmake`; "" for one used as it is."""
    method = component.meta.get("install", {}).get("using", "")
    return str(method) or ("download" if component.kind == "model" else "")


def node_facts(version: str, variants: Mapping[str, str], target: str) -> dict[str, str]:
    """Return the facts that `when` conditions of a node's metadata can ask for."""
    return {**variants, "version": version, **TargetFacts.from_triple(target).facts()}


def keyed(
    component: Component,
    version: str,
    variants: Mapping[str, str],
    target: str,
    deps: Mapping[str, LockedNode],
) -> Keyed:
    """Return files, expected digest and key of a component that is to be installed.

    Args:
        component: the recipe, model or dataset.
        version: version of what it provides.
        variants: its variant values.
        target: triple it is installed for.
        deps: what it depends on, by role; these have their keys already. Used for builds only.

    Raises:
        MetadataError: a generated component declares no digest for these variants.
    """
    method = install_method(component)
    if method not in DATA and method not in BUILDS:
        return Keyed()
    facts = node_facts(version, variants, target)
    files = tuple(LockedFile(f["name"], f["sha256"], f["size"]) for f in select(component.meta.get("files", ()), facts))
    tree = _expected_tree(component, variants, facts) if method == "generate" else ""
    content: dict[str, Any] = {
        "component": component.digest,
        "version": version,
        "variants": dict(variants),
        "files": [f.sha256 for f in files],
        "tree": tree,
    }
    if method in BUILDS:
        # The roles are part of it: a recipe may use one dependency in another way than the next.
        content["target"] = target
        content["deps"] = {role: known for role, node in sorted(deps.items()) if (known := dependency_facts(node))}
    return Keyed(files, tree, f"{component.name}-{version}-{digest_of(content)[7:23]}")


def dependency_facts(node: LockedNode) -> dict[str, Any]:
    """Return what of a dependency determines what is built with it; nothing for a tool that only drives a build."""
    if node.install_key:
        return {"key": node.install_key}
    if node.capability.startswith("compiler."):
        return {"capability": node.capability, "version": node.version, "triple": str(node.facts.get("triple", ""))}
    if node.capability.startswith("tool."):
        return {}
    if node.source == "detected":
        return {"capability": node.capability, "version": node.version, "binary": node.binary}
    return {"component": node.component, "version": node.version, "digest": node.digest}


def _expected_tree(component: Component, variants: Mapping[str, str], facts: Mapping[str, str]) -> str:
    matching = select(component.meta["install"]["digests"], facts)
    if not matching:
        raise MetadataError(
            f"{component.reference} declares no digest for {dict(variants)}.",
            hint="Add it to `install.digests` in its cr.json; what is generated must be checked.",
        )
    return str(matching[0]["tree"])
