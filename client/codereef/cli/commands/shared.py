# SPDX-License-Identifier: Apache-2.0
"""Options and helpers that several command groups use."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from codereef.cli.edge import interactive, key_values
from codereef.errors import UsageError
from codereef.home import Home
from codereef.workspace.session import Session

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from codereef.workspace.trust import Unknown

Command = TypeVar("Command", bound=Callable[..., Any])


#: Heads of the columns that `claim_cells` fills.
CLAIM_HEAD = ("claim", "dataset", "verdict", "why")


def claim_cells(claim: Mapping[str, Any]) -> list[str]:
    """Return a checked claim of a result as cells of a table."""
    verdict = str(claim["verdict"])
    colour = {"met": "green", "not met": "red"}.get(verdict)
    return [
        f"{claim['metric']} {claim['claimed']:g}",
        claim["dataset"].partition(":")[2],
        click.style(verdict, fg=colour),
        claim.get("reason", ""),
    ]


def session(*, offline: bool = False, python: str | None = None, data: Mapping[str, str] | None = None) -> Session:
    """Return the session of this command."""
    return Session(Home.default(), offline=offline, python=python, data=data or {}, ask=_asker())


def _asker() -> Callable[[Sequence[Unknown]], bool] | None:
    """Return what asks a person for trust; None without a terminal, with --json and with -y, which is no trust."""
    context = click.get_current_context(silent=True)
    chosen = context.params if context is not None else {}
    if chosen.get("as_json") or chosen.get("yes") or not interactive() or not sys.stderr.isatty():
        return None
    return _ask_trust


def _ask_trust(unknown: Sequence[Unknown]) -> bool:
    """Show whose code would run, and ask once for all of them."""
    for entry in unknown:
        who = (
            f"{entry.publisher} in the repository `{entry.repository}`" if entry.publisher else f"`{entry.repository}`"
        )
        click.echo(f"Code of {who} ({entry.origin}) would run on this machine:", err=True)
        for reference in entry.components:
            click.echo(f"  {reference}", err=True)
        click.echo(f"  signed with {entry.key}" if entry.key else "  not signed", err=True)
    return click.confirm("Do you trust them? Your answer is kept.", default=False, err=True)


def is_pack(name: str) -> bool:
    """Tell whether what stands where a solution is named is the file of a pack."""
    return name.endswith(".crpack") or ("/" in name and Path(name).is_file())


def complete_component(kind: str | None) -> Callable[[click.Context, click.Parameter, str], list[CompletionItem]]:
    """Return a completer for component names of a kind, or `kind:name` of all kinds."""

    def complete(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        try:
            index = session().index
        except Exception:  # Completion must never print a traceback into a prompt.
            return []
        found = {(row.name if kind else row.key): row.summary for row in index.rows(kind)}
        return [
            CompletionItem(name, help=summary) for name, summary in sorted(found.items()) if name.startswith(incomplete)
        ]

    return complete


def complete_result(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the identity of a result."""
    from click.shell_completion import CompletionItem

    from codereef.record.history import History

    return [
        CompletionItem(r.short, help=str(r.document["configuration"]["id"]))
        for r in History(Home.default().results).all()
        if r.id.startswith(incomplete)
    ]


#: --directory, for commands that look for the solution's folder.
directory_option = click.option(
    "-C",
    "--directory",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    show_default="here",
    help="Folder that holds the solution's folder.",
)


def solution_argument(command: Command) -> Command:
    """Give a command its SOLUTION argument and --directory."""
    return click.argument("solution", shell_complete=_complete_solution)(directory_option(command))


def configurations_option(what: str) -> Callable[[Command], Command]:
    """Return --variant of commands that choose among the configurations of a lock."""
    return click.option("-v", "--variant", "variants", multiple=True, metavar="NAME=VALUE[,VALUE]", help=what)


def program_option(
    what: str = "Option of the program; `cr show program:NAME` lists them.",
) -> Callable[[Command], Command]:
    """Return --option, which is handed to the program."""
    return click.option("-o", "--option", "options", multiple=True, metavar="NAME=VALUE", help=what)


def timeout_option(what: str) -> Callable[[Command], Command]:
    """Return --timeout of what runs a program."""
    return click.option("--timeout", type=click.FloatRange(min=0.1, max=1e7), metavar="SECONDS", help=what)


def memory_option(what: str) -> Callable[[Command], Command]:
    """Return --memory-limit of what runs a program."""
    return click.option("--memory-limit", type=click.FloatRange(min=64, max=1e9), metavar="MB", help=what)


def _complete_solution(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the name of a solution; where a pack may stand in its place, those that lie here too."""
    from click.shell_completion import CompletionItem

    packs: list[CompletionItem] = []
    if ctx.info_name in ("init", "pack"):
        base = Path(incomplete).parent if "/" in incomplete else Path()
        # What was typed stays as it is: `./a` is completed to `./a.crpack`.
        typed = incomplete.rpartition("/")
        names = sorted(path.name for path in base.glob("*.crpack") if path.name.startswith(typed[2]))
        packs = [CompletionItem(f"{typed[0]}{typed[1]}{name}", help="A pack.") for name in names]
    return [*complete_component("solution")(ctx, param, incomplete), *packs]


def variant_option(command: Command) -> Command:
    """Give a command --variant and --all-variants."""
    command = click.option("-a", "--all-variants", is_flag=True, help="Every combination of variants.")(command)
    return click.option(
        "-v",
        "--variant",
        "variants",
        multiple=True,
        metavar="NAME=VALUE[,VALUE]",
        help="Choose a variant; several values, or `all`, mean several configurations.",
    )(command)


def read_variants(entries: Sequence[str]) -> dict[str, list[str]]:
    """Read --variant options: `NAME=VALUE[,VALUE]`, or a configuration as tables show it, `NAME=VALUE,NAME=VALUE`.

    Raises:
        UsageError: an entry has no `=`, stands twice or names no value.
    """
    chosen = {}
    # No value has a `=` in it, so one after a comma begins the next variant.
    single = [part for entry in entries for part in re.split(r",(?=[^,=]+=)", entry)]
    for name, value in key_values(single, "--variant").items():
        chosen[name] = [part for part in value.split(",") if part]
        if not chosen[name]:
            raise UsageError(f"--variant {name}= names no value.", hint=f"For example --variant {name}=all.")
    return chosen


class _File(click.Path):
    """A file to write: a name that is not empty, in a folder that exists."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        if not str(value) or not path.name:
            self.fail("an empty name cannot be a file.", param, ctx)
        if not path.absolute().parent.is_dir():
            self.fail(f"the folder {path.parent} does not exist.", param, ctx)
        # Files are put in place whole, by renaming: that would put a file where the device or pipe was.
        if (path.exists() and not path.is_file()) or (path.is_symlink() and path.absolute().is_relative_to("/dev")):
            self.fail(f"{path} is a device or pipe; name a file.", param, ctx)
        return path


class _Plot(_File):
    """A file to write a plot to, refused before anything is measured where it is named as another format."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        path = super().convert(value, param, ctx)
        if path.suffix.lower() != ".svg":
            raise UsageError(f"{path.name}: plots are saved as SVG.", hint=f"Write {path.with_suffix('.svg').name}.")
        return path


FILE = _File(path_type=Path, dir_okay=False)
PLOT = _Plot(path_type=Path, dir_okay=False)
