# SPDX-License-Identifier: Apache-2.0
"""Why there is no graph, in the user's terms.

The engine's proof is shrunk to facts that are impossible together and none of which can be spared. Each is
written as one line: who asks for what, and what there is instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from codereef.errors import ResolutionError
from codereef.meta.component import Component
from codereef.meta.reference import is_capability, nearest, parse_reference
from codereef.solve.candidates import Asked
from codereef.solve.derivation import External
from codereef.solve.engine import minimal_core
from codereef.solve.terms import Dependency, NoSolution
from codereef.solve.universe import Universe

MAX_LINES = 12


def _listed(names: Sequence[str], limit: int = 6) -> str:
    unique = list(dict.fromkeys(names))
    if len(unique) <= limit:
        return ", ".join(unique)
    return ", ".join(unique[: limit - 1]) + f" and {len(unique) - limit + 1} more"


def _available(universe: Universe, variable: int) -> str:
    """Say what could stand for a variable."""
    needs, _ = universe.keys[variable]
    found = universe.candidates[variable]
    if found:
        return f"{needs} is here as {_listed([c.label for c in found])}"
    left_out = universe.excluded[variable]
    if left_out:
        return "; ".join(dict.fromkeys(f"{e.label} {e.reason}" for e in left_out[:4]))
    if is_capability(needs):
        detectors = universe.detectors(needs)
        if detectors:
            return f"this machine has no {needs} that {_listed(['`' + d.name + '`' for d in detectors])} would detect, and no package installs it"
        near = nearest(needs, universe.capabilities())
        return f"nobody detects or installs {needs}" + (f" (did you mean {_listed(near)}?)" if near else "")
    reference = parse_reference(needs)
    near = nearest(reference.name, [c.name for c in universe.index.components if c.kind == reference.kind])
    return f"no repository has {needs}" + (f" (did you mean {_listed([f'{reference.kind}:{n}' for n in near])}?)" if near else "")


def _line(universe: Universe, cause: External) -> list[str]:
    asked = cause.dependency.reason
    if not isinstance(asked, Asked):
        return []
    if asked.conflict:
        return [f"{asked.by} cannot stand beside {asked.needs}{' ' + asked.constraint if asked.constraint else ''}" + (f": {asked.variants}" if asked.variants else "")]
    who = "you ask for" if asked.by == "you" else f"{_dependers(universe, cause, asked)} needs"
    lines = [f"{who} {asked.wanted}"]
    if cause.kind == "empty":
        lines.append(_available(universe, cause.dependency.variable))
    return lines


def _dependers(universe: Universe, cause: External, asked: Asked) -> str:
    if cause.variable is None:
        return asked.by
    labels = [c.label for i, c in enumerate(universe.candidates[cause.variable]) if cause.dependers >> i & 1]
    return _listed(labels, 4) if len(labels) > 1 else asked.by


def _hints(universe: Universe, causes: Sequence[External]) -> str:
    remedies: list[str] = []
    for cause in causes:
        for excluded in universe.excluded[cause.dependency.variable]:
            if excluded.remedy:
                remedies.append(excluded.remedy)
    if remedies:
        return "One of these may help: " + _listed([f"`{r}`" for r in remedies]) + "."
    for cause in causes:
        needs, _ = universe.keys[cause.dependency.variable]
        if cause.kind == "empty" and is_capability(needs) and universe.detectors(needs) and not universe.candidates[cause.dependency.variable]:
            return f"Install one with the system's package manager; `cr detect {needs}` shows whether it is found."
        if cause.kind == "empty" and isinstance(cause.dependency.reason, Asked) and cause.dependency.reason.constraint and universe.candidates[cause.dependency.variable]:
            return f"Relax {cause.dependency.reason.constraint} in {cause.dependency.reason.by}, or add a repository that has such a version (`cr repo add`)."
    return "`cr tree` shows who needs what; `cr search` and `cr repo add` find other versions."


def explain(universe: Universe, solution: Component, variants: Mapping[str, str], answer: NoSolution, roots: Sequence[Dependency]) -> ResolutionError:
    """Return the error for an impossible request.

    Args:
        universe: what the engine worked on.
        solution: what the user named.
        variants: its variant values.
        answer: the engine's proof.
        roots: what was asked.
    """
    core = minimal_core(universe, roots, answer.derivation)
    lines: list[str] = []
    for cause in core.causes:
        for line in _line(universe, cause):
            if line not in lines:
                lines.append(line)
    # Where two requests for one thing disagree, say what there is of it.
    wanted: dict[int, int] = {}
    for cause in core.causes:
        if cause.kind != "empty":
            wanted[cause.dependency.variable] = wanted.get(cause.dependency.variable, 0) + 1
    for variable, count in wanted.items():
        if count > 1:
            lines.append(_available(universe, variable))
    if len(lines) > MAX_LINES:
        lines = [*lines[: MAX_LINES - 1], f"… and {len(lines) - MAX_LINES + 1} more facts (`--json` has them all)"]
    shown = ", ".join(f"{k}={v}" for k, v in sorted(variants.items()))
    head = f"{solution.reference.unversioned}{f' with {shown}' if shown else ''} cannot be had on {universe.target.triple}, because"
    return ResolutionError(
        head + "\n" + "\n".join(f"  · {line}" for line in lines),
        hint=_hints(universe, core.causes),
        context={"solution": str(solution.reference), "target": universe.target.triple, "variants": dict(variants), "facts": lines},
    )
