# SPDX-License-Identifier: Apache-2.0
"""Which mistakes are derived from a manifest, and what each does to a tensor, against NumPy and Pillow by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from codereef.bench.arithmetic import affine_of
from codereef.bench.pitfall_steps import KNOWN
from codereef.bench.pitfalls import Pitfall, derive
from codereef.bench.request import InputSpec, OutputSpec
from codereef.bench.steps_in import STEPS, Preprocessor
from PIL import Image
from referencing import Registry, Resource

from tests.bench.program_requests import ROOT, component, holds

RESIZES = {f"resize-{m}" for m in ("nearest", "bilinear", "bicubic", "bicubic-antialias", "area")}
DECODERS = {"fast-decoder", "scaled-decoder"}
INTEGERS = {"integer-arithmetic", "uint8-wrap-around"}
MODELS = sorted(path.parent.name for path in (ROOT / "components" / "model").glob("*/cr.json"))


def image_input(*steps: dict[str, Any], dtype: str = "float32", layout: str = "NHWC", side: int = 24) -> InputSpec:
    shape = (1, side, side, 3) if layout == "NHWC" else (1, 3, side, side)
    return InputSpec("x", "image", dtype, shape, ({"decode": {"color": "RGB"}}, *steps, {"layout": {"to": layout}}))


def resize(method: str = "bilinear-antialias", side: int = 24) -> dict[str, Any]:
    return {"resize": {"to": [side, side], "method": method}}


NORMALIZE = {"normalize": {"mean": 127.5, "std": 127.5}}
TOP = OutputSpec("classification", {"scores": "0"}, ({"top-k": {"tensor": "scores", "k": 5, "offset": 0}},))


def of_model(name: str, **variants: str) -> dict[str, Pitfall]:
    """The mistakes of a model of the repository."""
    meta = component(f"components/model/{name}")
    inputs = [
        InputSpec(i["name"], i["type"], i["dtype"], tuple(i["shape"]), tuple(i["steps"]))
        for i in meta["inputs"]
        if holds(i, variants)
    ]
    outputs = [OutputSpec(o["type"], o["tensors"], tuple(o["steps"])) for o in meta["outputs"] if holds(o, variants)]
    return {pitfall.name: pitfall for pitfall in derive(inputs, outputs)}


def of_input(spec: InputSpec, output: OutputSpec = TOP) -> dict[str, Pitfall]:
    return {pitfall.name: pitfall for pitfall in derive([spec], [output])}


@pytest.mark.parametrize(
    ("model", "variants", "expected"),
    [
        (
            "shapes-ssd",
            {"format": "onnx", "precision": "fp32"},
            {
                *("bgr-for-rgb", "letterboxed", "range-0-255", "range-0-1", "imagenet-statistics", "mean-forgotten"),
                *("std-forgotten", "nhwc-for-nchw", "rows-for-columns", "box-order", "label-offset"),
            }
            | RESIZES
            | DECODERS
            | INTEGERS,
        ),
        (
            "ssd-mobilenet-v1-coco",
            {"format": "tflite"},
            {
                *("bgr-for-rgb", "letterboxed", "range-0-1", "nchw-for-nhwc", "rows-for-columns"),
                *("box-order", "box-form", "label-offset"),
            }
            | RESIZES
            | DECODERS,
        ),
        (
            "fastestdet-coco",
            {},
            {
                *("rgb-for-bgr", "letterboxed", "range-0-255", "range-minus-1-1", "imagenet-statistics"),
                *("integer-arithmetic", "nhwc-for-nchw", "rows-for-columns"),
                *("box-order", "box-form", "label-offset", "label-map-forgotten"),
                *("resize-bilinear-antialias",),
            }
            | (RESIZES - {"resize-area"})
            | DECODERS,
        ),
        (
            "mobilenet-v2-classification",
            {"format": "onnx"},
            {
                *("bgr-for-rgb", "letterboxed", "centre-crop", "range-0-255", "range-0-1", "range-minus-1-1"),
                *("mean-forgotten", "std-forgotten", "statistics-reversed", "nhwc-for-nchw", "rows-for-columns"),
                "label-offset",
            }
            | RESIZES
            | DECODERS
            | INTEGERS,
        ),
    ],
)
def test_the_mistakes_of_real_manifests(model: str, variants: dict[str, str], expected: set[str]) -> None:
    assert set(of_model(model, **variants)) == expected


@pytest.mark.parametrize("model", MODELS)
def test_each_mistake_changes_something_and_stays_in_the_vocabulary_where_it_can(model: str) -> None:
    meta = component(f"components/model/{model}")
    common = json.loads((ROOT / "schemas" / "common.json").read_text(encoding="utf-8"))
    registry: Registry[Any] = Registry().with_resource(common["$id"], Resource.from_contents(common))
    combinations: list[dict[str, str]] = [{}]
    for name, declared in meta.get("variants", {}).items():
        combinations = [{**c, name: value} for c in combinations for value in declared["values"]]
    for variants in combinations:
        inputs = [i["steps"] for i in meta["inputs"] if holds(i, variants)]
        outputs = [o["steps"] for o in meta["outputs"] if holds(o, variants)]
        found = of_model(model, **variants)
        if any(i["type"] == "image" for i in meta["inputs"] if holds(i, variants)):
            assert len(found) >= 10
        seen = []
        for pitfall in found.values():
            steps = ([list(s.steps) for s in pitfall.inputs], [list(s.steps) for s in pitfall.outputs])
            assert steps != (inputs, outputs) and steps not in seen
            seen.append(steps)
            for side, kind in ((steps[0], "input_step"), (steps[1], "output_step")):
                law = {"$ref": f"{common['$id']}#/$defs/{kind}"}
                for step in (step for listed in side for step in listed):
                    if not next(iter(step)).startswith("pitfall-"):
                        jsonschema.Draft202012Validator(law, registry=registry).validate(step)
                    else:
                        assert next(iter(step)) in KNOWN and next(iter(step)) not in STEPS


def test_what_the_model_takes_is_no_mistake() -> None:
    scaled = of_input(image_input(resize(), {"scale": {"by": 1 / 255}}))
    assert "range-0-1" not in scaled and "range-0-255" in scaled
    pixels = of_input(image_input(resize(), {"cast": {"dtype": "float32"}}))
    assert "range-0-255" not in pixels and not INTEGERS & set(pixels)
    same = of_input(image_input(resize(), {"scale": {"by": 2 / 255, "offset": -1.0}}))
    assert "range-minus-1-1" not in same and "range-0-1" in same
    grey = replace(image_input(resize()), steps=({"decode": {"color": "L"}}, resize(), {"layout": {"to": "NHWC"}}))
    assert "bgr-for-rgb" not in of_input(grey)


def test_what_comes_to_the_same_arithmetic_is_given_once() -> None:
    # Without its mean this is a plain 0..255: one mistake, not two.
    found = of_input(image_input(resize(), {"normalize": {"mean": [104, 117, 123], "std": 1}}))
    assert "range-0-255" in found and "mean-forgotten" not in found and "std-forgotten" not in found


def test_a_crop_is_left_out_and_where_there_is_none_one_is_made() -> None:
    crop = {"crop": {"method": "center", "to": [24, 24]}}
    by_size = of_input(image_input({"resize": {"shorter": 28, "method": "bilinear"}}, crop, NORMALIZE))
    assert by_size["no-crop"].inputs[0].steps[1:3] == (resize("bilinear"), NORMALIZE)
    fraction = {"crop": {"method": "center", "fraction": 0.875}}
    by_fraction = of_input(image_input(fraction, resize("bilinear"), NORMALIZE))
    assert by_fraction["no-crop"].inputs[0].steps[1:3] == (resize("bilinear"), NORMALIZE)
    assert not {"centre-crop", "letterboxed"} & {*by_size, *by_fraction}
    assert of_input(image_input(resize(), NORMALIZE))["centre-crop"].inputs[0].steps[1] == fraction


def test_a_letterbox_is_stretched_instead() -> None:
    box = {"letterbox": {"to": [24, 24], "method": "bilinear", "fill": 114}}
    found = of_input(image_input(box))
    assert found["stretched"].inputs[0].steps[1] == resize("bilinear") and "letterboxed" not in found


def test_labels_and_boxes() -> None:
    shifted = of_model("mobilenet-v2-classification", format="onnx")["label-offset"].outputs[0].steps
    assert shifted[-1] == {"top-k": {"tensor": "scores", "k": 5, "offset": 0}}, "1 is declared"
    ssd = of_model("ssd-mobilenet-v1-coco", format="tflite")
    assert ssd["box-order"].outputs[0].steps[0]["boxes"]["format"] == "xyxy"
    assert ssd["box-form"].outputs[0].steps[0]["boxes"]["format"] == "cycxhw"
    shapes = of_model("shapes-ssd", format="onnx", precision="fp32")
    assert shapes["box-order"].outputs[0].steps[0]["decode-boxes"]["order"] == "cycxhw"
    bare = OutputSpec("detections", {}, ({"boxes": {"tensor": "b", "format": "xyxy", "units": "normalized"}},))
    assert of_input(image_input(resize()), bare)["label-offset"].outputs[0].steps[-1] == {"category": {"offset": 1}}


def test_inputs_that_are_no_images_stay_as_they_are() -> None:
    vector = InputSpec("v", "tensor", "float32", (1, 4), ())
    for pitfall in derive([vector, image_input(resize(), NORMALIZE)], [TOP]):
        assert pitfall.inputs[0] == vector
    assert {p.name for p in derive([vector], [TOP])} == {"label-offset"}


def test_unknown_arithmetic_makes_no_mistakes_of_ranges() -> None:
    assert affine_of([{"decode": {"color": "RGB"}}, {"per-image-mean": {}}]) is None
    found = of_input(image_input(resize(), {"per-image-mean": {}}))
    assert "bgr-for-rgb" in found and not any(p.stage == "normalize" for p in found.values())


# What the steps do, against NumPy and Pillow by hand.


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A JPEG with edges and colour, 96 by 64 pixels."""
    y, x = np.mgrid[0:64, 0:96]
    noise = np.random.default_rng(5).integers(0, 60, (64, 96, 3))
    pixels = np.stack([x * 2, y * 3, (x * y) % 200], axis=2) // 2 + noise
    path = tmp_path_factory.mktemp("photo") / "photo.jpg"
    Image.fromarray(pixels.astype(np.uint8)).save(path, quality=90)
    return path


