# SPDX-License-Identifier: Apache-2.0
"""The coloured-shapes generator: the same bytes everywhere, disjoint splits, truthful annotations."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

np = pytest.importorskip("numpy")
Image = pytest.importorskip("PIL.Image")

GENERATOR = Path(__file__).resolve().parents[2] / "components" / "dataset" / "coloured-shapes" / "generate.py"
DIGESTS = {
    "50": "e8f0ed233116823044a265090fb780ce625df2ecb32130c5256802c832466e69",
    "500": "248b72be5c16c5f851d248e9a91b0423672e088633956b6bc81914571df235d7",
}
COMPARED = 60  # images of each split in the quick test
TRAINED_ON = 12000  # images that shapes-ssd was trained on


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("coloured_shapes_generate", GENERATOR)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "dont_write_bytecode", True)  # a component's folder holds what it publishes
        spec.loader.exec_module(module)
    return module


def run_generator(folder: Path, request: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    path = folder / "request.json"
    path.write_text(json.dumps(request), encoding="utf-8")
    command = [sys.executable, str(GENERATOR), str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def fifty(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The validation set of 50, written by the program, and what the program printed."""
    folder = tmp_path_factory.mktemp("coloured-shapes")
    output = folder / "output"
    output.mkdir()
    done = run_generator(folder, {"output": str(output), "variants": {"size": "50"}, "options": {}})
    assert done.returncode == 0, done.stderr
    return output, done.stdout.strip()


def test_fifty_has_the_published_digest(fifty: tuple[Path, str]) -> None:
    assert fifty[1] == DIGESTS["50"]


def test_printed_digest_is_that_of_the_files_on_disk(fifty: tuple[Path, str]) -> None:
    output, printed = fifty
    names = sorted(p.relative_to(output).as_posix().encode() for p in output.rglob("*") if p.is_file())
    lines = b""
    for name in names:
        body = (output / name.decode()).read_bytes()
        lines += f"{hashlib.sha256(body).hexdigest()} {len(body)} ".encode() + name + b"\n"
    assert printed == hashlib.sha256(lines).hexdigest()


@pytest.mark.slow
def test_five_hundred_has_the_published_digest_and_begins_with_the_fifty(
    generate: ModuleType, fifty: tuple[Path, str], tmp_path: Path
) -> None:
    assert generate.write_dataset(tmp_path, 500) == DIGESTS["500"]
    for path in (fifty[0] / "images").iterdir():
        assert path.read_bytes() == (tmp_path / "images" / path.name).read_bytes()


def test_train_and_validation_share_no_image(generate: ModuleType) -> None:
    def digests(split: str) -> set[str]:
        found = generate.scenes(split, COMPARED)
        return {hashlib.sha256(scene.pixels.tobytes()).hexdigest() for scene in found}

    train, validation = digests("train"), digests("validation")
    assert len(train) == len(validation) == COMPARED  # nor does a split repeat itself
    assert not train & validation


@pytest.mark.slow
def test_no_image_of_the_whole_training_set_is_a_validation_image(generate: ModuleType) -> None:
    def digests(split: str, count: int) -> set[str]:
        return {hashlib.sha256(scene.pixels.tobytes()).hexdigest() for scene in generate.scenes(split, count)}

    assert not digests("train", TRAINED_ON) & digests("validation", 500)


def test_seeds_of_the_splits_never_meet(generate: ModuleType) -> None:
    train = {generate.image_seed("train", number) for number in range(1, TRAINED_ON + 1)}
    assert len(train) == TRAINED_ON
    assert not train & {generate.image_seed("validation", number) for number in range(1, 501)}
    with pytest.raises(ValueError, match="unknown split 'test'"):
        generate.image_seed("test", 1)


