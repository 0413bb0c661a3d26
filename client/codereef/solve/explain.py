# SPDX-License-Identifier: Apache-2.0
"""Why there is no graph, in the user's terms.

The engine's proof is shrunk to facts that are impossible together and none of which can be spared. They are
told from the solution outwards, one line each: who needs what, and at the end what there is instead. What to
do comes as the hint; `solve.remedies` knows that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from codereef.errors import ResolutionError
from codereef.meta.component import Component
from codereef.meta.versions import parse_version
from codereef.solve.answers import NoSolution
from codereef.solve.candidates import Asked, Candidate, Excluded
from codereef.solve.derivation import External
from codereef.solve.engine import minimal_core
from codereef.solve.remedies import remedy
from codereef.solve.terms import Dependency
from codereef.solve.universe import Universe

MAX_LINES = 11
MAX_VERSIONS = 5


def _listed(names: Iterable[str], last: str = "and", limit: int = 6) -> str:
    unique = list(dict.fromkeys(names))
    if len(unique) > limit:
        return ", ".join(unique[: limit - 1]) + f" {last} {len(unique) - limit + 1} more"
    return f" {last} ".join([*([", ".join(unique[:-1])] if unique[1:] else []), *unique[-1:]])


def _named(candidates: Iterable[Candidate]) -> str:
    """Write candidates by component, each with its versions and, where they differ, its variants."""
    groups: dict[tuple[str, bool], list[Candidate]] = {}
    for candidate in candidates:
        groups.setdefault((candidate.component.name, candidate.source == "detected"), []).append(candidate)
    texts = []
    for (name, detected), members in groups.items():
        versions = sorted({c.version for c in members}, key=parse_version)
        shown = (
            f"{versions[0]} to {versions[-1]} ({len(versions)} versions)"
            if len(versions) > MAX_VERSIONS
            else _listed(versions)
        )
        variants = {", ".join(f"{k}={v}" for k, v in sorted(c.variants.items())): None for c in members if c.variants}
        if members[0].component.kind == "solution":
            variants = {}  # The first line of the message has them.
        texts.append(
            f"{name} {shown}"
            + (f" with {_listed(variants, 'or')}" if variants else "")
            + (" on this machine" if detected else "")
        )
    return _listed(texts)


def _there_is(universe: Universe, variable: int) -> list[str]:
    """Say what there is of a requirement, and what was left out and why."""
    needs, _ = universe.keys[variable]
    candidates = universe.candidates[variable]
    lines = [f"of {needs} there is only {_named(candidates)}"] if candidates else []
    reasons: dict[str, list[Excluded]] = {}
    for excluded in universe.excluded[variable]:
        reasons.setdefault(excluded.reason, []).append(excluded)
    for reason, members in reasons.items():
        known = [e.candidate for e in members if e.candidate is not None]
        names = _named(known) if len(known) == len(members) else _listed(e.label for e in members)
        lines.append(f"{names} cannot be used: {reason}")
    if lines:
        return lines
    detectors = universe.detectors(needs)
    if detectors:
        return [
            f"this machine has no {needs} ({_listed((d.name for d in detectors), 'or')}), and no package installs one"
        ]
    return [f"there is no {needs} in any repository"]


def _from_the_solution_outwards(causes: Sequence[External]) -> list[External]:
    """Put facts in the order in which a reader meets them: the solution's first, then those of what it needs."""
    depth: dict[int, int] = {cause.dependency.variable: 0 for cause in causes if cause.variable is None}
    for _ in causes:
        for cause in causes:
            if cause.variable in depth and cause.dependency.required:
                depth.setdefault(cause.dependency.variable, depth[cause.variable] + 1)
    far = len(causes) + 1
    return sorted(causes, key=lambda cause: -1 if cause.variable is None else depth.get(cause.variable, far))


def _facts(universe: Universe, causes: Sequence[External]) -> list[str]:
    # Versions of one component that need the same thing are told together.
    groups: dict[tuple[int, str, bool], tuple[Asked, int]] = {}
    # How often something is asked for; what cannot be had at all counts as disputed by itself.
    requests: dict[int, int] = {}
    seen: set[tuple[int | None, str, bool]] = set()
    for cause in causes:
        asked = cause.dependency.reason
        if not isinstance(asked, Asked):
            continue
        lacking = cause.kind == "empty"
        if lacking or (cause.variable, asked.wanted, asked.conflict) not in seen:
            requests[cause.dependency.variable] = requests.get(cause.dependency.variable, 0) + (2 if lacking else 1)
        seen.add((cause.variable, asked.wanted, asked.conflict))
        if cause.variable is not None:
            key = (cause.variable, asked.wanted, asked.conflict)
            groups[key] = (asked, groups.get(key, (asked, 0))[1] | cause.dependers)
    lines: list[str] = []
    for (variable, wanted, conflict), (asked, mask) in groups.items():
        who = [c for i, c in enumerate(universe.candidates[variable]) if mask >> i & 1]
        if conflict:
            constraint = f" {asked.constraint}" if asked.constraint else ""
            lines.append(
                f"{_named(who)} cannot be combined with {asked.needs}{constraint}"
                + (f": {asked.variants}" if asked.variants else "")
            )
        else:
            one = len({(c.component.name, c.version) for c in who}) == 1
            lines.append(f"{_named(who)} need{'s' if one else ''} {wanted}")
    for variable, count in requests.items():
        if count > 1:
            lines += _there_is(universe, variable)
    return list(dict.fromkeys(lines))


def explain(
    universe: Universe,
    solution: Component,
    variants: Mapping[str, str],
    answer: NoSolution,
    roots: Sequence[Dependency],
) -> ResolutionError:
    """Return the error for an impossible request.

    Args:
        universe: what the engine worked on.
        solution: what the user named.
        variants: its variant values.
        answer: the engine's proof.
        roots: what was asked.
    """
    causes = _from_the_solution_outwards(minimal_core(universe, roots, answer.derivation).causes)
    lines = _facts(universe, causes)
    if len(lines) > MAX_LINES:
        lines = [*lines[: MAX_LINES - 1], f"and {len(lines) - MAX_LINES + 1} more such facts"]
    shown = ", ".join(f"{k}={v}" for k, v in sorted(variants.items()))
    head = f"{solution.reference.unversioned}{f' with {shown}' if shown else ''} cannot be had on {universe.target.triple}:"
    return ResolutionError(
        head + "\n" + "\n".join(f"  · {line}" for line in lines),
        hint=remedy(universe, causes),
        context={
            "solution": str(solution.reference),
            "target": universe.target.triple,
            "variants": dict(variants),
            "facts": lines,
        },
    )