def tensor(spec: InputSpec, path: Path) -> np.ndarray:
    array = Preprocessor(spec.steps, KNOWN)(path)[0]
    assert array.shape == spec.shape and array.dtype == np.dtype(spec.dtype)
    return array


@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
def test_axes_and_colours_are_those_that_a_careless_hand_would_make(photo: Path, layout: str) -> None:
    spec = image_input(resize(), NORMALIZE, layout=layout)
    found = of_input(spec)
    with Image.open(photo) as image:
        pixels = np.asarray(image.convert("RGB").resize((24, 24), Image.Resampling.BILINEAR))
    right = (pixels.astype(np.float32) - np.float32(127.5)) / np.float32(127.5)
    first = layout == "NCHW"

    def laid(array: np.ndarray) -> np.ndarray:
        return (array.transpose(2, 0, 1) if first else array)[None]

    np.testing.assert_array_equal(tensor(spec, photo), laid(right))
    np.testing.assert_array_equal(tensor(found["bgr-for-rgb"].inputs[0], photo), laid(right[:, :, ::-1]))
    bytes_of_other = (right if first else right.transpose(2, 0, 1)).tobytes()
    wrong = np.frombuffer(bytes_of_other, np.float32).reshape(spec.shape)
    name = "nhwc-for-nchw" if first else "nchw-for-nhwc"
    np.testing.assert_array_equal(tensor(found[name].inputs[0], photo), wrong)
    np.testing.assert_array_equal(tensor(found["rows-for-columns"].inputs[0], photo), laid(right.transpose(1, 0, 2)))


