# SPDX-License-Identifier: Apache-2.0
"""Tables of results, machines, uploads, flags and the audit log.

`result` is wide: the metrics all boards share are real columns with indexes, so that a page of a board
never reads a document. The document itself lies compressed in its own table, so that scans stay narrow.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    String,
    Text,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from codereef_portal.db import Base, BigId, UtcDateTime

STATUSES = ("ok", "failed", "crashed", "timeout", "out-of-memory", "interrupted")
STATES = ("accepted", "flagged", "hidden", "takedown")


class MachineClass(Base):
    """Machines of one sort, by the digest of their facts."""

    __tablename__ = "machine_class"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    digest: Mapped[str] = mapped_column(String(71), unique=True)
    facts: Mapped[dict[str, Any]] = mapped_column(JSON)
    label: Mapped[str] = mapped_column(String(200), index=True)
    cpu: Mapped[str] = mapped_column(String(200), index=True)
    arch: Mapped[str] = mapped_column(String(80))
    os: Mapped[str] = mapped_column(String(200))
    accelerator: Mapped[str] = mapped_column(String(200))
    cores: Mapped[int | None] = mapped_column(Integer)
    memory: Mapped[int | None] = mapped_column(BigInteger)
    first_seen: Mapped[datetime] = mapped_column(UtcDateTime)


class Result(Base):
    """One uploaded measurement. Units: seconds, 1/s, bytes; accuracy by `accuracy_metric`."""

    __tablename__ = "result"
    __table_args__ = (
        Index("ix_result_task_state_status_id", "task", "state", "status", "id"),
        Index("ix_result_task_state_latency_p50_id", "task", "state", "latency_p50", "id"),
        Index("ix_result_task_state_latency_p90_id", "task", "state", "latency_p90", "id"),
        Index("ix_result_task_state_latency_p99_id", "task", "state", "latency_p99", "id"),
        Index("ix_result_task_state_throughput_id", "task", "state", "throughput", "id"),
        Index("ix_result_task_state_accuracy_id", "task", "state", "accuracy", "id"),
        Index("ix_result_task_state_peak_rss_id", "task", "state", "peak_rss", "id"),
        Index("ix_result_task_state_model_size_id", "task", "state", "model_size", "id"),
        Index("ix_result_task_state_load_time_id", "task", "state", "load_time", "id"),
        Index("ix_result_state_id", "state", "id"),
        Index("ix_result_solution_id", "solution", "id"),
        Index("ix_result_model_id", "model", "id"),
        Index("ix_result_comparability_latency_p50", "comparability", "latency_p50"),
        Index("ix_result_machine_class_id_id", "machine_class_id", "id"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    uid: Mapped[str] = mapped_column(String(64), unique=True)
    received_at: Mapped[datetime] = mapped_column(UtcDateTime)
    started_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    ended_at: Mapped[datetime] = mapped_column(UtcDateTime)
    publisher_id: Mapped[int | None] = mapped_column(ForeignKey("publisher.id"), index=True)
    action: Mapped[str] = mapped_column(String(20))
    status: Mapped[str] = mapped_column(String(20))
    state: Mapped[str] = mapped_column(String(20))
    trust: Mapped[int] = mapped_column(SmallInteger, default=0)
    solution: Mapped[str] = mapped_column(String(150))
    solution_name: Mapped[str] = mapped_column(String(100), index=True)
    solution_digest: Mapped[str] = mapped_column(String(71))
    configuration: Mapped[str] = mapped_column(String(400))
    lock_digest: Mapped[str] = mapped_column(String(71), index=True)
    task: Mapped[str] = mapped_column(String(80))
    model: Mapped[str] = mapped_column(String(200))
    precision: Mapped[str] = mapped_column(String(40))
    dataset: Mapped[str] = mapped_column(String(300))
    runtime_name: Mapped[str] = mapped_column(String(80))
    runtime_version: Mapped[str] = mapped_column(String(60))
    scenario: Mapped[str] = mapped_column(String(60))
    target: Mapped[str] = mapped_column(String(80))
    comparability: Mapped[str] = mapped_column(String(71))
    machine_class_id: Mapped[int] = mapped_column(ForeignKey("machine_class.id"))
    machine_instance: Mapped[str] = mapped_column(String(120), index=True)
    client_version: Mapped[str] = mapped_column(String(60))
    latency_p50: Mapped[float | None] = mapped_column(Float)
    latency_p50_lo: Mapped[float | None] = mapped_column(Float)
    latency_p50_hi: Mapped[float | None] = mapped_column(Float)
    latency_p90: Mapped[float | None] = mapped_column(Float)
    latency_p99: Mapped[float | None] = mapped_column(Float)
    throughput: Mapped[float | None] = mapped_column(Float)
    accuracy: Mapped[float | None] = mapped_column(Float)
    accuracy_lo: Mapped[float | None] = mapped_column(Float)
    accuracy_hi: Mapped[float | None] = mapped_column(Float)
    accuracy_metric: Mapped[str | None] = mapped_column(String(60))
    peak_rss: Mapped[float | None] = mapped_column(Float)
    load_time: Mapped[float | None] = mapped_column(Float)
    model_size: Mapped[float | None] = mapped_column(Float)
    machine_class: Mapped[MachineClass] = relationship(lazy="joined", innerjoin=True)


class ResultDocument(Base):
    """The document as uploaded: canonical JSON, gzip."""

    __tablename__ = "result_document"

    result_id: Mapped[int] = mapped_column(ForeignKey("result.id"), primary_key=True)
    body: Mapped[bytes] = mapped_column(LargeBinary)
    size: Mapped[int] = mapped_column(Integer)


class ResultMetric(Base):
    """A metric without a column of its own."""

    __tablename__ = "result_metric"
    __table_args__ = (Index("ix_result_metric_name_value", "name", "value"),)

    result_id: Mapped[int] = mapped_column(ForeignKey("result.id"), primary_key=True)
    name: Mapped[str] = mapped_column(String(80), primary_key=True)
    value: Mapped[float | None] = mapped_column(Float)
    lo: Mapped[float | None] = mapped_column(Float)
    hi: Mapped[float | None] = mapped_column(Float)
    unit: Mapped[str] = mapped_column(String(40))
    direction: Mapped[str] = mapped_column(String(10))


class ResultComponent(Base):
    """A component version that a result was measured with."""

    __tablename__ = "result_component"
    __table_args__ = (Index("ix_result_component_kind_name_result_id", "kind", "name", "result_id"),)

    result_id: Mapped[int] = mapped_column(ForeignKey("result.id"), primary_key=True)
    reference: Mapped[str] = mapped_column(String(170), primary_key=True)
    kind: Mapped[str] = mapped_column(String(20))
    name: Mapped[str] = mapped_column(String(80))
    digest: Mapped[str] = mapped_column(String(71), index=True)
    version_id: Mapped[int | None] = mapped_column(ForeignKey("component_version.id"), index=True)


class Upload(Base):
    """One upload attempt that was accepted: what came, when, and whether it was new."""

    __tablename__ = "upload"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    result_id: Mapped[int] = mapped_column(ForeignKey("result.id"), index=True)
    idempotency_key: Mapped[str | None] = mapped_column(String(120), unique=True)
    received_at: Mapped[datetime] = mapped_column(UtcDateTime)
    created: Mapped[bool]


class Flag(Base):
    """A reason to doubt a result, found by the portal or reported by a person."""

    __tablename__ = "flag"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    result_id: Mapped[int] = mapped_column(ForeignKey("result.id"), index=True)
    reason: Mapped[str] = mapped_column(String(80), index=True)
    detail: Mapped[str] = mapped_column(Text)
    raised_at: Mapped[datetime] = mapped_column(UtcDateTime)
    resolved_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class Audit(Base):
    """What was done or refused, by whom."""

    __tablename__ = "audit"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    actor: Mapped[str] = mapped_column(String(80))
    action: Mapped[str] = mapped_column(String(80), index=True)
    subject: Mapped[str] = mapped_column(String(200), index=True)
    detail: Mapped[dict[str, Any]] = mapped_column(JSON)


class Counter(Base):
    """A number shown on the home page, kept in the transaction that changes it."""

    __tablename__ = "counter"

    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    n: Mapped[int] = mapped_column(BigInteger)
