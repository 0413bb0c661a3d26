# SPDX-License-Identifier: Apache-2.0
"""What `cr init` says at its end, also where it is known from before that nothing is to be done. Imports no click."""

from __future__ import annotations

from codereef.cli.plain import echo
from codereef.place import home_folder
from codereef.workspace import ready


def print_ready(reference: str, done: str, seconds: float, lock: str, *, quiet: bool) -> None:
    """Print that a solution is ready.

    Args:
        reference: the solution.
        done: what was done.
        seconds: how long it took.
        lock: path of the lock.
        quiet: no notes.
    """
    echo(f"{reference} is ready ({done} {seconds:.1f} s). Lock: {lock}")
    if not quiet:
        echo(f"Next: cr benchmark {reference.partition(':')[2].partition('@')[0]}", err=True)


#: What was done where nothing had to be.
NOTHING = "everything was there;"


def answered(solution: str, *, quiet: bool) -> bool:
    """Say that a solution is ready where that is known from before and nothing has changed; else return False."""
    import time

    started = time.monotonic()
    if not solution or "/" in solution or solution.endswith(".crpack"):
        return False
    said = ready.holds(home_folder(), solution)
    if said is None or len(said) < 2:
        return False
    reference, lock, *notes = said
    if not quiet:
        for line in notes:
            echo(f"note: {line}", err=True)
    print_ready(reference, NOTHING, time.monotonic() - started, lock, quiet=quiet)
    return True
