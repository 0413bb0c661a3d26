# SPDX-License-Identifier: Apache-2.0
"""`cr portal` and `cr push`."""

from __future__ import annotations

import contextlib
import sys
import threading
from pathlib import Path

import click

from codereef.cli.commands.shared import FILE, complete_result
from codereef.cli.edge import interactive, print_json, shared_options, table
from codereef.home import Home


@click.group()
def portal() -> None:
    """Serve components and results as web pages."""


@portal.command(
    "start",
    epilog="\b\nExamples:\n  cr portal start\n  cr portal start --port 9000 --database portal.sqlite --import-results",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    default=8642,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="Port to listen on; 0 takes a free one.",
)
@click.option(
    "--database",
    type=FILE,
    help="SQLite file, or by default one in the client's home.",
)
@click.option(
    "--import-results/--no-import-results",
    default=True,
    show_default=True,
    help="Put the results of this machine into it first.",
)
@shared_options
def start(host: str, port: int, database: Path | None, import_results: bool, as_json: bool) -> None:
    """Serve the components of your repositories and uploaded results, until Ctrl-C."""
    from codereef.errors import UsageError

    try:
        from codereef_portal.serve import serve
        from codereef_portal.settings import ComponentSource, Settings
    except ImportError as error:
        raise UsageError(
            f"The portal is not installed ({error.name} is missing).",
            hint="In a clone of CodeReef: pip install '.[server]'.",
        ) from None
    from codereef.errors import CrError
    from codereef.portal.push import upload
    from codereef.record.history import History
    from codereef.repo.index import load_index
    from codereef.repo.sources import repositories

    home = Home.default()
    index = load_index(repositories(home), home.cache)
    results = list(History(home.results).all()) if import_results else []
    path = database or home.portal / "portal.sqlite"
    path.parent.mkdir(parents=True, exist_ok=True)
    sources = [
        # What lies in a registry has no folder before it is used, and is not fetched for its text.
        ComponentSource(c.meta, c.digest, _readme(c.place) if isinstance(c.place, Path) else None)
        for c in index.components
    ]

    def ready(address: str) -> None:
        if as_json:
            print_json({"address": address, "database": str(path), "components": len(sources), "results": len(results)})
        else:
            click.echo(
                f"The portal is at {address} with {len(sources)} components and {len(results)} results of this machine. Ctrl-C ends it."
            )
        sys.stdout.flush()
        # The server answers only once this function has returned, so its own results come from another thread,
        # through the same door as everybody's.
        threading.Thread(target=fill, args=(address,), daemon=True).start()

    def fill(address: str) -> None:
        try:
            for result in results:
                upload(result, address)
        except CrError as error:
            click.echo(f"The results of this machine could not all be put in: {error.message}", err=True)

    with contextlib.suppress(KeyboardInterrupt):  # the way a person ends it
        serve(Settings(database=path, host=host, port=port, components=sources), ready)


def _readme(folder: Path) -> str | None:
    try:
        return (folder / "README.md").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None


@click.command(
    epilog="\b\nExamples:\n  cr push latest\n  cr push --all\n  cr push --dry-run latest\n  cr push            (sends what waits in the queue)"
)
@click.argument("results", nargs=-1, shell_complete=complete_result)
@click.option("--all", "every", is_flag=True, help="Every successful result of this machine.")
@click.option("--portal", "address", metavar="ADDRESS", help="Portal to send to; by default the one in the settings.")
@click.option("--dry-run", is_flag=True, help="Show what would be sent and send nothing.")
@click.option("-y", "--yes", is_flag=True, help="Agree that results are uploaded.")
@shared_options
def push(results: tuple[str, ...], every: bool, address: str | None, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Upload results to a portal. What would be sent is shown first, and you are asked once.

    A portal that is away costs nothing: the results wait in a queue, and the next push sends them.
    """
    from codereef import config
    from codereef.errors import CrError, NetworkError, UsageError
    from codereef.portal.push import Queue, normal_address, preview
    from codereef.portal.push import push as send
    from codereef.record.history import History

    home = Home.default()
    portal_address = normal_address(address or str(config.value(home, "portal")))
    history, queue = History(home.results), Queue(home, portal_address)
    chosen = {r.id: r for r in queue.waiting()}
    chosen.update({r.id: r for r in (history.all() if every else ()) if r.document["status"] == "ok"})
    chosen.update({r.id: r for r in map(history.find, results)})
    if not chosen:
        raise UsageError(
            f"There is nothing to send: no result was named, and none waits for {portal_address}.",
            hint="`cr push latest`, or `cr push --all`.",
        )
    if dry_run:
        shown = preview(list(chosen.values()))
        print_json({"portal": portal_address, "would_send": shown} if as_json else shown)
        return
    agreed = list(config.value(home, "share"))
    if not yes and portal_address not in agreed:
        if as_json or not interactive():
            raise UsageError(
                f"You have not agreed yet that results are uploaded to {portal_address}.",
                hint="Look at `cr push --dry-run`; then give --yes, or `cr config set share " + portal_address + "`.",
            )
        print_json(preview(list(chosen.values())))
        what = "this result" if len(chosen) == 1 else f"these {len(chosen)} results"
        if not click.confirm(f"Send {what} to {portal_address}, and later ones without asking?"):
            click.echo("Nothing was sent.")
            return
        config.store_value(home, "share", ",".join([*agreed, portal_address]))
    sent = send(list(chosen.values()), portal_address, queue, offline=bool(config.value(home, "offline")))
    if as_json:
        rows = [{"id": s.id, "status": s.status, "address": s.address, "reason": s.reason} for s in sent]
        print_json({"portal": portal_address, "results": rows})
    else:
        click.echo(table([[s.id[:12], s.status, s.address or s.reason] for s in sent], ["result", "status", ""]))
    waiting = [s for s in sent if s.status == "queued"]
    if waiting:
        count = "1 result waits" if len(waiting) == 1 else f"{len(waiting)} results wait"
        raise NetworkError(
            f"{count} in the queue: {waiting[0].reason}",
            hint="`cr push` sends them when the portal is back; nothing is lost.",
        )
    if any(s.status == "refused" for s in sent):
        reasons = "; ".join(dict.fromkeys(s.reason for s in sent if s.status == "refused"))
        raise CrError(f"The portal refused some results: {reasons}", hint="They stay in the local history.")
