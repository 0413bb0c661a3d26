# SPDX-License-Identifier: Apache-2.0
"""What a person can do when there is no graph: the smallest changes that were tried and do help.

Changes are worked out from the facts that are impossible together, and each is tried by solving again. What
the user said on the command line comes before other choices of theirs, and those before changes of somebody's
component. Two changes at a time are tried only where no single one helps.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from codereef.errors import CrError
from codereef.meta.component import Component
from codereef.meta.reference import is_capability, nearest
from codereef.meta.versions import satisfies
from codereef.repo.query import near_tags
from codereef.solve.answers import Solution
from codereef.solve.candidates import Asked, TargetFacts
from codereef.solve.changes import COMMAND, COMPONENT, Change, Draft, changes_of
from codereef.solve.derivation import External
from codereef.solve.elsewhere import found_elsewhere
from codereef.solve.queries import Answer, near_names
from codereef.solve.search import Impossible, possible
from codereef.solve.universe import Universe

#: How many changes or pairs of changes are tried, and how far each of them.
MAX_TRIES = 60
MAX_STEPS = 20_000
#: How many are told.
MAX_TOLD = 3


@dataclass(frozen=True)
class Hint:
    """What to do.

    Attributes:
        text: for people; one or several lines.
        changes: smallest sets of changes that were tried and make the request solvable.
    """

    text: str
    changes: tuple[tuple[str, ...], ...] = ()


def remedy(found: Impossible, solution: Component, variants: Mapping[str, str], causes: Sequence[External]) -> Hint:
    """Return the hint for facts that are impossible together.

    Args:
        found: the proof, and what it is about.
        solution: what the user named.
        variants: its variant values.
        causes: the facts.
    """
    universe = found.universe
    draft = Draft(universe, solution, dict(variants))
    helping = _helping(draft, causes)
    targets = _targets(draft, causes)
    guess = _guess(universe, causes, bool(helping) or bool(targets))
    sentences: list[str] = []
    if guess.installs and all(change.tier == COMPONENT for set_ in helping for change in set_):
        # To install what is asked for is less than to doubt that it is needed.
        sentences.append(guess.text)
    texts = [", and also ".join(change.text for change in set_) for set_ in helping]
    start = "It can also be had if you" if sentences else "It can be had if you"
    if len(texts) == 1:
        sentences.append(f"{start} {texts[0]}.")
    elif texts:
        sentences.append("\n".join([f"{start} do one of these:", *(f"  · {text}" for text in texts)]))
    if targets:
        on = " and ".join(targets)
        sentences.append(f"On {on} it can be had as it is." if sentences else f"It can be had on {on}.")
    if guess.text and guess.text not in sentences:
        other = guess.installs and bool(sentences)
        sentences.append(f"Or i{guess.text[1:]}" if other else guess.text)
    told = (*(tuple(c.text for c in set_) for set_ in helping), *((f"target {t}",) for t in targets))
    return Hint(("\n" if len(texts) > 1 else " ").join(sentences), told)


@dataclass(frozen=True)
class _Told:
    """A change that was tried and helps."""

    tier: int
    text: str


@dataclass(frozen=True)
class _Guess:
    """What may help and cannot be tried; `installs` where it is to install software on this machine."""

    text: str
    installs: bool = False


def _helping(draft: Draft, causes: Sequence[External]) -> list[tuple[_Told, ...]]:
    """Return the smallest sets of changes that make the request solvable."""
    changes = changes_of(draft, causes)
    left = MAX_TRIES
    told: list[tuple[_Told, ...]] = []
    tier = 0
    weights: dict[str, int] = {}
    for change in changes:
        # What is easier suffices: who can take back an option need not change a component.
        if left <= 0 or len(told) >= MAX_TOLD or (told and tier == COMMAND and change.tier > COMMAND):
            break
        if change.weight > weights.get(change.sort, change.weight):
            continue  # Less of the same suffices.
        left -= 1
        text = _tried(draft, [change])
        if text is not None:
            weights.setdefault(change.sort, change.weight)
            told.append(text)
            tier = tier or change.tier
    if told:
        return told
    for pair in itertools.combinations(changes, 2):
        if left <= 0 or len(told) >= MAX_TOLD:
            break
        if pair[0].excludes(pair[1]):
            continue
        left -= 1
        text = _tried(draft, list(pair))
        if text is not None:
            told.append(text)
    return told


def _tried(draft: Draft, changes: Sequence[Change]) -> tuple[_Told, ...] | None:
    """Return changes as they are told if together they make the request solvable, else None."""
    current = draft
    for change in changes:
        current = change.apply(current)
    try:
        universe, answer = possible(
            current.universe(), lambda u: u.root(current.solution, current.variants), max_steps=MAX_STEPS
        )
    except CrError:
        return None  # Neither an answer nor a proof, or nonsense: not told.
    if not isinstance(answer, Solution):
        return None
    return tuple(_Told(change.tier, change.told(universe, answer)) for change in changes)


def _targets(draft: Draft, causes: Sequence[External]) -> list[str]:
    """Return the targets that something lacking is made for, and on which the request is solvable."""
    universe = draft.of
    wanted: dict[str, None] = {}
    for cause in causes:
        for excluded in universe.excluded[cause.dependency.variable]:
            wanted.update(dict.fromkeys(excluded.targets))
    told = []
    for triple in list(wanted)[:4]:
        current = draft.on(TargetFacts.from_triple(triple))
        try:
            _, answer = possible(
                current.universe(), lambda u: u.root(draft.solution, draft.variants), max_steps=MAX_STEPS
            )
        except CrError:
            continue
        if isinstance(answer, Solution):
            told.append(triple)
    return told


def _guess(universe: Universe, causes: Sequence[External], helped: bool) -> _Guess:
    """Return what may help besides, and cannot be tried: what other repositories or people may have."""
    lacking = [c.dependency for c in causes if c.kind == "empty" and isinstance(c.dependency.reason, Asked)]
    places = found_elsewhere(universe, [dependency.variable for dependency in lacking])
    if places:
        place = places[0][0]
        return _Guess(f"{'Or use' if helped else 'Use'} {place.place.split(',')[0]}: {place.remedy}.")
    if lacking:
        asked = lacking[0].reason
        assert isinstance(asked, Asked)
        return _about_lacking(universe, lacking[0].variable, asked, helped)
    if helped:
        return _Guess("")
    conflict = next((a for a in (c.dependency.reason for c in causes) if isinstance(a, Asked) and a.conflict), None)
    if conflict is not None:
        return _Guess(
            f"Use another version of {conflict.needs}, or do without {conflict.by}; the `deps` and `conflicts` in their cr.json say why they are here."
        )
    return _Guess("`cr search` and `cr repo add` find other versions of what is named above.")


def _about_lacking(universe: Universe, variable: int, asked: Asked, helped: bool) -> _Guess:
    """Return what to do about a requirement that nothing meets."""
    answer = universe.answers.get(variable)
    where = f"the cr.json of {asked.by}"
    if answer is not None:
        return _about_query(universe, answer, where, helped)
    needs, scope = universe.keys[variable]
    candidates = universe.candidates[variable]
    machine = universe.machine(scope).triple
    if asked.by == "you":
        return _Guess("" if helped else "`cr search --kind solution` lists the others.")
    if asked.variants and any(satisfies(c.version, asked.constraint) for c in candidates):
        text = f"Ask in {where} for variants that {needs} has, or choose another value for your own with --variant."
        return _Guess("" if helped else text)
    left_out = universe.excluded[variable]
    # What others have would meet the same pin or ban: it is the user's own word that goes first.
    mine = sorted({excluded.remedy for excluded in left_out if excluded.remedy.startswith("leave out")})
    if mine:
        first = mine[0][0].upper() + mine[0][1:]
        return _Guess("" if helped else f"{first} first; what else is in the way is told then.")
    wanted = f"{needs} {asked.constraint}".strip()
    detectors = universe.detectors(needs)
    if detectors and machine == universe.host.triple and not any(c.source == "install" for c in candidates):
        return _Guess(
            f"Install {wanted} with the system's package manager; `cr detect {needs}` shows whether it is found.", True
        )
    start = "Or add" if helped else "Add"
    if candidates:
        return _Guess(f"{start} a repository that has {wanted} (`cr repo add`).")
    if left_out or detectors:
        where = f" for {machine}" if detectors or any(excluded.targets for excluded in left_out) else ""
        return _Guess(f"{start} a repository that has {wanted}{where} (`cr repo add`).")
    near = nearest(needs, universe.capabilities()) if is_capability(needs) else near_names(universe.index, needs)
    meant = f"Did you mean {' or '.join(near)}? " if near else ""
    return _Guess(f"{meant}Correct {where}, or add the repository that has it (`cr repo add`).")


def _about_query(universe: Universe, answer: Answer, where: str, helped: bool) -> _Guess:
    """Return what to do about a query by tags that nothing meets, or several."""
    if answer.ambiguous:
        return _Guess("" if helped else f"Name more tags in {where}, or pin one of them.")
    if helped:
        return _Guess("Or add a repository that has one (`cr repo add`).")
    near = near_tags(universe.index, answer.query)
    meant = f"Did you mean the tag {' or '.join(near)}? " if near else ""
    return _Guess(f"{meant}Correct {where}, or add the repository that has one (`cr repo add`).")
