# SPDX-License-Identifier: Apache-2.0
"""A detector's `cr.json`, turned into what the search and the probe need."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

DEFAULT_TIMEOUT = 5.0


@dataclass(frozen=True, slots=True)
class Query:
    """A command and the regular expression that reads its output (empty: no expression)."""

    run: tuple[str, ...]
    match: str
    stream: str = "both"


@dataclass(frozen=True, slots=True)
class FactRule:
    """How one fact is had: from a command, from the version's output, or from a program beside it."""

    name: str
    run: tuple[str, ...]
    match: str
    sibling: str
    json: bool


@dataclass(frozen=True, slots=True)
class Detector:
    """One parsed soft component; `digest` covers everything in its `cr.json`."""

    soft: str
    capability: str
    digest: str
    executables: tuple[str, ...]
    env: tuple[str, ...]
    paths: tuple[str, ...]
    distribution: str
    version: Query | None
    accept: Query | None
    facts: tuple[FactRule, ...]
    timeout: float
    targets: tuple[str, ...]


def _strings(value: object) -> tuple[str, ...]:
    return tuple(cast("Sequence[str]", value)) if value else ()


def _query(value: object) -> Query | None:
    if not isinstance(value, Mapping):
        return None
    return Query(_strings(value.get("run")), str(value.get("match", "")), str(value.get("stream", "both")))


def _fact(name: str, value: Mapping[str, object]) -> FactRule:
    return FactRule(
        name,
        _strings(value.get("run")),
        str(value.get("match", "")),
        str(value.get("sibling", "")),
        bool(value.get("json", False)),
    )


def parse(soft: Mapping[str, object]) -> Detector:
    """Return the detector described by a validated `cr.json` of kind soft."""
    find = cast("Mapping[str, object]", soft["find"])
    facts = cast("Mapping[str, Mapping[str, object]]", soft.get("facts") or {})
    text = json.dumps(soft, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return Detector(
        soft=f"soft:{soft['name']}@{soft['version']}",
        capability=str(soft["detects"]),
        digest=hashlib.sha256(text.encode()).hexdigest(),
        executables=_strings(find.get("executables")),
        env=_strings(find.get("env")),
        paths=_strings(find.get("paths")),
        distribution=str(find.get("python_distribution", "")),
        version=_query(soft.get("version_query")),
        accept=_query(soft.get("accept")),
        facts=tuple(_fact(name, facts[name]) for name in facts),
        timeout=float(cast("float", soft.get("timeout", DEFAULT_TIMEOUT))),
        targets=_strings(soft.get("targets")),
    )
