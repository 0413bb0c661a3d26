# SPDX-License-Identifier: Apache-2.0
"""Boards over HTTP: points, frontier and export."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from codereef_portal.boards import service
from codereef_portal.boards.counts import DIMENSIONS
from codereef_portal.boards.models import Board
from codereef_portal.boards.points import points
from codereef_portal.boards.view import View, metric_of, read_view
from codereef_portal.db import Database
from codereef_portal.http import IfNoneMatch, Name, ReadSession, database_of, fresh, gzipped
from codereef_portal.problems import responses
from codereef_portal.results.api import csv_lines

router = APIRouter(tags=["boards"])
_VIEW_PARAMETERS: dict[str, Any] = {
    "parameters": [
        *(
            {
                "name": name,
                "in": "query",
                "required": False,
                "schema": {"type": "array", "items": {"type": "string"}},
                "description": f"Wanted {name}; `all` for every one",
            }
            for name in DIMENSIONS
        ),
        {
            "name": "x",
            "in": "query",
            "required": False,
            "schema": {"type": "string"},
            "description": "Metric on the horizontal axis",
        },
        {
            "name": "y",
            "in": "query",
            "required": False,
            "schema": {"type": "string"},
            "description": "Metric on the vertical axis",
        },
    ]
}


class BoardBrief(BaseModel):
    """A board with its axes and counts."""

    name: str
    version: str
    task: str
    summary: str
    x: str
    y: str
    metrics: dict[str, Any]
    columns: list[str]
    results: int
    machines: int
    latest_at: datetime | None


class BoardList(BaseModel):
    """Every board."""

    boards: list[BoardBrief]


class FrontierPoint(BaseModel):
    """A point that no other dominates, in the units of the axes."""

    id: str
    x: float
    x_lo: float | None
    x_hi: float | None
    y: float
    y_lo: float | None
    y_hi: float | None
    model: str
    precision: str
    runtime: str
    machine: str
    dataset: str


class Axis(BaseModel):
    """A metric on an axis."""

    metric: str
    unit: str
    direction: str


class Frontier(BaseModel):
    """The frontier of a view, along the better x first."""

    x: Axis
    y: Axis
    n: int
    reason: str
    frontier: list[FrontierPoint]


def _brief(board: Board) -> BoardBrief:
    return BoardBrief(
        name=board.name,
        version=board.version,
        task=board.task,
        summary=board.summary,
        x=board.x,
        y=board.y,
        metrics=board.metrics,
        columns=board.columns,
        results=board.stat.results,
        machines=board.stat.machines,
        latest_at=board.stat.latest_at,
    )


def board_and_view(database: Database, name: str, request: Request) -> tuple[Board, View]:
    """Return a board and the view that the request's address asks for."""
    with database.reading() as session:
        board = service.get_board(session, name)
        facets = service.facets(session, board)
        known = {dimension: [facet.value for facet in values] for dimension, values in facets.items()}
        view = read_view(board, known, request.query_params.multi_items())
        session.expunge_all()
        return board, view


@router.get("/boards", responses=responses())
def list_boards(session: ReadSession) -> BoardList:
    """List the boards, the one with the most results first."""
    return BoardList(boards=[_brief(board) for board in service.list_boards(session)])


@router.get("/boards/{name}", responses=responses(404))
def get_board(session: ReadSession, name: Name) -> BoardBrief:
    """Return a board."""
    return _brief(service.get_board(session, name))


@router.get(
    "/boards/{name}/points",
    response_class=Response,
    openapi_extra=_VIEW_PARAMETERS,
    responses={
        **responses(404),
        200: {"content": {"application/json": {"schema": {"type": "object"}}}},
        304: {"description": "Not changed"},
    },
)
def get_points(request: Request, name: Name, if_none_match: IfNoneMatch = None) -> Response:
    """Return the points of a view as columns, with the indices of those on the frontier."""
    database = database_of(request)
    _, view = board_and_view(database, name, request)
    found = points(database, name, view)
    if if_none_match == found.etag:
        return fresh(found.etag)
    return gzipped(request, found.body, "application/json", {"ETag": found.etag, "Cache-Control": "no-cache"})


@router.get("/boards/{name}/frontier", responses=responses(404), openapi_extra=_VIEW_PARAMETERS)
def get_frontier(request: Request, name: Name) -> Frontier:
    """Return the points of a view that no other dominates."""
    database = database_of(request)
    board, view = board_and_view(database, name, request)
    overview = points(database, name, view).overview
    axes = [
        Axis(metric=metric.name, unit=metric.shown, direction=metric.direction)
        for metric in (metric_of(board, view.x), metric_of(board, view.y))
    ]
    return Frontier(x=axes[0], y=axes[1], n=overview["n"], reason=overview["reason"], frontier=overview["frontier"])


@router.get(
    "/boards/{name}/results.csv",
    response_class=StreamingResponse,
    openapi_extra=_VIEW_PARAMETERS,
    responses={**responses(404), 200: {"content": {"text/csv": {"schema": {"type": "string"}}}}},
)
def export_board(request: Request, name: Name) -> StreamingResponse:
    """Export the results of a view as CSV, in the units named in the first line."""
    database = database_of(request)
    board, view = board_and_view(database, name, request)
    metrics = [metric_of(board, metric) for metric in board.metrics]
    header = [
        "id",
        "started_at",
        "status",
        "model",
        "precision",
        "dataset",
        "runtime",
        "runtime_version",
        "machine",
        "target",
    ]
    for metric in metrics:
        unit = f" [{metric.shown}]" if metric.shown else ""
        header += [f"{metric.name}{unit}", f"{metric.name}_lo{unit}", f"{metric.name}_hi{unit}"]

    def rows() -> Iterator[list[object]]:
        with database.reading() as session:
            for row in service.export_rows(session, board, view):
                found = row.result
                values: list[object] = [
                    found.uid,
                    found.started_at.isoformat(),
                    found.status,
                    found.model,
                    found.precision,
                    found.dataset,
                    found.runtime_name,
                    found.runtime_version,
                    found.machine_class.label,
                    found.target,
                ]
                for metric in metrics:
                    bounds = row.metrics[metric.name]
                    values += [bounds.value, bounds.lo, bounds.hi]
                yield values

    return StreamingResponse(
        csv_lines(header, rows()),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": 'attachment; filename="board.csv"'},
    )
