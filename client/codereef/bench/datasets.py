# SPDX-License-Identifier: Apache-2.0
"""The items of a dataset: image files with their truth, and the names of the classes."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from codereef.bench.request import DatasetSpec
from codereef.errors import MetadataError

_IMAGE_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".webp")


@dataclass(frozen=True)
class Item:
    """One image: its name in the dataset, its file, its COCO id or its true class where there is one."""

    name: str
    path: Path
    image_id: Optional[int] = None
    truth: Optional[int] = None


@dataclass(frozen=True)
class Dataset:
    """Items in the order of the annotations, and class names by category id or class index."""

    ref: str
    format: str
    items: tuple[Item, ...]
    labels: dict[int, str]
    coco: Optional[dict[str, Any]] = None


def _located(spec: DatasetSpec, name: str) -> Path:
    path = spec.dir / spec.annotations.images / name
    if not path.is_file():
        raise MetadataError(
            f"{spec.ref}: the annotations name the image {name}, which is not in the dataset",
            hint="run `cr init` again; the installed dataset is not complete",
        )
    return path


def _coco(spec: DatasetSpec, path: Path) -> Dataset:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        listed = [(str(image["file_name"]), int(image["id"])) for image in data["images"]]
        labels = {int(category["id"]): str(category["name"]) for category in data["categories"]}
        data["annotations"]
    except (ValueError, KeyError, TypeError) as error:
        raise MetadataError(f"{spec.ref}: {path.name} is not a COCO instances file: {error!r}") from error
    items = tuple(Item(name, _located(spec, name), image_id=number) for name, number in listed)
    return Dataset(spec.ref, "coco", items, labels, data)


def _labels_csv(spec: DatasetSpec, path: Path) -> Dataset:
    items = []
    labels: dict[int, str] = {}
    with open(path, newline="", encoding="utf-8") as stream:
        rows = csv.DictReader(stream)
        if rows.fieldnames is None or list(rows.fieldnames[:2]) != ["file", "class_index"]:
            raise MetadataError(
                f"{spec.ref}: {path.name} must begin with the header file,class_index[,name], "
                f"found {','.join(rows.fieldnames or ['nothing'])}"
            )
        for row in rows:
            try:
                truth = int(row["class_index"])
            except (TypeError, ValueError) as error:
                raise MetadataError(
                    f"{spec.ref}: {path.name} line {rows.line_num}: class_index must be an integer, "
                    f"found {row['class_index']!r}"
                ) from error
            items.append(Item(row["file"], _located(spec, row["file"]), truth=truth))
            if row.get("name"):
                labels[truth] = row["name"]
    return Dataset(spec.ref, "labels-csv", tuple(items), labels)


def _by_folder(spec: DatasetSpec) -> Dataset:
    """A folder of images for each class; the index of a class is the place of its folder in their order by name."""
    base = spec.dir / spec.annotations.images
    folders = sorted((path for path in base.iterdir() if path.is_dir()), key=lambda path: path.name)
    items = [
        Item(f"{folder.name}/{path.name}", path, truth=index)
        for index, folder in enumerate(folders)
        for path in folder.iterdir()
        if path.suffix.lower() in _IMAGE_SUFFIXES
    ]
    # By file name: neighbours are then of different classes, so that a part of the images stands for all.
    items.sort(key=lambda item: (item.path.name, item.name))
    labels = {index: folder.name for index, folder in enumerate(folders)}
    return Dataset(spec.ref, "folders", tuple(items), labels)


def _unlabelled(spec: DatasetSpec) -> Dataset:
    folder = spec.dir / spec.annotations.images
    names = sorted(path.name for path in folder.iterdir() if path.suffix.lower() in _IMAGE_SUFFIXES)
    return Dataset(spec.ref, "none", tuple(Item(name, folder / name) for name in names), {})


def open_dataset(spec: DatasetSpec) -> Dataset:
    """Read the annotations of a dataset and find its images.

    A labels file (one name a line) gives names by line number; COCO categories and names in a labels CSV
    come first.

    Raises:
        MetadataError: the annotations are not what they say, an image is absent, or there is none.
    """
    annotations = spec.annotations
    path = spec.dir / (annotations.file or "")
    if annotations.format not in ("folders", "none") and not path.is_file():
        raise MetadataError(
            f"{spec.ref}: the annotation file {annotations.file} is not in the dataset",
            hint="run `cr init` again; the installed dataset is not complete",
        )
    if annotations.format == "coco":
        dataset = _coco(spec, path)
    elif annotations.format == "labels-csv":
        dataset = _labels_csv(spec, path)
    elif annotations.format == "folders":
        dataset = _by_folder(spec)
    else:
        dataset = _unlabelled(spec)
    if not dataset.items:
        raise MetadataError(f"{spec.ref}: the dataset has no images")
    if annotations.labels is not None and (spec.dir / annotations.labels).is_file():
        lines = (spec.dir / annotations.labels).read_text(encoding="utf-8").splitlines()
        if annotations.format != "coco":
            dataset.labels.update({i: line for i, line in enumerate(lines) if i not in dataset.labels})
    return dataset
