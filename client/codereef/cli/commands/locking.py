# SPDX-License-Identifier: Apache-2.0
"""`cr lock`, `cr outdated` and `cr diff`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from codereef.cli.commands.shared import complete_component, read_variants, session, solution_argument, variant_option
from codereef.cli.edge import key_values, note, print_json, shared_options, table

if TYPE_CHECKING:
    from codereef.lock.diff import Change
    from codereef.lock.model import Lock
    from codereef.workspace.wish import Wish

#: More lines than this of one kind are counted instead of shown.
_SHOWN = 40


def _changes_table(changes: Sequence[Change]) -> str:
    rows = [[c.status, c.kind, c.what, c.text if c.details else "", ", ".join(c.targets)] for c in changes]
    return table(rows, ["status", "kind", "what", "change", "targets"])


@click.command(
    epilog="\b\nExamples:\n  cr lock demo-object-detection\n  cr lock demo-object-detection --check\n"
    "  cr lock demo-object-detection --upgrade lib.onnxruntime\n"
    "  cr lock demo-object-detection --target linux-aarch64-gnu --clear-pins"
)
@solution_argument
@click.argument("names", nargs=-1, metavar="[NAME]...")
@variant_option
@click.option("--check", is_flag=True, help="Write nothing; end with 6 where the lock does not hold here.")
@click.option("--upgrade", is_flag=True, help="Let NAME move, or everything where no NAME is given.")
@click.option("--clear-pins", is_flag=True, help="Forget the pins, bans and forced installs that the lock keeps.")
@click.option("--target", "targets", multiple=True, metavar="TRIPLE", help="Only these targets besides this machine's.")
@click.option(
    "--pin",
    "pins",
    multiple=True,
    metavar="NAME=CONSTRAINT",
    help="Pin a capability or component to versions (of a package: of what it provides), or to who provides it.",
)
@click.option("--forbid", multiple=True, metavar="COMPONENT", help="Do not use this detector, recipe or component.")
@click.option(
    "--install", "install_", multiple=True, metavar="CAPABILITY", help="Have it installed although the machine has it."
)
@click.option("--python", metavar="PATH|VERSION", help="Python interpreter to build environments on.")
@click.option("--offline", is_flag=True, help="Use no network.")
@shared_options
def lock(
    solution: str,
    directory: Path,
    names: tuple[str, ...],
    variants: tuple[str, ...],
    all_variants: bool,
    check: bool,
    upgrade: bool,
    clear_pins: bool,
    targets: tuple[str, ...],
    pins: tuple[str, ...],
    forbid: tuple[str, ...],
    install_: tuple[str, ...],
    python: str | None,
    offline: bool,
    as_json: bool,
) -> None:
    """Write or refresh SOLUTION/cr.lock for every target of SOLUTION, and install nothing.

    What the lock has stays as it is unless it must move. With --upgrade the nodes and Python distributions called
    NAME may move, or all of them. Pins are stronger than the lock, and are kept in it until others are given.
    """
    from codereef.errors import UsageError
    from codereef.solve.candidates import Request
    from codereef.workspace.wish import Wish

    if names and not upgrade:
        raise UsageError("NAME says what may move, and only --upgrade moves anything.", hint="Add --upgrade.")
    if check and (upgrade or clear_pins or pins or forbid or install_):
        raise UsageError("--check compares and changes nothing.", hint="Leave out --check, or the other options.")
    wish = Wish(
        solution,
        read_variants(variants),
        all_variants,
        Request(key_values(pins, "--pin"), tuple(forbid), tuple(install_)),
        upgrade=upgrade,
        targets=targets,
        names=names,
        clear_pins=clear_pins,
    )
    if check:
        _check(wish, directory, python, offline, as_json)
    else:
        _write(wish, directory, python, offline, as_json)


def _check(wish: Wish, directory: Path, python: str | None, offline: bool, as_json: bool) -> None:
    from codereef.workspace.locking import refusal, verify

    found, findings = verify(session(python=python, offline=offline), wish, directory)
    if findings:
        raise refusal(found, findings)
    if as_json:
        print_json({"solution": found.solution, "holds": True, "findings": []})
    else:
        click.echo(f"The lock of {found.solution} holds here, and is what `cr lock` would write.")


def _write(wish: Wish, directory: Path, python: str | None, offline: bool, as_json: bool) -> None:
    from codereef.cli.progress import TerminalProgress
    from codereef.workspace.locking import write

    progress = TerminalProgress()
    try:
        written = write(session(python=python, offline=offline), wish, directory, progress)
    finally:
        progress.close()
    for text in written.notes:
        note(f"note: {text}")
    if as_json:
        print_json(
            {
                "solution": written.lock.solution,
                "lock": str(written.path),
                "targets": list(written.lock.targets),
                "without": {target: dict(reasons) for target, reasons in written.lock.without.items()},
                "changes": [change.as_dict() for change in written.changes],
                "notes": list(written.notes),
            }
        )
        return
    if written.changes:
        click.echo(_changes_table(written.changes[:_SHOWN]))
        if len(written.changes) > _SHOWN:
            click.echo(f"… and {len(written.changes) - _SHOWN} more")
    elif wish.upgrade:
        note("Nothing moved. `cr outdated` shows what is newer; --pin NAME=VERSION moves it with what it needs.")
    count = len(written.lock.configurations)
    click.echo(
        f"{written.lock.solution}: {count} graph{'s' if count != 1 else ''} for {', '.join(written.lock.targets)}. "
        f"Lock: {written.path}"
    )


@click.command(
    epilog="\b\nExamples:\n  cr outdated demo-object-detection\n  cr outdated demo-object-detection --all --json"
)
@solution_argument
@click.option("-a", "--all", "everything", is_flag=True, help="Also what is up to date.")
@shared_options
def outdated(solution: str, directory: Path, everything: bool, as_json: bool) -> None:
    """Show what of SOLUTION's lock is not the newest: the newest that fits, and the newest there is.

    It looks in the repositories, at what this machine has and in the package cache; it uses no network.
    """
    from codereef.workspace.outdated import outdated as look

    found = look(session(offline=True), solution, directory)
    for text in found.notes:
        note(f"note: {text}")
    rows = [row for row in found.rows if everything or row.outdated]
    if as_json:
        print_json(
            {
                "solution": found.lock.solution,
                "outdated": sum(row.outdated for row in found.rows),
                "rows": [
                    {
                        "what": row.what,
                        "kind": row.kind,
                        "locked": row.locked,
                        "fits": row.fits or None,
                        "newest": row.newest or None,
                        "outdated": row.outdated,
                        "targets": list(row.targets),
                    }
                    for row in rows
                ],
                "notes": list(found.notes),
            }
        )
        return
    if rows:
        cells = [[r.what, r.kind, r.locked, r.fits or "–", r.newest or "–", ", ".join(r.targets)] for r in rows]
        click.echo(table(cells, ["what", "kind", "locked", "fits", "newest", "targets"]))
        if any(row.movable for row in rows):
            note(f"Next: cr lock {solution} --upgrade [NAME]")
        elif any(row.outdated for row in rows):
            note("Nothing newer fits: constraints of the components, your pins or this machine keep what is locked.")
    else:
        click.echo(f"Everything in the lock of {found.lock.solution} is the newest that is known here.")


def _read(text: str, directory: Path) -> Lock:
    """Return the lock that a path or the name of a solution stands for.

    Raises:
        NotFoundError: it stands for neither.
    """
    from codereef.errors import NotFoundError
    from codereef.lock.model import FILE_NAME, read_lock

    path = Path(text)
    places = [path, path / FILE_NAME] if path.is_absolute() else [path, path / FILE_NAME, directory / path / FILE_NAME]
    for place in places:
        if place.is_file() or (place is path and not place.is_dir() and place.exists()):
            return read_lock(place)
    raise NotFoundError(
        f"`{text}` is no lock, no folder with a {FILE_NAME}, and no solution that was initialised in {directory}.",
        hint=f"Name a file, such as {text}/{FILE_NAME}, or the folder of the solution with -C.",
        context={"lock": text},
    )


@click.command(
    epilog="\b\nExamples:\n  cr diff old.lock demo-object-detection/cr.lock\n  cr diff demo-object-detection other/cr.lock --json"
)
@click.argument("a", metavar="LOCK", shell_complete=complete_component("solution"))
@click.argument("b", metavar="LOCK", shell_complete=complete_component("solution"))
@click.option(
    "-C",
    "--directory",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    show_default="here",
    help="Folder that holds the solutions' folders.",
)
@shared_options
def diff(a: str, b: str, directory: Path, as_json: bool) -> None:
    """Show what the second LOCK has otherwise than the first. A LOCK is a file, a folder or a solution's name.

    Ends with 0 where they say the same, with 1 where they differ.
    """
    from codereef.lock.diff import compare_locks

    changes = compare_locks(_read(a, directory), _read(b, directory))
    if as_json:
        print_json({"same": not changes, "changes": [change.as_dict() for change in changes]})
    elif changes:
        click.echo(_changes_table(changes))
    else:
        click.echo("The two locks say the same.")
    if changes:
        raise click.exceptions.Exit(1)
