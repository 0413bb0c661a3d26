# SPDX-License-Identifier: Apache-2.0
"""The classic mistakes around a model, derived from its manifest.

Each is what people really do wrong when they write the pre- or post-processing by hand (Li et al., "The Design and
Implementation of a Scalable DL Benchmarking Platform", arXiv:1911.08031, section 4.1 and table 1): one change of
the declared steps, everything else stays as declared. Where the vocabulary of steps can say it, it is said with it;
where not, with a step of `codereef.bench.pitfall_steps`, whose names begin with `pitfall-`.

Nothing is measured here; `codereef.bench.pitfalls_run` does that.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Optional

from codereef.bench import resample
from codereef.bench.arithmetic import Affine, affine_of, with_arithmetic
from codereef.bench.request import InputSpec, OutputSpec

Step = Mapping[str, Any]
Steps = tuple[Step, ...]
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Pitfall:
    """One mistake.

    Attributes:
        name: short name, such as `bgr-for-rgb`.
        summary: what is done wrong, a sentence for people.
        stage: the step that is done wrong: decode, crop, resize, normalize, quantize, layout, boxes or labels.
        inputs: all inputs of the model, with the steps as the mistake has them.
        outputs: all outputs, likewise.
    """

    name: str
    summary: str
    stage: str
    inputs: tuple[InputSpec, ...]
    outputs: tuple[OutputSpec, ...]


@dataclass(frozen=True)
class _Change:
    """A mistake in one input or output: name, summary, stage, and the steps it leads to."""

    name: str
    summary: str
    stage: str
    steps: Steps


def derive(inputs: Sequence[InputSpec], outputs: Sequence[OutputSpec]) -> tuple[Pitfall, ...]:
    """The mistakes that can be made with these inputs and outputs, in the order of the processing.

    A mistake is left out where it would change nothing: a model that takes 0..1 has no mistake of that range.
    Those that come to the same arithmetic are given once.

    Args:
        inputs: the manifest's inputs; those that are not images are left as they are.
        outputs: the manifest's outputs.
    """
    classifies = any(output.type == "classification" for output in outputs)
    before = [list(_input_changes(spec, classifies)) if spec.type == "image" else [] for spec in inputs]
    after = [list(_output_changes(spec)) for spec in outputs]
    found: dict[str, Pitfall] = {}
    for changes in before + after:
        for change in changes:
            found.setdefault(
                change.name, Pitfall(change.name, change.summary, change.stage, tuple(inputs), tuple(outputs))
            )
    for name, pitfall in found.items():
        found[name] = replace(
            pitfall,
            inputs=tuple(_applied(spec, changes, name) for spec, changes in zip(inputs, before)),
            outputs=tuple(_applied(spec, changes, name) for spec, changes in zip(outputs, after)),
        )
    return tuple(found.values())


def _applied(spec: Any, changes: Sequence[_Change], name: str) -> Any:
    steps = next((change.steps for change in changes if change.name == name), None)
    return spec if steps is None else replace(spec, steps=steps)


def _name(step: Step) -> str:
    return next(iter(step))


def _first(steps: Steps, name: str) -> Optional[int]:
    return next((i for i, step in enumerate(steps) if _name(step) == name), None)


def _with(steps: Steps, place: int, *new: Step) -> Steps:
    return (*steps[:place], *new, *steps[place + 1 :])


def _but(step: Step, **changed: Any) -> Step:
    """The step with some arguments changed."""
    name, values = next(iter(step.items()))
    return {name: {**values, **changed}}


# Inputs


def _input_changes(spec: InputSpec, classifies: bool) -> Iterator[_Change]:
    seen = {repr(spec.steps)}
    for change in (
        *_decoding(spec.steps),
        *_cropping(spec, classifies),
        *_resizing(spec.steps),
        *_arithmetic(spec),
        *_axes(spec),
    ):
        if repr(change.steps) not in seen:
            seen.add(repr(change.steps))
            yield change


def _decoding(steps: Steps) -> Iterator[_Change]:
    place = _first(steps, "decode")
    if place is None:
        return
    color = steps[place]["decode"]["color"]
    if color in ("RGB", "BGR"):
        other = color[::-1]
        yield _Change(
            f"{other.lower()}-for-{color.lower()}",
            f"Channels in {other} order, as {'OpenCV' if other == 'BGR' else 'Pillow'} decodes; the model takes {color}.",
            "decode",
            _with(steps, place, _but(steps[place], color=other)),
        )
    yield _Change(
        "fast-decoder",
        "JPEG decoded with libjpeg's fastest DCT and without smooth colour; TensorFlow calls it INTEGER_FAST.",
        "decode",
        _with(steps, place, {"pitfall-decode-fast": {"color": color}}),
    )
    target = _decoded_size(steps[place + 1 :])
    if target is not None:
        yield _Change(
            "scaled-decoder",
            "JPEG decoded at 1/2, 1/4 or 1/8 of its size where that is enough, as Pillow's draft mode does.",
            "decode",
            _with(steps, place, {"pitfall-decode-scaled": {"color": color, "to": target}}),
        )


def _decoded_size(steps: Steps) -> Optional[list[int]]:
    """Height and width that the steps after `decode` need at least; None where a smaller image would be cut otherwise."""
    fraction = 1.0
    for step in steps:
        name, values = next(iter(step.items()))
        if name == "crop":
            if "fraction" not in values:
                return None
            fraction *= values["fraction"]
        elif name in ("resize", "letterbox"):
            size = values.get("to") or [values["shorter"]] * 2
            return [math.ceil(side / fraction) for side in size]
        else:
            return None
    return None


def _size(spec: InputSpec) -> Optional[tuple[int, int]]:
    """Height and width of the model's input, where its shape and its layout say so."""
    place = _first(spec.steps, "layout")
    if place is None or len(spec.shape) != 4:
        return None
    rows, columns = (1, 2) if spec.steps[place]["layout"]["to"] == "NHWC" else (2, 3)
    size = spec.shape[rows], spec.shape[columns]
    return size if min(size) > 0 else None


