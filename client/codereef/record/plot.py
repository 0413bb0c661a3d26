# SPDX-License-Identifier: Apache-2.0
"""A plot of accuracy over latency with its Pareto frontier, as an SVG file that any browser opens.

Drawn here and not by a plotting library: one kind of picture, and no dependency of tens of megabytes on a
Raspberry Pi.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from codereef.record.drawing import COLOURS, escape, horizontal_axis, sheet, ticks, whisker
from codereef.record.pareto import Direction, frontier

WIDTH, HEIGHT = 760, 480
LEFT, RIGHT, TOP, BOTTOM = 76, 24, 82, 64
LEGEND_ROW = 24
LEGEND_SHORT = 44  # letters that half the width holds
#: How far an interval may move the end of its axis, as a multiple of the largest value.
_INTERVAL_REACH = 1.5


@dataclass(frozen=True)
class Point:
    """One result in the plot.

    Attributes:
        label: what is written beside it.
        x: latency, in milliseconds.
        x_interval: its confidence interval, in milliseconds, or None.
        y: accuracy.
    """

    label: str
    x: float
    x_interval: tuple[float, float] | None
    y: float


def _range(values: Sequence[float], least: float) -> tuple[float, float]:
    """Return where an axis begins and ends: around the values, not below zero, and at least `least` long."""
    low, high = min(values), max(values)
    margin = max((high - low) * 0.15, (least - (high - low)) / 2)
    return max(0.0, low - margin), high + margin


def pareto_svg(
    points: Sequence[Point], *, title: str, subtitle: str, x_name: str, y_name: str, x_better: Direction = "lower"
) -> str:
    """Return the plot.

    Args:
        points: at least one.
        title: first line.
        subtitle: second line: model, dataset and machine.
        x_name: name and unit of the horizontal axis.
        y_name: name of the vertical axis; higher is better.
        x_better: which way the horizontal axis is better.
    """
    # An interval of two repetitions can be thousands of times wider than all points lie apart; it is cut at the edge.
    most = _INTERVAL_REACH * max(p.x for p in points)
    xs = [value for p in points for value in (p.x, *(min(bound, most) for bound in p.x_interval or ()))]
    x0, x1 = _range(xs, 0.1 * max(xs) or 1.0)
    # Differences of a thousandth are noise on any of our datasets and must not fill the page.
    y0, y1 = _range([p.y for p in points], 0.02)

    def px(value: float) -> float:
        return LEFT + (value - x0) / (x1 - x0) * (WIDTH - LEFT - RIGHT)

    def py(value: float) -> float:
        return HEIGHT - BOTTOM - (value - y0) / (y1 - y0) * (HEIGHT - TOP - BOTTOM)

    labels = sorted({p.label for p in points})
    columns = 2 if max(len(label) for label in labels) <= LEGEND_SHORT else 1
    height = HEIGHT + LEGEND_ROW * math.ceil(len(labels) / columns)
    out = sheet(WIDTH, height, LEFT, title, subtitle, "filled: on the Pareto frontier · bars: 95 % interval")
    better = "← lower is better" if x_better == "lower" else "higher is better →"
    out += horizontal_axis(x0, x1, px, TOP, HEIGHT - BOTTOM, f"{x_name} ({better})", HEIGHT - 18)
    for tick in ticks(y0, y1):
        out.append(f'<path d="M{LEFT} {py(tick):.1f}H{WIDTH - RIGHT}" stroke="#e8e8e8"/>')
        out.append(f'<text x="{LEFT - 10}" y="{py(tick) + 4:.1f}" text-anchor="end" fill="#555">{tick:g}</text>')
    middle = (TOP + HEIGHT - BOTTOM) / 2
    out.append(
        f'<text x="20" y="{middle:.0f}" text-anchor="middle" fill="#111" transform="rotate(-90 20 {middle:.0f})">{escape(y_name)} (higher is better →)</text>'
    )
    best = frontier([(p.x, p.y) for p in points], x_better, "higher")
    path = ""
    for i, position in enumerate(best):
        point = points[position]
        # A step: between two points nothing better than the accuracy of the one before has been measured.
        path += f"M{px(point.x):.1f} {py(point.y):.1f}" if i == 0 else f"H{px(point.x):.1f}V{py(point.y):.1f}"
    end = WIDTH - RIGHT if x_better == "lower" else LEFT
    out.append(f'<path d="{path}H{end}" fill="none" stroke="#888" stroke-width="1.5" stroke-dasharray="5 4"/>')
    for position, point in enumerate(points):
        number = labels.index(point.label)
        colour, letter = COLOURS[number % len(COLOURS)], _letter(number)
        x, y = px(point.x), py(point.y)
        if point.x_interval:
            low, high = (px(min(value, x1)) for value in point.x_interval)
            out.append(whisker(low, high, y, colour))
        filled = position in best
        out.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="9" fill="{colour if filled else "#fff"}" stroke="{colour}" '
            f'stroke-width="2"/><text x="{x:.1f}" y="{y + 4:.1f}" text-anchor="middle" font-size="11" '
            f'font-weight="600" fill="{"#fff" if filled else colour}">{letter}</text>'
        )
    # A legend with letters, because points of one model lie close together and colours alone tell few people enough.
    for number, label in enumerate(labels):
        x = LEFT + (number % columns) * (WIDTH - LEFT - RIGHT) / columns
        y = HEIGHT + 4 + (number // columns) * LEGEND_ROW
        colour = COLOURS[number % len(COLOURS)]
        out.append(
            f'<circle cx="{x + 8:.1f}" cy="{y - 4}" r="8" fill="{colour}"/><text x="{x + 8:.1f}" y="{y}" '
            f'text-anchor="middle" font-size="11" font-weight="600" fill="#fff">{_letter(number)}</text>'
            f'<text x="{x + 24:.1f}" y="{y}" fill="#111">{escape(label)}</text>'
        )
    return "\n".join([*out, "</svg>"]) + "\n"


def _letter(number: int) -> str:
    """Return A, B, … Z, A1, B1, …"""
    return chr(ord("A") + number % 26) + (str(number // 26) if number >= 26 else "")
