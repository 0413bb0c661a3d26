# SPDX-License-Identifier: Apache-2.0
"""`cr pack` and `cr init PACK`: from an installed solution to one file, and from the file to a solution elsewhere."""

from __future__ import annotations

import functools
import shutil
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from codereef.canonical import digest_of, pretty_json
from codereef.disk import human, remove_tree, require_space, storing, write_atomic
from codereef.errors import IntegrityError, UsageError
from codereef.install.progress import Progress
from codereef.lock.keys import Keyed, install_method, keyed
from codereef.lock.model import FILE_NAME, Lock, LockedNode, read_lock
from codereef.meta.component import Component, component_digest, read_meta
from codereef.pack.collect import Collected, collect, part_of
from codereef.pack.format import LOCK, MANIFEST, Manifest, PackedFolder, to_document
from codereef.pack.read import contents, verify
from codereef.pack.wheels import fetch_wheels
from codereef.repo.sources import Source, put, sources
from codereef.store.locks import locked
from codereef.workspace.initialise import open_workspace
from codereef.workspace.session import Session, workspace_folder

_CODE = ("program", "package", "soft")


@dataclass(frozen=True)
class Foreign:
    """Code in a pack that no repository has which the user trusts.

    Attributes:
        components: references of programs, recipes, detectors and generators.
        wheels: names of wheels.
        folders: keys of folders that were built elsewhere.
    """

    components: tuple[str, ...] = ()
    wheels: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.components or self.wheels or self.folders)

    def __str__(self) -> str:
        # Name and version are what people know of a wheel; the rest of its name is for installers.
        wheels = tuple(dict.fromkeys(" ".join(name.split("-")[:2]) for name in self.wheels))
        parts = [
            (self.components, "component", "that no trusted repository has"),
            (wheels, "Python distribution", ""),
            (self.folders, "folder", "built elsewhere"),
        ]
        return ", ".join(
            f"{len(found)} {what}{'s' if len(found) > 1 else ''}{' ' + more if more else ''}"
            + (f" ({', '.join(found[:3])}{', …' if len(found) > 3 else ''})")
            for found, what, more in parts
            if found
        )


@dataclass(frozen=True)
class Unpacked:
    """A pack that was taken apart.

    Attributes:
        solution: name of its solution.
        manifest: what it holds.
        kept: whether a lock that was there already, and says something else, was left as it is.
    """

    solution: str
    manifest: Manifest
    kept: bool


@contextmanager
def collected(
    session: Session, solution: str, directory: Path, targets: Collection[str], progress: Progress
) -> Iterator[Collected]:
    """Give what a pack of an installed solution holds; files made for it are there during the block.

    Args:
        session: the command's session.
        solution: name of the solution; it has to be initialised.
        directory: folder that holds the solution's folder.
        targets: only the configurations for these; all by default.
        progress: is told what goes on.

    Raises:
        LockError: it is not initialised, or its lock has no such target.
        DownloadError: a file could not be fetched.
    """
    _, _, installed, workspace = open_workspace(session, solution, directory)
    # What was opened is the part for this machine; a pack has all targets that the lock has.
    whole = read_lock(workspace / FILE_NAME)
    part = part_of(whole, targets)
    python = next(iter(installed.pythons.values()), Path(sys.executable))
    with tempfile.TemporaryDirectory(prefix="codereef-pack-") as folder:
        work = Path(folder)
        (work / "wheels").mkdir()
        wheels, lacking = fetch_wheels(
            part.environments,
            session.host,
            python,
            session.store,
            session.home.cache,
            session.settings,
            progress,
            work / "wheels",
        )
        yield collect(whole, part, session.usable, session.store, wheels, lacking, session.settings, progress, work)


