# SPDX-License-Identifier: Apache-2.0
"""The pages for people."""

from __future__ import annotations

import time
from typing import Annotated, Any
from urllib.parse import parse_qsl, urlencode

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse
from sqlalchemy import select
from sqlalchemy.orm import Session

from codereef_portal.boards import service as boards
from codereef_portal.boards.api import board_and_view
from codereef_portal.boards.counts import DIMENSIONS
from codereef_portal.boards.models import Board
from codereef_portal.boards.points import colour_dimension, points
from codereef_portal.boards.view import ALL, NEWEST, View, default_descending, metric_of, read_view
from codereef_portal.components import service as components
from codereef_portal.components.models import Component, ComponentVersion
from codereef_portal.http import Cursor, Name, ReadSession, database_of
from codereef_portal.results import service as results
from codereef_portal.results.api import TRUST
from codereef_portal.results.metrics import SHARED, describe, to_base
from codereef_portal.results.models import Counter, Flag
from codereef_portal.settings import Settings
from codereef_portal.web import charts
from codereef_portal.web.render import flat, page

router = APIRouter()
KINDS = ("solution", "model", "dataset", "program", "package", "soft", "target", "dashboard")
KIND_WORDS = {
    "solution": "solutions",
    "model": "models",
    "dataset": "datasets",
    "program": "programs",
    "package": "packages",
    "soft": "detectors",
    "target": "targets",
    "dashboard": "dashboards",
}
_ROWS = 50


def portal_address(request: Request) -> str:
    """Return the address people reach this portal at."""
    settings: Settings = request.app.state.settings
    return settings.public_url or str(request.base_url).rstrip("/")


@router.get("/")
def home(request: Request, session: ReadSession) -> Response:
    """Search first, counts, boards, newest results, and how to add one's own."""
    counters = {row.name: row.n for row in session.scalars(select(Counter))}
    solutions = components.list_components(session, "solution", None, None, 6).rows
    return page(
        request,
        "home.html",
        counters=counters,
        boards=boards.list_boards(session)[:6],
        newest=results.newest(session, 8),
        solutions=solutions,
        address=portal_address(request),
    )


@router.get("/search")
def search(
    request: Request,
    session: ReadSession,
    q: Annotated[str, Query(max_length=200)] = "",
    kind: str = "",
    tag: Annotated[str, Query(max_length=80)] = "",
) -> Response:
    """Ranked components that hold every word."""
    query, tag = q.replace("\x00", ""), tag.replace("\x00", "")
    found = components.search(session, query, None, tag or None)
    counts = {name: sum(1 for row in found if row.kind == name) for name in KINDS}
    shown = [row for row in found if not kind or row.kind == kind]
    return page(
        request,
        "search.html",
        q=query,
        kind=kind,
        tag=tag,
        found=shown[:100],
        total=len(shown),
        counts=counts,
        kind_words=KIND_WORDS,
        link=lambda chosen: (
            "/search?"
            + urlencode({key: value for key, value in (("q", query), ("kind", chosen), ("tag", tag)) if value})
        ),
    )


@router.get("/components")
def list_of_components(request: Request, session: ReadSession) -> Response:
    """Every component, by kind."""
    groups = {kind: components.list_components(session, kind, None, None, 200) for kind in KINDS}
    return page(request, "components.html", groups=groups, kind_words=KIND_WORDS)


def _dependency_rows(session: Session, version: ComponentVersion) -> list[dict[str, Any]]:
    capabilities = [row.needs for row in version.dependencies if ":" not in row.needs]
    givers = components.providers(session, capabilities)
    known = {
        f"{kind}:{name}"
        for kind, name in session.execute(
            select(Component.kind, Component.name).where(
                Component.name.in_([row.needs.partition(":")[2] for row in version.dependencies if ":" in row.needs])
            )
        )
    }
    return [
        {"row": row, "givers": givers.get(row.needs, []), "known": row.needs in known} for row in version.dependencies
    ]


def _component_values(session: Session, kind: str, reference: str) -> dict[str, Any]:
    name, _, wanted = reference.partition("@")
    component = components.get_component(session, kind, name)
    version = components.get_version(session, component, wanted or None)
    return {
        "component": component,
        "version": version,
        "manifest": version.manifest,
        "versions": components.list_versions(session, component),
        "dependencies": _dependency_rows(session, version),
        "used_by": components.used_by(session, component, version),
        "results": results.results_of_component(session, kind, name),
        "readme": version.readme or version.manifest.get("description"),
    }


