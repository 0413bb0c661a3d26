# SPDX-License-Identifier: Apache-2.0
"""What a model's outputs are made into, and the state of the output steps on the way there."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional, Union

import numpy as np
import numpy.typing as npt

from codereef.bench.arguments import Arguments
from codereef.bench.detections import Detections
from codereef.bench.geometry import Geometry
from codereef.errors import MetadataError

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Ranking:
    """The best classes of one item: class indices and scores, best first."""

    classes: Array
    scores: Array


@dataclass(frozen=True)
class LabelMap:
    """The class of every pixel of the original image, [H, W] int64; -1 where the model saw nothing."""

    labels: Array


@dataclass(frozen=True)
class Score:
    """One number for an item; for anomalies the higher the odder."""

    value: float


@dataclass(frozen=True)
class Values:
    """The numbers that a model gives for an item, [N] float64."""

    values: Array


Output = Union[Detections, Ranking, LabelMap, Score, Values]


@dataclass
class State:
    """Tensors by name, and what the steps have made of them so far.

    Attributes:
        tensors: outputs of the model and what steps wrote, by the names that steps use; the model's inputs are
            there as `input:NAME` and the first one as `input`.
        geometry: the way from input pixels back to the original image.
        folder: where the model's files are.
        boxes, scores, found, ranking, labels, score, values: what steps have given.
        cache: files read once.
    """

    tensors: dict[str, Array]
    geometry: Geometry
    folder: Path
    boxes: Optional[Array] = None
    scores: Optional[Array] = None
    found: Optional[Detections] = None
    ranking: Optional[Ranking] = None
    labels: Optional[LabelMap] = None
    score: Optional[Score] = None
    values: Optional[Values] = None
    cache: dict[str, Array] = field(default_factory=dict)

    def tensor(self, args: Arguments, key: str = "tensor") -> Array:
        """The tensor that an argument names."""
        return self.named(args.text(key), args)

    def named(self, name: str, args: Arguments) -> Array:
        """The tensor of that name."""
        if name not in self.tensors:
            raise args.error(f"no tensor is called {name}; known here: {', '.join(sorted(self.tensors))}")
        return self.tensors[name]

    def parts(self) -> dict[str, Array]:
        """Every array that there is now, by a name that tells what it is."""
        parts = {f"tensor {name}": array for name, array in self.tensors.items()}
        for name, array in (("boxes", self.boxes), ("scores", self.scores)):
            if array is not None:
                parts[name] = array
        if self.found is not None:
            parts.update(
                {
                    "found boxes": self.found.boxes,
                    "found classes": self.found.classes,
                    "found scores": self.found.scores,
                }
            )
        if self.ranking is not None:
            parts.update({"ranked classes": self.ranking.classes, "ranked scores": self.ranking.scores})
        if self.labels is not None:
            parts["labels"] = self.labels.labels
        if self.score is not None:
            parts["score"] = np.array(self.score.value)
        if self.values is not None:
            parts["values"] = self.values.values
        return parts

    def rows(self, args: Arguments, key: str, columns: Optional[int]) -> Array:
        """A tensor as [N, columns] (or [N] for None), its batch axis of one dropped."""
        array = self.tensor(args, key)
        wanted = 1 if columns is None else 2
        while array.ndim > wanted and array.shape[0] == 1:
            array = array[0]
        if array.ndim != wanted or (columns not in (None, -1) and array.shape[-1] != columns):
            form = "[N]" if columns is None else "[N, classes]" if columns == -1 else f"[N, {columns}]"
            raise args.error(f"tensor {args.text(key)} has shape {list(array.shape)}, not {form}")
        return array

    def candidates(self) -> Detections:
        """The detections so far; pairs of box and class are made on first use."""
        if self.found is None:
            if self.boxes is None or self.scores is None:
                raise MetadataError(
                    "the output steps give no boxes or no scores",
                    hint="a detections output needs `boxes` and one of `scores` and `classes`",
                )
            self.found = pairs(self.boxes, self.scores, None)
        return self.found


def pairs(boxes: Array, scores: Array, least: Optional[float]) -> Detections:
    """Every pair of box and class as a candidate, those below the score `least` left out."""
    if boxes.shape[0] != scores.shape[0]:
        raise MetadataError(f"{boxes.shape[0]} boxes do not fit {scores.shape[0]} rows of scores")
    kept = np.ones(scores.shape, dtype=bool) if least is None else scores >= least
    box, index = np.nonzero(kept)
    return Detections(boxes[box], index.astype(np.int64), scores[box, index].astype(np.float64))