def unpack(
    session: Session,
    path: Path,
    directory: Path,
    progress: Progress,
    *,
    trust: bool,
    ask: Callable[[Manifest, Foreign], bool] | None,
) -> Unpacked:
    """Check a pack and put what it holds where a `cr init` of its solution finds it.

    Its files go to the store, its components and wheels to a folder of the home, its lock to the workspace. The
    session takes wheels from there afterwards, and asks no package index where the pack has them all.

    Args:
        session: the command's session; it learns of what came.
        path: the pack.
        directory: folder that holds the solution's folder.
        progress: is told what goes on.
        trust: let code of the pack run.
        ask: asks a person whether it may; None where nobody can be asked.

    Raises:
        IntegrityError: the pack is damaged, was changed, or is unsafe; nothing of it is used then.
        UsageError: it has code that may not run.
    """
    task = f"pack {path}"
    progress.start(task, path.stat().st_size if path.is_file() else None, f"{path.name} (checking)")
    try:
        manifest = verify(path, lambda n: progress.advance(task, n))
    finally:
        progress.finish(task)
    name = f"pack-{manifest.name}"
    staging = session.home.repos / f".{name}.new"
    with ExitStack() as stack:
        # Another process with a pack of this solution would take away what is looked at here.
        waiting = functools.partial(progress.note, "waiting for another cr that takes this pack apart")
        stack.enter_context(locked(session.home.repos / f".{name}.lock", waiting=waiting))
        remove_tree(staging)
        stack.callback(remove_tree, staging)
        require_space(manifest.size, f"{path.name} ({human(manifest.size)})", session.home.repos)
        with storing(path.name, session.home.repos):
            _stage(path, staging, progress)
        lock = read_lock(staging / LOCK)
        components = _components(manifest, staging)
        _check(manifest, lock, components)
        foreign, code = _foreign(session, manifest, components)
        if code and not trust and not _known(session, name, manifest) and not (ask is not None and ask(manifest, code)):
            raise UsageError(
                f"The pack {path.name} has code that would run, and you have not trusted it: {code}.",
                hint="Where you know who made it, run the same command with --trust. `cr pack --list FILE` shows all.",
                context={
                    "pack": str(path),
                    "components": list(code.components),
                    "wheels": list(code.wheels),
                    "folders": list(code.folders),
                },
            )
        _take(session, manifest, lock, staging, progress)
        _settle(session, name, path, manifest, foreign, staging)
        kept = _write_lock(session, manifest, directory, name)
    host = [environment for environment in manifest.environments if environment.target == session.host]
    session.forget()
    session.alone = bool(manifest.part("wheels")) and not any(environment.missing for environment in host)
    return Unpacked(manifest.name, manifest, kept)


def _stage(path: Path, staging: Path, progress: Progress) -> None:
    """Write the files of a pack into an empty folder, checking them a second time on the way."""
    task = f"unpack {path}"
    progress.start(task, path.stat().st_size, f"{path.name} (unpacking)")
    try:
        for manifest, content in contents(path, lambda n: progress.advance(task, n)):
            if content is None:
                write_atomic(staging / MANIFEST, pretty_json(to_document(manifest)))
                continue
            place = staging / content.member.path
            place.parent.mkdir(parents=True, exist_ok=True)
            with place.open("xb") as stream:
                for piece in content.pieces():
                    stream.write(piece)
            if content.member.executable:
                place.chmod(0o755)
        for member in manifest.members:
            if member.link:
                (staging / member.path).parent.mkdir(parents=True, exist_ok=True)
                (staging / member.path).symlink_to(member.link)
    finally:
        progress.finish(task)


def _components(manifest: Manifest, staging: Path) -> dict[str, Component]:
    """Return the components of a staged pack by reference, each checked against what the manifest says."""
    found = {}
    for entry in manifest.components:
        root = staging / entry.path
        if not (root / "cr.json").is_file():
            raise _unsound(manifest, f"{entry.reference} has no cr.json")
        digest = component_digest(root)
        component = Component(read_meta(root / "cr.json"), root, digest, f"pack-{manifest.name}")
        if str(component.reference) != entry.reference or digest != entry.digest:
            raise _unsound(manifest, f"{entry.path} is not {entry.reference} with the digest {entry.digest[:19]}…")
        found[entry.reference] = component
    return found


def _unsound(manifest: Manifest, why: str) -> IntegrityError:
    return IntegrityError(
        f"The pack of {manifest.solution} contradicts itself: {why}.",
        hint="Nothing of it was used. It was changed after it was made, or by hand: do not use it.",
        context={"solution": manifest.solution},
    )


def _check(manifest: Manifest, lock: Lock, components: dict[str, Component]) -> None:
    """Refuse a pack whose parts do not belong together.

    Raises:
        IntegrityError: naming what contradicts what.
    """
    if (lock.solution, lock.solution_digest) != (manifest.solution, manifest.solution_digest):
        raise _unsound(manifest, f"its lock is one of {lock.solution}")
    for node in lock.nodes.values():
        component = components.get(node.component)
        if component is None or component.digest != node.digest:
            raise _unsound(manifest, f"it has not {node.component} as its lock names it")
    for member in manifest.part("files"):
        if member.path != f"files/{member.sha256}":
            raise _unsound(manifest, f"{member.path} has the SHA-256 {member.sha256}")
    known = {
        digest for environment in lock.environments.values() for d in environment.distributions for digest in d.sha256
    }
    for member in manifest.part("wheels"):
        if member.sha256 not in known or not member.path.endswith(".whl"):
            raise _unsound(manifest, f"{member.path} is no wheel that its lock names")
    for folder in manifest.folders:
        _check_folder(manifest, folder, lock, components)


