# SPDX-License-Identifier: Apache-2.0
"""`cr registry`: publish components as static files that any web server or folder can serve."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from codereef.cli.commands.keys import key_folder, passphrase
from codereef.cli.edge import note, print_json, shared_options, table
from codereef.errors import MetadataError, UsageError

if TYPE_CHECKING:
    from codereef.repo.registry.publish import Change, Workshop
    from codereef.trust.signatures import Signer

DIRECTORY = click.Path(path_type=Path, file_okay=False)
_in = click.option("--in", "folder", type=DIRECTORY, required=True, help="Folder of the registry.")
_key = click.option("--key", "key_name", help="Your key that signs the registry.")


def _signer(name: str | None) -> Signer | None:
    from codereef.trust.keys import open_key

    return open_key(key_folder(), name, passphrase) if name else None


def _signers(*names: str | None) -> list[Signer]:
    return [signer for name in dict.fromkeys(names) if (signer := _signer(name)) is not None]


@click.group()
def registry() -> None:
    """Publish components as a registry: static files that any web server or folder can serve."""


@registry.command(
    "publish",
    epilog="\b\nExamples:\n  cr registry publish ./components --to ./public\n  cr registry publish ./components --to ./public --key me --publisher alice\n  cr repo add ./public",
)
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--to", type=DIRECTORY, required=True, help="Folder of the registry; made where there is none.")
@_key
@click.option("--publisher", help="Who publishes; by default the name of the key.")
@click.option("--registry-key", help="The key that signs the root, where another one signs the components.")
@click.option("--name", help="What a new registry calls itself; by default the name of its folder.")
@click.option(
    "--bundles",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder with sigstore bundles, each called KIND-NAME-VERSION.sigstore.json.",
)
@shared_options
def publish(
    folder: Path,
    to: Path,
    key_name: str | None,
    publisher: str | None,
    registry_key: str | None,
    name: str | None,
    bundles: Path | None,
    as_json: bool,
) -> None:
    """Put every component of a folder into a registry. A version that is there already is never changed."""
    from codereef.repo.registry import publish as library
    from codereef.repo.registry.layout import ROOT_FILE

    signer = _signer(key_name)
    root_signer = signer if registry_key in (None, key_name) else _signer(registry_key)
    chosen = publisher or key_name or ""
    if not (to / ROOT_FILE).exists():
        own = root_signer is signer
        library.create(to, name or to.absolute().name.lower(), root_signer, chosen if own else "")

    def bundle(archive: bytes, reference: str) -> bytes | None:
        file = bundles / f"{reference.replace(':', '-').replace('@', '-')}.sigstore.json" if bundles else None
        return file.read_bytes() if file is not None and file.is_file() else None

    done = library.publish(folder, to, signer=signer, publisher=chosen, root_signer=root_signer, bundle=bundle)
    if as_json:
        print_json({**_data(done), "added": list(done.added), "kept": list(done.kept)})
        return
    for reference in done.added:
        click.echo(f"published {reference}")
    kept = f", {len(done.kept)} were there already" if done.kept else ""
    click.echo(
        f"{len(done.added)} published{kept}. The registry `{done.root.registry}` is at number {done.root.sequence}."
    )
    if not done.root.keys:
        note("It is not signed. `cr key new NAME` makes a key; a registry is signed from its first version on.")


def _data(change: Change) -> dict[str, Any]:
    root = change.root
    return {"registry": root.registry, "sequence": root.sequence, "components": root.components}


def _edit(folder: Path, signers: list[Signer], how: Callable[[Workshop], None], said: str, as_json: bool) -> None:
    from codereef.repo.registry.publish import edit

    done = edit(folder, signers, how)
    if as_json:
        print_json(_data(done))
    else:
        click.echo(f"{said} The registry is at number {done.root.sequence}.")


def _version(component: str) -> tuple[str, str]:
    from codereef.meta.reference import parse_reference

    reference = parse_reference(component)
    if reference.version is None:
        raise UsageError(f"`{component}` names no version.", hint="Write kind:name@version.")
    return reference.unversioned, reference.version


@registry.command(
    "yank", epilog="\b\nExample:\n  cr registry yank model:x@1.0.0 --in ./public --reason 'wrong weights'"
)
@click.argument("component")
@_in
@click.option("--reason", required=True, help="Why; shown to whoever asks for the version.")
@_key
@shared_options
def yank(component: str, folder: Path, reason: str, key_name: str | None, as_json: bool) -> None:
    """Withdraw a version: it is chosen no more, and stays for those whose locks have it."""
    from codereef.repo.registry import publish as library

    key, version = _version(component)
    if not reason.strip():
        raise UsageError("A version is withdrawn with a reason.", hint="Give one with --reason.")
    _edit(
        folder,
        _signers(key_name),
        lambda shop: library.yank(shop, key, version, reason),
        f"{component} is withdrawn.",
        as_json,
    )


@registry.command("unyank", epilog="\b\nExample:\n  cr registry unyank model:x@1.0.0 --in ./public")
@click.argument("component")
@_in
@_key
@shared_options
def unyank(component: str, folder: Path, key_name: str | None, as_json: bool) -> None:
    """Take back that a version was withdrawn."""
    from codereef.repo.registry import publish as library

    key, version = _version(component)
    _edit(
        folder,
        _signers(key_name),
        lambda shop: library.yank(shop, key, version, ""),
        f"{component} can be chosen again.",
        as_json,
    )


@registry.command("check", epilog="\b\nExample:\n  cr registry check ./public")
@click.argument("folder", type=DIRECTORY)
@shared_options
def check(folder: Path, as_json: bool) -> None:
    """Check every object and signature of a registry, and show its keys and components."""
    from codereef.repo.registry.publish import inspect

    shop, wrong = inspect(folder)
    root = shop.root
    versions = sum(len(row.versions) for row, _ in shop.rows.values())
    if as_json:
        publishers = {name: list(entry.keys) for name, entry in root.publishers.items()}
        print_json(
            {
                "registry": root.registry,
                "sequence": root.sequence,
                "time": root.time,
                "components": len(shop.rows),
                "versions": versions,
                "keys": list(root.keys),
                "publishers": publishers,
                "revoked": dict(root.revoked),
                "wrong": wrong,
            }
        )
        if wrong:
            raise click.exceptions.Exit(MetadataError.exit_code)
        return
    click.echo(
        f"`{root.registry}` number {root.sequence} of {root.time}: {len(shop.rows)} components, {versions} versions."
    )
    rows = [["registry", "", identity, root.revoked.get(identity, "")] for identity in root.keys]
    for name, publisher in sorted(root.publishers.items()):
        rows += [["publisher", name, identity, root.revoked.get(identity, "")] for identity in publisher.keys]
        rows += [["publisher", name, f"{identity} by {issuer}", ""] for identity, issuer in publisher.identities]
    if rows:
        click.echo(table(rows, ["role", "name", "key or identity", "revoked"]))
    for sentence in wrong:
        click.echo(sentence)
    if wrong:
        raise MetadataError(
            f"{len(wrong)} thing{'s are' if len(wrong) > 1 else ' is'} wrong in the registry {folder}.",
            hint="Each line above names one. Bring damaged files back from a copy.",
        )


@registry.command(
    "publisher", epilog="\b\nExample:\n  cr registry publisher bob --public BASE64 --in ./public --key me"
)
@click.argument("name")
@_in
@click.option("--public", help="His public key in base64: `cr key show` prints it.")
@click.option("--identity", help="Who signs with sigstore: an e-mail address or the address of a workflow.")
@click.option("--issuer", help="Who vouches for that identity, such as https://accounts.example.org.")
@_key
@shared_options
def publisher(
    name: str,
    folder: Path,
    public: str | None,
    identity: str | None,
    issuer: str | None,
    key_name: str | None,
    as_json: bool,
) -> None:
    """Let somebody publish in a registry, with a key or a sigstore identity."""
    from codereef.repo.registry import publish as library
    from codereef.trust.signatures import decode_public, key_id

    if not public and not identity:
        raise UsageError("Neither a key nor an identity was given.", hint="Use --public, or --identity with --issuer.")
    if bool(identity) != bool(issuer):
        raise UsageError("An identity is one by its issuer.", hint="Give --identity and --issuer together.")
    keys = {key_id(decode_public(public)): public} if public else {}
    identities = [(identity, issuer)] if identity and issuer else []

    def change(shop: Workshop) -> None:
        shop.root = library.with_publisher(shop.root, name, keys, identities)

    _edit(folder, _signers(key_name), change, f"`{name}` may publish.", as_json)


@registry.command("rotate", epilog="\b\nExample:\n  cr registry rotate old new --in ./public")
@click.argument("old")
@click.argument("new")
@_in
@shared_options
def rotate(old: str, new: str, folder: Path, as_json: bool) -> None:
    """Let a new key of yours follow an old one, which signs that. Those who trust the old one then trust the new."""
    from codereef.repo.registry import publish as library

    before, after = _signer(old), _signer(new)
    assert before is not None and after is not None
    _edit(
        folder,
        [before, after],
        lambda shop: library.rotate(shop, before, after),
        f"`{new}` follows `{old}`, which still counts: revoke it once everybody has updated.",
        as_json,
    )


@registry.command(
    "revoke",
    epilog="\b\nExample:\n  cr registry revoke ed25519:0123... --in ./public --key new --reason 'laptop lost' --resign new",
)
@click.argument("identity")
@_in
@click.option("--reason", required=True, help="Why; shown where its signatures are refused.")
@click.option("--resign", metavar="KEY", help="Sign its versions anew with this key of the same publisher.")
@_key
@shared_options
def revoke(identity: str, folder: Path, reason: str, resign: str | None, key_name: str | None, as_json: bool) -> None:
    """Let the signatures of a key count no more."""
    from codereef.repo.registry import publish as library

    again = _signer(resign)
    signers = [s for s in (_signer(key_name) if key_name != resign else None, again) if s is not None]

    def change(shop: Workshop) -> None:
        library.revoke(shop, identity, reason, again)

    _edit(
        folder,
        signers,
        change,
        f"Signatures of {identity} count no more.",
        as_json,
    )
