# SPDX-License-Identifier: Apache-2.0
"""The mistakes on the way from an image file to what a model takes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Optional

from codereef.bench import resample
from codereef.bench.arithmetic import Affine, affine_of, with_arithmetic
from codereef.bench.request import InputSpec
from codereef.bench.step_changes import Change, Step, Steps, but, first, name_of, with_step

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def input_changes(spec: InputSpec, classifies: bool) -> Iterator[Change]:
    """The mistakes with one image input; some are made by people who classify only."""
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


def _decoding(steps: Steps) -> Iterator[Change]:
    place = first(steps, "decode")
    if place is None:
        return
    color = steps[place]["decode"]["color"]
    if color in ("RGB", "BGR"):
        other = color[::-1]
        yield Change(
            f"{other.lower()}-for-{color.lower()}",
            f"Channels in {other} order, as {'OpenCV' if other == 'BGR' else 'Pillow'} decodes; the model takes {color}.",
            "decode",
            with_step(steps, place, but(steps[place], color=other)),
        )
    yield Change(
        "fast-decoder",
        "JPEG decoded with libjpeg's fastest DCT and without smooth colour; TensorFlow calls it INTEGER_FAST.",
        "decode",
        with_step(steps, place, {"pitfall-decode-fast": {"color": color}}),
    )
    target = _decoded_size(steps[place + 1 :])
    if target is not None:
        yield Change(
            "scaled-decoder",
            "JPEG decoded at 1/2, 1/4 or 1/8 of its size where that is enough, as Pillow's draft mode does.",
            "decode",
            with_step(steps, place, {"pitfall-decode-scaled": {"color": color, "to": target}}),
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
    place = first(spec.steps, "layout")
    if place is None or len(spec.shape) != 4:
        return None
    rows, columns = (1, 2) if spec.steps[place]["layout"]["to"] == "NHWC" else (2, 3)
    size = spec.shape[rows], spec.shape[columns]
    return size if min(size) > 0 else None


def _cropping(spec: InputSpec, classifies: bool) -> Iterator[Change]:
    steps, size = spec.steps, _size(spec)
    crops = [i for i, step in enumerate(steps) if name_of(step) == "crop"]
    resizes = [i for i, step in enumerate(steps) if name_of(step) in ("resize", "letterbox")]
    if size is None or not resizes:
        return
    last = resizes[-1]
    method = next(iter(steps[last].values()))["method"]
    straight: Step = {"resize": {"to": list(size), "method": method}}
    if crops:
        kept = [
            straight if i == last else step for i, step in enumerate(steps) if i == last or i not in (*crops, *resizes)
        ]
        yield Change("no-crop", "The whole image resized straight to the input, without the crop.", "crop", tuple(kept))
        return
    if name_of(steps[last]) == "letterbox":
        yield Change(
            "stretched",
            "Stretched to the input instead of letterboxed: the aspect ratio is lost.",
            "resize",
            with_step(steps, last, straight),
        )
        return
    if "to" in steps[last]["resize"]:
        boxed = {"letterbox": {"to": list(size), "method": method, "fill": 0}}
        yield Change(
            "letterboxed",
            "Letterboxed with black borders; the model was made for images stretched to the input.",
            "resize",
            with_step(steps, last, boxed),
        )
        if classifies and len(resizes) == 1:
            cut = {"crop": {"method": "center", "fraction": 0.875}}
            yield Change(
                "centre-crop",
                "The middle 87.5 % cut out first, a habit from ImageNet; the model takes the whole image.",
                "crop",
                with_step(steps, last, cut, steps[last]),
            )


_METHODS = {
    "nearest": "nearest pixel",
    "bilinear": "bilinear without a low-pass filter, as OpenCV does",
    "bicubic": "bicubic without a low-pass filter, as OpenCV does",
    "bilinear-antialias": "bilinear with a low-pass filter, as Pillow does",
    "bicubic-antialias": "bicubic with a low-pass filter, as Pillow does",
    "area": "averaging areas, as OpenCV's INTER_AREA does",
}


def _resizing(steps: Steps) -> Iterator[Change]:
    places = [i for i, step in enumerate(steps) if name_of(step) in ("resize", "letterbox")]
    if not places:
        return
    place = places[-1]
    step = steps[place]
    (values,) = step.values()
    for method in (*resample.POINT_METHODS, *resample.PILLOW_METHODS):
        if method != values["method"]:
            yield Change(
                f"resize-{method}",
                f"Resized by {_METHODS.get(method, method)}; declared is {values['method']}.",
                "resize",
                with_step(steps, place, but(step, method=method)),
            )


def _arithmetic(spec: InputSpec) -> Iterator[Change]:
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
            yield Change(name, summary, "normalize", changed)
    if not _feeds_pixels(spec):
        yield from _integers(spec, right)
    place = first(steps, "quantize")
    if place is not None and steps[place]["quantize"]["zero_point"] != 0:
        yield Change(
            "zero-point-forgotten",
            "Quantised without the zero point: every value is off by it.",
            "quantize",
            with_step(steps, place, but(steps[place], zero_point=0)),
        )


def _feeds_pixels(spec: InputSpec) -> bool:
    """Whether the model takes integers that are no quantised floats, most often the pixels themselves."""
    return "int" in spec.dtype and first(spec.steps, "quantize") is None


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
    if first(spec.steps, "normalize") is not None:
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
        if name_of(step) == "normalize":
            if name == "mean-forgotten":
                step = but(step, mean=0)
            elif name == "std-forgotten":
                step = but(step, std=1)
            else:
                values = step["normalize"]
                step = {"normalize": {k: v[::-1] if isinstance(v, list) else v for k, v in values.items()}}
        changed.append(step)
    return tuple(changed)


def _integers(spec: InputSpec, right: Affine) -> Iterator[Change]:
    """Normalising before the pixels are made floats: whole numbers, rounded down or wrapped around."""
    mean, std = right.mean_and_std()
    if all(side == 1 for side in std):
        return
    arguments = {"mean": [round(side) for side in mean], "std": [max(1, round(side)) for side in std]}
    yield Change(
        "integer-arithmetic",
        "Normalised in integers and made floats afterwards: what is behind the point is lost.",
        "normalize",
        with_arithmetic(spec, ({"pitfall-integers": {**arguments, "wrap": False}},)),
    )
    if any(arguments["mean"]):
        yield Change(
            "uint8-wrap-around",
            "The mean subtracted from bytes before they are made floats: dark pixels wrap around to bright ones.",
            "normalize",
            with_arithmetic(spec, ({"pitfall-integers": {**arguments, "wrap": True}},)),
        )


def _axes(spec: InputSpec) -> Iterator[Change]:
    steps = spec.steps
    place = first(steps, "layout")
    if place is None:
        return
    right = steps[place]["layout"]["to"]
    other = "NCHW" if right == "NHWC" else "NHWC"
    yield Change(
        f"{other.lower()}-for-{right.lower()}",
        f"The bytes of an {other} tensor handed over as {right}, without moving the axes.",
        "layout",
        (*with_step(steps, place, {"layout": {"to": other}}), {"pitfall-read-as": {"to": right}}),
    )
    size = _size(spec)
    if size is not None and size[0] == size[1]:
        yield Change(
            "rows-for-columns",
            "Axes transposed with rows and columns exchanged: the image lies on its side, mirrored.",
            "layout",
            (*steps, {"pitfall-transpose": {}}),
        )
