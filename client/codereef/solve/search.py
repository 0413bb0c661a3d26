# SPDX-License-Identifier: Apache-2.0
"""The best answer in the whole order: one version of each, fewest optional dependencies left out, then the rest.

`codereef.solve.optimise` knows the rest of the order (reuse, newest, fewest installs). The first two criteria
are a matter of which graph is searched at all, so they are settled here, by searching the stricter one first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush

from codereef.solve.answers import NoSolution, Solution
from codereef.solve.candidates import Asked, Scope
from codereef.solve.circles import lazy
from codereef.solve.derivation import external_causes
from codereef.solve.engine import solve
from codereef.solve.optimise import optimise
from codereef.solve.terms import Clause, Dependency
from codereef.solve.universe import Universe

MAX_STEPS = 2_000_000
#: How many combinations of duplicated capabilities are tried; each but the last is ruled out by a proof.
MAX_COMBINATIONS = 200
#: The same where it is only tried whether a change would help.
FEW_COMBINATIONS = 6

_Copies = tuple[tuple[str, Scope], ...]
_MakeRoot = Callable[[Universe], Dependency]


@dataclass(frozen=True)
class Found:
    """A solved universe: the one it was, in which some capabilities may have several copies, and the answer."""

    universe: Universe
    roots: tuple[Dependency, ...]
    solution: Solution


@dataclass(frozen=True)
class Impossible:
    """The proof that there is no answer with one version of each, and what it is about."""

    universe: Universe
    roots: tuple[Dependency, ...]
    proof: NoSolution


def feasible(
    universe: Universe, roots: Sequence[Dependency], root: int, *, max_steps: int = MAX_STEPS
) -> Solution | NoSolution:
    """Return some answer without circles, or the proof that there is none.

    Args:
        universe: what is solved.
        roots: requirements of the user.
        root: the solution's variable.
        max_steps: upper bound on decisions plus conflicts of each try.

    Raises:
        StepLimitError: `max_steps` was reached first.
    """
    clauses: list[Clause] = []
    check = lazy(universe, root)
    while True:
        answer = solve(universe, roots, max_steps=max_steps, clauses=clauses)
        if isinstance(answer, NoSolution):
            return answer
        found = check(answer.selected)
        if not found:
            return answer
        clauses.extend(found)


def possible(
    universe: Universe, make_root: _MakeRoot, *, max_steps: int = MAX_STEPS
) -> tuple[Universe, Solution | NoSolution]:
    """Return some answer and its universe, with as few versions as possible, or the first proof.

    Args:
        universe: everything there is, for one target.
        make_root: makes the requirement that stands for the user's wish, in a universe.
        max_steps: upper bound on decisions plus conflicts of each try.

    Raises:
        StepLimitError: the bound was reached first.
    """
    proof: Impossible | None = None
    for current in _universes(universe, make_root, max_steps, FEW_COMBINATIONS):
        if isinstance(current, Found):
            return current.universe, current.solution
        proof = proof or current
    assert proof is not None
    return universe, proof.proof


def best(universe: Universe, make_root: _MakeRoot, *, max_steps: int = MAX_STEPS) -> Found | Impossible:
    """Return the best answer in the documented order, or the proof that there is none.

    Args:
        universe: everything there is, for one target.
        make_root: makes the requirement that stands for the user's wish, in a universe.
        max_steps: upper bound on decisions plus conflicts of each try.

    Raises:
        StepLimitError: the bound was reached first.
    """
    one_each: Impossible | None = None
    for current in _universes(universe, make_root, max_steps, MAX_COMBINATIONS):
        if isinstance(current, Impossible):
            one_each = one_each or current
            continue
        left_out = sum(
            current.universe.left_out(number) >> position & 1 for number, position in current.solution.selected.items()
        )
        for most in range(left_out + 1):
            root = current.roots[0].variable
            answer = optimise(
                current.universe, current.roots, lazy=lazy(current.universe, root, most), max_steps=max_steps
            )
            if isinstance(answer, Solution):
                return Found(current.universe, current.roots, answer)
    assert one_each is not None
    return one_each


def _universes(universe: Universe, make_root: _MakeRoot, max_steps: int, most: int) -> Iterator[Found | Impossible]:
    """Yield what searching for some answer comes to: one version of each first, then with as few more as possible.

    A proof names the capabilities that take part in it. Where none of them may be duplicated, nothing helps;
    otherwise an answer needs one more version of at least one of them. So no combination that could have an
    answer is passed over, and the first one found has the fewest versions; of several such the one whose
    duplicated capabilities come first by name.
    """
    waiting: list[tuple[int, _Copies]] = [(0, ())]
    seen: set[_Copies] = {()}
    tried = 0
    while waiting and tried < most:
        size, extra = heappop(waiting)
        tried += 1
        current = universe
        if extra:
            current = universe.with_copies({key: 1 + extra.count(key) for key in extra})
        roots = (make_root(current),)
        answer = feasible(current, roots, roots[0].variable, max_steps=max_steps)
        if isinstance(answer, Solution):
            yield Found(current, roots, answer)
            return
        yield Impossible(current, roots, answer)
        for key in _several(current, answer):
            more = tuple(sorted((*extra, key)))
            if more not in seen:
                seen.add(more)
                heappush(waiting, (size + 1, more))


def _several(universe: Universe, proof: NoSolution) -> list[tuple[str, Scope]]:
    """Return the capabilities in a proof of which one more version in the graph could make a difference.

    As many versions as there are requirements in the proof are enough: each gets its own. Facts that are no
    requirements hold for every version.
    """
    askers: dict[tuple[str, Scope], set[object]] = {}
    for cause in external_causes(proof.derivation):
        dependency = cause.dependency
        if cause.clause is not None:
            for variable, _ in cause.clause.terms:
                askers.setdefault(universe.keys[variable], set()).add(cause.clause)
        elif dependency.required and cause.kind != "empty" and universe.can_be_several(dependency.variable) > 1:
            role = dependency.reason.role if isinstance(dependency.reason, Asked) else ""
            who = None if cause.variable is None else (universe.keys[cause.variable], cause.variable, role)
            askers.setdefault(universe.keys[dependency.variable], set()).add(who)
    most: dict[tuple[str, Scope], int] = {}
    for variable, key in enumerate(universe.keys):
        most[key] = max(most.get(key, 0), universe.can_be_several(variable))
    return sorted(k for k, who in askers.items() if min(len(who), most[k]) > universe.copies(*k))
