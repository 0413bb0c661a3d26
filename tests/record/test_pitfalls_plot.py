# SPDX-License-Identifier: Apache-2.0
"""The plot of mistakes: every bar at its place, and nothing that only a colour would say."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from codereef.record.pitfalls_plot import LEFT, RIGHT, WIDTH, Bar, bars_of, pitfalls_svg

SVG = "{http://www.w3.org/2000/svg}"
SAMPLE = Path(__file__).parents[1] / "docs" / "samples" / "pitfalls-1.json"


def draw(bars: list[Bar], right: float = 0.5, **more: Any) -> ET.Element:
    return ET.fromstring(pitfalls_svg("top1", right, bars, **{"title": "t", "subtitle": "s", **more}))


def rectangles(svg: ET.Element) -> list[ET.Element]:
    return svg.findall(f"{SVG}rect")[1:]  # the first one is the ground


def texts(svg: ET.Element) -> list[str]:
    return [element.text or "" for element in svg.iter(f"{SVG}text")]


def test_bars_are_as_long_as_their_values_and_filled_where_all_of_the_change_is_worse() -> None:
    worse = Bar("worse", 0.25, (0.2, 0.3), True, 0.4)
    same = Bar("same", 0.5, (0.45, 0.55), False, None)
    svg = draw([worse, same])
    first, second = rectangles(svg)
    assert float(first.get("width", "nan")) == pytest.approx(float(second.get("width", "nan")) / 2, abs=0.2)
    assert first.get("fill") == first.get("stroke") != "#fff" and second.get("fill") == "#fff"
    shown = texts(svg)
    assert {"worse", "same", "0.40", "–", "right pipeline 0.500"} <= set(shown)
    assert any("95 % interval" in text for text in shown) and not any("{" in text for text in shown)
    assert any("90 % interval" in text for text in texts(draw([worse], level=90)))


@pytest.mark.parametrize("right", [0.0, 0.02, 0.5, 0.97, 1.0])
def test_everything_lies_inside_the_plot(right: float) -> None:
    bars = [
        Bar("a", 0.0, (-0.4, 0.7), False, 0.0),
        Bar("b", 1.0, (0.3, 1.4), False, 1.0),
        Bar("c", right, None, False, 1.0),
    ]
    svg = draw(bars, right)
    for rectangle in rectangles(svg):
        begin, width = float(rectangle.get("x", "nan")), float(rectangle.get("width", "nan"))
        assert begin == LEFT and LEFT < begin + width <= WIDTH - RIGHT + 0.1
    for path in svg.findall(f"{SVG}path"):
        places = [
            float(part.split(" ")[0].lstrip("MH"))
            for part in path.get("d", "").replace("M", " M").split()
            if part[0] in "MH"
        ]
        assert all(LEFT - 0.1 <= place <= WIDTH - RIGHT + 0.1 for place in places)


def test_texts_are_escaped() -> None:
    nasty = "<b>&\x00"
    assert nasty.replace("\x00", " ") in texts(draw([Bar(nasty, 0.1, None, False, 0.1)], title=nasty, subtitle=nasty))


def test_without_truth_the_agreement_is_drawn_and_what_failed_is_left_out() -> None:
    document = json.loads(SAMPLE.read_bytes())
    document["metric"], document["metrics"] = "", {}
    del document["pitfalls"][0]["agreement"]
    document["pitfalls"][0]["error"] = "no"
    axis, right, bars = bars_of(document)
    assert (axis, right, len(bars)) == ("agreement with the right pipeline", 1.0, 19)
    assert all(bar.value == bar.agreement for bar in bars)
    by_name = {bar.label: bar for bar in bars}
    assert by_name["box-order"].certain and not by_name["fast-decoder"].certain


def test_values_below_zero_are_drawn_at_the_edge() -> None:
    """As a coefficient of determination may be, which has no lower end."""
    svg = draw([Bar("a", -3.0, None, False, None)], right=-0.5)
    assert "right pipeline -0.500" in texts(svg) and len(rectangles(svg)) == 1
