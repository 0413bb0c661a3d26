# SPDX-License-Identifier: Apache-2.0
"""What every step before, in and after the model gave, and how long it took, so that two results show where they part.

The digest of a step is the SHA-256 over the SHA-256 digests of the first items, in the order of the dataset; that
of an item covers element type, shape and bytes (C order, little-endian) of every array that the step gave.
"""

from __future__ import annotations

import hashlib
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

import numpy as np
import numpy.typing as npt

#: Items whose arrays are digested.
DIGESTED = 8


def digest(arrays: Sequence[npt.NDArray[Any]]) -> bytes:
    """SHA-256 over element type, shape and bytes of arrays, in their order."""
    total = hashlib.sha256()
    for array in arrays:
        little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        total.update(f"{array.dtype.name}{list(array.shape)}".encode("ascii"))
        total.update(little.tobytes())
    return total.digest()


class Trace:
    """Times and digests of the steps of one item, in the order they ran.

    Args:
        clock: nanoseconds; its differences are the times.
        digesting: also digest what each step gave; the time that takes is left out.
    """

    def __init__(self, clock: Callable[[], int], digesting: bool) -> None:
        self._clock, self.digesting = clock, digesting
        self.times: list[int] = []
        self.digests: list[bytes] = []
        self._mark = clock()

    def begin(self) -> None:
        """What comes next starts now."""
        self._mark = self._clock()

    def step(self, *arrays: npt.NDArray[Any]) -> None:
        """A step has ended and gave these arrays."""
        self.times.append(self._clock() - self._mark)
        if self.digesting:
            self.digests.append(digest(arrays))
        self._mark = self._clock()


@dataclass(frozen=True)
class Stage:
    """One step: its side (`input`, `model`, `output`), its name, and what carries it out in which version."""

    side: str
    step: str
    implementation: str
    version: str


class Stages:
    """Puts the traces of all items together.

    Args:
        stages: the steps, in the order they run.
        untimed: sides whose times mean nothing here.
    """

    def __init__(self, stages: Sequence[Stage], untimed: Sequence[str] = ()) -> None:
        self._stages, self._untimed = stages, untimed
        self._times: list[list[int]] = [[] for _ in stages]
        self._digests = [hashlib.sha256() for _ in stages]
        self._digested = 0

    def add(self, trace: Trace) -> None:
        """Take the trace of the next item, in the order of the dataset."""
        for times, time in zip(self._times, trace.times):
            times.append(time)
        if trace.digesting:
            self._digested += 1
            for total, one in zip(self._digests, trace.digests):
                total.update(one)

    def as_list(self) -> list[Mapping[str, object]]:
        """The stages as JSON data (`stages` in schemas/result.json)."""
        listed: list[Mapping[str, object]] = []
        for stage, times, total in zip(self._stages, self._times, self._digests):
            seconds: Optional[float] = None
            if times and stage.side not in self._untimed:
                seconds = statistics.median(times) / 1e9
            entry: dict[str, object] = {
                "side": stage.side,
                "step": stage.step,
                "implementation": stage.implementation,
                "version": stage.version,
                "items": self._digested,
                "seconds": seconds,
            }
            if self._digested:
                entry["digest"] = "sha256:" + total.hexdigest()
            listed.append(entry)
        return listed
