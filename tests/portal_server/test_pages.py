# SPDX-License-Identifier: Apache-2.0
"""Pages as HTML: headers, escaping, words that must stand on them, and the OpenAPI contract."""

from __future__ import annotations

import copy
import json
import re
from typing import Any

import pytest
from codereef_portal.results.metrics import significant
from codereef_portal.settings import ComponentSource
from codereef_portal.web.render import markdown
from fastapi.testclient import TestClient

from tests.portal_server import factory
from tests.portal_server.conftest import Upload

CANARY = "<script>document.title='owned'</script>\"'><img src=x onerror=document.title='owned'>"


def poisoned() -> dict[str, Any]:
    """A document with the canary wherever the schema takes free text."""
    document = copy.deepcopy(factory.result())
    document.update(precision=CANARY[:39], warnings=[CANARY], error=CANARY, scenario=CANARY[:59])
    document["runtime"] = {"name": CANARY[:79], "version": CANARY[:59]}
    document["machine"]["class"] = {"cpu": {"model": CANARY}, CANARY: CANARY, "os": CANARY}
    document["machine"]["class_digest"] = factory.digest("poison")
    document["environment"]["before"][CANARY] = CANARY
    document["options"][CANARY] = [CANARY, {"a": CANARY}]
    document["configuration"]["id"] = CANARY
    document["metrics"]["latency_p90"]["method"] = CANARY
    document["metrics"]["latency_p99"]["reason"] = CANARY
    document["metrics"][CANARY[:70]] = dict(document["metrics"]["mAP50"], unit=CANARY[:39])
    document["samples"] = {"latency": {"unit": CANARY, "values": [1, 2, 3, 4]}}
    document["lock"]["nodes"]["model"]["version"] = CANARY
    document["stages"] = [
        {"side": "input", "step": CANARY, "implementation": CANARY * 9, "version": CANARY, "digest": CANARY * 9}
    ]
    return document


@pytest.mark.parametrize("place", ["model", "dataset", "variant", "variant name", "component"])
def test_what_stands_in_a_command_to_copy_cannot_hold_a_shell_word(portal: TestClient, place: str) -> None:
    document = copy.deepcopy(factory.result())
    evil = "x; touch owned"
    if place in ("model", "dataset"):
        document[place] = f"{place}:{evil}"
    elif place == "component":
        document["components"][f"model:{evil}"] = factory.digest("x")
    else:
        document["configuration"]["variants"] = {evil: "a"} if place == "variant name" else {"format": evil}
    assert portal.post("/api/v1/results", json=document).status_code == 422


def all_pages(client: TestClient) -> list[str]:
    uids = [row["id"] for row in client.get("/api/v1/results?limit=3").json()["results"]]
    return [
        "/",
        "/boards",
        "/b/object-detection",
        "/b/object-detection?dataset=all&status=all",
        "/b/image-classification",
        "/components",
        "/c/model/shapes-ssd",
        "/c/dashboard/object-detection",
        "/s/demo-object-detection",
        "/search?q=ssd",
        "/search",
        "/docs/api",
        *(f"/r/{uid}" for uid in uids),
    ]


def test_every_page_has_the_policy_and_nothing_inline(crowded: TestClient) -> None:
    for path in [*all_pages(crowded), "/nowhere"]:
        answer = crowded.get(path)
        assert answer.status_code == (404 if path == "/nowhere" else 200), path
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", answer.text), path
        assert all(re.search(r'\ssrc="/static/', tag) for tag in re.findall(r"<script[^>]*>", answer.text))
        assert answer.text.count("<h1") == 1 and '<html lang="en">' in answer.text and 'href="#main"' in answer.text


def test_uploaded_markup_is_escaped_on_every_page(upload: Upload, portal: TestClient) -> None:
    answer = upload(poisoned())
    assert answer.status_code == 201, answer.text
    for path in all_pages(portal):
        page = portal.get(path)
        assert page.status_code == 200, path
        assert "<script>document" not in page.text and "<img" not in page.text, path
    assert "&lt;script&gt;" in portal.get(f"/r/{answer.json()['id']}").text
    assert portal.get("/search", params={"q": CANARY}).text.count("<img") == 0


