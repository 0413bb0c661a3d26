# SPDX-License-Identifier: Apache-2.0
"""Charts drawn on the server as SVG: readable without scripts, printable, coloured by classes of the style
sheet."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from codereef_portal.results.metrics import Metric, significant

_SHAPES = ("circle", "square", "diamond", "triangle")


def mark(slot: int, x: float, y: float, size: float = 5.0) -> Markup:
    """Draw the mark of a colour slot; its shape is a second channel beside the colour."""
    shape = _SHAPES[slot % len(_SHAPES)]
    if shape == "circle":
        return Markup('<circle class="mark s{}" cx="{:.1f}" cy="{:.1f}" r="{:.1f}"/>').format(slot, x, y, size)
    outlines = {
        "square": ((-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)),
        "diamond": ((0, -1.3), (1.3, 0), (0, 1.3), (-1.3, 0)),
        "triangle": ((0, -1.2), (1.15, 0.85), (-1.15, 0.85)),
    }
    corners = " ".join(f"{x + dx * size:.1f},{y + dy * size:.1f}" for dx, dy in outlines[shape])
    return Markup('<polygon class="mark s{}" points="{}"/>').format(slot, corners)


def legend_mark(slot: int) -> Markup:
    """Draw a mark on its own, for a legend."""
    return Markup('<svg class="key" viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">{}</svg>').format(
        mark(slot, 8, 8)
    )


def ticks(low: float, high: float, log: bool, wanted: int = 5) -> list[float]:
    """Return round values between two bounds."""
    if log:
        found: list[float] = []
        decades = math.log10(high / low)
        steps: tuple[float, ...] = (
            (1,)
            if decades > 3
            else (1, 3)
            if decades > 1.5
            else (1, 2, 5)
            if decades > 0.7
            else (1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9)
        )
        for exponent in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1):
            found.extend(step * 10.0**exponent for step in steps if low <= step * 10.0**exponent <= high)
        if len(found) >= 2:
            return found
    raw = (high - low) / wanted
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(unit * factor for factor in (1, 2, 2.5, 5, 10) if unit * factor >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [i * step for i in range(first, math.floor(high / step + 1e-9) + 1)]


def bounds(values: Sequence[float], log: bool) -> tuple[float, float]:
    """Return the ends of an axis that holds the values with room around them."""
    low, high = min(values), max(values)
    if log:
        span = max(math.log(high / low), 0.2)
        return low / math.exp(span * 0.12), high * math.exp(span * 0.12)
    span = (high - low) or abs(high) * 0.2 or 1.0
    return low - span * 0.12, high + span * 0.12


def _scale(ends: tuple[float, float], log: bool, start: float, stop: float) -> Callable[[float], float]:
    low, high = (math.log(end) for end in ends) if log else ends

    def place(value: float) -> float:
        position = math.log(value) if log else value
        return start + (position - low) / (high - low) * (stop - start)

    return place


def axis_title(metric: Metric) -> str:
    """Name an axis with its unit."""
    unit = f", {metric.shown}" if metric.shown else ""
    return metric.label + unit


def _line(cls: str, x1: float, y1: float, x2: float, y2: float) -> Markup:
    line = Markup('<line class="{}" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/>')
    return line.format(cls, x1, y1, x2, y2)


def _text(cls: str, x: float, y: float, words: str, anchor: str = "middle") -> Markup:
    text = Markup('<text class="{}" x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>')
    return text.format(cls, x, y, anchor, words)


def _plot(parts: Sequence[Markup], width: int, height: int, label: str, cls: str = "plot") -> Markup:
    plot = Markup('<svg class="{}" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>')
    return plot.format(cls, width, height, label, Markup("").join(parts))


def _rules(at: Callable[[float], float], values: Sequence[float], left: float, right: float) -> list[Markup]:
    """Draw the horizontal rules of a vertical axis with their numbers."""
    parts = [_line("grid", left, at(value), right, at(value)) for value in values]
    return parts + [_text("tick", left - 8, at(value) + 4, f"{value:,.6g}", "end") for value in values]


def scatter(
    points: Sequence[Mapping[str, Any]],
    frontier: Sequence[Mapping[str, Any]],
    x: Metric,
    y: Metric,
    log_x: bool,
    log_y: bool,
    slots: Mapping[str, int],
    color: str,
    width: int = 720,
    height: int = 430,
) -> Markup:
    """Draw accuracy over cost or any two metrics: marks, uncertainty bars and the frontier as a step line.

    The better corner is always the upper left: an axis whose better end lies elsewhere runs backwards.

    Args:
        points: values as the points of a view hold them, with bounds that may be None.
        frontier: those of them on the frontier, along the better x first.
        x: metric on the horizontal axis.
        y: metric on the vertical axis.
        log_x: whether the horizontal axis is logarithmic, where all values are positive.
        log_y: whether the vertical axis is logarithmic, where all values are positive.
        slots: colour slot of each value of `color`.
        color: key whose values have colours.
        width: width in SVG units.
        height: height in SVG units.
    """
    log_x = log_x and all(point["x"] > 0 and (point["x_lo"] is None or point["x_lo"] > 0) for point in points)
    log_y = log_y and all(point["y"] > 0 and (point["y_lo"] is None or point["y_lo"] > 0) for point in points)
    left, right, top, bottom = 64, width - 18, 18, height - 52

    def every(axis: str) -> list[float]:
        keys = (axis, f"{axis}_lo", f"{axis}_hi")
        return [point[key] for point in [*points, *frontier] for key in keys if point[key] is not None]

    ends_x, ends_y = bounds(every("x"), log_x), bounds(every("y"), log_y)
    at_x = _scale(ends_x, log_x, *((right, left) if x.direction == "higher" else (left, right)))
    at_y = _scale(ends_y, log_y, *((top, bottom) if y.direction == "lower" else (bottom, top)))
    parts: list[Markup] = []
    for value in ticks(*ends_x, log_x):
        parts.append(_line("grid", at_x(value), top, at_x(value), bottom))
        parts.append(_text("tick", at_x(value), bottom + 18, f"{value:,.6g}"))
    parts += _rules(at_y, ticks(*ends_y, log_y), left, right)
    parts.append(_text("axis", (left + right) / 2, height - 10, _with_arrow(x, "←")))
    upright = Markup('<g transform="translate(14 {}) rotate(-90)">{}</g>')
    parts.append(upright.format((top + bottom) / 2, _text("axis", 0, 0, _with_arrow(y, "→"))))
    if len(frontier) > 1:
        path = [f"M{at_x(frontier[0]['x']):.1f} {at_y(frontier[0]['y']):.1f}"]
        path += [f"H{at_x(point['x']):.1f}V{at_y(point['y']):.1f}" for point in frontier[1:]]
        parts.append(Markup('<path class="frontier" d="{}"/>').format("".join(path)))
    on_line = {point["id"] for point in frontier}
    drawn = [point for point in points if point["id"] not in on_line] + list(frontier)
    for point in drawn:
        px, py = at_x(point["x"]), at_y(point["y"])
        if len(drawn) <= 150 and point["x_lo"] is not None:
            parts.append(_line("bar", at_x(point["x_lo"]), py, at_x(point["x_hi"]), py))
        if len(drawn) <= 150 and point["y_lo"] is not None:
            parts.append(_line("bar", px, at_y(point["y_lo"]), px, at_y(point["y_hi"])))
        label = f"{point['model']}, {point['precision']}, {point['runtime']}, {point['machine']}"
        link = Markup('<a href="/r/{0}" aria-label="{1}"><title>{1}</title>{2}</a>')
        size = 5.5 if point["id"] in on_line else 4.5
        parts.append(link.format(point["id"], label, mark(slots.get(point[color], 0), px, py, size)))
    label = f"{axis_title(y)} over {axis_title(x)}, {len(points)} points; the table below holds the values"
    return _plot(parts, width, height, label)


def _with_arrow(metric: Metric, arrow: str) -> str:
    words = {"lower": f"{arrow} lower is better", "higher": f"{arrow} higher is better"}.get(metric.direction)
    return f"{axis_title(metric)}   {words}" if words else axis_title(metric)


def _percentile(ordered: Sequence[float], share: float) -> float:
    position = (len(ordered) - 1) * share
    low = math.floor(position)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (position - low)


def samples_plot(values: Sequence[float], unit: str, width: int = 720, height: int = 220) -> Markup:
    """Draw raw samples in the order taken, with their median; at most 2,000 marks, by stride, and it says
    so."""
    left, right, top, bottom = 64, width - 12, 12, height - 34
    stride = max(1, math.ceil(len(values) / 2000))
    ends = bounds(values, False)
    ends = (max(0.0, ends[0]) if min(values) >= 0 else ends[0], ends[1])
    at_x = _scale((0, max(1, len(values) - 1)), False, left, right)
    at_y = _scale(ends, False, bottom, top)
    median = _percentile(sorted(values), 0.5)
    parts = _rules(at_y, ticks(*ends, False, 4), left, right)
    dots = "".join(f"M{at_x(i):.1f} {at_y(values[i]):.1f}h0" for i in range(0, len(values), stride))
    parts.append(Markup('<path class="dots" d="{}"/>').format(dots))
    parts.append(_line("median", left, at_y(median), right, at_y(median)))
    shown = f", every {stride}th shown" if stride > 1 else ""
    parts.append(_text("axis", (left + right) / 2, height - 8, f"sample number, 1 to {len(values)}{shown} ({unit})"))
    label = f"{len(values)} samples in the order taken, median {significant(median)} {unit}"
    return _plot(parts, width, height, label)


def percentile_strip(values: Sequence[float], unit: str, width: int = 720, height: int = 64) -> Markup:
    """Draw the spread of raw samples on one line: the extremes thin, p10 to p90 thick, the quarters, the
    median.

    Percentiles take the place of the extremes where ten samples lie beyond them. Rare stragglers would
    squeeze all
    else into one spot, so the axis ends eight interquartile ranges above the upper quarter; the label tells
    where the samples end.
    """
    ordered = sorted(values)
    n = len(ordered)
    named = {"p1": 0.01, "p99": 0.99} if n >= 1000 else {"min": 0.0, "max": 1.0}
    (low_name, low), (high_name, high) = [(name, _percentile(ordered, share)) for name, share in named.items()]
    quarter, median, three_quarters = (_percentile(ordered, share) for share in (0.25, 0.5, 0.75))
    spread = three_quarters - quarter
    end = min(high, three_quarters + 8 * spread) if spread > 0 else high
    at = _scale((low, end if end > low else low + (abs(low) or 1.0)), False, 60, width - 60)
    middle = 22
    parts = [_line("whisker", at(low), middle, at(end), middle)]
    if n >= 100:
        wide = at(_percentile(ordered, 0.1)), at(min(end, _percentile(ordered, 0.9)))
        parts.append(_line("wide", wide[0], middle, wide[1], middle))
    parts.append(_line("box", at(quarter), middle, at(three_quarters), middle))
    parts.append(_line("median", at(median), middle - 13, at(median), middle + 13))
    parts.append(_text("tick", at(median), height - 8, f"p50 {significant(median)} {unit}"))
    beyond = " ›" if high > end else ""
    for name, place, value in ((low_name, at(low), low), (high_name, at(end), high)):
        # Two labels closer than this would overlap at the larger letters of a narrow screen.
        if abs(place - at(median)) >= 150:
            words = f"{name} {significant(value)} {unit}{beyond if name == high_name else ''}"
            parts.append(_text("tick", place, height - 8, words))
    return _plot(parts, width, height, f"Spread of {n} samples", "plot strip")
