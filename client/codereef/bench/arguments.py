# SPDX-License-Identifier: Apache-2.0
"""Typed access to the arguments of a processing step, with errors that name the step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional, TypeVar

from codereef.errors import MetadataError

Function = TypeVar("Function")


class Arguments:
    """The arguments of one step.

    Args:
        step: the step's name.
        values: its arguments as decoded JSON.
    """

    def __init__(self, step: str, values: Mapping[str, Any]) -> None:
        self.step, self.values = step, values

    def error(self, message: str) -> MetadataError:
        """An error about this step."""
        return MetadataError(
            f"processing step {self.step}: {message}",
            hint="correct the step in the model's cr.json",
            context={"step": self.step},
        )

    def _wrong(self, key: str, expected: str) -> MetadataError:
        return self.error(f"`{key}` must be {expected}, found {self.values.get(key)!r}")

    def text(self, key: str) -> str:
        """Required text."""
        value = self.values.get(key)
        if not isinstance(value, str):
            raise self._wrong(key, "text")
        return value

    def maybe_text(self, key: str) -> Optional[str]:
        """Text, or None when it is absent."""
        return self.text(key) if key in self.values else None

    def number(self, key: str) -> float:
        """Required number."""
        value = self.values.get(key)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self._wrong(key, "a number")
        return float(value)

    def maybe_number(self, key: str) -> Optional[float]:
        """Number, or None when it is absent."""
        return self.number(key) if key in self.values else None

    def number_or(self, key: str, default: float) -> float:
        """Number, or a default when it is absent."""
        return self.number(key) if key in self.values else default

    def texts(self, key: str) -> list[str]:
        """Required list of texts."""
        value = self.values.get(key)
        if not isinstance(value, list) or not value or not all(isinstance(v, str) for v in value):
            raise self._wrong(key, "a list of texts")
        return list(value)

    def integer(self, key: str, default: Optional[int] = None) -> int:
        """Integer; `default` makes it optional."""
        value = self.values.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self._wrong(key, "an integer")
        return value

    def maybe_integer(self, key: str) -> Optional[int]:
        """Integer, or None when it is absent."""
        return self.integer(key) if key in self.values else None

    def flag(self, key: str, default: bool) -> bool:
        """Boolean with a default."""
        value = self.values.get(key, default)
        if not isinstance(value, bool):
            raise self._wrong(key, "true or false")
        return value

    def numbers(self, key: str) -> list[float]:
        """A number or a list of numbers, as a list."""
        value = self.values.get(key)
        values: list[Any] = value if isinstance(value, list) else [value]
        if not values or any(isinstance(v, bool) or not isinstance(v, (int, float)) for v in values):
            raise self._wrong(key, "a number or a list of numbers")
        return [float(v) for v in values]

    def maybe_integers(self, key: str) -> Optional[list[int]]:
        """A list of integers, or None when it is absent."""
        if key not in self.values:
            return None
        value = self.values[key]
        if not isinstance(value, list) or any(isinstance(v, bool) or not isinstance(v, int) for v in value):
            raise self._wrong(key, "a list of integers")
        return list(value)

    def size(self, key: str) -> Optional[tuple[int, int]]:
        """Height and width in pixels, or None when it is absent."""
        values = self.maybe_integers(key)
        if values is None:
            return None
        if len(values) != 2 or min(values) < 1:
            raise self._wrong(key, "height and width, two positive integers")
        return values[0], values[1]


def only_step(step: Mapping[str, Any], known: Mapping[str, Function], kind: str) -> tuple[Function, Arguments]:
    """The function and the arguments of a step written as an object with one key.

    Raises:
        MetadataError: the step has not one key, or nobody knows its name.
    """
    if len(step) != 1:
        raise MetadataError(f"an {kind} step has {len(step)} keys instead of one: {', '.join(step)}")
    name, values = next(iter(step.items()))
    if name not in known:
        raise MetadataError(
            f"unknown {kind} step {name}; known: {', '.join(known)}",
            hint="correct the step in the model's cr.json, or update codereef",
        )
    if not isinstance(values, Mapping):
        raise MetadataError(f"processing step {name}: its arguments must be an object, found {values!r}")
    return known[name], Arguments(name, values)
