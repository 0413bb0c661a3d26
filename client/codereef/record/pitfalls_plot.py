# SPDX-License-Identifier: Apache-2.0
"""A plot of what mistakes do to accuracy: one horizontal bar a mistake, as an SVG file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from codereef.record.drawing import COLOURS, escape, horizontal_axis, sheet, whisker

WIDTH, LEFT, RIGHT, TOP, ROW, BOTTOM = 860, 214, 96, 112, 28, 62
_BLUE, _RED = COLOURS[0], COLOURS[1]


@dataclass(frozen=True)
class Bar:
    """One line of the plot.

    Attributes:
        label: the mistake.
        value: accuracy with it, or the agreement where there is no truth.
        interval: the interval of the change, put at the value; None where there is none.
        certain: the whole interval lies below the right pipeline.
        agreement: with the right pipeline, or None.
    """

    label: str
    value: float
    interval: tuple[float, float] | None
    certain: bool
    agreement: float | None


def bars_of(document: Mapping[str, Any]) -> tuple[str, float, list[Bar]]:
    """Return what is plotted of a document `codereef-pitfalls/1`: name of the axis, the right value, and the bars."""
    metric = document["metric"]
    right = document["metrics"][metric]["value"] if metric else 1.0
    bars = []
    for row in document["pitfalls"]:
        if "error" in row:
            continue
        agreed = row["agreement"]["value"]
        if not metric:
            if agreed is not None:
                bounds = row["agreement"]["interval"]
                certain = bounds is not None and bounds[1] < 1
                bars.append(Bar(row["name"], agreed, bounds and (bounds[0], bounds[1]), certain, agreed))
            continue
        value, moved = row["metrics"][metric]["value"], row["change"][metric]["interval"]
        interval = None if moved is None else (right + moved[0], right + moved[1])
        if value is not None:
            bars.append(Bar(row["name"], value, interval, moved is not None and moved[1] < 0, agreed))
    return metric or "agreement with the right pipeline", right, bars


def pitfalls_svg(
    axis: str, right: float, bars: Sequence[Bar], *, title: str, subtitle: str, level: float = 95.0
) -> str:
    """Return the plot.

    Args:
        axis: name of what the bars show; higher is better.
        right: its value for the right pipeline, drawn as a line.
        bars: from top to bottom.
        title: first line.
        subtitle: second line: dataset, images and runtime.
        level: of the intervals, in per cent.
    """
    ends = [right, *(b.value for b in bars), *(end for b in bars for end in (b.interval or ()))]
    # Shares end at 1, and an interval that reaches below 0 says no more than one that reaches 0.
    high = min(1.0, max(ends) * 1.04) if max(ends) <= 1.0 or right <= 1.0 else max(ends) * 1.04
    high = high if high > 0 else 1.0  # a coefficient of determination may be below 0 everywhere
    height = TOP + ROW * len(bars) + BOTTOM
    floor = TOP + ROW * len(bars)

    def px(value: float) -> float:
        return LEFT + min(max(value, 0.0), high) / high * (WIDTH - LEFT - RIGHT)

    reading = f"lines: {level:g} % interval of the change · filled: all of it is worse · outlined: not all of it is"
    out = sheet(WIDTH, height, 20, title, subtitle, reading)
    out += horizontal_axis(0.0, high, px, TOP, floor, f"{axis} (higher is better →)", height - 16)
    out.append(f'<text x="{WIDTH - 20}" y="{TOP - 12}" text-anchor="end" fill="#555">agreement</text>')
    for number, bar in enumerate(bars):
        out += _bar(bar, TOP + ROW * number, px)
    out.append(
        f'<path d="M{px(right):.1f} {TOP - 6}V{floor}" stroke="#111" stroke-width="1.5" stroke-dasharray="5 4"/>'
    )
    # At the far end the text would run into the column of agreements.
    anchor, shift = ("end", 6) if px(right) > (LEFT + WIDTH - RIGHT) / 2 else ("start", -6)
    out.append(
        f'<text x="{px(right) + shift:.1f}" y="{TOP - 12}" text-anchor="{anchor}" font-weight="600" fill="#111">'
        f"right pipeline {right:.3f}</text>"
    )
    return "\n".join([*out, "</svg>"]) + "\n"


def _bar(bar: Bar, top: float, px: Any) -> list[str]:
    middle, colour = top + ROW / 2, _RED if bar.certain else _BLUE
    begin, end = px(0.0), px(bar.value)
    fill = colour if bar.certain else "#fff"
    out = [
        f'<text x="{LEFT - 10}" y="{middle + 4:.1f}" text-anchor="end" fill="#111">{escape(bar.label)}</text>',
        f'<rect x="{begin:.1f}" y="{middle - 8:.1f}" width="{max(end - begin, 1.5):.1f}" height="16" fill="{fill}" '
        f'fill-opacity="0.85" stroke="{colour}"/>',
    ]
    if bar.interval is not None:
        out.append(whisker(px(bar.interval[0]), px(bar.interval[1]), middle, "#333"))
    shown = "–" if bar.agreement is None else f"{bar.agreement:.2f}"
    out.append(f'<text x="{WIDTH - 20}" y="{middle + 4:.1f}" text-anchor="end" fill="#111">{shown}</text>')
    return out
