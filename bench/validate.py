# SPDX-License-Identifier: Apache-2.0
"""Validating 2,000 components, beside jsonschema (the reference) and jsonschema-rs (Rust), in CPU seconds.

All three get the same documents, of 2.3 kB each, and say the same of each of them. Schemas are compiled before.
"""

from __future__ import annotations

import copy
import json
import statistics
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import jsonschema_rs
from codereef.embedded import data_root
from codereef.meta.schemas import SCHEMA_NAMES, follows, load_schema
from codereef.repo.index import component_folders
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

COUNT, BYTES, RUNS = 2000, 2300, 5
GOAL_SECONDS = 0.1


def documents() -> list[dict[str, Any]]:
    """Return components like those we publish, each made 2.3 kB long by its description; one in ten has a slip."""
    real = [json.loads((folder / "cr.json").read_bytes()) for folder in component_folders(data_root())]
    found = []
    for number in range(COUNT):
        document = copy.deepcopy(real[number % len(real)])
        room = BYTES - len(json.dumps(document, indent=2))
        document["description"] = document.get("description", "") + " Words." * max(0, room // 7)
        if number % 10 == 9:
            document["sumary"] = document.pop("summary")
        found.append(document)
    return found


def validators() -> dict[str, Callable[[dict[str, Any]], bool]]:
    """Return each validator by name, with every schema compiled."""
    schemas = {name: load_schema(name) for name in SCHEMA_NAMES}
    resources = [(schema["$id"], Resource.from_contents(schema)) for schema in schemas.values()]
    registry: Any = Registry().with_resources(resources)
    theirs = {name: Draft202012Validator(schema, registry=registry) for name, schema in schemas.items()}
    known = jsonschema_rs.Registry([(schema["$id"], schema) for schema in schemas.values()])
    rust = {name: jsonschema_rs.validator_for(schema, registry=known) for name, schema in schemas.items()}
    for name in SCHEMA_NAMES:
        follows({}, name)
    return {
        "codereef": lambda document: follows(document, document["kind"]),
        f"jsonschema {version('jsonschema')}": lambda document: theirs[document["kind"]].is_valid(document),
        f"jsonschema-rs {version('jsonschema-rs')}": lambda document: rust[document["kind"]].is_valid(document),
    }


def main() -> int:
    """Measure and print; the exit code is 1 when the goal is missed."""
    found, every = documents(), validators()
    size = sum(len(json.dumps(document, indent=2)) for document in found) / COUNT
    times: dict[str, list[float]] = {name: [] for name in every}
    verdicts: dict[str, list[bool]] = {}
    for _ in range(RUNS):
        for name, valid in every.items():
            started = time.process_time()
            verdicts[name] = [valid(document) for document in found]
            times[name].append(time.process_time() - started)
    assert all(verdict == verdicts["codereef"] for verdict in verdicts.values()), "they disagree"
    print(f"{COUNT} components of {size:.0f} bytes, median of {RUNS} interleaved runs, Python {sys.version.split()[0]}")
    own = statistics.median(times["codereef"])
    for name, taken in times.items():
        print(f"{name:24} {statistics.median(taken) * 1e3:8.1f} ms cpu   {own / statistics.median(taken):.3f} x")
    print(f"goal {GOAL_SECONDS * 1e3:g} ms: {'met' if own <= GOAL_SECONDS else 'MISSED'}")
    return 0 if own <= GOAL_SECONDS else 1


if __name__ == "__main__":
    sys.exit(main())
