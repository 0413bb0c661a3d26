# SPDX-License-Identifier: Apache-2.0
"""Failed steps: which one is meant, running it again, and a report of it without secrets and names."""

from __future__ import annotations

import contextlib
import getpass
import io
import json
import os
import platform
import re
import socket
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codereef import __version__
from codereef.disk import write_atomic
from codereef.errors import InstallError, NotFoundError
from codereef.install import failures
from codereef.install.failures import Record
from codereef.install.redact import redact, secret_values
from codereef.lock.bind import FOUND
from codereef.lock.model import Lock, lock_from
from codereef.meta.reference import parse_reference
from codereef.workspace.trust import holds_code

if TYPE_CHECKING:
    from codereef.install.progress import Progress
    from codereef.workspace.session import Session

_IDENTITY = re.compile(r"[0-9a-f]{2,8}")
#: Accounts of systems and boards: they tell nobody's name, and their words stand everywhere.
_NO_NAME = frozenset({"root", "user", "admin", "localhost", "ubuntu", "debian", "fedora", "runner", "docker", "build"})


@dataclass(frozen=True)
class Again:
    """What came of a second try.

    Attributes:
        ok: whether the step works now.
        command: what was run, for people.
        folder: where, or "" where it was no command.
        tail: its last lines.
        log: the file with all it said, or "".
        status: its exit status.
    """

    ok: bool
    command: str
    folder: str
    tail: tuple[str, ...]
    log: str
    status: int


def recorded(session: Session) -> list[Record]:
    """Return every failure that is kept, the newest first."""
    return failures.records(session.home.failures)


def find(session: Session, what: str | None) -> Record:
    """Return the record of a failure: by identity, the newest of a solution, or the newest of all.

    Raises:
        NotFoundError: there is none.
    """
    folder = session.home.failures
    if what and _IDENTITY.fullmatch(what):
        with contextlib.suppress(NotFoundError):
            return failures.read(folder, what)
    known = failures.records(folder)
    for record in known:
        name = str(record.data["solution"]).partition("@")[0]
        if not what or what in (name, name.partition(":")[2], record.data["solution"]):
            return record
    about = f" of `{what}`" if what else ""
    listed = ", ".join(dict.fromkeys(f"{r.id} ({r.data['solution']})" for r in known[:4]))
    raise NotFoundError(
        f"No failure{about} is recorded here.",
        hint=f"These are: {listed}." if known else "A step that fails is recorded by itself, for thirty days.",
        context={"asked": what or "", "known": [r.id for r in known[:20]]},
    )


def again(session: Session, record: Record, progress: Progress) -> Again:
    """Run exactly the failed step again, with its inputs.

    A command runs as it did, in its kept folder. What was no command of its own (a download, a commit, a check) is
    done by cr for that node alone.

    Raises:
        UsageError: it is code of a repository that the user does not trust any more.
        CrError: it fails again, or its inputs are gone.
    """
    from codereef.install.rerun import can_run, rerun

    session.store.prepare()
    _require_trust(session, record)
    if can_run(record):
        ran = rerun(record, session.store)
        return Again(ran.done.status == 0, ran.command, str(ran.cwd), ran.done.tail, str(ran.done.log), ran.done.status)
    lock = _lock(record)
    node = str(record.data["node"])
    step = str(record.data["step"])
    if step in ("download", "git"):
        from codereef.install.execute import missing_files, obtain_files

        wanted = {f["sha256"] for f in record.data["details"].get("files", ())}
        files = [f for f in missing_files(lock, session.usable, session.store, lock.nodes) if f.sha256 in wanted]
        obtain_files(files, session.store, session.settings, progress, failures.Recorder(), {})
        return Again(True, f"{step} of {', '.join(f.name for f in files) or 'nothing: it is all there'}", "", (), "", 0)
    from codereef.install.execute import install
    from codereef.lock.bind import bind_detected
    from codereef.workspace.storage import names_of

    part = _closure(lock, node)
    names = {n.capability for n in part.nodes.values() if n.source == "detected"}
    bindings, missing = bind_detected(part, session.detected(names))
    if missing:
        raise InstallError(
            f"What {node} is made with is no longer here: {missing[0]}.",
            hint="`cr init` resolves again.",
            context={"node": node},
        )
    with session.store.using(*names_of(part, bindings)):
        install(part, session.usable, bindings, session.store, session.settings, progress, session.options)
    return Again(True, f"{step} of {node}", "", (), "", 0)


def _require_trust(session: Session, record: Record) -> None:
    """Refuse to run a step again whose code comes from a repository that is not trusted now."""
    try:
        nodes = json.loads((record.folder / "lock.json").read_bytes())["nodes"].values()
        named = [(str(node["component"]), node["source"]) for node in nodes]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        named = []  # nothing was kept of the graph
    code = []
    for text, source in named:
        reference = parse_reference(text)
        # A recipe that its author has changed meanwhile is still his.
        for component in session.usable.versions(reference.kind, reference.name):
            if component.version == reference.version and source not in FOUND and holds_code(component):
                code.append((component.repository, text))
                break
    session.require_trust(code)


def _lock(record: Record) -> Lock:
    path = record.folder / "lock.json"
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise InstallError(
            f"The graph of the failure {record.id} was not kept, so its step cannot be run by itself.",
            hint="Run the `cr` command again that failed.",
            context={"path": str(path)},
        ) from error
    return lock_from(document, path, verify=False)