@router.get("/c/{kind}/{reference}")
def component_page(request: Request, session: ReadSession, kind: Name, reference: Name) -> Response:
    """README, versions, files, dependencies, what uses it, and results."""
    if kind == "solution":
        return RedirectResponse(f"/s/{reference}", 307)
    values = _component_values(session, kind, reference)
    board = next(
        (
            board
            for board in boards.list_boards(session)
            if kind == "dashboard" and board.name == values["component"].name
        ),
        None,
    )
    return page(request, "component.html", board=board, address=portal_address(request), **values)


@router.get("/s/{reference}")
def solution_page(request: Request, session: ReadSession, reference: Name) -> Response:
    """What a solution runs, the commands, its configurations and its results on its board."""
    values = _component_values(session, "solution", reference)
    dashboard = str(values["manifest"].get("dashboard", "")).partition(":")[2].partition("@")[0]
    board = next((board for board in boards.list_boards(session) if board.name == dashboard), None)
    chart = None
    if board is not None:
        pairs = [("solution", values["component"].name)]
        view = _view_of(session, board, pairs)
        overview = points(database_of(request), board.name, view).overview
        chart = _chart(session, board, view, overview) if overview["n"] else None
    return page(request, "solution.html", board=board, chart=chart, address=portal_address(request), **values)


def _view_of(session: Session, board: Board, pairs: list[tuple[str, str]]) -> View:
    facets = boards.facets(session, board)
    known = {dimension: [facet.value for facet in values] for dimension, values in facets.items()}
    return read_view(board, known, pairs)


def _chart(session: Session, board: Board, view: View, overview: dict[str, Any]) -> Any:
    color = colour_dimension(board)
    return charts.scatter(
        overview["drawn"],
        overview["frontier"],
        metric_of(board, view.x),
        metric_of(board, view.y),
        view.log_x,
        view.log_y,
        boards.colour_slots(session, board, color),
        color,
    )


@router.get("/boards")
def list_of_boards(request: Request, session: ReadSession) -> Response:
    """Every board with its counts."""
    return page(request, "boards.html", boards=boards.list_boards(session))


@router.get("/b/{name}")
def board_page(request: Request, session: ReadSession, name: Name, cursor: Cursor = None) -> Response:
    """Filters, scatter with the frontier, and the table of the same results."""
    started = time.perf_counter()
    database = database_of(request)
    board, view = board_and_view(database, name, request)
    found = points(database, name, view)
    rows = boards.board_rows(session, board, view, cursor, _ROWS)
    total = boards.matching(session, board, view)
    slots = boards.colour_slots(session, board, colour_dimension(board))
    overview = found.overview
    query = view.query(board)
    chips = [
        (dimension, value, "?" + view.without(board, dimension, value))
        for dimension in DIMENSIONS
        for value in view.filters.get(dimension, ())
    ]
    blocking = []
    if not total and board.stat.results:
        for dimension, values, gained in boards.blocking_filters(session, board, view):
            link = "?" + view.query(
                board,
                filters={key: kept for key, kept in view.filters.items() if key != dimension},
                chosen=view.chosen | {dimension},
            )
            blocking.append((dimension, values, gained, link))
    component = components.get_component(session, "dashboard", board.name)
    version = components.get_version(session, component)
    solutions = [row for row in components.used_by(session, component, version) if row.kind == "solution"]
    return page(
        request,
        "board.html",
        board=board,
        view=view,
        solutions=solutions,
        facets=boards.facets(session, board),
        rows=rows.rows,
        total=total,
        chips=chips,
        blocking=blocking,
        overview=overview,
        color=colour_dimension(board),
        slots=slots,
        shown_slots={
            value: slot
            for value, slot in slots.items()
            if any(point[colour_dimension(board)] == value for point in overview["drawn"])
        },
        chart=_chart(session, board, view, overview) if overview["n"] else None,
        query=query,
        next_page="?" + urlencode([*_pairs(query), ("cursor", rows.next_cursor)]) if rows.next_cursor else None,
        first_page=cursor is None,
        metric=lambda key: metric_of(board, key),
        metrics=[metric_of(board, key) for key in board.metrics],
        dimensions=DIMENSIONS,
        sort_link=lambda key: "?" + _sorted(board, view, key),
        legend_mark=charts.legend_mark,
        ALL=ALL,
        NEWEST=NEWEST,
        charts=charts,
        address=portal_address(request),
        took=lambda: (time.perf_counter() - started) * 1e3,
    )


