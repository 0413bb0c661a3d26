# SPDX-License-Identifier: Apache-2.0
"""What a person can do when there is no graph: the smallest change first."""

from __future__ import annotations

from collections.abc import Sequence

from codereef.meta.reference import is_capability, nearest, parse_reference
from codereef.meta.versions import satisfies
from codereef.solve.candidates import Asked
from codereef.solve.derivation import External
from codereef.solve.universe import Universe


def remedy(universe: Universe, causes: Sequence[External]) -> str:
    """Return the hint for facts that are impossible together.

    Args:
        universe: what the engine worked on.
        causes: the facts.
    """
    own = list(dict.fromkeys(e.remedy for c in causes for e in universe.excluded[c.dependency.variable] if e.remedy))
    # What the user asked for comes first: taking that back is the smallest change.
    own = [text for text in own if text.startswith("leave out")] or own
    if own:
        return f"This may help: {' · '.join(own)}."
    empty = [(c, c.dependency.reason) for c in causes if c.kind == "empty" and isinstance(c.dependency.reason, Asked)]
    if empty:
        cause, asked = empty[0]
        return _lacking(universe, cause.dependency.variable, asked)
    conflict = next((a for a in (c.dependency.reason for c in causes) if isinstance(a, Asked) and a.conflict), None)
    if conflict is not None:
        return f"Use another version of {conflict.needs}, or do without {conflict.by}; the `deps` and `conflicts` in their cr.json say why they are here."
    asked_for: dict[int, list[str]] = {}
    for cause in causes:
        reason = cause.dependency.reason
        if cause.variable is not None and isinstance(reason, Asked):
            asked_for.setdefault(cause.dependency.variable, []).append(reason.by)
    for variable, askers in asked_for.items():
        if len(set(askers)) > 1:
            who = " and ".join(dict.fromkeys(askers))
            return f"No version of {universe.keys[variable][0]} suits {who}: relax one of the two in its cr.json, or add a repository with other versions (`cr repo add`)."
    return "`cr search` and `cr repo add` find other versions of what is named above."


def _lacking(universe: Universe, variable: int, asked: Asked) -> str:
    """Return what to do about a requirement that nothing meets."""
    needs, scope = universe.keys[variable]
    candidates = universe.candidates[variable]
    if asked.by == "you":
        return "`cr search --kind solution` lists the others."
    where = f"the cr.json of {asked.by}"
    fitting = [c for c in candidates if satisfies(c.version, asked.constraint)]
    if asked.variants and fitting:
        return f"Ask in {where} for variants that {needs} has, or choose another value for your own with --variant."
    if candidates and all(c.source == "detected" for c in candidates):
        constraint = f" {asked.constraint}" if asked.constraint else ""
        return f"Install {needs}{constraint} with the system's package manager; `cr detect {needs}` shows whether it is found."
    if candidates:
        return f"Relax `{asked.constraint}` in {where}, or add a repository that has such a version (`cr repo add`)."
    if universe.excluded[variable] and not universe.detectors(needs):
        return f"Add a repository that has a {needs} for {universe.machine(scope).triple} (`cr repo add`)."
    if is_capability(needs):
        if universe.detectors(needs) and universe.machine(scope).triple == universe.host.triple:
            return f"Install one with the system's package manager; `cr detect {needs}` shows whether it is found."
        if universe.detectors(needs):
            return f"Add a repository that has a {needs} for {universe.machine(scope).triple} (`cr repo add`)."
        near = nearest(needs, universe.capabilities())
    else:
        reference = parse_reference(needs)
        near = [
            f"{reference.kind}:{n}"
            for n in nearest(reference.name, [c.name for c in universe.index.components if c.kind == reference.kind])
        ]
    meant = f"Did you mean {' or '.join(near)}? " if near else ""
    return f"{meant}Correct {where}, or add the repository that has it (`cr repo add`)."
