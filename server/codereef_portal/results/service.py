# SPDX-License-Identifier: Apache-2.0
"""Taking results in, finding them again."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from codereef.errors import NotFoundError
from codereef.meta.reference import KINDS
from sqlalchemy import Select, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from codereef_portal.boards.counts import add_result
from codereef_portal.components.models import Component, ComponentVersion
from codereef_portal.db import Base, Database, insert_or_add, now
from codereef_portal.paging import Page, decode_cursor, encode_cursor
from codereef_portal.problems import PortalError
from codereef_portal.results.document import Document, Measured, read_document
from codereef_portal.results.machines import read_facts
from codereef_portal.results.metrics import describe, to_base
from codereef_portal.results.models import (
    Audit,
    Counter,
    Flag,
    MachineClass,
    Result,
    ResultComponent,
    ResultDocument,
    ResultMetric,
    Upload,
)

_ID_START = re.compile(r"[0-9a-f]{12,64}")
FILTERS = (
    "task",
    "solution",
    "model",
    "precision",
    "dataset",
    "runtime",
    "target",
    "status",
    "scenario",
    "machine",
)


@dataclass(frozen=True)
class Receipt:
    """What became of an upload.

    Attributes:
        uid: identity of the result.
        created: False when the very document was already there.
        state: `accepted`, or `flagged` with the reasons.
        doubts: why it is flagged.
    """

    uid: str
    created: bool
    state: str
    doubts: tuple[str, ...]


def count(session: Session, name: str, by: int = 1) -> None:
    """Add to one of the home page's numbers, in the caller's transaction."""
    insert_or_add(session, Base.metadata.tables[Counter.__tablename__], ["name"], {"name": name}, {"n": by})


def audit(session: Session, action: str, subject: str, detail: Mapping[str, object]) -> None:
    """Write one line of the audit log, in the caller's transaction."""
    session.add(Audit(at=now(), actor="portal", action=action, subject=subject[:200], detail=dict(detail)))


def take_upload(database: Database, body: bytes, idempotency_key: str | None = None) -> Receipt:
    """Check and store one uploaded result document; the same document twice is stored once.

    Args:
        database: where to.
        body: the document, JSON in UTF-8.
        idempotency_key: a key that the client sends again with each retry of this document.

    Raises:
        PortalError: 422 where the document is not valid, 409 where the key was used for another document.
    """
    document = read_document(body, now())
    for last_try in (False, True):
        try:
            with database.writing() as session:
                return _store(session, document, idempotency_key)
        except IntegrityError:
            # Another upload stored the same document, machine or key between our look and our write.
            if last_try:
                raise
    raise AssertionError("unreachable")


def _store(session: Session, document: Document, key: str | None) -> Receipt:
    if key is not None:
        earlier = session.scalar(
            select(Result.uid).join(Upload, Upload.result_id == Result.id).where(Upload.idempotency_key == key)
        )
        if earlier is not None and earlier != document.uid:
            raise PortalError(
                409,
                "The idempotency key was used for another document.",
                hint="Send a fresh key with each document.",
            )
    result = session.scalar(select(Result).where(Result.uid == document.uid))
    created = result is None
    if result is None:
        result = _insert(session, document)
    if created or (key is not None and session.scalar(select(Upload.id).where(Upload.idempotency_key == key)) is None):
        session.add(Upload(result_id=result.id, idempotency_key=key, received_at=now(), created=created))
    doubts = session.scalars(select(Flag.detail).where(Flag.result_id == result.id, Flag.resolved_at.is_(None)))
    return Receipt(document.uid, created, result.state, tuple(doubts))


def _machine(session: Session, data: Mapping[str, Any]) -> MachineClass:
    digest = data["class_digest"]
    machine = session.scalar(select(MachineClass).where(MachineClass.digest == digest))
    if machine is None:
        facts = read_facts(data["class"])
        machine = MachineClass(
            digest=digest,
            facts=data["class"],
            label=facts.label,
            cpu=facts.cpu,
            arch=facts.arch,
            os=facts.os,
            accelerator=facts.accelerator,
            cores=facts.cores,
            memory=facts.memory,
            first_seen=now(),
        )
        session.add(machine)
        count(session, "machines")
    return machine


def _insert(session: Session, document: Document) -> Result:
    data, metrics = document.data, document.metrics
    none = Measured(0.0, None, None, 0)
    columns = {name: measured.value for name, measured in metrics.items()}
    result = Result(
        uid=document.uid,
        received_at=now(),
        started_at=document.started_at,
        ended_at=document.ended_at,
        action=data["action"],
        status=data["status"],
        state="flagged" if document.doubts else "accepted",
        trust=0,
        solution=data["solution"]["component"],
        solution_name=data["solution"]["component"].partition("@")[0].partition(":")[2],
        solution_digest=data["solution"]["digest"],
        configuration=data["configuration"]["id"],
        lock_digest=data["lock_digest"],
        task=data["task"],
        model=data["model"],
        precision=data.get("precision", ""),
        dataset=document.dataset,
        runtime_name=data["runtime"]["name"],
        runtime_version=data["runtime"]["version"],
        scenario=data["scenario"],
        target=data["configuration"]["target"],
        comparability=data["comparability"],
        machine_class=_machine(session, data["machine"]),
        machine_instance=data["machine"]["instance"],
        client_version=data["client"]["version"],
        accuracy_metric=document.accuracy_metric,
        latency_p50_lo=metrics.get("latency_p50", none).lo,
        latency_p50_hi=metrics.get("latency_p50", none).hi,
        accuracy_lo=metrics.get("accuracy", none).lo,
        accuracy_hi=metrics.get("accuracy", none).hi,
        **columns,
    )
    session.add(result)
    session.flush()
    session.add(
        ResultDocument(
            result_id=result.id,
            body=gzip.compress(document.canonical, 6, mtime=0),
            size=len(document.canonical),
        )
    )
    for name in document.other:
        session.add(_other_metric(result.id, name, data["metrics"][name]))
    _link_components(session, result.id, data["components"])
    for reason, detail in document.doubts:
        session.add(Flag(result_id=result.id, reason=reason, detail=detail, raised_at=now()))
    session.flush()
    count(session, "results")
    add_result(session, result)
    return result


