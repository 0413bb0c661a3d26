# SPDX-License-Identifier: Apache-2.0
"""The pages in a real browser, served by the real server: charts, keyboard, widths and hostile uploads."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.portal_server import factory
from tests.portal_server.test_pages import poisoned, validated

pytestmark = pytest.mark.slow
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_SERVER = """
import sys
from tests.portal_server import factory
from codereef_portal.serve import serve
from codereef_portal.settings import Settings
settings = Settings(database=sys.argv[1], port=0, components=factory.components())
serve(settings, lambda address: print(address, flush=True))
"""


def push(base: str, document: dict[str, Any]) -> str:
    request = urllib.request.Request(
        f"{base}/api/v1/results", json.dumps(document).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        uid: str = json.load(answer)["id"]
        return uid


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a portal in a process of its own, with the crowd and one hostile upload."""
    paths = [
        str(factory.REPOSITORY / "client"),
        str(factory.REPOSITORY / "server"),
        str(Path(__file__).parent),
    ]
    process = subprocess.Popen(
        [sys.executable, "-c", _SERVER, str(tmp_path_factory.mktemp("browser") / "p.db")],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        assert address.startswith("http://127.0.0.1:")
        for document in [*factory.crowd(), poisoned()]:
            push(address, document)
        yield address
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) in (0, -signal.SIGTERM)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A headless Chromium; skips with the reason where there is none, fails in CI."""
    binary = shutil.which("chromium") or shutil.which("chromium-browser")
    driver = shutil.which("chromedriver")
    try:
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service
    except ImportError:
        binary = None
    if binary is None or driver is None:
        if os.environ.get("CI") == "true":
            pytest.fail("Chromium, its driver or selenium is missing")
        pytest.skip("Chromium, its driver or selenium is missing")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for flag in (*_FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    opened = webdriver.Chrome(options=options, service=Service(driver))
    yield opened
    opened.quit()


def width(browser: Any, pixels: int) -> None:
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": pixels, "height": 900, "deviceScaleFactor": 1, "mobile": pixels < 600},
    )


def drawn(browser: Any) -> Any:
    for _ in range(100):
        holder = browser.find_element("id", "scatter")
        assert holder.get_attribute("data-failed") is None, holder.get_attribute("data-failed")
        if holder.get_attribute("data-ready"):
            return holder
        time.sleep(0.1)
    raise AssertionError("the chart was not drawn within 10 s")


def reached(browser: Any, part: str) -> None:
    """Wait until a navigation has ended at an address with this part."""
    for _ in range(100):
        if part in browser.current_url and browser.execute_script("return document.readyState") == "complete":
            return
        time.sleep(0.1)
    raise AssertionError(f"{part} is not in {browser.current_url} after 10 s")


def pages(base: str) -> list[str]:
    with urllib.request.urlopen(f"{base}/api/v1/results?limit=3", timeout=30) as answer:
        uids = [row["id"] for row in json.load(answer)["results"]]
    return [
        "/",
        "/boards",
        "/b/object-detection",
        "/b/object-detection?dataset=all&status=all",
        "/b/image-classification",
        "/components",
        "/c/model/shapes-ssd",
        "/s/demo-object-detection",
        "/search?q=ssd",
        "/docs/api",
        *(f"/r/{uid}" for uid in uids),
    ]


@pytest.mark.parametrize("pixels", [390, 1280])
def test_no_page_breaks_the_policy_runs_uploaded_code_or_scrolls_sideways(pixels: int, base: str, browser: Any) -> None:
    width(browser, pixels)
    for path in pages(base):
        browser.get(base + path)
        if "/b/object-detection" in path:
            drawn(browser)
        assert browser.title != "owned", path
        assert browser.execute_script("return document.documentElement.scrollWidth") <= pixels, path
        assert [entry["message"] for entry in browser.get_log("browser")] == [], path


_INKED = """
const canvas = document.querySelector('#scatter canvas');
const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
let inked = 0;
for (let i = 3; i < data.length; i += 4) inked += data[i] > 0;
return inked;
"""


def test_the_scatter_is_drawn_and_walks_along_the_frontier_by_keyboard(base: str, browser: Any) -> None:
    from selenium.webdriver.common.keys import Keys

    width(browser, 1280)
    browser.get(f"{base}/b/object-detection")
    holder = drawn(browser)
    assert browser.execute_script("return document.querySelectorAll('#scatter canvas').length") == 1
    assert browser.execute_script(_INKED) > 2000
    with urllib.request.urlopen(f"{base}/api/v1/boards/object-detection/frontier", timeout=30) as answer:
        frontier = json.load(answer)["frontier"]
    for point in frontier[:2]:
        holder.send_keys(Keys.ARROW_RIGHT)
        live = browser.find_element("id", "scatter-live").get_attribute("textContent")
        assert point["runtime"] in live and point["precision"] in live
    holder.send_keys(Keys.ENTER)
    reached(browser, "/r/")
    assert browser.current_url == f"{base}/r/{frontier[1]['id'][:16]}"


def test_choosing_another_axis_changes_the_address_and_the_chart(base: str, browser: Any) -> None:
    from selenium.webdriver.support.ui import Select

    width(browser, 1280)
    browser.get(f"{base}/b/object-detection?precision=int8")
    drawn(browser)
    Select(browser.find_element("name", "x")).select_by_value("peak_rss")
    reached(browser, "x=peak_rss")
    assert "x=peak_rss" in browser.current_url and "precision=int8" in browser.current_url
    assert drawn(browser).get_attribute("data-xlabel") == "Peak memory, MB"


def test_the_board_can_be_read_without_scripts(base: str, browser: Any) -> None:
    width(browser, 1280)
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.get(f"{base}/b/object-detection")
        # The hostile upload has a scenario of its own, and a board shows one at a time.
        assert len(browser.find_elements("css selector", "#scatter svg .mark")) == 36
        assert len(browser.find_elements("css selector", "table.sticky tbody tr")) == 36
        assert browser.find_element("css selector", ".axes button").is_displayed()
        browser.find_element("css selector", "input[name=precision][value=int8]").click()
        browser.find_element("css selector", ".filters button").click()
        reached(browser, "precision=int8")
        assert len(browser.find_elements("css selector", "table.sticky tbody tr")) == 18
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


@pytest.mark.parametrize("pixels", [390, 1280])
def test_how_a_number_was_got_and_the_steps_are_in_sight_at_every_width(pixels: int, base: str, browser: Any) -> None:
    width(browser, pixels)
    browser.get(f"{base}/r/{push(base, validated())}")
    cells = browser.find_elements("css selector", "#metrics ~ .scroll td.how, #steps ~ .scroll td")
    assert len(cells) == 4 + 2 * 3
    for cell in cells:
        box = cell.rect
        assert cell.is_displayed() and cell.text and box["width"] > 20
        assert box["x"] >= 0 and box["x"] + box["width"] <= pixels, cell.text
    for table in browser.find_elements("css selector", "#metrics ~ .scroll, #steps ~ .scroll"):
        assert table.get_property("scrollWidth") <= table.get_property("clientWidth")


def _luminance(rgb: list[float]) -> float:
    channels = [c / 255 / 12.92 if c / 255 <= 0.03928 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in rgb]
    return 0.2126 * channels[0] + 0.7152 * channels[1] + 0.0722 * channels[2]


_TEXT_COLOURS = """
const found = new Map();
const parse = (text) => text.match(/[\\d.]+/g).map(Number);
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const element = walker.currentNode.parentElement;
  if (!walker.currentNode.data.trim() || !element.getClientRects().length) continue;
  if (element.closest('.hidden, .skip, svg, [hidden], script, option')) continue;
  const style = getComputedStyle(element);
  let behind = element, ground = null;
  while (behind && !ground) {
    const c = parse(getComputedStyle(behind).backgroundColor);
    if (c.length < 4 || c[3] > 0) ground = c;
    behind = behind.parentElement;
  }
  ground = (ground || [255, 255, 255]).slice(0, 3);
  const where = element.outerHTML.slice(0, 120);
  found.set(style.color + ground, [parse(style.color).slice(0, 3), ground, where]);
}
return [...found.values()];
"""


_RECORD_TEXT = """
window.written = [];
const original = CanvasRenderingContext2D.prototype.fillText;
CanvasRenderingContext2D.prototype.fillText = function (...given) {
  window.written.push(given[0]);
  return original.apply(this, given);
};
"""


def test_dragging_zooms_in_and_a_double_click_goes_back(base: str, browser: Any) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    width(browser, 1280)
    address = f"{base}/b/object-detection"
    record = browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": _RECORD_TEXT})
    browser.get(address)
    drawn(browser)
    over = browser.find_element("css selector", "#scatter .u-over")

    def labels(act: ActionChains) -> list[str]:
        browser.execute_script("window.written = []")
        act.perform()
        time.sleep(0.4)
        assert browser.current_url == address
        found: list[str] = browser.execute_script("return window.written")
        return found

    whole = browser.execute_script("return window.written")
    drag = ActionChains(browser).move_to_element_with_offset(over, -250, -120).click_and_hold()
    zoomed = labels(drag.move_by_offset(100, 60).move_by_offset(60, 40).release())
    assert zoomed[-3:] != whole[-3:]
    back = labels(ActionChains(browser).move_to_element_with_offset(over, 380, 60).double_click())
    assert back[-len(whole) :] == whole
    browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", record)


@pytest.mark.parametrize("x", ["latency_p50", "throughput", "peak_rss", "mAP"])
@pytest.mark.parametrize("scale", ["linear", "log"])
def test_every_axis_of_the_chart_has_round_numbers(x: str, scale: str, base: str, browser: Any) -> None:
    width(browser, 1280)
    record = browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": _RECORD_TEXT})
    try:
        browser.get(f"{base}/b/object-detection?x={x}&xscale={scale}&y=latency_p90&yscale={scale}")
        drawn(browser)
        labels = [text for text in browser.execute_script("return window.written") if text]
    finally:
        browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", record)
    horizontal, vertical = (
        next(i for i, text in enumerate(labels) if "is better" in text and key in text)
        for key in (x if x == "mAP" else "", "p90")
    )
    numbers = [text.replace(",", "") for text in labels[horizontal + 1 : vertical]]
    assert 3 <= len(numbers) <= 16, labels
    assert len(labels[vertical + 1 :]) >= 3, labels
    assert all(len(text.replace(".", "").replace("-", "").strip("0")) <= 3 for text in numbers), labels


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_by_four_and_a_half_to_one(scheme: str, base: str, browser: Any) -> None:
    width(browser, 1280)
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    for path in pages(base):
        browser.get(base + path)
        for text, ground, where in browser.execute_script(_TEXT_COLOURS):
            high, low = sorted((_luminance(text), _luminance(ground)), reverse=True)
            assert (high + 0.05) / (low + 0.05) >= 4.5, (path, scheme, text, ground, where)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
