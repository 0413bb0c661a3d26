# SPDX-License-Identifier: Apache-2.0
"""The classic mistakes around a model, derived from its manifest.

Each is what people really do wrong when they write the pre- or post-processing by hand (the MLModelScope paper has
a table of some of them): one change of the declared steps, everything else stays as declared. Where the vocabulary of
steps can say it, it is said with it; where not, with a step of `codereef.bench.pitfall_steps`, whose names begin with
`pitfall-`.

Nothing is measured here; `codereef.bench.pitfalls_run` does that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from codereef.bench.pitfalls_in import input_changes
from codereef.bench.pitfalls_out import output_changes
from codereef.bench.request import InputSpec, OutputSpec
from codereef.bench.step_changes import Change


@dataclass(frozen=True)
class Pitfall:
    """One mistake.

    Attributes:
        name: short name, such as `bgr-for-rgb`.
        summary: what is done wrong, a sentence for people.
        stage: the step that is done wrong: decode, crop, resize, normalize, quantize, layout, boxes or labels.
        inputs: all inputs of the model, with the steps as the mistake has them.
        outputs: all outputs, likewise.
    """

    name: str
    summary: str
    stage: str
    inputs: tuple[InputSpec, ...]
    outputs: tuple[OutputSpec, ...]


def derive(inputs: Sequence[InputSpec], outputs: Sequence[OutputSpec]) -> tuple[Pitfall, ...]:
    """The mistakes that can be made with these inputs and outputs, in the order of the processing.

    A mistake is left out where it would change nothing: a model that takes 0..1 has no mistake of that range.
    Those that come to the same arithmetic are given once.

    Args:
        inputs: the manifest's inputs; those that are not images are left as they are.
        outputs: the manifest's outputs.
    """
    classifies = any(output.type == "classification" for output in outputs)
    before = [list(input_changes(spec, classifies)) if spec.type == "image" else [] for spec in inputs]
    after = [list(output_changes(spec)) for spec in outputs]
    found: dict[str, Pitfall] = {}
    for changes in before + after:
        for change in changes:
            found.setdefault(
                change.name, Pitfall(change.name, change.summary, change.stage, tuple(inputs), tuple(outputs))
            )
    for name, pitfall in found.items():
        found[name] = replace(
            pitfall,
            inputs=tuple(_applied(spec, changes, name) for spec, changes in zip(inputs, before)),
            outputs=tuple(_applied(spec, changes, name) for spec, changes in zip(outputs, after)),
        )
    return tuple(found.values())


def _applied(spec: Any, changes: Sequence[Change], name: str) -> Any:
    steps = next((change.steps for change in changes if change.name == name), None)
    return spec if steps is None else replace(spec, steps=steps)
