# SPDX-License-Identifier: Apache-2.0
"""How a plan is shown: as a table, as lines that fit a narrow terminal, or as data."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from codereef.cli.edge import table
from codereef.disk import human

if TYPE_CHECKING:
    from codereef.workspace.initialise import Plan
    from codereef.workspace.terms import Terms

_VERBS = {
    "reuse": "reuse",
    "use": "use",
    "have": "have",
    "copy": "copy",
    "download": "fetch",
    "generate": "generate",
    "build": "build",
    "system": "system",
    "environment": "install",
    "bring": "bring",
}

#: Steps that change something.
WORK = ("copy", "download", "generate", "build", "system", "environment")


def plan_data(plan: Plan, terms: Sequence[Terms], open_terms: Sequence[Terms]) -> dict[str, Any]:
    """Return a plan as data, with the terms it is under and those of them not accepted yet."""
    return {
        "solution": str(plan.solution.reference),
        "configurations": [c.id for c in plan.lock.configurations],
        "lock": str(plan.folder / "cr.lock"),
        "lock_kept": plan.kept,
        "targets": list(plan.written.targets),
        "without": {target: dict(reasons) for target, reasons in plan.written.without.items()},
        "download_bytes": sum(s.size or 0 for s in plan.steps),
        "steps": [
            {
                "action": s.action,
                "what": s.what,
                "size": s.size,
                "from": s.origin,
                "configurations": list(s.configurations),
            }
            for s in plan.steps
        ],
        "terms": [
            {"name": t.name, "component": t.component, "url": t.url, "accepted": t not in open_terms} for t in terms
        ],
        "bring": [{"node": key, **error.context} for key, error in plan.missing.items()],
    }


def print_plan(plan: Plan, open_terms: Sequence[Terms]) -> None:
    """Print a plan for people, and the terms that have to be accepted for it."""
    count = len(plan.lock.configurations)
    say(
        f"{plan.solution.reference}: {count} configuration{'s' if count > 1 else ''} on {plan.lock.configurations[0].target}"
    )
    order = list(_VERBS)
    rows = []
    for step in sorted(plan.steps, key=lambda s: order.index(s.action)):
        size = "?" if step.size is None else human(step.size) if step.size else ""
        rows.append([_VERBS[step.action], step.what, size, step.origin])
    click.echo(_lines(rows))
    todo = [s for s in plan.steps if s.action in WORK]
    total = sum(s.size or 0 for s in todo)
    there = sum(s.action not in (*WORK, "bring") for s in plan.steps)
    say(
        f"{there} there already, {len(todo)} to install"
        + (f", {human(total)} to fetch" if total else "")
        + (" besides Python distributions" if any(s.size is None for s in todo) else "")
        + "."
    )
    for entry in open_terms:
        say(f"Terms to accept: {entry.name} ({entry.component}). {entry.summary} {entry.url}")
    brought = sum(s.action == "bring" for s in plan.steps)
    if brought:
        say(f"You have to bring {brought} of them; cr init says how.")


def _columns() -> int | None:
    """Return the width of the terminal, or None where there is none."""
    terminal = sys.stdout is not None and sys.stdout.isatty()
    return shutil.get_terminal_size().columns if terminal else None


def say(text: str) -> None:
    """Print a sentence, broken between words where a terminal is narrower than it is."""
    columns = _columns()
    click.echo(textwrap.fill(text, columns, break_on_hyphens=False) if columns else text)


def _lines(rows: Sequence[Sequence[str]]) -> str:
    """Return steps as a table; on a narrow terminal each as two lines, what is done and from where."""
    head = ["step", "what", "size", "from"]
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    columns = _columns()
    if columns is None or sum(widths) + 2 * (len(widths) - 1) <= columns:
        return table(rows, head, right=[2])
    lines = []
    indent = " " * (widths[0] + 2)
    for verb, what, size, origin in rows:
        lines.append(f"{verb.ljust(widths[0])}  {what}" + (f"  {size}" if size else ""))
        if origin:
            lines.append(f"{indent}from {origin}")
    fold = textwrap.TextWrapper(columns, subsequent_indent=indent + "  ", break_on_hyphens=False)
    return "\n".join(
        folded for line in lines for folded in (_kept_indent(fold, line) if len(line) > columns else [line])
    )


def _kept_indent(fold: textwrap.TextWrapper, line: str) -> list[str]:
    """Return a line in as many as it needs, each behind the first column."""
    text = line.lstrip()
    fold.initial_indent = line[: len(line) - len(text)]
    return fold.wrap(text)
