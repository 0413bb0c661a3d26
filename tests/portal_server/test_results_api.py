# SPDX-License-Identifier: Apache-2.0
"""Uploading results and reading them back over HTTP."""

from __future__ import annotations

import copy
import csv
import hashlib
import io
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from codereef.bench.processes import between_processes
from codereef.bench.signs import signs_of_processes
from codereef.meta.schemas import problems
from codereef_portal.app import create_app
from codereef_portal.settings import Settings
from fastapi.testclient import TestClient

from tests.portal_server import factory
from tests.portal_server.conftest import Upload


def identity(document: dict[str, Any]) -> str:
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def test_the_factory_follows_the_published_schema() -> None:
    for document in factory.crowd():
        assert problems(document, "result") == []


def test_a_new_result_is_created_under_the_digest_of_its_canonical_json(upload: Upload, portal: TestClient) -> None:
    document = factory.result()
    document["error"] = "Grüße, 東京"
    answer = upload(document)
    assert answer.status_code == 201
    assert answer.json()["id"] == identity(document)
    assert answer.json()["created"] is True
    assert answer.json()["url"].endswith(f"/r/{identity(document)}")
    read = portal.get(answer.headers["location"])
    assert read.json() == document
    assert hashlib.sha256(read.content).hexdigest() == identity(document)


def test_signs_of_a_series_are_kept_and_wrong_ones_refused(upload: Upload, portal: TestClient) -> None:
    document = factory.result()
    values = document["samples"]["latency"]["values"]
    halves = [values[:200], values[200:]]
    found = signs_of_processes(halves, courses=[([3e6, 2e6], [])] * 2, between=between_processes(halves))
    assert "outliers" in found.shown
    document["signs"] = json.loads(json.dumps({"latency": found.as_dict()}))
    answer = upload(document)
    assert answer.status_code == 201, answer.text
    assert portal.get(answer.headers["location"]).json()["signs"] == document["signs"]
    document["signs"]["latency"]["processes"][1]["outliers"]["count"] = -1
    refused = upload(document)
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["path"] == "$.signs.latency.processes[1].outliers.count"


def test_the_same_document_again_answers_200_with_the_same_id(upload: Upload, portal: TestClient) -> None:
    document = factory.result()
    first = upload(document)
    again = portal.post(
        "/api/v1/results",
        content=json.dumps(document, indent=3, sort_keys=True),
        headers={"Content-Type": "application/json"},
    )
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["id"] == again.json()["id"]
    assert len(portal.get("/api/v1/results").json()["results"]) == 1
    assert portal.get("/api/v1/boards/object-detection").json()["results"] == 1


def test_many_uploads_of_one_document_at_once_store_it_once(tmp_path: Path) -> None:
    with TestClient(create_app(Settings(database=tmp_path / "p.db", components=factory.components()))) as client:
        documents = [factory.result(seed=i % 2) for i in range(12)]
        with ThreadPoolExecutor(6) as pool:
            statuses = list(
                pool.map(lambda document: client.post("/api/v1/results", json=document).status_code, documents)
            )
        assert sorted(statuses) == [200] * 10 + [201] * 2
        assert client.get("/api/v1/boards/object-detection").json()["results"] == 2
        assert client.get("/api/v1/boards/object-detection").json()["machines"] == 1


def test_put_refuses_an_id_that_is_not_the_documents(portal: TestClient) -> None:
    document = factory.result()
    assert portal.put(f"/api/v1/results/{'0' * 64}", json=document).status_code == 409
    assert portal.put(f"/api/v1/results/{identity(document)}", json=document).status_code == 201
    assert portal.put(f"/api/v1/results/sha256:{identity(document)}", json=document).status_code == 200


def test_an_idempotency_key_belongs_to_one_document(portal: TestClient) -> None:
    headers = {"Idempotency-Key": "k1"}
    first = portal.post("/api/v1/results", json=factory.result(seed=1), headers=headers)
    retry = portal.post("/api/v1/results", json=factory.result(seed=1), headers=headers)
    other = portal.post("/api/v1/results", json=factory.result(seed=2), headers=headers)
    assert (first.status_code, retry.status_code, other.status_code) == (201, 200, 409)


