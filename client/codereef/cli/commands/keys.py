# SPDX-License-Identifier: Apache-2.0
"""`cr key`: the keys that you sign components with."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from codereef.cli.edge import interactive, print_json, print_tree, shared_options, table
from codereef.errors import UsageError
from codereef.home import Home

if TYPE_CHECKING:
    from codereef.trust.keys import Key

PASSPHRASE = "CR_KEY_PASSPHRASE"


def key_folder() -> Path:
    """Return where this user's keys lie."""
    return Home.default().root / "keys"


def passphrase(name: str) -> str:
    """Return the passphrase of a key: from the environment, else from the terminal.

    Raises:
        UsageError: there is neither.
    """
    if PASSPHRASE in os.environ:
        return os.environ[PASSPHRASE]
    if not interactive():
        raise UsageError(
            f"The key `{name}` has a passphrase, and there is no terminal to ask for it.",
            hint=f"Set {PASSPHRASE} for this one command.",
        )
    return str(click.prompt(f"Passphrase of the key `{name}`", hide_input=True, err=True))


def data_of(key: Key) -> dict[str, object]:
    """Return what is public of a key as data."""
    return {
        "name": key.name,
        "id": key.id,
        "public": key.public,
        "created": key.created,
        "passphrase": key.protected,
    }


@click.group()
def key() -> None:
    """Make, list and show the keys that you sign components with. The private part never leaves your key folder."""


@key.command("new", epilog="\b\nExamples:\n  cr key new me\n  CR_KEY_PASSPHRASE=... cr key new release --passphrase")
@click.argument("name")
@click.option(
    "--passphrase/--no-passphrase", "wanted", default=None, help="Protect it with a passphrase; asked for by default."
)
@shared_options
def new(name: str, wanted: bool | None, as_json: bool) -> None:
    """Make a key. Only you can read its file; with a passphrase nobody can use a copy of it."""
    from codereef.trust.keys import new_key

    secret = ""
    if wanted is None:
        wanted = PASSPHRASE in os.environ or (interactive() and not as_json)
    if wanted and PASSPHRASE in os.environ:
        secret = os.environ[PASSPHRASE]
    elif wanted and not interactive():
        passphrase(name)
    elif wanted:
        secret = str(
            click.prompt(
                "Passphrase (empty for none)",
                hide_input=True,
                confirmation_prompt=True,
                default="",
                show_default=False,
                err=True,
            )
        )
    made = new_key(key_folder(), name, secret)
    if as_json:
        print_json(data_of(made))
        return
    click.echo(f"Made the key `{made.name}`: {made.id}")
    click.echo(f"Public: {made.public}")
    if not made.protected:
        click.echo("It has no passphrase: whoever can read its file can sign as you.", err=True)


@key.command("list")
@shared_options
def list_(as_json: bool) -> None:
    """List your keys."""
    from codereef.trust.keys import keys

    found = keys(key_folder())
    if as_json:
        print_json({"keys": [data_of(entry) for entry in found]})
    elif not found:
        click.echo("You have no keys. `cr key new NAME` makes one.")
    else:
        rows = [[k.name, k.id, "yes" if k.protected else "no", k.created[:10]] for k in found]
        click.echo(table(rows, ["name", "identity", "passphrase", "made"]))


@key.command("show", epilog="\b\nExample:\n  cr key show me")
@click.argument("name")
@shared_options
def show(name: str, as_json: bool) -> None:
    """Show what is public of a key: give its identity to those who add your registry."""
    from codereef.trust.keys import find_key

    found = find_key(key_folder(), name)
    if as_json:
        print_json(data_of(found))
    else:
        print_tree({**data_of(found), "file": str(key_folder() / f"{found.name}.pem")})
    sys.stdout.flush()