def _check_folder(manifest: Manifest, folder: PackedFolder, lock: Lock, components: dict[str, Component]) -> None:
    """Refuse a folder whose key or digest is not what its component demands: it would stand for the real one."""
    if folder.path != f"folders/{folder.key}":
        raise _unsound(manifest, f"{folder.path} is not the place of {folder.key}")
    users = [node for node in lock.nodes.values() if node.install_key == folder.key]
    if not users:
        raise _unsound(manifest, f"its lock names no folder {folder.key}")
    for node in users:
        made = _keyed(lock, node, components[node.component])
        if made.key != folder.key or (folder.checked and (made.tree != folder.tree or not made.tree)):
            raise _unsound(manifest, f"{folder.key} is not what {node.component} demands")
        if not folder.checked and made.tree:
            raise _unsound(manifest, f"{folder.key} is made by a generator and comes without its digest")


def _keyed(lock: Lock, node: LockedNode, component: Component) -> Keyed:
    key = next(name for name, other in lock.nodes.items() if other is node)
    target = next(c.target for c in lock.configurations if key in c.nodes)
    deps = {role: lock.nodes[name] for role, name in node.deps.items()}
    return keyed(component, node.version, node.variants, target, deps)


def _foreign(session: Session, manifest: Manifest, components: dict[str, Component]) -> tuple[list[str], Foreign]:
    """Return the references of components that no trusted repository has, and all code that is nobody's trusted."""
    trusted = {repository.name for repository in session.repositories if repository.trusted}
    foreign = []
    for reference, component in components.items():
        same = [
            other
            for other in session.index.versions(component.kind, component.name)
            if other.version == component.version and other.digest == component.digest and other.repository in trusted
        ]
        if not same:
            foreign.append(reference)
    code = [
        reference
        for reference in foreign
        if components[reference].kind in _CODE or install_method(components[reference]) == "generate"
    ]
    wheels = tuple(member.path.rpartition("/")[2] for member in manifest.part("wheels"))
    built = tuple(folder.key for folder in manifest.folders if not folder.checked)
    return foreign, Foreign(tuple(code), wheels, built)


def _known(session: Session, name: str, manifest: Manifest) -> bool:
    """Tell whether this very pack was trusted before."""
    if not any(source.name == name and source.kind == "pack" and source.trusted for source in sources(session.home)):
        return False
    from codereef.meta.schemas import parse_json

    place = session.home.repos / name / MANIFEST
    return place.is_file() and digest_of(parse_json(place.read_bytes(), place)) == digest_of(to_document(manifest))


def _take(session: Session, manifest: Manifest, lock: Lock, staging: Path, progress: Progress) -> None:
    """Move files and folders of a staged pack into the store, where a `cr store gc` does not take them again."""
    store = session.store
    blobs = [member.sha256 for member in manifest.part("files")]
    session.in_use.enter_context(store.using([folder.key for folder in manifest.folders], blobs))
    store.prepare()
    for member in manifest.part("files"):
        if store.blob(member.sha256, member.size) is None:
            store.add_blob(staging / member.path, member.sha256, member.size)
    for folder in manifest.folders:
        with store.building(folder.key, waiting=lambda: progress.note("waiting for another cr")) as build:
            if build.existing is not None:
                continue
            for entry in (staging / folder.path).iterdir():
                shutil.move(entry, build.path / entry.name)
            done = build.commit(dict(folder.meta), digest=True, links=not folder.checked)
        if done.tree != folder.tree:
            store.remove_prefix(folder.key)
            raise _unsound(manifest, f"{folder.key} has the digest {done.tree}; {folder.tree} was announced")


def _settle(session: Session, name: str, path: Path, manifest: Manifest, foreign: Sequence[str], staging: Path) -> None:
    """Make a repository of what stays of a pack: components that nobody else has, and the wheels."""
    for entry in manifest.components:
        if entry.reference not in foreign:
            remove_tree(staging / entry.path)
    for part in ("files", "folders"):
        remove_tree(staging / part)
    place = session.home.repos / name
    remove_tree(place)
    with storing(name, session.home.repos):
        staging.rename(place)
    put(session.home, Source(name, str(path.resolve()), "pack", trusted=True))


def _write_lock(session: Session, manifest: Manifest, directory: Path, name: str) -> bool:
    """Put the lock of a pack into the workspace; return whether another one that is there was left."""
    text = (session.home.repos / name / LOCK).read_bytes()
    place = workspace_folder(directory, manifest.name) / FILE_NAME
    if place.exists():
        return place.read_bytes() != text
    write_atomic(place, text, what="the lock")
    return False
