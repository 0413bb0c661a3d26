# SPDX-License-Identifier: Apache-2.0
"""What is kept of a step that failed, so that it can be told, run again and reported.

<folder>/<id>/failure.json   the step, its command, its error, its environment compared with the user's
<folder>/<id>/log.txt        what the command said
<folder>/<id>/lock.json      the graph
<folder>/<id>/recipe.json    the metadata of the component

No secret is kept: values of variables that hold one and credentials in addresses are `***`. What a step had from
the user's environment is kept by name only, and taken from the environment again when the step is run again.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from codereef import __version__
from codereef.disk import write_atomic
from codereef.errors import CancelledError, CrError, NotFoundError
from codereef.lock.model import Lock, to_document
from codereef.repo.index import Index

from .nodes import chain, component_of
from .process import Ran, Stopper, tracing
from .redact import MASK, is_secret, redact

FORMAT = "codereef-failure/1"
FOLDER = "failures"
KEPT = 50  # records
KEEP_SECONDS = 30 * 86400.0
_LOG_LIMIT = 4 << 20


@dataclass(frozen=True)
class Difference:
    """How the environment of a step differs from the user's.

    Attributes:
        inherited: variables with the user's own values, by name.
        added: variables that the user does not have, with their values.
        changed: variables that the user has with other values, with those of the step.
        removed: variables of the user that the step does not have, by name.
    """

    inherited: tuple[str, ...]
    added: Mapping[str, str]
    changed: Mapping[str, str]
    removed: tuple[str, ...]

    @staticmethod
    def between(step: Mapping[str, str], user: Mapping[str, str]) -> Difference:
        """Compare the environment of a step with the user's; secrets become `***`."""
        return Difference(
            tuple(sorted(name for name, value in step.items() if user.get(name) == value)),
            {name: _shown(name, value) for name, value in sorted(step.items()) if name not in user},
            {name: _shown(name, v) for name, v in sorted(step.items()) if name in user and user[name] != v},
            tuple(sorted(user.keys() - step.keys())),
        )


def _shown(name: str, value: str) -> str:
    return MASK if is_secret(name) else redact(value)


@dataclass(frozen=True)
class Record:
    """A failed step, as it was written down.

    Attributes:
        id: eight hexadecimal digits.
        folder: where its files are.
        data: the content of `failure.json`.
    """

    id: str
    folder: Path
    data: Mapping[str, Any] = field(repr=False)


class Recorder:
    """Writes down failures of one installation.

    Args:
        folder: where records go; None keeps nothing.
        lock: the graph that is installed.
        index: where the components are.
        stopper: what ends the commands of the steps.
    """

    def __init__(
        self,
        folder: Path | None = None,
        lock: Lock | None = None,
        index: Index | None = None,
        stopper: Stopper | None = None,
    ) -> None:
        self._folder = folder
        self._lock = lock
        self._index = index
        self._stopper = stopper

    @contextlib.contextmanager
    def step(
        self, kind: str, node: str, *, replay: bool = False, details: Mapping[str, Any] | None = None
    ) -> Iterator[None]:
        """Record an error of the block, and name the record in it. An interrupt is no failure.

        Args:
            kind: `download`, `pip`, `generate`, `git`, `cmake`, `make`, `script`, `system`, `conda` or `spack`.
            node: node or environment of the lock.
            replay: the commands before the failing one have to be run again too, since what they made is gone.
            details: more to keep, as JSON data.
        """
        with tracing(self._stopper) as trace:
            try:
                yield
            except CancelledError:
                raise
            except CrError as error:
                # The innermost step is the one that failed.
                if "step" not in error.context:
                    # A step for several nodes at once (a download) tells in its error which of them it was.
                    self._record(kind, str(error.context.get("node") or node), error, trace, replay, details or {})
                raise

    def _record(
        self,
        kind: str,
        node: str,
        error: CrError,
        trace: Sequence[Ran],
        replay: bool,
        details: Mapping[str, Any],
    ) -> None:
        asked = [name for _, name in chain(self._lock, self._place(node))] if self._lock is not None else [node]
        error.context.setdefault("step", kind)
        error.context.setdefault("node", node)
        error.context.setdefault("chain", asked)
        if len(asked) > 1:
            error.message += f"\nStep: {kind} of {node}, asked for by {' → '.join(asked[:-1])}."
        failed = trace[-1] if trace and not trace[-1].ok else None
        if failed is not None:
            found = Difference.between(failed.env, os.environ)
            error.message += f"\nEnvironment: {summary(found)}."
        if self._folder is None:
            return
        identity = secrets.token_hex(4)
        try:
            self._write(self._folder, identity, kind, node, asked, error, trace, replay, details)
        except (OSError, CrError):
            # A full or read-only disk may be what failed. The error itself matters more, and names no record.
            return
        error.context["failure"] = identity
        error.hint = (error.hint + "\n" if error.hint else "") + (
            f"`cr why-failed {identity}` says more; `cr why-failed --rerun {identity}` runs exactly this step again; "
            f"`cr why-failed {identity} --bundle FILE` makes a report without secrets."
        )

    def _place(self, node: str) -> str:
        """Return the node that stands for a step in the graph: of an environment, its interpreter."""
        environment = self._lock.environments.get(node) if self._lock is not None else None
        return environment.python if environment is not None else node

    def _write(
        self,
        folder: Path,
        identity: str,
        kind: str,
        node: str,
        asked: Sequence[str],
        error: CrError,
        trace: Sequence[Ran],
        replay: bool,
        details: Mapping[str, Any],
    ) -> None:
        sweep(folder)
        last = trace[-1] if trace else None
        failed = last if last is not None and not last.ok else None
        data: dict[str, Any] = {
            "format": FORMAT,
            "id": identity,
            "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "client": __version__,
            "solution": self._lock.solution if self._lock is not None else "",
            "step": kind,
            "node": node,
            "chain": list(asked),
            "error": {
                "code": error.code,
                "exit_code": error.exit_code,
                "message": redact(error.message),
                "tail": [redact(str(line)) for line in _list(error.context.get("tail"))],
            },
            "command": described(failed) if failed is not None else None,
            "before": [described(ran) for ran in trace[:-1]] if replay and failed is not None else [],
            "details": dict(details),
        }
        made = folder / f".{identity}.part"
        made.mkdir(parents=True, exist_ok=True)
        made.chmod(0o700)
        write_atomic(made / "failure.json", json.dumps(data, indent=1, sort_keys=True).encode() + b"\n")
        if last is not None and last.log.is_file():
            (made / "log.txt").write_bytes(_end(last.log))
        if self._lock is not None:
            text = json.dumps(to_document(self._lock), indent=1, sort_keys=True)
            (made / "lock.json").write_text(text + "\n", encoding="utf-8")
            locked = self._lock.nodes.get(node)
            if locked is not None and self._index is not None:
                with contextlib.suppress(CrError):
                    meta = component_of(locked, self._index).meta
                    text = json.dumps(_masked(meta), indent=1)
                    (made / "recipe.json").write_text(text + "\n", encoding="utf-8")
        made.rename(folder / identity)


