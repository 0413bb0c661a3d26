# SPDX-License-Identifier: Apache-2.0
"""From components and detected software to the numbered graph that the engine solves.

A *variable* is what is asked for on one of two machines: the one that builds and the one that runs. When
they are the same machine, so are the variables. Its candidates stand in the order of preference.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from codereef.detect import Detected
from codereef.errors import NotFoundError
from codereef.meta.component import Component
from codereef.meta.reference import is_capability, nearest, parse_reference
from codereef.meta.selection import assignments, expand, holds
from codereef.meta.versions import parse_constraint, preference, satisfies
from codereef.repo.index import Index
from codereef.solve.candidates import Asked, Candidate, Excluded, Request, Scope, TargetFacts
from codereef.solve.terms import Dependency

PYTHON = "compiler.python"


class Universe:
    """Everything that could be part of a graph; implements the engine's `Problem`."""

    def __init__(
        self,
        index: Index,
        detected: Sequence[Detected],
        host: TargetFacts,
        target: TargetFacts,
        request: Request,
        python: str | None = None,
    ) -> None:
        """Prepare a graph.

        Args:
            index: the components.
            detected: what the building machine has.
            host: the machine that builds.
            target: the machine that runs.
            request: pins, bans and forced installs.
            python: path of the interpreter to prefer; its installed distributions are the ones that can be reused.
        """
        self.index = index
        self.host = host
        self.target = target
        self.request = request
        self._detected: dict[str, list[Detected]] = {}
        for item in detected:
            self._detected.setdefault(item.capability, []).append(item)
        self._python = self._preferred_python(python)
        self._tools = {item.path for item in self._detected.get(PYTHON, ()) if item.facts.get("tool") is True}
        self._softs = {str(c.reference): c for c in index.components if c.kind == "soft"}
        self._providers: dict[str, list[Component]] = {}
        for component in index.components:
            if component.kind == "package":
                self._providers.setdefault(component.meta["provides"]["capability"], []).append(component)
        self._numbers: dict[tuple[str, Scope], int] = {}
        self.keys: list[tuple[str, Scope]] = []
        self.candidates: list[list[Candidate]] = []
        self.excluded: list[list[Excluded]] = []
        self.dropped: set[tuple[str, str]] = set()
        self._check_request()

    def _check_request(self) -> None:
        """Refuse a pin, ban or forced install of something that nobody knows: it would silently do nothing."""
        components = {c.reference.unversioned for c in self.index.components}
        known = self.capabilities() | components
        asked = [("--pin", key, known) for key in self.request.pins]
        asked += [("--pin", pin.split("@")[0], components) for pin in self.request.pins.values() if ":" in pin]
        asked += [("--forbid", ban.split("@")[0], components) for ban in self.request.forbid]
        asked += [
            ("--install", capability, self.capabilities()) for capability in self.request.install if capability != "*"
        ]
        for option, name, names in asked:
            if name not in names:
                near = nearest(name, names)
                raise NotFoundError(
                    f"{option} {name}: there is no such {'component' if names is components else 'capability' if option == '--install' else 'capability or component'}.",
                    hint=f"Did you mean {' or '.join(f'`{n}`' for n in near)}?"
                    if near
                    else "`cr search` lists what there is.",
                    context={"option": option, "name": name},
                )
        for pin in self.request.pins.values():
            parse_constraint(pin.split("@")[1] if "@" in pin else "" if ":" in pin else pin)

    # -- variables ---------------------------------------------------------------------------------------

    def variable(self, needs: str, scope: Scope = "run") -> int:
        """Return the number of the variable for a capability or component on one of the two machines."""
        effective: Scope = "run" if self.host.triple == self.target.triple else scope
        key = (needs, effective)
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self.keys)
            self.keys.append(key)
            found, left_out = self._collect(needs, effective)
            self.candidates.append(found)
            self.excluded.append(left_out)
        return number

    def machine(self, scope: Scope) -> TargetFacts:
        """Return the machine of a scope."""
        return self.host if scope == "build" else self.target

    def capabilities(self) -> set[str]:
        """Return every capability that somebody provides or a detector looks for."""
        return set(self._providers) | {str(soft.meta["detects"]) for soft in self._softs.values()}

    def detectors(self, capability: str) -> list[Component]:
        """Return the detectors of a capability."""
        return [soft for soft in self._softs.values() if soft.meta["detects"] == capability]

    def _collect(self, needs: str, scope: Scope) -> tuple[list[Candidate], list[Excluded]]:
        left_out: list[Excluded] = []
        found = list(
            self._of_capability(needs, scope, left_out)
            if is_capability(needs)
            else self._of_component(needs, scope, left_out)
        )
        return [candidate for candidate in found if self._allowed(needs, candidate, left_out)], left_out

    def _of_component(self, needs: str, scope: Scope, left_out: list[Excluded]) -> Iterator[Candidate]:
        reference = parse_reference(needs)
        machine = self.machine(scope)
        for component in self.index.versions(reference.kind, reference.name):
            if not self._for_machine(component, machine, left_out):
                continue
            source = "install" if component.kind in ("model", "dataset") else "component"
            for variants in assignments(component.variants, str(component.reference)):
                yield Candidate(component, source, component.version, variants)  # type: ignore[arg-type]

    def _of_capability(self, capability: str, scope: Scope, left_out: list[Excluded]) -> Iterator[Candidate]:
        machine = self.machine(scope)
        on_host = machine.triple == self.host.triple
        forced = capability in self.request.install or "*" in self.request.install
        has_recipe = bool(self._providers.get(capability))
        for item in self._detected.get(capability, ()):
            soft = self._softs.get(item.soft)
            if soft is None:
                continue
            candidate = Candidate(soft, "detected", item.version, {}, item)
            if not on_host:
                left_out.append(
                    Excluded(
                        candidate.label, f"found on {self.host.triple}, but needed on {machine.triple}", "", candidate
                    )
                )
            elif forced and has_recipe:
                left_out.append(
                    Excluded(
                        candidate.label,
                        "you ask for an install instead (--install)",
                        f"leave out --install {capability}",
                        candidate,
                    )
                )
            elif capability == PYTHON and item.facts.get("tool") is True:
                left_out.append(
                    Excluded(candidate.label, "the interpreter that runs cr itself is never touched", "", candidate)
                )
            elif "python" in item.paths and item.paths["python"] in self._tools:
                reason = "it belongs to the interpreter that runs cr itself, which is never touched"
                left_out.append(Excluded(candidate.label, reason, "", candidate))
            elif "python" in item.paths and item.paths["python"] != self._python:
                remedy = "choose its interpreter with --python"
                left_out.append(
                    Excluded(candidate.label, "it belongs to another Python interpreter", remedy, candidate)
                )
            else:
                yield candidate
        installable: list[tuple[Any, Candidate]] = []
        for component in self._providers.get(capability, ()):
            if not self._for_machine(component, machine, left_out):
                continue
            provides = component.meta["provides"]
            for version in provides["versions"]:
                for rank, variants in enumerate(assignments(component.variants, str(component.reference))):
                    order = (provides.get("preference", 0), preference(version), preference(component.version), -rank)
                    installable.append((order, Candidate(component, "install", version, variants)))
        yield from (candidate for _, candidate in sorted(installable, key=lambda pair: pair[0], reverse=True))

    def _for_machine(self, component: Component, machine: TargetFacts, left_out: list[Excluded]) -> bool:
        targets = component.meta.get("targets")
        if targets is None or machine.triple in targets:
            return True
        left_out.append(Excluded(f"{component.name} {component.version}", f"only for {', '.join(targets)}"))
        return False

    def _allowed(self, needs: str, candidate: Candidate, left_out: list[Excluded]) -> bool:
        own = candidate.component.reference
        for ban in self.request.forbid:
            if ban in (own.unversioned, str(own)):
                left_out.append(Excluded(candidate.label, "forbidden by you", f"leave out --forbid {ban}", candidate))
                return False
        for key in (needs, own.unversioned):
            pin = self.request.pins.get(key)
            if pin is None:
                continue
            fits = (
                pin.split("@")[0] == own.unversioned
                and (("@" not in pin) or satisfies(candidate.version, pin.split("@")[1]))
                if ":" in pin
                else satisfies(candidate.version, pin)
            )
            if not fits:
                left_out.append(
                    Excluded(candidate.label, f"outside your pin {key} {pin}", f"leave out --pin {key}", candidate)
                )
                return False
        return True

    def _preferred_python(self, python: str | None) -> str | None:
        found = [item for item in self._detected.get(PYTHON, ()) if item.facts.get("tool") is not True]
        # Somebody's virtual environment is built on only when they name it.
        ranked = sorted(found, key=lambda item: (item.path != python, item.facts.get("is_venv") is True))
        self._detected[PYTHON] = [
            *ranked,
            *(item for item in self._detected.get(PYTHON, ()) if item.facts.get("tool") is True),
        ]
        return ranked[0].path if ranked else None

    # -- the engine's questions ----------------------------------------------------------------------------

    def count(self, variable: int) -> int:
        """Return how many candidates a variable has."""
        return len(self.candidates[variable])

    def dependencies(self, variable: int, candidate: int) -> Sequence[Dependency]:
        """Return what one candidate asks for."""
        _, scope = self.keys[variable]
        chosen = self.candidates[variable][candidate]
        return [dependency for _, dependency in self.roles(chosen, scope)]

    def roles(self, chosen: Candidate, scope: Scope) -> Iterator[tuple[str, Dependency]]:
        """Yield what a candidate asks for with the role of each; conflicts have the role ""."""
        if chosen.detected is not None:
            python = chosen.detected.paths.get("python")
            if python:
                number = self.variable(PYTHON, scope)
                mask = self._mask(number, lambda other: other.detected is not None and other.detected.path == python)
                yield (
                    "python",
                    Dependency(
                        number,
                        mask,
                        True,
                        Asked(chosen.label, "python", PYTHON, "", "the interpreter it is installed in"),
                    ),
                )
            return
        component = chosen.component
        facts = {**chosen.variants, "version": chosen.version, **self.machine(scope).facts()}
        by = _asker(chosen)
        for role, entry in declared_dependencies(component):
            if not holds(entry.get("when"), facts) or (by, role) in self.dropped:
                continue
            wanted = {
                key: expand(value, chosen.variants, str(component.reference))
                for key, value in entry.get("variants", {}).items()
            }
            other_scope: Scope = "build" if scope == "build" or entry.get("for") == "build" else "run"
            number = self.variable(entry["needs"], other_scope)
            constraint = entry.get("version", "")
            mask = self._mask(
                number,
                lambda other, c=constraint, w=wanted: (
                    satisfies(other.version, c) and all(other.variants.get(k) == v for k, v in w.items())
                ),
            )
            asked = Asked(
                by, role, entry["needs"], constraint, ", ".join(f"{k}={v}" for k, v in sorted(wanted.items()))
            )
            yield role, Dependency(number, mask, True, asked)
        for entry in component.meta.get("conflicts", ()):
            if holds(entry.get("when"), facts):
                number = self.variable(entry["with"], scope)
                constraint = entry.get("version", "")
                mask = self._mask(number, lambda other, c=constraint: not satisfies(other.version, c))
                yield (
                    "",
                    Dependency(
                        number, mask, False, Asked(by, "", entry["with"], constraint, entry.get("reason", ""), True)
                    ),
                )

    def is_optional(self, candidate: Candidate, asked: Asked) -> bool:
        """Tell whether it is this candidate that asks, and whether it can do without the answer."""
        if candidate.detected is not None or asked.conflict or asked.by != _asker(candidate):
            return False
        return any(
            role == asked.role and entry.get("optional", False)
            for role, entry in declared_dependencies(candidate.component)
        )

    def _mask(self, variable: int, fits: Any) -> int:
        mask = 0
        for position, candidate in enumerate(self.candidates[variable]):
            if fits(candidate):
                mask |= 1 << position
        return mask

    def root(self, solution: Component, variants: Mapping[str, str]) -> Dependency:
        """Return the requirement that stands for the user's wish."""
        number = self.variable(solution.reference.unversioned)
        mask = self._mask(
            number, lambda other: other.version == solution.version and dict(other.variants) == dict(variants)
        )
        shown = ", ".join(f"{k}={v}" for k, v in sorted(variants.items()))
        return Dependency(
            number, mask, True, Asked("you", "solution", solution.reference.unversioned, f"=={solution.version}", shown)
        )


def _asker(candidate: Candidate) -> str:
    """Return how a candidate is named as the one who asks."""
    return candidate.label if candidate.source == "install" else str(candidate.component.reference)


def declared_dependencies(component: Component) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield every dependency of a component by role: `deps`, a solution's `program`, a model's `runtimes`."""
    meta = component.meta
    if component.kind == "solution":
        yield "program", meta["program"]
    if component.kind == "model":
        for entry in meta["runtimes"]:
            yield "runtime", entry
    yield from meta.get("deps", {}).items()
