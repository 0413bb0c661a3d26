# SPDX-License-Identifier: Apache-2.0
"""Alembic's entry: runs the migrations on the connection it is given, or on the URL of its configuration."""

from __future__ import annotations

from alembic import context
from codereef_portal.db import Base
from codereef_portal.tables import ALL_TABLES
from sqlalchemy import Connection, create_engine


def run(connection: Connection) -> None:
    """Run the migrations on an open connection."""
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        compare_type=True,
        render_as_batch=connection.dialect.name == "sqlite",
    )
    with context.begin_transaction():
        context.run_migrations()


assert set(Base.metadata.tables) >= ALL_TABLES
given = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    with create_engine(context.config.get_main_option("sqlalchemy.url") or "").begin() as opened:
        run(opened)
