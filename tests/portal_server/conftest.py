# SPDX-License-Identifier: Apache-2.0
"""A portal on its own database, with the factory's components, for each test that asks."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from codereef_portal.app import create_app
from codereef_portal.settings import Settings
from fastapi.testclient import TestClient

from tests.portal_server import factory

Upload = Callable[[dict[str, Any]], Any]


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a real PostgreSQL on a socket of its own; skips with the reason where there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    reason = ""
    if not found:
        reason = "no PostgreSQL server is installed"
    else:
        try:
            import psycopg  # noqa: F401
        except ImportError:
            reason = "psycopg is not installed"
    if reason:
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    tools = found[-1].parent
    folder = Path(tempfile.mkdtemp(prefix="cr-pg-"))
    as_owner: list[str] = []
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres", "postgres")
        as_owner = ["runuser", "-u", "postgres", "--"]
    subprocess.run(
        [*as_owner, str(tools / "initdb"), "-D", str(folder / "data"), "-A", "trust", "-U", "postgres", "-N"],
        check=True,
        capture_output=True,
        cwd=folder,
    )
    control = [*as_owner, str(tools / "pg_ctl"), "-D", str(folder / "data"), "-w"]
    subprocess.run(
        [
            *control,
            "-o",
            f"-k {folder} -c listen_addresses='' -c fsync=off",
            "-l",
            str(folder / "log"),
            "start",
        ],
        check=True,
        stdout=subprocess.DEVNULL,
        cwd=folder,
    )
    try:
        yield f"postgresql+psycopg://postgres@/postgres?host={folder}"
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], check=True, stdout=subprocess.DEVNULL, cwd=folder)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the database of a portal that has its components and no results."""
    folder = tmp_path_factory.mktemp("empty")
    with TestClient(create_app(Settings(database=folder / "portal.db", components=factory.components()))):
        pass
    return folder


@pytest.fixture
def portal(empty: Path, tmp_path: Path) -> Iterator[TestClient]:
    """A client of a fresh portal; its database is a copy, for migrating takes longer than most tests."""
    for file in empty.glob("portal.db*"):
        shutil.copyfile(file, tmp_path / file.name)
    settings = Settings(database=tmp_path / "portal.db", components=factory.components())
    with TestClient(create_app(settings)) as client:
        yield client


@pytest.fixture
def upload(portal: TestClient) -> Upload:
    """Upload a document to the fresh portal."""
    return lambda document: portal.post("/api/v1/results", json=document)


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A client of a portal with the factory's crowd; tests only read it."""
    settings = Settings(database=tmp_path_factory.mktemp("portal") / "portal.db", components=factory.components())
    with TestClient(create_app(settings)) as client:
        for document in factory.crowd():
            assert (
                client.post(
                    "/api/v1/results",
                    content=json.dumps(document),
                    headers={"Content-Type": "application/json"},
                ).status_code
                == 201
            )
        yield client
