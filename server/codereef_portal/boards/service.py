# SPDX-License-Identifier: Apache-2.0
"""Boards, their rows and their facets."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from codereef.errors import NotFoundError
from sqlalchemy import ColumnElement, Select, and_, func, literal, null, select
from sqlalchemy.orm import Session, aliased
from sqlalchemy.sql.expression import SQLColumnExpression

from codereef_portal.boards.models import Board, BoardStat, Facet
from codereef_portal.boards.view import NEWEST, View, metric_of
from codereef_portal.paging import Page, after, decode_cursor, encode_cursor
from codereef_portal.results.metrics import ACCURACY_NAMES, SHARED
from codereef_portal.results.models import MachineClass, Result, ResultMetric

_EXPORT_BATCH = 500


@dataclass(frozen=True)
class Bounds:
    """A metric of one row in the units of a page: value and confidence bounds."""

    value: float | None
    lo: float | None
    hi: float | None


@dataclass(frozen=True)
class BoardRow:
    """One row of a board's table."""

    result: Result
    metrics: Mapping[str, Bounds]


@dataclass(frozen=True)
class FacetValue:
    """A value that a board can be narrowed to, and how many of its results have it."""

    value: str
    n: int


def list_boards(session: Session) -> list[Board]:
    """Return every board, the one with the most results first."""
    return list(session.scalars(select(Board).join(BoardStat).order_by(BoardStat.results.desc(), Board.name)))


def get_board(session: Session, name: str) -> Board:
    """Return a board by name.

    Raises:
        NotFoundError: none of that name.
    """
    board = session.scalar(select(Board).where(Board.name == name))
    if board is None:
        raise NotFoundError(
            f"No board {name[:80]} is here.",
            hint="/boards lists them; each is a component of the kind `dashboard`.",
        )
    return board


def facets(session: Session, board: Board) -> dict[str, list[FacetValue]]:
    """Return the values of each dimension, the most frequent first, from the summary table."""
    found: dict[str, list[FacetValue]] = {}
    rows = session.scalars(
        select(Facet).where(Facet.board_id == board.id, Facet.n > 0).order_by(Facet.n.desc(), Facet.id)
    )
    for row in rows:
        found.setdefault(row.dimension, []).append(FacetValue(row.value, row.n))
    return found


def colour_slots(session: Session, board: Board, dimension: str) -> dict[str, int]:
    """Bind each value of a dimension to one of eight colours, by hash.

    A value whose colour is taken gets the next free one; values are served in the order they first came to
    the
    board, so a value keeps its colour when others come, go or are filtered out. Past eight values, colours
    repeat.
    """
    slots: dict[str, int] = {}
    for value in session.scalars(
        select(Facet.value).where(Facet.board_id == board.id, Facet.dimension == dimension).order_by(Facet.id)
    ):
        slot = hashlib.sha256(value.encode()).digest()[0] % 8
        taken = set(slots.values())
        if len(taken) < 8:
            while slot in taken:
                slot = (slot + 1) % 8
        slots[value] = slot
    return slots


@dataclass(frozen=True)
class MetricColumns:
    """Where a metric lies: its value and bounds, and the condition under which a shared column means it."""

    value: SQLColumnExpression[Any]
    lo: SQLColumnExpression[Any]
    hi: SQLColumnExpression[Any]
    joined: Any = None
    on: ColumnElement[bool] | None = None
    only: ColumnElement[bool] | None = None

    def attach(self, statement: Select[Any]) -> Select[Any]:
        """Join the table of other metrics where this one lies there."""
        return statement if self.joined is None else statement.outerjoin(self.joined, self.on)


def metric_columns(name: str) -> MetricColumns:
    """Return where a metric lies."""
    if name in ACCURACY_NAMES:
        return MetricColumns(
            Result.accuracy, Result.accuracy_lo, Result.accuracy_hi, only=Result.accuracy_metric == name
        )
    if name == "latency_p50":
        return MetricColumns(Result.latency_p50, Result.latency_p50_lo, Result.latency_p50_hi)
    if name in SHARED:
        return MetricColumns(getattr(Result, name), null(), null())
    other = aliased(ResultMetric)
    return MetricColumns(other.value, other.lo, other.hi, other, and_(other.result_id == Result.id, other.name == name))


