# SPDX-License-Identifier: Apache-2.0
"""Proofs that a resolution is impossible: nodes, and ways to read them.

A node states an *incompatibility*: its terms must never hold all together. An external node is a fact of
the problem (a dependency, a root requirement); a derived node follows from its two parents by resolution on
one variable, the *pivot*: the pivot's terms are united, the terms of every other variable are intersected,
and a term that always holds is dropped. A node without terms is a contradiction, hence a proof. The rule is
the one of PubGrub (N. Weizenbaum, "PubGrub: Next-Generation Version Solving", 2018).

Proofs are graphs with shared nodes and can be thousands of nodes deep, so nodes compare by identity and
everything here walks with its own stack.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from codereef.solve.terms import Clause, Dependency

#: (variable, mask of candidates, positive). Positive: the variable is selected, with a candidate in the
#: mask. Negative: it is unselected, or selected with a candidate outside the mask.
Term = tuple[int, int, bool]

Kind = Literal["root", "dependency", "empty", "clause"]


@dataclass(frozen=True, slots=True, eq=False)
class External:
    """A fact of the problem.

    Attributes:
        terms: what must not hold all together.
        kind: "root" for a root requirement or constraint, "dependency" for one of a candidate, "empty" when
            a required dependency (of a root or of candidates) allows no candidate at all, "clause" for a fact
            that `lazy` stated about whole answers.
        variable: the variable that depends, None for a root; of a clause the first variable.
        dependers: mask of the candidates of `variable` that share the dependency; 0 for a root; of a clause
            the mask of its first term.
        dependency: what is asked for; of a clause, a constraint on the variable of its last term with the
            reason of the clause, so that it reads like a conflict between the two.
        clause: the whole clause where `kind` is "clause", otherwise None.
    """

    terms: tuple[Term, ...]
    kind: Kind
    variable: int | None
    dependers: int
    dependency: Dependency
    clause: Clause | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Derived:
    """A consequence of two other nodes.

    Attributes:
        terms: what must not hold all together.
        pivot: the variable that the parents were resolved on.
        first: a parent.
        second: the other parent.
    """

    terms: tuple[Term, ...]
    pivot: int
    first: Node = field(repr=False)
    second: Node = field(repr=False)


Node = External | Derived


def nodes_bottom_up(derivation: Node) -> Iterator[Node]:
    """Yield every node of `derivation` once, parents (the premises) before what is derived from them."""
    done: set[int] = set()
    stack: list[tuple[Node, bool]] = [(derivation, False)]
    while stack:
        node, expanded = stack.pop()
        if id(node) in done:
            continue
        if expanded or isinstance(node, External):
            done.add(id(node))
            yield node
        else:
            stack.append((node, True))
            stack.append((node.second, False))
            stack.append((node.first, False))


def external_causes(derivation: Node) -> tuple[External, ...]:
    """Return the facts that `derivation` rests on, each once, in the order a depth-first reader meets them."""
    return tuple(node for node in nodes_bottom_up(derivation) if isinstance(node, External))
