# SPDX-License-Identifier: Apache-2.0
"""The engine's own incompatibilities, and how a chain of them becomes a proof for readers.

Inside the engine a *state* of a variable with `n` candidates is one of `n + 1` bits: bit `i` for candidate
`i`, and the highest bit, `n`, for "unselected". A term is a set of states, so positive and negative terms
are handled alike.
"""

from __future__ import annotations

from collections.abc import Sequence

from codereef.solve.derivation import Derived, External, Kind, Node, Term
from codereef.solve.terms import Clause, Dependency


class Incompatibility:
    """Terms that must never hold all together, with where that comes from.

    Attributes:
        terms: (engine variable, set of states) pairs, each variable at most once.
        owner: engine variable whose candidates have `dependency`, or -1 for a root or a learned one.
        dependers: mask of those candidates.
        dependency: the fact that this states, or None for a learned one.
        clause: the fact that this states if it is no dependency.
        chain: for a learned one, the resolution steps: the first item is the conflict (its pivot is -1), and
            each further (pivot, incompatibility) is resolved with the result so far.
        wider: an incompatibility that says the same of more candidates of `owner`, if there is one.
        literals: for a learned one with three or more terms, (variable, states outside the term); the first
            two are watched and the order changes during the search.
    """

    __slots__ = ("chain", "clause", "dependency", "dependers", "literals", "owner", "terms", "wider")

    def __init__(
        self,
        terms: tuple[tuple[int, int], ...],
        *,
        owner: int = -1,
        dependers: int = 0,
        dependency: Dependency | None = None,
        clause: Clause | None = None,
        chain: tuple[tuple[int, Incompatibility], ...] = (),
    ) -> None:
        self.terms = terms
        self.owner = owner
        self.dependers = dependers
        self.dependency = dependency
        self.clause = clause
        self.chain = chain
        self.wider: Incompatibility | None = None
        self.literals: list[tuple[int, int]] = []


def build_derivation(root: Incompatibility, names: Sequence[int], unselected: Sequence[int]) -> Node:
    """Return the proof of `root` as nodes over the problem's own variables.

    Args:
        root: the incompatibility to prove.
        names: engine variable -> the problem's variable.
        unselected: engine variable -> the bit of its unselected state.
    """
    index = {name: variable for variable, name in enumerate(names)}
    built: dict[int, Node] = {}
    stack = [root]
    while stack:
        current = stack[-1]
        if id(current) in built:
            stack.pop()
            continue
        missing = [part for _, part in current.chain if id(part) not in built]
        if missing:
            stack.extend(missing)
            continue
        stack.pop()
        if current.clause is not None:
            built[id(current)] = _stated(current.clause, _readable(current.terms, names, unselected))
        elif current.dependency is not None:
            target = index[current.dependency.variable]
            kind: Kind = "root" if current.owner < 0 else "dependency"
            if current.dependency.required and not current.dependency.allowed & (unselected[target] - 1):
                kind = "empty"
            built[id(current)] = External(
                _readable(current.terms, names, unselected),
                kind,
                None if current.owner < 0 else names[current.owner],
                current.dependers,
                current.dependency,
            )
        else:
            built[id(current)] = _replay(current, built, names, unselected)
    return built[id(root)]


def _stated(clause: Clause, terms: tuple[Term, ...]) -> External:
    """Return the node of a clause; its `dependency` makes it readable as a conflict of its first and last."""
    variable, dependers = clause.terms[0]
    last, forbidden = clause.terms[-1]
    return External(terms, "clause", variable, dependers, Dependency(last, ~forbidden, False, clause.reason), clause)


def _readable(terms: Sequence[tuple[int, int]], names: Sequence[int], unselected: Sequence[int]) -> tuple[Term, ...]:
    """Turn sets of states into (variable, mask of candidates, positive)."""
    readable: list[Term] = []
    for variable, states in terms:
        absent = unselected[variable]
        if states & absent:
            readable.append((names[variable], (absent - 1) & ~states, False))
        else:
            readable.append((names[variable], states, True))
    return tuple(readable)


def _replay(learned: Incompatibility, built: dict[int, Node], names: Sequence[int], unselected: Sequence[int]) -> Node:
    """Redo the resolution steps of `learned`, making a node of each."""
    conflict = learned.chain[0][1]
    node = built[id(conflict)]
    terms = dict(conflict.terms)
    for pivot, cause in learned.chain[1:]:
        resolve(terms, cause, pivot, unselected[pivot])
        node = Derived(_readable(tuple(terms.items()), names, unselected), names[pivot], node, built[id(cause)])
    return node


def resolve(terms: dict[int, int], cause: Incompatibility, pivot: int, absent: int) -> None:
    """Resolve `terms` with `cause` on `pivot` in place; `absent` is the pivot's unselected bit."""
    for variable, states in cause.terms:
        mine = terms.get(variable)
        if variable == pivot:
            union = states | terms[pivot]
            if union == 2 * absent - 1:
                del terms[pivot]
            else:
                terms[pivot] = union
        else:
            terms[variable] = states if mine is None else mine & states
