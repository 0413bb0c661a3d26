# SPDX-License-Identifier: Apache-2.0
"""Small worlds of components and detected software, made in memory, for the tests of resolving and locking."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from codereef.canonical import digest_of
from codereef.detect import Detected
from codereef.meta.component import Component
from codereef.meta.schemas import problems
from codereef.repo.index import Index
from codereef.solve.candidates import Request, TargetFacts
from codereef.solve.resolve import Graph, resolve
from codereef.solve.universe import Universe

HOST = "linux-x86_64-gnu"
BOARD = "linux-aarch64-gnu"
SHA = "0" * 64


def component(kind: str, name: str, **meta: Any) -> Component:
    """Return a component that follows its schema."""
    document = {
        "kind": kind,
        "name": name,
        "version": "1.0.0",
        "summary": "A component of a test",
        "license": "MIT",
        **meta,
    }
    assert problems(document, kind) == []
    return Component(document, Path("/nowhere") / name, digest_of(document), "test")


def package(
    name: str,
    capability: str,
    versions: Sequence[str],
    *,
    preference: int = 0,
    requirements: Sequence[str] | None = None,
    **meta: Any,
) -> Component:
    """Return a recipe that installs a Python distribution."""
    return component(
        "package",
        name,
        provides={"capability": capability, "versions": list(versions), "preference": preference},
        install={"using": "pip", "requirements": list(requirements or [name + "=={version}"])},
        **meta,
    )


def program(**meta: Any) -> Component:
    return component("program", "runner", task="object-detection", run={"python": "main.py"}, metrics={}, **meta)


def solution(name: str = "demo", **meta: Any) -> Component:
    return component(
        "solution", name, **{"program": {"needs": "program:runner"}, "deps": {}, "actions": {"run": {}}, **meta}
    )


def dataset(name: str = "pictures", **meta: Any) -> Component:
    return component(
        "dataset",
        name,
        install={"using": "download"},
        annotations={"format": "coco", "images": "images"},
        **{
            "task": "object-detection",
            "files": [{"name": "a.png", "sha256": SHA, "size": 3, "origin": "made for a test"}],
            **meta,
        },
    )


def model(name: str = "net", **meta: Any) -> Component:
    step: dict[str, Any] = {
        "name": "image",
        "type": "image",
        "dtype": "float32",
        "layout": "NHWC",
        "shape": [1, 8, 8, 3],
        "steps": [{"decode": {"color": "RGB"}}],
    }
    return component(
        "model",
        name,
        task="object-detection",
        **{
            "files": [{"name": "net.onnx", "sha256": SHA, "size": 3, "origin": "made for a test"}],
            "runtimes": [{"format": "onnx", "needs": "lib.onnxruntime"}],
            "inputs": [step],
            "outputs": [{"type": "detections", "tensors": {"boxes": "b"}, "steps": [{"nms": {"iou": 0.5, "max": 10}}]}],
            **meta,
        },
    )


def soft(name: str, capability: str) -> Component:
    return component("soft", name, detects=capability, find={"executables": [name]})


def found(
    capability: str,
    version: str,
    soft_name: str,
    *,
    path: str = "",
    python: str = "",
    tool: bool = False,
    salt: str = "",
    facts: Mapping[str, object] | None = None,
) -> Detected:
    """Return something detected; `python` is the interpreter it is installed in."""
    place = path or f"/usr/bin/{soft_name}"
    digest = digest_of([capability, version, soft_name, salt])
    known: dict[str, object] = {"tool": tool} if capability == "compiler.python" else {}
    known.update(facts or {})
    return Detected(
        capability, version, place, f"soft:{soft_name}@1.0.0", digest, known, {"python": python} if python else {}
    )


def universe(
    components: Sequence[Component],
    detected: Sequence[Detected] = (),
    *,
    target: str = HOST,
    request: Request | None = None,
    python: str | None = None,
    **more: Any,
) -> Universe:
    return Universe(
        Index(tuple(components)),
        detected,
        TargetFacts.from_triple(HOST),
        TargetFacts.from_triple(target),
        request or Request(),
        python,
        **more,
    )


def solved(
    components: Sequence[Component],
    detected: Sequence[Detected] = (),
    *,
    variants: Mapping[str, str] | None = None,
    target: str = HOST,
    request: Request | None = None,
    python: str | None = None,
) -> Graph:
    """Resolve the solution of a world with its default variants, or with those given."""
    chosen = next(c for c in components if c.kind == "solution")
    values = {name: entry["default"] for name, entry in chosen.variants.items()}
    values.update(variants or {})
    return resolve(universe(components, detected, target=target, request=request, python=python), chosen, values)


def chosen(graph: Graph) -> dict[str, str]:
    """Return the label of what was chosen, by what it was chosen for."""
    return {node.needs + (" for build" if node.scope == "build" else ""): node.candidate.label for node in graph.nodes}