def test_ranges_are_those_that_their_names_say(photo: Path) -> None:
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    imagenet = {"normalize": {"mean": mean.tolist(), "std": std.tolist()}}
    found = of_input(image_input(resize(), {"scale": {"by": 1 / 255}}, imagenet))
    pixels = tensor(image_input(resize(), dtype="uint8"), photo).astype(np.float64)
    expected = {
        "range-0-255": pixels,
        "range-0-1": pixels / 255,
        "range-minus-1-1": pixels / 127.5 - 1,
        "mean-forgotten": pixels / 255 / std,
        "std-forgotten": pixels / 255 - mean,
        "statistics-reversed": (pixels / 255 - mean[::-1]) / std[::-1],
    }
    for name, values in expected.items():
        np.testing.assert_allclose(tensor(found[name].inputs[0], photo), values, atol=2e-5)
    of_bytes = of_input(image_input(resize(), dtype="uint8"))["range-0-1"].inputs[0]
    np.testing.assert_array_equal(tensor(of_bytes, photo), (pixels == 255).astype(np.uint8))


def test_integers_lose_or_wrap_as_integers_do(photo: Path) -> None:
    found = of_input(
        image_input(
            resize(), {"cast": {"dtype": "float32"}}, {"normalize": {"mean": [120, 110, 100], "std": [60, 50, 40]}}
        )
    )
    pixels = tensor(image_input(resize(), dtype="uint8"), photo)
    floored, wrapped = np.zeros(pixels.shape), np.zeros(pixels.shape)
    for place in np.ndindex(pixels.shape):
        value, mean, std = int(pixels[place]), (120, 110, 100)[place[3]], (60, 50, 40)[place[3]]
        floored[place] = (value - mean) // std
        wrapped[place] = ((value - mean) % 256) / std
    assert (pixels < 100).any() and (pixels > 120).any()
    np.testing.assert_array_equal(tensor(found["integer-arithmetic"].inputs[0], photo), floored)
    np.testing.assert_allclose(tensor(found["uint8-wrap-around"].inputs[0], photo), wrapped, rtol=1e-6)


