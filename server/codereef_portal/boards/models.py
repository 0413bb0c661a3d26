# SPDX-License-Identifier: Apache-2.0
"""Tables of boards, their counts by facet and their cached points."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, ForeignKey, LargeBinary, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from codereef_portal.db import Base, BigId, UtcDateTime


class Board(Base):
    """A dashboard component made servable: the results of one task, and the axes to see them on."""

    __tablename__ = "board"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    name: Mapped[str] = mapped_column(String(80), unique=True)
    version: Mapped[str] = mapped_column(String(60))
    component_id: Mapped[int] = mapped_column(ForeignKey("component.id"), index=True)
    task: Mapped[str] = mapped_column(String(80), index=True)
    summary: Mapped[str] = mapped_column(String(200))
    description: Mapped[str] = mapped_column(Text)
    x: Mapped[str] = mapped_column(String(80))
    y: Mapped[str] = mapped_column(String(80))
    color: Mapped[str] = mapped_column(String(80))
    metrics: Mapped[dict[str, Any]] = mapped_column(JSON)
    columns: Mapped[list[str]] = mapped_column(JSON)
    stat: Mapped[BoardStat] = relationship(lazy="joined", innerjoin=True)


class BoardStat(Base):
    """Counts of a board; `revision` grows with every change and dates the cached points."""

    __tablename__ = "board_stat"

    board_id: Mapped[int] = mapped_column(ForeignKey("board.id"), primary_key=True)
    results: Mapped[int] = mapped_column(BigInteger)
    machines: Mapped[int] = mapped_column(BigInteger)
    revision: Mapped[int] = mapped_column(BigInteger)
    latest_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class Facet(Base):
    """How many shown results of a board have one value; ids grow, so the oldest value keeps its colour."""

    __tablename__ = "facet"
    __table_args__ = (UniqueConstraint("board_id", "dimension", "value"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    board_id: Mapped[int] = mapped_column(ForeignKey("board.id"))
    dimension: Mapped[str] = mapped_column(String(20))
    value: Mapped[str] = mapped_column(String(300))
    n: Mapped[int] = mapped_column(BigInteger)


class PointsCache(Base):
    """The points of one board under one filter, as sent (columnar JSON, gzip), and what a page shows of
    them."""

    __tablename__ = "points_cache"

    board_id: Mapped[int] = mapped_column(ForeignKey("board.id"), primary_key=True)
    filter_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    revision: Mapped[int] = mapped_column(BigInteger)
    body: Mapped[bytes] = mapped_column(LargeBinary)
    overview: Mapped[dict[str, Any]] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
