# SPDX-License-Identifier: Apache-2.0
"""`cr reproduce`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from codereef.cli.commands.shared import complete_result, session, timeout_option
from codereef.cli.edge import note, print_json, shared_options

if TYPE_CHECKING:
    from codereef.run.process import Update


@click.command(
    epilog="\b\nExamples:\n  cr reproduce latest\n  cr reproduce 1a2b3c4d --offline --json\n  cr reproduce result-of-a-colleague.json"
)
@click.argument("result", shell_complete=complete_result)
@click.option("--offline", is_flag=True, help="Use no network.")
@timeout_option("Time each process may take.")
@click.option(
    "-C",
    "--directory",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where the graph is built again; a folder of the client's home by default.",
)
@shared_options
def reproduce(result: str, offline: bool, timeout: float | None, directory: Path | None, as_json: bool) -> None:
    """Build the graph of RESULT again from its lock, measure with the same options, and say whether it holds.

    RESULT is the beginning of an identity, `latest`, or a file that somebody sent. Ends with 1 where it does not hold.
    """
    from codereef.cli.progress import TerminalProgress
    from codereef.record.history import History
    from codereef.workspace.reproduce import reproduce as measure_again

    current = session(offline=offline)
    original = History(current.home.results).find(result)
    progress = TerminalProgress(silent=as_json)

    def show(update: Update) -> None:
        share = f" {update.fraction * 100:.0f} %" if update.fraction is not None else ""
        progress.status(f"{original.short}: {update.phase}{share}")

    try:
        judged, again = measure_again(
            current, original, directory or current.home.reproduced, progress, timeout=timeout, on_update=show
        )
    finally:
        progress.close()
    if as_json:
        print_json(judged.as_dict())
    else:
        colour = "green" if judged.reproduced else "red"
        said = "reproduced" if judged.reproduced else "not reproduced"
        made = f" by {again.short}" if again else ""
        click.echo(f"{original.short}: " + click.style(said, fg=colour, bold=True) + made)
        words = {True: "holds", False: "does not hold", None: "is not judged"}
        for check in judged.checks:
            click.echo(f"  {check.what} {words[check.held]}: {check.why}")
        if again:
            note(f"Next: cr compare {original.short} {again.short}")
    if not judged.reproduced:
        raise click.exceptions.Exit(1)
