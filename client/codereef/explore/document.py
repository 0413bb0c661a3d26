# SPDX-License-Identifier: Apache-2.0
"""The document of an exploration: what was asked, and what has been measured; one file, written after each repetition.

It lies in the client's home, as the results it names do (docs/formats/exploration.md).
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from codereef import __version__
from codereef.canonical import digest_of, pretty_json
from codereef.disk import write_atomic
from codereef.errors import CrError, MetadataError, NotFoundError, StorageError, UsageError
from codereef.explore.search import Repetition, Search
from codereef.explore.space import Point
from codereef.meta.schemas import check, parse_json
from codereef.store.locks import locked

FORMAT = "codereef-exploration/1"
_FILE = re.compile(r"^[0-9a-f]{12}\.json$")


@dataclass(frozen=True)
class Subject:
    """What is explored, and how one measurement of it is made.

    Attributes:
        component: reference of the solution.
        digest: of the solution's folder.
        lock_digest: of the lock's part for this machine's target.
        target: triple.
        timeout: seconds of one measurement, or None.
        memory: bytes of address space, or None.
        pinned: whether workers share a machine, each on processors of its own.
    """

    component: str
    digest: str
    lock_digest: str
    target: str
    timeout: float | None = None
    memory: int | None = None
    pinned: bool = False

    @property
    def name(self) -> str:
        """The solution's name."""
        return self.component.partition(":")[2].partition("@")[0]


@dataclass(frozen=True)
class Exploration:
    """An exploration and how far it has come.

    Attributes:
        id: twelve hexadecimal digits.
        question: digest of what was asked.
        subject: what is explored.
        search: how points are chosen.
        points: every point it looks at.
        measured: the repetitions of each point.
        started_at: when it began.
        client: version of the client that began it.
        complete: whether nothing is left to be measured.
    """

    id: str
    question: str
    subject: Subject
    search: Search
    points: tuple[Point, ...]
    measured: tuple[tuple[Repetition, ...], ...]
    started_at: str
    client: str = __version__
    complete: bool = False

    def with_repetition(self, point: int, repetition: Repetition) -> Exploration:
        """Return it with one more measurement of a point."""
        measured = list(self.measured)
        measured[point] = (*measured[point], repetition)
        return replace(self, measured=tuple(measured))


def question_of(subject: Subject, search: Search, points: Sequence[Point], instance: str) -> str:
    """Return the digest that the same command has again.

    Args:
        subject, search, points: what is asked for.
        instance: of the machine that asks: homes are shared between machines at times, measurements are not.
    """
    return digest_of([asdict(subject), asdict(search), [asdict(p) for p in points], instance])


def begin(subject: Subject, search: Search, points: Sequence[Point], instance: str) -> Exploration:
    """Return an exploration of which nothing has been measured."""
    return Exploration(
        os.urandom(6).hex(),
        question_of(subject, search, points, instance),
        subject,
        search,
        tuple(points),
        ((),) * len(points),
        datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
    )


def to_document(exploration: Exploration) -> dict[str, Any]:
    """Return the exploration as JSON data."""
    subject = exploration.subject
    return {
        "format": FORMAT,
        "question": exploration.question,
        "solution": {"component": subject.component, "digest": subject.digest},
        "lock_digest": subject.lock_digest,
        "target": subject.target,
        "state": "complete" if exploration.complete else "open",
        "search": asdict(exploration.search),
        "limits": {"timeout": subject.timeout, "memory": subject.memory},
        "pinned": subject.pinned,
        "points": [
            {**asdict(point), "repetitions": [asdict(r) for r in repetitions]}
            for point, repetitions in zip(exploration.points, exploration.measured)
        ],
        "started_at": exploration.started_at,
        "client": exploration.client,
    }