def test_area_is_the_mean_of_blocks(photo: Path) -> None:
    spec = replace(image_input({"resize": {"to": [16, 24], "method": "nearest"}}, dtype="uint8"), shape=(1, 16, 24, 3))
    with Image.open(photo) as image:
        pixels = np.asarray(image.convert("RGB")).astype(np.float64)
    blocks = pixels.reshape(16, 4, 24, 4, 3).mean(axis=(1, 3))
    found = tensor(of_input(spec)["resize-area"].inputs[0], photo)[0].astype(np.float64)
    assert np.abs(found - blocks).max() <= 1.0, "Pillow rounds after either axis"


def test_the_fast_decoder_is_another_one_for_jpeg_only(photo: Path, tmp_path: Path) -> None:
    spec = InputSpec("x", "image", "uint8", (1, 64, 96, 3), ({"decode": {"color": "RGB"}}, {"layout": {"to": "NHWC"}}))
    fast = of_input(spec)["fast-decoder"].inputs[0]
    right, wrong = tensor(spec, photo).astype(int), tensor(fast, photo).astype(int)
    off = np.abs(right - wrong)
    assert (off > 0).any(axis=-1).mean() > 0.1, "Pillow's decoder takes no such configuration any more"
    assert off.mean() < 12, "it must still be the same picture"
    png = tmp_path / "same.png"
    Image.fromarray(right[0].astype(np.uint8)).save(png)
    np.testing.assert_array_equal(tensor(spec, png), tensor(fast, png))


def test_the_scaled_decoder_is_the_draft_mode_of_pillow_and_keeps_the_way_back(photo: Path) -> None:
    spec = image_input(resize(side=24), dtype="uint8")
    steps = of_input(spec)["scaled-decoder"].inputs[0].steps
    array, geometry = Preprocessor(steps, KNOWN)(photo)
    with Image.open(photo) as image:
        image.draft("RGB", (24, 24))
        assert image.size == (48, 32)
        expected = np.asarray(image.convert("RGB").resize((24, 24), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(array[0], expected)
    assert geometry.to_original(np.array([[0.0, 0.0, 24.0, 24.0]])).tolist() == [[0, 0, 96, 64]]


def test_the_scaled_decoder_is_never_coarser_than_what_is_left_after_a_crop() -> None:
    cut = {"crop": {"method": "center", "fraction": 0.5}}
    steps = of_input(image_input(cut, resize(), NORMALIZE))["scaled-decoder"].inputs[0].steps
    assert steps[0] == {"pitfall-decode-scaled": {"color": "RGB", "to": [48, 48]}}
    exact = {"crop": {"method": "center", "to": [40, 40]}}
    assert "scaled-decoder" not in of_input(image_input(exact, resize(), NORMALIZE))
