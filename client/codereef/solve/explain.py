# SPDX-License-Identifier: Apache-2.0
"""Why there is no graph, in the user's terms.

The engine's proof is shrunk to facts that are impossible together and none of which can be spared. They are
told from the solution outwards, one line each: who needs what, and at the end what there is instead. What to
do comes as the hint; `solve.remedies` works that out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from codereef.errors import ResolutionError
from codereef.meta.component import Component
from codereef.meta.selection import configuration_id
from codereef.solve.candidates import Asked, Circle, Excluded
from codereef.solve.derivation import External
from codereef.solve.elsewhere import elsewhere_lines
from codereef.solve.engine import minimal_core
from codereef.solve.remedies import Hint, remedy
from codereef.solve.search import Impossible
from codereef.solve.universe import Universe
from codereef.solve.words import listed, named, shortened

#: Message and hint together; the first line of the message is the headline.
MAX_LINES = 15


def explain(found: Impossible, solution: Component, variants: Mapping[str, str]) -> ResolutionError:
    """Return the error for an impossible request.

    Args:
        found: the proof, and what it is about.
        solution: what the user named.
        variants: its variant values.
    """
    universe = found.universe
    causes = _from_the_solution_outwards(minimal_core(universe, found.roots, found.proof.derivation).causes)
    hint = remedy(found, solution, variants, causes)
    circles = [c.dependency.reason for c in causes if isinstance(c.dependency.reason, Circle)]
    context: dict[str, object] = {
        "solution": str(solution.reference),
        "target": universe.target.triple,
        "variants": dict(variants),
        "changes": [list(change) for change in hint.changes],
    }
    if len(circles) == 1 and not _disputed(universe, causes):
        nodes = circles[0].nodes
        return ResolutionError(
            "These components need each other in a circle and could never be installed: " + " → ".join(nodes) + ".",
            hint=hint.text,
            context={**context, "cycle": list(nodes)},
        )
    lines = _facts(universe, causes)
    others = elsewhere_lines(universe, _lacking(universe, causes))
    if others:
        lines = [line for line in lines if not line.startswith("there is no ")] + others
    return ResolutionError(
        _message(universe, solution, variants, lines, hint), hint=hint.text, context={**context, "facts": lines}
    )


def _message(
    universe: Universe, solution: Component, variants: Mapping[str, str], lines: Sequence[str], hint: Hint
) -> str:
    room = MAX_LINES - 1 - len(hint.text.splitlines())
    if len(lines) > room:
        lines = [*lines[: room - 1], f"and {len(lines) - room + 1} more such facts"]
    shown = f" with {configuration_id(variants).replace(',', ', ')}" if variants else ""
    head = f"{solution.reference.unversioned}{shown} cannot be had on {universe.target.triple}:"
    return head + "\n" + "\n".join(f"  · {line}" for line in lines)


def _from_the_solution_outwards(causes: Sequence[External]) -> list[External]:
    """Put facts in the order in which a reader meets them: the solution's first, then those of what it needs."""
    depth: dict[int, int] = {cause.dependency.variable: 0 for cause in causes if cause.variable is None}
    for _ in causes:
        for cause in causes:
            if cause.variable in depth and cause.dependency.required:
                depth.setdefault(cause.dependency.variable, depth[cause.variable] + 1)
    far = len(causes) + 1
    return sorted(causes, key=lambda cause: -1 if cause.variable is None else depth.get(cause.variable, far))


def _requests(universe: Universe, causes: Sequence[External]) -> dict[int, int]:
    """Return how often something is asked for; what cannot be had at all counts as disputed by itself."""
    requests: dict[int, int] = {}
    seen: set[tuple[int | None, str, str]] = set()
    for cause in causes:
        asked = cause.dependency.reason
        if not isinstance(asked, Asked):
            continue
        lacking = cause.kind == "empty"
        key = (cause.variable, asked.wanted, asked.relation)
        if lacking or key not in seen:
            requests[cause.dependency.variable] = requests.get(cause.dependency.variable, 0) + (2 if lacking else 1)
        seen.add(key)
    return requests


def _disputed(universe: Universe, causes: Sequence[External]) -> list[int]:
    return [variable for variable, count in _requests(universe, causes).items() if count > 1]


