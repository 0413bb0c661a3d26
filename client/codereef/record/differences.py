# SPDX-License-Identifier: Apache-2.0
"""What is not the same in two results: why they are not on one ranking, and what differs in all that made them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Difference:
    """Something that is not the same in A and B."""

    what: str
    a: str
    b: str


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key in sorted(value):
            yield from _flat(value[key], f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(value, (list, tuple)):
        yield prefix, ", ".join(map(str, value))
    else:
        yield prefix, str(value)


def changes(prefix: str, a: Any, b: Any) -> Iterator[Difference]:
    """Yield what differs in two pieces of JSON data, by the path of each value; a dash where there is none."""
    left, right = dict(_flat(a)), dict(_flat(b))
    for key in sorted(set(left) | set(right)):
        if left.get(key) != right.get(key):
            yield Difference(f"{prefix} {key}".strip(), left.get(key, "–"), right.get(key, "–"))


def unlike(a: Mapping[str, Any], b: Mapping[str, Any], effort: Collection[str] = ()) -> tuple[str, ...]:
    """Return why two results are not on one ranking; nothing when they are.

    Args:
        a, b: the result documents.
        effort: options that only say how long and how often is measured, where the program is known. Without
            it every option that differs is listed.
    """
    if a["comparability"] == b["comparability"]:
        return ()
    reasons = [
        f"{key} is {a[key]} in A and {b[key]} in B" for key in ("model", "dataset", "scenario") if a[key] != b[key]
    ]
    reasons += [
        f"option {d.what} is {d.a} in A and {d.b} in B"
        for d in changes("", a["options"], b["options"])
        if d.what not in effort
    ]
    programs = [sorted(c.split("@")[0] for c in d["components"] if c.startswith("program:")) for d in (a, b)]
    if programs[0] != programs[1]:
        reasons.append(f"program is {', '.join(programs[0])} in A and {', '.join(programs[1])} in B")
    return tuple(reasons) or (
        "the files of the model or the dataset, its processing or the way of measuring are not the same",
    )


def differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> tuple[Difference, ...]:
    """Return what differs in configuration, graph, options, load, steps and machine of two result documents."""
    return (
        *changes(
            "",
            {"configuration": a["configuration"]["id"], "runtime": a["runtime"]},
            {"configuration": b["configuration"]["id"], "runtime": b["runtime"]},
        ),
        *changes("graph", _graph(a), _graph(b)),
        *changes("option", a["options"], b["options"]),
        *changes("load", _load(a), _load(b)),
        *changes("step", _steps(a), _steps(b)),
        *changes("machine", a["machine"]["class"], b["machine"]["class"]),
    )


def _graph(document: Mapping[str, Any]) -> dict[str, str]:
    lock = document["lock"]
    nodes = {
        node.get("capability") or node["component"].split("@")[0]: _node_text(node) for node in lock["nodes"].values()
    }
    for environment in lock["environments"].values():
        nodes.update({f"distribution {d['name']}": d["version"] for d in environment["distributions"]})
    return nodes


def _node_text(node: Mapping[str, Any]) -> str:
    variants = ",".join(f"{k}={v}" for k, v in sorted(node["variants"].items()))
    return (
        f"{node['version']}{f' ({variants})' if variants else ''}"
        + (" detected" if node["source"] == "detected" else "")
        + f" {node['digest'][7:15]}"
    )


def _load(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return what sent the queries and with which settings; how many they became is an outcome."""
    load = document.get("load") or {}
    return {key: load[key] for key in ("driver", "version", "settings", "valid") if key in load}


def _steps(document: Mapping[str, Any]) -> dict[str, str]:
    """Return the implementation of every step by its place, side and name."""
    return {
        f"{number} {stage['side']} {stage['step']}": f"{stage['implementation']} {stage.get('version', '')}".strip()
        for number, stage in enumerate(document.get("stages") or (), 1)
    }