def test_markdown_carries_nothing_active() -> None:
    html = markdown(
        f"# T\n\n{CANARY}\n\n[a](javascript:alert(1)) [b](https://example.org) ![c](http://x/y.png)\n\n"
        "<b onclick=x>d</b>"
    )
    assert "<script" not in html and "<img" not in html and "onclick" not in html.replace("&lt;b onclick", "")
    assert "javascript:" not in re.sub(r"\[a\]\(javascript:alert\(1\)\)", "", html)
    assert '<a href="https://example.org" rel="nofollow noopener">b</a>' in html
    assert html.startswith("<h2>T</h2>")


def test_a_readme_of_a_component_is_sanitised(tmp_path: Any) -> None:
    from codereef_portal.app import create_app
    from codereef_portal.settings import Settings

    source = ComponentSource(
        factory.manifest("model", "evil", homepage="javascript:alert(1)", task="t"),
        factory.digest("evil"),
        CANARY,
    )
    with TestClient(create_app(Settings(database=tmp_path / "p.db", components=[source]))) as client:
        page = client.get("/c/model/evil").text
        assert "<script>document" not in page and "<img" not in page and 'href="javascript' not in page


def test_a_result_page_shows_value_interval_trust_and_how_to_repeat_it(crowded: TestClient) -> None:
    document = factory.crowd()[0]
    rows = crowded.get("/api/v1/results?limit=200").json()["results"]
    uid = next(row["id"] for row in rows if row["started_at"] == document["started_at"])
    page = crowded.get(f"/r/{uid}").text
    metric = document["metrics"]["latency_p50"]
    assert f"{significant(metric['value'] * 1e3)} <small>ms</small>" in page
    low, high = (significant(bound * 1e3) for bound in metric["interval"])
    assert f"95 % interval {low} to {high}" in page
    assert "Unverified" in page
    assert "cr init demo-object-detection@1.0.0" in page
    assert "400 samples; p99 needs 1,000" in page
    assert document["warnings"][0] in page
    assert "The same on other machines" in page and "AMD Ryzen 7 5800X × 16" in page
    assert "0.12 → 1.38" in page


def test_a_failed_run_is_a_page_too(crowded: TestClient) -> None:
    uid = crowded.get("/api/v1/results?status=out-of-memory").json()["results"][0]["id"]
    page = crowded.get(f"/r/{uid}").text
    assert "This run ended with: out-of-memory" in page and "out of memory after 512 MB" in page


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (1234.5, "1,230"),
        (0.0123456, "0.0123"),
        (9.996, "10.0"),
        (-2.5, "-2.50"),
        (12345678, "1.23e+07"),
        (None, "–"),
        (99.95, "100"),
    ],
)
def test_numbers_have_three_significant_digits(value: float | None, text: str) -> None:
    assert significant(value) == text


