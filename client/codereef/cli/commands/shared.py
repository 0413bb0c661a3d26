# SPDX-License-Identifier: Apache-2.0
"""Options and helpers that several command groups use."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from codereef.cli.edge import key_values
from codereef.errors import UsageError
from codereef.home import Home
from codereef.workspace.session import Session

Command = TypeVar("Command", bound=Callable[..., Any])


def session(*, offline: bool = False, python: str | None = None) -> Session:
    """Return the session of this command."""
    return Session(Home.default(), offline=offline, python=python)


def complete_component(kind: str | None) -> Callable[[click.Context, click.Parameter, str], list[CompletionItem]]:
    """Return a completer for component names of a kind, or `kind:name` of all kinds."""

    def complete(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        try:
            index = session().index
        except Exception:  # Completion must never print a traceback into a prompt.
            return []
        found = {
            (c.name if kind else c.reference.unversioned): str(c.meta["summary"])
            for c in index.components
            if kind is None or c.kind == kind
        }
        return [
            CompletionItem(name, help=summary) for name, summary in sorted(found.items()) if name.startswith(incomplete)
        ]

    return complete


def complete_result(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the identity of a result."""
    from codereef.record.history import History

    return [
        CompletionItem(r.short, help=str(r.document["configuration"]["id"]))
        for r in History(Home.default().results).all()
        if r.id.startswith(incomplete)
    ]


def solution_argument(command: Command) -> Command:
    """Give a command its SOLUTION argument and --directory."""
    command = click.option(
        "-C",
        "--directory",
        type=click.Path(path_type=Path, file_okay=False),
        default=Path(),
        show_default="here",
        help="Folder that holds the solution's folder.",
    )(command)
    return click.argument("solution", shell_complete=complete_component("solution"))(command)


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
    """Read --variant options.

    Raises:
        UsageError: an entry has no `=`, stands twice or names no value.
    """
    chosen = {}
    for name, value in key_values(entries, "--variant").items():
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
        return path


FILE = _File(path_type=Path, dir_okay=False)
