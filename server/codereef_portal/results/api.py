# SPDX-License-Identifier: Apache-2.0
"""Results over HTTP: upload, read, list and export."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from codereef_portal.http import (
    Cursor,
    IfNoneMatch,
    Limit,
    Name,
    ReadSession,
    Word,
    database_of,
    fresh,
    gzipped,
)
from codereef_portal.problems import PortalError, responses
from codereef_portal.results import service
from codereef_portal.results.document import canonical_json
from codereef_portal.results.metrics import SHARED
from codereef_portal.results.models import Result, ResultDocument
from codereef_portal.settings import Settings

router = APIRouter(tags=["results"])
TRUST = {0: "unverified: uploaded without an account; nobody has repeated it"}
_BODY = {
    "requestBody": {
        "required": True,
        "description": "A result document; its schema is at `/api/v1/schemas/result`.",
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["format"],
                    "properties": {"format": {"const": "codereef-result/1"}},
                }
            }
        },
    }
}


class UploadReceipt(BaseModel):
    """What became of an upload."""

    id: str = Field(description="SHA-256 of the document's canonical JSON, 64 hexadecimal digits")
    created: bool = Field(description="False where the very document was there already")
    state: str
    doubts: list[str] = Field(description="Why a flagged result stays off the boards until somebody has looked")
    url: str = Field(description="The result's page")


class ResultBrief(BaseModel):
    """A result in a list. Units: seconds, 1/s, bytes; accuracy from 0 to 1."""

    id: str
    url: str
    started_at: datetime
    received_at: datetime
    status: str
    state: str
    trust: str
    solution: str
    task: str
    model: str
    precision: str
    dataset: str
    runtime: str
    scenario: str
    target: str
    machine: str
    machine_class: str
    comparability: str
    accuracy_metric: str | None
    latency_p50_lo: float | None
    latency_p50_hi: float | None
    metrics: dict[str, float | None]


class ResultPage(BaseModel):
    """One page of results."""

    results: list[ResultBrief]
    next_cursor: str | None


def page_address(request: Request, uid: str) -> str:
    """Return the full address of a result's page."""
    settings: Settings = request.app.state.settings
    return f"{settings.public_url or str(request.base_url).rstrip('/')}/r/{uid}"


def brief(request: Request, row: Result) -> ResultBrief:
    """Return a result as lists show it."""
    return ResultBrief(
        id=row.uid,
        url=page_address(request, row.uid),
        started_at=row.started_at,
        received_at=row.received_at,
        status=row.status,
        state=row.state,
        trust=TRUST[row.trust],
        solution=row.solution,
        task=row.task,
        model=row.model,
        precision=row.precision,
        dataset=row.dataset,
        runtime=f"{row.runtime_name} {row.runtime_version}",
        scenario=row.scenario,
        target=row.target,
        machine=row.machine_class.label,
        machine_class=row.machine_class.digest,
        comparability=row.comparability,
        accuracy_metric=row.accuracy_metric,
        latency_p50_lo=row.latency_p50_lo,
        latency_p50_hi=row.latency_p50_hi,
        metrics={name: getattr(row, name) for name in SHARED},
    )


async def read_body(request: Request, limit: int) -> bytes:
    """Read a JSON body of at most `limit` bytes, stopping at the first byte too many.

    A page of another origin cannot make a browser send this content type without asking first, so the check
    of the type and of `Origin` keeps foreign pages from uploading through a visitor's browser.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise PortalError(
            415,
            "A result is sent as application/json.",
            hint="Set the header Content-Type: application/json.",
        )
    if request.headers.get("content-encoding", "identity") != "identity":
        raise PortalError(415, "A result is sent without content encoding.")
    origin = request.headers.get("origin")
    if origin is not None and origin.partition("://")[2] != request.headers.get("host"):
        raise PortalError(403, "A page of another site may not upload results.")
    too_large = PortalError(
        413,
        f"The document is larger than {limit} bytes.",
        hint="Fewer raw samples fit; the statistics stay the same.",
    )
    if request.headers.get("content-length", "0").isdigit() and int(request.headers.get("content-length", "0")) > limit:
        raise too_large
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise too_large
    return bytes(body)


async def _upload(request: Request, response: Response, key: str | None) -> UploadReceipt:
    settings: Settings = request.app.state.settings
    body = await read_body(request, settings.max_upload_bytes)
    receipt = await run_in_threadpool(service.take_upload, database_of(request), body, key)
    response.status_code = 201 if receipt.created else 200
    address = page_address(request, receipt.uid)
    response.headers["Location"] = f"/api/v1/results/{receipt.uid}"
    return UploadReceipt(
        id=receipt.uid, created=receipt.created, state=receipt.state, doubts=list(receipt.doubts), url=address
    )


_UPLOAD_ANSWERS: dict[int | str, dict[str, Any]] = {
    **responses(403, 409, 413, 415),
    200: {"description": "The very document was there already", "model": UploadReceipt},
}
IdempotencyKey = Annotated[str | None, Header(max_length=120, description="Sent again with each retry of one document")]


@router.post("/results", status_code=201, responses=_UPLOAD_ANSWERS, openapi_extra=_BODY)
async def upload_result(request: Request, response: Response, idempotency_key: IdempotencyKey = None) -> UploadReceipt:
    """Upload a result; the same document again answers 200 with the same id."""
    return await _upload(request, response, idempotency_key)


@router.put("/results/{uid}", status_code=201, responses=_UPLOAD_ANSWERS, openapi_extra=_BODY)
async def put_result(request: Request, response: Response, uid: Name) -> UploadReceipt:
    """Upload a result under the id the client computed; another id than the document's is refused."""
    settings: Settings = request.app.state.settings
    body = await read_body(request, settings.max_upload_bytes)
    try:
        computed = hashlib.sha256(canonical_json(json.loads(body))).hexdigest()
    except (ValueError, RecursionError):
        computed = uid
    if computed != uid.removeprefix("sha256:"):
        raise PortalError(
            409,
            f"The document's id is {computed}, not {uid[:80]}.",
            hint="The id is the SHA-256 of its canonical JSON.",
        )
    receipt = await run_in_threadpool(service.take_upload, database_of(request), body, None)
    response.status_code = 201 if receipt.created else 200
    return UploadReceipt(
        id=receipt.uid,
        created=receipt.created,
        state=receipt.state,
        doubts=list(receipt.doubts),
        url=page_address(request, receipt.uid),
    )


