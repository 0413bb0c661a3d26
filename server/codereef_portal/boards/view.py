# SPDX-License-Identifier: Apache-2.0
"""What a person looks at on a board: filters, axes and order, read from an address and written to one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlencode

from codereef_portal.boards.counts import DIMENSIONS
from codereef_portal.boards.models import Board
from codereef_portal.results.metrics import Metric, describe

ALL = "all"
NEWEST = "newest"


@dataclass(frozen=True)
class View:
    """A view of a board.

    Attributes:
        filters: wanted values by dimension; a dimension that is absent is not narrowed.
        x: metric on the horizontal axis.
        y: metric on the vertical axis.
        log_x: whether the horizontal axis is logarithmic.
        log_y: whether the vertical axis is logarithmic.
        sort: `newest` or a metric.
        descending: whether larger values of the sort metric stand first.
        chosen: dimensions the address names; the others have a board's default.
    """

    filters: Mapping[str, tuple[str, ...]]
    x: str
    y: str
    log_x: bool
    log_y: bool
    sort: str
    descending: bool
    chosen: frozenset[str]

    @property
    def identity(self) -> str:
        """A digest of what decides the points: filters and axes."""
        parts = [sorted((key, sorted(values)) for key, values in self.filters.items()), self.x, self.y]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def query(self, board: Board, **changes: object) -> str:
        """Return the address part of this view with changes; only what differs from the board's defaults
        stands in it."""
        view = replace(self, **changes)  # type: ignore[arg-type]
        pairs: list[tuple[str, str]] = []
        for dimension in DIMENSIONS:
            if dimension in view.chosen:
                pairs.extend((dimension, value) for value in view.filters.get(dimension, (ALL,)))
        pairs += [("x", view.x)] if view.x != board.x else []
        pairs += [("y", view.y)] if view.y != board.y else []
        for name, metric, log in (("xscale", view.x, view.log_x), ("yscale", view.y, view.log_y)):
            if log != default_log(board, metric):
                pairs.append((name, "log" if log else "linear"))
        if view.sort != board.x or view.descending != default_descending(board, view.sort):
            pairs += [("sort", view.sort), ("order", "desc" if view.descending else "asc")]
        return urlencode(pairs)

    def without(self, board: Board, dimension: str, value: str) -> str:
        """Return the address part of this view with one wanted value dropped."""
        left = tuple(kept for kept in self.filters.get(dimension, ()) if kept != value)
        filters = {key: values for key, values in self.filters.items() if key != dimension}
        if left:
            filters[dimension] = left
        return self.query(board, filters=filters, chosen=self.chosen | {dimension})


def metric_of(board: Board, name: str) -> Metric:
    """Return a metric of a board."""
    return describe(name, board.metrics.get(name))


def default_log(board: Board, name: str) -> bool:
    """Return whether a board shows a metric on a logarithmic axis when nobody asks."""
    return (board.metrics.get(name) or {}).get("scale") == "log"


def default_descending(board: Board, sort: str) -> bool:
    """Return whether the better values of a metric are the larger ones."""
    return sort == NEWEST or metric_of(board, sort).direction == "higher"


def read_view(board: Board, known: Mapping[str, Sequence[str]], pairs: Sequence[tuple[str, str]]) -> View:
    """Read a view from the pairs of an address; what a board does not know falls back to its defaults.

    Where the address says nothing, runs that failed are left out, and one dataset and one scenario are taken, those
    with the most results, since accuracy on different data and latency under different load cannot be compared.

    Args:
        board: the board.
        known: values of its dimensions, those with the most results first.
        pairs: keys and values in order; a key may come again.
    """
    given: dict[str, list[str]] = {}
    for key, value in pairs:
        if value and "\x00" not in value:
            given.setdefault(key, []).append(value[:300])
    filters: dict[str, tuple[str, ...]] = {}
    for dimension in DIMENSIONS:
        values = given.get(dimension, [])
        if values and ALL not in values:
            filters[dimension] = tuple(dict.fromkeys(values[:40]))
    chosen = frozenset(dimension for dimension in DIMENSIONS if dimension in given)
    if "status" not in chosen:
        filters["status"] = ("ok",)
    for dimension in ("dataset", "scenario"):
        if dimension not in chosen and known.get(dimension):
            filters[dimension] = (known[dimension][0],)

    def last(key: str) -> str:
        return given.get(key, [""])[-1]

    x = last("x") if last("x") in board.metrics else board.x
    y = last("y") if last("y") in board.metrics else board.y
    sort = last("sort") if last("sort") in board.metrics or last("sort") == NEWEST else board.x
    return View(
        filters=filters,
        x=x,
        y=y,
        log_x=last("xscale") == "log" if last("xscale") else default_log(board, x),
        log_y=last("yscale") == "log" if last("yscale") else default_log(board, y),
        sort=sort,
        descending=last("order") == "desc" if last("order") else default_descending(board, sort),
        chosen=chosen,
    )
