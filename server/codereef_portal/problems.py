# SPDX-License-Identifier: Apache-2.0
"""Errors as `application/problem+json` (RFC 9457) under `/api/`, and as a page elsewhere."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from codereef.errors import CrError, MetadataError, NotFoundError, UsageError
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

log = logging.getLogger(__name__)
MEDIA_TYPE = "application/problem+json"


class ProblemItem(BaseModel):
    """One thing wrong in a document or a parameter."""

    path: str = Field(description="JSON path in the document, or the parameter's name")
    message: str
    hint: str = ""


class Problem(BaseModel):
    """A problem document (RFC 9457)."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    hint: str = ""
    instance: str = Field(description="Id to quote in a report")
    errors: list[ProblemItem] = []


class PortalError(Exception):
    """An answer other than success, with the words for it.

    Args:
        status: HTTP status.
        detail: what was asked and why it is refused.
        hint: what to do.
        errors: what is wrong where.
    """

    def __init__(self, status: int, detail: str, *, hint: str = "", errors: Sequence[ProblemItem] = ()) -> None:
        super().__init__(detail)
        self.status, self.detail, self.hint, self.errors = status, detail, hint, list(errors)


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI description of error answers with these statuses."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        status: {"description": HTTPStatus(status).phrase, "content": content}
        for status in sorted({*statuses, 422, 400})
    }


def _answer(request: Request, error: PortalError) -> Response:
    instance = secrets.token_hex(6)
    if error.status >= 500:
        log.error("problem %s: %s %s", instance, request.method, request.url.path, exc_info=error.__cause__)
    problem = Problem(
        title=HTTPStatus(error.status).phrase,
        status=error.status,
        detail=error.detail,
        hint=error.hint,
        instance=f"urn:codereef:problem:{instance}",
        errors=error.errors,
    )
    if request.url.path.startswith("/api/"):
        return JSONResponse(problem.model_dump(), error.status, media_type=MEDIA_TYPE)
    from codereef_portal.web.render import error_page

    return error_page(request, problem)


def _from_cr_error(error: CrError) -> PortalError:
    found = error.context.get("problems")
    items = [ProblemItem(**item) for item in found] if isinstance(found, list) else []
    status = (
        404
        if isinstance(error, NotFoundError)
        else 422
        if isinstance(error, MetadataError)
        else 400
        if isinstance(error, UsageError)
        else 500
    )
    return PortalError(status, error.message, hint=error.hint, errors=items)


def install(app: FastAPI) -> None:
    """Register the handlers on an application."""

    @app.exception_handler(PortalError)
    async def on_portal_error(request: Request, error: PortalError) -> Response:
        return _answer(request, error)

    @app.exception_handler(CrError)
    async def on_cr_error(request: Request, error: CrError) -> Response:
        return _answer(request, _from_cr_error(error))

    @app.exception_handler(HTTPException)
    async def on_http_error(request: Request, error: HTTPException) -> Response:
        hint = "Look for it by name with the search." if error.status_code == 404 else ""
        answer = _answer(
            request,
            PortalError(error.status_code, f"{request.method} {request.url.path}: {error.detail}.", hint=hint),
        )
        answer.headers.update(error.headers or {})
        return answer

    @app.exception_handler(RequestValidationError)
    async def on_bad_request(request: Request, error: RequestValidationError) -> Response:
        items = [
            ProblemItem(path=".".join(str(part) for part in item["loc"]), message=str(item["msg"]))
            for item in error.errors()
        ]
        return _answer(request, PortalError(422, "The request has parameters that cannot be used.", errors=items))

    @app.exception_handler(Exception)
    async def on_failure(request: Request, error: Exception) -> Response:
        wrapped = PortalError(
            500,
            "The portal failed to answer; nothing was changed.",
            hint="Try again, and quote the id if it stays.",
        )
        wrapped.__cause__ = error
        return _answer(request, wrapped)
