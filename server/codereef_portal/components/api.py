# SPDX-License-Identifier: Apache-2.0
"""Components over HTTP."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel

from codereef_portal.components import service
from codereef_portal.components.models import Component, ComponentVersion
from codereef_portal.http import Cursor, IfNoneMatch, Limit, Name, ReadSession, Word, fresh
from codereef_portal.problems import responses

router = APIRouter(tags=["components"])
Kind = Literal["soft", "package", "model", "dataset", "program", "target", "solution", "dashboard"]


class ComponentBrief(BaseModel):
    """A component in a list."""

    kind: str
    name: str
    version: str
    summary: str
    license: str
    task: str | None
    updated_at: datetime


class ComponentPage(BaseModel):
    """One page of components."""

    components: list[ComponentBrief]
    next_cursor: str | None


class VersionBrief(BaseModel):
    """One version of a component."""

    version: str
    digest: str
    state: str
    state_reason: str
    published_at: datetime


class ComponentDetail(ComponentBrief):
    """A component with its versions, newest first."""

    versions: list[VersionBrief]


class FileDetail(BaseModel):
    """A file that a version declares."""

    name: str
    sha256: str
    size: int
    role: str | None


class VersionDetail(VersionBrief):
    """One version with its manifest, its README and its files."""

    kind: str
    name: str
    manifest: dict[str, Any]
    readme: str | None
    files: list[FileDetail]


def _brief(row: Component) -> ComponentBrief:
    return ComponentBrief(
        kind=row.kind,
        name=row.name,
        version=row.latest_version,
        summary=row.summary,
        license=row.license,
        task=row.task,
        updated_at=row.updated_at,
    )


def _version(row: ComponentVersion) -> VersionBrief:
    return VersionBrief(
        version=row.version,
        digest=row.digest,
        state=row.state,
        state_reason=row.state_reason,
        published_at=row.published_at,
    )


@router.get("/components", responses=responses())
def list_components(
    session: ReadSession,
    q: Annotated[
        str, Query(max_length=200, pattern="^[^\x00]*$", description="Words to look for; ranked, not paged")
    ] = "",
    kind: Annotated[Kind | None, Query()] = None,
    tag: Word = "",
    cursor: Cursor = None,
    limit: Limit = 50,
) -> ComponentPage:
    """List or search components."""
    if q.strip():
        return ComponentPage(
            components=[_brief(row) for row in service.search(session, q, kind, tag)[:limit]],
            next_cursor=None,
        )
    page = service.list_components(session, kind, tag, cursor, limit)
    return ComponentPage(components=[_brief(row) for row in page.rows], next_cursor=page.next_cursor)


@router.get("/components/{kind}/{name}", responses=responses(404))
def get_component(session: ReadSession, kind: Kind, name: Name) -> ComponentDetail:
    """Return a component with its versions."""
    component = service.get_component(session, kind, name)
    versions = [_version(row) for row in service.list_versions(session, component)]
    return ComponentDetail(**_brief(component).model_dump(), versions=versions)


@router.get(
    "/components/{kind}/{name}/{version}",
    response_model=VersionDetail,
    responses={**responses(404), 304: {"description": "Not changed"}},
)
def get_version(
    session: ReadSession,
    response: Response,
    kind: Kind,
    name: Name,
    version: Name,
    if_none_match: IfNoneMatch = None,
) -> Any:
    """Return one version: manifest, README and files."""
    row = service.get_version(session, service.get_component(session, kind, name), version)
    etag = f'"{row.digest}-{row.state}"'
    if if_none_match == etag:
        return fresh(etag)
    response.headers["ETag"] = etag
    files = [FileDetail(name=file.name, sha256=file.sha256, size=file.size, role=file.role) for file in row.files]
    return VersionDetail(
        **_version(row).model_dump(),
        kind=kind,
        name=name,
        manifest=row.manifest,
        readme=row.readme,
        files=files,
    )
