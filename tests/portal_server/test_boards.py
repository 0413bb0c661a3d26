# SPDX-License-Identifier: Apache-2.0
"""Boards: facets, points, frontier, pages of the table and the view in the address."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from codereef.record.pareto import frontier
from codereef_portal.app import create_app
from codereef_portal.boards.counts import rebuild
from codereef_portal.boards.models import Board, Facet
from codereef_portal.boards.service import colour_slots
from codereef_portal.settings import Settings
from fastapi.testclient import TestClient
from sqlalchemy import select

from tests.portal_server import factory
from tests.portal_server.conftest import Upload

BOARD = "/api/v1/boards/object-detection"
ON_500 = [
    document for document in factory.crowd() if document["status"] == "ok" and document["options"]["images"] == 500
]


def row_ids(page: str) -> list[str]:
    table = page.split('class="list stack sticky"')[1].split("</table>")[0]
    return re.findall(r'href="/r/([0-9a-f]{64})"', table)


def test_points_hold_one_dataset_and_only_finished_runs_by_default(crowded: TestClient) -> None:
    points = crowded.get(f"{BOARD}/points").json()
    assert points["n"] == len(ON_500) == 36
    assert points["columns"]["dataset"]["values"] == ["dataset:coloured-shapes@1.0.0 images=500"]
    assert (points["x"]["unit"], points["y"]["metric"]) == ("ms", "mAP")


def test_points_are_of_one_scenario_by_default(upload: Upload, portal: TestClient) -> None:
    for seed in (1, 2):
        upload(factory.result(seed=seed))
    upload({**factory.result(seed=3), "scenario": "server"})
    assert portal.get(f"{BOARD}/points").json()["n"] == 2
    assert portal.get(f"{BOARD}/points", params={"scenario": "all"}).json()["n"] == 3


def test_the_frontier_served_is_the_frontier_of_the_documents(crowded: TestClient) -> None:
    values = [(document["metrics"]["latency_p50"]["value"], document["metrics"]["mAP"]["value"]) for document in ON_500]
    expected = [values[i] for i in frontier(values, "lower", "higher")]
    found = crowded.get(f"{BOARD}/frontier").json()["frontier"]
    assert [(point["x"], point["y"]) for point in found] == [
        (pytest.approx(x * 1e3, rel=1e-3), pytest.approx(y, rel=1e-3)) for x, y in expected
    ]
    points = crowded.get(f"{BOARD}/points").json()
    assert [points["columns"]["id"][i] for i in points["frontier"]] == [point["id"][:16] for point in found]


def test_no_frontier_is_drawn_over_different_datasets(crowded: TestClient) -> None:
    answer = crowded.get(f"{BOARD}/frontier", params={"dataset": "all"}).json()
    assert answer["n"] == 37
    assert answer["frontier"] == []
    assert "different datasets" in answer["reason"]
    assert "No frontier" in crowded.get("/b/object-detection", params={"dataset": "all"}).text


@pytest.mark.parametrize(
    ("parameters", "count"),
    [
        ({"model": "model:shapes-ssd@1.0.0"}, 12),
        ({"precision": ["fp32", "int8"]}, 36),
        ({"precision": "int8"}, 18),
        ({"runtime": "onnxruntime 1.20.1"}, 18),
        ({"machine": "AMD EPYC 7B13 × 8 (kvm)", "precision": "fp32"}, 6),
        ({"target": "linux-aarch64-gnu"}, 12),
        ({"status": "out-of-memory"}, 0),
        ({"model": "nothing"}, 0),
    ],
)
def test_points_and_table_follow_the_same_filters(parameters: dict[str, Any], count: int, crowded: TestClient) -> None:
    assert crowded.get(f"{BOARD}/points", params=parameters).json()["n"] == count
    page = crowded.get("/b/object-detection", params=parameters).text
    assert len(row_ids(page)) == count if 'class="list stack sticky"' in page else count == 0


@pytest.mark.parametrize("sort", ["latency_p50", "mAP", "throughput", "peak_rss", "newest"])
@pytest.mark.parametrize("order", ["asc", "desc"])
def test_pages_of_a_sorted_table_hold_each_row_once_in_order(
    sort: str, order: str, crowded: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("codereef_portal.web.pages._ROWS", 5)
    seen: list[str] = []
    address = f"/b/object-detection?sort={sort}&order={order}"
    while True:
        page = crowded.get(address).text
        seen += row_ids(page)
        following = re.search(r'<a href="([^"]*)">Next page</a>', page)
        if not following:
            break
        address = "/b/object-detection" + following.group(1).replace("&amp;", "&")
    assert len(seen) == len(set(seen)) == 36
    if sort != "newest":
        by_id = {row["id"]: row["metrics"] for row in crowded.get("/api/v1/results?limit=200").json()["results"]}
        values = [by_id[uid]["accuracy" if sort == "mAP" else sort] for uid in seen]
        assert values == sorted(values, reverse=order == "desc")


def test_a_metric_without_a_column_can_be_an_axis(tmp_path: Path) -> None:
    sources = [
        replace(
            source,
            manifest={
                **source.manifest,
                "metrics": {**source.manifest["metrics"], "mAP50": {"unit": "", "direction": "higher"}},
                "columns": ["model", "mAP50"],
            },
        )
        if source.manifest["name"] == "object-detection" and source.manifest["kind"] == "dashboard"
        else source
        for source in factory.components()
    ]
    with TestClient(create_app(Settings(database=tmp_path / "p.db", components=sources))) as client:
        document = factory.result()
        client.post("/api/v1/results", json=document)
        points = client.get(f"{BOARD}/points", params={"y": "mAP50"}).json()
        assert points["columns"]["y"] == [pytest.approx(document["metrics"]["mAP50"]["value"], rel=1e-3)]
        assert client.get("/b/object-detection?sort=mAP50&y=mAP50").status_code == 200


def test_points_are_cached_until_a_result_comes(upload: Upload, portal: TestClient) -> None:
    upload(factory.result(seed=1))
    first = portal.get(f"{BOARD}/points")
    assert portal.get(f"{BOARD}/points", headers={"If-None-Match": first.headers["etag"]}).status_code == 304
    upload(factory.result(seed=2))
    second = portal.get(f"{BOARD}/points", headers={"If-None-Match": first.headers["etag"]})
    assert second.status_code == 200
    assert second.json()["n"] == 2


def test_counts_kept_at_upload_are_those_of_a_full_count(crowded: TestClient) -> None:
    database = crowded.app.state.database  # type: ignore[attr-defined]

    def facets() -> dict[tuple[str, str], int]:
        with database.reading() as session:
            return {(row.dimension, row.value): row.n for row in session.scalars(select(Facet))}

    kept = facets()
    with database.reading() as session:
        stat = session.scalars(select(Board).where(Board.name == "object-detection")).one().stat
        counts = (stat.results, stat.machines)
    with database.writing() as session:
        board = session.scalars(select(Board).where(Board.name == "object-detection")).one()
        rebuild(session, board)
        assert (board.stat.results, board.stat.machines) == counts == (38, 3)
    assert facets() == kept


def test_a_board_published_after_its_results_counts_them(tmp_path: Path) -> None:
    settings = Settings(database=tmp_path / "p.db")
    with TestClient(create_app(settings)) as client:
        assert client.post("/api/v1/results", json=factory.result()).status_code == 201
    with TestClient(create_app(replace(settings, components=factory.components()))) as client:
        assert client.get(BOARD).json()["results"] == 1
        assert client.get(f"{BOARD}/points").json()["n"] == 1


def test_a_value_keeps_its_colour_when_others_come(upload: Upload, portal: TestClient) -> None:
    database = portal.app.state.database  # type: ignore[attr-defined]

    def slots() -> dict[str, int]:
        with database.reading() as session:
            return colour_slots(
                session,
                session.scalars(select(Board).where(Board.name == "object-detection")).one(),
                "runtime",
            )

    before: dict[str, int] = {}
    for i in range(8):
        document = factory.result(seed=i)
        document["runtime"]["version"] = f"1.{i}"
        upload(document)
        after = slots()
        assert before.items() <= after.items()
        assert len(set(after.values())) == len(after) == i + 1
        before = after


def test_csv_of_a_board_holds_the_rows_of_its_view(crowded: TestClient) -> None:
    text = crowded.get(f"{BOARD}/results.csv", params={"precision": "int8"}).text
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == 18
    assert {row["precision"] for row in rows} == {"int8"}
    assert all(float(row["latency_p50_lo [ms]"]) < float(row["latency_p50 [ms]"]) for row in rows)


def test_the_view_lives_in_the_address(crowded: TestClient) -> None:
    page = crowded.get("/b/object-detection?precision=int8&x=peak_rss&xscale=linear&sort=mAP").text
    assert re.search(r'name="precision" value="int8" checked', page)
    assert re.search(r'value="peak_rss" selected', page)
    csv_link = re.search(r'href="(/api/v1/boards/object-detection/results.csv\?[^"]*)"', page)
    assert csv_link and "precision=int8" in csv_link.group(1) and "x=peak_rss" in csv_link.group(1)


def test_filters_that_leave_nothing_name_the_one_to_drop(crowded: TestClient) -> None:
    page = crowded.get("/b/object-detection?model=nothing&precision=int8").text
    assert "No result passes these filters" in page
    assert "Without <strong>model nothing</strong></a> there are 18" in page


def test_an_empty_board_teaches_the_commands(portal: TestClient) -> None:
    page = portal.get("/b/object-detection").text
    assert "cr init demo-object-detection" in page
    assert "cr push latest --portal http://testserver" in page
    assert "none is published here yet" in portal.get("/b/image-classification").text


@pytest.mark.parametrize(
    "query",
    ["x=nothing", "sort=%00", "model=%00", "cursor=x", "xscale=cubic", "order=up", "model=" + "a" * 3000],
)
def test_an_odd_address_does_not_break_a_board(query: str, crowded: TestClient) -> None:
    assert crowded.get(f"/b/object-detection?{query}").status_code in (200, 400, 422)
    assert crowded.get(f"{BOARD}/points?{query}").status_code == 200


def test_columns_of_points_are_of_one_length(crowded: TestClient) -> None:
    points = json.loads(crowded.get(f"{BOARD}/points").text)
    lengths = {len(column["codes"] if isinstance(column, dict) else column) for column in points["columns"].values()}
    assert lengths == {points["n"]}
