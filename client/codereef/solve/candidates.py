# SPDX-License-Identifier: Apache-2.0
"""What can stand for a requirement, and what the user asked of the resolver."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from codereef.detect import Detected
from codereef.meta.component import Component
from codereef.meta.selection import configuration_id

Source = Literal["component", "install", "detected"]
Scope = Literal["run", "build"]

#: The order in which candidates are preferred, stated in every lock.
POLICY = "detected before installed, then the provider's preference, stable before pre-release, newest first, default variants first"


@dataclass(frozen=True)
class TargetFacts:
    """The machine a graph is for.

    Attributes:
        triple: `linux-x86_64-gnu` and the like.
        os: operating system.
        arch: processor architecture.
        abi: C library or ABI, or "".
    """

    triple: str
    os: str
    arch: str
    abi: str = ""

    @staticmethod
    def from_triple(triple: str) -> TargetFacts:
        """Read the parts of a triple."""
        parts = triple.split("-")
        return TargetFacts(triple, parts[0], parts[1] if len(parts) > 1 else "", parts[2] if len(parts) > 2 else "")

    def facts(self) -> dict[str, str]:
        """Return the facts that conditions can ask for."""
        return {"target.triple": self.triple, "target.os": self.os, "target.arch": self.arch, "target.abi": self.abi}


@dataclass(frozen=True)
class Request:
    """What the user asks of the resolver besides the solution.

    Attributes:
        pins: by capability or component: a version constraint, or the component that must provide it.
        forbid: components and capabilities' providers that must not be used, such as `package:x` or `soft:gcc`.
        install: capabilities to install although the machine has them; `*` for all that can be.
    """

    pins: Mapping[str, str] = field(default_factory=dict)
    forbid: tuple[str, ...] = ()
    install: tuple[str, ...] = ()

    def as_document(self) -> dict[str, Any]:
        """Return it as the lock keeps it; what was not asked for is left out."""
        entries = {"pins": dict(self.pins), "forbid": list(self.forbid), "install": list(self.install)}
        return {key: value for key, value in entries.items() if value}

    @staticmethod
    def from_document(asked: Mapping[str, Any]) -> Request:
        """Return what a lock keeps."""
        return Request(dict(asked.get("pins", {})), tuple(asked.get("forbid", ())), tuple(asked.get("install", ())))


@dataclass(frozen=True, eq=False)
class Candidate:
    """One way to meet a requirement.

    Attributes:
        component: the component used as it is, the recipe, or the detector.
        source: how it comes to be there.
        version: version of what is provided (of the component itself for `component`).
        variants: the component's variant values.
        detected: what was found, for `detected`.
    """

    component: Component
    source: Source
    version: str
    variants: Mapping[str, str]
    detected: Detected | None = None

    @property
    def label(self) -> str:
        """How people read it: `onnxruntime-wheel 1.31.1`, `gcc 12.2.0 (detected)`, `shapes-ssd 1.0.0 (format=onnx)`."""
        extra = [configuration_id(self.variants)] if self.variants else []
        if self.source == "detected":
            extra.append("detected")
        return f"{self.component.name} {self.version}" + (f" ({', '.join(extra)})" if extra else "")


@dataclass(frozen=True)
class Excluded:
    """A candidate that was left out before solving.

    Attributes:
        label: how people read it.
        reason: why, as the end of the sentence "it cannot be used: …".
        remedy: what would bring it back, or "".
        candidate: the candidate, or None for a whole recipe or component.
    """

    label: str
    reason: str
    remedy: str = ""
    candidate: Candidate | None = None


@dataclass(frozen=True)
class Asked:
    """Why a dependency is there; the engine carries it into its proofs.

    Attributes:
        by: who asks: a component reference, or "you".
        role: the role in its `deps`.
        needs: capability or component asked for.
        constraint: version constraint, or "".
        variants: variant values asked for, as `name=value` joined by commas, or "".
        conflict: True for a conflict instead of a requirement.
    """

    by: str
    role: str
    needs: str
    constraint: str = ""
    variants: str = ""
    conflict: bool = False

    @property
    def wanted(self) -> str:
        return (
            self.needs
            + (f" {self.constraint}" if self.constraint else "")
            + (f" with {self.variants}" if self.variants else "")
        )
