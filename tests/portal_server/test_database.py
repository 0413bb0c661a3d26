# SPDX-License-Identifier: Apache-2.0
"""Migrations against models, query plans, and the whole road on a real PostgreSQL."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from codereef.errors import StorageError
from codereef_portal.app import create_app
from codereef_portal.db import Base, Database
from codereef_portal.settings import Settings
from codereef_portal.tables import ALL_TABLES
from fastapi.testclient import TestClient
from sqlalchemy import inspect, text

from tests.portal_server import factory

ON_BOARD = "result WHERE task = 't' AND state = 'accepted'"


def differences(database: Database) -> list[object]:
    with database.engine.connect() as connection:
        return list(
            compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), Base.metadata)
        )


def unindexed_foreign_keys(database: Database) -> list[str]:
    inspector = inspect(database.engine)
    found = []
    for table in inspector.get_table_names():
        starts = {index["column_names"][0] for index in inspector.get_indexes(table)}
        starts |= {constraint["column_names"][0] for constraint in inspector.get_unique_constraints(table)}
        starts |= set(inspector.get_pk_constraint(table)["constrained_columns"][:1])
        found += [
            f"{table}.{key['constrained_columns'][0]}"
            for key in inspector.get_foreign_keys(table)
            if key["constrained_columns"][0] not in starts
        ]
    return found


def test_the_migrations_make_exactly_the_models(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'p.db'}")
    database.upgrade()
    database.upgrade()
    assert differences(database) == []
    assert set(inspect(database.engine).get_table_names()) == ALL_TABLES | {"alembic_version"}
    assert unindexed_foreign_keys(database) == []
    database.close()


def test_a_database_that_cannot_be_opened_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="could not be opened"):
        create_app(Settings(database=tmp_path / "missing" / "p.db"))


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM result WHERE uid = 'x'",
        "SELECT * FROM result WHERE state = 'accepted' ORDER BY id DESC LIMIT 10",
        f"SELECT * FROM {ON_BOARD} AND latency_p50 IS NOT NULL ORDER BY latency_p50, id LIMIT 50",
        f"SELECT * FROM {ON_BOARD} AND accuracy IS NOT NULL ORDER BY accuracy DESC, id DESC LIMIT 50",
        "SELECT id FROM result WHERE comparability = 'x' AND latency_p50 > 0 ORDER BY latency_p50 LIMIT 12",
        "SELECT result_id FROM result_component WHERE kind = 'a' AND name = 'm' ORDER BY result_id DESC",
        "SELECT * FROM facet WHERE board_id = 1",
        "SELECT * FROM dependency WHERE needs = 'lib.x'",
        "SELECT * FROM component WHERE kind = 'model' AND name = 'm'",
    ],
)
def test_no_query_of_a_page_scans_a_whole_table(query: str, tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'p.db'}")
    database.upgrade()
    with database.reading() as session:
        plan = [row[3] for row in session.execute(text(f"EXPLAIN QUERY PLAN {query}"))]
    assert all(line.startswith("SEARCH") and "INDEX" in line for line in plan), plan
    database.close()


@pytest.mark.slow
def test_the_portal_does_the_same_on_postgresql(postgres: str, tmp_path: Path) -> None:
    on_sqlite, on_postgres = (
        replace(Settings(database=""), database=where, components=factory.components())
        for where in (tmp_path / "p.db", postgres)
    )
    paths = [
        "/api/v1/boards/object-detection/points",
        "/api/v1/boards/object-detection/frontier?precision=int8",
        "/api/v1/boards/object-detection/points?y=throughput&dataset=all",
    ]
    pages = [
        "/",
        "/b/object-detection?sort=mAP",
        "/b/object-detection?model=nothing",
        "/s/demo-object-detection",
        "/c/model/shapes-ssd",
        "/search?q=ssd",
        "/components",
    ]
    answers = []
    for settings in (on_sqlite, on_postgres):
        with TestClient(create_app(settings)) as client:
            database = client.app.state.database  # type: ignore[attr-defined]
            assert differences(database) == []
            assert unindexed_foreign_keys(database) == []
            for document in factory.crowd():
                assert client.post("/api/v1/results", json=document).status_code == 201
            with ThreadPoolExecutor(4) as pool:
                repeated = list(
                    pool.map(
                        lambda document: client.post("/api/v1/results", json=document).status_code,
                        [factory.result(seed=500)] * 6,
                    )
                )
            assert sorted(repeated) == [200] * 5 + [201]
            assert [client.get(page).status_code for page in pages] == [200] * len(pages)
            uid = client.get("/api/v1/results?limit=1").json()["results"][0]["id"]
            assert client.get(f"/r/{uid}").status_code == 200
            board = client.get("/api/v1/boards/object-detection").json()
            answers.append(([client.get(path).json() for path in paths], board["results"], board["machines"]))
    assert json.dumps(answers[0]) == json.dumps(answers[1])
    with TestClient(create_app(on_postgres)) as client:
        assert client.get("/readyz").status_code == 200