def _cropping(spec: InputSpec, classifies: bool) -> Iterator[_Change]:
    steps, size = spec.steps, _size(spec)
    crops = [i for i, step in enumerate(steps) if _name(step) == "crop"]
    resizes = [i for i, step in enumerate(steps) if _name(step) in ("resize", "letterbox")]
    if size is None or not resizes:
        return
    last = resizes[-1]
    method = next(iter(steps[last].values()))["method"]
    straight: Step = {"resize": {"to": list(size), "method": method}}
    if crops:
        kept = [
            straight if i == last else step for i, step in enumerate(steps) if i == last or i not in (*crops, *resizes)
        ]
        yield _Change(
            "no-crop", "The whole image resized straight to the input, without the crop.", "crop", tuple(kept)
        )
        return
    if _name(steps[last]) == "letterbox":
        yield _Change(
            "stretched",
            "Stretched to the input instead of letterboxed: the aspect ratio is lost.",
            "resize",
            _with(steps, last, straight),
        )
        return
    if "to" in steps[last]["resize"]:
        boxed = {"letterbox": {"to": list(size), "method": method, "fill": 0}}
        yield _Change(
            "letterboxed",
            "Letterboxed with black borders; the model was made for images stretched to the input.",
            "resize",
            _with(steps, last, boxed),
        )
        if classifies and len(resizes) == 1:
            cut = {"crop": {"method": "center", "fraction": 0.875}}
            yield _Change(
                "centre-crop",
                "The middle 87.5 % cut out first, a habit from ImageNet; the model takes the whole image.",
                "crop",
                _with(steps, last, cut, steps[last]),
            )


_METHODS = {
    "nearest": "nearest pixel",
    "bilinear": "bilinear without a low-pass filter, as OpenCV does",
    "bicubic": "bicubic without a low-pass filter, as OpenCV does",
    "bilinear-antialias": "bilinear with a low-pass filter, as Pillow does",
    "bicubic-antialias": "bicubic with a low-pass filter, as Pillow does",
    "area": "averaging areas, as OpenCV's INTER_AREA does",
}


