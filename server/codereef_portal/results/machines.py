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
    return int(value) if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < 2**53 else None


def read_facts(facts: Mapping[str, Any]) -> MachineFacts:
    """Read what a page shows from the facts of a machine class.

    A guest of a hypervisor says so in its label: it is another machine than the bare processor of that name.
    """
    board = _text(_find(facts, "board"))
    cpu = _text(_find(facts, "cpu.model", "cpu", "processor")) or "unknown processor"
    cores = _number(_find(facts, "cpu.logical_cores", "cpu.cores", "cores"))
    mebibytes = _number(_find(facts, "memory_mib"))
    hypervisor = _text(_find(facts, "virtualisation.hypervisor"))
    accelerator = _text(_find(facts, "accelerators", "accelerator"))
    label = (f"{board}, " if board else "") + cpu + (f" × {cores}" if cores else "")
    label += (f" + {accelerator}" if accelerator else "") + (f" ({hypervisor})" if hypervisor else "")
    return MachineFacts(
        label=label[:200],
        cpu=cpu,
        arch=_text(_find(facts, "arch", "cpu.arch"))[:80],
        os=_text(_find(facts, "os.name", "os.id", "os")),
        accelerator=accelerator,
        cores=cores if cores is not None and cores < 2**31 else None,
        memory=mebibytes * 1024**2 if mebibytes is not None and mebibytes < 2**40 else None,
    )