def test_the_openapi_document_is_whole(portal: TestClient) -> None:
    document = portal.get("/api/v1/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    text = json.dumps(document)
    for reference in set(re.findall(r'"#/components/schemas/([^"]+)"', text)):
        assert reference in document["components"]["schemas"]
    for path, methods in document["paths"].items():
        assert path.startswith("/api/v1/")
        for operation in methods.values():
            assert operation.get("description"), path
            for status, answer in operation["responses"].items():
                if int(status) >= 400:
                    assert list(answer["content"]) == ["application/problem+json"], (path, status)


def test_answers_have_the_shape_the_openapi_document_promises(crowded: TestClient) -> None:
    from jsonschema import Draft202012Validator

    document = crowded.get("/api/v1/openapi.json").json()
    uid = crowded.get("/api/v1/results?limit=1").json()["results"][0]["id"]
    values = {"kind": "model", "name": "shapes-ssd", "version": "1.0.0", "uid": uid}
    tried = 0
    for path, methods in document["paths"].items():
        if "get" not in methods:
            continue
        names = (
            {**values, "name": "object-detection"}
            if "/boards/" in path
            else {**values, "name": "result"}
            if "/schemas/" in path
            else values
        )
        for wrong in (False, True):
            address = path.format(**(dict.fromkeys(names, "nothing") if wrong else names))
            answer = crowded.get(address)
            promised = methods["get"]["responses"]
            assert str(answer.status_code) in promised, (address, answer.status_code)
            media = (
                answer.headers["content-type"].partition(";")[0].replace("application/schema+json", "application/json")
            )
            content = promised[str(answer.status_code)]["content"]
            assert media in content, (address, media)
            if media.endswith("json"):
                schema = {**content[media]["schema"], "components": document["components"]}
                assert not list(Draft202012Validator(schema).iter_errors(answer.json())), address
                tried += 1
    assert tried > 20


def test_a_result_shows_the_verdict_on_its_load_its_processes_and_claims(upload: Upload, portal: TestClient) -> None:
    load = {"driver": "codereef", "valid": False, "reasons": ["8 of 9 queries were answered"]}
    claim = {"metric": "mAP", "claimed": 0.7, "dataset": "dataset:shapes", "verdict": "not checkable", "reason": "x"}
    one = {"status": "ok", "counts": {"latency": 3}, "metrics": {"latency_p50": 0.01}}
    plain = upload(factory.result())
    assert "<dt>Load</dt>" not in portal.get(f"/r/{plain.json()['id']}").text
    answer = upload({**factory.result(), "load": load, "processes": [one, one], "claims": [claim]})
    assert answer.status_code == 201, answer.text
    page = portal.get(f"/r/{answer.json()['id']}").text
    assert "<dt>Load</dt><dd>not valid: 8 of 9 queries were answered</dd>" in page
    assert "<dt>Processes</dt><dd>2</dd>" in page
    assert "<dt>Claim</dt><dd>mAP 0.7: not checkable</dd>" in page


def validated() -> dict[str, Any]:
    """A document as `cr validate` makes it: no latency, and samples of its steps only."""
    document = copy.deepcopy(factory.result())
    kept = {"mAP", "mAP50", "peak_rss", "model_size"}
    document.update(
        action="validate",
        metrics={name: metric for name, metric in document["metrics"].items() if name in kept},
        samples={"postprocess": {"unit": "s", "values": [0.003, 0.0031, 0.0035]}},
        stages=[
            {
                "side": "input",
                "step": "resize",
                "implementation": "Pillow BILINEAR",
                "version": "13.0.0",
                "digest": factory.digest("resize"),
                "items": 8,
                "seconds": 0.000187,
            },
            {"side": "model", "step": "inference", "implementation": "onnxruntime", "seconds": None},
        ],
    )
    return document


def test_a_result_shows_what_carried_out_each_step_its_time_and_digest(upload: Upload, portal: TestClient) -> None:
    answer = upload(validated())
    assert answer.status_code == 201, answer.text
    page = portal.get(f"/r/{answer.json()['id']}").text
    steps = page.partition('<h2 id="steps">')[2].partition("</section>")[0]
    rows = [re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", row)).strip() for row in steps.split("<tr>")[2:]]
    assert rows[0] == f"resize input Pillow BILINEAR 13.0.0 0.187 {factory.digest('resize')[7:19]}"
    assert rows[1].startswith("inference model onnxruntime – –")
    assert f'title="{factory.digest("resize")}"' in steps and "the first 8 items" in steps
    plain = upload(factory.result())
    assert 'id="steps"' not in portal.get(f"/r/{plain.json()['id']}").text


def test_a_validation_is_named_and_repeated_as_one(upload: Upload, portal: TestClient) -> None:
    uid = upload(validated()).json()["id"]
    page = portal.get(f"/r/{uid}").text
    assert "<h2>Samples of postprocess</h2>" in page and "<h2>Latency</h2>" not in page
    assert "cr validate demo-object-detection" in page and "cr benchmark" not in page
    board = portal.get("/b/object-detection")
    assert board.status_code == 200 and uid[:16] not in board.text, "a board is sorted by what it lacks"
    assert f"/r/{uid}" in portal.get("/s/demo-object-detection").text
