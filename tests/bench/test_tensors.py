# SPDX-License-Identifier: Apache-2.0
"""Items that are tensors: files of each format, tables, and datasets of each kind of annotation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from codereef.bench.datasets import open_dataset
from codereef.bench.request import Annotations, DatasetSpec, TensorFormat
from codereef.bench.steps_in import Preprocessor
from codereef.bench.tensors import read_tensor
from codereef.errors import MetadataError, RunError
from PIL import Image

VALUES = np.array([[1, -2, 3], [4, 5, -6]], dtype=np.int16)


def write(path: Path, form: str) -> TensorFormat | None:
    if form == "npy":
        np.save(path.with_suffix(".npy"), VALUES)
    elif form == "npz":
        np.savez(path.with_suffix(".npz"), x=VALUES)
    elif form == "csv":
        path.with_suffix(".csv").write_text("1,-2,3\n4,5,-6\n")
    else:
        path.with_suffix(".raw").write_bytes(VALUES.astype("<i2").tobytes())
        return TensorFormat("raw", "int16", (-1, 3))
    return None


@pytest.mark.parametrize("form", ["npy", "npz", "csv", "raw"])
def test_every_format_gives_its_numbers(tmp_path: Path, form: str) -> None:
    how = write(tmp_path / "t", form)
    found = read_tensor(tmp_path / f"t.{form}", how)
    np.testing.assert_array_equal(found, VALUES)
    assert found.dtype == (np.float64 if form == "csv" else np.int16)
    array, _ = Preprocessor([{"load": {}}, {"cast": {"dtype": "float32"}}, {"reshape": {"to": [1, 6]}}])(
        tmp_path / f"t.{form}", tensor=how
    )
    assert array.tolist() == [[1, -2, 3, 4, 5, -6]] and array.dtype == np.float32


@pytest.mark.parametrize(
    ("name", "content", "how", "message"),
    [
        ("a.bin", b"12345", None, "nothing says what the bytes of a.bin are"),
        ("a.bin", b"12345", TensorFormat("raw", "int16", (2, 2)), "cannot read the tensor a.bin"),
        ("a.npy", b"not numpy", None, "cannot read the tensor a.npy"),
        ("a.csv", b"1,x\n", None, "cannot read the tensor a.csv"),
    ],
)
def test_a_wrong_file_is_named(tmp_path: Path, name: str, content: bytes, how: Any, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises((RunError, MetadataError), match=message):
        read_tensor(tmp_path / name, how)


def test_objects_are_never_unpickled(tmp_path: Path) -> None:
    np.save(tmp_path / "o.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(RunError, match=r"cannot read the tensor o\.npy"):
        read_tensor(tmp_path / "o.npy", None)


def test_which_array_of_an_npz_must_be_said(tmp_path: Path) -> None:
    np.savez(tmp_path / "two.npz", a=VALUES, b=VALUES * 2)
    with pytest.raises(RunError, match="holds the arrays a, b and `key` does not say which"):
        read_tensor(tmp_path / "two.npz", None)
    np.testing.assert_array_equal(read_tensor(tmp_path / "two.npz", TensorFormat("npz", key="b")), VALUES * 2)
    with pytest.raises(RunError, match="and no c"):
        read_tensor(tmp_path / "two.npz", TensorFormat("npz", key="c"))


def opened(folder: Path, form: str, file: str | None, images: str = ".", **more: Any) -> Any:
    return open_dataset(DatasetSpec("dataset:d@1", folder, Annotations(form, images, file, None, **more)))


def test_rows_of_a_csv_are_items(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id,a,b,y\n7,1,2,3\n8,4,5,9.5\n")
    dataset = opened(tmp_path, "table", "t.csv", inputs=("b", "a"), targets=("y",))
    assert [item.name for item in dataset.items] == ["t.csv[0]", "t.csv[1]"]
    assert [item.values for item in dataset.items] == [(3.0,), (9.5,)]
    assert dataset.items[1].row.tolist() == [5.0, 4.0]


def test_rows_of_an_npz_are_items(tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", x=np.arange(24).reshape(3, 2, 4), y=np.arange(3.0))
    dataset = opened(tmp_path, "table", "t.npz", inputs=("x",), targets=("y",))
    assert dataset.items[2].row.tolist() == [[16, 17, 18, 19], [20, 21, 22, 23]]
    assert dataset.items[2].values == (2.0,)
    assert opened(tmp_path, "table", "t.npz", inputs=("x",)).items[0].values is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,y\n1,2\n", "it has no column b, but a, y"),
        ("a,b,y\n1,x,2\n", "line 2: could not convert"),
        ("a,b,y\n1\n", "line 2"),
    ],
)
def test_a_wrong_table_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(MetadataError, match=message):
        opened(tmp_path, "table", "t.csv", inputs=("a", "b"), targets=("y",))


def test_mlperf_tinys_labels_have_no_header(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"12")
    (tmp_path / "y_labels.csv").write_text("a.bin,12,7\n")
    how = TensorFormat("raw", "int8")
    [item] = opened(tmp_path, "mlperf-tiny-csv", "y_labels.csv", tensor=how).items
    assert (item.name, item.truth, item.tensor) == ("a.bin", 7, how)
    (tmp_path / "y_labels.csv").write_text("a.bin,12,12\n")
    with pytest.raises(MetadataError, match="line 1 must be file,classes,class"):
        opened(tmp_path, "mlperf-tiny-csv", "y_labels.csv")


def test_true_values_of_files(tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(b"")
    (tmp_path / "v.csv").write_text("file,x,y\na.npy,1.5,-2\n")
    assert opened(tmp_path, "values-csv", "v.csv").items[0].values == (1.5, -2.0)
    (tmp_path / "v.csv").write_text("file,x,y\na.npy,1.5\n")
    with pytest.raises(MetadataError, match="line 2: 2 cells under 3 names"):
        opened(tmp_path, "values-csv", "v.csv")


def test_every_image_needs_its_mask(tmp_path: Path) -> None:
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    Image.new("RGB", (4, 3)).save(tmp_path / "images" / "a.jpg")
    with pytest.raises(MetadataError, match=r"the image a\.jpg has no mask masks/a\.png"):
        opened(tmp_path, "masks", None, images="images", masks="masks", ignore=255)
    Image.new("L", (4, 3)).save(tmp_path / "masks" / "a.png")
    dataset = opened(tmp_path, "masks", None, images="images", masks="masks", ignore=255)
    assert dataset.items[0].mask == tmp_path / "masks" / "a.png" and dataset.ignore == 255


def test_the_sine_of_the_repository_is_a_sine() -> None:
    import math

    from tests.bench.program_requests import ROOT, component

    spec = component("components/dataset/sine-wave")["annotations"]
    dataset = opened(
        ROOT / "components/dataset/sine-wave", spec["format"], spec["file"], inputs=tuple(spec["inputs"]),
        targets=tuple(spec["targets"]),
    )  # fmt: skip
    assert len(dataset.items) == 63
    for number, item in enumerate(dataset.items):
        assert item.row.tolist() == [number / 10]
        assert item.values == (pytest.approx(math.sin(number / 10), abs=1e-6),)


def test_the_request_knows_what_the_schema_allows() -> None:
    from codereef.bench import request

    from tests.bench.program_requests import ROOT

    dataset = json.loads((ROOT / "schemas" / "dataset.json").read_text())["properties"]["annotations"]["properties"]
    assert sorted(dataset["format"]["enum"]) == sorted(request.ANNOTATION_FORMATS)
    assert sorted(dataset["tensor"]["properties"]["format"]["enum"]) == sorted(request.TENSOR_FORMATS)
    assert dataset["tensor"]["properties"]["dtype"]["enum"] == list(request.DTYPES)
    model = json.loads((ROOT / "schemas" / "model.json").read_text())["properties"]
    assert model["outputs"]["items"]["properties"]["type"]["enum"] == list(request.OUTPUT_TYPES)