def _pairs(query: str) -> list[tuple[str, str]]:
    return parse_qsl(query, keep_blank_values=True)


def _sorted(board: Board, view: View, key: str) -> str:
    descending = not view.descending if view.sort == key else default_descending(board, key)
    return view.query(board, sort=key, descending=descending)


@router.get("/r/{uid}")
def result_page(request: Request, session: ReadSession, uid: Name) -> Response:
    """One result: headline, spread, samples, environment, versions, and how to repeat it."""
    result = results.get_result(session, uid)
    document = results.get_document(session, result)
    # What was not timed as a whole, as by `cr validate`, has samples of its steps only.
    called = "latency" if document["samples"].get("latency") else next(iter(document["samples"]), "")
    series = document["samples"].get(called)
    plots = None
    if series and len(series["values"]) >= 3:
        metric = describe("series", {"unit": series["unit"]})
        values = [(to_base(value, series["unit"], metric.base) or 0.0) * metric.factor for value in series["values"]]
        plots = {
            "title": "Latency" if called == "latency" else f"Samples of {called}",
            "n": len(values),
            "unit": metric.shown,
            "samples": charts.samples_plot(values, metric.shown),
            "strip": charts.percentile_strip(values, metric.shown),
        }
    configuration = next(
        (entry for entry in document["lock"]["configurations"] if entry["id"] == result.configuration), None
    )
    identities = configuration["nodes"] if configuration else list(document["lock"]["nodes"])
    nodes = [
        (identity, document["lock"]["nodes"][identity])
        for identity in identities
        if identity in document["lock"]["nodes"]
    ]
    environment = document["lock"]["environments"].get((configuration or {}).get("environment", ""))
    flags = list(session.scalars(select(Flag).where(Flag.result_id == result.id, Flag.resolved_at.is_(None))))
    board = session.scalar(select(Board).where(Board.task == result.task).order_by(Board.id).limit(1))
    return page(
        request,
        "result.html",
        result=result,
        document=document,
        metrics=_metric_rows(document),
        stages=document.get("stages", []),
        digested=next((stage["items"] for stage in document.get("stages", []) if stage.get("items")), None),
        plots=plots,
        nodes=nodes,
        environment=environment,
        flags=flags,
        board=board,
        similar=results.similar(session, result),
        trust=TRUST[result.trust],
        shared=SHARED,
        address=portal_address(request),
        changed=_changed(document["environment"]),
    )


def _metric_rows(document: dict[str, Any]) -> list[dict[str, Any]]:
    rows = []
    order = {name: i for i, name in enumerate([*SHARED, "mAP", "top1"])}
    for name, metric in sorted(document["metrics"].items(), key=lambda item: (order.get(item[0], 99), item[0])):
        meaning = describe(name, metric)

        def shown(number: float | None, metric: dict[str, Any] = metric, meaning: Any = meaning) -> float | None:
            base = None if number is None else to_base(number, metric["unit"], meaning.base)
            return None if base is None else base * meaning.factor

        interval = metric["interval"] or [None, None]
        rows.append(
            {
                "metric": meaning,
                "value": shown(metric["value"]),
                "lo": shown(interval[0]),
                "hi": shown(interval[1]),
                "raw": metric,
            }
        )
    return rows


def _changed(environment: dict[str, Any]) -> list[tuple[str, object, object]]:
    before, after = flat(environment["before"]), flat(environment["after"])
    return [(key, before.get(key), after.get(key)) for key in dict.fromkeys([*before, *after])]


@router.get("/docs/api")
def api_page(request: Request) -> Response:
    """The paths of the API, from the very OpenAPI document."""
    document = request.app.openapi()
    rows = [
        (method.upper(), path, operation.get("summary", ""), operation.get("description", ""))
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    return page(request, "api.html", rows=rows, address=portal_address(request))
