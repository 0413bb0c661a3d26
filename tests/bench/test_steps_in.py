# SPDX-License-Identifier: Apache-2.0
"""Every pre-processing step against Pillow, scipy, plain loops or values worked out by hand."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from codereef.bench import resample
from codereef.bench.geometry import Geometry
from codereef.bench.steps_in import STEPS, Preprocessor
from codereef.errors import MetadataError, RunError
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.bench.program_requests import ROOT


def picture(height: int, width: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "image.png"
    Image.fromarray(picture(37, 52)).save(path)
    return path


def process(path: Path, *steps: dict[str, Any]) -> tuple[np.ndarray, Geometry]:
    return Preprocessor(steps)(path)


RGB = {"decode": {"color": "RGB"}}


def test_vocabulary_is_that_of_the_schema() -> None:
    import json

    common = json.loads((ROOT / "schemas" / "common.json").read_text(encoding="utf-8"))
    named = {name for step in common["$defs"]["input_step"]["oneOf"] for name in step["properties"]}
    assert set(STEPS) == named


def test_decode_gives_the_pixels_in_the_colour_layout_asked_for(image: Path) -> None:
    pixels = picture(37, 52)
    np.testing.assert_array_equal(process(image, RGB)[0], pixels)
    np.testing.assert_array_equal(process(image, {"decode": {"color": "BGR"}})[0], pixels[:, :, ::-1])
    grey = process(image, {"decode": {"color": "L"}})[0]
    assert grey.shape == (37, 52, 1)
    red, green, blue = (pixels[:, :, c].astype(np.int64) for c in range(3))
    # ITU-R 601-2 luma in 16-bit fixed point, as Pillow documents it.
    np.testing.assert_allclose(grey[:, :, 0], (299 * red + 587 * green + 114 * blue) / 1000, atol=0.51)


def test_decode_leaves_the_exif_orientation_alone(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # rotate by 90 degrees for display
    path = tmp_path / "turned.png"
    Image.fromarray(picture(8, 20)).save(path, exif=exif)
    assert process(path, RGB)[0].shape == (8, 20, 3)


@pytest.mark.parametrize("content", [b"", b"not an image", b"\x89PNG\r\n\x1a\n" + bytes(40)])
def test_decode_names_the_file_it_cannot_read(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.png"
    path.write_bytes(content)
    with pytest.raises(RunError, match=r"bad\.png"):
        process(path, RGB)


def test_crop_takes_the_middle(image: Path) -> None:
    pixels = picture(37, 52)
    cropped, geometry = process(image, RGB, {"crop": {"method": "center", "to": [20, 30]}})
    np.testing.assert_array_equal(cropped, pixels[8:28, 11:41])
    assert (geometry.offset_x, geometry.offset_y) == (11, 8)
    half, _ = process(image, RGB, {"crop": {"method": "center", "fraction": 0.875}})
    assert half.shape == (math.floor(37 * 0.875), math.floor(52 * 0.875), 3)  # 32 x 45
    np.testing.assert_array_equal(half, pixels[2:34, 3:48])


def test_crop_larger_than_the_image_is_an_error(image: Path) -> None:
    with pytest.raises(RunError, match="37x52"):
        process(image, RGB, {"crop": {"method": "center", "to": [38, 10]}})


@pytest.mark.parametrize("args", [{"method": "center"}, {"method": "center", "to": [2, 2], "fraction": 0.5}])
def test_crop_needs_exactly_one_size(image: Path, args: dict[str, Any]) -> None:
    with pytest.raises(MetadataError, match="either"):
        process(image, RGB, {"crop": args})


sizes = st.integers(1, 40)


@settings(max_examples=60, deadline=None)
@given(sizes, sizes, sizes, sizes)
def test_nearest_equals_pillow(h: int, w: int, to_h: int, to_w: int) -> None:
    pixels = picture(h, w)
    expected = np.asarray(Image.fromarray(pixels).resize((to_w, to_h), Image.Resampling.NEAREST))
    # Pillow adds up steps in floating point and can be one off where a centre falls on a pixel's edge.
    got = resample.resize(pixels, to_h, to_w, "nearest")
    rows = [not _on_edge(h, to_h, i) for i in range(to_h)]
    columns = [not _on_edge(w, to_w, i) for i in range(to_w)]
    np.testing.assert_array_equal(got[rows][:, columns], expected[rows][:, columns])


def _on_edge(size: int, to: int, i: int) -> bool:
    return (Fraction(2 * i + 1, 2) * size / to).denominator == 1


@settings(max_examples=60, deadline=None)
@given(sizes, sizes, sizes, sizes)
def test_bilinear_equals_scipy_at_half_pixel_centres(h: int, w: int, to_h: int, to_w: int) -> None:
    from scipy import ndimage

    pixels = picture(h, w, 1).astype(np.float64)
    grid = np.meshgrid(
        (np.arange(to_h) + 0.5) * h / to_h - 0.5, (np.arange(to_w) + 0.5) * w / to_w - 0.5, indexing="ij"
    )
    expected = ndimage.map_coordinates(pixels[:, :, 0], grid, order=1, mode="nearest")
    np.testing.assert_allclose(resample.resize(pixels, to_h, to_w, "bilinear")[:, :, 0], expected, atol=1e-9)


@settings(max_examples=150, deadline=None)
@given(sizes, sizes, sizes, sizes)
def test_area_equals_opencv_to_the_bit_but_for_shrinking_by_whole_numbers(h: int, w: int, to_h: int, to_w: int) -> None:
    import cv2

    pixels = picture(h, w)
    expected = cv2.resize(pixels, (to_w, to_h), interpolation=cv2.INTER_AREA)
    found = resample.resize(pixels, to_h, to_w, "area")
    whole = h % to_h == 0 and w % to_w == 0 and (h, w) != (to_h, to_w)
    np.testing.assert_allclose(found.astype(int), expected.astype(int), atol=1 if whole else 0)


def test_area_of_a_whole_number_is_the_mean_of_the_blocks() -> None:
    pixels = picture(24, 36).astype(np.float32)
    expected = pixels.reshape(8, 3, 9, 4, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(resample.resize(pixels, 8, 9, "area"), expected, rtol=1e-5)


def loop_bicubic(line: list[float], to: int) -> list[float]:
    """Keys 1981, eq. 15 with a = -1/2, one output at a time."""

    def kernel(s: float) -> float:
        s = abs(s)
        if s < 1:
            return 1.5 * s**3 - 2.5 * s**2 + 1
        return -0.5 * s**3 + 2.5 * s**2 - 4 * s + 2 if s < 2 else 0.0

    result = []
    for i in range(to):
        at = (i + 0.5) * len(line) / to - 0.5
        near = range(math.floor(at) - 1, math.floor(at) + 3)
        result.append(sum(line[min(max(k, 0), len(line) - 1)] * kernel(at - k) for k in near))
    return result


@settings(max_examples=60, deadline=None)
@given(sizes, sizes, sizes, sizes)
def test_bicubic_equals_a_plain_loop(h: int, w: int, to_h: int, to_w: int) -> None:
    pixels = picture(h, w, 1).astype(np.float64)
    columns = np.array([loop_bicubic(list(pixels[:, x, 0]), to_h) for x in range(w)]).T
    expected = np.array([loop_bicubic(list(row), to_w) for row in columns])
    np.testing.assert_allclose(resample.resize(pixels, to_h, to_w, "bicubic")[:, :, 0], expected, atol=1e-9)


def test_bicubic_equals_pillow_when_enlarging_away_from_the_border() -> None:
    pixels = picture(20, 20, 1) // 2 + 64  # Pillow saturates between its two passes; nothing may overshoot
    expected = np.asarray(Image.fromarray(pixels[:, :, 0]).resize((50, 50), Image.Resampling.BICUBIC))
    got = resample.resize(pixels, 50, 50, "bicubic")[:, :, 0]
    assert np.abs(got[6:-6, 6:-6].astype(int) - expected[6:-6, 6:-6]).max() <= 1


def test_integer_images_round_half_to_even_and_saturate() -> None:
    pair = np.array([[[10], [11]]], dtype=np.uint8)
    assert resample.resize(pair, 1, 1, "bilinear")[0, 0, 0] == 10  # 10.5
    assert resample.resize(pair + 1, 1, 1, "bilinear")[0, 0, 0] == 12  # 11.5
    edge = np.array([[[0], [0], [255], [255], [0], [0]]], dtype=np.uint8)
    overshoot = resample.resize(edge.astype(np.float64), 1, 11, "bicubic")
    assert overshoot.max() > 255 and overshoot.min() < 0
    assert resample.resize(edge, 1, 11, "bicubic").max() == 255


@pytest.mark.parametrize(
    ("method", "theirs"),
    [("bilinear-antialias", Image.Resampling.BILINEAR), ("bicubic-antialias", Image.Resampling.BICUBIC)],
)
def test_antialias_methods_are_pillows(image: Path, method: str, theirs: Image.Resampling) -> None:
    expected = np.asarray(Image.open(image).resize((20, 11), theirs))
    np.testing.assert_array_equal(process(image, RGB, {"resize": {"to": [11, 20], "method": method}})[0], expected)
    plane = picture(37, 52)[:, :, 0].astype(np.float32)
    expected = np.asarray(Image.fromarray(plane).resize((20, 11), theirs))
    np.testing.assert_array_equal(resample.resize(plane[:, :, None], 11, 20, method)[:, :, 0], expected)


def test_antialias_of_an_unfit_type_names_step_and_type(image: Path) -> None:
    with pytest.raises(MetadataError, match=r"resize.*int64"):
        process(
            image,
            RGB,
            {"cast": {"dtype": "int64"}},
            {"resize": {"to": [4, 4], "method": "bilinear-antialias"}},
        )


@pytest.mark.parametrize(("shorter", "expected"), [(37, (37, 52)), (74, (74, 104)), (10, (10, 14)), (20, (20, 28))])
def test_resize_to_a_shorter_side_keeps_the_aspect_ratio(image: Path, shorter: int, expected: tuple[int, int]) -> None:
    # 52 * 10 / 37 = 14.05, 52 * 20 / 37 = 28.1
    result, _ = process(image, RGB, {"resize": {"shorter": shorter, "method": "nearest"}})
    assert result.shape[:2] == expected


def test_letterbox_pads_equally_and_puts_the_odd_pixel_on_the_far_side(image: Path) -> None:
    result, geometry = process(image, RGB, {"letterbox": {"to": [52, 52], "method": "nearest", "fill": 114}})
    # 37 x 52 fits as it is; 15 rows are left: 7 above, 8 below.
    np.testing.assert_array_equal(result[7:44], picture(37, 52))
    assert (result[:7] == 114).all() and (result[44:] == 114).all()
    assert (geometry.offset_y, geometry.offset_x, geometry.height, geometry.width) == (-7, 0, 52, 52)


def test_cast_converts_by_value_and_refuses_what_does_not_fit(image: Path) -> None:
    assert process(image, RGB, {"cast": {"dtype": "int32"}})[0].dtype == np.int32
    truncated, _ = process(image, RGB, {"scale": {"by": 0.01, "offset": -1.5}}, {"cast": {"dtype": "int8"}})
    np.testing.assert_array_equal(truncated, np.trunc(picture(37, 52) * np.float32(0.01) - np.float32(1.5)))
    with pytest.raises(MetadataError, match="int8 cannot hold"):
        process(image, RGB, {"cast": {"dtype": "int8"}})


def test_scale_multiplies_then_adds_in_float32(image: Path) -> None:
    result, _ = process(image, RGB, {"scale": {"by": 1 / 255, "offset": -0.5}})
    assert result.dtype == np.float32
    expected = [[[float(v) / 255 - 0.5 for v in pixel] for pixel in row] for row in picture(37, 52)]
    np.testing.assert_allclose(result, expected, atol=1e-6)


def test_normalize_works_by_channel_before_and_after_layout(image: Path) -> None:
    mean, std = [1.0, 2.0, 3.0], [10.0, 20.0, 40.0]
    step = {"normalize": {"mean": mean, "std": std}}
    expected = np.stack([(picture(37, 52)[:, :, c].astype(float) - mean[c]) / std[c] for c in range(3)], axis=2)
    before, _ = process(image, RGB, step, {"layout": {"to": "NCHW"}})
    after, _ = process(image, RGB, {"layout": {"to": "NCHW"}}, step)
    np.testing.assert_allclose(before, expected.transpose(2, 0, 1)[None], rtol=1e-6)
    np.testing.assert_array_equal(before, after)
    whole, _ = process(image, RGB, {"normalize": {"mean": 127.5, "std": 127.5}})
    assert whole.min() >= -1 and whole.max() <= 1 and whole.dtype == np.float32


def test_normalize_with_the_wrong_number_of_channels_is_an_error(image: Path) -> None:
    with pytest.raises(MetadataError, match="2 values for 3 channels"):
        process(image, RGB, {"normalize": {"mean": [1, 2], "std": 1}})


def test_quantize_rounds_half_to_even_and_saturates(tmp_path: Path) -> None:
    path = tmp_path / "ramp.png"
    Image.fromarray(np.array([[1, 3, 5, 7, 200, 255]], dtype=np.uint8)).save(path)
    steps = [{"decode": {"color": "L"}}, {"quantize": {"scale": 2.0, "zero_point": -10, "dtype": "int8"}}]
    # 0.5 -> 0, 1.5 -> 2, 2.5 -> 2, 3.5 -> 4, 100, 127.5 -> 128; then -10.
    assert process(path, *steps)[0].reshape(-1).tolist() == [-10, -8, -8, -6, 90, 118]
    steps[1]["quantize"]["zero_point"] = 100
    assert process(path, *steps)[0].reshape(-1).tolist() == [100, 102, 102, 104, 127, 127]


def test_layout_adds_a_batch_axis_and_orders_the_axes(image: Path) -> None:
    pixels = picture(37, 52)
    np.testing.assert_array_equal(process(image, RGB, {"layout": {"to": "NHWC"}})[0], pixels[None])
    nchw, _ = process(image, RGB, {"layout": {"to": "NCHW"}})
    assert all((nchw[0, c] == pixels[:, :, c]).all() for c in range(3))
    assert nchw.flags.c_contiguous


def test_steps_run_in_the_order_written(image: Path) -> None:
    scale, shift = {"scale": {"by": 2}}, {"scale": {"by": 1, "offset": 1}}
    np.testing.assert_array_equal(process(image, RGB, scale, shift)[0], picture(37, 52) * 2.0 + 1)
    np.testing.assert_array_equal(process(image, RGB, shift, scale)[0], (picture(37, 52) + 1.0) * 2)


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([{"blur": {}}], "unknown input step blur"),
        ([{"resize": {"to": [2, 2], "method": "nearest"}}], "before decode"),
        ([RGB, {"layout": {"to": "NHWC"}}, {"resize": {"to": [2, 2], "method": "nearest"}}], "before layout"),
        ([RGB, {"resize": {"to": [2, 2], "method": "lanczos"}}], "unknown resize method lanczos"),
        ([RGB, {"resize": {"method": "nearest"}}], "either `to` or `shorter`"),
        ([RGB, {"scale": {"by": "2"}}], "`by` must be a number"),
        ([RGB, {"normalize": {"mean": 0, "std": 0}}], "must not be zero"),
    ],
)
def test_wrong_steps_are_named(image: Path, steps: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(MetadataError, match=message):
        process(image, *steps)


def test_implementations_name_pillow_and_our_own() -> None:
    steps = [RGB, {"resize": {"to": [4, 4], "method": "bilinear"}}, {"layout": {"to": "NHWC"}}]
    facts = Preprocessor(steps).implementations()
    assert facts["decode"]["implementation"] == "Pillow" and facts["decode"]["version"]
    assert facts["resize"] == {
        "implementation": "codereef.bench (numpy)",
        "version": np.__version__,
        "method": "bilinear",
    }


@settings(max_examples=80, deadline=None)
@given(st.integers(4, 60), st.integers(4, 60), st.randoms(use_true_random=False))
def test_geometry_takes_a_marked_pixel_back_to_where_it_was(height: int, width: int, random: Any) -> None:
    """Follow one point through random steps by hand and let the geometry bring it back."""
    geometry = Geometry(width, height)
    x, y = random.uniform(0, width), random.uniform(0, height)
    at_x, at_y = x, y
    for _ in range(random.randint(1, 4)):
        if random.random() < 0.5:
            w, h = random.randint(1, 80), random.randint(1, 80)
            at_x, at_y = at_x * w / geometry.width, at_y * h / geometry.height
            geometry = geometry.resized(w, h)
        else:
            left, top = random.randint(-9, 9), random.randint(-9, 9)
            at_x, at_y = at_x - left, at_y - top
            geometry = geometry.moved(left, top, random.randint(1, 80), random.randint(1, 80))
    back = geometry.to_original(np.array([[at_x, at_y, at_x, at_y]]))[0]
    np.testing.assert_allclose(back, [x, y, x, y], atol=1e-6)


@pytest.mark.parametrize("method", ["nearest", "bilinear", "bicubic-antialias"])
def test_a_bright_square_comes_back_to_its_own_pixels(tmp_path: Path, method: str) -> None:
    """A real image with one square: find it in the input tensor, and its box must come back."""
    pixels = np.zeros((120, 200, 3), dtype=np.uint8)
    pixels[40:80, 60:140] = 255
    path = tmp_path / "square.png"
    Image.fromarray(pixels).save(path)
    tensor, geometry = process(
        path, RGB,
        {"crop": {"method": "center", "fraction": 0.9}},
        {"letterbox": {"to": [64, 96], "method": method, "fill": 0}},
    )  # fmt: skip
    rows, columns = np.nonzero(tensor[:, :, 0] > 127)
    found = np.array([[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]], dtype=float)
    np.testing.assert_allclose(geometry.to_original(found)[0], [60, 40, 140, 80], atol=2)