def _closure(lock: Lock, node: str) -> Lock:
    """Return the part of a lock that one node or environment needs."""
    environment = lock.environments.get(node)
    start = environment.python if environment is not None else node
    names: dict[str, None] = {}
    pending = [start, *(environment.reused if environment is not None else ())]
    while pending:
        key = pending.pop()
        if key in lock.nodes and key not in names:
            names[key] = None
            pending += lock.nodes[key].deps.values()
    configuration = next((c for c in lock.configurations if start in c.nodes), lock.configurations[0])
    # A generated dataset runs in its configuration's environment.
    used = configuration.environment if environment is not None or lock.nodes[start].tree else ""
    if used:
        interpreter = lock.environments[used]
        names.update(dict.fromkeys((interpreter.python, *interpreter.reused)))
    wanted = replace(
        configuration,
        nodes=tuple(key for key in configuration.nodes if key in names),
        root=start,
        environment=node if environment is not None else used,
        toolchain={},
    )
    return lock.part([wanted])


def bundle(session: Session, record: Record, path: Path) -> list[str]:
    """Write an archive to attach to a report: log, graph, recipe, environment and machine, without secrets and names.

    Args:
        session: the command's view.
        record: the failure.
        path: a `.tar.gz` that is written.

    Returns:
        The names of the files in it.

    Raises:
        StorageError: it cannot be written.
    """
    from codereef.detect.machine import machine_class

    clean = Cleaner.here(session.home.root)
    entries: dict[str, str] = {}
    for source in sorted(record.folder.iterdir()):
        if source.is_file() and not source.name.startswith("."):
            entries[source.name] = clean.text(source.read_text(encoding="utf-8", errors="replace"))
    entries["machine.json"] = clean.text(json.dumps(machine_class(None), indent=1, default=str) + "\n")
    entries["client.json"] = json.dumps({"codereef": __version__, "python": platform.python_version()}) + "\n"
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as archive:
        for name, text in sorted(entries.items()):
            content = text.encode("utf-8", "replace")
            # Neither owner nor date: both tell of the user.
            member = tarfile.TarInfo(f"codereef-failure-{record.id}/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    write_atomic(path, data.getvalue(), what="the report")
    return sorted(entries)


@dataclass(frozen=True)
class Cleaner:
    """Takes out of text what tells who and where the user is, and what is secret.

    Attributes:
        places: folders that are replaced by a word, the longest first.
        names: names that are replaced by a word.
        secrets: values that are taken out.
    """

    places: tuple[tuple[str, str], ...]
    names: tuple[tuple[str, str], ...]
    secrets: tuple[str, ...]

    @staticmethod
    def here(home: Path, environ: Mapping[str, str] | None = None) -> Cleaner:
        """Return a cleaner for this user on this machine.

        Args:
            home: the client's folder.
            environ: the user's environment; this process's by default.
        """
        environ = os.environ if environ is None else environ
        places = {str(home): "CR_HOME", str(home.resolve()): "CR_HOME", str(Path.home()): "HOME"}
        if environ.get("HOME"):
            places[environ["HOME"]] = "HOME"
        ordered = sorted(((k, v) for k, v in places.items() if len(k) > 1), key=lambda item: -len(item[0]))
        return Cleaner(tuple(ordered), tuple(sorted(_names(environ), key=lambda i: -len(i[0]))), secret_values(environ))

    def text(self, text: str) -> str:
        """Return the text without any of it."""
        text = redact(text, self.secrets)
        for place, word in self.places:
            text = re.sub(rf"{re.escape(place)}(?![\w.-])", word, text)
        for name, word in self.names:
            text = re.sub(rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])", word, text, flags=re.IGNORECASE)
        return text


def _names(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the user's and the machine's names, and the words that stand for them."""
    users = {environ.get(name, "") for name in ("USER", "LOGNAME", "USERNAME", "SUDO_USER")}
    users.add(Path(environ.get("HOME") or Path.home()).name)
    with contextlib.suppress(OSError, KeyError, ImportError):
        users.add(getpass.getuser())
    with contextlib.suppress(OSError, KeyError, ImportError):
        import pwd

        entry = pwd.getpwuid(os.getuid())
        users |= {entry.pw_name, entry.pw_gecos.split(",")[0]}
    hosts = {platform.node(), socket.gethostname(), environ.get("HOSTNAME", ""), environ.get("HOST", "")}
    hosts |= {host.split(".")[0] for host in hosts}
    for names, word in ((users, "USER"), (hosts, "HOST")):
        yield from ((name, word) for name in names if len(name) > 1 and name.lower() not in _NO_NAME)


def described(record: Record) -> dict[str, Any]:
    """Return a failure as data for people and `--json`."""
    data = record.data
    command = data["command"]
    return {
        "id": record.id,
        "created": data["created"],
        "solution": data["solution"],
        "step": data["step"],
        "node": data["node"],
        "chain": data["chain"],
        "error": data["error"],
        "command": command["command"] if command else [],
        "cwd": command["cwd"] if command else "",
        "environment": command["environment"] if command else {},
        "log": str(record.folder / "log.txt") if (record.folder / "log.txt").is_file() else "",
        "folder": str(record.folder),
        "rerun": f"cr why-failed --rerun {record.id}",
    }
