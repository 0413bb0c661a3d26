# SPDX-License-Identifier: Apache-2.0
"""What can stand for a requirement, and what the user asked of the resolver."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from codereef.detect import Detected
from codereef.meta.component import Component
from codereef.meta.selection import configuration_id

Source = Literal["component", "install", "detected", "expected"]
Scope = Literal["run", "build"]

#: The order in which graphs are preferred, stated in every lock; docs/design/0021 tells it at length.
POLICY = (
    "pins, one version of each unless it must be several, fewest optional dependencies left out, "
    "most of what is detected reused, then breadth-first: the provider's preference, stable before pre-release, "
    "newest first, default variants first; then fewest installs, then declared order"
)


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
        source: how it comes to be there; `expected` is software that a detector is hoped to find on a machine
            other than this one.
        version: version of what is provided (of the component itself for `component`); "" where only the other
            machine knows.
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
        if self.source in ("detected", "expected"):
            extra.append(self.source)
        return " ".join(part for part in (self.component.name, self.version) if part) + (
            f" ({', '.join(extra)})" if extra else ""
        )


@dataclass(frozen=True)
class Excluded:
    """A candidate that was left out before solving.

    Attributes:
        label: how people read it.
        reason: why, as the end of the sentence "it cannot be used: …".
        remedy: what would bring it back, or "".
        candidate: the candidate, or None for a whole recipe or component.
        yanked: reference of the component where it is left out because it was withdrawn.
        targets: the targets it is for, where it is left out because this one is not among them.
    """

    label: str
    reason: str
    remedy: str = ""
    candidate: Candidate | None = None
    yanked: str = ""
    targets: tuple[str, ...] = ()


Relation = Literal["needs", "conflict", "handed"]


@dataclass(frozen=True)
class Asked:
    """Why a dependency is there; the engine carries it into its proofs.

    Attributes:
        by: who asks: a component reference, or "you".
        role: the role in its `deps`.
        needs: capability or component asked for; for a query its phrase.
        constraint: version constraint, or "".
        variants: variant values asked for, as `name=value` joined by commas, or ""; the reason of a conflict.
        relation: a requirement, a conflict, or a variant value that is handed on.
        component: `kind:name` of who asks, or "".
        place: the machine it is needed on, where that is not the one the graph is for.
    """

    by: str
    role: str
    needs: str
    constraint: str = ""
    variants: str = ""
    relation: Relation = "needs"
    component: str = ""
    place: str = ""

    @property
    def conflict(self) -> bool:
        """Tell whether it forbids instead of requiring."""
        return self.relation == "conflict"

    @property
    def wanted(self) -> str:
        """What is asked for, for a sentence."""
        version = f", version {self.constraint}" if " " in self.needs else f" {self.constraint}"
        return (
            self.needs
            + (version if self.constraint else "")
            + (f" with {self.variants}" if self.variants else "")
            + (f" on {self.place}" if self.place else "")
        )


@dataclass(frozen=True)
class Circle:
    """Why a choice cannot stand: these need each other in a circle.

    Attributes:
        nodes: what they are, the first once more at the end.
    """

    nodes: tuple[str, ...]
