# SPDX-License-Identifier: Apache-2.0
"""The options that the measuring programs share, typed and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from codereef.errors import UsageError


@dataclass(frozen=True)
class Options:
    """Options of a program; the defaults are those of its cr.json.

    Attributes:
        threads: threads of one inference.
        max_seconds: budget of the measurement phase, seconds.
        min_samples: fewest latency samples, where the budget allows.
        max_samples: most latency samples.
        relative_width: measuring ends when the interval of the median is this fraction of it wide.
        confidence: level of all intervals, 0 to 1.
        warmup_seconds: length of the warm-up.
        warmup_samples: fewest warm-up inferences.
        input_limit: most images kept ready as tensors for measuring.
        accuracy_limit: images of the accuracy pass; 0 is all.
        limit: images of the action `run`.
        workers: items prepared at once in the accuracy pass; 0 is one for each processor, up to 8.
        seed: of the bootstrap.
    """

    threads: int = 1
    max_seconds: float = 10.0
    min_samples: int = 1000
    max_samples: int = 10_000
    relative_width: float = 0.02
    confidence: float = 0.95
    warmup_seconds: float = 1.0
    warmup_samples: int = 3
    input_limit: int = 64
    accuracy_limit: int = 0
    limit: int = 4
    workers: int = 0
    seed: int = 1


_LEAST = {
    "threads": 1, "max_seconds": 0.001, "min_samples": 1, "max_samples": 1, "relative_width": 0.0,
    "confidence": 0.5, "warmup_seconds": 0.0, "warmup_samples": 1, "input_limit": 1, "accuracy_limit": 0,
    "limit": 1, "workers": 0, "seed": 0,
}  # fmt: skip
_MOST = {"confidence": 0.9999, "threads": 1024, "workers": 64, "max_samples": 10_000_000}


def parse_options(given: Mapping[str, Any], runtime: Mapping[str, Any]) -> tuple[Options, dict[str, Any]]:
    """Check options and split off those of the runtime.

    Args:
        given: the program's options.
        runtime: the runtime's options; its `threads` counts when the program's are silent about it.

    Returns:
        The options, and what is left for the runtime adapter.

    Raises:
        UsageError: an option is unknown, of the wrong type or out of its range.
    """
    rest = dict(runtime)
    values = {"threads": rest.pop("threads"), **given} if "threads" in rest else dict(given)
    known = {field.name: field.default for field in fields(Options)}
    checked: dict[str, Any] = {}
    for name, value in values.items():
        if name not in known:
            raise UsageError(f"unknown option {name}; known: {', '.join(known)}")
        whole = isinstance(known[name], int)
        allowed = int if whole else (int, float)
        if isinstance(value, bool) or not isinstance(value, allowed):
            raise UsageError(f"option {name} must be {'an integer' if whole else 'a number'}, found {value!r}")
        if value < _LEAST[name] or value > _MOST.get(name, float("inf")):
            most = f" and at most {_MOST[name]:g}" if name in _MOST else ""
            raise UsageError(f"option {name} must be at least {_LEAST[name]:g}{most}, found {value!r}")
        checked[name] = value
    return Options(**checked), rest