def from_document(identifier: str, document: Mapping[str, Any]) -> Exploration:
    """Return the exploration that a document which follows the schema is of."""
    solution, limits = document["solution"], document["limits"]
    points = document["points"]
    return Exploration(
        identifier,
        document["question"],
        Subject(
            solution["component"],
            solution["digest"],
            document["lock_digest"],
            document["target"],
            limits["timeout"],
            limits["memory"],
            document["pinned"],
        ),
        Search(**document["search"]),
        tuple(Point(p["name"], p["configuration"], dict(p["options"])) for p in points),
        tuple(tuple(Repetition(**r) for r in p["repetitions"]) for p in points),
        document["started_at"],
        document["client"],
        document["state"] == "complete",
    )


class Explorations:
    """The explorations of this user, in a folder.

    Args:
        folder: one file an exploration.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, exploration: Exploration) -> None:
        """Write an exploration, whole or not at all.

        Raises:
            StorageError: it cannot be written.
        """
        document = to_document(exploration)
        write_atomic(self.folder / f"{exploration.id}.json", pretty_json(document), what="the exploration")

    @contextlib.contextmanager
    def carrying_out(self, exploration: Exploration) -> Iterator[None]:
        """Keep other processes from going on with an exploration during the block.

        Raises:
            StorageError: one is.
        """
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(locked(self.folder / f".{exploration.id}.lock", timeout=0))
            except StorageError as error:
                if "lock" not in error.context:
                    raise
                raise StorageError(
                    f"The exploration {exploration.id} is being carried out by another process.",
                    hint="Wait until it has ended, or begin another one with --fresh.",
                ) from None
            yield

    def all(self) -> list[Exploration]:
        """Return every exploration that can be read, oldest first; damaged files are left out."""
        found = []
        for identifier in self._names():
            with contextlib.suppress(CrError, OSError):
                found.append(self._read(identifier))
        return sorted(found, key=lambda exploration: (exploration.started_at, exploration.id))

    def same(self, question: str) -> Exploration | None:
        """Return the newest exploration of a question, or None."""
        return next((e for e in reversed(self.all()) if e.question == question), None)

    def find(self, solution: str, text: str) -> Exploration:
        """Return the exploration to go on with.

        Args:
            solution: name of the solution.
            text: the beginning of its id; "" for the newest that is not complete, or else the newest.

        Raises:
            NotFoundError: there is none.
            UsageError: several begin so.
            MetadataError: it cannot be read.
        """
        own = [e for e in self.all() if e.subject.name == solution]
        if not text:
            if not own:
                raise NotFoundError(
                    f"There is no exploration of {solution} to go on with.",
                    hint=f"`cr explore {solution} --vary threads=1,2,4` begins one.",
                )
            return next((e for e in reversed(own) if not e.complete), own[-1])
        names = [name for name in self._names() if name.startswith(text.lower())]
        if len(names) > 1:
            raise UsageError(
                f"`{text}` is the beginning of {len(names)} explorations: {', '.join(names[:5])}.",
                hint="Give more digits.",
            )
        if not names:
            known = [f"{e.id} ({'complete' if e.complete else 'open'}, {e.started_at})" for e in reversed(own)]
            raise NotFoundError(
                f"There is no exploration `{text}` here.",
                hint=f"Of {solution} there are {', '.join(known[:5])}."
                if known
                else f"There is none of {solution}; `cr explore {solution} --vary threads=1,2,4` begins one.",
                context={"exploration": text},
            )
        exploration = self._read(names[0])
        if exploration.subject.name != solution:
            raise UsageError(
                f"The exploration {names[0]} is of {exploration.subject.name}, not of {solution}.",
                hint=f"`cr explore {exploration.subject.name} --resume {names[0]}` goes on with it.",
            )
        return exploration

    def _names(self) -> list[str]:
        try:
            return sorted(path.stem for path in self.folder.iterdir() if _FILE.match(path.name))
        except FileNotFoundError:
            return []

    def _read(self, identifier: str) -> Exploration:
        path = self.folder / f"{identifier}.json"
        document = parse_json(path.read_bytes(), path)
        if not isinstance(document, dict) or document.get("format") != FORMAT:
            raise MetadataError(
                f"{path} is no exploration of the format {FORMAT}.",
                hint="A newer client may read it; --fresh begins another one.",
                context={"path": str(path)},
            )
        check(document, "exploration", path)
        return from_document(identifier, document)
