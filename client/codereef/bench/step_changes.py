# SPDX-License-Identifier: Apache-2.0
"""One change of the steps of a manifest, and what it takes to make it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Optional

Step = Mapping[str, Any]
Steps = tuple[Step, ...]


@dataclass(frozen=True)
class Change:
    """A mistake in one input or output.

    Attributes:
        name: short name, such as `bgr-for-rgb`.
        summary: what is done wrong, a sentence for people.
        stage: the step that is done wrong.
        steps: all steps, as the mistake has them.
    """

    name: str
    summary: str
    stage: str
    steps: Steps


def name_of(step: Step) -> str:
    """The name of a step."""
    return next(iter(step))


def first(steps: Steps, name: str) -> Optional[int]:
    """The place of the first step of that name, or None."""
    return next((i for i, step in enumerate(steps) if name_of(step) == name), None)


def with_step(steps: Steps, place: int, *new: Step) -> Steps:
    """The steps with `new` in place of one of them."""
    return (*steps[:place], *new, *steps[place + 1 :])


def but(step: Step, **changed: Any) -> Step:
    """The step with some arguments changed."""
    name, values = next(iter(step.items()))
    return {name: {**values, **changed}}
