# SPDX-License-Identifier: Apache-2.0
"""Publishing components and finding them again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from codereef.errors import NotFoundError
from codereef.meta.reference import needs_text
from packaging.version import Version
from sqlalchemy import delete, or_, select
from sqlalchemy.orm import Session

from codereef_portal.boards.publish import publish_board
from codereef_portal.components.models import (
    Capability,
    Component,
    ComponentFile,
    ComponentTag,
    ComponentVersion,
    Dependency,
    Publisher,
)
from codereef_portal.db import now
from codereef_portal.paging import Page, decode_cursor, encode_cursor
from codereef_portal.results.service import audit, count
from codereef_portal.settings import ComponentSource

_SEARCH_CAP = 1000
DEFAULT_PUBLISHER = "codereef"


@dataclass(frozen=True)
class Synced:
    """What became of the components handed over: references added, and refused for another digest."""

    added: tuple[str, ...]
    refused: tuple[str, ...]


def sync_components(session: Session, sources: Iterable[ComponentSource]) -> Synced:
    """Publish component versions that are not there yet.

    A version is immutable: one that is there with another digest is refused and the refusal goes to the
    audit log.

    Args:
        session: an open writing session.
        sources: component versions, in any order.
    """
    added: list[str] = []
    refused: list[str] = []
    publisher = session.scalar(select(Publisher).where(Publisher.name == DEFAULT_PUBLISHER))
    if publisher is None:
        publisher = Publisher(name=DEFAULT_PUBLISHER, created_at=now())
        session.add(publisher)
        session.flush()
    ordered = sorted(
        sources,
        key=lambda source: (
            source.manifest["kind"],
            source.manifest["name"],
            Version(source.manifest["version"]),
        ),
    )
    for source in ordered:
        kind, name, version = (str(source.manifest[key]) for key in ("kind", "name", "version"))
        reference = f"{kind}:{name}@{version}"
        existing = session.scalar(
            select(ComponentVersion.digest)
            .join(Component)
            .where(Component.kind == kind, Component.name == name, ComponentVersion.version == version)
        )
        if existing is None:
            _publish(session, publisher, source)
            added.append(reference)
        elif existing != source.digest:
            refused.append(reference)
            audit(session, "publish-refused", reference, {"published": existing, "offered": source.digest})
    return Synced(tuple(added), tuple(refused))


def _publish(session: Session, publisher: Publisher, source: ComponentSource) -> None:
    manifest = dict(source.manifest)
    kind, name, version = manifest["kind"], manifest["name"], manifest["version"]
    component = session.scalar(select(Component).where(Component.kind == kind, Component.name == name))
    moment = now()
    if component is None:
        component = Component(
            publisher_id=publisher.id,
            kind=kind,
            name=name,
            summary="",
            license="",
            latest_version=version,
            search_text="",
            updated_at=moment,
        )
        session.add(component)
        count(session, "components")
    newest = Version(version) >= Version(component.latest_version)
    if newest:
        tags = [str(tag) for tag in manifest.get("tags", [])]
        component.summary, component.license = manifest["summary"], manifest["license"]
        component.task, component.latest_version, component.updated_at = manifest.get("task"), version, moment
        component.search_text = " ".join([name, kind, manifest["summary"], manifest.get("task") or "", *tags]).lower()
        session.flush()
        session.execute(delete(ComponentTag).where(ComponentTag.component_id == component.id))
        session.add_all(ComponentTag(component_id=component.id, tag=tag) for tag in tags)
    row = ComponentVersion(
        component_id=component.id,
        version=version,
        digest=source.digest,
        manifest=manifest,
        summary=manifest["summary"],
        license=manifest["license"],
        readme=source.readme,
        published_at=moment,
        state="active",
    )
    session.add(row)
    session.flush()
    for file in manifest.get("files", []):
        session.add(
            ComponentFile(
                version_id=row.id,
                name=file["name"],
                sha256=file["sha256"],
                size=file["size"],
                role=file.get("role"),
                license=file.get("license"),
            )
        )
    for role, dependency in declared(manifest):
        session.add(
            Dependency(
                version_id=row.id,
                role=role,
                needs=needs_text(dependency["needs"]),
                constraint=dependency.get("version"),
                optional=dependency.get("optional", False),
            )
        )
    for relation, capability in (
        ("provides", (manifest.get("provides") or {}).get("capability")),
        ("detects", manifest.get("detects")),
    ):
        if capability:
            session.add(Capability(version_id=row.id, name=str(capability), relation=relation))
    if kind == "dashboard" and newest:
        publish_board(session, component.id, manifest)


def declared(manifest: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Return every dependency that a manifest declares as (role, dependency), the program and dashboard of
    a solution among them."""
    found: list[tuple[str, Mapping[str, Any]]] = list(manifest.get("deps", {}).items())
    if manifest.get("program"):
        found.insert(0, ("program", manifest["program"]))
    found.extend(
        (f"runtime {i + 1}", runtime) for i, runtime in enumerate(manifest.get("runtimes", [])) if "needs" in runtime
    )
    if isinstance(manifest.get("dashboard"), str):
        needs, _, version = manifest["dashboard"].partition("@")
        found.append(("dashboard", {"needs": needs, **({"version": f"=={version}"} if version else {})}))
    return found