def _resizing(steps: Steps) -> Iterator[_Change]:
    places = [i for i, step in enumerate(steps) if _name(step) in ("resize", "letterbox")]
    if not places:
        return
    place = places[-1]
    step = steps[place]
    name, values = next(iter(step.items()))
    for method in (*resample.POINT_METHODS, *resample.PILLOW_METHODS):
        if method != values["method"]:
            yield _Change(
                f"resize-{method}",
                f"Resized by {_METHODS.get(method, method)}; declared is {values['method']}.",
                "resize",
                _with(steps, place, _but(step, method=method)),
            )
    if name == "resize" and "area" not in resample.POINT_METHODS and values["method"] != "area":
        size = {key: value for key, value in values.items() if key != "method"}
        yield _Change(
            "resize-area",
            f"Resized by {_METHODS['area']}; declared is {values['method']}.",
            "resize",
            _with(steps, place, {"pitfall-resize-area": size}),
        )


def _arithmetic(spec: InputSpec) -> Iterator[_Change]:
    steps = spec.steps
    right = affine_of(steps)
    if right is None:
        return
    seen = [right]

    def fresh(affine: Affine) -> bool:
        new = not any(affine.near(other) for other in seen)
        seen.append(affine)
        return new

    ranges = _integer_ranges(spec) if _feeds_pixels(spec) else _float_ranges(spec, right)
    for name, summary, new in ranges:
        changed = with_arithmetic(spec, new) if new is not None else _forgotten(steps, name)
        affine = affine_of(changed)
        if affine is not None and fresh(affine):
            yield _Change(name, summary, "normalize", changed)
    if not _feeds_pixels(spec):
        yield from _integers(spec, right)
    place = _first(steps, "quantize")
    if place is not None and steps[place]["quantize"]["zero_point"] != 0:
        yield _Change(
            "zero-point-forgotten",
            "Quantised without the zero point: every value is off by it.",
            "quantize",
            _with(steps, place, _but(steps[place], zero_point=0)),
        )


def _feeds_pixels(spec: InputSpec) -> bool:
    """Whether the model takes integers that are no quantised floats, most often the pixels themselves."""
    return "int" in spec.dtype and _first(spec.steps, "quantize") is None


def _integer_ranges(spec: InputSpec) -> list[tuple[str, str, Optional[Steps]]]:
    fraction = ({"scale": {"by": 1 / 255}}, {"cast": {"dtype": spec.dtype}})
    return [
        ("range-0-1", f"Scaled to 0..1 and then made {spec.dtype}: next to nothing of the image is left.", fraction)
    ]


def _float_ranges(spec: InputSpec, right: Affine) -> list[tuple[str, str, Optional[Steps]]]:
    takes = f"the model takes {right.range_text()}"
    found: list[tuple[str, str, Optional[Steps]]] = [
        ("range-0-255", f"Pixels as they are, 0..255, not scaled; {takes}.", ({"cast": {"dtype": "float32"}},)),
        ("range-0-1", f"Scaled to 0..1; {takes}.", ({"scale": {"by": 1 / 255}},)),
        ("range-minus-1-1", f"Scaled to -1..1; {takes}.", ({"normalize": {"mean": 127.5, "std": 127.5}},)),
    ]
    if right.channels == 3:
        normalize = {"normalize": {"mean": list(IMAGENET_MEAN), "std": list(IMAGENET_STD)}}
        found.append(
            ("imagenet-statistics", f"ImageNet's mean and deviation; {takes}.", ({"scale": {"by": 1 / 255}}, normalize))
        )
    if _first(spec.steps, "normalize") is not None:
        found += [
            ("mean-forgotten", f"Divided by the deviation, but the mean is not subtracted; {takes}.", None),
            ("std-forgotten", f"The mean is subtracted, but not divided by the deviation; {takes}.", None),
            ("statistics-reversed", "Mean and deviation of the channels in the other order (BGR for RGB).", None),
        ]
    return found


def _forgotten(steps: Steps, name: str) -> Steps:
    """The steps with every `normalize` wrong in the way that the mistake's name says."""
    changed = []
    for step in steps:
        if _name(step) == "normalize":
            if name == "mean-forgotten":
                step = _but(step, mean=0)
            elif name == "std-forgotten":
                step = _but(step, std=1)
            else:
                values = step["normalize"]
                step = {"normalize": {k: v[::-1] if isinstance(v, list) else v for k, v in values.items()}}
        changed.append(step)
    return tuple(changed)