def test_boxes_and_areas_match_the_visible_pixels(generate: ModuleType) -> None:
    objects = 0
    for scene in generate.scenes("validation", 50):
        assert np.array_equal(scene.pixels[scene.owner == 0], scene.background[scene.owner == 0])
        for index, shape in enumerate(scene.shapes):
            mask = scene.owner == index + 1
            x, y, width, height = shape.box
            assert int(mask.sum()) == shape.area
            assert mask[y : y + height, x : x + width].sum() == shape.area  # nothing outside the box
            assert mask[y].any() and mask[y + height - 1].any()  # and the box is tight
            assert mask[:, x].any() and mask[:, x + width - 1].any()
            painted = scene.pixels[mask].astype(int)
            assert np.abs(painted - np.array(shape.colour)).max() <= 12  # fill with its grain
            objects += 1
    assert objects > 100


def test_written_annotations_are_those_of_the_scenes(generate: ModuleType, fifty: tuple[Path, str]) -> None:
    document = json.loads((fifty[0] / "instances.json").read_text(encoding="utf-8"))
    assert [c["name"] for c in document["categories"]] == list(generate.LABELS)
    assert (fifty[0] / "labels.txt").read_text(encoding="utf-8").splitlines() == list(generate.LABELS)
    for number, scene in enumerate(generate.scenes("validation", 50), start=1):
        entry = document["images"][number - 1]
        with Image.open(fifty[0] / "images" / entry["file_name"]) as image:
            assert image.size == (entry["width"], entry["height"])
            assert np.array_equal(np.asarray(image), scene.pixels)
        listed = [
            (a["category_id"], tuple(a["bbox"]), a["area"], a["iscrowd"])
            for a in document["annotations"]
            if a["image_id"] == number
        ]
        assert listed == [(generate.LABELS.index(s.label) + 1, s.box, s.area, 0) for s in scene.shapes]
    assert [a["id"] for a in document["annotations"]] == list(range(1, len(document["annotations"]) + 1))


def test_every_shape_colour_and_canvas_occurs_and_sizes_start_small(generate: ModuleType) -> None:
    scenes = list(generate.scenes("validation", 100))
    shapes = [shape for scene in scenes for shape in scene.shapes]
    counts = [sum(shape.label == label for shape in shapes) for label in generate.LABELS]
    assert min(counts) > 0.6 * max(counts)
    for label in generate.LABELS:  # the colour says nothing about the class
        mean = np.array([shape.colour for shape in shapes if shape.label == label]).mean(axis=0)
        assert np.all(np.abs(mean - 127.5) < 40)
    assert {scene.owner.shape[::-1] for scene in scenes} == set(generate.CANVASES)
    assert min(max(shape.box[2:]) for shape in shapes) <= 18
    assert {len(scene.shapes) for scene in scenes} == {1, 2, 3, 4, 5, 6}


def test_png_encoder_stores_and_decodes_across_deflate_blocks(generate: ModuleType) -> None:
    pixels = np.arange(200 * 150 * 3, dtype=np.int64).reshape(200, 150, 3).astype(np.uint8)
    encoded = generate.png_bytes(pixels)
    assert len(encoded) > pixels.size > 65535
    with Image.open(io.BytesIO(encoded)) as image:
        assert np.array_equal(np.asarray(image), pixels)


def test_unknown_size_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    output = tmp_path / "output"
    output.mkdir()
    done = run_generator(tmp_path, {"output": str(output), "variants": {"size": "51"}, "options": {}})
    assert done.returncode == 2
    assert "'51'" in done.stderr and "50, 500" in done.stderr
    assert list(output.iterdir()) == []


def test_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "output").mkdir()
    (tmp_path / "output" / "mine.txt").write_text("mine", encoding="utf-8")
    done = run_generator(tmp_path, {"output": str(tmp_path / "output"), "variants": {"size": "50"}, "options": {}})
    assert done.returncode == 2
    assert "not empty" in done.stderr
    assert [p.name for p in (tmp_path / "output").iterdir()] == ["mine.txt"]
