# SPDX-License-Identifier: Apache-2.0
"""Changes that might make an impossible request solvable: what each does, and how it is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from codereef.meta.component import Component
from codereef.meta.selection import assignments
from codereef.meta.versions import preference
from codereef.solve.answers import Solution
from codereef.solve.candidates import Asked, Candidate, Circle, Request, TargetFacts
from codereef.solve.derivation import External
from codereef.solve.universe import PYTHON, Lenient, Universe

#: Whose decision a change is: the user's command line, another choice of theirs, or somebody's component.
COMMAND, CHOICE, COMPONENT = 1, 2, 3
MAX_VARIANTS = 16


@dataclass(frozen=True)
class Draft:
    """A request as it would be after some changes.

    Attributes:
        of: the universe that was found impossible.
        solution: what is asked for.
        variants: its variant values.
        request: pins, bans and forced installs; None as they are.
        target: the machine that runs; None as it is.
        python: interpreter to prefer; None as it is.
        lenient: what is passed over.
    """

    of: Universe
    solution: Component
    variants: Mapping[str, str]
    request: Request | None = None
    target: TargetFacts | None = None
    python: str | None = None
    lenient: Lenient = field(default_factory=Lenient)

    @property
    def asked(self) -> Request:
        """The pins, bans and forced installs as they would be."""
        return self.request or self.of.request

    def on(self, target: TargetFacts) -> Draft:
        """Return the same request for another machine."""
        return replace(self, target=target)

    def universe(self) -> Universe:
        """Return the universe to try."""
        return self.of.changed(request=self.request, target=self.target, python=self.python, lenient=self.lenient)


@dataclass(frozen=True)
class Change:
    """One thing that could be otherwise.

    Attributes:
        tier: whose decision it is; the lower, the easier.
        sort: what it changes; two of one sort about the same thing exclude each other.
        about: what it is about.
        apply: makes it.
        told: tells it, knowing the answer that it made possible.
        weight: how much it changes, among those of its sort.
    """

    tier: int
    sort: str
    about: str
    apply: Callable[[Draft], Draft]
    told: Callable[[Universe, Solution], str]
    weight: int = 1

    def excludes(self, other: Change) -> bool:
        """Tell whether the two cannot be made together."""
        return self.sort == other.sort and (self.sort in ("variants", "python", "version") or self.about == other.about)


def changes_of(draft: Draft, causes: Sequence[External]) -> list[Change]:
    """Return the changes worth trying for facts that are impossible together, the easiest first."""
    found = [*_of_command(draft, causes), *_of_choice(draft, causes), *_of_components(draft, causes)]
    known: dict[tuple[str, str], Change] = {}
    for change in found:
        known.setdefault((change.sort, change.about), change)
    return sorted(known.values(), key=lambda change: change.tier)


def _says(text: str) -> Callable[[Universe, Solution], str]:
    return lambda _universe, _answer: text


def _without_pin(key: str) -> Callable[[Draft], Draft]:
    def apply(draft: Draft) -> Draft:
        pins = {name: pin for name, pin in draft.asked.pins.items() if name != key}
        return replace(draft, request=replace(draft.asked, pins=pins))

    return apply


def _with_pin(key: str, pin: str) -> Callable[[Draft], Draft]:
    return lambda draft: replace(draft, request=replace(draft.asked, pins={**draft.asked.pins, key: pin}))


def _without(part: str, name: str) -> Callable[[Draft], Draft]:
    def apply(draft: Draft) -> Draft:
        rest = tuple(item for item in getattr(draft.asked, part) if item != name)
        changed: Any = {part: rest}
        return replace(draft, request=replace(draft.asked, **changed))

    return apply


def _of_command(draft: Draft, causes: Sequence[External]) -> Iterator[Change]:
    universe = draft.of
    for key in universe.request.pins:
        yield Change(COMMAND, "pin", key, _without_pin(key), _says(f"leave out --pin {key}"))
    for ban in universe.request.forbid:
        yield Change(COMMAND, "forbid", ban, _without("forbid", ban), _says(f"leave out --forbid {ban}"))
    for name in universe.request.install:
        yield Change(COMMAND, "install", name, _without("install", name), _says(f"leave out --install {name}"))
    for cause in causes:
        answer = universe.answers.get(cause.dependency.variable)
        if answer is not None and answer.ambiguous:
            for item in answer.fitting:
                key = str(answer.query)
                text = f"say which one: --pin '{key}={item.name}'"
                yield Change(COMMAND, "choose", f"{key}={item.name}", _with_pin(key, item.name), _says(text))
    if any(needs == PYTHON for needs, _ in universe.keys):
        for python in universe.interpreters():
            if python.path != universe.python:
                text = f"choose another interpreter: --python {python.version}"
                yield Change(COMMAND, "python", python.path, _on_python(python.path), _says(text))


def _on_python(path: str) -> Callable[[Draft], Draft]:
    return lambda draft: replace(draft, python=path)


def _of_choice(draft: Draft, causes: Sequence[External]) -> Iterator[Change]:
    universe, own = draft.of, draft.variants
    others = []
    for values in assignments(draft.solution.variants, str(draft.solution.reference)):
        differing = [name for name, value in values.items() if own.get(name) != value]
        if differing:
            others.append((len(differing), values, differing))
    for _, values, differing in sorted(others, key=lambda row: row[0])[:MAX_VARIANTS]:
        text = "take " + " ".join(f"--variant {name}={values[name]}" for name in differing)
        yield Change(CHOICE, "variants", text, _with_variants(values), _says(text), len(differing))
    for component in universe.index.versions(draft.solution.kind, draft.solution.name):
        if component.version != draft.solution.version and set(component.variants) == set(own):
            text = f"take {component.reference}"
            yield Change(CHOICE, "version", text, _with_solution(component), _says(text))
    for cause in causes:
        needs = universe.keys[cause.dependency.variable][0]
        for excluded in universe.excluded[cause.dependency.variable]:
            if excluded.yanked and needs not in universe.request.pins:
                for pin in _versions_of(universe, excluded.yanked):
                    text = f"take {excluded.label} although it was withdrawn: --pin {needs}=={pin}"
                    yield Change(CHOICE, "yanked", f"{needs} {pin}", _with_pin(needs, f"=={pin}"), _says(text))


def _with_variants(values: Mapping[str, str]) -> Callable[[Draft], Draft]:
    return lambda draft: replace(draft, variants=values)


def _with_solution(component: Component) -> Callable[[Draft], Draft]:
    return lambda draft: replace(draft, solution=component)


def _versions_of(universe: Universe, reference: str) -> list[str]:
    name, _, version = reference.partition("@")
    kind, _, bare = name.partition(":")
    for component in universe.index.versions(kind, bare):
        if component.version == version:
            provided = component.meta.get("provides", {}).get("versions", [version])
            return sorted(provided, key=preference, reverse=True)[:3]
    return []


def _of_components(draft: Draft, causes: Sequence[External]) -> Iterator[Change]:
    universe = draft.of
    for cause in causes:
        asked = cause.dependency.reason
        if isinstance(asked, Circle) and cause.clause is not None:
            yield from _around(universe, cause)
        if not isinstance(asked, Asked) or not asked.component:
            continue
        key = (asked.component, asked.role or asked.needs)
        if asked.relation == "conflict":
            text = f"drop the conflict with {asked.needs} from the cr.json of {asked.component}, if it no longer holds"
            yield Change(COMPONENT, "conflict", str(key), _passing_over(*key), _says(text))
        elif asked.relation == "handed":
            text = f'write "propagate": false beside the `needs` that leads to {asked.needs}, so that {asked.variants} is not handed on to it'
            yield Change(COMPONENT, "handed", str(key), _passing_over(*key), _says(text))
        elif asked.constraint or asked.variants:
            yield Change(COMPONENT, "wish", str(key), _passing_over(*key), _accepting(asked))
    yield from _several(universe, causes)


def _passing_over(component: str, role: str) -> Callable[[Draft], Draft]:
    def apply(draft: Draft) -> Draft:
        wishes = draft.lenient.wishes | {(component, role)}
        return replace(draft, lenient=replace(draft.lenient, wishes=wishes))

    return apply


def _accepting(asked: Asked) -> Callable[[Universe, Solution], str]:
    def told(universe: Universe, answer: Solution) -> str:
        taken = _taken(universe, answer, asked)
        where = f"in the cr.json of {asked.component}"
        names = [pair.partition("=")[0] for pair in asked.variants.split(", ")] if asked.variants else []
        shown = ", ".join(f"{n}={taken[1].variants[n]}" for n in names if taken and n in taken[1].variants)
        if not asked.constraint:
            return (
                f"ask for {shown} instead of {asked.variants} {where}"
                if shown
                else f"ask no more for {asked.variants} {where}"
            )
        wish = " with ".join(part for part in (f"`{asked.constraint}`", asked.variants) if part)
        what = (
            f"{taken[0]} {taken[1].version}{f' with {shown}' if shown else ''}" if taken else f"another {asked.needs}"
        )
        return f"relax {wish} {where}, so that it takes {what}"

    return told


def _taken(universe: Universe, answer: Solution, asked: Asked) -> tuple[str, Candidate] | None:
    """Return what an answer has for what was asked for: its name and the candidate."""
    for variable, position in answer.selected.items():
        if variable in universe.choices:
            continue
        if universe.candidates[variable][position].component.reference.unversioned != asked.component:
            continue
        for role, dependency in universe.roles(variable, position):
            if role == asked.role and dependency.required:
                target = dependency.variable
                if target in universe.choices:
                    inner = universe.choices[target][answer.selected[target]].dependency
                    if inner is None:
                        return None
                    target = inner.variable
                return universe.keys[target][0], universe.candidates[target][answer.selected[target]]
    return None


def _around(universe: Universe, cause: External) -> Iterator[Change]:
    """Yield the changes that break a circle: each of its members could do without the next one."""
    members = [variable for variable, _ in (cause.clause.terms if cause.clause else ())]
    masks = dict(cause.clause.terms if cause.clause else ())
    for variable in members:
        if variable in universe.choices:
            continue
        for position in range(universe.count(variable)):
            if not masks[variable] >> position & 1:
                continue
            own = universe.candidates[variable][position].component.reference.unversioned
            for role, dependency in universe.roles(variable, position):
                if dependency.required and dependency.variable in masks:
                    text = f'let {own} do without {universe.keys[dependency.variable][0]} ("optional": true for `{role}` in its cr.json)'
                    yield Change(COMPONENT, "role", f"{own} {role}", _dropping(own, role), _says(text))


def _dropping(component: str, role: str) -> Callable[[Draft], Draft]:
    def apply(draft: Draft) -> Draft:
        roles = draft.lenient.roles | {(component, role)}
        return replace(draft, lenient=replace(draft.lenient, roles=roles))

    return apply


def _several(universe: Universe, causes: Sequence[External]) -> Iterator[Change]:
    """Yield the capabilities that could be asked for in several versions, if their recipes said so."""
    for variable in dict.fromkeys(cause.dependency.variable for cause in causes):
        candidates = [
            c for c in universe.candidates[variable] if c.source == "install" and c.component.kind == "package"
        ]
        if variable in universe.choices or len({c.version for c in candidates}) < 2:
            continue
        # One Python environment holds one version of a distribution.
        if any(c.component.meta["install"]["using"] == "pip" for c in candidates):
            continue
        needs = universe.keys[variable][0]
        names = " and ".join(dict.fromkeys(c.component.name for c in candidates))
        text = (
            f'write "duplicable": true in the cr.json of {names}, if several versions of {needs} can stand side by side'
        )
        yield Change(COMPONENT, "twice", needs, _twice(needs), _says(text))


def _twice(needs: str) -> Callable[[Draft], Draft]:
    return lambda draft: replace(draft, lenient=replace(draft.lenient, twice=draft.lenient.twice | {needs}))