def _integers(spec: InputSpec, right: Affine) -> Iterator[_Change]:
    """Normalising before the pixels are made floats: whole numbers, rounded down or wrapped around."""
    mean, std = right.mean_and_std()
    if all(side == 1 for side in std):
        return
    arguments = {"mean": [round(side) for side in mean], "std": [max(1, round(side)) for side in std]}
    yield _Change(
        "integer-arithmetic",
        "Normalised in integers and made floats afterwards: what is behind the point is lost.",
        "normalize",
        with_arithmetic(spec, ({"pitfall-integers": {**arguments, "wrap": False}},)),
    )
    if any(arguments["mean"]):
        yield _Change(
            "uint8-wrap-around",
            "The mean subtracted from bytes before they are made floats: dark pixels wrap around to bright ones.",
            "normalize",
            with_arithmetic(spec, ({"pitfall-integers": {**arguments, "wrap": True}},)),
        )


def _axes(spec: InputSpec) -> Iterator[_Change]:
    steps = spec.steps
    place = _first(steps, "layout")
    if place is None:
        return
    right = steps[place]["layout"]["to"]
    other = "NCHW" if right == "NHWC" else "NHWC"
    yield _Change(
        f"{other.lower()}-for-{right.lower()}",
        f"The bytes of an {other} tensor handed over as {right}, without moving the axes.",
        "layout",
        (*_with(steps, place, {"layout": {"to": other}}), {"pitfall-read-as": {"to": right}}),
    )
    size = _size(spec)
    if size is not None and size[0] == size[1]:
        yield _Change(
            "rows-for-columns",
            "Axes transposed with rows and columns exchanged: the image lies on its side, mirrored.",
            "layout",
            (*steps, {"pitfall-transpose": {}}),
        )


# Outputs


def _output_changes(spec: OutputSpec) -> Iterator[_Change]:
    if spec.type == "detections":
        yield from _boxes(spec.steps)
    yield from _labels(spec)


_SWAPPED = {"yxyx": "xyxy", "xyxy": "yxyx", "cxcywh": "cycxhw", "cycxhw": "cxcywh"}
_CORNERS = {"yxyx": "cycxhw", "xyxy": "cxcywh"}
_CENTRES = {centre: corner for corner, centre in _CORNERS.items()}


def _boxes(steps: Steps) -> Iterator[_Change]:
    decoded, place = _first(steps, "decode-boxes"), _first(steps, "boxes")
    if decoded is not None and (order := steps[decoded]["decode-boxes"]["order"]) in _SWAPPED:
        yield _Change(
            "box-order",
            f"The model's boxes read as {_SWAPPED[order]}; they are {order}.",
            "boxes",
            _with(steps, decoded, _but(steps[decoded], order=_SWAPPED[order])),
        )
        return
    if place is None or (form := steps[place]["boxes"]["format"]) not in _SWAPPED:
        return
    yield _Change(
        "box-order",
        f"The model's boxes read as {_SWAPPED[form]}; they are {form}.",
        "boxes",
        _with(steps, place, _but(steps[place], format=_SWAPPED[form])),
    )
    wrong = {**_CORNERS, **_CENTRES}[form]
    found, is_ = ("centre and size", "corners") if form in _CORNERS else ("corners", "centre and size")
    yield _Change(
        "box-form",
        f"The model's boxes read as {found} ({wrong}); they are {is_} ({form}).",
        "boxes",
        _with(steps, place, _but(steps[place], format=wrong)),
    )


def _labels(spec: OutputSpec) -> Iterator[_Change]:
    steps = spec.steps
    name = "top-k" if spec.type == "classification" else "category"
    place = _first(steps, name)
    if spec.type not in ("classification", "detections") or (spec.type == "classification" and place is None):
        return
    values: Mapping[str, Any] = {} if place is None else steps[place][name]
    offset = values.get("offset", 0)
    if "map" in values:
        yield _Change(
            "label-map-forgotten",
            "Class + 1 taken for the category, as if ids had no gaps: COCO's 80 classes have ids up to 90.",
            "labels",
            _with(steps, _known(place), {name: {"offset": 1}}),
        )
    wrong = offset - 1 if offset > 0 else offset + 1
    shifted: Step = {name: {**values, "offset": wrong}}
    yield _Change(
        "label-offset",
        f"Classes off by one ({wrong:+d} instead of {offset:+d}), as where background is counted and should not be.",
        "labels",
        (*steps, shifted) if place is None else _with(steps, place, shifted),
    )


def _known(place: Optional[int]) -> int:
    assert place is not None  # `map` stands in the step that is there
    return place
