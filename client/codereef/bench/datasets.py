# SPDX-License-Identifier: Apache-2.0
"""The items of a dataset: image or tensor files (or rows of a table) with their truth, and the names of the classes."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Optional

from codereef.bench.request import WITHOUT_FILE, DatasetSpec, TensorFormat
from codereef.bench.tensors import Array, read_table
from codereef.errors import MetadataError

_IMAGE_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".webp")


@dataclass(frozen=True)
class Item:
    """One input with its truth, where there is one.

    Attributes:
        name: its name in the dataset.
        path: its file, or the table that it is a row of.
        image_id: COCO id.
        truth: true class.
        values: true values, for regression.
        mask: file of the true class of each pixel.
        tensor: how the file is kept, where it is no image; None goes by its suffix.
        row: the tensor itself, where it is a row of a table.
    """

    name: str
    path: Path
    image_id: Optional[int] = None
    truth: Optional[int] = None
    values: Optional[tuple[float, ...]] = None
    mask: Optional[Path] = None
    tensor: Optional[TensorFormat] = None
    row: Optional[Array] = field(default=None, compare=False)


@dataclass(frozen=True)
class Dataset:
    """Items in the order of the annotations, and class names by category id or class index.

    Attributes:
        ignore: value of a mask where nothing is to be known, or None.
    """

    ref: str
    format: str
    items: tuple[Item, ...]
    labels: dict[int, str]
    coco: Optional[dict[str, Any]] = None
    ignore: Optional[int] = None


def _located(spec: DatasetSpec, name: str) -> Path:
    path = spec.dir / spec.annotations.images / name
    if not path.is_file():
        raise MetadataError(
            f"{spec.ref}: the annotations name the file {name}, which is not in the dataset",
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


def _mlperf_tiny(spec: DatasetSpec, path: Path) -> Dataset:
    """MLPerf Tiny's y_labels.csv: file, number of classes, class, and no header; further columns are not read."""
    items = []
    with open(path, newline="", encoding="utf-8") as stream:
        for number, row in enumerate(csv.reader(stream), 1):
            if not row:
                continue
            try:
                name, classes, truth = row[0], int(row[1]), int(row[2])
                if not 0 <= truth < classes:
                    raise ValueError(f"class {truth} of {classes}")
            except (ValueError, IndexError) as error:
                raise MetadataError(
                    f"{spec.ref}: {path.name} line {number} must be file,classes,class; found {','.join(row)!r}"
                ) from error
            items.append(Item(name, _located(spec, name), truth=truth))
    return Dataset(spec.ref, spec.annotations.format, tuple(items), {})


def _values_csv(spec: DatasetSpec, path: Path) -> Dataset:
    """A header `file,NAME...`, then a file and its true values a line."""
    items = []
    with open(path, newline="", encoding="utf-8") as stream:
        rows = csv.reader(stream)
        head = next(rows, [])
        if len(head) < 2 or head[0] != "file":
            raise MetadataError(
                f"{spec.ref}: {path.name} must begin with the header file,NAME..., found {','.join(head) or 'nothing'}"
            )
        for row in rows:
            try:
                values = tuple(float(cell) for cell in row[1:])
                if len(row) != len(head):
                    raise ValueError(f"{len(row)} cells under {len(head)} names")
            except ValueError as error:
                raise MetadataError(f"{spec.ref}: {path.name} line {rows.line_num}: {error}") from error
            items.append(Item(row[0], _located(spec, row[0]), values=values))
    return Dataset(spec.ref, spec.annotations.format, tuple(items), {})


def _table(spec: DatasetSpec, path: Path) -> Dataset:
    rows, truth = read_table(path, spec.annotations.inputs, spec.annotations.targets)
    items = tuple(
        Item(
            f"{path.name}[{number}]",
            path,
            values=None if truth is None else tuple(truth[number].tolist()),
            row=rows[number],
        )
        for number in range(len(rows))
    )
    return Dataset(spec.ref, spec.annotations.format, items, {})


def _masks(spec: DatasetSpec) -> Dataset:
    """Images with a mask of the same name but for the suffix `.png`, whose pixels are class indices."""
    plain = _unlabelled(spec)
    masks = spec.dir / (spec.annotations.masks or "")
    items = []
    for item in plain.items:
        mask = masks / (item.path.stem + ".png")
        if not mask.is_file():
            raise MetadataError(
                f"{spec.ref}: the image {item.name} has no mask {spec.annotations.masks}/{mask.name}",
                hint="run `cr init` again; the installed dataset is not complete",
            )
        items.append(replace(item, mask=mask))
    return Dataset(spec.ref, "masks", tuple(items), {}, ignore=spec.annotations.ignore)


def _unlabelled(spec: DatasetSpec) -> Dataset:
    folder = spec.dir / spec.annotations.images
    # A dataset that says how its tensors are kept has no images, and may call its files what it likes.
    names = sorted(
        path.name
        for path in folder.iterdir()
        if path.suffix.lower() in _IMAGE_SUFFIXES or (spec.annotations.tensor is not None and path.is_file())
    )
    return Dataset(spec.ref, "none", tuple(Item(name, folder / name) for name in names), {})


def open_dataset(spec: DatasetSpec) -> Dataset:
    """Read the annotations of a dataset and find its items.

    A labels file (one name a line) gives names by line number; COCO categories and names in a labels CSV
    come first.

    Raises:
        MetadataError: the annotations are not what they say, an item is absent, or there is none.
    """
    annotations = spec.annotations
    path = spec.dir / (annotations.file or "")
    if annotations.format not in WITHOUT_FILE and not path.is_file():
        raise MetadataError(
            f"{spec.ref}: the annotation file {annotations.file} is not in the dataset",
            hint="run `cr init` again; the installed dataset is not complete",
        )
    with_file = {
        "coco": _coco,
        "labels-csv": _labels_csv,
        "mlperf-tiny-csv": _mlperf_tiny,
        "values-csv": _values_csv,
        "table": _table,
    }
    without = {"folders": _by_folder, "masks": _masks, "none": _unlabelled}
    if annotations.format in WITHOUT_FILE:
        dataset = without[annotations.format](spec)
    else:
        dataset = with_file[annotations.format](spec, path)
    if not dataset.items:
        raise MetadataError(f"{spec.ref}: the dataset has no items")
    if annotations.labels is not None and (spec.dir / annotations.labels).is_file():
        lines = (spec.dir / annotations.labels).read_text(encoding="utf-8").splitlines()
        if annotations.format != "coco":
            dataset.labels.update({i: line for i, line in enumerate(lines) if i not in dataset.labels})
    if annotations.tensor is not None:
        items = tuple(replace(item, tensor=annotations.tensor) for item in dataset.items)
        dataset = replace(dataset, items=items)
    return dataset
