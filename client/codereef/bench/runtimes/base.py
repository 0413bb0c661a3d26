# SPDX-License-Identifier: Apache-2.0
"""What every runtime adapter offers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from codereef.errors import OptionError

Array = npt.NDArray[Any]
Feeds = Mapping[str, Array]


@dataclass(frozen=True)
class Tensor:
    """An input or output of a model: its name, numpy element type and shape (-1 is free)."""

    name: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class RuntimeInfo:
    """Which runtime it is: distribution name, version and what it executes on."""

    name: str
    version: str
    providers: tuple[str, ...]


class Session(Protocol):
    """A loaded model."""

    @property
    def info(self) -> RuntimeInfo:
        """The runtime."""

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """Input tensors in the model's order."""

    @property
    def outputs(self) -> tuple[Tensor, ...]:
        """Output tensors in the model's order."""

    def reshape(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Fix the shapes of inputs whose model leaves them free; called once, before any inference."""

    def resize_batch(self, size: int) -> None:
        """Let axis 0 of every input hold `size` times what one sample has there; 1 goes back.

        Raises:
            OptionError: the model's shape permits no other size.
        """

    def invoke(self, feeds: Feeds) -> dict[str, Array]:
        """One inference: input tensors by name to output tensors by name, as arrays of their own."""


def refuse_unknown(options: Mapping[str, Any], known: tuple[str, ...], runtime: str) -> None:
    """Raise OptionError for an option that the adapter does not know."""
    for name in options:
        if name not in known:
            listed = ", ".join(known) or "none"
            raise OptionError(f"{runtime} has no option {name}; known options: {listed}")


def fixed_batch(tensor: Tensor, size: int, why: str = "") -> OptionError:
    """The error for a model whose input cannot hold `size` samples."""
    shape = ", ".join("?" if side < 0 else str(side) for side in tensor.shape)
    return OptionError(
        f"{size} samples cannot be joined: axis 0 of input {tensor.name} [{shape}] is not free"
        + (f" ({why})" if why else ""),
        hint="measure it with batch=1, or choose a model whose batch axis is free",
    )


def dtype_name(dtype: object) -> str:
    """The numpy name of an element type, such as uint8."""
    return np.dtype(dtype).name  # type: ignore[call-overload,no-any-return]
