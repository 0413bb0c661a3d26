# SPDX-License-Identifier: Apache-2.0
"""The edge between the library and people: errors become sentences, data become tables or JSON."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import click

from codereef.errors import CancelledError, CrError, UsageError

Command = TypeVar("Command", bound=Callable[..., Any])


def shared_options(command: Command) -> Command:
    """Give a command the options that every command has: --json, --quiet and --debug."""
    command = click.option(
        "--debug", is_flag=True, expose_value=False, is_eager=True, help="Show the traceback of an error."
    )(command)
    command = click.option(
        "-q",
        "--quiet",
        is_flag=True,
        expose_value=False,
        is_eager=True,
        callback=_quiet,
        help="No progress and no notes.",
    )(command)
    return click.option("--json", "as_json", is_flag=True, help="Print data as JSON.")(command)


def _quiet(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    ctx.meta["codereef.quiet"] = value


def color() -> bool | None:
    """Return False where the user wants no colour (NO_COLOR), else None: colour on a terminal only."""
    return False if os.environ.get("NO_COLOR") else None


def quiet() -> bool:
    """Tell whether the user wants no progress and no notes."""
    ctx = click.get_current_context(silent=True)
    return bool(ctx and ctx.meta.get("codereef.quiet"))


def note(text: str) -> None:
    """Print a note for people to standard error."""
    if not quiet():
        click.echo(text, err=True)


def print_json(document: object) -> None:
    """Print data as JSON to standard output."""
    import json

    click.echo(json.dumps(document, indent=2, ensure_ascii=False, default=str))


def _as_cr_error(error: BaseException) -> CrError | None:
    if isinstance(error, CrError):
        return error
    if isinstance(error, (KeyboardInterrupt, click.exceptions.Abort)):
        return CancelledError("Interrupted.", hint="Run the same command again; what was finished is kept.")
    if isinstance(error, click.UsageError):
        hint = ""
        if error.ctx is not None:
            hint = f"`{error.ctx.command_path} --help` shows how it is used."
        return UsageError(error.format_message(), hint=hint)
    if isinstance(error, click.ClickException):
        return UsageError(error.format_message())
    return None


def report_error(error: BaseException, arguments: Sequence[str]) -> int:
    """Tell the user of an error and return the exit code.

    With `--json` the error is data on standard output; with `--debug` its traceback comes first.
    """
    if isinstance(error, click.exceptions.Exit):
        return error.exit_code
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 0 if error.code is None else 1
    if isinstance(error, BrokenPipeError):
        # The reader of our output has gone, as in `cr results | head`.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    debug = "--debug" in arguments
    known = _as_cr_error(error)
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(error.format_message())
        return 0
    if known is None and isinstance(error, OSError):
        known = _storage(error)
    if debug:
        import traceback

        traceback.print_exception(error)
    if known is None:
        known = CrError(
            f"Something went wrong inside cr: {type(error).__name__}: {error}",
            hint="This is a defect of ours. Run the same command with --debug and report what it prints.",
        )
    if "--json" in arguments:
        print_json(known.as_dict())
    else:
        click.echo(f"{click.style('error:', fg='red', bold=True)} {known.message}", err=True, color=color())
        if known.hint:
            click.echo(f"{click.style('hint:', fg='cyan', bold=True)} {known.hint}", err=True, color=color())
    return known.exit_code


def _storage(error: OSError) -> CrError:
    """Return the error for a file that could not be read or written."""
    import errno
    from pathlib import Path

    from codereef.disk import storage_error
    from codereef.errors import StorageError

    place = Path(str(error.filename)) if error.filename else None
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO) and place is not None:
        return storage_error(error, place.name, place.parent) or StorageError(str(error))
    where = f"{place} could not be used" if place is not None else "A file could not be used"
    return StorageError(
        f"{where}: {(error.strerror or str(error)).lower()}.",
        hint="Check that it exists, what it is and who may use it. `cr config` shows the folder that cr keeps things in.",
        context={"path": str(place or ""), "errno": error.errno},
    )


def interactive() -> bool:
    """Tell whether a person can be asked."""
    return sys.stdin is not None and sys.stdin.isatty()


def table(rows: Sequence[Sequence[str]], head: Sequence[str], *, right: Sequence[int] = ()) -> str:
    """Return rows as a text table, or as blocks of lines where a terminal is too narrow for it.

    Args:
        rows: cells as text.
        head: column names.
        right: columns that are aligned to the right.
    """
    everything = [list(head), *[list(row) for row in rows]]
    widths = [max(len(row[i]) for row in everything) for i in range(len(head))]
    if sys.stdout is not None and sys.stdout.isatty():
        import shutil

        columns = shutil.get_terminal_size().columns
        if sum(widths) + 2 * (len(widths) - 1) > columns:
            return _blocks(rows, head)
    lines = []
    for number, row in enumerate(everything):
        cells = [cell.rjust(widths[i]) if i in right else cell.ljust(widths[i]) for i, cell in enumerate(row)]
        line = "  ".join(cells).rstrip()
        lines.append(click.style(line, bold=True) if number == 0 else line)
    return "\n".join(lines)


def _blocks(rows: Sequence[Sequence[str]], head: Sequence[str]) -> str:
    width = max(len(name) for name in head[1:]) if len(head) > 1 else 0
    lines = []
    for row in rows:
        lines.append(click.style(row[0], bold=True))
        lines += [f"  {name.ljust(width)}  {cell}" for name, cell in zip(head[1:], row[1:]) if cell]
    return "\n".join(lines)


def key_values(entries: Sequence[str], option: str) -> dict[str, str]:
    """Read `NAME=VALUE` options.

    Raises:
        UsageError: an entry has no `=` or stands twice.
    """
    result: dict[str, str] = {}
    for entry in entries:
        name, sign, value = entry.partition("=")
        if not sign or not name:
            raise UsageError(f"{option} {entry}: expected NAME=VALUE.", hint=f"For example {option} precision=int8.")
        if name in result:
            raise UsageError(f"{option} {name} is given twice.", hint="Give it once.")
        result[name] = value
    return result


def print_tree(tree: Mapping[str, Any], *, indent: int = 0) -> None:
    """Print nested data for people; what is empty or unknown is left out."""
    for key, value in tree.items():
        if value is None or value in ([], {}, ""):
            continue
        if isinstance(value, Mapping):
            click.echo("  " * indent + click.style(f"{key}:", bold=True))
            print_tree(value, indent=indent + 1)
        else:
            click.echo("  " * indent + f"{key}: {_inline(value)}")


def _inline(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return " ".join(f"{key} {_inline(item)}" for key, item in value.items() if item is not None)
    if isinstance(value, (list, tuple)):
        separator = "; " if any(isinstance(item, Mapping) for item in value) else ", "
        return separator.join(_inline(item) for item in value)
    return str(value)
