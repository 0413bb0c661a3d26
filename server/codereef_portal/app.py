# SPDX-License-Identifier: Apache-2.0
"""The application: settings in, a FastAPI application out; nothing is global."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import codereef
from codereef.errors import NotFoundError
from codereef.meta.schemas import SCHEMA_NAMES, load_schema
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel
from sqlalchemy import text
from starlette.middleware.gzip import GZipMiddleware

from codereef_portal import problems
from codereef_portal.boards import api as boards_api
from codereef_portal.components import api as components_api
from codereef_portal.components.service import sync_components
from codereef_portal.db import Database
from codereef_portal.http import Name, database_of
from codereef_portal.problems import Problem, responses
from codereef_portal.results import api as results_api
from codereef_portal.security import SecurityHeaders
from codereef_portal.settings import Settings
from codereef_portal.web.pages import router as pages
from codereef_portal.web.render import make_templates

log = logging.getLogger(__name__)
STATIC = Path(__file__).resolve().parent / "web" / "static"
system = APIRouter(tags=["system"])


class Health(BaseModel):
    """State of the portal."""

    status: str
    version: str


@system.get("/healthz", responses=responses())
def healthz() -> Health:
    """Tell that the process answers."""
    return Health(status="ok", version=codereef.__version__)


@system.get("/readyz", responses=responses(503))
def readyz(request: Request) -> Health:
    """Tell that the database answers, too."""
    try:
        with database_of(request).reading() as session:
            session.execute(text("SELECT n FROM counter LIMIT 1"))
    except Exception as error:
        raise problems.PortalError(503, "The database does not answer.", hint="See the portal's log.") from error
    return Health(status="ok", version=codereef.__version__)


@system.get(
    "/schemas/{name}",
    response_class=JSONResponse,
    responses={**responses(404), 200: {"content": {"application/json": {"schema": {"type": "object"}}}}},
)
def get_schema(name: Name) -> Response:
    """Return one of the published JSON Schemas: a kind, `lock`, `result` or `common`."""
    if name not in SCHEMA_NAMES:
        raise NotFoundError(f"No schema {name[:80]} is published.", hint=f"There are {', '.join(SCHEMA_NAMES)}.")
    return JSONResponse(load_schema(name), media_type="application/schema+json")


def _openapi(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            routes=app.routes,
            openapi_version="3.1.0",
        )
        schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        schemas.update(schema.pop("$defs", {}))
        schemas["Problem"] = schema
        app.openapi_schema = document
    return app.openapi_schema


def create_app(settings: Settings) -> FastAPI:
    """Make the application: upgrade the database, publish the components handed over, mount pages and API.

    Args:
        settings: what the portal is told; its `components` are read once.

    Raises:
        StorageError: the database cannot be opened or written.
    """
    database = Database(settings.database_url)
    database.upgrade()
    with database.writing() as session:
        synced = sync_components(session, settings.components)
    for reference in synced.refused:
        log.warning(
            "%s is published with another digest and stays; give the changed component a new version",
            reference,
        )

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        database.close()

    app = FastAPI(
        title="CodeReef portal",
        version="1",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/v1/openapi.json",
        description="Components and results. Errors are problem documents (RFC 9457), lists go by cursor.",
    )
    app.state.settings, app.state.database, app.state.templates = settings, database, make_templates()
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    problems.install(app)
    for router in (components_api.router, results_api.router, boards_api.router, system):
        app.include_router(router, prefix="/api/v1")
    app.include_router(pages, include_in_schema=False)
    app.include_router(system, include_in_schema=False)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    app.add_middleware(GZipMiddleware, minimum_size=1000, compresslevel=5)
    app.add_middleware(SecurityHeaders)
    return app
