# SPDX-License-Identifier: Apache-2.0
"""From components and detected software to the numbered graph that the engine solves.

A *variable* is what is asked for on one of two machines: the one that builds and the one that runs. When
they are the same machine, so are the variables. Its candidates stand in the order of preference. Where several
versions of a capability may stand in one graph, each of its *copies* is a variable.

Some variables are *choices* of an asker, not software: whether an optional dependency is taken, which
component a query by tags means, which copy is used.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from codereef.detect import Detected
from codereef.meta.component import Component
from codereef.meta.reference import Query, is_capability, needed
from codereef.meta.selection import expand, holds
from codereef.meta.versions import satisfies
from codereef.repo.index import Index
from codereef.solve.candidates import Asked, Candidate, Excluded, Relation, Request, Scope, TargetFacts
from codereef.solve.choices import Choice, Lenient
from codereef.solve.collect import PYTHON, Collector, Prefer
from codereef.solve.declared import declared_dependencies, handed_on
from codereef.solve.machine import ReadMachine
from codereef.solve.queries import Answer, Fitting, choose, tagged_versions
from codereef.solve.terms import Dependency

__all__ = ["PYTHON", "Choice", "Lenient", "Universe", "declared_dependencies"]


class Universe:
    """Everything that could be part of a graph; implements the engine's `RankedProblem`."""

    def __init__(
        self,
        index: Index,
        detected: Sequence[Detected],
        host: TargetFacts,
        target: TargetFacts,
        request: Request,
        python: str | None = None,
        *,
        machine: ReadMachine | None = None,
        kept: Collection[str] = (),
        prefer: Prefer | None = None,
        look: Callable[[], Sequence[Any]] | None = None,
    ) -> None:
        """Prepare a graph.

        Args:
            index: the components.
            detected: what the building machine has.
            host: the machine that builds.
            target: the machine that runs.
            request: pins, bans and forced installs.
            python: path of the interpreter to prefer; its installed distributions are the ones that can be reused.
            machine: reads the facts of this machine's class, for conditions on `machine.*`.
            kept: references (`kind:name@version`) that may be used although they were withdrawn.
            prefer: tells what a lock has already; such candidates come first and count as reused.
            look: looks at places that are known but not used (`codereef.solve.elsewhere.Look`).

        Raises:
            NotFoundError: the request names something that nobody knows.
        """
        self._made_of = (index, tuple(detected), host, target, request, python, machine, tuple(kept), prefer)
        self.look = look
        self._start(Collector(index, detected, host, target, request, python, machine, kept, prefer), {}, Lenient())

    def _start(self, collector: Collector, copies: Mapping[tuple[str, Scope], int], lenient: Lenient) -> None:
        self._collector = collector
        self._copies = dict(copies)
        self.lenient = lenient
        self.index = collector.index
        self.host = collector.host
        self.target = collector.target
        self.request = collector.request
        self._numbers: dict[object, int] = {}
        self._masks: dict[object, int] = {}
        #: What each variable is about: a capability, a component, or the text of a choice; and for which machine.
        self.keys: list[tuple[str, Scope]] = []
        self.candidates: list[list[Candidate]] = []
        self._ranks: list[list[int]] = []
        self.excluded: list[list[Excluded]] = []
        #: Per choice variable, its possibilities; software has none.
        self.choices: dict[int, tuple[Choice, ...]] = {}
        #: Per choice variable of a query, what the query came to.
        self.answers: dict[int, Answer] = {}
        self._after: dict[int, int] = {}  # of a copy, the next one

    def with_copies(self, copies: Mapping[tuple[str, Scope], int]) -> Universe:
        """Return the same universe with so many copies of some capabilities; one where nothing is said."""
        other = Universe.__new__(Universe)
        other._made_of, other.look = self._made_of, self.look
        other._start(self._collector, copies, self.lenient)
        return other

    def changed(
        self,
        *,
        request: Request | None = None,
        target: TargetFacts | None = None,
        python: str | None = None,
        kept: Collection[str] = (),
        lenient: Lenient | None = None,
    ) -> Universe:
        """Return a universe that differs in what is given."""
        index, detected, host, own_target, own_request, own_python, machine, own_kept, prefer = self._made_of
        made = (
            index,
            detected,
            host,
            target or own_target,
            request or own_request,
            python or own_python,
            machine,
            (*own_kept, *self._collector.kept, *kept),
            prefer,
        )
        other = Universe.__new__(Universe)
        other._made_of, other.look = made, self.look
        other._start(Collector(*made), {}, lenient or self.lenient)
        return other

    # -- variables ---------------------------------------------------------------------------------------

    def scope(self, scope: Scope) -> Scope:
        """Return the scope that counts: on one machine there is only one."""
        return "run" if self.host.triple == self.target.triple else scope

    def variable(self, needs: str, scope: Scope = "run", copy: int = 0) -> int:
        """Return the number of the variable for a capability or component on one of the two machines."""
        effective = self.scope(scope)
        key = (needs, effective, copy)
        number = self._numbers.get(key)
        if number is None:
            candidates, ranks, left_out = self._collector.collect(needs, effective)
            if self.copies(needs, effective) > 1:
                kept = [i for i, c in enumerate(candidates) if self._duplicable(needs, c)]
                candidates, ranks = [candidates[i] for i in kept], [ranks[i] for i in kept]
            number = self._add(key, (needs, effective), candidates, ranks, left_out)
            if copy + 1 < self.copies(needs, effective):
                self._after[number] = self.variable(needs, scope, copy + 1)
        return number

    def _add(
        self,
        key: object,
        name: tuple[str, Scope],
        candidates: list[Candidate],
        ranks: list[int],
        left_out: list[Excluded],
    ) -> int:
        number = self._numbers[key] = len(self.keys)
        self.keys.append(name)
        self.candidates.append(candidates)
        self._ranks.append(ranks)
        self.excluded.append(left_out)
        return number

    def copies(self, needs: str, scope: Scope) -> int:
        """Return how many copies of a capability may stand in the graph."""
        return self._copies.get((needs, scope), 1)

    def _duplicable(self, needs: str, candidate: Candidate) -> bool:
        own = candidate.component.meta.get("provides", {}).get("duplicable", False)
        return bool(own) or (needs in self.lenient.twice and candidate.source == "install")

    def can_be_several(self, variable: int) -> int:
        """Return in how many versions the capability of a variable may stand in one graph."""
        needs, _ = self.keys[variable]
        if variable in self.choices or not is_capability(needs):
            return 1
        return len({c.version for c in self.candidates[variable] if self._duplicable(needs, c)})

    def machine(self, scope: Scope) -> TargetFacts:
        """Return the machine of a scope."""
        return self._collector.machine(scope)

    def capabilities(self) -> set[str]:
        """Return every capability that somebody provides or a detector looks for."""
        return self._collector.capabilities

    def detectors(self, capability: str) -> list[Component]:
        """Return the detectors of a capability."""
        return list(self.index.detectors(capability)) if is_capability(capability) else []

    def interpreters(self) -> list[Detected]:
        """Return the interpreters that an environment could be built on, the preferred one first."""
        found = self._collector.detected.get(PYTHON, ())
        return [item for item in found if item.facts.get("tool") is not True]

    @property
    def python(self) -> str | None:
        """Path of the interpreter whose distributions can be reused."""
        return self._collector.python

    # -- the engine's questions ----------------------------------------------------------------------------

    def count(self, variable: int) -> int:
        """Return how many candidates a variable has."""
        choices = self.choices.get(variable)
        return len(self.candidates[variable]) if choices is None else len(choices)

    def dependencies(self, variable: int, candidate: int) -> Sequence[Dependency]:
        """Return what one candidate asks for."""
        choices = self.choices.get(variable)
        if choices is not None:
            dependency = choices[candidate].dependency
            return () if dependency is None else (dependency,)
        following = self._after.get(variable)
        asked = [dependency for _, dependency in self.roles(variable, candidate)]
        return asked if following is None else [*asked, self._before(variable, candidate, following)]

    def _before(self, variable: int, candidate: int, following: int) -> Dependency:
        """Return what keeps copies apart: the next one has another version, and one that is preferred less.

        So a set of versions is one answer, and not as many as it has orders.
        """
        own = self.candidates[variable][candidate].version
        others = enumerate(self.candidates[following])
        mask = sum(1 << i for i, other in others if i > candidate and other.version != own)
        return Dependency(following, mask, False, "copies differ")

    def reuse(self, variable: int) -> int:
        """Return the mask of the candidates that are there already, or are expected to be; of a lock those it has."""
        prefer, key = self._collector.prefer, self.keys[variable]
        if prefer is not None:
            locked = self._mask(variable, lambda other: prefer(*key, other), "locked")
            if locked:
                return locked
        return self._mask(variable, lambda other: other.source in ("detected", "expected"), "reuse")

    def installs(self, variable: int) -> int:
        """Return the mask of the candidates that would be installed."""
        return self._mask(variable, lambda other: other.source == "install", "installs")

    def classes(self, variable: int) -> Sequence[int]:
        """Return masks of equally preferred candidates, the best first."""
        if variable in self.choices:
            # Of components that fit a query, and of copies, none is better by itself; to take is better than to leave.
            taken = sum(1 << i for i, choice in enumerate(self.choices[variable]) if choice.dependency is not None)
            left = ((1 << len(self.choices[variable])) - 1) & ~taken
            return [mask for mask in (taken, left) if mask]
        masks: dict[int, int] = {}
        for position, rank in enumerate(self._ranks[variable]):
            masks[rank] = masks.get(rank, 0) | 1 << position
        return list(masks.values())

    def left_out(self, variable: int) -> int:
        """Return the mask of the possibilities of a choice that leave an optional dependency out."""
        choices = self.choices.get(variable, ())
        return sum(1 << i for i, choice in enumerate(choices) if choice.dependency is None)

    def _mask(self, variable: int, fits: Callable[[Candidate], bool], key: object) -> int:
        """Return the mask of the candidates that fit; `key` stands for `fits`, so that each is asked once."""
        known = self._masks.get((variable, key))
        if known is None:
            known = 0
            for position, candidate in enumerate(self.candidates[variable]):
                if fits(candidate):
                    known |= 1 << position
            self._masks[variable, key] = known
        return known

    def _outside(self, variable: int, constraint: str) -> int:
        return self._mask(variable, lambda c: not satisfies(c.version, constraint), ("outside", constraint))

    def _agreeing(self, variable: int, name: str, value: str) -> int:
        return self._mask(variable, lambda c: c.variants.get(name, value) == value, ("agreeing", name, value))

    # -- what a candidate asks for -------------------------------------------------------------------------

    def roles(self, variable: int, position: int) -> Iterator[tuple[str, Dependency]]:
        """Yield what a candidate asks for with the role of each; what only forbids has the role ""."""
        chosen = self.candidates[variable][position]
        scope = self.keys[variable][1]
        if chosen.source in ("detected", "expected"):
            yield from self._of_found(chosen, scope)
            return
        component = chosen.component
        facts = self._collector.facts(chosen, self.machine(scope))
        by, own = asker(chosen), component.reference.unversioned
        for role, entry in declared_dependencies(component):
            if (own, role) in self.lenient.roles or not holds(entry.get("when"), facts):
                continue
            strict = (own, role) not in self.lenient.wishes
            wanted = {
                key: expand(value, chosen.variants, str(component.reference))
                for key, value in (entry.get("variants", {}) if strict else {}).items()
            }
            yield role, self._required(variable, role, entry, wanted, strict, by, own)
        for entry in component.meta.get("conflicts", ()):
            if holds(entry.get("when"), facts) and (own, entry["with"]) not in self.lenient.wishes:
                constraint = entry.get("version", "")
                asked = Asked(by, "", entry["with"], constraint, entry.get("reason", ""), "conflict", own)
                for number in self._every_copy(entry["with"], scope):
                    yield "", Dependency(number, self._outside(number, constraint), False, asked)
        yield from self._handed(chosen, scope, by, own)

    def _of_found(self, chosen: Candidate, scope: Scope) -> Iterator[tuple[str, Dependency]]:
        """Yield what detected software asks for: the interpreter that a distribution is installed in."""
        python = chosen.detected.paths.get("python") if chosen.detected else None
        if python:
            number = self.variable(PYTHON, scope)
            mask = self._mask(number, lambda c: c.detected is not None and c.detected.path == python, ("at", python))
            asked = Asked(chosen.label, "python", PYTHON, "", "the interpreter it is installed in")
            yield "python", Dependency(number, mask, True, asked)

    def _required(
        self,
        asker_: int,
        role: str,
        entry: Mapping[str, Any],
        wanted: Mapping[str, str],
        strict: bool,
        by: str,
        own: str,
    ) -> Dependency:
        """Return a requirement: plain, or through a choice where there is something to choose."""
        scope: Scope = "build" if self.keys[asker_][1] == "build" or entry.get("for") == "build" else "run"
        scope = self.scope(scope)
        constraint = entry.get("version", "") if strict else ""
        shown = ", ".join(f"{k}={v}" for k, v in sorted(wanted.items()))
        needs = needed(entry["needs"])
        optional = entry.get("optional", False)
        place = "the machine that builds" if self.scope("build") == "build" == scope else ""

        def asked(what: str, relation: Relation = "needs") -> Asked:
            return Asked(by, role, what, constraint, shown, relation, own, place)

        def edge(what: str, copy: int = 0, versions: frozenset[str] | None = None) -> Dependency:
            number = self.variable(what, scope, copy)
            key = (constraint, shown, versions)
            mask = self._mask(
                number,
                lambda c: (
                    satisfies(c.version, constraint)
                    and all(c.variants.get(k) == v for k, v in wanted.items())
                    and (versions is None or c.component.version in versions)
                ),
                key,
            )
            return Dependency(number, mask, True, asked(what))

        answer: Answer | None = None
        if isinstance(needs, Query):
            answer = self._answer(needs, bool(entry["needs"].get("any")), edge)
            versions = {item.name: item.versions for item in answer.chosen}
            options = [Choice(name, edge(name, 0, versions[name])) for name in versions]
            # What nobody can say must be said: an ambiguous query is an error even where it is optional.
            optional = optional and not answer.ambiguous
        else:
            count = self.copies(needs, scope)
            options = [Choice(f"copy {copy + 1}", edge(needs, copy)) for copy in range(count)]
        if answer is None and len(options) == 1 and not optional:
            dependency = options[0].dependency
            assert dependency is not None
            return dependency
        if optional:
            options.append(Choice("left out", None))
        text = f"a {needs.phrase}" if isinstance(needs, Query) else needs
        number = self._choice(asker_, role, text, scope, tuple(options), answer)
        return Dependency(number, (1 << len(options)) - 1, True, asked(text))

    def _choice(
        self, asker_: int, role: str, text: str, scope: Scope, options: tuple[Choice, ...], answer: Answer | None
    ) -> int:
        # Versions of one asker share the choice where it is the same, so that they are explained together.
        content = tuple((c.dependency.variable, c.dependency.allowed) if c.dependency else None for c in options)
        key = ("choice", asker_, role, text, content)
        number = self._numbers.get(key)
        if number is None:
            number = self._add(key, (text, scope), [], [], [])
            self.choices[number] = options
            if answer is not None:
                self.answers[number] = answer
        return number

    def _answer(self, query: Query, any_: bool, edge: Callable[[str, int, frozenset[str]], Dependency]) -> Answer:
        fitting = []
        for name, versions in tagged_versions(self.index, query).items():
            dependency = edge(name, 0, versions)
            if dependency.allowed:
                fitting.append(Fitting(name, versions, dependency.allowed))
        return choose(query, fitting, self.request.pins, any_=any_)

    def _handed(self, chosen: Candidate, scope: Scope, by: str, own: str) -> Iterator[tuple[str, Dependency]]:
        """Yield what follows from variants whose value holds for everything needed."""
        for name, variant in chosen.component.variants.items():
            if not variant.get("propagate"):
                continue
            value = chosen.variants[name]
            for needs in handed_on(self.index, chosen.component, name):
                if (own, needs) in self.lenient.wishes:
                    continue
                asked = Asked(by, "", needs, "", f"{name}={value}", "handed", own)
                for number in self._every_copy(needs, scope):
                    yield "", Dependency(number, self._agreeing(number, name, value), False, asked)

    def _every_copy(self, needs: str, scope: Scope) -> list[int]:
        return [self.variable(needs, scope, copy) for copy in range(self.copies(needs, self.scope(scope)))]

    # -- roots -----------------------------------------------------------------------------------------------

    def root(self, solution: Component, variants: Mapping[str, str]) -> Dependency:
        """Return the requirement that stands for the user's wish."""
        # What the user names is meant, withdrawn or not.
        self._collector.kept.add(str(solution.reference))
        number = self.variable(solution.reference.unversioned)
        shown = ", ".join(f"{k}={v}" for k, v in sorted(variants.items()))
        mask = self._mask(
            number,
            lambda other: other.version == solution.version and dict(other.variants) == dict(variants),
            ("root", solution.version, shown),
        )
        return Dependency(
            number, mask, True, Asked("you", "solution", solution.reference.unversioned, f"=={solution.version}", shown)
        )


def asker(candidate: Candidate) -> str:
    """Return how a candidate is named as the one who asks."""
    return candidate.label if candidate.source == "install" else str(candidate.component.reference)