def get_component(session: Session, kind: str, name: str) -> Component:
    """Return a component.

    Raises:
        NotFoundError: none of that kind and name.
    """
    component = session.scalar(select(Component).where(Component.kind == kind, Component.name == name))
    if component is None:
        raise NotFoundError(f"No component {kind}:{name} is here.", hint="Look for it by name with the search.")
    return component


def list_versions(session: Session, component: Component) -> list[ComponentVersion]:
    """Return the versions of a component, newest first."""
    rows = session.scalars(select(ComponentVersion).where(ComponentVersion.component_id == component.id))
    return sorted(rows, key=lambda row: Version(row.version), reverse=True)


def get_version(session: Session, component: Component, version: str | None = None) -> ComponentVersion:
    """Return one version of a component, the newest where none is named.

    Raises:
        NotFoundError: no such version.
    """
    wanted = version or component.latest_version
    row = session.scalar(
        select(ComponentVersion).where(
            ComponentVersion.component_id == component.id, ComponentVersion.version == wanted
        )
    )
    if row is None:
        raise NotFoundError(
            f"{component.kind}:{component.name} has no version {wanted[:60]}.",
            hint=f"The newest is {component.latest_version}.",
        )
    return row


def used_by(session: Session, component: Component, version: ComponentVersion, limit: int = 50) -> list[Component]:
    """Return the components whose newest version asks for this one, by name or by a capability it gives."""
    needs = [f"{component.kind}:{component.name}", *(capability.name for capability in version.capabilities)]
    return list(
        session.scalars(
            select(Component)
            .join(
                ComponentVersion,
                (ComponentVersion.component_id == Component.id)
                & (ComponentVersion.version == Component.latest_version),
            )
            .join(Dependency, Dependency.version_id == ComponentVersion.id)
            .where(Dependency.needs.in_(needs))
            .distinct()
            .order_by(Component.kind, Component.name)
            .limit(limit)
        )
    )


def providers(session: Session, capabilities: Sequence[str]) -> dict[str, list[tuple[str, str, str]]]:
    """Return, for each capability, the (relation, kind, name) of the components that provide or detect it."""
    found: dict[str, list[tuple[str, str, str]]] = {}
    rows = session.execute(
        select(Capability.name, Capability.relation, Component.kind, Component.name)
        .join(ComponentVersion, ComponentVersion.id == Capability.version_id)
        .join(Component, Component.id == ComponentVersion.component_id)
        .where(Capability.name.in_(list(capabilities)))
        .distinct()
        .order_by(Component.name)
    )
    for capability, relation, kind, name in rows:
        found.setdefault(capability, []).append((relation, kind, name))
    return found


def list_components(
    session: Session, kind: str | None, tag: str | None, cursor: str | None, limit: int
) -> Page[Component]:
    """Return one page of components, newest first."""
    statement = select(Component)
    if kind:
        statement = statement.where(Component.kind == kind)
    if tag:
        statement = statement.join(ComponentTag, ComponentTag.component_id == Component.id).where(
            ComponentTag.tag == tag
        )
    if cursor:
        statement = statement.where(Component.id < decode_cursor(cursor, int)[1])
    rows = list(session.scalars(statement.order_by(Component.id.desc()).limit(limit + 1)))
    return Page(rows[:limit], encode_cursor(0, rows[limit - 1].id) if len(rows) > limit else None)


def search(session: Session, query: str, kind: str | None = None, tag: str | None = None) -> list[Component]:
    """Return the components that hold every word of a query in name, kind, summary, task or tags, best first.

    An exact name stands first, then names that begin with the query, then names that hold a word, then the
    rest. At most 1,000 candidates are ranked.
    """
    words = query.lower().split()[:8]
    statement = select(Component)
    for word in words:
        statement = statement.where(Component.search_text.contains(word, autoescape=True))
    if kind:
        statement = statement.where(Component.kind == kind)
    if tag:
        statement = statement.join(ComponentTag, ComponentTag.component_id == Component.id).where(
            ComponentTag.tag == tag
        )
    if words:
        exact = or_(Component.name == query.lower().strip(), Component.name.in_(words))
        statement = statement.order_by(exact.desc())
    rows = session.scalars(statement.order_by(Component.kind != "solution", Component.name).limit(_SEARCH_CAP))
    whole = query.lower().strip()

    def rank(row: Component) -> tuple[int, bool, str]:
        if row.name == whole:
            level = 0
        elif whole and row.name.startswith(whole):
            level = 1
        elif any(word in row.name for word in words):
            level = 2
        else:
            level = 3
        return (level, row.kind != "solution", row.name)

    return sorted(rows, key=rank)
