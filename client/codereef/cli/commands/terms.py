# SPDX-License-Identifier: Apache-2.0
"""`cr terms`: the terms that you accepted."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from codereef.cli.edge import print_json, shared_options, table
from codereef.home import Home

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


def _complete(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the name of accepted terms."""
    from click.shell_completion import CompletionItem

    from codereef.errors import CrError
    from codereef.workspace.terms import accepted

    try:
        return [CompletionItem(e.name, help=e.url) for e in accepted(Home.default()) if e.name.startswith(incomplete)]
    except CrError:  # Completion must never print an error into a prompt.
        return []


@click.group(epilog="\b\nExamples:\n  cr terms list\n  cr terms withdraw example-terms")
def terms() -> None:
    """List and withdraw the terms you accepted. `cr init SOLUTION --accept-license NAME` accepts them."""


@terms.command("list")
@shared_options
def list_(as_json: bool) -> None:
    """List the terms you accepted: for which component, and when."""
    from codereef.workspace.terms import accepted

    entries = accepted(Home.default())
    if as_json:
        print_json({"accepted": [asdict(entry) for entry in entries]})
    elif entries:
        click.echo(
            table([[e.name, e.component, e.at, e.url] for e in entries], ["name", "component", "accepted", "text"])
        )
    else:
        click.echo("You have not accepted any terms.")


@terms.command("withdraw", epilog="\b\nExample:\n  cr terms withdraw example-terms")
@click.argument("name", shell_complete=_complete)
@shared_options
def withdraw(name: str, as_json: bool) -> None:
    """Accept terms no longer. What is installed stays, but is not used until you accept them again."""
    from codereef.workspace.terms import withdraw as forget

    entry = forget(Home.default(), name)
    if as_json:
        print_json({"withdrawn": asdict(entry)})
    else:
        click.echo(f"Withdrawn: {entry.name}. What is under these terms ({entry.component}) is no longer used.")
