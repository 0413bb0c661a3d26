# SPDX-License-Identifier: Apache-2.0
"""The request a program is handed: one JSON file, `codereef-request/1` (docs/formats/program-contract.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codereef.embedded import package_root
from codereef.errors import MetadataError
from codereef.install.execute import Installed, component_of
from codereef.lock.build import node_facts
from codereef.lock.model import Lock, LockedConfiguration
from codereef.meta.component import Component
from codereef.meta.selection import select
from codereef.repo.index import Index


@dataclass(frozen=True)
class Parts:
    """The components of one configuration, by what they do.

    Attributes:
        solution: what the user named.
        program: what is run.
        model: what is measured.
        dataset: what it is measured on.
        model_variants: variant values of the model.
        dataset_variants: variant values of the dataset.
        program_id, model_id, dataset_id: their node ids.
    """

    solution: Component
    program: Component
    model: Component
    dataset: Component
    model_variants: Mapping[str, str]
    dataset_variants: Mapping[str, str]
    program_id: str
    model_id: str
    dataset_id: str

    @property
    def precision(self) -> str:
        """Numeric precision of the model: its variant, else what it declares."""
        return str(self.model_variants.get("precision", self.model.meta.get("precision", "")))


def parts_of(lock: Lock, configuration: LockedConfiguration, index: Index) -> Parts:
    """Find the program, the model and the dataset of a configuration.

    Raises:
        MetadataError: the solution has no dependency in the role `model` or `data`.
    """
    root = lock.nodes[configuration.root]
    for role in ("model", "data"):
        if role not in root.deps:
            raise MetadataError(
                f"{root.component} has no dependency in the role `{role}`.", hint=f'Its `deps` must have "{role}".'
            )
    program, model, dataset = root.deps["program"], root.deps["model"], root.deps["data"]
    return Parts(
        component_of(root, index),
        component_of(lock.nodes[program], index),
        component_of(lock.nodes[model], index),
        component_of(lock.nodes[dataset], index),
        lock.nodes[model].variants,
        lock.nodes[dataset].variants,
        program,
        model,
        dataset,
    )


def build_request(
    lock: Lock,
    configuration: LockedConfiguration,
    parts: Parts,
    installed: Installed,
    action: str,
    options: Mapping[str, Any],
    output: Path,
    scenario: str = "single-stream",
    process: tuple[int, int] | None = None,
    turn_seconds: float | None = None,
) -> dict[str, Any]:
    """Return the request for one process of a run.

    Args:
        lock: the graph.
        configuration: the one to run.
        parts: its components.
        installed: where everything is.
        action: `run`, `benchmark`, `validate` or `pitfalls`.
        options: options in force.
        output: existing, empty folder for the program's files.
        scenario: load pattern; handed on to programs that declare `scenarios`.
        process: which of how many processes it is, from 0; None where there is one.
        turn_seconds: length of a turn, where it runs in turns with other processes.

    Raises:
        MetadataError: the model's metadata leave no file or no runtime for this choice of variants.
    """
    facts = node_facts(lock.nodes[parts.model_id].version, parts.model_variants, configuration.target)
    meta = parts.model.meta
    files = [f for f in select(meta["files"], facts) if f.get("role", "model") == "model"]
    runtimes = select(meta["runtimes"], facts)
    if not files or not runtimes:
        raise MetadataError(
            f"{parts.model.reference} has no {'file' if not files else 'runtime'} for {dict(parts.model_variants)}.",
            hint="Its `files` and `runtimes` must have an entry whose `when` holds.",
        )
    annotations = dict(parts.dataset.meta["annotations"])
    return {
        "format": "codereef-request/1",
        "action": action,
        # A program from before there was this key refuses it, and one without `scenarios` has a load of its own.
        **({"scenario": scenario} if "scenarios" in parts.program.meta else {}),
        "harness": str(package_root()),
        "model": {
            "ref": str(parts.model.reference),
            "dir": str(installed.folders[parts.model_id]),
            "file": files[0]["name"],
            "format": runtimes[0]["format"],
            "manifest": {"inputs": select(meta["inputs"], facts), "outputs": select(meta["outputs"], facts)},
        },
        "dataset": {
            "ref": str(parts.dataset.reference),
            "dir": str(installed.folders[parts.dataset_id]),
            "annotations": annotations,
        },
        "runtime": {"threads": options.get("threads", 1)},
        "options": {key: value for key, value in options.items() if key != "threads"},
        "output": str(output),
        **({} if process is None else {"process": {"index": process[0], "count": process[1]}}),
        **({} if turn_seconds is None else {"turns": {"seconds": turn_seconds}}),
    }
