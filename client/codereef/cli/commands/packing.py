# SPDX-License-Identifier: Apache-2.0
"""`cr pack`: a solution with all it needs in one file; and the part of `cr init` that takes such a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from codereef.cli.commands.shared import FILE, session, solution_argument
from codereef.cli.edge import note, print_json, shared_options, table
from codereef.cli.plans import say
from codereef.disk import human

if TYPE_CHECKING:
    from codereef.cli.progress import TerminalProgress
    from codereef.pack.format import Manifest
    from codereef.workspace.packing import Foreign
    from codereef.workspace.session import Session

_PARTS = (
    ("components", "components"),
    ("files", "files of models, datasets and packages"),
    ("folders", "generated and built folders"),
    ("wheels", "Python wheels"),
)


def _data(manifest: Manifest) -> dict[str, Any]:
    return {
        "solution": manifest.solution,
        "digest": manifest.solution_digest,
        "client": manifest.client,
        "configurations": [dict(c) for c in manifest.configurations],
        "bytes": manifest.size,
        "parts": {
            part: {"files": len(found), "bytes": sum(m.size for m in found)}
            for part, _ in _PARTS
            if (found := manifest.part(part))
        },
        "components": [c.reference for c in manifest.components],
        "missing": list(manifest.missing),
    }


def _print_manifest(manifest: Manifest) -> None:
    count = len(manifest.configurations)
    say(
        f"{manifest.solution}: {count} configuration{'s' if count > 1 else ''} for {', '.join(manifest.targets)}, "
        f"{human(manifest.size)}"
    )
    rows = []
    for part, what in _PARTS:
        found = manifest.part(part)
        number = {"components": len(manifest.components), "folders": len(manifest.folders)}.get(part, len(found))
        if found:
            rows.append([what, str(number), human(sum(member.size for member in found))])
    click.echo(table(rows, ["what", "number", "size"], right=[1, 2]))
    for line in manifest.missing:
        say(f"Not in it: {line}.")


@click.command(
    epilog="\b\nExamples:\n  cr pack demo-object-detection\n  cr pack demo-object-detection -o /media/stick/demo.crpack --all-variants\n  cr pack --list demo.crpack\n  cr pack --verify demo.crpack\n  cr init demo.crpack --offline"
)
@solution_argument
@click.option("-o", "--output", type=FILE, help="File to write; by default SOLUTION-VERSION.crpack here.")
@click.option("--target", "targets", multiple=True, metavar="TRIPLE", help="Only the configurations for this target.")
@click.option("-a", "--all-variants", is_flag=True, help="Initialise every combination of variants first.")
@click.option("--offline", is_flag=True, help="Use no network.")
@click.option("--list", "list_", is_flag=True, help="Show what the pack SOLUTION, a file, says that it holds.")
@click.option(
    "--verify", "verify_", is_flag=True, help="Read all of the pack SOLUTION, a file, and check every digest."
)
@shared_options
def pack(
    solution: str,
    directory: Path,
    output: Path | None,
    targets: tuple[str, ...],
    all_variants: bool,
    offline: bool,
    list_: bool,
    verify_: bool,
    as_json: bool,
) -> None:
    """Write SOLUTION with all it needs into one file: lock, components, files, generated data and wheels.

    The same solution gives the same file, byte for byte. `cr init FILE` takes it, on a machine without a network too.
    """
    from codereef.cli.progress import TerminalProgress

    progress = TerminalProgress(silent=as_json)
    try:
        if list_ or verify_:
            _look(Path(solution), verify_, progress, as_json)
        else:
            _write(solution, directory, output, targets, all_variants, session(offline=offline), progress, as_json)
    finally:
        progress.close()


def _look(path: Path, whole: bool, progress: TerminalProgress, as_json: bool) -> None:
    from codereef.pack.read import read_manifest, verify

    if whole:
        task = f"pack {path}"
        progress.start(task, path.stat().st_size if path.is_file() else None, path.name)
        manifest = verify(path, lambda n: progress.advance(task, n))
        progress.finish(task)
    else:
        manifest = read_manifest(path)
    if as_json:
        members = [{"path": m.path, "sha256": m.sha256, "size": m.size} for m in manifest.members]
        print_json({**_data(manifest), "verified": whole, "members": members})
        return
    _print_manifest(manifest)
    if whole:
        click.echo(f"{path} is sound: {len(manifest.members)} files have the digests it gives.")
        return
    for entry in manifest.components:
        click.echo(f"           {entry.reference}")
    for member in manifest.part("wheels"):
        click.echo(f"{human(member.size):>9}  {member.path.removeprefix('wheels/')}")


def _write(
    solution: str,
    directory: Path,
    output: Path | None,
    targets: tuple[str, ...],
    all_variants: bool,
    current: Session,
    progress: TerminalProgress,
    as_json: bool,
) -> None:
    from codereef.pack.write import write_pack
    from codereef.workspace.packing import collected

    if all_variants:
        from codereef.workspace.initialise import Wish, carry_out, make_plan

        carry_out(current, make_plan(current, Wish(solution, {}, True), directory), progress)
    with collected(current, solution, directory, targets, progress) as found:
        manifest = found.manifest
        reference = manifest.solution.split(":")[1].replace("@", "-")
        path = output or Path(f"{reference}.crpack")
        if not as_json:
            _print_manifest(manifest)
        task = f"pack {path}"
        progress.start(task, manifest.size, path.name)
        try:
            sha256 = write_pack(manifest, found.sources, path, lambda n: progress.advance(task, n))
        finally:
            progress.finish(task)
    size = path.stat().st_size
    if as_json:
        print_json({**_data(manifest), "file": str(path), "sha256": sha256, "size": size})
        return
    click.echo(f"{path} ({human(size)}) sha256 {sha256}")
    if manifest.missing:
        note(
            "warning: what stands under `Not in it` must be on the other machine already, or `cr init` of this pack fails there."
        )
    note(f"Next, on the other machine: cr init {path.name} --offline")


def unpack(
    current: Session, path: Path, directory: Path, progress: TerminalProgress, *, ask: bool, trust: bool
) -> tuple[str, bool]:
    """Take a pack apart for `cr init`; return the name of its solution, and whether the user was asked."""
    from codereef.workspace.packing import unpack as take

    asked_for: list[str] = []

    def asked(manifest: Manifest, code: Foreign) -> bool:
        asked_for.append(manifest.name)
        _print_manifest(manifest)
        say(f"It has code: {code}.")
        return click.confirm("Trust whoever made it, and let it run?", default=False, err=True)

    done = take(current, path, directory, progress, trust=trust, ask=asked if ask else None)
    if done.kept:
        note(
            f"note: {done.solution}/cr.lock is not that of the pack and stays; with -C another folder takes the pack's."
        )
    if current.host not in done.manifest.targets:
        note(f"note: the pack was made for {', '.join(done.manifest.targets)}; this machine is {current.host}.")
    return done.solution, bool(asked_for)
