# SPDX-License-Identifier: Apache-2.0
"""`cr shell`, `cr env`, and the running of a command in the environment of a solution."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from codereef.cli.commands.shared import read_variants, session, solution_argument
from codereef.cli.edge import note, print_json, shared_options, table

if TYPE_CHECKING:
    from codereef.workspace.environment import Environment
    from codereef.workspace.session import Session

_one_variant = click.option(
    "-v",
    "--variant",
    "variants",
    multiple=True,
    metavar="NAME=VALUE",
    help="Which configuration of the lock; the first for this machine by default.",
)


def _opened(current: Session, solution: str, directory: Path, variants: tuple[str, ...]) -> Environment:
    from codereef.workspace.environment import open_environment

    return open_environment(current, solution, directory, read_variants(variants))


def become(command: Sequence[str], variables: Mapping[str, str]) -> NoReturn:
    """Turn this process into `command`, with these variables.

    Signals reach the command, its exit code is ours, and no process of ours stands between it and the terminal.
    The locks that keep what it uses in the store go on in it.

    Raises:
        NotFoundError: there is no such program.
        RunError: it cannot be run.
    """
    from codereef.errors import NotFoundError, RunError
    from codereef.store.locks import inherited

    program = shutil.which(command[0], path=variables.get("PATH", os.defpath))
    if program is None:
        raise NotFoundError(
            f"There is no program `{command[0]}` in the environment of the solution.",
            hint="`cr env SOLUTION` shows its PATH; a program in a folder is named with its path.",
            context={"command": list(command), "path": variables.get("PATH", "")},
        )
    sys.stdout.flush()
    sys.stderr.flush()
    with inherited() as handles:
        for handle in handles:
            os.set_inheritable(handle, True)
        # Python ignores these two, and a program that inherits that would not end when its reader has gone.
        for name in ("SIGPIPE", "SIGXFSZ"):
            signal.signal(getattr(signal, name), signal.SIG_DFL)
        try:
            os.execve(program, list(command), dict(variables))
        except OSError as error:
            raise RunError(
                f"`{command[0]}` could not be started: {error.strerror}.",
                hint="Is it a program for this machine, and may you run it?",
                context={"command": list(command), "program": program},
            ) from None


def run_command(solution: str, directory: Path, variants: tuple[str, ...], command: Sequence[str]) -> NoReturn:
    """Become a command of the user in the environment of a solution."""
    current = session()  # held until the end: with it goes what keeps the store's folders
    environment = _opened(current, solution, directory, variants)
    become(command, environment.applied(os.environ))


@click.command(
    epilog="\b\nExamples:\n  cr shell demo-object-detection\n  cr shell demo-object-detection --variant format=tflite\n  cr shell demo-object-detection --command 'python --version'"
)
@solution_argument
@_one_variant
@click.option("-c", "--command", "command", metavar="TEXT", help="Run this line of shell instead of asking for lines.")
@click.option("--shell", "shell_", metavar="PROGRAM", help="Shell to start; $SHELL by default.")
@shared_options
def shell(
    solution: str, directory: Path, variants: tuple[str, ...], command: str | None, shell_: str | None, as_json: bool
) -> None:
    """Open a shell with the Python, tools and libraries of SOLUTION. `exit` leaves it.

    The prompt says where you are. The exit code is that of the shell. With --json it prints what would be started.
    """
    from codereef.cli import shells
    from codereef.errors import UsageError

    current = session()
    environment = _opened(current, solution, directory, variants)
    program = shell_ or os.environ.get("SHELL") or "/bin/sh"
    if inside := os.environ.get("CR_SOLUTION"):
        note(f"note: you are in a shell of {inside} already; this one is inside it.")
    variables = environment.applied(os.environ)
    if command is not None:
        started = shells.Started((program, "-c", command), {})
    else:
        if not as_json and not sys.stdin.isatty():
            raise UsageError(
                "A shell was asked for, and there is no terminal to talk to it.",
                hint="Give one line with --command, or run a program: `cr run SOLUTION -- PROGRAM`.",
            )
        mark = environment.solution.split(":")[1].split("@")[0]
        changes = environment.changes(os.environ)
        started = shells.start(program, mark, changes, environment.removed, current.home.cache / "shell")
    if as_json:
        print_json(
            {"command": list(started.command), "variables": {**environment.changes(os.environ), **started.variables}}
        )
        return
    become(started.command, {**variables, **started.variables})


@click.command(
    epilog='\b\nExamples:\n  cr env demo-object-detection\n  cr env demo-object-detection --json\n  eval "$(cr env demo-object-detection --format sh)"\n  cr env demo-object-detection --format dotenv > .env'
)
@solution_argument
@_one_variant
@click.option(
    "--format", "form", type=click.Choice(["sh", "fish", "dotenv"]), help="Write the variables for a shell or a file."
)
@shared_options
def env(solution: str, directory: Path, variants: tuple[str, ...], form: str | None, as_json: bool) -> None:
    """Show the environment of SOLUTION: variables, folders by role, interpreter and target."""
    from codereef.cli import shells
    from codereef.errors import UsageError

    if form is not None and as_json:
        raise UsageError("--format and --json ask for two different outputs.", hint="Leave out one of the two.")
    environment = _opened(session(), solution, directory, variants)
    changes = environment.changes(os.environ)
    if form is not None:
        click.echo(shells.written(changes, environment.removed, form))
        return
    data = {
        "solution": environment.solution,
        "configuration": environment.configuration,
        "target": environment.target,
        "python": str(environment.python) if environment.python else None,
        "lock": str(environment.lock),
        "variables": changes,
        "prepended": {name: list(places) for name, places in environment.prepended.items()},
        "removed": list(environment.removed),
        "folders": {role: str(place) for role, place in environment.folders.items()},
    }
    if as_json:
        print_json(data)
        return
    click.echo(f"{environment.solution}: {environment.configuration} on {environment.target}")
    click.echo(f"python: {environment.python or 'none'}")
    click.echo(table([[role, str(place)] for role, place in environment.folders.items()], ["role", "folder"]))
    fixed = [[name, value] for name, value in changes.items() if name not in environment.prepended]
    first = [[f"{name} (in front)", os.pathsep.join(places)] for name, places in environment.prepended.items()]
    click.echo()
    click.echo(table([*fixed, *first], ["variable", "value"]))
