# SPDX-License-Identifier: Apache-2.0
"""`cr store`: what is kept on this machine, how large it is, whether it is sound, and taking away what nobody needs."""

from __future__ import annotations

import re
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import click

from codereef.cli.commands.shared import session
from codereef.cli.edge import note, print_json, shared_options, table
from codereef.disk import human

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from codereef.store import Store
    from codereef.store.collect import Collected
    from codereef.store.repair import Repair
    from codereef.store.verify import Damage

_SHOWN = 10
_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw]?)")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "": 86400, "w": 7 * 86400}


def _span(ctx: click.Context, param: click.Parameter, value: str) -> float:
    """Read a time such as `30d`, `12h` or `2w` as seconds; a bare number counts days."""
    match = _SPAN.fullmatch(value.strip().lower())
    if match is None or float(match[1]) * _UNITS[match[2]] > 1e10:
        raise click.BadParameter(f"{value!r} is no time such as 30d, 12h or 2w.", ctx, param)
    return float(match[1]) * _UNITS[match[2]]


@click.group()
def store() -> None:
    """List, measure, verify, repair and empty the store of files and installed folders."""


def _place() -> Store:
    from codereef.store import Store

    return Store(session().home.store)


@contextmanager
def _reading(what: str) -> Iterator[tuple[Callable[[int, int], None], Callable[[int], None]]]:
    """Show how much has been read."""
    from codereef.cli.progress import TerminalProgress

    progress = TerminalProgress()
    try:
        yield (
            lambda files, size: progress.start("read", size, f"{what} {files} files"),
            lambda size: progress.advance("read", size),
        )
        progress.finish("read")
    finally:
        progress.close()


def _when(moment: float | None) -> str:
    return "–" if moment is None else datetime.fromtimestamp(moment, timezone.utc).strftime("%Y-%m-%d %H:%M")


def _first(entries: Sequence[object], empty: str = "") -> str:
    """Return the first of several, and how many more there are."""
    if not entries:
        return empty
    return str(entries[0]) + (f" and {len(entries) - 1} more" if len(entries) > 1 else "")


def _shown(path: Path) -> str:
    """Return a path the short way: relative to here where it lies below, else with `~` for the home."""
    for base, mark in ((Path.cwd(), ""), (Path.home(), "~/")):
        if path.is_relative_to(base):
            return mark + str(path.relative_to(base))
    return str(path)


@store.command("ls", epilog="\b\nExamples:\n  cr store ls\n  cr store ls --unused\n  cr store ls --json")
@click.option("--unused", is_flag=True, help="Only what no lock holds.")
@shared_options
def ls(unused: bool, as_json: bool) -> None:
    """List installed folders: what they are, how large, when last used, and which locks hold them."""
    from codereef.store.survey import listed

    here = _place()
    rows = [row for row in listed(here) if not (unused and row.held_by)]
    if as_json:
        print_json(
            {
                "store": str(here.root),
                "folders": [
                    {
                        "key": row.prefix.key,
                        "kind": row.kind,
                        "what": row.what,
                        "size": row.prefix.size,
                        "files": row.prefix.files,
                        "created": row.prefix.created,
                        "last_used": None
                        if row.last_used is None
                        else datetime.fromtimestamp(row.last_used, timezone.utc).isoformat(timespec="seconds"),
                        "held_by": [str(path) for path in row.held_by],
                        "used_by": list(row.used_by),
                        "path": str(row.prefix.path),
                    }
                    for row in rows
                ],
            }
        )
        return
    if not rows:
        click.echo("Every installed folder is held by a lock." if unused else f"Nothing is installed in {here.root}.")
        return
    click.echo(
        table(
            [
                [
                    row.what,
                    human(row.prefix.size),
                    _when(row.last_used),
                    _first([_shown(path) for path in row.held_by], "nobody")
                    + (f" (in use by process {_first(row.used_by)})" if row.used_by else ""),
                    row.prefix.key,
                ]
                for row in rows
            ],
            ["what", "size", "last used (UTC)", "held by", "key"],
            right=[1],
        )
    )
    if any(not row.held_by for row in rows):
        note("`cr store gc --dry-run` shows what would be taken away.")


