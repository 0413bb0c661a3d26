# SPDX-License-Identifier: Apache-2.0
"""The click group over the table of commands: a command's module is imported when it is used."""

from __future__ import annotations

from importlib import import_module
from keyword import iskeyword

import click

from codereef.cli.app import ABOUT, COMMANDS, columns, overview
from codereef.cli.edge import color


class LazyGroup(click.Group):
    """A group whose commands are imported when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"codereef.cli.commands.{COMMANDS[cmd_name][1]}")
        name = cmd_name.replace("-", "_")
        command: click.Command = getattr(module, f"{name}_" if iskeyword(name) else name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from codereef.errors import UsageError
            from codereef.meta.reference import nearest

            near = nearest(args[0], COMMANDS)
            raise UsageError(
                f"There is no command `{args[0]}`.",
                hint=f"Did you mean `cr {near[0]}`?" if near else "`cr --help` lists the commands.",
                context={"command": args[0]},
            )
        return super().resolve_command(ctx, args)

    def get_help(self, ctx: click.Context) -> str:
        return overview(columns())


@click.command(
    cls=LazyGroup, help=ABOUT, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.option("--version", "-V", is_flag=True)
def cli(version: bool) -> None:
    """See `overview`."""
    click.get_current_context().color = color()
    # --version alone never comes here: entry.py answers it.
    if version:
        from codereef import __version__

        click.echo(f"cr {__version__}")
        raise click.exceptions.Exit(0)
