# SPDX-License-Identifier: Apache-2.0
"""The edge between the library and people: errors become sentences, data become tables or JSON."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import click

from codereef.cli.plain import color as color
from codereef.cli.plain import print_json as print_json
from codereef.cli.plain import table as table
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


def quiet() -> bool:
    """Tell whether the user wants no progress and no notes."""
    ctx = click.get_current_context(silent=True)
    return bool(ctx and ctx.meta.get("codereef.quiet"))


def note(text: str) -> None:
    """Print a note for people to standard error."""
    if not quiet():
        click.echo(text, err=True)


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


_EXAMPLES = {
    "--pin": "compiler.python=3.11",
    "--data": "imagenet-2012-val=/data/imagenet/val",
    "--option": "threads=4",
}


def key_values(entries: Sequence[str], option: str) -> dict[str, str]:
    """Read `NAME=VALUE` options.

    Raises:
        UsageError: an entry has no `=` or stands twice.
    """
    result: dict[str, str] = {}
    for entry in entries:
        name, sign, value = entry.partition("=")
        if not sign or not name:
            example = _EXAMPLES.get(option, "precision=int8")
            raise UsageError(f"{option} {entry}: expected NAME=VALUE.", hint=f"For example {option} {example}.")
        if name in result:
            raise UsageError(f"{option} {name} is given twice.", hint="Give it once.")
        result[name] = value
    return result


def with_interval(
    value: float | None, interval: Sequence[float] | None, digits: int, factor: float = 1.0, sign: str = ""
) -> str:
    """Return `value [low, high]`; a dash where there is no value.

    Args:
        value: a number, or None where it cannot be given.
        interval: its interval, lowest and highest, or None.
        digits: after the point.
        factor: to multiply by, for the unit that is shown.
        sign: `+` for changes, which have a sign always.
    """
    if value is None:
        return "–"
    shown = [f"{number * factor:{sign}.{digits}f}" for number in (value, *(interval or ()))]
    return shown[0] + (f" [{', '.join(shown[1:])}]" if interval else "")


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
