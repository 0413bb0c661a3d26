# SPDX-License-Identifier: Apache-2.0
"""Post-processing: the output steps of a model's manifest, in the order written.

`Postprocessor` is built once from an output of the manifest and turns output tensors into what its type says
(`codereef.bench.outputs`). Heads of detectors are in `steps_heads`, label maps, scores and values in `steps_maps`.
The vocabulary is `$defs/output_step` in schemas/common.json. A batch axis of one is dropped where
boxes and scores are read.

`boxes` and `scores` (or `classes`) give candidates; with `scores`, every pair of box and class is a candidate
of its own. `threshold`, `nms` and `category` then work on the candidates.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Optional

import numpy as np
import numpy.typing as npt

from codereef.bench.arguments import Arguments, only_step
from codereef.bench.detections import Detections, suppress
from codereef.bench.geometry import Geometry
from codereef.bench.outputs import LabelMap, Output, Ranking, State, pairs
from codereef.bench.request import OutputSpec
from codereef.bench.stages import Trace
from codereef.bench.steps_heads import HEAD_STEPS
from codereef.bench.steps_maps import MAP_STEPS
from codereef.errors import MetadataError

__all__ = ["STEPS", "Postprocessor", "Ranking", "corners"]

Array = npt.NDArray[Any]


def _dequantize(state: State, args: Arguments) -> None:
    shifted = state.tensor(args).astype(np.int64) - args.integer("zero_point")
    state.tensors[args.text("tensor")] = shifted.astype(np.float32) * np.float32(args.number("scale"))


def _floating(array: Array) -> Array:
    return array if np.issubdtype(array.dtype, np.floating) else array.astype(np.float32)


def _sigmoid(state: State, args: Arguments) -> None:
    x = _floating(state.tensor(args))
    small = np.exp(-np.abs(x))  # never overflows
    state.tensors[args.text("tensor")] = np.where(x >= 0, 1 / (1 + small), small / (1 + small)).astype(x.dtype)


def _softmax(state: State, args: Arguments) -> None:
    x = _floating(state.tensor(args))
    axis = args.integer("axis", -1)
    powers = np.exp(x - x.max(axis=axis, keepdims=True))
    state.tensors[args.text("tensor")] = powers / powers.sum(axis=axis, keepdims=True)


def _slice(state: State, args: Arguments) -> None:
    array, axis = state.tensor(args), args.integer("axis")
    if not -array.ndim <= axis < array.ndim:
        raise args.error(f"axis {axis} does not exist in a tensor of shape {list(array.shape)}")
    part = [slice(None)] * array.ndim
    part[axis] = slice(args.maybe_integer("start"), args.maybe_integer("stop"))
    state.tensors[args.text("to")] = array[tuple(part)]


def _multiply(state: State, args: Arguments) -> None:
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


def _boxes(state: State, args: Arguments) -> None:
    boxes = corners(state.rows(args, "tensor", 4), args.text("format"))
    if args.text("units") == "normalized":
        boxes = boxes * np.array([state.geometry.width, state.geometry.height] * 2, dtype=np.float64)
    state.boxes = state.geometry.to_original(boxes)


def _anchors(state: State, args: Arguments) -> Array:
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


def _decode_boxes(state: State, args: Arguments) -> None:
    anchors, offsets = _anchors(state, args), state.rows(args, "tensor", 4).astype(np.float64)
    if anchors.shape != offsets.shape:
        raise args.error(f"{anchors.shape[0]} anchors do not fit {offsets.shape[0]} boxes")
    if args.text("order") == "cycxhw":
        offsets = offsets[:, [1, 0, 3, 2]]
    moved = offsets * np.asarray(args.numbers("variances"), dtype=np.float64)
    centres = anchors[:, :2] + moved[:, :2] * anchors[:, 2:]
    sizes = anchors[:, 2:] * np.exp(moved[:, 2:])
    state.tensors[args.text("tensor")] = np.concatenate([centres, sizes], axis=1)


def _scores(state: State, args: Arguments) -> None:
    scores = state.rows(args, "tensor", -1).astype(np.float64)
    background = args.maybe_integer("background")
    state.scores = scores if background is None else np.delete(scores, background, axis=1)
    state.found = None


def _classes(state: State, args: Arguments) -> None:
    if state.boxes is None:
        raise args.error("comes before `boxes`")
    classes, scores = state.rows(args, "tensor", None), state.rows(args, "scores", None)
    count = scores.size
    if args.maybe_text("count") is not None:
        count = min(count, round(float(state.tensor(args, "count").reshape(-1)[0])))
    state.found = Detections(
        state.boxes[:count], np.rint(classes[:count]).astype(np.int64), scores[:count].astype(np.float64)
    )


def _threshold(state: State, args: Arguments) -> None:
    least = args.number("score")
    if state.found is None and state.boxes is not None and state.scores is not None:
        state.found = pairs(state.boxes, state.scores, least)  # without making the pairs that go at once
    else:
        found = state.candidates()
        state.found = found.take(found.scores >= least)


def _nms(state: State, args: Arguments) -> None:
    state.found = suppress(state.candidates(), args.number("iou"), args.integer("max"), args.flag("per_class", True))


def _category(state: State, args: Arguments) -> None:
    table, offset = args.maybe_integers("map"), args.integer("offset", 0)
    if state.labels is not None:
        state.labels = _mapped_labels(state.labels.labels, table, offset, args)
        return
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


def _mapped_labels(labels: Array, table: Optional[list[int]], offset: int, args: Arguments) -> LabelMap:
    seen = labels >= 0
    mapped = labels.copy()
    mapped[seen] = _mapped(labels[seen], table, args) + offset
    return LabelMap(mapped)


def _top_k(state: State, args: Arguments) -> None:
    scores = state.tensor(args).reshape(-1).astype(np.float64)
    best = np.argsort(-scores, kind="stable")[: args.integer("k")]
    state.ranking = Ranking(best.astype(np.int64) + args.integer("offset", 0), scores[best])


STEPS: Mapping[str, Callable[[State, Arguments], None]] = {
    **HEAD_STEPS,
    **MAP_STEPS,
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

    def __call__(
        self,
        tensors: Mapping[str, Array],
        geometry: Geometry,
        feeds: Optional[Mapping[str, Array]] = None,
        trace: Optional[Trace] = None,
    ) -> Output:
        """Turn the output tensors of one item into what the output's type says.

        Args:
            tensors: the runtime's outputs by their own names.
            geometry: the way from input pixels back to the original image.
            feeds: the input tensors, for steps that compare with them.
            trace: is told after each step.

        Raises:
            MetadataError: the steps do not fit the tensors or each other.
        """
        named = {name: tensors[own] for name, own in self._tensors.items()}
        for place, (name, array) in enumerate((feeds or {}).items()):
            named[f"input:{name}"] = array
            if place == 0:
                named.setdefault("input", array)
        state = State(named, geometry, self._folder, cache=self._cache)
        for function, args in self._steps:
            before = state.parts() if trace is not None and trace.digesting else {}
            function(state, args)
            if trace is not None:
                after = state.parts() if trace.digesting else {}
                trace.step(*(after[name] for name in sorted(after) if after[name] is not before.get(name)))
        return self._result(state)

    def _result(self, state: State) -> Output:
        """What the type of the output asks for."""
        if self._type == "detections":
            return state.candidates()
        found: Mapping[str, tuple[Optional[Output], str]] = {
            "classification": (state.ranking, "top-k"),
            "segmentation": (state.labels, "label-map"),
            "score": (state.score, "score"),
            "tensor": (state.values, "values"),
        }
        output, step = found[self._type]
        if output is None:
            article = "an" if self._type[0] in "aeiou" else "a"
            raise MetadataError(f"{article} {self._type} output ends without a `{step}` step")
        return output

    def described(self) -> list[tuple[str, Mapping[str, Any]]]:
        """Name and arguments of each step, in order."""
        return [(args.step, args.values) for _, args in self._steps]

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
