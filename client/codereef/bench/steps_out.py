# SPDX-License-Identifier: Apache-2.0
"""Post-processing: the output steps of a model's manifest, in the order written.

`Postprocessor` is built once from an output of the manifest and turns output tensors into `Detections` or a
`Ranking`. The vocabulary is `$defs/output_step` in schemas/common.json. A batch axis of one is dropped where
boxes and scores are read.

`boxes` and `scores` (or `classes`) give candidates; with `scores`, every pair of box and class is a candidate
of its own. `threshold`, `nms` and `category` then work on the candidates.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional, Union

import numpy as np
import numpy.typing as npt

from codereef.bench.arguments import Arguments, only_step
from codereef.bench.detections import Detections, suppress
from codereef.bench.geometry import Geometry
from codereef.bench.request import OutputSpec
from codereef.errors import MetadataError

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Ranking:
    """The best classes of one image: class indices and scores, best first."""

    classes: Array
    scores: Array


@dataclass
class _State:
    """Tensors by name, and what the steps have made of them so far."""

    tensors: dict[str, Array]
    geometry: Geometry
    folder: Path
    boxes: Optional[Array] = None
    scores: Optional[Array] = None
    found: Optional[Detections] = None
    ranking: Optional[Ranking] = None
    cache: dict[str, Array] = field(default_factory=dict)

    def tensor(self, args: Arguments, key: str = "tensor") -> Array:
        name = args.text(key)
        if name not in self.tensors:
            raise args.error(f"no tensor is called {name}; known here: {', '.join(sorted(self.tensors))}")
        return self.tensors[name]

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
            self.found = _pairs(self.boxes, self.scores, None)
        return self.found


def _pairs(boxes: Array, scores: Array, least: Optional[float]) -> Detections:
    if boxes.shape[0] != scores.shape[0]:
        raise MetadataError(f"{boxes.shape[0]} boxes do not fit {scores.shape[0]} rows of scores")
    kept = np.ones(scores.shape, dtype=bool) if least is None else scores >= least
    box, index = np.nonzero(kept)
    return Detections(boxes[box], index.astype(np.int64), scores[box, index].astype(np.float64))


def _dequantize(state: _State, args: Arguments) -> None:
    shifted = state.tensor(args).astype(np.int64) - args.integer("zero_point")
    state.tensors[args.text("tensor")] = shifted.astype(np.float32) * np.float32(args.number("scale"))


def _floating(array: Array) -> Array:
    return array if np.issubdtype(array.dtype, np.floating) else array.astype(np.float32)


def _sigmoid(state: _State, args: Arguments) -> None:
    x = _floating(state.tensor(args))
    small = np.exp(-np.abs(x))  # never overflows
    state.tensors[args.text("tensor")] = np.where(x >= 0, 1 / (1 + small), small / (1 + small)).astype(x.dtype)


def _softmax(state: _State, args: Arguments) -> None:
    x = _floating(state.tensor(args))
    axis = args.integer("axis", -1)
    powers = np.exp(x - x.max(axis=axis, keepdims=True))
    state.tensors[args.text("tensor")] = powers / powers.sum(axis=axis, keepdims=True)


def _slice(state: _State, args: Arguments) -> None:
    array, axis = state.tensor(args), args.integer("axis")
    if not -array.ndim <= axis < array.ndim:
        raise args.error(f"axis {axis} does not exist in a tensor of shape {list(array.shape)}")
    part = [slice(None)] * array.ndim
    part[axis] = slice(args.maybe_integer("start"), args.maybe_integer("stop"))
    state.tensors[args.text("to")] = array[tuple(part)]


def _multiply(state: _State, args: Arguments) -> None:
    a, b = state.tensor(args), state.tensor(args, "with")
    try:
        state.tensors[args.text("tensor")] = a * b
    except ValueError as error:
        raise args.error(f"shapes {list(a.shape)} and {list(b.shape)} do not fit each other") from error


def corners(boxes: Array, form: str) -> Array:
    """Boxes [N, 4] of format yxyx, xyxy, cxcywh or cycxhw as x1, y1, x2, y2, in float64."""
    boxes = boxes.astype(np.float64)
    if form in ("yxyx", "cycxhw"):
        boxes = boxes[:, [1, 0, 3, 2]]
    if form in ("cxcywh", "cycxhw"):
        boxes = np.concatenate([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2], axis=1)
    return boxes


def _boxes(state: _State, args: Arguments) -> None:
    boxes = corners(state.rows(args, "tensor", 4), args.text("format"))
    if args.text("units") == "normalized":
        boxes = boxes * np.array([state.geometry.width, state.geometry.height] * 2, dtype=np.float64)
    state.boxes = state.geometry.to_original(boxes)


def _anchors(state: _State, args: Arguments) -> Array:
    name = args.text("anchors")
    if name not in state.cache:
        path = state.folder / name
        try:
            if path.suffix == ".npy":
                array = np.load(path, allow_pickle=False)
            else:
                array = np.asarray(json.loads(path.read_text(encoding="utf-8")))
            array = array.astype(np.float64)
        except (OSError, ValueError, TypeError) as error:
            raise args.error(f"cannot read the anchors {name}: {error}") from error
        if array.ndim != 2 or array.shape[1] != 4:
            raise args.error(f"the anchors {name} have shape {list(array.shape)}, not [N, 4]")
        state.cache[name] = array[:, [1, 0, 3, 2]] if args.text("anchor_format") == "cycxhw" else array
    return state.cache[name]


def _decode_boxes(state: _State, args: Arguments) -> None:
    anchors, offsets = _anchors(state, args), state.rows(args, "tensor", 4).astype(np.float64)
    if anchors.shape != offsets.shape:
        raise args.error(f"{anchors.shape[0]} anchors do not fit {offsets.shape[0]} boxes")
    if args.text("order") == "cycxhw":
        offsets = offsets[:, [1, 0, 3, 2]]
    moved = offsets * np.asarray(args.numbers("variances"), dtype=np.float64)
    centres = anchors[:, :2] + moved[:, :2] * anchors[:, 2:]
    sizes = anchors[:, 2:] * np.exp(moved[:, 2:])
    state.tensors[args.text("tensor")] = np.concatenate([centres, sizes], axis=1)


def _scores(state: _State, args: Arguments) -> None:
    scores = state.rows(args, "tensor", -1).astype(np.float64)
    background = args.maybe_integer("background")
    state.scores = scores if background is None else np.delete(scores, background, axis=1)
    state.found = None


def _classes(state: _State, args: Arguments) -> None:
    if state.boxes is None:
        raise args.error("comes before `boxes`")
    classes, scores = state.rows(args, "tensor", None), state.rows(args, "scores", None)
    count = scores.size
    if args.maybe_text("count") is not None:
        count = min(count, round(float(state.tensor(args, "count").reshape(-1)[0])))
    state.found = Detections(
        state.boxes[:count], np.rint(classes[:count]).astype(np.int64), scores[:count].astype(np.float64)
    )


def _threshold(state: _State, args: Arguments) -> None:
    least = args.number("score")
    if state.found is None and state.boxes is not None and state.scores is not None:
        state.found = _pairs(state.boxes, state.scores, least)  # without making the pairs that go at once
    else:
        found = state.candidates()
        state.found = found.take(found.scores >= least)


def _nms(state: _State, args: Arguments) -> None:
    state.found = suppress(state.candidates(), args.number("iou"), args.integer("max"), args.flag("per_class", True))


def _category(state: _State, args: Arguments) -> None:
    table, offset = args.maybe_integers("map"), args.integer("offset", 0)
    if state.ranking is not None:
        classes = _mapped(state.ranking.classes, table, args) + offset
        state.ranking = Ranking(classes, state.ranking.scores)
        return
    found = state.candidates()
    state.found = Detections(found.boxes, _mapped(found.classes, table, args) + offset, found.scores)


def _mapped(classes: Array, table: Optional[list[int]], args: Arguments) -> Array:
    if table is None:
        return classes
    if classes.size and not 0 <= int(classes.min()) <= int(classes.max()) < len(table):
        raise args.error(f"`map` has {len(table)} entries and the model gave class {int(classes.max())}")
    return np.asarray(table, dtype=np.int64)[classes]


def _top_k(state: _State, args: Arguments) -> None:
    scores = state.tensor(args).reshape(-1).astype(np.float64)
    best = np.argsort(-scores, kind="stable")[: args.integer("k")]
    state.ranking = Ranking(best.astype(np.int64) + args.integer("offset", 0), scores[best])


STEPS: Mapping[str, Callable[[_State, Arguments], None]] = {
    "dequantize": _dequantize,
    "sigmoid": _sigmoid,
    "softmax": _softmax,
    "slice": _slice,
    "multiply": _multiply,
    "boxes": _boxes,
    "decode-boxes": _decode_boxes,
    "scores": _scores,
    "classes": _classes,
    "threshold": _threshold,
    "nms": _nms,
    "category": _category,
    "top-k": _top_k,
}


class Postprocessor:
    """The post-processing of one output of the manifest.

    Args:
        spec: the output.
        folder: where the model's files are, for anchors.
        outputs: names of the model's output tensors, in the runtime's order.

    Raises:
        MetadataError: a step is unknown, or a tensor of the manifest is not an output of the model.
    """

    def __init__(self, spec: OutputSpec, folder: Path, outputs: tuple[str, ...]) -> None:
        self._steps = [only_step(step, STEPS, "output") for step in spec.steps]
        self._folder = folder
        self._type = spec.type
        self._tensors = {name: _tensor_name(value, outputs) for name, value in spec.tensors.items()}
        self._cache: dict[str, Array] = {}

    def __call__(self, tensors: Mapping[str, Array], geometry: Geometry) -> Union[Detections, Ranking]:
        """Turn the output tensors of one image into detections or a ranking.

        Args:
            tensors: the runtime's outputs by their own names.
            geometry: the way from input pixels back to the original image.

        Raises:
            MetadataError: the steps do not fit the tensors or each other.
        """
        named = {name: tensors[own] for name, own in self._tensors.items()}
        state = _State(named, geometry, self._folder, cache=self._cache)
        for function, args in self._steps:
            function(state, args)
        if self._type == "classification":
            if state.ranking is None:
                raise MetadataError("a classification output ends without a `top-k` step")
            return state.ranking
        return state.candidates()

    def implementations(self) -> dict[str, dict[str, str]]:
        """Name and version of what carries out each step."""
        ours = {"implementation": "codereef.bench (numpy)", "version": np.__version__}
        return {args.step: dict(ours) for _, args in self._steps}


def _tensor_name(value: str, outputs: tuple[str, ...]) -> str:
    if value in outputs:
        return value
    if value.isdecimal() and int(value) < len(outputs):
        return outputs[int(value)]
    raise MetadataError(
        f"the manifest reads the output tensor {value}, but the model has {', '.join(outputs)}",
        hint="correct `outputs[].tensors` in the model's cr.json",
    )
