# SPDX-License-Identifier: Apache-2.0
"""Publishing: the preview, the consent, the queue, a real portal, a second upload that changes nothing."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import Cr

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def with_result(ready: Cr) -> tuple[Cr, str]:
    """A client with a result."""
    done = ready.json(
        "benchmark", "demo-object-detection", "-v", "format=tflite", "-v", "precision=int8", "-o", "max_seconds=0.5"
    )
    return ready, done["results"][0]["id"]


@pytest.fixture
def portal(tmp_path: Path) -> Iterator[str]:
    """A portal with an empty database, as `cr portal start` serves it."""
    client = Cr(tmp_path / "portal-home", tmp_path)
    process = client.start("portal", "start", "--port", "0", "--no-import-results", "--json")
    assert process.stdout is not None
    text = ""
    while not text.endswith("}\n"):
        line = process.stdout.readline()
        assert line, process.stderr.read() if process.stderr else ""
        text += line
    yield json.loads(text)["address"]
    process.send_signal(signal.SIGINT)
    process.wait(20)
    assert process.returncode in (0, 130), process.stderr.read() if process.stderr else ""


def get(address: str) -> str:
    with urllib.request.urlopen(address, timeout=20) as response:
        return str(response.read().decode())


def is_there(address: str) -> bool:
    try:
        return bool(get(address))
    except urllib.error.HTTPError as error:
        assert error.code == 404
        return False


def test_nothing_is_sent_before_the_user_agreed(with_result: tuple[Cr, str], portal: str) -> None:
    client, result = with_result
    done = client("push", result[:12], "--portal", portal, check=False)
    assert done.returncode == 2 and "not agreed" in done.stderr
    assert json.loads(get(f"{portal}/api/v1/results"))["results"] == []
    shown = client.json("push", result[:12], "--portal", portal, "--dry-run")
    assert shown["would_send"][0]["id"] == result and shown["would_send"][0]["bytes"] > 1000


def test_a_pushed_result_is_on_the_portal_and_pushing_again_changes_nothing(
    with_result: tuple[Cr, str], portal: str
) -> None:
    client, result = with_result
    first = client.json("push", result[:12], "--portal", portal, "--yes")
    assert [s["status"] for s in first["results"]] == ["new"]
    again = client.json("push", result[:12], "--portal", portal, "--yes")
    assert [s["status"] for s in again["results"]] == ["known"]
    assert len(json.loads(get(f"{portal}/api/v1/results"))["results"]) == 1
    assert "ai-edge-litert" in get(f"{portal}/r/{result}")
    assert "ai-edge-litert" in get(f"{portal}/b/object-detection")
    assert "cr init demo-object-detection" in get(f"{portal}/s/demo-object-detection")
    assert "shapes-ssd" in get(f"{portal}/search?q=shapes")


def test_results_wait_in_the_queue_while_the_portal_is_away(with_result: tuple[Cr, str], portal: str) -> None:
    client, result = with_result
    away = client("push", result[:12], "--portal", "http://127.0.0.1:9", "--yes", check=False)
    assert away.returncode == 10 and "1 result waits in the queue" in away.stderr
    assert [p.name for p in (client.home / "queue").glob("*/*.json")] == [f"{result}.json"]
    # What waits for one portal is not given to another.
    assert client("push", "--portal", portal, "--yes", check=False).returncode == 2
    waiting = next((client.home / "queue").glob("*/*.json"))
    here = client.home / "queue" / hashlib.sha256(portal.encode()).hexdigest()[:16]
    waiting.parent.rename(here)  # as if it had been this portal that was away
    later = client.json("push", "--portal", portal, "--yes")
    assert [s["id"] for s in later["results"]] == [result]
    assert not list((client.home / "queue").glob("*/*.json"))


def test_a_push_killed_half_way_is_repeated_by_the_next(with_result: tuple[Cr, str], portal: str) -> None:
    client, result = with_result
    process = client.start("push", result[:12], "--portal", portal, "--yes")
    try:
        process.wait(0.35)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    client.json("push", result[:12], "--portal", portal, "--yes")
    assert len(json.loads(get(f"{portal}/api/v1/results"))["results"]) == 1


def test_the_local_portal_shows_the_results_of_this_machine(with_result: tuple[Cr, str]) -> None:
    client, result = with_result
    chosen = ("-v", "format=tflite", "-v", "precision=int8", "-o", "accuracy_limit=5")
    checked = client.json("validate", "demo-object-detection", *chosen)["results"][0]["id"]
    process = client.start("portal", "start", "--port", "0", "--json")
    try:
        text = ""
        while not text.endswith("}\n"):
            text += process.stdout.readline()
        address = json.loads(text)["address"]
        # They are put in one after the other while the portal answers already.
        end = time.monotonic() + 60
        while not all(is_there(f"{address}/r/{one}") for one in (result, checked)) and time.monotonic() < end:
            time.sleep(0.2)
        assert "cr validate demo-object-detection" in get(f"{address}/r/{checked}")
        assert "ai-edge-litert" in get(f"{address}/b/object-detection")
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(20)
    assert not list((client.home / "queue").glob("*/*.json"))