@store.command("du", epilog="\b\nExamples:\n  cr store du\n  cr store du --json")
@shared_options
def du(as_json: bool) -> None:
    """Show how large the store is: as if nothing were shared, on the disk, and what sharing saves."""
    from dataclasses import asdict

    from codereef.store.survey import usage

    here = _place()
    found = usage(here)
    if as_json:
        print_json({"store": str(here.root), **asdict(found)})
        return
    click.echo(
        table(
            [
                [part.name, str(part.count), str(part.files), human(part.apparent), human(part.real)]
                for part in found.parts
            ],
            ["part", "count", "files", "apparent", "on disk"],
            right=[1, 2, 3, 4],
        )
    )
    how = {
        "hard link": "Files are shared by hard link here.",
        "reflink": "Files are shared block by block (reflink) here; the column on disk counts such blocks for each file.",
        "copy": "This file system can share nothing: files are copied.",
        None: "",
    }[found.how]
    click.echo(
        f"All: {human(found.apparent)} apparent, {human(found.real)} on disk, {human(found.shared)} shared within the store."
        + (f" {how}" if how else "")
    )
    if found.outside:
        click.echo(f"{human(found.outside)} have names outside the store too, such as in the cache of uv.")
    if found.free is not None:
        note(f"{human(found.free)} are free at {here.root}")


def _damage_data(damage: Damage) -> dict[str, object]:
    return {
        "kind": damage.kind,
        "name": damage.name,
        "path": str(damage.path),
        "problems": [problem for _, problem in sorted(damage.problems.items())],
    }


def _damage_lines(damage: Damage) -> list[str]:
    problems = [problem for _, problem in sorted(damage.problems.items())]
    lines = [f"{damage.kind} {damage.name}: {problems[0]}"] if len(problems) == 1 else [f"{damage.kind} {damage.name}:"]
    if len(problems) > 1:
        lines += [f"  {problem}" for problem in problems[:_SHOWN]]
        if len(problems) > _SHOWN:
            lines.append(f"  and {len(problems) - _SHOWN} more")
    return lines


@store.command("verify", epilog="\b\nExamples:\n  cr store verify\n  cr store verify --json || cr store repair")
@click.option("-j", "--jobs", type=click.IntRange(1, 1024), help="Files to read at once; by default one for each core.")
@shared_options
def verify(jobs: int | None, as_json: bool) -> None:
    """Read every file and say what is damaged; the exit code is 1 where something is.

    Files are checked by their SHA-256, folders by what was recorded when they were made, Python environments by
    the RECORD files of their distributions and by a list of what those leave out.
    """
    from codereef.store.roots import Roots
    from codereef.store.verify import verify as read_all

    here = _place()
    with _reading("reading") as (total, advance):
        found = read_all(here, jobs=jobs, on_total=total, on_bytes=advance)
    registrations = Roots(here).damaged()
    if as_json:
        print_json(
            {
                "store": str(here.root),
                "sound": not found.damages and not registrations,
                "damaged": [_damage_data(damage) for damage in found.damages],
                "damaged_registrations": [str(path) for path in registrations],
                "unrecorded": list(found.unrecorded),
                "blobs": found.blobs,
                "folders": found.folders,
                "environments": found.environments,
                "files_read": found.files,
                "bytes_read": found.size,
            }
        )
    else:
        for damage in found.damages:
            for line in _damage_lines(damage):
                click.echo(line)
        for path in registrations:
            click.echo(f"registration {path.name}: cannot be read")
        for key in found.unrecorded:
            note(f"note: nobody recorded what {key} must hold")
        what = (
            f"{_count(found.blobs, 'file')}, {_count(found.folders, 'folder')} and "
            f"{_count(found.environments, 'environment')} ({human(found.size)} read)"
        )
        bad = len(found.damages) + len(registrations)
        click.echo(f"{bad} damaged of {what}." if bad else f"All is sound: {what}.")
        if bad:
            note("`cr store repair` mends what it can and takes the rest away, to be fetched or made again.")
    if found.damages or registrations:
        raise click.exceptions.Exit(1)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


