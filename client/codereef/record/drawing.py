# SPDX-License-Identifier: Apache-2.0
"""What plots share, as SVG text: the sheet with its title, a horizontal axis, intervals, colours."""

from __future__ import annotations

import math
from collections.abc import Callable
from html import escape as _escape

# Okabe and Ito's colours, which people with the common colour blindnesses can tell apart.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


def escape(text: str) -> str:
    """Escape for XML, which has no form at all for most control characters."""
    return _escape(
        "".join(" " if ord(c) < 32 or 0xD800 <= ord(c) <= 0xDFFF or ord(c) in (0xFFFE, 0xFFFF) else c for c in text)
    )


def ticks(low: float, high: float, count: int = 6) -> list[float]:
    """Return about `count` round numbers from `low` to `high`."""
    span = high - low or abs(high) or 1.0
    raw = span / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= raw)
    first = math.ceil(low / step - 1e-9)
    return [round((first + i) * step, 12) for i in range(int((high - first * step) / step + 1e-9) + 1)]


def sheet(width: int, height: int, left: int, title: str, subtitle: str, third: str) -> list[str]:
    """Return the beginning of a plot: a white ground and three lines of text over what is drawn.

    Args:
        width, height: of all of it, in pixels.
        left: where the lines begin.
        title: first line.
        subtitle: second line.
        third: third line, which says how to read the plot.
    """
    return [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" font-family="system-ui, sans-serif" font-size="13"><title>{escape(title)}</title>',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
        f'<text x="{left}" y="26" font-size="17" font-weight="600" fill="#111">{escape(title)}</text>',
        f'<text x="{left}" y="46" fill="#555">{escape(subtitle)}</text>',
        f'<text x="{left}" y="66" fill="#555">{escape(third)}</text>',
    ]


def horizontal_axis(
    low: float, high: float, px: Callable[[float], float], top: float, floor: float, name: str, name_y: float
) -> list[str]:
    """Return the lines of a horizontal axis with their numbers under them, and its name.

    Args:
        low, high: where it begins and ends.
        px: gives the place of a value.
        top, floor: where the lines begin and end.
        name: of the axis.
        name_y: where that stands.
    """
    out = []
    for tick in ticks(low, high):
        out.append(f'<path d="M{px(tick):.1f} {top}V{floor}" stroke="#e8e8e8"/>')
        out.append(f'<text x="{px(tick):.1f}" y="{floor + 20}" text-anchor="middle" fill="#555">{tick:g}</text>')
    middle = (px(low) + px(high)) / 2
    out.append(f'<text x="{middle:.0f}" y="{name_y}" text-anchor="middle" fill="#111">{escape(name)}</text>')
    return out


def whisker(low: float, high: float, y: float, colour: str) -> str:
    """Return an interval as a line with a stroke at either end; all places in pixels."""
    return (
        f'<path d="M{low:.1f} {y:.1f}H{high:.1f}M{low:.1f} {y - 4:.1f}v8M{high:.1f} {y - 4:.1f}v8" '
        f'stroke="{colour}" stroke-width="1.5"/>'
    )
