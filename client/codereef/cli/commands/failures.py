# SPDX-License-Identifier: Apache-2.0
"""`cr why-failed`: what failed, why, running it again, and a report of it."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from codereef.cli.commands.shared import FILE, session
from codereef.cli.edge import note, print_json, shared_options, table

if TYPE_CHECKING:
    from codereef.workspace.session import Session

_MOST_REMOVED = 12


@click.command(
    "why-failed",
    epilog="\b\nExamples:\n  cr why-failed\n  cr why-failed demo-object-detection\n  cr why-failed --rerun 1a2b3c4d\n  cr why-failed 1a2b3c4d --bundle report.tar.gz",
)
@click.argument("what", required=False, metavar="[SOLUTION|ID]")
@click.option("--rerun", metavar="ID", help="Run exactly that step again, with its inputs, in its folder.")
@click.option(
    "--bundle",
    type=FILE,
    metavar="FILE",
    help="Write an archive (.tar.gz) for a report, without secrets, user and host names.",
)
@click.option("--list", "list_all", is_flag=True, help="List the failures that are kept.")
@shared_options
def why_failed(what: str | None, rerun: str | None, bundle: Path | None, list_all: bool, as_json: bool) -> None:
    """Say why a step of an installation failed: the last failure, or that of SOLUTION, or the one named ID.

    It shows the step and who asked for it, its command, its last lines, and how its environment differs from
    yours. Failures are kept for thirty days.
    """
    from codereef.errors import UsageError
    from codereef.workspace import failures

    if sum((rerun is not None, bundle is not None, list_all)) > 1:
        raise UsageError("--rerun, --bundle and --list do different things.", hint="Give one of them.")
    current = session()
    if list_all:
        _list(current, as_json)
        return
    record = failures.find(current, rerun or what)
    if rerun is not None:
        _rerun(current, record, as_json)
    elif bundle is not None:
        names = failures.bundle(current, record, bundle)
        if as_json:
            print_json({"file": str(bundle), "id": record.id, "entries": names})
            return
        click.echo(f"Wrote {bundle} with {', '.join(names)}.")
        note("Secrets, user and host names are taken out. Look at it before you send it: a log may hold more.")
    elif as_json:
        print_json(failures.described(record))
    else:
        _show(failures.described(record))


def _list(current: Session, as_json: bool) -> None:
    from codereef.workspace.failures import recorded

    known = recorded(current)
    if as_json:
        keys = ("id", "created", "solution", "step", "node")
        print_json({"failures": [{key: record.data[key] for key in keys} for record in known]})
    elif not known:
        note("No failure is recorded.")
    else:
        rows = [[r.id, r.data["created"], r.data["step"], r.data["node"], r.data["solution"]] for r in known]
        click.echo(table(rows, ["id", "when", "step", "node", "solution"]))


def _rerun(current: Session, record: Any, as_json: bool) -> None:
    from codereef.cli.progress import TerminalProgress
    from codereef.errors import InstallError
    from codereef.workspace import failures

    progress = TerminalProgress()
    try:
        done = failures.again(current, record, progress)
    finally:
        progress.close()
    if not done.ok:
        said = "\n".join(f"  {line}" for line in done.tail)
        raise InstallError(
            f"It fails again: `{done.command}` in {done.folder} ended with status {done.status}.\n{said}\nLog: {done.log}",
            hint=f"`cr why-failed {record.id}` shows what it is given.",
            context={"failure": record.id, "status": done.status, "log": done.log, "tail": list(done.tail)},
        )
    solution = str(record.data["solution"]).partition("@")[0].partition(":")[2]
    if as_json:
        print_json({"id": record.id, "ok": True, "command": done.command, "cwd": done.folder, "log": done.log})
        return
    click.echo(f"It works now: {done.command}" + (f" in {done.folder}" if done.folder else ""))
    note(f"`cr init {solution}` goes on from here." if solution else "Run the `cr` command again that failed.")


def _show(data: dict[str, Any]) -> None:
    def head(text: str) -> None:
        click.echo(click.style(text, bold=True))

    head(f"{data['id']}: {data['step']} of {data['node']} failed ({data['created']})")
    if len(data["chain"]) > 1:
        click.echo("Asked for by:")
        for depth, name in enumerate(data["chain"]):
            click.echo("  " * (depth + 1) + name)
    # The command follows on a line of its own.
    first = str(data["error"]["message"]).split("\n")[0].split(": `")[0]
    click.echo(f"Error: {first}")
    if data["command"]:
        click.echo(f"Command: {shlex.join(data['command'])}")
        click.echo(f"Folder: {data['cwd']}")
    tail = data["error"]["tail"]
    if tail:
        head(f"Last {len(tail)} lines:")
        for line in tail:
            click.echo(f"  {line}")
    if data["log"]:
        click.echo(f"Log: {data['log']}")
    environment = data["environment"]
    if environment:
        head("Environment, compared with yours:")
        for sign, names in (("+", environment["added"]), ("~", environment["changed"])):
            for name, value in names.items():
                click.echo(f"  {sign} {name}={value}")
        removed = environment["removed"]
        if removed:
            more = f" and {len(removed) - _MOST_REMOVED} more" if len(removed) > _MOST_REMOVED else ""
            click.echo(f"  - {', '.join(removed[:_MOST_REMOVED])}{more}")
        click.echo(f"  {len(environment['inherited'])} the same")
    head("Run exactly this step again:")
    click.echo(f"  {data['rerun']}")
    note(f"For a report: cr why-failed {data['id']} --bundle report.tar.gz")
