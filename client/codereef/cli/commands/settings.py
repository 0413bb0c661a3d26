# SPDX-License-Identifier: Apache-2.0
"""`cr config` and `cr completion`."""

from __future__ import annotations

import click

from codereef.cli.edge import print_json, shared_options, table
from codereef.home import Home


@click.group(
    invoke_without_command=True,
    epilog="\b\nExamples:\n  cr config\n  cr config set mirrors /data/mirror\n  cr config unset mirrors",
)
@shared_options
@click.pass_context
def config(ctx: click.Context, as_json: bool) -> None:
    """Show and change settings. Without a command it shows them all, and where each comes from."""
    if ctx.invoked_subcommand is not None:
        return
    from codereef.config import KEYS, effective

    home = Home.default()
    values = effective(home)
    if as_json:
        print_json(
            {
                "home": str(home.root),
                "settings": {name: {"value": value, "from": origin} for name, (value, origin) in values.items()},
            }
        )
        return
    rows = [
        [
            k.name,
            ", ".join(map(str, v)) if isinstance(v := values[k.name][0], list) else str(v),
            values[k.name][1],
            k.summary,
        ]
        for k in KEYS
    ]
    click.echo(f"Home: {home.root}")
    click.echo(table(rows, ["setting", "value", "from", "what it does"]))


@config.command("get")
@click.argument("name")
@shared_options
def get(name: str, as_json: bool) -> None:
    """Print the value of one setting."""
    from codereef.config import value

    found = value(Home.default(), name)
    if as_json:
        print_json({name: found})
    else:
        click.echo(",".join(map(str, found)) if isinstance(found, list) else found)


@config.command("set")
@click.argument("name")
@click.argument("value")
@shared_options
def set_(name: str, value: str, as_json: bool) -> None:
    """Keep a setting."""
    from codereef.config import store_value

    stored = store_value(Home.default(), name, value)
    if as_json:
        print_json({name: stored})
    else:
        click.echo(f"{name} = {stored}")


@config.command("unset")
@click.argument("name")
@shared_options
def unset(name: str, as_json: bool) -> None:
    """Forget a setting; its default holds again."""
    from codereef.config import store_value

    stored = store_value(Home.default(), name, None)
    if as_json:
        print_json({name: stored})
    else:
        click.echo(f"{name} = {stored} (default)")


@click.command(
    epilog='\b\nExamples:\n  eval "$(cr completion bash)"\n  cr completion zsh > ~/.zfunc/_cr\n  cr completion fish > ~/.config/fish/completions/cr.fish'
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@shared_options
def completion(shell: str, as_json: bool) -> None:
    """Print the completion script of a shell."""
    from click.shell_completion import get_completion_class

    from codereef.cli.group import cli

    found = get_completion_class(shell)
    assert found is not None
    source = found(cli, {}, "cr", "_CR_COMPLETE").source()
    if as_json:
        print_json({"shell": shell, "script": source})
    else:
        click.echo(source)