def _without_model(document: dict[str, Any]) -> None:
    del document["model"]


def _bad_sample(document: dict[str, Any]) -> None:
    document["samples"]["latency"]["values"][3] = "fast"


def _unknown_key(document: dict[str, Any]) -> None:
    document["hostname"] = "laptop"


def _bad_time(document: dict[str, Any]) -> None:
    document["started_at"] = "yesterday"


def _long(document: dict[str, Any]) -> None:
    document["model"] = "m" * 5000


def _nul(document: dict[str, Any]) -> None:
    document["warnings"] = ["a\x00b"]


def _bad_unit(document: dict[str, Any]) -> None:
    document["metrics"]["latency_p50"]["unit"] = "MB"


@pytest.mark.parametrize(
    ("spoil", "path"),
    [
        (_without_model, "$"),
        (_bad_sample, "$.samples.latency.values[3]"),
        (_unknown_key, "$"),
        (_bad_time, "$.started_at"),
        (_long, "$.model"),
        (_nul, "$.warnings[0]"),
        (_bad_unit, "$.metrics.latency_p50.unit"),
    ],
)
def test_an_invalid_document_answers_422_with_the_json_path(
    spoil: Any, path: str, upload: Upload, portal: TestClient
) -> None:
    document = copy.deepcopy(factory.result())
    spoil(document)
    answer = upload(document)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["errors"][0]["path"] == path
    assert portal.get("/api/v1/results").json()["results"] == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"a":1,"a":2}',
        b'{"format":NaN}',
        b"\xff\xfe",
        b'{"format":"\\ud800"}',
        b"[" * 100_000,
        b'{"n":' + b"9" * 5000 + b"}",
        b'{"n":1e999}',
    ],
)
def test_a_body_that_is_no_usable_json_answers_422(body: bytes, portal: TestClient) -> None:
    answer = portal.post("/api/v1/results", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


def test_an_oversize_document_answers_413_whether_or_not_it_says_its_length(tmp_path: Path) -> None:
    settings = Settings(database=tmp_path / "p.db", max_upload_bytes=10_000)
    with TestClient(create_app(settings)) as client:
        headers = {"Content-Type": "application/json"}
        assert client.post("/api/v1/results", content=b"x" * 10_001, headers=headers).status_code == 413
        chunks = (b"x" * 4000 for _ in range(5))
        assert client.post("/api/v1/results", content=chunks, headers=headers).status_code == 413


def test_a_page_of_another_site_cannot_upload(portal: TestClient) -> None:
    body = json.dumps(factory.result())
    assert portal.post("/api/v1/results", content=body, headers={"Content-Type": "text/plain"}).status_code == 415
    headers = {"Content-Type": "application/json", "Origin": "https://elsewhere.example"}
    assert portal.post("/api/v1/results", content=body, headers=headers).status_code == 403
    headers["Origin"] = "http://testserver"
    assert portal.post("/api/v1/results", content=body, headers=headers).status_code == 201


def test_an_impossible_result_is_kept_but_stays_off_the_board(upload: Upload, portal: TestClient) -> None:
    document = factory.result()
    document["metrics"]["mAP"]["value"], document["metrics"]["mAP"]["interval"] = 1.7, None
    answer = upload(document)
    assert answer.status_code == 201
    assert answer.json()["state"] == "flagged"
    assert "outside 0 to 1" in answer.json()["doubts"][0]
    assert portal.get("/api/v1/boards/object-detection").json()["results"] == 0
    assert portal.get("/api/v1/boards/object-detection/frontier").json()["frontier"] == []
    assert "stays off the boards" in portal.get(f"/r/{answer.json()['id']}").text


def test_values_are_stored_in_base_units(upload: Upload, portal: TestClient) -> None:
    document = factory.result()
    document["metrics"]["latency_p50"].update(value=4.0, interval=[3.9, 4.1], unit="ms")
    document["metrics"]["peak_rss"].update(value=2.0, unit="MiB")
    upload(document)
    row = portal.get("/api/v1/results").json()["results"][0]
    assert row["metrics"]["latency_p50"] == pytest.approx(0.004)
    assert row["latency_p50_lo"] == pytest.approx(0.0039)
    assert row["metrics"]["peak_rss"] == 2 * 1024**2
    assert row["metrics"]["latency_p99"] is None


def test_pages_of_results_hold_each_result_once(crowded: TestClient) -> None:
    seen: list[str] = []
    cursor = None
    while True:
        page = crowded.get("/api/v1/results", params={"limit": 7, **({"cursor": cursor} if cursor else {})}).json()
        seen += [row["id"] for row in page["results"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert len(seen) == len(set(seen)) == len(factory.crowd())


def test_results_are_narrowed_by_every_filter(crowded: TestClient) -> None:
    crowd = factory.crowd()
    for parameter, key, value in (
        ("model", "model", "model:shapes-ssd-tiny@1.0.0"),
        ("precision", "precision", "int8"),
        ("status", "status", "out-of-memory"),
    ):
        rows = crowded.get("/api/v1/results", params={parameter: value, "limit": 200}).json()["results"]
        assert len(rows) == sum(document[key] == value for document in crowd)
    machine = crowd[0]["machine"]["class_digest"]
    rows = crowded.get("/api/v1/results", params={"machine": machine, "limit": 200}).json()["results"]
    assert len(rows) == sum(document["machine"]["class_digest"] == machine for document in crowd)


@pytest.mark.parametrize("cursor", ["x", "WzFd", "bnVsbA", "W251bGwsMV0", "W25hbiwxXQ", "WzEsIjEiXQ", "%00"])
def test_a_cursor_from_nowhere_answers_a_problem(cursor: str, crowded: TestClient) -> None:
    answer = crowded.get("/api/v1/results", params={"cursor": cursor})
    assert answer.status_code in (400, 422)
    assert answer.headers["content-type"] == "application/problem+json"


def test_csv_holds_every_result_and_no_formula(upload: Upload, portal: TestClient) -> None:
    document = factory.result()
    document["precision"] = "=HYPERLINK(1)"
    upload(document)
    upload(factory.result(seed=2))
    text = portal.get("/api/v1/results.csv").text
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == 2
    assert {row["precision"] for row in rows} == {"'=HYPERLINK(1)", factory.result(seed=2)["precision"]}
    assert float(rows[0]["latency_p50"]) == factory.result(seed=2)["metrics"]["latency_p50"]["value"]


def test_a_result_is_not_sent_twice_to_a_client_that_holds_it(upload: Upload, portal: TestClient) -> None:
    address = upload(factory.result()).headers["location"]
    first = portal.get(address)
    assert portal.get(address, headers={"If-None-Match": first.headers["etag"]}).status_code == 304
    plain = portal.get(address, headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.content == first.content


def test_the_lock_of_a_result_can_be_fetched(upload: Upload, portal: TestClient) -> None:
    document = factory.result()
    assert portal.get(upload(document).headers["location"] + "/lock").json() == document["lock"]


def test_health_and_readiness_answer(portal: TestClient) -> None:
    for path in ("/healthz", "/readyz", "/api/v1/healthz", "/api/v1/readyz"):
        assert portal.get(path).json()["status"] == "ok"


def test_schemas_are_served(portal: TestClient) -> None:
    assert portal.get("/api/v1/schemas/result").json()["title"] == "result"
    assert portal.get("/api/v1/schemas/..%2fsecret").status_code == 404


def test_a_result_is_found_by_the_first_digits_of_its_id(upload: Upload, portal: TestClient) -> None:
    uid = upload(factory.result()).json()["id"]
    for start in (uid[:12], uid[:16], uid.upper(), f"sha256:{uid}"):
        assert portal.get(f"/r/{start}").status_code == 200
    for start in (uid[:11], uid[:12] + "%", "_" * 12, ("0" if uid[0] != "0" else "1") + uid[1:], uid + "0"):
        assert portal.get(f"/api/v1/results/{start}").status_code == 404
