# SPDX-License-Identifier: Apache-2.0
"""The plot, and what must not be in a result."""

from __future__ import annotations

import getpass
import platform
import re
import xml.etree.ElementTree as ET

import pytest
from codereef.record.plot import WIDTH, Point, pareto_svg
from codereef.record.privacy import scrub
from hypothesis import given, settings
from hypothesis import strategies as st


def draw(points: list[Point], **texts: str) -> ET.Element:
    names = {"title": "Title", "subtitle": "Subtitle", "x_name": "latency, ms", "y_name": "mAP", **texts}
    return ET.fromstring(pareto_svg(points, **names))


def texts(svg: ET.Element) -> list[str]:
    return [element.text or "" for element in svg.iter("{http://www.w3.org/2000/svg}text")]


def test_the_plot_is_well_formed_and_has_every_label() -> None:
    points = [
        Point("A fp32", 10.0, (9.5, 10.5), 0.6),
        Point("B int8", 5.0, None, 0.55),
        Point("C int8", 12.0, (11.0, 13.0), 0.5),
    ]
    svg = draw(points)
    shown = texts(svg)
    for wanted in ("Title", "Subtitle", "A fp32", "B int8", "C int8"):
        assert wanted in shown
    assert any("latency, ms" in text and "lower is better" in text for text in shown)
    assert any("mAP" in text and "higher is better" in text for text in shown)
    circles = [circle for circle in svg.iter("{http://www.w3.org/2000/svg}circle") if circle.get("r") == "9"]
    assert [circle.get("fill") == "#fff" for circle in circles] == [False, False, True], "C is dominated"


def test_an_axis_on_which_more_is_better_turns_the_frontier_round() -> None:
    points = [Point("slow", 100.0, None, 0.6), Point("fast", 200.0, None, 0.6)]
    svg = ET.fromstring(
        pareto_svg(points, title="T", subtitle="S", x_name="queries/s", y_name="mAP", x_better="higher")
    )
    assert any("queries/s (higher is better" in text for text in texts(svg))
    circles = [circle for circle in svg.iter("{http://www.w3.org/2000/svg}circle") if circle.get("r") == "9"]
    assert [circle.get("fill") == "#fff" for circle in circles] == [True, False], "the slow one is dominated"


def test_long_labels_have_a_line_of_their_own() -> None:
    long = [f"format=onnx,precision=fp32,threads={i},batch=64,mode=fast" for i in range(3)]
    places = [
        e.get("x")
        for e in draw([Point(n, 1.0, None, 0.5) for n in long]).iter("{http://www.w3.org/2000/svg}text")
        if e.text in long
    ]
    assert len(places) == 3 and len(set(places)) == 1


def test_texts_are_escaped() -> None:
    nasty = "<script>alert('x')</script> & \"y\" \x00\x07\ud800"
    shown = texts(draw([Point(nasty, 1.0, None, 0.5)], title=nasty, subtitle=nasty, x_name=nasty, y_name=nasty))
    assert shown.count("<script>alert('x')</script> & \"y\"    ") == 3


def test_every_label_has_a_place_of_its_own() -> None:
    svg = draw([Point(name, 1.0, None, 0.5) for name in "abc"])
    places = [
        (e.get("x"), e.get("y")) for e in svg.iter("{http://www.w3.org/2000/svg}text") if e.text in ("a", "b", "c")
    ]
    assert len(set(places)) == 3


finite = st.floats(1e-6, 1e6)


@settings(max_examples=60)
@given(st.lists(st.tuples(finite, st.floats(0, 1)), min_size=1, max_size=12))
def test_every_point_lies_inside_the_plot(values: list[tuple[float, float]]) -> None:
    svg = draw([Point(f"p{i}", x, (x * 0.9, x * 1.1), y) for i, (x, y) in enumerate(values)])
    width, height = (float(number) for number in svg.get("viewBox", "").split()[2:])
    for circle in svg.iter("{http://www.w3.org/2000/svg}circle"):
        assert 0 <= float(circle.get("cx", "nan")) <= width
        assert 0 <= float(circle.get("cy", "nan")) <= (416 if circle.get("r") == "9" else height)
    ticks = [text for text in texts(svg) if text.replace(".", "").replace("e-", "").replace("e+", "").isdigit()]
    assert 4 <= len(ticks) <= 30


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("cannot open /home/joe/data/model.onnx: no", "cannot open …/model.onnx: no"),
        ("cannot open /home/joe", "cannot open …"),
        ("in /Users/joe/: nothing", "in …: nothing"),
        ("in '/home/joe' and \"/home/joe/\"", "in '…' and \"…\""),
        ("cannot open '/home/John Smith/my model.onnx'", "cannot open '…/my model.onnx'"),
        ("Error:/home/joe/x.py:3", "Error:…/x.py:3"),
        ("from file:///home/joe/x.bin", "from …/x.bin"),
        ("PATH=/usr/local/bin:/home/joe/bin", "PATH=…/bin:…/bin"),
        ("~/secret/x.bin", "…/x.bin"),
        (r"C:\Users\joe\x.bin is gone", r"…\x.bin is gone"),
        ("https://joe:pw@host.example/a/b", "https://host.example/a/b"),
        ("https://host.example/a/b/c.onnx", "https://host.example/a/b/c.onnx"),
        ("device 52:54:00:ab:CD:ef is up", "device … is up"),
        ("device 52-54-00-ab-cd-ef is up", "device … is up"),
        ("at 10:20:30 on 2026-01-02, 3/4 done, and/or 1/2", "at 10:20:30 on 2026-01-02, 3/4 done, and/or 1/2"),
        ("sha256:52540000abcdef", "sha256:52540000abcdef"),
        ("", ""),
    ],
)
def test_paths_addresses_and_credentials_are_taken_out(text: str, clean: str) -> None:
    assert scrub(text) == clean


@pytest.mark.parametrize(
    "name", [n for n in (platform.node(), getpass.getuser()) if len(n) > 4] or ["this machine has only short names"]
)
def test_names_of_host_and_user_are_taken_out(name: str) -> None:
    shown = scrub(f"failed on {name.upper()}; {name}")
    assert (name in shown) is (name == "this machine has only short names")


@given(st.text())
def test_cleaning_twice_changes_nothing_more(text: str) -> None:
    once = scrub(text)
    assert scrub(once) == once


def test_an_interval_far_wider_than_the_points_lie_apart_does_not_set_the_axis() -> None:
    svg = pareto_svg(
        [Point("a", 1.0, (0.01, 900.0), 0.5), Point("b", 1.1, (1.0, 1.2), 0.6)],
        title="t",
        subtitle="s",
        x_name="x",
        y_name="y",
    )
    places = [float(x) for x in re.findall(r'<circle cx="([0-9.]+)" cy="[0-9.]+" r="9"', svg)]
    assert abs(places[0] - places[1]) > 20, "both would lie on one spot"
    assert all(float(x) <= WIDTH for x in re.findall(r"H([0-9.]+)", svg))