def _filters(**given: str) -> dict[str, str]:
    return {key: value for key, value in given.items() if value}


@router.get("/results", responses=responses())
def list_results(
    request: Request,
    session: ReadSession,
    task: Word = "",
    solution: Word = "",
    model: Word = "",
    precision: Word = "",
    dataset: Word = "",
    runtime: Word = "",
    target: Word = "",
    status: Word = "",
    scenario: Word = "",
    machine: Word = "",
    cursor: Cursor = None,
    limit: Limit = 50,
) -> ResultPage:
    """List results, newest first; `machine` is the digest of a machine class."""
    filters = _filters(
        task=task,
        solution=solution,
        model=model,
        precision=precision,
        dataset=dataset,
        runtime=runtime,
        target=target,
        status=status,
        scenario=scenario,
        machine=machine,
    )
    page = service.list_results(session, filters, cursor, limit)
    return ResultPage(results=[brief(request, row) for row in page.rows], next_cursor=page.next_cursor)


def csv_cell(value: object) -> object:
    """Return a cell that no spreadsheet takes for a formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def csv_lines(header: list[str], rows: Iterator[list[object]]) -> Iterator[str]:
    """Yield the lines of a CSV file."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(header)
    for row in rows:
        writer.writerow([csv_cell(value) for value in row])
        if buffer.tell() > 32_768:
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()


_CSV_COLUMNS = (
    "uid",
    "started_at",
    "status",
    "state",
    "trust",
    "solution",
    "configuration",
    "task",
    "model",
    "precision",
    "dataset",
    "runtime_name",
    "runtime_version",
    "scenario",
    "target",
    "comparability",
    "latency_p50_lo",
    "latency_p50_hi",
    *SHARED,
    "accuracy_metric",
)


def _csv_rows(session: Session, filters: dict[str, str]) -> Iterator[list[object]]:
    cursor: str | None = None
    while True:
        page = service.list_results(session, filters, cursor, 200)
        for row in page.rows:
            values = [getattr(row, name) for name in _CSV_COLUMNS]
            shown = [value.isoformat() if isinstance(value, datetime) else value for value in values]
            yield [*shown, row.machine_class.label, row.machine_class.digest]
        session.expunge_all()
        cursor = page.next_cursor
        if cursor is None:
            return


@router.get(
    "/results.csv",
    response_class=StreamingResponse,
    responses={**responses(), 200: {"content": {"text/csv": {"schema": {"type": "string"}}}}},
)
def export_results(
    request: Request,
    task: Word = "",
    solution: Word = "",
    model: Word = "",
    precision: Word = "",
    dataset: Word = "",
    runtime: Word = "",
    target: Word = "",
    status: Word = "",
    scenario: Word = "",
    machine: Word = "",
) -> StreamingResponse:
    """Export results as CSV, newest first: seconds, 1/s, bytes."""
    filters = _filters(
        task=task,
        solution=solution,
        model=model,
        precision=precision,
        dataset=dataset,
        runtime=runtime,
        target=target,
        status=status,
        scenario=scenario,
        machine=machine,
    )

    def lines() -> Iterator[str]:
        # A session of its own: the request's is closed before the stream has ended.
        with database_of(request).reading() as session:
            yield from csv_lines([*_CSV_COLUMNS, "machine", "machine_class"], _csv_rows(session, filters))

    return StreamingResponse(
        lines(),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": 'attachment; filename="results.csv"'},
    )


_JSON_ANSWER: dict[int | str, dict[str, Any]] = {
    **responses(404),
    200: {"content": {"application/json": {"schema": {"type": "object"}}}},
    304: {"description": "Not changed"},
}


@router.get("/results/{uid}", response_class=Response, responses=_JSON_ANSWER)
def get_result(request: Request, session: ReadSession, uid: Name, if_none_match: IfNoneMatch = None) -> Response:
    """Return the document of a result, byte for byte the canonical JSON its id is the digest of."""
    row = service.get_result(session, uid)
    etag = f'"{row.uid}"'
    if if_none_match == etag:
        return fresh(etag)
    body = session.get_one(ResultDocument, row.id).body
    return gzipped(request, body, "application/json", {"ETag": etag, "Cache-Control": "public, max-age=300"})


@router.get("/results/{uid}/lock", response_class=Response, responses=_JSON_ANSWER)
def get_lock(session: ReadSession, uid: Name) -> Response:
    """Return the `cr.lock` of a result, from which the same graph can be made again."""
    document = service.get_document(session, service.get_result(session, uid))
    text = json.dumps(document["lock"], indent=2, ensure_ascii=False) + "\n"
    return Response(
        text, media_type="application/json", headers={"Content-Disposition": 'attachment; filename="cr.lock"'}
    )
