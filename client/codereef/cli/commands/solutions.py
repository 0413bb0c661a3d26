# SPDX-License-Identifier: Apache-2.0
"""`cr init`, `cr plan`, `cr tree` and `cr why`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from codereef.cli.commands.shared import is_pack, read_variants, session, solution_argument, variant_option
from codereef.cli.edge import interactive, key_values, note, print_json, quiet, shared_options
from codereef.cli.plans import WORK, plan_data, print_plan

if TYPE_CHECKING:
    from codereef.lock.model import Lock
    from codereef.workspace.initialise import Plan, Wish
    from codereef.workspace.session import Session
    from codereef.workspace.terms import Terms


def _request_options(command: Any) -> Any:
    for option in (
        click.option(
            "--data",
            multiple=True,
            metavar="DATASET=FOLDER",
            help="Where data lies that you have to bring; init keeps it.",
        ),
        click.option(
            "--target",
            "targets",
            multiple=True,
            metavar="TRIPLE",
            help="Lock only these targets besides this machine's; all that the solution names by default.",
        ),
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
            help="Pin a capability or component to versions (of a package: of what it provides), or to who provides it.",
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
    targets: tuple[str, ...] = (),
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
        targets,
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
    targets: tuple[str, ...],
    python: str | None,
    data: tuple[str, ...],
    as_json: bool,
) -> None:
    """Show what `cr init SOLUTION` would reuse, fetch and build, how large, and from where. Changes nothing."""
    from codereef.workspace.initialise import make_plan, terms_of
    from codereef.workspace.terms import outstanding

    current = session(python=python, data=key_values(data, "--data"))
    made = make_plan(
        current, _wish(solution, variants, all_variants, pins, forbid, install_, False, upgrade, targets), directory
    )
    terms = terms_of(current, made.lock)
    open_terms = outstanding(current.home, terms)
    if as_json:
        print_json(plan_data(made, terms, open_terms))
    else:
        print_plan(made, open_terms)


@click.command(
    epilog="\b\nExamples:\n  cr init demo-object-detection\n  cr init demo-object-detection --all-variants -y\n  cr init demo-object-detection --variant format=tflite --pin compiler.python=3.11\n  cr init ssd-mobilenet-coco --locked --offline\n  cr init demo-object-detection-1.0.0.crpack --offline"
)
@solution_argument
@variant_option
@_request_options
@click.option("--locked", is_flag=True, help="Refuse to differ from the lock.")
@click.option("--offline", is_flag=True, help="Use no network.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask. Accepts no licence.")
@click.option(
    "--accept-license",
    "accepted",
    multiple=True,
    metavar="NAME",
    help="Accept these terms; kept until you withdraw them.",
)
@click.option("--trust", is_flag=True, help="Let code of a pack run that no trusted repository has.")
@click.option("--fresh", is_flag=True, help="Begin builds anew instead of going on where failed ones stopped.")
@click.option(
    "--run-system-commands", is_flag=True, help="Run the system's package manager where a recipe needs it; never sudo."
)
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
    targets: tuple[str, ...],
    python: str | None,
    data: tuple[str, ...],
    locked: bool,
    offline: bool,
    yes: bool,
    accepted: tuple[str, ...],
    trust: bool,
    fresh: bool,
    run_system_commands: bool,
    as_json: bool,
) -> None:
    """Detect what this machine has, resolve the rest, write SOLUTION/cr.lock and install.

    It shows what it is going to do and asks once, where you can be asked. Run it again at any time: what is
    installed is not installed again, and nothing half done is ever used. SOLUTION may be the file of a pack.
    """
    from codereef.cli.progress import TerminalProgress
    from codereef.cli.readiness import NOTHING, print_ready
    from codereef.errors import UsageError
    from codereef.place import home_folder
    from codereef.witness import Recorder
    from codereef.workspace.initialise import carry_out, make_plan
    from codereef.workspace.ready import keep

    if locked and upgrade:
        raise UsageError("--locked permits no new lock and --upgrade asks for one.", hint="Leave out one of the two.")
    started = time.monotonic()
    plain = not any(
        (variants, all_variants, pins, forbid, install_, upgrade, targets, python, data, locked, offline, accepted)
    ) and not any((trust, fresh, run_system_commands, as_json, directory != Path()))
    recorder = Recorder()
    current = session(offline=offline, python=python, data=key_values(data, "--data"))
    ask = interactive() and not yes and not as_json
    progress = TerminalProgress(silent=as_json)
    asked = False
    try:
        if is_pack(solution):
            from codereef.cli.commands.packing import unpack

            solution, asked = unpack(current, Path(solution), directory, progress, ask=ask, trust=trust)
        current.fresh, current.run_system_commands = fresh, run_system_commands
        wish = _wish(solution, variants, all_variants, pins, forbid, install_, locked, upgrade, targets)
        with recorder:
            made = make_plan(current, wish, directory)
            terms, open_terms = _terms(current, made, accepted)
        todo = [s for s in made.steps if s.action in WORK]
        if not as_json and (todo or open_terms):
            print_plan(made, open_terms)
        if made.dropped:
            note(
                f"note: the lock will no longer have {'; '.join(made.dropped)}. Name all variants you want to keep them."
            )
        for line in made.notes:
            note(f"note: {line}")
        # Whoever has just said that a pack may run need not say so twice.
        if ask and (open_terms or (todo and not asked)) and not made.missing:
            _ask(current, open_terms)
        with recorder:
            ready = carry_out(current, made, progress)
    finally:
        progress.close()
    if as_json:
        print_json(
            {
                **plan_data(made, terms, ()),
                "installed": list(ready.installed.built),
                "notes": list(dict.fromkeys([*made.notes, *ready.notes])),
                "seconds": round(time.monotonic() - started, 3),
            }
        )
        return
    for line in ready.notes:
        if line not in made.notes:
            note(f"note: {line}")
    done = f"installed {len(ready.installed.built)} in" if ready.installed.built else NOTHING
    reference, lock = str(made.solution.reference), str(made.folder / "cr.lock")
    print_ready(reference, done, time.monotonic() - started, lock, quiet=quiet())
    if plain and done == NOTHING and made.kept and not (todo or made.dropped or made.solved):
        said = [reference, lock, *made.notes, *(line for line in ready.notes if line not in made.notes)]
        keep(home_folder(), solution, said, recorder.lines())


def _terms(current: Session, made: Plan, accepted: Sequence[str]) -> tuple[list[Terms], list[Terms]]:
    """Accept what the options name; return all terms of a plan, and those not accepted yet."""
    from codereef.workspace.initialise import terms_of
    from codereef.workspace.terms import accept, check_names, outstanding

    terms = terms_of(current, made.lock)
    check_names(accepted, terms)
    accept(current.home, [entry for entry in outstanding(current.home, terms) if entry.name in accepted])
    return terms, outstanding(current.home, terms)


def _ask(current: Session, open_terms: Sequence[Terms]) -> None:
    """Ask once whether to go on, and with that for the terms; keep those that are accepted.

    Raises:
        CancelledError: the user said no.
    """
    from codereef.errors import CancelledError
    from codereef.workspace.terms import accept

    if open_terms:
        names = ", ".join(entry.name for entry in open_terms)
        agreed = click.confirm(f"Do you accept the terms {names}, and shall it be installed?", default=False, err=True)
    else:
        agreed = click.confirm("Go on?", default=True, err=True)
    if not agreed:
        raise CancelledError("You said no; nothing was changed.", hint="`cr plan` shows this without asking.")
    accept(current.home, open_terms)


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
