# SPDX-License-Identifier: Apache-2.0
"""What a portal can be told: where its data lies, what it listens on and which components it starts with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MAX_UPLOAD_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class ComponentSource:
    """One component version handed to the portal.

    Attributes:
        manifest: its validated `cr.json`.
        digest: `sha256:` over the component's folder.
        readme: Markdown text of its README, or None.
    """

    manifest: Mapping[str, Any]
    digest: str
    readme: str | None = None


@dataclass(frozen=True)
class Settings:
    """Settings of one portal.

    Attributes:
        database: path of an SQLite file, or an SQLAlchemy URL such as `postgresql+psycopg://...`.
        host: address to listen on.
        port: TCP port; 0 takes a free one.
        components: component versions published when the portal starts.
        max_upload_bytes: largest accepted result document.
        public_url: address people reach the portal at, without a trailing slash; None uses the request's own.
    """

    database: str | Path
    host: str = "127.0.0.1"
    port: int = 8642
    components: Iterable[ComponentSource] = field(default=(), repr=False)
    max_upload_bytes: int = MAX_UPLOAD_BYTES
    public_url: str | None = None

    @property
    def database_url(self) -> str:
        """The database as an SQLAlchemy URL."""
        text = str(self.database)
        return text if "://" in text else f"sqlite:///{Path(text).expanduser().absolute()}"
