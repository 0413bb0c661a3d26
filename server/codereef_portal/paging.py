# SPDX-License-Identifier: Apache-2.0
"""Keyset cursors: a page starts after the last row of the one before, however deep it lies."""

from __future__ import annotations

import base64
import binascii
import json
import math
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from codereef.errors import UsageError
from sqlalchemy import ColumnElement, and_, or_
from sqlalchemy.sql.expression import SQLColumnExpression

Row = TypeVar("Row")
MAX_LIMIT = 200


@dataclass(frozen=True)
class Page(Generic[Row]):
    """Rows of one page and the cursor of the next, None on the last."""

    rows: list[Row]
    next_cursor: str | None


def encode_cursor(value: float | str, identity: int) -> str:
    """Return an opaque cursor after the row with that sort value and id."""
    return base64.urlsafe_b64encode(json.dumps([value, identity]).encode()).decode().rstrip("=")


def decode_cursor(text: str, kind: type[float] | type[str] | type[int]) -> tuple[Any, int]:
    """Read a cursor.

    Raises:
        UsageError: not a cursor of this list.
    """
    try:
        value, identity = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        good = isinstance(identity, int) and abs(identity) < 2**62 and not isinstance(identity, bool)
        if kind is str:
            good = good and isinstance(value, str) and "\x00" not in value
        else:
            good = good and isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    except (ValueError, TypeError, binascii.Error, OverflowError, RecursionError):
        good = False
    if not good:
        raise UsageError("The cursor is not one that this list gave out.", hint="Start again without `cursor`.")
    return (value if kind is str else kind(value)), identity


def after(
    column: SQLColumnExpression[Any],
    identity: SQLColumnExpression[int],
    descending: bool,
    value: float | str,
    last: int,
) -> ColumnElement[bool]:
    """Return the condition that a row stands after (value, last); ids break ties in the same direction, as
    indexes do."""
    if descending:
        return or_(column < value, and_(column == value, identity < last))
    return or_(column > value, and_(column == value, identity > last))