@store.command("repair", epilog="\b\nExamples:\n  cr store repair\n  cr store repair --json")
@click.option("-j", "--jobs", type=click.IntRange(1, 1024), help="Files to read at once; by default one for each core.")
@click.option("--keep-cache", is_flag=True, help="Leave the cache of uv as it is, also where it has the same damage.")
@shared_options
def repair(jobs: int | None, keep_cache: bool, as_json: bool) -> None:
    """Verify, and mend what is damaged; the exit code is 1 where something could not be.

    A damaged file is taken from a sound copy in the store. What has none is removed, so that the next `cr init`
    fetches it or makes it again. What a running process uses is never removed.
    """
    from codereef.store.repair import repair as mend
    from codereef.workspace.storage import clean_cache

    here = _place()
    with _reading("reading") as (total, advance):
        done = mend(here, jobs=jobs, on_total=total, on_bytes=advance)
    cached = sorted({name for item in done.repairs for name in item.cached})
    cleaned = bool(cached) and not keep_cache and clean_cache(cached)
    if as_json:
        print_json(
            {
                "store": str(here.root),
                "repairs": [
                    {"kind": item.kind, "name": item.name, "action": item.action, "why": item.why}
                    for item in done.repairs
                ],
                "cleaned_from_uv_cache": cached if cleaned else [],
                "left": len(done.left),
            }
        )
    else:
        for item in done.repairs:
            click.echo(_repair_line(item))
        if cleaned:
            click.echo(f"The cache of uv had the same damage: {', '.join(cached)} dropped from it.")
        elif cached:
            note(f"note: the cache of uv has the same damage: `uv cache clean {' '.join(cached)}`")
        if not done.repairs:
            click.echo("Nothing is damaged.")
        elif any(item.action == "removed" for item in done.repairs):
            note("Next: cr init in the solutions that need what was removed")
    if done.left:
        raise click.exceptions.Exit(1)


def _repair_line(item: Repair) -> str:
    return f"{item.kind} {item.name}: {item.action}, {item.why}."


@store.command(
    "gc",
    epilog="\b\nExamples:\n  cr store gc --dry-run\n  cr store gc --older-than 30d\n  cr store gc --all",
)
@click.option("-n", "--dry-run", is_flag=True, help="Only show what would be taken away.")
@click.option(
    "--older-than",
    callback=_span,
    default="0d",
    metavar="TIME",
    help="Only what was not used for TIME, such as 30d or 12h.",
)
@click.option(
    "--all", "everything", is_flag=True, help="Also files that are only kept so that they need not be fetched again."
)
@shared_options
def gc(dry_run: bool, older_than: float, everything: bool, as_json: bool) -> None:
    """Take away what no lock on this machine holds and no running process uses.

    A lock that was deleted, or that no longer names something, holds it no more. All that is taken away can be
    fetched or made again by `cr init`.
    """
    from codereef.store.collect import collect

    here = _place()
    done = collect(
        here,
        older_than=older_than,
        everything=everything,
        dry_run=dry_run,
        waiting=lambda: note("waiting for another cr that is choosing what to take away"),
    )
    if as_json:
        print_json(_collected_data(here, done))
        return
    for item in done.freed:
        click.echo(f"{item.kind} {item.name}" + (f" ({human(item.size)})" if item.size else ""))
    for name, pids in sorted(done.in_use.items()):
        note(f"kept {name}: process {', '.join(map(str, pids))} uses it")
    for key in done.building:
        note(f"kept {key}: another process is building it")
    if not done.freed:
        click.echo("There is nothing to take away.")
        return
    verb = "would become" if dry_run else "became"
    click.echo(f"{_count(len(done.freed), 'thing')}, {human(done.size)} {verb} free.")


def _collected_data(here: Store, done: Collected) -> dict[str, object]:
    return {
        "store": str(here.root),
        "dry_run": done.dry_run,
        "freed": [
            {"kind": item.kind, "name": item.name, "bytes": item.size, "unused_seconds": round(item.unused_for)}
            for item in done.freed
        ],
        "bytes": done.size,
        "in_use": {name: list(pids) for name, pids in done.in_use.items()},
        "building": list(done.building),
        "held": done.held,
        "leftovers": done.leftovers,
    }
