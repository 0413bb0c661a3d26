# SPDX-License-Identifier: Apache-2.0
"""Resolvers that are pure Python: ours, resolvelib, nab-resolver."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from codereef import __version__
from codereef.solve.engine import NoSolution, minimal_core
from codereef.solve.optimise import optimise

from . import Prepared
from .graphs import ALL, CANDIDATES, Graph, check_proof


def ours(graph: Graph) -> Prepared:
    """The optimiser, and for what has no answer the smallest explanation too."""

    def solve() -> Mapping[int, int] | None:
        answer = optimise(graph, graph.roots)
        if not isinstance(answer, NoSolution):
            if not answer.optimal:
                raise AssertionError("not proven the best")
            return answer.selected
        core = minimal_core(graph, graph.roots, answer.derivation)
        ours.proof = answer  # type: ignore[attr-defined]
        ours.facts = len(core.causes)  # type: ignore[attr-defined]
        return None

    return Prepared(solve, True, __version__)


def check_our_proof(graph: Graph) -> int:
    """Check the proof of the last solve step by step; return how many facts its explanation has."""
    check_proof(graph, ours.proof)  # type: ignore[attr-defined]
    return int(ours.facts)  # type: ignore[attr-defined]


def resolvelib(graph: Graph) -> Prepared:
    """Plain backtracking, with the same masks; it knows no constraints."""
    import resolvelib

    class Provider(resolvelib.AbstractProvider):  # type: ignore[misc]
        def identify(self, requirement_or_candidate: Any) -> Any:
            item = requirement_or_candidate
            return item[0] if isinstance(item, tuple) else item.variable

        def get_preference(
            self, identifier: Any, resolutions: Any, candidates: Any, information: Any, backtrack_causes: Any
        ) -> Any:
            return sum(1 for _ in candidates[identifier])

        def find_matches(self, identifier: Any, requirements: Any, incompatibilities: Any) -> Any:
            mask = ALL
            for requirement in requirements[identifier]:
                mask &= requirement.allowed
            for bad in incompatibilities[identifier]:
                mask &= ~(1 << bad[1])
            return [(identifier, candidate) for candidate in range(CANDIDATES) if mask >> candidate & 1]

        def is_satisfied_by(self, requirement: Any, candidate: Any) -> bool:
            return bool(requirement.allowed >> candidate[1] & 1)

        def get_dependencies(self, candidate: Any) -> Any:
            return [item for item in graph.look(*candidate) if item.required]

    def solve() -> Mapping[int, int] | None:
        resolver = resolvelib.Resolver(Provider(), resolvelib.BaseReporter())
        try:
            result = resolver.resolve(graph.roots, max_rounds=10_000_000)
        except resolvelib.ResolutionImpossible:
            return None
        return {variable: candidate[1] for variable, candidate in result.mapping.items()}

    return Prepared(solve, False, version("resolvelib"))


def nab(graph: Graph) -> Prepared:
    """PubGrub in Python; versions are numbers, the newest the greatest; it knows no constraints."""
    from nab_resolver.errors import ResolutionError
    from nab_resolver.ranges import Range
    from nab_resolver.resolver import BaseProvider, Resolver

    ranges: dict[int, Any] = {}

    def as_range(mask: int) -> Any:
        known = ranges.get(mask)
        if known is None:
            versions = [CANDIDATES - place for place in range(CANDIDATES) if mask >> place & 1]
            known = Range.at_least(min(versions)) & Range.at_most(max(versions))
            ranges[mask] = known
        return known

    def merged(items: Any) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for item in items:
            if item.required:
                name, allowed = f"p{item.variable}", as_range(item.allowed)
                found[name] = found[name] & allowed if name in found else allowed
        return found

    class Provider(BaseProvider):  # type: ignore[misc, type-arg]
        def _newest(self, allowed: Any) -> int | None:
            return next((item for item in range(CANDIDATES, 0, -1) if item in allowed), None)

        def choose_version(self, package: Any, version_range: Any) -> Any:
            return self._newest(version_range)

        def has_satisfying_version(self, package: Any, version_range: Any) -> bool:
            return self._newest(version_range) is not None

        def get_dependencies(self, package: Any, version: Any) -> Any:
            return merged(graph.look(int(package[1:]), CANDIDATES - version))

        def prioritize(self, package: Any, version_range: Any, conflict_counts: Any, culprit_counts: Any = None) -> Any:
            return (-conflict_counts.get(package, 0), package)

        def widen_decision(self, package: Any, version: Any) -> Any:
            variable, candidate = int(package[1:]), CANDIDATES - version
            own = merged(graph.look(variable, candidate))
            mask = 0
            for step in (1, -1):
                place = candidate
                while 0 <= place < CANDIDATES and merged(graph.look(variable, place)) == own:
                    mask |= 1 << place
                    place += step
            return as_range(mask)

    def solve() -> Mapping[int, int] | None:
        try:
            pins = Resolver(Provider(), max_iterations=100_000_000).resolve(merged(graph.roots))
        except ResolutionError as error:
            if type(error) is not ResolutionError:
                raise
            return None
        return {int(name[1:]): CANDIDATES - number for name, number in pins.items()}

    return Prepared(solve, False, version("nab-resolver"))
