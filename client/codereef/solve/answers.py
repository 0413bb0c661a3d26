# SPDX-License-Identifier: Apache-2.0
"""What the resolver engine answers: a solution, or the proof that there is none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from codereef.errors import ResolutionError
from codereef.solve.derivation import Node


@dataclass(frozen=True, slots=True)
class Statistics:
    """How much work a solve took.

    Attributes:
        decisions: candidates chosen, including those taken back.
        conflicts: dead ends met.
        learned: incompatibilities derived from them.
        propagations: times that a variable's set of candidates shrank.
        variables: variables met.
        loaded: (variable, candidate) pairs whose dependencies were asked for.
    """

    decisions: int = 0
    conflicts: int = 0
    learned: int = 0
    propagations: int = 0
    variables: int = 0
    loaded: int = 0


@dataclass(frozen=True, slots=True)
class Solution:
    """An answer: exactly the variables that the roots reach through required dependencies.

    Attributes:
        selected: variable -> candidate, in breadth-first order from the roots.
        statistics: the work done.
        optimal: True if it is proven that no answer costs less (see `codereef.solve.optimise.cost`); False
            if nothing was proven, because nobody asked or because the bound on the effort was reached.
    """

    selected: Mapping[int, int]
    statistics: Statistics
    optimal: bool = False


@dataclass(frozen=True, slots=True)
class NoSolution:
    """A proof that there is no answer.

    Attributes:
        derivation: root of a directed acyclic graph of nodes; its `terms` are empty.
        statistics: the work done.
    """

    derivation: Node
    statistics: Statistics


class StepLimitError(ResolutionError):
    """The search was stopped by `max_steps` before it found an answer or a proof."""

    code = "resolution-step-limit"
