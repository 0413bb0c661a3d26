# SPDX-License-Identifier: Apache-2.0
"""From a dashboard component to a board."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from codereef_portal.boards.counts import rebuild
from codereef_portal.boards.models import Board, BoardStat


def publish_board(session: Session, component_id: int, manifest: Mapping[str, Any]) -> None:
    """Make or change the board of a dashboard component, in the caller's transaction."""
    board = session.scalar(select(Board).where(Board.name == manifest["name"]))
    fresh = board is None
    if board is None:
        board = Board(
            name=manifest["name"],
            component_id=component_id,
            stat=BoardStat(results=0, machines=0, revision=0),
        )
        session.add(board)
    retasked = fresh or board.task != manifest["task"]
    board.version, board.task, board.summary = manifest["version"], manifest["task"], manifest["summary"]
    board.description, board.x, board.y = manifest.get("description", ""), manifest["x"], manifest["y"]
    board.color = manifest.get("color", "runtime")
    board.metrics, board.columns = dict(manifest["metrics"]), list(manifest["columns"])
    session.flush()
    if retasked:
        rebuild(session, board)
    else:
        board.stat.revision += 1
