# SPDX-License-Identifier: Apache-2.0
"""`cr search`: the list that was kept, or the index; then what fits is printed. Imports no click."""

from __future__ import annotations

from codereef.cli.plain import echo, print_json, table
from codereef.place import home_folder
from codereef.repo import listed
from codereef.repo.search import search

# What is here for checking alone: `typing` and `collections.abc` take longer to import than the rest of this.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from codereef.repo.listed import Listed


def print_hits(words: Sequence[str], kind: str | None, tags: Sequence[str], as_json: bool) -> None:
    """Print the components that fit."""
    entries = _entries()
    hits = search(entries, words, kind=kind, tags=tags)
    if as_json:
        shown = [{"reference": hit.reference, "summary": hit.summary, "repository": hit.repository} for hit in hits]
        print_json({"components": shown})
        return
    if hits:
        echo(table([[hit.reference, hit.summary] for hit in hits], ["component", "summary"]))
        return
    near: list[str] = []
    if words:
        from codereef.meta.reference import nearest

        near = nearest(words[0], {entry.name for entry in entries})
    told = f" Did you mean {' or '.join(f'`{name}`' for name in near)}?" if near else " Fewer words find more."
    echo(f"Nothing fits.{told}")


def _entries() -> list[Listed]:
    home = home_folder()
    kept = listed.read(home)
    if kept is not None:
        return kept
    from codereef.home import Home
    from codereef.witness import Recorder
    from codereef.workspace.session import Session

    with Recorder() as recorder:
        entries = Session(Home.default()).index.listed()
    listed.keep(home, entries, recorder.lines())
    return entries
