# SPDX-License-Identifier: Apache-2.0
"""A checker of the engine's proofs that shares nothing with the engine but the form of a proof."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from codereef.solve.engine import Dependency, Derived, External, Node, nodes_bottom_up


def check_proof(problem: Any, roots: Sequence[Dependency], derivation: Node, *, lazy_facts: bool = False) -> None:
    """Raise unless every step is the resolution of its parents and every fact is one of the problem.

    Args:
        problem: has `counts` and `needs`, by variable and by (variable, candidate).
        roots: what was asked.
        derivation: the proof.
        lazy_facts: whether clauses may occur; what they say is up to the caller.
    """

    def states(term: tuple[int, int, bool]) -> int:
        variable, mask, positive = term
        return mask if positive else (2 << problem.counts[variable]) - 1 & ~mask

    def stated(terms: Sequence[tuple[int, int, bool]]) -> dict[int, int]:
        return {term[0]: states(term) for term in terms}

    present = [(1 << count) - 1 for count in problem.counts]
    assert derivation.terms == ()
    for node in nodes_bottom_up(derivation):
        if isinstance(node, Derived):
            first, second = stated(node.first.terms), stated(node.second.terms)
            assert node.pivot in first and node.pivot in second
            expected = {}
            for variable in first | second:
                everything = (2 << problem.counts[variable]) - 1
                if variable == node.pivot:
                    expected[variable] = first[variable] | second[variable]
                else:
                    expected[variable] = first.get(variable, everything) & second.get(variable, everything)
            if expected[node.pivot] == (2 << problem.counts[node.pivot]) - 1:
                del expected[node.pivot]
            assert stated(node.terms) == expected
            continue
        assert isinstance(node, External)
        if node.clause is not None:
            assert node.kind == "clause" and lazy_facts
            assert stated(node.terms) == {variable: mask & present[variable] for variable, mask in node.clause.terms}
            continue
        # The terms say what the fact says: whoever depends, and the target outside what is allowed.
        target = node.dependency.variable
        bad = present[target] & ~node.dependency.allowed
        if node.dependency.required:
            bad |= present[target] + 1
        said = {target: bad}
        if node.variable is None:
            assert node.dependency in roots
        else:
            shared = [
                node.dependency in problem.needs.get((node.variable, candidate), ())
                for candidate in range(problem.counts[node.variable])
            ]
            assert node.dependers == sum(1 << place for place, has in enumerate(shared) if has)
            said[node.variable] = bad & node.dependers if target == node.variable else node.dependers
        said = {variable: mask for variable, mask in said.items() if mask != 2 * present[variable] + 1}
        assert stated(node.terms) == said