def dimension_columns() -> dict[str, SQLColumnExpression[Any]]:
    """Return where each dimension lies; a selection joins the machine class for `machine`."""
    return {
        "model": Result.model,
        "precision": Result.precision,
        "dataset": Result.dataset,
        "runtime": Result.runtime_name + literal(" ") + Result.runtime_version,
        "machine": MachineClass.label,
        "target": Result.target,
        "scenario": Result.scenario,
        "solution": Result.solution_name,
        "status": Result.status,
    }


def narrowed(statement: Select[Any], board: Board, view: View) -> Select[Any]:
    """Narrow a selection of results to a board and the filters of a view."""
    statement = statement.where(Result.task == board.task, Result.state == "accepted")
    columns = dimension_columns()
    for dimension, values in view.filters.items():
        statement = statement.where(columns[dimension].in_(values))
    return statement


def _selection(board: Board, view: View, names: list[str]) -> tuple[Select[Any], dict[str, MetricColumns]]:
    where = {name: metric_columns(name) for name in dict.fromkeys(names)}
    values = [column for found in where.values() for column in (found.value, found.lo, found.hi)]
    statement = select(Result, *values).join(Result.machine_class)
    for found in where.values():
        statement = found.attach(statement)
    return narrowed(statement, board, view), where


def _rows(board: Board, where: Mapping[str, MetricColumns], rows: Any) -> Iterator[BoardRow]:
    for row in rows:
        result: Result = row[0]
        metrics: dict[str, Bounds] = {}
        for position, name in enumerate(where):
            triple = row[1 + 3 * position : 4 + 3 * position]
            if name in ACCURACY_NAMES and result.accuracy_metric != name:
                triple = (None, None, None)
            factor = metric_of(board, name).factor
            metrics[name] = Bounds(*(None if number is None else number * factor for number in triple))
        yield BoardRow(result, metrics)


def board_rows(session: Session, board: Board, view: View, cursor: str | None, limit: int) -> Page[BoardRow]:
    """Return one page of a board's table. Sorted by a metric, only rows that have it stand in it."""
    names = [column for column in board.columns if column in board.metrics] + (
        [view.sort] if view.sort != NEWEST else []
    )
    statement, where = _selection(board, view, names)
    if view.sort == NEWEST:
        if cursor:
            statement = statement.where(Result.id < decode_cursor(cursor, int)[1])
        statement = statement.order_by(Result.id.desc())
    else:
        found = where[view.sort]
        statement = statement.where(found.value.is_not(None))
        if found.only is not None:
            statement = statement.where(found.only)
        if cursor:
            value, last = decode_cursor(cursor, float)
            statement = statement.where(after(found.value, Result.id, view.descending, value, last))
        order = (found.value.desc(), Result.id.desc()) if view.descending else (found.value.asc(), Result.id.asc())
        statement = statement.order_by(*order)
    rows = list(session.execute(statement.limit(limit + 1)))
    cursor_of_next = None
    if len(rows) > limit:
        final = rows[limit - 1]
        position = 1 + 3 * list(where).index(view.sort) if view.sort != NEWEST else 0
        cursor_of_next = encode_cursor(final[position] if position else 0, final[0].id)
    return Page(list(_rows(board, where, rows[:limit])), cursor_of_next)


def export_rows(session: Session, board: Board, view: View) -> Iterator[BoardRow]:
    """Yield every row of a view, newest first, without holding them all."""
    names = list(dict.fromkeys([*board.metrics, view.x, view.y]))
    statement, where = _selection(board, view, names)
    last: int | None = None
    while True:
        batch = statement if last is None else statement.where(Result.id < last)
        rows = list(session.execute(batch.order_by(Result.id.desc()).limit(_EXPORT_BATCH)))
        yield from _rows(board, where, rows)
        if len(rows) < _EXPORT_BATCH:
            return
        last = rows[-1][0].id
        session.expunge_all()


def matching(session: Session, board: Board, view: View) -> int:
    """Return how many results a view holds."""
    statement = narrowed(select(func.count(Result.id)).join(Result.machine_class), board, view)
    return int(session.scalar(statement) or 0)


def blocking_filters(session: Session, board: Board, view: View) -> list[tuple[str, str, int]]:
    """For a view without results, return the (dimension, value, results gained) whose dropping would give
    some."""
    found = []
    for dimension, values in view.filters.items():
        rest = replace(view, filters={key: kept for key, kept in view.filters.items() if key != dimension})
        gained = matching(session, board, rest)
        if gained:
            found.append((dimension, ", ".join(values), gained))
    return sorted(found, key=lambda item: -item[2])
