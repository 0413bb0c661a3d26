# SPDX-License-Identifier: Apache-2.0
"""What the HTTP handlers of every domain share: sessions, parameters and small answers."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from typing import Annotated

from fastapi import Depends, Header, Path, Query, Request, Response
from sqlalchemy.orm import Session

from codereef_portal.db import Database
from codereef_portal.paging import MAX_LIMIT

_NO_NUL = "^[^\x00]*$"


def database_of(request: Request) -> Database:
    """Return the database of the application that a request came to."""
    database: Database = request.app.state.database
    return database


def _session(request: Request) -> Iterator[Session]:
    with database_of(request).reading() as session:
        yield session


ReadSession = Annotated[Session, Depends(_session)]
Cursor = Annotated[str | None, Query(max_length=400, pattern=_NO_NUL, description="`next_cursor` of the page before")]
Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Rows on a page")]
Word = Annotated[str, Query(max_length=300, pattern=_NO_NUL)]
Name = Annotated[str, Path(max_length=300, pattern=_NO_NUL)]
IfNoneMatch = Annotated[str | None, Header(description="ETag of the copy the client holds")]


def fresh(etag: str) -> Response:
    """Answer that the client's copy is still right."""
    return Response(status_code=304, headers={"ETag": etag})


def gzipped(request: Request, body: bytes, media_type: str, headers: dict[str, str]) -> Response:
    """Answer with a body stored under gzip, unpacked only for a client that does not take gzip."""
    headers = {**headers, "Vary": "Accept-Encoding"}
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(body, media_type=media_type, headers={**headers, "Content-Encoding": "gzip"})
    return Response(gzip.decompress(body), media_type=media_type, headers=headers)