def _masked(data: Any) -> Any:
    """Return JSON data with `***` for the texts whose keys sound secret, such as variables that a recipe sets."""
    if isinstance(data, Mapping):
        return {
            key: MASK if isinstance(value, str) and is_secret(str(key)) else _masked(value)
            for key, value in data.items()
        }
    return [_masked(entry) for entry in data] if isinstance(data, list) else data


def _list(value: object) -> list[object]:
    return list(value) if isinstance(value, (list, tuple)) else []


def _end(log: Path) -> bytes:
    with log.open("rb") as stream:
        stream.seek(max(0, log.stat().st_size - _LOG_LIMIT))
        return stream.read()


def described(ran: Ran) -> dict[str, Any]:
    """Return a command as JSON data without secrets, with all that it takes to run it again."""
    difference = Difference.between(ran.env, os.environ)
    return {
        "command": [redact(word) for word in ran.command],
        "wrap": list(ran.wrap),
        "cwd": str(ran.cwd),
        "timeout": ran.timeout,
        "log": str(ran.log),
        "inputs": {path: redact(text) for path, text in ran.inputs.items()},
        "environment": {
            "inherited": list(difference.inherited),
            "added": dict(difference.added),
            "changed": dict(difference.changed),
            "removed": list(difference.removed),
        },
    }


def summary(difference: Difference) -> str:
    """Say in one line how the environment of a step differs from the user's."""
    parts = []
    for word, names in (
        ("added", list(difference.added)),
        ("changed", list(difference.changed)),
        ("not passed on", list(difference.removed)),
    ):
        if names:
            more = f" and {len(names) - 6} more" if len(names) > 6 else ""
            parts.append(f"{len(names)} {word} ({', '.join(names[:6])}{more})")
    return "; ".join(parts) or "the same as yours"


def read(folder: Path, identity: str) -> Record:
    """Return a record by the beginning of its identity.

    Raises:
        NotFoundError: there is none, or several begin so.
    """
    found = [record for record in records(folder) if record.id.startswith(identity)]
    if len(found) == 1:
        return found[0]
    several = f" Several begin so: {', '.join(r.id for r in found[:6])}." if found else ""
    raise NotFoundError(
        f"No failure `{identity}` is recorded here.{several}",
        hint="`cr why-failed --list` lists those that are kept.",
        context={"failure": identity},
    )


def records(folder: Path) -> list[Record]:
    """Return every record, the newest first; what cannot be read is left out."""
    found = []
    try:
        paths = [path for path in folder.iterdir() if not path.name.startswith(".")]
    except OSError:
        return []
    for path in paths:
        try:
            data = json.loads((path / "failure.json").read_bytes())
            if data["format"] == FORMAT:
                found.append((path.stat().st_mtime_ns, Record(data["id"], path, data)))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return [record for _, record in sorted(found, key=lambda item: item[0], reverse=True)]


def sweep(folder: Path) -> int:
    """Remove records that are old or too many, and what a kill left; return how many were removed."""
    now = time.time()
    old = [
        record
        for number, record in enumerate(records(folder))
        if number >= KEPT - 1 or now - record.folder.stat().st_mtime > KEEP_SECONDS
    ]
    paths = [record.folder for record in old]
    with contextlib.suppress(OSError):
        paths += [p for p in folder.glob(".*.part") if now - p.stat().st_mtime > 3600]
    for path in paths:
        shutil.rmtree(path, ignore_errors=True)
    return len(paths)
