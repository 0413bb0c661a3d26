# SPDX-License-Identifier: Apache-2.0
"""`cr init`, `cr plan`, `cr tree` and `cr why`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from codereef.cli.commands.shared import read_variants, session, solution_argument, variant_option
from codereef.cli.edge import key_values, note, print_json, shared_options, table
from codereef.disk import human

if TYPE_CHECKING:
    from codereef.lock.model import Lock
    from codereef.workspace.initialise import Plan, Wish

_VERBS = {
    "reuse": "reuse",
    "use": "use",
    "have": "have",
    "copy": "copy",
    "download": "fetch",
    "generate": "generate",
    "environment": "install",
}

_WORK = ("copy", "download", "generate", "environment")


def _request_options(command: Any) -> Any:
    for option in (
        click.option("--python", metavar="PATH|VERSION", help="Python interpreter to build environments on."),
        click.option("--upgrade", is_flag=True, help="Resolve again although the lock holds."),
        click.option(
            "--install",
            "install_",
            multiple=True,
            metavar="CAPABILITY",
            help="Install it although the machine has it (`*` for all).",
        ),
        click.option(
            "--forbid", multiple=True, metavar="COMPONENT", help="Do not use this detector, recipe or component."
        ),
        click.option(
            "--pin",
            "pins",
            multiple=True,
            metavar="NAME=CONSTRAINT",
            help="Pin a capability or component to versions, or to who provides it.",
        ),
    ):
        command = option(command)
    return command


def _wish(
    solution: str,
    variants: tuple[str, ...],
    every: bool,
    pins: tuple[str, ...],
    forbid: tuple[str, ...],
    install_: tuple[str, ...],
    locked: bool,
    upgrade: bool,
) -> Wish:
    from codereef.solve.candidates import Request
    from codereef.workspace.initialise import Wish

    return Wish(
        solution,
        read_variants(variants),
        every,
        Request(key_values(pins, "--pin"), tuple(forbid), tuple(install_)),
        locked,
        upgrade,
    )


def _plan_data(plan: Plan) -> dict[str, Any]:
    return {
        "solution": str(plan.solution.reference),
        "configurations": [c.id for c in plan.lock.configurations],
        "lock": str(plan.folder / "cr.lock"),
        "lock_kept": plan.kept,
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
    }


def _print_plan(plan: Plan) -> None:
    count = len(plan.lock.configurations)
    click.echo(
        f"{plan.solution.reference}: {count} configuration{'s' if count > 1 else ''} on {plan.lock.configurations[0].target}"
    )
    order = list(_VERBS)
    rows = []
    for step in sorted(plan.steps, key=lambda s: order.index(s.action)):
        size = "?" if step.size is None else human(step.size) if step.size else ""
        rows.append([_VERBS[step.action], step.what, size, step.origin])
    click.echo(table(rows, ["step", "what", "size", "from"], right=[2]))
    todo = [s for s in plan.steps if s.action in _WORK]
    total = sum(s.size or 0 for s in todo)
    click.echo(
        f"{len(plan.steps) - len(todo)} there already, {len(todo)} to install"
        + (f", {human(total)} to fetch" if total else "")
        + (" besides Python distributions" if any(s.size is None for s in todo) else "")
        + "."
    )


@click.command(
    epilog="\b\nExamples:\n  cr plan demo-object-detection\n  cr plan demo-object-detection --all-variants --json"
)
@solution_argument
@variant_option
@_request_options
@shared_options
def plan(
    solution: str,
    directory: Path,
    variants: tuple[str, ...],
    all_variants: bool,
    pins: tuple[str, ...],
    forbid: tuple[str, ...],
    install_: tuple[str, ...],
    upgrade: bool,
    python: str | None,
    as_json: bool,
) -> None:
    """Show what `cr init SOLUTION` would reuse, fetch and build, how large, and from where. Changes nothing."""
    from codereef.workspace.initialise import make_plan

    made = make_plan(
        session(python=python),
        _wish(solution, variants, all_variants, pins, forbid, install_, False, upgrade),
        directory,
    )
    if as_json:
        print_json(_plan_data(made))
    else:
        _print_plan(made)


@click.command(
    epilog="\b\nExamples:\n  cr init demo-object-detection\n  cr init demo-object-detection --all-variants\n  cr init demo-object-detection --variant format=tflite --pin compiler.python=3.11\n  cr init ssd-mobilenet-coco --locked --offline"
)
@solution_argument
@variant_option
@_request_options
@click.option("--locked", is_flag=True, help="Refuse to differ from the lock.")
@click.option("--offline", is_flag=True, help="Use no network.")
@shared_options
def init(
    solution: str,
    directory: Path,
    variants: tuple[str, ...],
    all_variants: bool,
    pins: tuple[str, ...],
    forbid: tuple[str, ...],
    install_: tuple[str, ...],
    upgrade: bool,
    python: str | None,
    locked: bool,
    offline: bool,
    as_json: bool,
) -> None:
    """Detect what this machine has, resolve the rest, write SOLUTION/cr.lock and install.

    Run it again at any time: what is installed is not installed again, and nothing half done is ever used.
    """
    from codereef.cli.progress import TerminalProgress
    from codereef.errors import UsageError
    from codereef.workspace.initialise import carry_out, make_plan

    if locked and upgrade:
        raise UsageError("--locked permits no new lock and --upgrade asks for one.", hint="Leave out one of the two.")
    started = time.monotonic()
    current = session(offline=offline, python=python)
    made = make_plan(
        current, _wish(solution, variants, all_variants, pins, forbid, install_, locked, upgrade), directory
    )
    todo = [s for s in made.steps if s.action in _WORK]
    if not as_json and todo:
        _print_plan(made)
    if made.dropped:
        note(f"note: the lock will no longer have {'; '.join(made.dropped)}. Name all variants you want to keep them.")
    progress = TerminalProgress()
    try:
        ready = carry_out(current, made, progress)
    finally:
        progress.close()
    if as_json:
        print_json(
            {
                **_plan_data(made),
                "installed": list(ready.installed.built),
                "seconds": round(time.monotonic() - started, 3),
            }
        )
        return
    done = f"installed {len(ready.installed.built)} in" if ready.installed.built else "everything was there;"
    click.echo(
        f"{made.solution.reference} is ready ({done} {time.monotonic() - started:.1f} s). Lock: {made.folder / 'cr.lock'}"
    )
    note(f"Next: cr benchmark {made.solution.name}")


def _lock_or_plan(solution: str, directory: Path, variants: tuple[str, ...], every: bool) -> Lock:
    from codereef.workspace.initialise import Wish, make_plan

    return make_plan(session(), Wish(solution, read_variants(variants), every), directory).lock


@click.command(epilog="\b\nExample:\n  cr tree demo-object-detection")
@solution_argument
@variant_option
@shared_options
def tree(solution: str, directory: Path, variants: tuple[str, ...], all_variants: bool, as_json: bool) -> None:
    """Show the graph of a solution: its lock where there is one, else what init would resolve."""
    lock = _lock_or_plan(solution, directory, variants, all_variants)
    if as_json:
        from codereef.lock.model import to_document

        print_json(to_document(lock))
        return
    for configuration in lock.configurations:
        click.echo(click.style(f"{configuration.id} on {configuration.target}", bold=True))
        seen: set[str] = set()

        def show(key: str, role: str, prefix: str, last: bool, top: bool, seen: set[str] = seen) -> None:
            node = lock.nodes[key]
            branch = "" if top else "└─ " if last else "├─ "
            name = key if node.source != "install" or not node.capability else f"{key} ← {node.component}"
            mark = " (detected)" if node.source == "detected" else ""
            again = " …" if key in seen and node.deps else ""
            click.echo(f"{prefix}{branch}{role + ': ' if role else ''}{name}{mark}{again}")
            if again:
                return
            seen.add(key)
            following = sorted(node.deps.items())
            for i, (child_role, child) in enumerate(following):
                show(
                    child,
                    child_role,
                    prefix + ("" if top else "   " if last else "│  "),
                    i == len(following) - 1,
                    False,
                )

        show(configuration.root, "", "", True, True)
        environment = lock.environments.get(configuration.environment)
        if environment and environment.distributions:
            click.echo("Python distributions: " + ", ".join(f"{d.name} {d.version}" for d in environment.distributions))


@click.command(
    epilog="\b\nExamples:\n  cr why demo-object-detection python.numpy\n  cr why demo-object-detection lib.tflite --variant format=tflite"
)
@solution_argument
@click.argument("what")
@variant_option
@shared_options
def why(
    solution: str, what: str, directory: Path, variants: tuple[str, ...], all_variants: bool, as_json: bool
) -> None:
    """Say why WHAT (a capability or component) is in the graph of a solution: every chain that asks for it."""
    from codereef.errors import NotFoundError
    from codereef.meta.reference import nearest

    lock = _lock_or_plan(solution, directory, variants, all_variants)
    chains: list[list[str]] = []
    matching = {
        key
        for key, node in lock.nodes.items()
        if what
        in (
            key,
            node.capability,
            node.component,
            node.component.split("@")[0],
            node.component.split(":")[1].split("@")[0],
        )
    }
    if not matching:
        names = {node.capability or node.component.split("@")[0] for node in lock.nodes.values()}
        near = nearest(what, names)
        raise NotFoundError(
            f"`{what}` is not in the graph of {lock.solution}.",
            hint=f"Did you mean `{near[0]}`?" if near else "`cr tree` shows the graph.",
        )
    for configuration in lock.configurations:
        stack: list[list[tuple[str, str]]] = [[("", configuration.root)]]
        while stack:
            path = stack.pop()
            if path[-1][1] in matching:
                chains.append(
                    [f"{configuration.id}: {path[0][1]}", *(f"needs {role}: {key}" for role, key in path[1:])]
                )
                continue
            for role, child in sorted(lock.nodes[path[-1][1]].deps.items(), reverse=True):
                stack.append([*path, (role, child)])
    if as_json:
        print_json({"what": what, "nodes": sorted(matching), "chains": chains})
        return
    for chain in chains:
        for depth, line in enumerate(chain):
            click.echo("  " * depth + line)
