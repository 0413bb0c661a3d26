# SPDX-License-Identifier: Apache-2.0
"""The points of a scatter with their frontier: computed once a change of the board, sent as columnar JSON.

Values are rounded to four significant digits: on 94,000 points columns of rounded numbers under gzip were
smaller than packed binary and need no decoder.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from codereef.record.pareto import Direction, frontier
from sqlalchemy import delete, func, select
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.orm import Session

from codereef_portal.boards.models import Board, PointsCache
from codereef_portal.boards.service import (
    colour_slots,
    dimension_columns,
    get_board,
    metric_columns,
    narrowed,
)
from codereef_portal.boards.view import View, metric_of
from codereef_portal.db import Database, now
from codereef_portal.results.models import Result

MAX_POINTS = 100_000
_DRAWN_ON_SERVER = 400
# Digests do not compress: whole ones would be most of what is sent, and a result is found by its first
# digits.
_ID_DIGITS = 16
_CACHED_PER_BOARD = 200
_LABELS = ("model", "precision", "runtime", "machine", "dataset")


@dataclass(frozen=True)
class Points:
    """The points of a view: the body as sent (gzip) and the overview a page shows."""

    body: bytes
    overview: dict[str, Any]
    etag: str


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")


def _dictionary(values: Sequence[str]) -> dict[str, Any]:
    names = sorted(set(values))
    index = {name: i for i, name in enumerate(names)}
    return {"values": names, "codes": [index[value] for value in values]}


def colour_dimension(board: Board) -> str:
    """Return the dimension whose values have colours."""
    head = board.color.partition(".")[0]
    return head if head in _LABELS else "runtime"


def compute(session: Session, board: Board, view: View) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the points of a view as sent and the overview of them.

    The frontier is left out, with the reason, where the axes have no better end or where the points were
    measured on more than one dataset.
    """
    x_metric, y_metric = metric_of(board, view.x), metric_of(board, view.y)
    x, y = metric_columns(view.x), metric_columns(view.y)
    labels = dimension_columns()
    statement = select(Result.uid, x.value, x.lo, x.hi, y.value, y.lo, y.hi, *(labels[name] for name in _LABELS)).join(
        Result.machine_class
    )
    statement = narrowed(y.attach(x.attach(statement)), board, view).where(x.value.is_not(None), y.value.is_not(None))
    for found in (x, y):
        if found.only is not None:
            statement = statement.where(found.only)
    rows = session.execute(statement.order_by(Result.id.desc()).limit(MAX_POINTS + 1)).all()
    truncated = len(rows) > MAX_POINTS
    rows = rows[:MAX_POINTS]
    factors = (x_metric.factor,) * 3 + (y_metric.factor,) * 3
    numbers = [[_rounded(None if row[1 + i] is None else row[1 + i] * factors[i]) for row in rows] for i in range(6)]
    names = [[row[7 + i] for row in rows] for i in range(len(_LABELS))]
    reason = ""
    if "none" in (x_metric.direction, y_metric.direction):
        reason = "One of the axes has no better end."
    elif len(set(names[_LABELS.index("dataset")])) > 1:
        reason = "The points are from different datasets, which cannot be ranked together; choose one."
    line: list[int] = []
    if not reason:
        exact = [(row[1], row[4]) for row in rows]
        line = frontier(exact, cast(Direction, x_metric.direction), cast(Direction, y_metric.direction))
    slots = colour_slots(session, board, colour_dimension(board))
    sent = {
        "board": board.name,
        "n": len(rows),
        "truncated": truncated,
        "frontier": line,
        "frontier_reason": reason,
        "x": {"metric": view.x, "unit": x_metric.shown, "direction": x_metric.direction},
        "y": {"metric": view.y, "unit": y_metric.shown, "direction": y_metric.direction},
        "color": colour_dimension(board),
        "slots": slots,
        "columns": {
            "id": [row[0][:_ID_DIGITS] for row in rows],
            "x": numbers[0],
            "x_lo": numbers[1],
            "x_hi": numbers[2],
            "y": numbers[3],
            "y_lo": numbers[4],
            "y_hi": numbers[5],
            **{name: _dictionary(names[i]) for i, name in enumerate(_LABELS)},
        },
    }

    def point(i: int) -> dict[str, Any]:
        return {
            "id": rows[i][0],
            "x": numbers[0][i],
            "x_lo": numbers[1][i],
            "x_hi": numbers[2][i],
            "y": numbers[3][i],
            "y_lo": numbers[4][i],
            "y_hi": numbers[5][i],
            **{name: names[k][i] for k, name in enumerate(_LABELS)},
        }

    drawn = [point(i) for i in range(min(len(rows), _DRAWN_ON_SERVER))]
    overview = {
        "n": len(rows),
        "truncated": truncated,
        "reason": reason,
        "frontier": [point(i) for i in line[:500]],
        "drawn": drawn,
    }
    return sent, overview


def points(database: Database, board_name: str, view: View) -> Points:
    """Return the points of a view, from the cache where the board has not changed since."""
    with database.reading() as session:
        board = get_board(session, board_name)
        revision, board_id, identity = board.stat.revision, board.id, view.identity
        etag = f'"{board.name}-{revision}-{identity[:16]}"'
        cached = session.get(PointsCache, (board_id, identity))
        if cached is not None and cached.revision == revision:
            return Points(cached.body, cached.overview, etag)
        sent, overview = compute(session, board, view)
    body = gzip.compress(json.dumps(sent, separators=(",", ":")).encode(), 6, mtime=0)
    _remember(database, board_id, identity, revision, body, overview)
    return Points(body, overview, etag)


def _remember(
    database: Database, board_id: int, identity: str, revision: int, body: bytes, overview: dict[str, Any]
) -> None:
    try:
        with database.writing() as session:
            session.execute(
                delete(PointsCache).where(PointsCache.board_id == board_id, PointsCache.revision < revision)
            )
            held = (
                session.scalar(select(func.count()).select_from(PointsCache).where(PointsCache.board_id == board_id))
                or 0
            )
            if held < _CACHED_PER_BOARD:
                session.merge(
                    PointsCache(
                        board_id=board_id,
                        filter_hash=identity,
                        revision=revision,
                        body=body,
                        overview=overview,
                        created_at=now(),
                    )
                )
    except (IntegrityError, OperationalError):
        # Another request stored the same points, or a long write holds the lock: the answer is right
        # without a cache.
        return