def _other_metric(result_id: int, name: str, metric: Mapping[str, Any]) -> ResultMetric:
    base = describe(name, metric).base
    lo, hi = sorted(metric["interval"]) if metric["interval"] is not None else (None, None)
    values = [None if number is None else to_base(number, metric["unit"], base) for number in (metric["value"], lo, hi)]
    return ResultMetric(
        result_id=result_id,
        name=name,
        value=values[0],
        lo=values[1],
        hi=values[2],
        unit=base,
        direction=metric["direction"],
    )


def _link_components(session: Session, result_id: int, components: Mapping[str, str]) -> None:
    """Link a result to the component versions it names; to ours only where the digest is the same."""
    known: dict[str, int] = {}
    digests = sorted(set(components.values()))
    for start in range(0, len(digests), 400):
        rows = session.execute(
            select(
                ComponentVersion.id,
                ComponentVersion.version,
                ComponentVersion.digest,
                Component.kind,
                Component.name,
            )
            .join(Component)
            .where(ComponentVersion.digest.in_(digests[start : start + 400]))
        )
        known.update({f"{row.kind}:{row.name}@{row.version} {row.digest}": row.id for row in rows})
    for reference, digest in components.items():
        kind, _, rest = reference.partition(":")
        if kind in KINDS and rest and len(reference) <= 170:
            name = rest.partition("@")[0][:80]
            session.add(
                ResultComponent(
                    result_id=result_id,
                    reference=reference,
                    kind=kind,
                    name=name,
                    digest=digest,
                    version_id=known.get(f"{reference} {digest}"),
                )
            )


def get_result(session: Session, uid: str) -> Result:
    """Return a result by its id, with or without `sha256:`, or by the first twelve digits or more of it.

    Raises:
        NotFoundError: none with that id is shown, or several begin so.
    """
    wanted = uid.removeprefix("sha256:").lower()
    found: Sequence[Result] = []
    if _ID_START.fullmatch(wanted):
        # "g" sorts right after the last hexadecimal digit.
        within = (Result.uid >= wanted, Result.uid < wanted + "g")
        found = session.scalars(select(Result).where(*within).limit(2)).all()
    if len(found) != 1 or found[0].state in ("hidden", "takedown"):
        raise NotFoundError(
            f"No result with the id {uid[:80]} is here.",
            hint="`cr push` uploads a result; its id is in `cr results`.",
        )
    return found[0]


def get_bytes(session: Session, result: Result) -> bytes:
    """Return the canonical JSON of a result."""
    stored = session.get_one(ResultDocument, result.id)
    return gzip.decompress(stored.body)


def get_document(session: Session, result: Result) -> dict[str, Any]:
    """Return the document of a result."""
    document: dict[str, Any] = json.loads(get_bytes(session, result))
    return document


def filtered(statement: Select[Any], filters: Mapping[str, str]) -> Select[Any]:
    """Narrow a selection of results; unknown keys are a programming error."""
    columns = {
        "task": Result.task,
        "solution": Result.solution_name,
        "model": Result.model,
        "precision": Result.precision,
        "dataset": Result.dataset,
        "runtime": Result.runtime_name,
        "target": Result.target,
        "status": Result.status,
        "scenario": Result.scenario,
    }
    for key, value in filters.items():
        if key == "machine":
            statement = statement.join(Result.machine_class).where(MachineClass.digest == value)
        else:
            statement = statement.where(columns[key] == value)
    return statement


def list_results(session: Session, filters: Mapping[str, str], cursor: str | None, limit: int) -> Page[Result]:
    """Return one page of shown results, newest first."""
    statement = filtered(select(Result).where(Result.state.in_(("accepted", "flagged"))), filters)
    if cursor:
        statement = statement.where(Result.id < decode_cursor(cursor, int)[1])
    rows = list(session.scalars(statement.order_by(Result.id.desc()).limit(limit + 1)))
    more = len(rows) > limit
    return Page(rows[:limit], encode_cursor(0, rows[limit - 1].id) if more else None)


def newest(session: Session, limit: int) -> list[Result]:
    """Return the newest accepted results."""
    return list(
        session.scalars(select(Result).where(Result.state == "accepted").order_by(Result.id.desc()).limit(limit))
    )


def similar(session: Session, result: Result, limit: int = 12) -> list[Result]:
    """Return the results on other machine classes that may be compared with this one, fastest first."""
    return list(
        session.scalars(
            select(Result)
            .where(
                Result.comparability == result.comparability,
                Result.latency_p50.is_not(None),
                Result.state == "accepted",
                Result.status == "ok",
                Result.machine_class_id != result.machine_class_id,
            )
            .order_by(Result.latency_p50, Result.id)
            .limit(limit)
        )
    )


def results_of_component(session: Session, kind: str, name: str, limit: int = 20) -> list[Result]:
    """Return the newest results measured with any version of a component."""
    identities = (
        select(ResultComponent.result_id)
        .where(ResultComponent.kind == kind, ResultComponent.name == name)
        .order_by(ResultComponent.result_id.desc())
        .limit(limit * 2)
    )
    return list(
        session.scalars(
            select(Result)
            .where(Result.id.in_(identities), Result.state.in_(("accepted", "flagged")))
            .order_by(Result.id.desc())
            .limit(limit)
        )
    )
