# SPDX-License-Identifier: Apache-2.0
"""Resolvers behind one interface: ours, and peers where they are installed.

An adapter is a function that takes a graph and returns a `Prepared`. It imports its package itself, so that a
missing one raises ImportError, which the bench reports.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from .graphs import Graph


@dataclass(frozen=True)
class Prepared:
    """A graph in the form that a solver takes.

    Attributes:
        solve: variable -> candidate, or None for "there is no answer".
        constraints: whether the solver knows constraints; without, it solves an easier problem.
        version: of the solver.
    """

    solve: Callable[[], Mapping[int, int] | None]
    constraints: bool
    version: str


Adapter = Callable[[Graph], Prepared]
