# SPDX-License-Identifier: Apache-2.0
"""Which candidates a requirement has on one of the two machines, in the order of preference, and which are left out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from functools import cached_property
from typing import Any

from codereef.detect import Detected
from codereef.detect.triples import target_of
from codereef.errors import NotFoundError
from codereef.meta.component import Component
from codereef.meta.reference import is_capability, is_query, nearest, parse_query, parse_reference
from codereef.meta.selection import assignments, excluded
from codereef.meta.versions import parse_constraint, preference, satisfies
from codereef.repo.index import Index
from codereef.solve.candidates import Candidate, Excluded, Request, Scope, TargetFacts
from codereef.solve.machine import Facts, ReadMachine, ThisMachine

PYTHON = "compiler.python"
COMPILERS = ("compiler.c", "compiler.cxx")

#: Candidates with the class of equal preference that each is in, and what was left out.
Collected = tuple[list[Candidate], list[int], list[Excluded]]

#: Tells whether a candidate for a need on a machine is what a lock has already; such a one comes first.
Prefer = Callable[[str, Scope, Candidate], bool]


class Collector:
    """Finds candidates; what it has found once it keeps, for every universe made of it."""

    def __init__(
        self,
        index: Index,
        detected: Sequence[Detected],
        host: TargetFacts,
        target: TargetFacts,
        request: Request,
        python: str | None,
        machine: ReadMachine | None,
        kept: Collection[str],
        prefer: Prefer | None = None,
    ) -> None:
        """Prepare the collecting; the arguments are those of `Universe`.

        Raises:
            NotFoundError: the request names something that nobody knows.
            UsageError: the request has a constraint or query that cannot be read.
        """
        self.index = index
        self.host = host
        self.target = target
        self.kept = set(kept)
        self.prefer = prefer
        self.detected: dict[str, list[Detected]] = {}
        for item in detected:
            self.detected.setdefault(item.capability, []).append(item)
        self.python = self._preferred_python(python)
        self._tools = {item.path for item in self.detected.get(PYTHON, ()) if item.facts.get("tool") is True}
        self.here = ThisMachine(
            {
                capability: [item for item in items if item.facts.get("tool") is not True]
                for capability, items in self.detected.items()
            },
            machine,
        )
        self.request = self._checked(request)
        self._known: dict[tuple[str, Scope], Collected] = {}

    # -- what the user asks -------------------------------------------------------------------------------

    def _checked(self, request: Request) -> Request:
        """Refuse a pin, ban or forced install of something that nobody knows: it would silently do nothing."""
        asked: list[tuple[str, str, str]] = []
        pins: dict[str, str] = {}
        for key, pin in request.pins.items():
            if is_query(key):
                query = parse_query(key)
                pins[str(query)] = pin
                fitting = {c.reference.unversioned for c in self.index.tagged(query.kind, query.tags, query.without)}
                if pin.partition("@")[0] not in fitting:
                    raise NotFoundError(
                        f"--pin {key}={pin}: `{pin}` is no {query.phrase}.",
                        hint=f"There {'are' if fitting else 'is'} {', '.join(sorted(fitting)) or 'none'}.",
                        context={"option": "--pin", "name": key},
                    )
            else:
                pins[key] = pin
                asked.append(("--pin", key, "both" if is_capability(key) else "component"))
            if ":" in pin:
                asked.append(("--pin", pin.split("@")[0], "component"))
            parse_constraint(pin.split("@")[1] if "@" in pin else "" if ":" in pin else pin)
        asked += [("--forbid", ban.split("@")[0], "component") for ban in request.forbid]
        asked += [("--install", capability, "capability") for capability in request.install if capability != "*"]
        for option, name, sort in asked:
            if not self._is_known(name, sort):
                raise self._unknown(option, name, sort)
        return Request(pins, request.forbid, request.install)

    def _is_known(self, name: str, sort: str) -> bool:
        if sort != "component" and is_capability(name):
            return name in self.capabilities
        return name in self.index

    def _unknown(self, option: str, name: str, sort: str) -> NotFoundError:
        components = {f"{row.kind}:{row.name}" for row in self.index.rows()}
        names = {"component": components, "capability": self.capabilities}.get(sort, components | self.capabilities)
        what = {"component": "component", "capability": "capability"}.get(sort, "capability or component")
        near = nearest(name, names)
        return NotFoundError(
            f"{option} {name}: there is no such {what}.",
            hint=f"Did you mean {' or '.join(f'`{n}`' for n in near)}?" if near else "`cr search` lists what there is.",
            context={"option": option, "name": name},
        )

    def pin_of(self, key: str) -> str:
        """Return the pin of a capability, component or query, or ""."""
        return self.request.pins.get(key, "")

    # -- machines -----------------------------------------------------------------------------------------

    @cached_property
    def capabilities(self) -> set[str]:
        """Every capability that somebody provides or a detector looks for."""
        return set(self.index.capabilities())

    def machine(self, scope: Scope) -> TargetFacts:
        """Return the machine of a scope."""
        return self.host if scope == "build" else self.target

    def facts(self, candidate: Candidate, machine: TargetFacts) -> Facts:
        """Return the facts that the conditions of a choice can ask for."""
        here = self.here if machine.triple == self.host.triple else None
        return Facts(candidate.variants, candidate.version, machine, here)

    # -- candidates ---------------------------------------------------------------------------------------

    def collect(self, needs: str, scope: Scope) -> Collected:
        """Return the candidates for a capability or component, their classes, and what was left out."""
        known = self._known.get((needs, scope))
        if known is None:
            known = self._known[needs, scope] = self._locked_first(
                needs, scope, self._collect(needs, self.machine(scope))
            )
        return known

    def _locked_first(self, needs: str, scope: Scope, found: Collected) -> Collected:
        """Put what the lock has before everything else, in a class of its own."""
        candidates, classes, left_out = found
        if self.prefer is None:
            return found
        locked = [self.prefer(needs, scope, candidate) for candidate in candidates]
        order = sorted(range(len(candidates)), key=lambda position: not locked[position])
        return [candidates[i] for i in order], [0 if locked[i] else classes[i] + 1 for i in order], left_out

    def _collect(self, needs: str, machine: TargetFacts) -> Collected:
        left_out: list[Excluded] = []
        found = self._of_capability if is_capability(needs) else self._of_component
        candidates: list[Candidate] = []
        classes: list[int] = []
        numbers: dict[object, int] = {}
        for rank, candidate in found(needs, machine, left_out):
            if self._allowed(needs, candidate, left_out):
                candidates.append(candidate)
                classes.append(numbers.setdefault(rank, len(numbers)))
        return candidates, classes, left_out

    def _of_component(
        self, needs: str, machine: TargetFacts, left_out: list[Excluded]
    ) -> Iterator[tuple[object, Candidate]]:
        reference = parse_reference(needs)
        for component in self.index.versions(reference.kind, reference.name):
            if not self._for_machine(component, machine, left_out) or self._withdrawn(needs, component, left_out):
                continue
            for variants in assignments(component.variants, str(component.reference)):
                source: Any = "install" if component.kind in ("model", "dataset") else "component"
                candidate = Candidate(component, source, component.version, variants)
                if self._permitted(candidate, machine, left_out):
                    yield candidate, candidate

    def _of_capability(
        self, capability: str, machine: TargetFacts, left_out: list[Excluded]
    ) -> Iterator[tuple[object, Candidate]]:
        recipes = list(self._recipes(capability, machine, left_out))
        if machine.triple == self.host.triple:
            reused = self._detected(capability, left_out)
        else:
            # What only the system's package manager can install is there or not, like what is found.
            own = any(candidate.component.meta["install"]["using"] != "system" for _, candidate in recipes)
            reused = self._expected(capability, machine, own, left_out)
        yield from ((candidate, candidate) for candidate in reused)
        yield from sorted(recipes, key=lambda pair: pair[0], reverse=True)

    def _recipes(
        self, capability: str, machine: TargetFacts, left_out: list[Excluded]
    ) -> Iterator[tuple[Any, Candidate]]:
        age: dict[str, int] = {}
        for component in self.index.providers(capability):
            if not self._for_machine(component, machine, left_out) or self._withdrawn(capability, component, left_out):
                continue
            # Versions of one recipe stand in the order of preference; other recipes are its equals.
            age[component.name] = age.get(component.name, 0) + 1
            provides = component.meta["provides"]
            for version in provides["versions"]:
                for rank, variants in enumerate(assignments(component.variants, str(component.reference))):
                    candidate = Candidate(component, "install", version, variants)
                    if self._permitted(candidate, machine, left_out):
                        order = (provides.get("preference", 0), preference(version), -age[component.name], -rank)
                        yield order, candidate

    def _detected(self, capability: str, left_out: list[Excluded]) -> Iterator[Candidate]:
        asked = self.request.install
        forced = (capability in asked or "*" in asked) and bool(self.index.providers(capability))
        for item in self.detected.get(capability, ()):
            soft = self._soft(item)
            if soft is None:
                continue
            candidate = Candidate(soft, "detected", item.version, {}, item)
            reason = remedy = ""
            if forced:
                reason = "you ask for an install instead (--install)"
                remedy = f"leave out --install {capability if capability in asked else '*'}"
            elif capability == PYTHON and item.facts.get("tool") is True:
                reason = "the interpreter that runs cr itself is never touched"
            elif "python" in item.paths and item.paths["python"] in self._tools:
                reason = "it belongs to the interpreter that runs cr itself, which is never touched"
            elif "python" in item.paths and item.paths["python"] != self.python:
                reason = "it belongs to another Python interpreter"
                remedy = "choose its interpreter with --python"
            elif capability in COMPILERS and self._for_others(item):
                reason = f"it compiles for {item.facts['triple']}"
            if reason:
                left_out.append(Excluded(candidate.label, reason, remedy, candidate))
            else:
                yield candidate

    def _for_others(self, item: Detected) -> bool:
        """Whether a compiler makes code for another machine than the one that both builds and runs."""
        triple = str(item.facts.get("triple", ""))
        return bool(triple) and self.host.triple == self.target.triple and target_of(triple) != self.target.triple

    def _expected(
        self, capability: str, machine: TargetFacts, installable: bool, left_out: list[Excluded]
    ) -> Iterator[Candidate]:
        """Yield what another machine is expected to have, because nothing can install it there.

        It may have the versions that this machine has; whether it has another one shows only there.
        """
        here = [item for item in self.detected.get(capability, ()) if item.facts.get("tool") is not True]
        softs: dict[str, Component] = {}
        for soft in self.index.detectors(capability):
            targets = soft.meta.get("targets")
            if targets is None or machine.triple in targets:
                softs.setdefault(soft.name, soft)
        if installable or not softs:
            for item in here:
                found = self._soft(item)
                if found is not None:
                    candidate = Candidate(found, "detected", item.version, {}, item)
                    reason = f"found on {self.host.triple}, but needed on {machine.triple}"
                    left_out.append(Excluded(candidate.label, reason, "", candidate))
            return
        versions = dict.fromkeys((parse_reference(item.soft).name, item.version) for item in here)
        for name, version in versions:
            if name in softs:
                yield Candidate(softs[name], "expected", version, {})
        yield Candidate(next(iter(softs.values())), "expected", "", {})

    def _soft(self, item: Detected) -> Component | None:
        reference = parse_reference(item.soft)
        versions = self.index.versions(reference.kind, reference.name)
        return next((soft for soft in versions if soft.version == reference.version), None)

    # -- what is left out ---------------------------------------------------------------------------------

    def _for_machine(self, component: Component, machine: TargetFacts, left_out: list[Excluded]) -> bool:
        targets = component.meta.get("targets")
        if targets is None or machine.triple in targets:
            return True
        reason = f"only for {', '.join(targets)}"
        left_out.append(Excluded(f"{component.name} {component.version}", reason, targets=tuple(targets)))
        return False

    def _withdrawn(self, needs: str, component: Component, left_out: list[Excluded]) -> bool:
        reason = component.meta.get("yanked")
        if not reason or str(component.reference) in self.kept:
            return False
        provides = component.meta.get("provides")
        versions = provides["versions"] if provides else [component.version]
        for key in (needs, component.reference.unversioned):
            pin = self.pin_of(key)
            owner, _, constraint = pin.partition("@") if ":" in pin else ("", "", pin)
            if (
                pin
                and owner in ("", component.reference.unversioned)
                and parse_constraint(constraint).exact in versions
            ):
                return False
        label = f"{component.name} {component.version}"
        remedy = f"--pin {needs}=={versions[0]}"
        left_out.append(
            Excluded(label, f"withdrawn by its publisher ({reason})", remedy, yanked=str(component.reference))
        )
        return True

    def _permitted(self, candidate: Candidate, machine: TargetFacts, left_out: list[Excluded]) -> bool:
        """Tell whether a component permits a choice of its own variants."""
        meta = candidate.component.meta
        if "excludes" not in meta:
            return True
        reason = excluded(meta, self.facts(candidate, machine))
        if reason is None:
            return True
        left_out.append(Excluded(candidate.label, f"its cr.json excludes that ({reason})", "", candidate))
        return False

    def _allowed(self, needs: str, candidate: Candidate, left_out: list[Excluded]) -> bool:
        own = candidate.component.reference
        for ban in self.request.forbid:
            if ban in (own.unversioned, str(own)):
                left_out.append(Excluded(candidate.label, "forbidden by you", f"leave out --forbid {ban}", candidate))
                return False
        for key in (needs, own.unversioned):
            pin = self.pin_of(key)
            if pin and not pin_fits(pin, candidate):
                left_out.append(
                    Excluded(candidate.label, f"outside your pin {key} {pin}", f"leave out --pin {key}", candidate)
                )
                return False
        return True

    def _preferred_python(self, python: str | None) -> str | None:
        found = [item for item in self.detected.get(PYTHON, ()) if item.facts.get("tool") is not True]
        # Somebody's virtual environment is built on only when they name it.
        ranked = sorted(found, key=lambda item: (item.path != python, item.facts.get("is_venv") is True))
        tools = [item for item in self.detected.get(PYTHON, ()) if item.facts.get("tool") is True]
        if ranked or tools:
            self.detected[PYTHON] = [*ranked, *tools]
        return ranked[0].path if ranked else None


def pin_fits(pin: str, candidate: Candidate) -> bool:
    """Tell whether a candidate is within a pin: a constraint, or `kind:name[@constraint]`."""
    if ":" not in pin:
        return satisfies(candidate.version, pin)
    owner, _, constraint = pin.partition("@")
    return owner == candidate.component.reference.unversioned and satisfies(candidate.version, constraint)
