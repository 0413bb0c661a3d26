# SPDX-License-Identifier: Apache-2.0
"""The command tree. Names and one-line helps stand in a table, so that `cr --help` imports no command."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

import click

from codereef.cli.edge import color, report_error

#: command -> (section, module under codereef.cli.commands, one-line help)
COMMANDS: dict[str, tuple[str, str, str]] = {
    "init": ("Solutions", "solutions", "Detect, lock and install everything a solution needs."),
    "benchmark": ("Solutions", "measuring", "Measure a solution and keep the result."),
    "run": ("Solutions", "measuring", "Run a solution on a few inputs and show what it predicts."),
    "validate": ("Solutions", "measuring", "Measure accuracy only."),
    "plan": ("Solutions", "solutions", "Show what init would reuse, fetch and build."),
    "tree": ("Solutions", "solutions", "Show the graph of a solution."),
    "why": ("Solutions", "solutions", "Say why something is in the graph of a solution."),
    "results": ("Results", "results", "List the results of this machine, or plot them."),
    "compare": ("Results", "results", "Compare two results: faster, slower or no measurable difference."),
    "export": ("Results", "results", "Write results as CSV or JSON."),
    "push": ("Results", "portal", "Upload results to a portal, after showing what is sent."),
    "search": ("Components", "components", "Search components by name, tag and summary."),
    "show": ("Components", "components", "Show a component or a result."),
    "versions": ("Components", "components", "List the versions of a component."),
    "lint": ("Components", "components", "Check components before publishing them."),
    "repo": ("Components", "repositories", "Add, list, update and remove repositories."),
    "detect": ("This machine", "machine", "Show the software and the machine that were detected."),
    "doctor": ("This machine", "machine", "Check that this machine can initialise and measure."),
    "config": ("This machine", "settings", "Show and change settings."),
    "portal": ("This machine", "portal", "Serve components and results as web pages."),
    "completion": ("This machine", "settings", "Print the shell completion script."),
}

EXAMPLES = """\b
Examples:
  cr init demo-object-detection
  cr benchmark demo-object-detection
  cr compare latest 1a2b3c
"""


class LazyGroup(click.Group):
    """A group whose commands are imported when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"codereef.cli.commands.{COMMANDS[cmd_name][1]}")
        command: click.Command = getattr(module, cmd_name)
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

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for section in dict.fromkeys(entry[0] for entry in COMMANDS.values()):
            with formatter.section(section):
                formatter.write_dl([(name, entry[2]) for name, entry in COMMANDS.items() if entry[0] == section])


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--version", "-V", is_flag=True, help="Print the version and exit.")
def cli(version: bool) -> None:
    """How fast and how accurate is this model, on this runtime, on this machine."""
    click.get_current_context().color = color()
    # --version alone never comes here: entry.py answers it.
    if version:
        from codereef import __version__

        click.echo(f"cr {__version__}")
        raise click.exceptions.Exit(0)


cli.epilog = EXAMPLES


def run(arguments: Sequence[str]) -> int:
    """Run the command line and return its exit code; no exception leaves here unless `--debug` is given."""
    try:
        result = cli.main(args=list(arguments), prog_name="cr", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except BaseException as error:
        return report_error(error, arguments)
