# SPDX-License-Identifier: Apache-2.0
"""Tables of publishers, components, versions, files and declared dependencies."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Boolean, ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from codereef_portal.db import Base, BigId, UtcDateTime

STATES = ("active", "deprecated", "yanked", "quarantined")


class Publisher(Base):
    """Who a component or a result belongs to: a namespace, later with accounts."""

    __tablename__ = "publisher"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    name: Mapped[str] = mapped_column(String(80), unique=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Component(Base):
    """A component by kind and name; the facts lists need are copied from its newest version."""

    __tablename__ = "component"
    __table_args__ = (UniqueConstraint("kind", "name"), Index("ix_component_kind_id", "kind", "id"))

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    publisher_id: Mapped[int] = mapped_column(ForeignKey("publisher.id"), index=True)
    kind: Mapped[str] = mapped_column(String(20))
    name: Mapped[str] = mapped_column(String(80), index=True)
    summary: Mapped[str] = mapped_column(String(200))
    task: Mapped[str | None] = mapped_column(String(80))
    license: Mapped[str] = mapped_column(String(120))
    latest_version: Mapped[str] = mapped_column(String(60))
    search_text: Mapped[str] = mapped_column(Text)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    versions: Mapped[list[ComponentVersion]] = relationship(back_populates="component")


class ComponentTag(Base):
    """A tag of a component's newest version."""

    __tablename__ = "component_tag"
    __table_args__ = (Index("ix_component_tag_tag_component_id", "tag", "component_id"),)

    component_id: Mapped[int] = mapped_column(ForeignKey("component.id"), primary_key=True)
    tag: Mapped[str] = mapped_column(String(80), primary_key=True)


class ComponentVersion(Base):
    """One version: the digest of (kind, name, version) never changes."""

    __tablename__ = "component_version"
    __table_args__ = (UniqueConstraint("component_id", "version"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    component_id: Mapped[int] = mapped_column(ForeignKey("component.id"), index=True)
    version: Mapped[str] = mapped_column(String(60))
    digest: Mapped[str] = mapped_column(String(71), index=True)
    manifest: Mapped[dict[str, Any]] = mapped_column(JSON)
    summary: Mapped[str] = mapped_column(String(200))
    license: Mapped[str] = mapped_column(String(120))
    readme: Mapped[str | None] = mapped_column(Text)
    state: Mapped[str] = mapped_column(String(20), default="active")
    state_reason: Mapped[str] = mapped_column(Text, default="")
    published_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    component: Mapped[Component] = relationship(back_populates="versions")
    files: Mapped[list[ComponentFile]] = relationship(order_by="ComponentFile.id")
    dependencies: Mapped[list[Dependency]] = relationship(order_by="Dependency.id")
    capabilities: Mapped[list[Capability]] = relationship(order_by="Capability.id")


class ComponentFile(Base):
    """A file that a version declares, with its checksum."""

    __tablename__ = "component_file"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    version_id: Mapped[int] = mapped_column(ForeignKey("component_version.id"), index=True)
    name: Mapped[str] = mapped_column(String(240))
    sha256: Mapped[str] = mapped_column(String(64), index=True)
    size: Mapped[int] = mapped_column(BigInteger)
    role: Mapped[str | None] = mapped_column(String(20))
    license: Mapped[str | None] = mapped_column(String(120))


class Dependency(Base):
    """A declared dependency: what a version asks for."""

    __tablename__ = "dependency"
    __table_args__ = (Index("ix_dependency_needs_version_id", "needs", "version_id"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    version_id: Mapped[int] = mapped_column(ForeignKey("component_version.id"), index=True)
    role: Mapped[str] = mapped_column(String(80))
    needs: Mapped[str] = mapped_column(String(120))
    constraint: Mapped[str | None] = mapped_column(String(200))
    optional: Mapped[bool] = mapped_column(Boolean, default=False)


class Capability(Base):
    """A capability that a version provides (package) or detects (soft)."""

    __tablename__ = "capability"
    __table_args__ = (Index("ix_capability_name_version_id", "name", "version_id"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    version_id: Mapped[int] = mapped_column(ForeignKey("component_version.id"), index=True)
    name: Mapped[str] = mapped_column(String(100))
    relation: Mapped[str] = mapped_column(String(20))
