# SPDX-License-Identifier: Apache-2.0
"""What a machine's facts say to people: processor, cores, memory, system and accelerator.

The facts of a result are open (`machine.class` in the result schema), so each is looked for under the names
that clients use, and left out where none is there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class MachineFacts:
    """A machine class in words and numbers; memory in bytes."""

    label: str
    cpu: str
    arch: str
    os: str
    accelerator: str
    cores: int | None
    memory: int | None


def _find(facts: Mapping[str, Any], *paths: str) -> Any:
    for path in paths:
        value: Any = facts
        for part in path.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        if value not in (None, "", [], {}) and not isinstance(value, Mapping):
            return value
    return None


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_text(item) for item in value)[:200]
    if isinstance(value, Mapping):
        return _text(_find(value, "name", "model", "kind") or "")
    return "" if value is None else " ".join(str(value).split())[:200]


def _number(value: Any) -> int | None:
    return (
        int(value)
        if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < 2**53
        else None
    )


def read_facts(facts: Mapping[str, Any]) -> MachineFacts:
    """Read what a page shows from the facts of a machine class."""
    cpu = (
        _text(_find(facts, "cpu.model", "cpu.name", "cpu_model", "cpu", "processor", "soc"))
        or "unknown processor"
    )
    cores = _number(
        _find(
            facts,
            "cpu.cores",
            "cpu.logical",
            "cores",
            "cpu_cores",
            "cpu.threads",
            "logical_cpus",
            "physical_cores",
        )
    )
    memory = _number(_find(facts, "memory.bytes", "memory_bytes", "memory.total", "memory", "ram_bytes"))
    gib = _number(_find(facts, "memory_gib", "memory.gib"))
    if memory is None and gib is not None:
        memory = gib * 1024**3
    system = " ".join(
        part
        for part in (
            _text(_find(facts, "os.name", "os", "system")),
            _text(_find(facts, "os.version", "os_version")),
        )
        if part
    )
    accelerator = _text(_find(facts, "accelerators", "accelerator", "gpu"))
    arch = _text(_find(facts, "cpu.arch", "arch", "machine"))[:80]
    label = cpu + (f" × {cores}" if cores else "") + (f" + {accelerator}" if accelerator else "")
    return MachineFacts(label[:200], cpu, arch, system[:200], accelerator, cores, memory)
