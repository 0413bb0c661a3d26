# SPDX-License-Identifier: Apache-2.0
"""The mistakes in reading what a model gives: boxes and labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Optional

from codereef.bench.request import OutputSpec
from codereef.bench.step_changes import Change, Step, Steps, but, first, with_step


def output_changes(spec: OutputSpec) -> Iterator[Change]:
    """The mistakes with one output."""
    if spec.type == "detections":
        yield from _boxes(spec.steps)
    yield from _labels(spec)


_SWAPPED = {"yxyx": "xyxy", "xyxy": "yxyx", "cxcywh": "cycxhw", "cycxhw": "cxcywh"}
_CORNERS = {"yxyx": "cycxhw", "xyxy": "cxcywh"}
_CENTRES = {centre: corner for corner, centre in _CORNERS.items()}


def _boxes(steps: Steps) -> Iterator[Change]:
    decoded, place = first(steps, "decode-boxes"), first(steps, "boxes")
    if decoded is not None and (order := steps[decoded]["decode-boxes"]["order"]) in _SWAPPED:
        yield Change(
            "box-order",
            f"The model's boxes read as {_SWAPPED[order]}; they are {order}.",
            "boxes",
            with_step(steps, decoded, but(steps[decoded], order=_SWAPPED[order])),
        )
        return
    if place is None or (form := steps[place]["boxes"]["format"]) not in _SWAPPED:
        return
    yield Change(
        "box-order",
        f"The model's boxes read as {_SWAPPED[form]}; they are {form}.",
        "boxes",
        with_step(steps, place, but(steps[place], format=_SWAPPED[form])),
    )
    wrong = {**_CORNERS, **_CENTRES}[form]
    found, is_ = ("centre and size", "corners") if form in _CORNERS else ("corners", "centre and size")
    yield Change(
        "box-form",
        f"The model's boxes read as {found} ({wrong}); they are {is_} ({form}).",
        "boxes",
        with_step(steps, place, but(steps[place], format=wrong)),
    )


def _labels(spec: OutputSpec) -> Iterator[Change]:
    steps = spec.steps
    name = "top-k" if spec.type == "classification" else "category"
    place = first(steps, name)
    if spec.type not in ("classification", "detections") or (spec.type == "classification" and place is None):
        return
    values: Mapping[str, Any] = {} if place is None else steps[place][name]
    offset = values.get("offset", 0)
    if "map" in values:
        yield Change(
            "label-map-forgotten",
            "Class + 1 taken for the category, as if ids had no gaps: COCO's 80 classes have ids up to 90.",
            "labels",
            with_step(steps, _known(place), {name: {"offset": 1}}),
        )
    wrong = offset - 1 if offset > 0 else offset + 1
    shifted: Step = {name: {**values, "offset": wrong}}
    yield Change(
        "label-offset",
        f"Classes off by one ({wrong:+d} instead of {offset:+d}), as where background is counted and should not be.",
        "labels",
        (*steps, shifted) if place is None else with_step(steps, place, shifted),
    )


def _known(place: Optional[int]) -> int:
    assert place is not None  # `map` stands in the step that is there
    return place
