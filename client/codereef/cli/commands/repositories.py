# SPDX-License-Identifier: Apache-2.0
"""`cr repo`: the repositories that components come from."""

from __future__ import annotations

import click

from codereef.cli.edge import note, print_json, shared_options, table
from codereef.home import Home


@click.group()
def repo() -> None:
    """Add, list, update and remove repositories of components."""


@repo.command(
    "add",
    epilog="\b\nExamples:\n  cr repo add ./my-components\n  cr repo add https://example.org/team/components.git --name team --revision v2",
)
@click.argument("origin")
@click.option("--name", help="How to call it; by default the last part of its address.")
@click.option("--revision", default="", help="Branch or tag of a git repository.")
@click.option("--trust", is_flag=True, help="Let code of its components run without asking.")
@shared_options
def add(origin: str, name: str | None, revision: str, trust: bool, as_json: bool) -> None:
    """Add a folder or a git repository. Its components win over those of the same name in the default one."""
    from codereef.repo import sources
    from codereef.repo.index import Repository, load_repository

    home = Home.default()
    _require_network(home, sources.needs_network(origin))
    entry = sources.add(home, origin, name=name, revision=revision, trusted=trust)
    place = next(r for r in sources.repositories(home) if r.name == entry.name)
    components, broken = load_repository(Repository(place.name, place.root, place.origin, place.trusted), home.cache)
    if as_json:
        print_json(
            {
                "name": entry.name,
                "components": len(components),
                "broken": [str(b.path) for b in broken],
                "trusted": entry.trusted,
            }
        )
        return
    click.echo(f"Added `{entry.name}` with {len(components)} component{'s' if len(components) != 1 else ''}.")
    for item in broken:
        note(f"note: {item.error.message}")
    if not entry.trusted:
        note(f"Code of its components runs only after `cr repo trust {entry.name}`.")


def _require_network(home: Home, wanted: bool) -> None:
    from codereef.config import value
    from codereef.errors import NetworkError

    if wanted and value(home, "offline"):
        raise NetworkError(
            "A git repository cannot be fetched: the setting `offline` says that no network is used.",
            hint="`cr config unset offline`, or leave CR_OFFLINE unset, for this one command.",
        )


@repo.command("list")
@shared_options
def list_(as_json: bool) -> None:
    """List the repositories, those that win first."""
    from codereef.repo.index import load_repository
    from codereef.repo.sources import repositories

    home = Home.default()
    rows = []
    for repository in repositories(home):
        components, broken = load_repository(repository, home.cache)
        rows.append((repository, len(components), len(broken)))
    if as_json:
        print_json(
            {
                "repositories": [
                    {
                        "name": r.name,
                        "origin": r.origin,
                        "folder": str(r.root),
                        "trusted": r.trusted,
                        "components": n,
                        "broken": b,
                    }
                    for r, n, b in rows
                ]
            }
        )
        return
    click.echo(
        table(
            [
                [r.name, str(n) + (f" (+{b} broken)" if b else ""), "yes" if r.trusted else "no", r.origin]
                for r, n, b in rows
            ],
            ["name", "components", "trusted", "origin"],
        )
    )


@repo.command("update")
@click.argument("name", required=False)
@shared_options
def update(name: str | None, as_json: bool) -> None:
    """Fetch the newest state of git repositories."""
    from codereef.repo import sources

    home = Home.default()
    _require_network(home, any(entry.git for entry in sources.sources(home)))
    done = sources.update(home, name)
    if as_json:
        print_json({"repositories": [{"name": s.name, "changed": changed} for s, changed in done]})
        return
    for source, changed in done:
        click.echo(
            f"{source.name}: {'updated' if changed else 'was up to date' if source.git else 'is a folder and always up to date'}"
        )
    if not done:
        click.echo("There is no git repository to update.")


@repo.command("remove")
@click.argument("name")
@shared_options
def remove(name: str, as_json: bool) -> None:
    """Take a repository off the list. A folder you added stays as it is; a clone is deleted."""
    from codereef.repo import sources

    entry = sources.remove(Home.default(), name)
    if as_json:
        print_json({"removed": entry.name})
    else:
        click.echo(f"Removed `{entry.name}`.")


@repo.command("trust")
@click.argument("name")
@click.option("--revoke", is_flag=True, help="Trust it no longer.")
@shared_options
def trust(name: str, revoke: bool, as_json: bool) -> None:
    """Let code of a repository's components (detectors, generators, programs) run on this machine."""
    from codereef.repo import sources

    entry = sources.set_trusted(Home.default(), name, not revoke)
    if as_json:
        print_json({"name": entry.name, "trusted": entry.trusted})
    else:
        click.echo(f"`{entry.name}` is {'trusted' if entry.trusted else 'not trusted'}.")
