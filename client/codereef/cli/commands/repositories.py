# SPDX-License-Identifier: Apache-2.0
"""`cr repo`: the repositories that components come from, and whose code may run."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from codereef.cli.edge import interactive, note, print_json, quiet, shared_options, table
from codereef.home import Home

if TYPE_CHECKING:
    from codereef.repo.registry.layout import Root
    from codereef.repo.sources import Source


@click.group()
def repo() -> None:
    """Add, list, update and remove repositories of components."""


@repo.command(
    "add",
    epilog="\b\nExamples:\n  cr repo add ./my-components\n  cr repo add https://example.org/team/components.git --name team --revision v2\n  cr repo add https://example.org/registry --key ed25519:0123456789abcdef",
)
@click.argument("origin")
@click.option("--name", help="How to call it; by default the last part of its address.")
@click.option("--revision", default="", help="Branch or tag of a git repository.")
@click.option("--key", help="Identity of the key that must have signed a registry; its first 16 digits are enough.")
@click.option("--trust", is_flag=True, help="Let code of its components run without asking.")
@shared_options
def add(origin: str, name: str | None, revision: str, key: str | None, trust: bool, as_json: bool) -> None:
    """Add a folder, a git repository or a registry. Its components win over those of the same name in the default one."""
    from codereef.repo import sources
    from codereef.repo.index import load_repository

    home = Home.default()
    _require_network(home, sources.needs_network(origin))
    entry = sources.add(home, origin, name=name, revision=revision, trusted=trust, key=key)
    rows, broken = load_repository(sources.repository_of(home, entry), home.cache)
    if not as_json:
        click.echo(f"Added `{entry.name}` with {len(rows)} component{'s' if len(rows) != 1 else ''}.")
        _tell_keys(home, entry)
        for item in broken:
            note(f"note: {item.error.message}")
        _tell_overlooked(sources.repository_of(home, entry).root)
    if not entry.trusted and not as_json and interactive():
        code = sum(row.kind in ("program", "package", "soft", "dataset") for row in rows.values())
        click.echo(f"{code} of its components have code that would run on this machine when they are used.", err=True)
        if click.confirm(f"Do you trust {_whom(home, entry)}?", default=False, err=True):
            entry = sources.set_trusted(home, entry.name, True)
    if as_json:
        print_json({**_data(home, entry), "components": len(rows), "broken": [str(b.path) for b in broken]})
    elif not entry.trusted:
        note(f"Code of its components runs only after `cr repo trust {entry.name}`.")


def _tell_overlooked(root: Path) -> None:
    """Name folders with a cr.json that are not among the components."""
    from codereef.repo.scan import overlooked

    folders = [folder.relative_to(root).as_posix() for folder in overlooked(root)] if root.is_dir() else []
    if folders:
        note(
            f"note: not looked at, although a cr.json is there: {', '.join(folders[:5])}{' …' if len(folders) > 5 else ''}. "
            "A repository with a folder components, packages, soft-detect or solutions keeps all its components in these."
        )


def _root(home: Home, entry: Source) -> Root | None:
    """Return what a registry said of itself last; None for another kind of repository, or a damaged one."""
    from codereef.errors import CrError

    if entry.kind != "registry":
        return None
    from codereef.repo.registry.local import LocalRegistry

    try:
        return LocalRegistry(home.repos / entry.name, entry.origin).root()
    except CrError:
        return None


def _tell_keys(home: Home, entry: Source) -> None:
    """Print whose keys a registry is signed with, for comparison with what its owner says."""
    root = _root(home, entry)
    if root is None:
        return
    if not entry.keys:
        click.echo("It is not signed: what it serves is as trustworthy as the way it came.")
        return
    for identity in entry.keys:
        click.echo(f"Signed by {identity}")
    for name, publisher in sorted(root.publishers.items()):
        for identity in publisher.keys:
            click.echo(f"Publisher {name}: {identity}" + (" (revoked)" if identity in root.revoked else ""))


def _whom(home: Home, entry: Source) -> str:
    root = _root(home, entry)
    names = sorted(root.publishers) if root is not None else []
    if names:
        return f"{', '.join(names)} in `{entry.name}`"
    return f"those who write to {entry.origin}"


def _data(home: Home, entry: Source) -> dict[str, Any]:
    """Return an entry as data for --json."""
    root = _root(home, entry)
    data: dict[str, Any] = {
        "name": entry.name,
        "kind": entry.kind,
        "origin": entry.origin,
        "trusted": entry.trusted,
        "updated": entry.updated,
    }
    if root is not None:
        data["registry"] = root.registry
        data["sequence"] = root.sequence
        data["time"] = root.time
        data["keys"] = list(entry.keys)
        data["publishers"] = {
            name: {
                "keys": list(publisher.keys),
                "trusted": entry.trusted
                and (not entry.publishers or bool(set(publisher.keys) & set(entry.publishers))),
            }
            for name, publisher in sorted(root.publishers.items())
        }
        data["revoked"] = dict(root.revoked)
    return data


def _require_network(home: Home, wanted: bool) -> None:
    from codereef.config import value
    from codereef.errors import NetworkError

    if wanted and value(home, "offline"):
        raise NetworkError(
            "A repository cannot be fetched: the setting `offline` says that no network is used.",
            hint="`cr config unset offline`, or leave CR_OFFLINE unset, for this one command.",
        )


@repo.command("list")
@shared_options
def list_(as_json: bool) -> None:
    """List the repositories, those that win first: their kind, whom you trust, keys and when they were updated."""
    from codereef.repo.index import load_repository
    from codereef.repo.sources import EMBEDDED, repositories, sources

    home = Home.default()
    entries = {entry.name: entry for entry in sources(home)}
    data: list[dict[str, Any]] = []
    for repository in repositories(home):
        rows, broken = load_repository(repository, home.cache)
        entry = entries.get(repository.name)
        own: Mapping[str, Any] = (
            _data(home, entry)
            if entry is not None
            else {"name": EMBEDDED, "kind": "embedded", "origin": "embedded", "trusted": True, "updated": ""}
        )
        data.append({**own, "folder": str(repository.root), "components": len(rows), "broken": len(broken)})
    if as_json:
        print_json({"repositories": data})
        return
    click.echo(
        table(
            [
                [
                    entry["name"],
                    entry["kind"],
                    str(entry["components"]) + (f" (+{entry['broken']} broken)" if entry["broken"] else ""),
                    _trust_word(entry),
                    _key_word(entry),
                    entry["updated"][:16].replace("T", " ") or "–",
                    entry["origin"],
                ]
                for entry in data
            ],
            ["name", "kind", "components", "trusted", "signed by", "updated", "origin"],
        )
    )


def _trust_word(entry: Mapping[str, Any]) -> str:
    publishers = entry.get("publishers", {})
    trusted = [name for name, publisher in publishers.items() if publisher["trusted"]]
    if not entry["trusted"]:
        return "no"
    return "yes" if len(trusted) == len(publishers) else f"only {', '.join(trusted) or 'nobody'}"


def _key_word(entry: Mapping[str, Any]) -> str:
    from codereef.trust.signatures import short

    if entry["kind"] != "registry":
        return "–"
    return ", ".join(short(identity) for identity in entry["keys"]) or "nobody"


def _moved() -> Callable[[str, int, int], None]:
    """Return what shows how many files have come, on a terminal."""
    if quiet() or sys.stderr is None or not sys.stderr.isatty():
        return lambda name, done, of: None

    def show(name: str, done: int, of: int) -> None:
        if of > 20:
            click.echo(f"\r{name}: {done} of {of} files\x1b[K", nl=done == of, err=True)

    return show


@repo.command(
    "update", epilog="\b\nExamples:\n  cr repo update\n  cr repo update team\n  cr repo update team --complete"
)
@click.argument("name", required=False)
@click.option(
    "--complete", is_flag=True, help="Fetch what a registry says of every component, for use without network."
)
@shared_options
def update(name: str | None, complete: bool, as_json: bool) -> None:
    """Fetch the newest state of git repositories and registries; of a registry only what changed."""
    from codereef.repo import sources

    home = Home.default()
    chosen = [entry for entry in sources.sources(home) if name in (None, entry.name)]
    _require_network(home, any(entry.git or (entry.kind == "registry" and "://" in entry.origin) for entry in chosen))
    done = sources.update(home, name, complete=complete, moved=_moved())
    if as_json:
        print_json(
            {"repositories": [{"name": s.name, "changed": changed, "updated": s.updated} for s, changed in done]}
        )
        return
    for source, changed in done:
        said = "updated" if changed else "was up to date"
        click.echo(f"{source.name}: {said if source.fetched else 'is a folder and always up to date'}")
    if not done:
        click.echo("There is no git repository and no registry to update.")


@repo.command("remove")
@click.argument("name")
@shared_options
def remove(name: str, as_json: bool) -> None:
    """Take a repository off the list. A folder you added stays as it is; what was fetched is deleted."""
    from codereef.repo import sources

    entry = sources.remove(Home.default(), name)
    if as_json:
        print_json({"removed": entry.name})
    else:
        click.echo(f"Removed `{entry.name}`.")


@repo.command(
    "trust",
    epilog="\b\nExamples:\n  cr repo trust team\n  cr repo trust team --publisher alice\n  cr repo trust team --revoke",
)
@click.argument("name")
@click.option("--publisher", help="Only what this publisher of a registry has signed.")
@click.option("--key", help="A registry's new key, where its owner lost the old one: the whole identity.")
@click.option("--revoke", is_flag=True, help="Trust it no longer.")
@shared_options
def trust(name: str, publisher: str | None, key: str | None, revoke: bool, as_json: bool) -> None:
    """Let code of a repository's components (detectors, recipes, generators, programs) run on this machine.

    Of a registry, those publishers are trusted that it has now, with the keys they have now and those that follow.
    """
    from codereef.errors import UsageError
    from codereef.repo import sources

    if revoke and (publisher or key):
        raise UsageError(
            "--revoke takes trust from the whole repository.", hint="Then trust those publishers you want, one by one."
        )
    home = Home.default()
    entry = sources.set_trusted(home, name, not revoke, publisher=publisher, key=key)
    if as_json:
        print_json(_data(home, entry))
    elif key is not None:
        click.echo(f"`{entry.name}` must be signed by {key} from now on.")
    elif publisher is not None:
        click.echo(f"`{publisher}` of `{entry.name}` is trusted.")
    else:
        click.echo(f"`{entry.name}` is {'trusted' if entry.trusted else 'not trusted'}.")
