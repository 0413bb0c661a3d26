# SPDX-License-Identifier: Apache-2.0
"""The counts of a board, changed in the very transaction that changes its results."""

from __future__ import annotations

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from codereef_portal.boards.models import Board, BoardStat, Facet, PointsCache
from codereef_portal.db import Base, insert_or_add
from codereef_portal.results.models import MachineClass, Result

DIMENSIONS = (
    "model",
    "precision",
    "dataset",
    "runtime",
    "machine",
    "target",
    "scenario",
    "solution",
    "status",
)

_FACETS = Base.metadata.tables[Facet.__tablename__]


def runtime_label(name: str, version: str) -> str:
    """Return how a runtime is named in filters."""
    return f"{name} {version}"


def _values(result: Result) -> dict[str, str]:
    return {
        "model": result.model,
        "precision": result.precision,
        "dataset": result.dataset,
        "runtime": runtime_label(result.runtime_name, result.runtime_version),
        "machine": result.machine_class.label,
        "target": result.target,
        "scenario": result.scenario,
        "solution": result.solution_name,
        "status": result.status,
    }


def _add(session: Session, board_id: int, result: Result) -> bool:
    """Count one accepted result; return whether its machine class is new on the board."""
    for dimension, value in sorted(_values(result).items()):
        insert_or_add(
            session,
            _FACETS,
            ["board_id", "dimension", "value"],
            {"board_id": board_id, "dimension": dimension, "value": value},
            {"n": 1},
        )
    return not session.scalar(
        select(Result.id)
        .where(
            Result.machine_class_id == result.machine_class_id,
            Result.task == result.task,
            Result.state == "accepted",
            Result.id != result.id,
        )
        .limit(1)
    )


def add_result(session: Session, result: Result) -> None:
    """Count a new result on every board of its task; a flagged one only dates the caches."""
    boards = session.scalars(select(Board.id).where(Board.task == result.task).order_by(Board.id))
    for board_id in boards.all():
        accepted = result.state == "accepted"
        new_machine = _add(session, board_id, result) if accepted else False
        session.execute(
            update(BoardStat)
            .where(BoardStat.board_id == board_id)
            .values(
                revision=BoardStat.revision + 1,
                results=BoardStat.results + int(accepted),
                machines=BoardStat.machines + int(new_machine),
                latest_at=result.received_at,
            )
        )


def rebuild(session: Session, board: Board) -> None:
    """Count a board anew from its results: for a new board, or one whose task changed."""
    session.execute(delete(Facet).where(Facet.board_id == board.id))
    session.execute(delete(PointsCache).where(PointsCache.board_id == board.id))
    shown = (Result.task == board.task, Result.state == "accepted")
    columns = {
        "model": Result.model,
        "precision": Result.precision,
        "dataset": Result.dataset,
        "runtime": Result.runtime_name + " " + Result.runtime_version,
        "machine": MachineClass.label,
        "target": Result.target,
        "scenario": Result.scenario,
        "solution": Result.solution_name,
        "status": Result.status,
    }
    for dimension, column in sorted(columns.items()):
        statement = (
            select(column, func.count(), func.min(Result.id).label("first"))
            .where(*shown)
            .group_by(column)
            .order_by("first")
        )
        if dimension == "machine":
            statement = statement.join(Result.machine_class)
        for value, n, _first in session.execute(statement):
            session.add(Facet(board_id=board.id, dimension=dimension, value=value, n=n))
            session.flush()
    results, machines, latest = session.execute(
        select(func.count(), func.count(Result.machine_class_id.distinct()), func.max(Result.received_at)).where(*shown)
    ).one()
    stat = board.stat
    stat.results, stat.machines, stat.latest_at, stat.revision = results, machines, latest, stat.revision + 1
