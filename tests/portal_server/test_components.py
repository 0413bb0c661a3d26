# SPDX-License-Identifier: Apache-2.0
"""Publishing components, finding them, and their immutability."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from codereef_portal.app import create_app
from codereef_portal.components.service import sync_components
from codereef_portal.db import Database
from codereef_portal.results.models import Audit
from codereef_portal.settings import ComponentSource, Settings
from fastapi.testclient import TestClient
from sqlalchemy import select

from tests.portal_server import factory


def test_a_version_with_another_digest_is_refused_and_recorded(tmp_path: Path) -> None:
    sources = factory.components()
    settings = Settings(database=tmp_path / "p.db", components=sources)
    create_app(settings).state.database.close()
    changed = [
        replace(source, digest=factory.digest("other")) if source.manifest["name"] == "shapes-ssd" else source
        for source in sources
    ]
    database = Database(settings.database_url)
    with database.writing() as session:
        synced = sync_components(session, changed)
    assert synced.refused == ("model:shapes-ssd@1.0.0",)
    assert synced.added == ()
    with database.reading() as session:
        line = session.scalars(select(Audit)).one()
        assert (line.action, line.subject) == ("publish-refused", "model:shapes-ssd@1.0.0")
    database.close()
    with TestClient(create_app(settings)) as client:
        digest = client.get("/api/v1/components/model/shapes-ssd/1.0.0").json()["digest"]
        assert digest == factory.digest("model:shapes-ssd@1.0.0")


def test_a_second_start_publishes_nothing_twice(tmp_path: Path) -> None:
    settings = Settings(database=tmp_path / "p.db", components=factory.components())
    for _ in range(2):
        with TestClient(create_app(settings)) as client:
            found = client.get("/api/v1/components", params={"limit": 200}).json()["components"]
            assert len(found) == len(factory.components())


def test_the_newest_version_speaks_for_the_component_in_whatever_order_they_come(tmp_path: Path) -> None:
    def model(version: str, summary: str) -> ComponentSource:
        return ComponentSource(
            factory.manifest("model", "m", version, summary=summary, task="object-detection"),
            factory.digest(version),
        )

    settings = Settings(database=tmp_path / "p.db", components=[model("1.10", "tenth"), model("1.9", "ninth")])
    create_app(settings).state.database.close()
    later = replace(settings, components=[model("1.2", "second")])
    with TestClient(create_app(later)) as client:
        detail = client.get("/api/v1/components/model/m").json()
        assert (detail["version"], detail["summary"]) == ("1.10", "tenth")
        assert [row["version"] for row in detail["versions"]] == ["1.10", "1.9", "1.2"]
        assert "ninth" in client.get("/c/model/m@1.9").text


def test_search_puts_the_exact_name_first_and_asks_for_every_word(crowded: TestClient) -> None:
    def names(**parameters: str) -> list[str]:
        return [row["name"] for row in crowded.get("/api/v1/components", params=parameters).json()["components"]]

    assert names(q="shapes-ssd")[0] == "shapes-ssd"
    assert names(q="onnx wheel") == ["onnxruntime-wheel"]
    assert names(q="100%") == []
    assert names(q="demo", kind="dataset") == ["coloured-shapes"]
    assert names(tag="vision") == ["shapes-ssd-wide", "shapes-ssd-tiny", "shapes-ssd"]
    assert names(q="SSD", kind="model") == ["shapes-ssd", "shapes-ssd-tiny", "shapes-ssd-wide"]


def test_a_component_page_tells_what_it_needs_and_what_needs_it(crowded: TestClient) -> None:
    page = crowded.get("/c/model/shapes-ssd").text
    assert "/c/package/onnxruntime-wheel" in page
    assert "/s/demo-object-detection" in page
    assert "shapes-ssd-int8.tflite" in page
    assert "/s/demo-object-detection" in crowded.get("/c/program/object-detection").text
    assert "/c/package/onnxruntime-wheel" in crowded.get("/c/soft/python").text


def test_what_is_not_here_answers_404_as_page_and_as_problem(crowded: TestClient) -> None:
    for path in (
        "/c/model/nothing",
        "/c/model/shapes-ssd@9",
        "/s/nothing",
        "/b/nothing",
        "/r/abc",
        "/nowhere",
    ):
        answer = crowded.get(path)
        assert (answer.status_code, answer.headers["content-type"]) == (404, "text/html; charset=utf-8"), path
    for path in (
        "/components/model/nothing",
        "/components/model/shapes-ssd/9",
        "/boards/nothing",
        "/results/abc",
        "/nowhere",
    ):
        answer = crowded.get(f"/api/v1{path}")
        assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json"), path


def test_a_version_is_not_sent_twice_to_a_client_that_holds_it(crowded: TestClient) -> None:
    address = "/api/v1/components/model/shapes-ssd/1.0.0"
    etag = crowded.get(address).headers["etag"]
    assert crowded.get(address, headers={"If-None-Match": etag}).status_code == 304
