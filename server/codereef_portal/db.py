# SPDX-License-Identifier: Apache-2.0
"""The database: declarative base, engine, sessions and the migrations run at start.

The SQL is portable: SQLite is the default, PostgreSQL is tested. A writing transaction takes SQLite's write
lock
at its beginning, so that a read followed by a write cannot fail half-way on a lock held by another process.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from codereef.errors import StorageError
from sqlalchemy import (
    BigInteger,
    Connection,
    DateTime,
    Engine,
    Integer,
    MetaData,
    Table,
    create_engine,
    event,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import DeclarativeBase, Session
from sqlalchemy.types import TypeDecorator

MIGRATIONS = Path(__file__).resolve().parent / "migrations"
BigId = BigInteger().with_variant(Integer(), "sqlite")


class Base(DeclarativeBase):
    """Base of every table; constraint names are fixed so that later migrations can name them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class UtcDateTime(TypeDecorator[datetime]):
    """A moment in UTC, aware on the Python side on every database."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without its zone cannot be stored")
        return value.astimezone(timezone.utc)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=timezone.utc) if value.tzinfo is None else value.astimezone(timezone.utc)


def now() -> datetime:
    """Return this moment in UTC."""
    return datetime.now(timezone.utc)


def _prepare_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def on_connect(connection: Any, _record: object) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", "busy_timeout=15000"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        immediate = connection.get_execution_options().get("codereef_write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


class Database:
    """An engine with its sessions.

    Args:
        url: SQLAlchemy URL.
    """

    def __init__(self, url: str) -> None:
        self.engine = create_engine(url, pool_pre_ping=not url.startswith("sqlite"))
        if self.engine.dialect.name == "sqlite":
            _prepare_sqlite(self.engine)
        self._writing = self.engine.execution_options(codereef_write=True)

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Open a session that only reads."""
        with Session(self.engine) as session:
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """Open a session in one writing transaction; committed at the end, rolled back on any error."""
        with Session(self._writing) as session, session.begin():
            yield session

    def upgrade(self) -> None:
        """Bring the tables to the newest migration.

        Raises:
            StorageError: the database cannot be opened or written.
        """
        from alembic import command
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
        try:
            with self._writing.begin() as connection:
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
        except OperationalError as error:
            raise StorageError(
                f"The database {self.engine.url.render_as_string()} could not be opened: {error.orig}.",
                hint="Check that the folder exists and can be written, or that the server is running.",
            ) from error

    def close(self) -> None:
        """Close every pooled connection."""
        self.engine.dispose()


def insert_or_add(
    session: Session, table: Table, keys: Sequence[str], row: Mapping[str, object], add: Mapping[str, int]
) -> None:
    """Insert a row, or add to its counters where its key is already there, in one statement.

    Args:
        session: an open writing session.
        table: the table.
        keys: columns of its unique key.
        row: values of the key and of other columns that are set on insert only.
        add: counter columns and what to add; a new row starts with these.
    """
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    statement = insert(table).values(**row, **add)
    session.execute(
        statement.on_conflict_do_update(
            index_elements=list(keys), set_={name: table.c[name] + amount for name, amount in add.items()}
        )
    )