def _lacking(universe: Universe, causes: Sequence[External]) -> list[int]:
    return list(dict.fromkeys(cause.dependency.variable for cause in causes if cause.kind == "empty"))


def _facts(universe: Universe, causes: Sequence[External]) -> list[str]:
    # Versions of one component that need the same thing are told together.
    groups: dict[tuple[int, str, str], tuple[Asked, int]] = {}
    lines: list[str] = []
    for cause in causes:
        asked = cause.dependency.reason
        if isinstance(asked, Asked) and cause.variable is not None and cause.variable not in universe.choices:
            key = (cause.variable, asked.wanted, asked.relation)
            groups[key] = (asked, groups.get(key, (asked, 0))[1] | cause.dependers)
    for (variable, wanted, relation), (asked, mask) in sorted(groups.items(), key=lambda row: row[0][2] == "handed"):
        who = [c for i, c in enumerate(universe.candidates[variable]) if mask >> i & 1]
        if relation == "conflict":
            constraint = f" {asked.constraint}" if asked.constraint else ""
            why = f": {shortened(asked.variants)}" if asked.variants else ""
            lines.append(f"{named(who)} cannot be combined with {asked.needs}{constraint}{why}")
        elif relation == "handed":
            lines.append(f"{named(who)} hands {asked.variants} on to everything it needs, so to {asked.needs}")
        else:
            one = len({(c.component.name, c.version) for c in who}) == 1
            lines.append(f"{named(who)} need{'s' if one else ''} {wanted}")
    told: set[int] = set()
    for cause in causes:
        reason = cause.dependency.reason
        if isinstance(reason, Circle):
            lines.append(f"{' → '.join(reason.nodes)} is a circle: none of them could be installed first")
        if cause.variable in universe.answers and cause.variable not in told:
            told.add(cause.variable)
            lines += _fitting(universe, cause.variable)
    for variable in _disputed(universe, causes):
        if variable not in told:
            lines += _there_is(universe, variable)
    return list(dict.fromkeys(lines))


def _fitting(universe: Universe, variable: int) -> list[str]:
    """Say which components fit a query."""
    answer = universe.answers[variable]
    names = [item.name for item in answer.fitting]
    kind = answer.query.kind
    if answer.ambiguous:
        return [f"{listed(names)} fit, and nothing says which one is meant"]
    if names:
        taken = [item.name for item in answer.chosen]
        return [f"the {kind} that fits is {taken[0]}" if len(taken) == 1 else f"{listed(taken, 'or')} would fit"]
    tagged = [c.reference.unversioned for c in universe.index.tagged(kind, answer.query.tags, answer.query.without)]
    if not tagged:
        return [f"no repository has a {answer.query.phrase}"]
    lines = []
    for name in dict.fromkeys(tagged):
        lines += _there_is(universe, universe.variable(name, universe.keys[variable][1]))
    return lines[:4]


def _there_is(universe: Universe, variable: int) -> list[str]:
    """Say what there is of a requirement, and what was left out and why."""
    if variable in universe.answers:
        return _fitting(universe, variable)
    needs, scope = universe.keys[variable]
    candidates = universe.candidates[variable]
    left_out = universe.excluded[variable]
    # A solution is there in other variants at least; what counts is why not in those that were asked for.
    told = candidates and not (needs.startswith("solution:") and left_out)
    lines = [f"of {needs} there is only {named(candidates)}"] if told else []
    reasons: dict[str, list[Excluded]] = {}
    for excluded in left_out:
        reasons.setdefault(excluded.reason, []).append(excluded)
    for reason, members in reasons.items():
        known = [e.candidate for e in members if e.candidate is not None]
        names = named(known) if len(known) == len(members) else listed(e.label for e in members)
        lines.append(f"{names} cannot be used: {shortened(reason)}")
    if lines:
        return lines
    detectors = universe.detectors(needs)
    if detectors and universe.machine(scope).triple == universe.host.triple:
        return [
            f"this machine has no {needs} ({listed((d.name for d in detectors), 'or')}), and no package installs one"
        ]
    return [f"there is no {needs} in any repository"]
